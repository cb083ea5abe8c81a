// The key that the two sides of a complete security context share.
#pragma once

#include "auth/error.hpp"

#include <string.h>

namespace auth {

/// What keys of a protocol above are made from (SMB's, for signing and encryption). Overwritten when it goes;
/// it cannot be copied, compared or printed.
class SessionKey {
public:
  explicit SessionKey(ByteView bytes) : bytes_(bytes.begin(), bytes.end()) {}
  SessionKey(SessionKey &&) noexcept = default; // leaves nothing behind: the bytes go along
  SessionKey &operator=(SessionKey &&other) noexcept {
    wipe();
    bytes_ = std::move(other.bytes_);
    return *this;
  }
  ~SessionKey() { wipe(); }

  ByteView reveal() const { return bytes_; }

private:
  void wipe() {
    if (!bytes_.empty()) explicit_bzero(bytes_.data(), bytes_.size());
  }
  Bytes bytes_;
};

} // namespace auth
