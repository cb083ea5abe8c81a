#include "tds/sspi.hpp"

#include <algorithm>
#include <string_view>

namespace tds {

namespace {

constexpr std::uint8_t ntlm_signature[] = {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0};
constexpr std::uint32_t ntlm_negotiate_type = 1, ntlm_challenge_type = 2;

// MS-NLMP 2.2.2.5.
constexpr std::uint32_t ntlm_always = 0x02828205; // unicode, target, ntlm, always sign, server, info, version
constexpr std::uint32_t ntlm_as_asked = 0xE0080030; // sign, seal, extended security, 128, key exchange, 56

// MS-NLMP 2.2.2.1.
enum class AvId : std::uint16_t { end, computer, domain, dns_computer, dns_domain, tree, flags, time };

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
  static constexpr std::uint8_t kerberos[] = {0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                              0xF7, 0x12, 0x01, 0x02, 0x02};
  static constexpr std::uint8_t spnego[] = {0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02};

  if (token.empty()) return Mechanism::none;
  if (starts_with(token, ntlm_signature)) return Mechanism::ntlm;
  if (token.front() != 0x60) return Mechanism::unknown;
  const ByteView content = after_der_header(token);
  if (starts_with(content, kerberos)) return Mechanism::kerberos;
  if (starts_with(content, spnego)) return Mechanism::spnego;
  return Mechanism::unknown;
}

bool is_ntlm_negotiate(ByteView token) {
  if (!starts_with(token, ntlm_signature)) return false;
  Reader reader(token.subspan(std::size(ntlm_signature)), "NTLM");
  return reader.u32_le("MessageType") == ntlm_negotiate_type;
}

Bytes ntlm_challenge(ByteView negotiate, const NtlmChallenge &challenge) {
  constexpr std::size_t asked_at = 12;     // of a NEGOTIATE's flags
  constexpr std::uint32_t head_size = 56;  // bytes
  constexpr std::uint16_t value_size = 14; // of a name: seven letters
  constexpr std::u16string_view netbios = u"SQLSHIM", dns = u"sqlshim";
  std::uint32_t asked = 0;
  if (negotiate.size() > asked_at) {
    Reader reader(negotiate.subspan(asked_at), "NTLM NEGOTIATE");
    asked = reader.u32_le("NegotiateFlags").value_or(0);
  }

  Writer info;
  for (const auto &[id, value] : {std::pair{AvId::domain, netbios},
                                  {AvId::computer, netbios},
                                  {AvId::dns_domain, dns},
                                  {AvId::dns_computer, dns}}) {
    info.u16_le(static_cast<std::uint16_t>(id));
    info.u16_le(value_size);
    info.utf16(value);
  }
  info.u16_le(static_cast<std::uint16_t>(AvId::time));
  info.u16_le(sizeof challenge.time);
  info.u64_le(challenge.time);
  info.u32_le(0); // AvId::end, no value

  Writer out;
  const auto field = [&out](std::size_t size, std::uint32_t at) {
    out.u16_le(static_cast<std::uint16_t>(size));
    out.u16_le(static_cast<std::uint16_t>(size));
    out.u32_le(at);
  };
  out.append(ntlm_signature);
  out.u32_le(ntlm_challenge_type);
  field(value_size, head_size);
  out.u32_le(ntlm_always | (asked & ntlm_as_asked));
  out.append(challenge.nonce);
  out.u64_le(0);
  field(info.size(), head_size + value_size);
  out.append(std::array<std::uint8_t, 8>{10, 0, 0x39, 0x38, 0, 0, 0, 15}); // Windows 10.0, NTLM revision 15
  out.utf16(netbios);
  out.append(info.bytes());
  return std::move(out).bytes();
}

Bytes encode_sspi_message(ByteView token) { return encode_message(PacketType::sspi, token); }

} // namespace tds
