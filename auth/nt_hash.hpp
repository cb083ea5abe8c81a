// The NT hash of a password (MS-NLMP 3.3.1, NTOWFv1): MD4 (RFC 1320) of its UTF-16. Internal to auth/:
// given the password itself, gss-ntlmssp 1.2.0 loses 7.6 KiB with each (what OpenSSL fetched for its
// MD4); given the hash, nothing.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace auth {

/// The hash in capital hexadecimal digits, as a C string; wiped when it goes. It is as good as the password.
class NtHash {
public:
  /// nullopt: the password is no UTF-8.
  static std::optional<NtHash> of(std::string_view password);
  NtHash(const NtHash &) = default;
  NtHash &operator=(const NtHash &) = delete;
  ~NtHash();
  const char *c_str() const { return text_.data(); }

private:
  NtHash() = default;
  std::array<char, 33> text_{};
};

} // namespace auth
