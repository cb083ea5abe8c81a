// The security context by NTLM (MS-NLMP), as its initiator: gss-ntlmssp, with one password and nothing else.
// NTLM proves the client to the server, and never the server.
#pragma once

#include "auth/identity.hpp"
#include "auth/initiator.hpp"

namespace auth {

struct NtlmOptions {
  std::string account; ///< "CORP\\svc-reports"
  /// "MSSQLSvc/sql1.corp.test:1433": MsvAvTargetName, by which a server knows that
  /// the login is meant for it
  std::string service;
  Wrapping wrapping = Wrapping::raw;
  /// Only with a MIC, which keeps anybody from changing the messages on their way: see NtlmProtection.
  bool require_mic = true;
};

/// For an identity that holds a password. Asks nobody: neither a KDC nor winbindd. Errors: mechanism_missing
/// (the package gss-ntlmssp is not installed), no_credentials (the identity has no password). Errors of
/// step(): no_mic (require_mic, and the server's challenge does not tell its time, or the mechanism made an
/// answer without), malformed (no challenge). NTLMv2 only: an answer by an older one is refused before it is
/// sent. Step::mutual is never true.
Result<std::unique_ptr<Initiator>> make_ntlm_initiator(const Identity &identity, NtlmOptions options);

} // namespace auth
