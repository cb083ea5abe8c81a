// Getting tickets without blocking: libkrb5 steps the AS and TGS exchanges, the caller carries the bytes to a
// KDC and back. Machines: ask `next()`, do what it says, `reply()`, ask again.
#pragma once

#include "auth/identity.hpp"
#include "auth/kerberos_config.hpp"
#include "auth/ticket.hpp"

#include <functional>
#include <variant>

namespace auth {

/// Receives libkrb5's trace lines as `loggable_trace` leaves them. May be empty.
using Trace = std::function<void(std::string_view line)>;

/// Send `message` to a KDC of `realm` over TCP (4-byte length in front is the carrier's). `proof`: it holds
/// proof of a password or key, and must go to one KDC only, because two at once count a wrong password twice.
/// `exchange`: "AS" or "TGS".
struct AskKdc {
  std::string realm;
  Bytes message;
  bool proof = false;
  std::string exchange;
};

/// What the last reply was, for the decision log: code 0 for a ticket, else the KRB-ERROR (25
/// PREAUTH_REQUIRED included).
struct KdcReply {
  int code = 0;
  std::string text; ///< libkrb5's sentence for the code, then the KDC's e-text where there is one
  std::optional<Time> server_time;
};

class Exchange {
public:
  virtual ~Exchange() = default;
  /// What to do now. TicketPtr and Error are last. Never blocks, never opens a socket.
  virtual std::variant<AskKdc, TicketPtr, Error> next() = 0;
  /// The KDC's answer to the last AskKdc.
  virtual void reply(ByteView message) = 0;
  /// What the last reply was; nullopt before the first. Complete as soon as reply() has
  /// returned. With a ticket, server_time is the KDC's clock as the ticket shows it: skew can be
  /// measured where nothing failed.
  virtual const std::optional<KdcReply> &last_reply() const = 0;
};

/// TGT for an identity (AS exchange; for a ccache its own TGT, without asking anybody: Error ticket_expired
/// when it is over). Asks for a renewable ticket never; forwardable never. A refusal by the KDC is kind
/// preauth_failed for a password file, keytab_mismatch for a keytab, both with code 24: the KDC has counted
/// it, once for each exchange.
std::unique_ptr<Exchange> request_tgt(std::shared_ptr<const Identity> identity,
                                      const std::string &config_path, Trace trace);

/// The first message of that exchange, which proves nothing: for finding out whether a KDC answers at all.
Result<Bytes> request_without_proof(const std::string &principal, const std::string &config_path);

/// Errors of both: `said` and `server_time` come from the KDC's first refusal, libkrb5 may ask again in
/// another way before it gives up. A reply whose clock is further away than KerberosConfig::clock_skew is
/// kind clock_skew even where it holds a ticket.

/// Service ticket for `spn` ("MSSQLSvc/sql1.corp.test:1433@CORP.TEST": an exact principal name with realm)
/// with a TGT (TGS exchange; referrals are followed by libkrb5 and show as further AskKdc with another
/// realm). A refusal on the way, by a KDC that knows no way to the SPN's realm, is kind wrong_realm, not
/// service_unknown. Ticket::server is the name that a GSSAPI context must ask for.
std::unique_ptr<Exchange> request_service_ticket(TicketPtr tgt, const std::string &spn,
                                                 const std::string &config_path, Trace trace);

} // namespace auth
