// A short secret in memory that is overwritten when it goes. Internal to auth/.
#pragma once

#include <array>
#include <cstddef>
#include <string.h>
#include <string_view>

namespace auth {

/// Bytes of a password, zero-terminated as libkrb5 wants them. It has a fixed place: nothing is copied about
/// by growing, moving or copying.
class Wiped {
public:
  static constexpr std::size_t capacity = 4096;

  Wiped() = default;
  Wiped(const Wiped &) = delete;
  Wiped &operator=(const Wiped &) = delete;
  ~Wiped() { explicit_bzero(bytes_.data(), bytes_.size()); }

  /// Room for `capacity` bytes to be written by the caller, followed by `shrink`.
  char *room() { return bytes_.data(); }
  /// Keeps the first `size` bytes and wipes the others.
  void shrink(std::size_t size) {
    size_ = size;
    explicit_bzero(bytes_.data() + size_, bytes_.size() - size_);
  }

  std::size_t size() const { return size_; }
  std::string_view view() const { return {bytes_.data(), size_}; }
  const char *c_str() const { return bytes_.data(); }

private:
  std::array<char, capacity + 1> bytes_{};
  std::size_t size_ = 0;
};

} // namespace auth
