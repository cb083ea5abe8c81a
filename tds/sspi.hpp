// SSPI messages of the client (packet type 0x11: the raw token, no length, MS-TDS
// 2.2.6.8) and what a token is.
#pragma once

#include "tds/packet.hpp"

namespace tds {

inline constexpr std::size_t largest_sspi_token = 65535; ///< bytes, in token 0xED and in what we send

enum class Mechanism { none, kerberos, spnego, ntlm, unknown };
std::string to_string(Mechanism mechanism);

/// Names the mechanism of a first token by its framing alone: `60 len 06 09 2A864886F712010202` Kerberos
/// (RFC 4121), `60 len 06 06 2B0601050502` SPNEGO (RFC 4178), "NTLMSSP\0" NTLM; empty is none. Decodes
/// nothing further, never fails.
Mechanism recognise(ByteView token);

/// One SSPI message as packets.
Bytes encode_sspi_message(ByteView token);

} // namespace tds
