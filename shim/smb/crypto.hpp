// Keys, signatures and sealed messages (MS-SMB2 3.1.4): all of it by OpenSSL. Pure.
#pragma once

#include "shim/smb/message.hpp"

#include <memory>

namespace shim::smb {

using Hash = std::array<std::uint8_t, 64>;

/// What everything comes to that was said before the session stood (3.1.4.4.1): SHA-512 over the hash so
/// far and the next message.
class Preauthentication {
public:
  void add(ByteView message);
  const Hash &value() const { return value_; }

private:
  Hash value_{};
};

/// SP800-108 in counter mode with HMAC-SHA256, 32 bits of counter (3.1.4.2). `label` and `context` as they
/// go in, their NUL included.
Bytes derive_key(ByteView key, std::string_view label, ByteView context, std::size_t bits);

struct Keys {
  Bytes signing;
  Bytes seal, open; ///< what we send, what we get; empty where nothing is sealed
  ~Keys();
  Keys() = default;
  Keys(Keys &&) = default;
  Keys &operator=(Keys &&) = default;
};
/// From the key of the security context (3.2.5.3.1): its first 16 bytes; all of them for AES-256.
Keys make_keys(Dialect dialect, Cipher cipher, ByteView session_key, const Hash &preauthentication);

/// Writes flag and signature into a message that begins with its header.
void sign(Bytes &message, Signer signer, ByteView key);
/// Whether the signature is right; takes the same time wherever it is wrong.
bool is_signed_by(ByteView message, Signer signer, ByteView key);

/// Within TRANSFORM_HEADER (3.1.4.3). `counter` is never the same twice under one key.
Bytes seal(ByteView message, Cipher cipher, ByteView key, std::uint64_t counter, std::uint64_t session_id);
/// What was sealed; nullopt: it has been changed, or is under another key.
std::optional<Bytes> open_sealed(ByteView message, Cipher cipher, ByteView key);

} // namespace shim::smb
