// NTLM as a Windows server takes it (MS-NLMP): NTLMv2 alone, in raw NTLMSSP tokens. Pure. Written from the
// specification, so that it is a second opinion on the library that sqlshim itself uses.
#pragma once

#include "tds/bytes.hpp"

#include <expected>
#include <map>
#include <string>

namespace lab {

struct NtlmOptions {
  /// Principal ("svc-reports@CORP.TEST") to password. A client names an account by user and domain (the
  /// realm, or its NetBIOS name), or by user@REALM and no domain; capitals do not count.
  std::map<std::string, std::string> accounts = {};
  std::map<std::string, std::string> domains = {}; ///< realm to NetBIOS domain; the server is in the first
  std::string computer = "SQL1";                   ///< the server's NetBIOS name
  /// MsvAvTimestamp is in the challenge, as of every Windows since 2008. Clients send a MIC to
  /// those that have it alone.
  bool timestamp = true;
  /// The channel that the login came through, as GSSAPI's application data. Empty: nothing is compared.
  tds::Bytes bindings = {};
  tds::Bytes server_challenge = {}; ///< 8 bytes, for the specification's examples; empty: random
};

/// One login: NEGOTIATE in, CHALLENGE out, AUTHENTICATE in.
class NtlmAcceptor {
public:
  enum class Binding { absent, equal, different };
  /// What the AUTHENTICATE_MESSAGE said. Nothing of it is proven where the login was refused.
  struct Client {
    std::string user, domain, workstation; ///< as sent
    std::string principal;                 ///< the account that this is; empty: none
    std::string target_name;               ///< MsvAvTargetName: "MSSQLSvc/sql1.corp.test:1433"
    std::uint32_t flags = 0;               ///< NegotiateFlags
    Binding binding = Binding::absent;     ///< of its channel to ours; absent too where we compare nothing
    bool mic = false;                      ///< it sent one, and it fits the three messages
  };
  template <class T> using Outcome = std::expected<T, std::string>; ///< or why not, in a sentence

  explicit NtlmAcceptor(NtlmOptions options) : options_(std::move(options)) {}

  /// Answers a NEGOTIATE_MESSAGE with a CHALLENGE_MESSAGE.
  Outcome<tds::Bytes> challenge(tds::ByteView negotiate);
  /// Takes the AUTHENTICATE_MESSAGE: account, proof of the password, MIC, channel binding, in this order. A
  /// client that names no channel is let in: whether that will do is the caller's to decide, by `client()`.
  /// Call it once, after `challenge`.
  Outcome<void> authenticate(tds::ByteView message);

  const Client &client() const { return client_; }
  /// ExportedSessionKey, 16 bytes; once the proof was good.
  const tds::Bytes &session_key() const { return session_key_; }

private:
  tds::Bytes target_info() const;

  NtlmOptions options_;
  tds::Bytes negotiate_, challenge_; // as they were on the wire: the MIC is over them
  Client client_;
  tds::Bytes session_key_;
};

/// NTOWFv2 (MS-NLMP 3.3.2): the key that stands for a password. `user` and `domain` as the client wrote them.
tds::Bytes ntowf_v2(std::u16string_view user, std::u16string_view domain, std::string_view password);
/// MsvAvChannelBindings of a channel (MS-NLMP 2.2.2.1): MD5 over gss_channel_bindings_struct.
tds::Bytes ntlm_channel_hash(tds::ByteView application_data);

namespace ntlm {
// NegotiateFlags (MS-NLMP 2.2.2.5), those that the lab speaks of.
inline constexpr std::uint32_t unicode = 0x00000001;
inline constexpr std::uint32_t request_target = 0x00000004;
inline constexpr std::uint32_t sign = 0x00000010;
inline constexpr std::uint32_t seal = 0x00000020;
inline constexpr std::uint32_t ntlm = 0x00000200;
inline constexpr std::uint32_t domain_supplied = 0x00001000;
inline constexpr std::uint32_t workstation_supplied = 0x00002000;
inline constexpr std::uint32_t always_sign = 0x00008000;
inline constexpr std::uint32_t target_type_domain = 0x00010000;
inline constexpr std::uint32_t extended_session_security = 0x00080000;
inline constexpr std::uint32_t target_info = 0x00800000;
inline constexpr std::uint32_t version = 0x02000000;
inline constexpr std::uint32_t key_128 = 0x20000000;
inline constexpr std::uint32_t key_exchange = 0x40000000;
inline constexpr std::uint32_t key_56 = 0x80000000;

// AvId (MS-NLMP 2.2.2.1)
inline constexpr std::uint16_t av_end = 0x0000;
inline constexpr std::uint16_t av_computer = 0x0001;
inline constexpr std::uint16_t av_domain = 0x0002;
inline constexpr std::uint16_t av_dns_computer = 0x0003;
inline constexpr std::uint16_t av_dns_domain = 0x0004;
inline constexpr std::uint16_t av_dns_tree = 0x0005;
inline constexpr std::uint16_t av_flags = 0x0006;
inline constexpr std::uint16_t av_timestamp = 0x0007;
inline constexpr std::uint16_t av_target_name = 0x0009;
inline constexpr std::uint16_t av_channel_bindings = 0x000A;

inline constexpr std::uint32_t av_flag_mic =
    0x00000002;                               ///< in MsvAvFlags: the AUTHENTICATE_MESSAGE has a MIC
inline constexpr std::size_t mic_offset = 72; ///< of it, in the AUTHENTICATE_MESSAGE
inline constexpr std::size_t mic_size = 16;
} // namespace ntlm

} // namespace lab
