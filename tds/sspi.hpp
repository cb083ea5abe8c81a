// SSPI messages of the client (packet type 0x11: the raw token, no length, MS-TDS
// 2.2.6.8) and what a token is.
#pragma once

#include "tds/packet.hpp"

#include <array>

namespace tds {

inline constexpr std::size_t largest_sspi_token = 65535; ///< bytes, in token 0xED and in what we send

enum class Mechanism { none, kerberos, spnego, ntlm, unknown };
std::string to_string(Mechanism mechanism);

/// Names the mechanism of a first token by its framing alone: `60 len 06 09 2A864886F712010202` Kerberos
/// (RFC 4121), `60 len 06 06 2B0601050502` SPNEGO (RFC 4178), "NTLMSSP\0" NTLM; empty is none. Decodes
/// nothing further, never fails.
Mechanism recognise(ByteView token);

/// Whether it is NTLM's first token, NEGOTIATE (MS-NLMP 2.2.1.1), which wants a CHALLENGE.
bool is_ntlm_negotiate(ByteView token);

/// What a CHALLENGE has from outside.
struct NtlmChallenge {
  std::array<std::uint8_t, 8> nonce{}; ///< random: what answers it is worth nothing anywhere else
  std::uint64_t time = 0;              ///< 100 ns since 1601
};
/// The CHALLENGE (MS-NLMP 2.2.1.2) of a server that is in no domain, in answer to a NEGOTIATE: its options
/// are granted as far as they change how the client answers.
///
///   "NTLMSSP\0"  2 LE32  target name field 8  flags LE32  nonce 8  0 x 8  target info field 8  version 8
///   target name  { AvId LE16, length LE16, value }*  0 LE32
Bytes ntlm_challenge(ByteView negotiate, const NtlmChallenge &challenge);

/// One SSPI message as packets.
Bytes encode_sspi_message(ByteView token);

} // namespace tds
