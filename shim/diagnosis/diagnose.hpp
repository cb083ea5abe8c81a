// From the decisions of one connection to its cause, evidence and remedy. Pure: it can be run again,
// offline, over an old log.
#pragma once

#include "auth/error.hpp"
#include "shim/log/event.hpp"
#include "tds/token.hpp"

#include <optional>
#include <span>

namespace shim {

struct Diagnosis {
  Cause cause{};
  Fault fault{};    ///< the catalogue's; for deadline, protocol-violation and TLS that fails by the step
  std::string spn;  ///< that was asked for or sent, empty where none
  std::string said; ///< what the KDC or the server said, in its own words (untrusted; escape before showing)
  std::string said_by;  ///< "KDC", "server"; empty: `said` is the failing step's own detail
  std::string sentence; ///< what it means, names filled in
  std::string remedy;   ///< what to do, names filled in
  Strings evidence;     ///< the events it rests on, as one-line texts
};

/// What a step that failed reports of itself: the cause it can tell from where it stands, and its own words.
struct Failure {
  Step step{}; ///< where it was
  Cause cause{};
  std::string detail;
  std::vector<tds::ServerMessage> errors = {}; ///< where the server refused: its own, for the client
};

/// What a refusal of this kind means. nullopt: it is no refusal (ok, preauth-required), or no cause says it
/// better than the step's own.
std::optional<Cause> cause_of(auth::Kind kind);

/// The cause may be sharpened by what came before:
/// - a server that closes after our first token, without a word, could not use the ticket:
///   spn-wrong-account, not server-closed;
/// - a server's last word before it says no names the cause: 4060 and 4064 database-denied, 18452
///   login-untrusted, 18456 login-denied, or anonymous-logon where it names that account;
/// - 18452 to a token that no channel binding went with (no TLS, or TLS 1.3) is channel-binding-refused;
/// - a KDC that answers 37 and is not followed by a ticket is clock-skew, whatever the step made of it;
/// - a ticket that was refused for a reason that spn.tried tells;
/// - an SPN that is unknown because its host is an address, a PTR's, an alias that was taken as typed, or a
///   short name completed by a suffix of no known realm: address-without-spn, ptr-wrong,
///   alias-not-canonical, suffix-wrong;
/// - a computed SPN that is unknown where SQL Browser tells another port of the instance than before
///   (`was_at_port`) is port-changed.
Diagnosis diagnose(std::span<const Record> trail, const Failure &failure);

/// For an old log: finds the failure in the trail itself (event `refused`). nullopt: the connection was not
/// refused, or for a cause that this version does not know.
std::optional<Diagnosis> diagnose(std::span<const Record> trail);

/// How the detail of browser.answered begins where the instance was found at another
/// port before, which follows.
inline constexpr std::string_view was_at_port = "was at port ";

/// Tells that a route's failover partner is tried, since its target failed by `cause`. What stands before it
/// in a trail is about another server.
Warned partner_is_tried(const std::string &route, const std::string &target, Cause cause,
                        const std::string &partner);

/// The event that tells of a refusal.
Refused refused(const Diagnosis &diagnosis, const Failure &failure);

/// Every refusal of ours has this number, class 14, state 1 (but see `Answer::number`).
inline constexpr unsigned refusal_number = 50811;
inline constexpr unsigned char refusal_class = 14;

/// What the client reads: "spn-missing: … SPN: … The KDC said: "…". Remedy: … (sqlshim connection 7f3a01c2)".
/// One line, at most 2,000 characters, and the remedy and the connection id are always in it.
std::string client_text(const Diagnosis &diagnosis, std::string_view conn);

} // namespace shim
