#include "tds/sspi.hpp"

#include <algorithm>
#include <string_view>

namespace tds {

namespace {

bool starts_with(ByteView bytes, ByteView prefix) {
  return bytes.size() >= prefix.size() && std::ranges::equal(bytes.first(prefix.size()), prefix);
}

// What follows the tag and the DER length of a GSSAPI token (RFC 2743 3.1); empty where
// there is no whole header.
ByteView after_der_header(ByteView token) {
  if (token.size() < 2) return {};
  const std::uint8_t length = token[1];
  const std::size_t length_bytes = length < 0x80 ? 0 : length & 0x7F; // long form: that many bytes more
  if (length_bytes > 4 || token.size() < 2 + length_bytes) return {};
  return token.subspan(2 + length_bytes);
}

} // namespace

std::string to_string(Mechanism mechanism) {
  switch (mechanism) {
  case Mechanism::none:
    return "none";
  case Mechanism::kerberos:
    return "kerberos";
  case Mechanism::spnego:
    return "spnego";
  case Mechanism::ntlm:
    return "ntlm";
  case Mechanism::unknown:
    break;
  }
  return "unknown";
}

Mechanism recognise(ByteView token) {
  static constexpr std::uint8_t ntlm[] = {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0};
  static constexpr std::uint8_t kerberos[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                              0xF7, 0x12, 0x01, 0x02, 0x02};
  static constexpr std::uint8_t spnego[] = {0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02};

  if (token.empty()) return Mechanism::none;
  if (starts_with(token, ntlm)) return Mechanism::ntlm;
  if (token.front() != 0x60) return Mechanism::unknown;
  const ByteView content = after_der_header(token);
  if (starts_with(content, kerberos)) return Mechanism::kerberos;
  if (starts_with(content, spnego)) return Mechanism::spnego;
  return Mechanism::unknown;
}

Bytes encode_sspi_message(ByteView token) { return encode_message(PacketType::sspi, token); }

} // namespace tds
