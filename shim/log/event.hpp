// The decision log's events: one struct per kind of decision. Each has a stable `name` and one walk over its
// fields, which JSON, text and tests share. Strings that came from outside are kept as they came: the
// renderer escapes and caps them, nobody else does. No field is a secret.
#pragma once

#include "shim/log/words.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shim {

using Micros = std::chrono::microseconds;
using WallTime = std::chrono::system_clock::time_point;
using Strings = std::vector<std::string>;

// Field types: std::string, bool, std::int64_t, std::uint64_t, int, Strings, and std::optional of an enum
// with a spelling (words.hpp). That is empty, and spelled "", where nothing is said, as in a line of a
// version that had no such field. `fields(visit)` calls visit("name", value) in order; on a mutable event the
// values are mutable too, so that the reader of old logs walks the same list as the writer.
//
// A kind has a name, which is for ever, and one sentence that says what it tells. A debug kind is written
// only where that is wanted.
#define SQLSHIM_EVENT(NAME, SENTENCE)                                                                        \
  static constexpr std::string_view name = NAME;                                                             \
  static constexpr std::string_view sentence = SENTENCE;                                                     \
  static constexpr bool debug = false
#define SQLSHIM_DEBUG_EVENT(NAME, SENTENCE)                                                                  \
  static constexpr std::string_view name = NAME;                                                             \
  static constexpr std::string_view sentence = SENTENCE;                                                     \
  static constexpr bool debug = true

struct Accepted {
  SQLSHIM_EVENT("accepted", "A connection was accepted.");
  std::string listener, peer, local;
  void fields(this auto &&self, auto &&v) {
    v("listener", self.listener), v("peer", self.peer), v("local", self.local);
  }
};
struct CallerProven {
  SQLSHIM_EVENT("caller.proven", "Who is behind the client leg, as the kernel proves it.");
  std::uint64_t uid = 0;
  std::string user;
  Strings groups;
  std::string how; ///< "peercred", "sock_diag"
  std::int64_t us = 0;
  void fields(this auto &&self, auto &&v) {
    v("uid", self.uid), v("user", self.user), v("groups", self.groups), v("how", self.how), v("us", self.us);
  }
};
struct PreloginAnswered {
  SQLSHIM_EVENT("prelogin.answered",
                "The options of PRELOGIN on one leg: what was asked, and what was answered.");
  std::optional<Side> leg;
  std::string asked, answered;
  void fields(this auto &&self, auto &&v) {
    v("leg", self.leg), v("asked", self.asked), v("answered", self.answered);
  }
};
struct TlsAgreed {
  SQLSHIM_EVENT("tls.agreed",
                "TLS on one leg: version, names of the certificate, whether it was verified, and the "
                "channel binding; also where the certificate did not pass.");
  std::optional<Side> leg;
  std::string version, cipher;
  Strings names;
  bool verified = false;
  std::string binding, reason;
  void fields(this auto &&self, auto &&v) {
    v("leg", self.leg), v("version", self.version), v("cipher", self.cipher), v("names", self.names),
        v("verified", self.verified), v("binding", self.binding), v("reason", self.reason);
  }
};
struct LoginReceived {
  SQLSHIM_EVENT("login.received", "What the application's LOGIN7 says, without its secrets.");
  std::string tds, server, database, user, app, host;
  std::uint64_t pid = 0, packet_size = 0;
  std::optional<LoginKind> auth;
  std::string mechanism;  ///< of the client's own SSPI token: "none", "kerberos", "spnego", "ntlm", "unknown"
  std::uint64_t size = 0; ///< bytes of the client's own SSPI token
  Strings features;
  void fields(this auto &&self, auto &&v) {
    v("tds", self.tds), v("server", self.server), v("database", self.database), v("user", self.user),
        v("app", self.app), v("host", self.host), v("pid", self.pid), v("packet_size", self.packet_size),
        v("auth", self.auth), v("mechanism", self.mechanism), v("size", self.size),
        v("features", self.features);
  }
};
struct CredentialsIgnored {
  SQLSHIM_EVENT("credentials.ignored", "Credentials of the application that this route does not use.");
  std::string what; ///< "user and password", "kerberos token (1234 bytes)"
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct PolicyDecided {
  SQLSHIM_EVENT("policy.decided", "Which rule let the login in or kept it out, its route and its identity.");
  std::string rule;
  std::optional<PolicyOutcome> outcome;
  std::string route, identity, reason;
  void fields(this auto &&self, auto &&v) {
    v("rule", self.rule), v("outcome", self.outcome), v("route", self.route), v("identity", self.identity),
        v("reason", self.reason);
  }
};
struct DnsAnswered {
  SQLSHIM_EVENT("dns.answered", "One DNS question, its answer, and who answered.");
  std::string question, type, rcode;
  std::int64_t ttl = 0;
  Strings answers;
  std::string server;
  bool cached = false;
  std::int64_t us = 0;
  void fields(this auto &&self, auto &&v) {
    v("question", self.question), v("type", self.type), v("rcode", self.rcode), v("ttl", self.ttl),
        v("answers", self.answers), v("server", self.server), v("cached", self.cached), v("us", self.us);
  }
};
struct TargetAliased {
  SQLSHIM_EVENT("target.aliased", "A name that stands for another target, and who says so.");
  std::string from, to, by; ///< by: "aliases", or the path of a freetds.conf
  void fields(this auto &&self, auto &&v) { v("from", self.from), v("to", self.to), v("by", self.by); }
};
struct TargetResolved {
  SQLSHIM_EVENT("target.resolved", "What the target as typed became: its name, its port and its addresses.");
  std::string typed, fqdn;
  std::uint64_t port = 0;
  std::string via;
  Strings endpoints;
  std::string by = {}; ///< the procedure that gave `fqdn`: auth::Procedure's spelling
  void fields(this auto &&self, auto &&v) {
    v("typed", self.typed), v("fqdn", self.fqdn), v("port", self.port), v("via", self.via),
        v("endpoints", self.endpoints), v("by", self.by);
  }
};
/// Where a named instance listens, as SQL Browser said it.
struct BrowserAnswered {
  SQLSHIM_EVENT("browser.answered", "Where a named instance listens, as SQL Browser said it.");
  std::string instance, server; ///< server: who answered, or every address that was asked
  std::uint64_t port = 0;       ///< 0: no answer, or none that names a port; `detail` tells
  bool cached = false;
  std::string detail;
  std::int64_t us = 0;
  std::uint64_t port_before = 0; ///< 0: the instance was at this port before too, or it is not known
  void fields(this auto &&self, auto &&v) {
    v("instance", self.instance), v("server", self.server), v("port", self.port), v("cached", self.cached),
        v("detail", self.detail), v("us", self.us), v("port_before", self.port_before);
  }
};
/// Credentials that are not the configuration's own.
struct CredentialsTaken {
  SQLSHIM_EVENT("credentials.taken",
                "Credentials that are not the configuration's own, or a password that NTLM takes.");
  std::optional<CredentialsFrom> from;
  std::string account, principal; ///< account: as the client typed it, or the file's name
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("account", self.account), v("principal", self.principal);
  }
};
struct PlanMade {
  SQLSHIM_EVENT("plan.made", "The attempts that policy allows, in their order.");
  Strings attempts; ///< "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
  void fields(this auto &&self, auto &&v) { v("attempts", self.attempts); }
};
struct KdcAnswered {
  SQLSHIM_EVENT("kdc.answered",
                "What a KDC answered, or that it did not: a KRB-ERROR's number, its text, its clock.");
  std::string kdc, exchange; ///< exchange: "AS", "TGS"
  std::int64_t code = 0;     ///< 0: a ticket; KRB-ERROR number; -1: no answer (text says why)
  std::string text, stime;   ///< stime: ISO 8601, empty where unknown
  std::int64_t skew_ms = 0;  ///< KDC's clock minus ours
  std::int64_t us = 0;
  std::string realm = {};  ///< whose KDC it is
  std::string source = {}; ///< who listed it: "krb5.conf", "dns", "sssd"
  void fields(this auto &&self, auto &&v) {
    v("kdc", self.kdc), v("exchange", self.exchange), v("code", self.code), v("text", self.text),
        v("stime", self.stime), v("skew_ms", self.skew_ms), v("us", self.us), v("realm", self.realm),
        v("source", self.source);
  }
};
struct SpnTried {
  SQLSHIM_EVENT("spn.tried", "One SPN that a ticket was asked for: why this one, and what came of it.");
  std::string spn;
  std::optional<auth::Why> why = {};
  std::optional<Tried> outcome = {};
  SpnAnswer kind = {};
  std::string detail = {};
  std::string client = {};                        ///< the principal that asked
  std::optional<auth::RealmFrom> realm_from = {}; ///< what told the realm
  std::optional<auth::Oddity> odd = {};           ///< the shape that a fault of names gave it
  void fields(this auto &&self, auto &&v) {
    v("spn", self.spn), v("why", self.why), v("outcome", self.outcome), v("kind", self.kind),
        v("detail", self.detail), v("client", self.client), v("realm_from", self.realm_from),
        v("odd", self.odd);
  }
};
struct TicketChosen {
  SQLSHIM_EVENT("ticket.chosen", "The ticket that the attempt goes on with.");
  std::string spn, client, etype;
  std::int64_t kvno = 0;
  std::string expires; ///< ISO 8601
  bool cached = false;
  std::string account =
      {}; ///< the client as Windows writes it, "CORP\\svc-reports", where [domains] knows its realm
  void fields(this auto &&self, auto &&v) {
    v("spn", self.spn), v("client", self.client), v("etype", self.etype), v("kvno", self.kvno),
        v("expires", self.expires), v("cached", self.cached), v("account", self.account);
  }
};
struct ServerConnected {
  SQLSHIM_EVENT("server.connected", "The server leg is connected.");
  std::string endpoint;
  int attempt = 0;
  std::int64_t us = 0;
  void fields(this auto &&self, auto &&v) {
    v("endpoint", self.endpoint), v("attempt", self.attempt), v("us", self.us);
  }
};
struct TokenExchanged {
  SQLSHIM_DEBUG_EVENT("token.exchanged", "One round of the security context with the server.");
  int round = 0;
  std::string mechanism;
  std::uint64_t sent = 0, received = 0; ///< bytes
  std::string flags_asked, flags_granted;
  bool done = false;
  void fields(this auto &&self, auto &&v) {
    v("round", self.round), v("mechanism", self.mechanism), v("sent", self.sent),
        v("received", self.received), v("flags_asked", self.flags_asked),
        v("flags_granted", self.flags_granted), v("done", self.done);
  }
};
struct ServerSaid {
  SQLSHIM_EVENT("server.message", "An ERROR or INFO token of the server.");
  std::uint64_t number = 0, state = 0, severity = 0;
  std::string text;
  void fields(this auto &&self, auto &&v) {
    v("number", self.number), v("state", self.state), v("class", self.severity), v("text", self.text);
  }
};
struct AttemptEnded {
  SQLSHIM_EVENT("attempt.ended", "One attempt is over: \"ok\", or its cause.");
  int attempt = 0;
  std::string cause; ///< "ok" or a cause id
  void fields(this auto &&self, auto &&v) { v("attempt", self.attempt), v("cause", self.cause); }
};
struct FallbackTaken {
  SQLSHIM_EVENT("fallback.taken", "Another attempt follows, as fallback_on says.");
  std::string from, to, reason;
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("to", self.to), v("reason", self.reason);
  }
};
/// There is another attempt, and policy does not make it.
struct FallbackWithheld {
  SQLSHIM_EVENT("fallback.withheld", "There is another attempt, and policy does not make it.");
  std::string from, to, reason;
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("to", self.to), v("reason", self.reason);
  }
};
struct RedirectFollowed {
  SQLSHIM_EVENT("redirect.followed", "The server sent the login on to another server.");
  std::string from, to;
  int hop = 0;
  void fields(this auto &&self, auto &&v) { v("from", self.from), v("to", self.to), v("hop", self.hop); }
};
/// The route's target could not be reached, or has not got the database, by `cause`. What stands before it in
/// a trail is about another server.
struct PartnerTried {
  SQLSHIM_EVENT("partner.tried",
                "The route's target could not serve the login, and its failover partner is tried.");
  std::string route, target, cause, partner;
  void fields(this auto &&self, auto &&v) {
    v("route", self.route), v("target", self.target), v("cause", self.cause), v("partner", self.partner);
  }
};
/// The server named a failover partner, and the client is told our own address in its place.
struct PartnerMapped {
  SQLSHIM_EVENT("partner.mapped",
                "The server named a failover partner, and the client is told our own address in its "
                "place.");
  std::string partner, listener;
  void fields(this auto &&self, auto &&v) { v("partner", self.partner), v("listener", self.listener); }
};
struct LoginAnswered {
  SQLSHIM_EVENT("login.answered", "What the server's answer to the login says.");
  bool accepted = false;
  std::string version, database;
  std::uint64_t packet_size = 0;
  void fields(this auto &&self, auto &&v) {
    v("accepted", self.accepted), v("version", self.version), v("database", self.database),
        v("packet_size", self.packet_size);
  }
};
struct TraceLine {
  SQLSHIM_DEBUG_EVENT("trace", "A line of libkrb5's trace.");
  std::string text;
  void fields(this auto &&self, auto &&v) { v("text", self.text); }
};
struct Refused {
  SQLSHIM_EVENT("refused", "The login was refused: at which step, for which cause, and what mends it.");
  std::optional<Step> step;
  std::optional<Fault> fault;
  std::string cause; ///< its id; a text, since a later version may know more of them
  std::string detail, remedy;
  void fields(this auto &&self, auto &&v) {
    v("step", self.step), v("fault", self.fault), v("cause", self.cause), v("detail", self.detail),
        v("remedy", self.remedy);
  }
};
struct Closed {
  SQLSHIM_EVENT("closed", "The connection is over: who ended it, and what went through it.");
  std::string by, reason;         ///< by: "client", "server", "us"
  std::uint64_t up = 0, down = 0; ///< bytes relayed towards the server / the client
  std::int64_t lasted_ms = 0;
  void fields(this auto &&self, auto &&v) {
    v("by", self.by), v("reason", self.reason), v("up", self.up), v("down", self.down),
        v("lasted_ms", self.lasted_ms);
  }
};

// Without a connection.
struct Started {
  SQLSHIM_EVENT("started", "sqlshim has started.");
  std::string version, config;
  Strings listeners;
  Strings identities =
      {}; ///< "reports: keytab of CORP\\svc-reports, which is svc-reports@CORP.TEST by [domains]"
  void fields(this auto &&self, auto &&v) {
    v("version", self.version), v("config", self.config), v("listeners", self.listeners),
        v("identities", self.identities);
  }
};
struct Warned {
  SQLSHIM_EVENT("warned", "Something that a person should look at.");
  std::string what;
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct Reloaded {
  SQLSHIM_EVENT("reloaded", "SIGHUP has come, and this was forgotten.");
  std::string what; ///< "tickets, KDC refusals and DNS answers forgotten"
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct Drained {
  SQLSHIM_EVENT("drained", "sqlshim stops: how long it waited for connections, and how many were left.");
  std::uint64_t waited_ms = 0, closed = 0; ///< closed: connections still open when the wait was over
  void fields(this auto &&self, auto &&v) { v("waited_ms", self.waited_ms), v("closed", self.closed); }
};

#undef SQLSHIM_EVENT
#undef SQLSHIM_DEBUG_EVENT

using AnyEvent =
    std::variant<Accepted, CallerProven, PreloginAnswered, TlsAgreed, LoginReceived, CredentialsIgnored,
                 PolicyDecided, DnsAnswered, TargetAliased, TargetResolved, BrowserAnswered, CredentialsTaken,
                 PlanMade, KdcAnswered, SpnTried, TicketChosen, ServerConnected, TokenExchanged, ServerSaid,
                 AttemptEnded, FallbackTaken, FallbackWithheld, RedirectFollowed, PartnerTried, PartnerMapped,
                 LoginAnswered, TraceLine, Refused, Closed, Started, Warned, Reloaded, Drained>;
/// One event. A variant whose ends and copies are in event.cpp: for so many kinds, every file spent a quarter
/// of its compile time on them.
struct Event : AnyEvent {
  Event();
  template <class Kind>
  requires requires { Kind::name; }
  Event(Kind kind) : AnyEvent(std::in_place_type<Kind>, std::move(kind)) {}
  Event(const Event &);
  Event(Event &&) noexcept;
  Event &operator=(const Event &);
  Event &operator=(Event &&) noexcept;
  ~Event();
};

/// One line of the decision log. `conn` is 8 hex digits, empty for an event without a connection; `us` since
/// the connection was accepted.
struct Record {
  WallTime at{};
  std::string conn;
  std::uint64_t seq = 0;
  Micros since_accept{0};
  Event event;
};

std::string_view name_of(const Event &event);
/// One sentence: what events of this kind tell.
std::string_view sentence_of(const Event &event);
bool is_debug(const Event &event);

} // namespace shim
