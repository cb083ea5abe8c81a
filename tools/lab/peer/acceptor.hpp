// The server's side of integrated login: a GSSAPI acceptor on a keytab, and the answers of Windows where
// MIT's differ. Raw NTLM goes to an acceptor of the lab's own.
#pragma once

#include "tools/lab/peer/ntlm.hpp"

#include "tds/sspi.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace lab {

struct AcceptorOptions {
  std::filesystem::path keytab; ///< read anew by every acceptor
  /// MIT's own KRB-ERROR codes (31 for a wrong key, 44 for an old one) instead of
  /// Windows' 41 for all of them.
  bool native_errors = false;
  /// The channel that the login came through, as GSSAPI's application data ("tls-unique:" and its bytes). A
  /// client that names another one is refused; whether one that names none is, is the caller's to decide, by
  /// `flags`. Empty: nothing is compared.
  tds::Bytes bindings = {};
  /// Who may log in by NTLM; its `bindings` are ours. None: nobody.
  std::optional<NtlmOptions> ntlm = {};
};

/// One security context. Never touches the network; reads the keytab, and KRB5_CONFIG as libkrb5 does.
class Acceptor {
public:
  struct Step {
    enum class State { more, complete, failed } state = State::failed;
    tds::Bytes token = {};     ///< for the client; may be empty. Of a failure: its KRB-ERROR
    int krb_error = 0;         ///< the code in that KRB-ERROR; 0 where there is none
    bool bad_bindings = false; ///< the client is bound to another channel; there is no token then
    std::string text = {};     ///< of a failure: what GSSAPI and Kerberos said
  };

  explicit Acceptor(AcceptorOptions options);
  ~Acceptor();
  Acceptor(Acceptor &&) noexcept;

  /// Takes the client's next token.
  Step accept(tds::ByteView token);

  // Facts, once known.
  tds::Mechanism framing() const;       ///< of the first token: kerberos, spnego, ntlm
  const std::string &initiator() const; ///< "svc-reports@CORP.TEST"
  const std::string &spn() const;       ///< the principal of our keytab that was asked for; empty with NTLM
  std::uint32_t flags() const;          ///< what the initiator asked for, as GSS_C_*_FLAG bits
  bool channel_bound() const;           ///< the initiator named our channel (GSS_C_CHANNEL_BOUND_FLAG)
  /// What the initiator said in its AUTHENTICATE_MESSAGE; null before, and without NTLM.
  const NtlmAcceptor::Client *ntlm() const;
  /// KERBEROS or NTLM, as sys.dm_exec_connections names it.
  const std::string &scheme() const;

private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// The KRB-ERROR that Windows sends in place of an AP-REP (RFC 4120 5.9.1), framed as a raw
/// Kerberos token (RFC 4121 4.1).
tds::Bytes krb_error_token(int code);
/// The same inside a SPNEGO NegTokenResp with negState reject (RFC 4178 4.2.2).
tds::Bytes spnego_reject(tds::ByteView mechanism_token);

} // namespace lab
