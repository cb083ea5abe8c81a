// What must be known of NTLM messages (MS-NLMP 2.2.1) to say whether a login is protected. The messages
// themselves are the mechanism's to make and to check.
#pragma once

#include "auth/error.hpp"

#include <optional>

namespace auth {

inline constexpr std::uint32_t ntlm_challenge = 2, ntlm_authenticate = 3;

/// The NTLM message of this type within a token: raw, or somewhere in SPNEGO. Empty: there is none.
ByteView find_ntlm(ByteView token, std::uint32_t type);

/// Whether a CHALLENGE_MESSAGE (2.2.1.2) tells the server's time (MsvAvTimestamp, 2.2.2.1): only then does an
/// initiator protect the three messages by a MIC (3.1.5.1.2). nullopt: it is malformed.
std::optional<bool> tells_time(ByteView challenge);

/// Whether an AUTHENTICATE_MESSAGE (2.2.1.3) answers by NTLMv2 (2.2.2.8), and whether it carries a MIC and
/// says so (MsvAvFlags, bit 0x2), so that nobody can take it away.
struct NtlmProtection {
  bool v2 = false;
  bool mic = false;
};
NtlmProtection protection_of(ByteView authenticate);

} // namespace auth
