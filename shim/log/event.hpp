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
// with a spelling (words.hpp). It is empty, and spelled "", where nothing is said, as in a line of a version
// that had no such field. `fields(visit)` calls visit("name", value) in order; on a mutable event the values
// are mutable too, so that the reader of old logs walks the same list as the writer.
#define SQLSHIM_EVENT(NAME)                                                                                  \
  static constexpr std::string_view name = NAME;                                                             \
  static constexpr bool debug = false
#define SQLSHIM_DEBUG_EVENT(NAME)                                                                            \
  static constexpr std::string_view name = NAME;                                                             \
  static constexpr bool debug = true

struct Accepted {
  SQLSHIM_EVENT("accepted");
  std::string listener, peer, local;
  void fields(this auto &&self, auto &&v) {
    v("listener", self.listener), v("peer", self.peer), v("local", self.local);
  }
};
struct CallerProven {
  SQLSHIM_EVENT("caller.proven");
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
  SQLSHIM_EVENT("prelogin.answered");
  std::string leg; ///< "client", "server"
  std::string asked, answered;
  void fields(this auto &&self, auto &&v) {
    v("leg", self.leg), v("asked", self.asked), v("answered", self.answered);
  }
};
struct TlsAgreed {
  SQLSHIM_EVENT("tls.agreed");
  std::string leg, version, cipher;
  Strings names;
  bool verified = false;
  std::string binding, reason;
  void fields(this auto &&self, auto &&v) {
    v("leg", self.leg), v("version", self.version), v("cipher", self.cipher), v("names", self.names),
        v("verified", self.verified), v("binding", self.binding), v("reason", self.reason);
  }
};
struct LoginReceived {
  SQLSHIM_EVENT("login.received");
  std::string tds, server, database, user, app, host;
  std::uint64_t pid = 0, packet_size = 0;
  std::string auth;       ///< "sql", "integrated"
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
  SQLSHIM_EVENT("credentials.ignored");
  std::string what; ///< "user and password", "kerberos token (1234 bytes)"
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct PolicyDecided {
  SQLSHIM_EVENT("policy.decided");
  std::string rule, outcome, route, identity, reason; ///< outcome: "allow", "deny"
  void fields(this auto &&self, auto &&v) {
    v("rule", self.rule), v("outcome", self.outcome), v("route", self.route), v("identity", self.identity),
        v("reason", self.reason);
  }
};
struct DnsAnswered {
  SQLSHIM_EVENT("dns.answered");
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
  SQLSHIM_EVENT("target.aliased");
  std::string from, to, by; ///< by: "aliases", or the path of a freetds.conf
  void fields(this auto &&self, auto &&v) { v("from", self.from), v("to", self.to), v("by", self.by); }
};
struct TargetResolved {
  SQLSHIM_EVENT("target.resolved");
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
  SQLSHIM_EVENT("browser.answered");
  std::string instance, server; ///< server: who answered, or every address that was asked
  std::uint64_t port = 0;       ///< 0: no answer, or none that names a port; `detail` tells
  bool cached = false;
  std::string detail;
  std::int64_t us = 0;
  void fields(this auto &&self, auto &&v) {
    v("instance", self.instance), v("server", self.server), v("port", self.port), v("cached", self.cached),
        v("detail", self.detail), v("us", self.us);
  }
};
/// Credentials that are not the configuration's own.
struct CredentialsTaken {
  SQLSHIM_EVENT("credentials.taken");
  std::string from;               ///< "client", "caller"
  std::string account, principal; ///< account: as the client typed it, or the file's name
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("account", self.account), v("principal", self.principal);
  }
};
struct PlanMade {
  SQLSHIM_EVENT("plan.made");
  Strings attempts; ///< "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
  void fields(this auto &&self, auto &&v) { v("attempts", self.attempts); }
};
struct KdcAnswered {
  SQLSHIM_EVENT("kdc.answered");
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
  SQLSHIM_EVENT("spn.tried");
  std::string spn, why, outcome, kind,
      detail;                  ///< outcome: "ticket", "refused", "skipped"; kind: auth::Kind's spelling
  std::string client = {};     ///< the principal that asked
  std::string realm_from = {}; ///< what told the realm: auth::RealmFrom's spelling
  std::string odd = {};        ///< the shape that a fault of names gave it, and the lookup to blame
  void fields(this auto &&self, auto &&v) {
    v("spn", self.spn), v("why", self.why), v("outcome", self.outcome), v("kind", self.kind),
        v("detail", self.detail), v("client", self.client), v("realm_from", self.realm_from),
        v("odd", self.odd);
  }
};
struct TicketChosen {
  SQLSHIM_EVENT("ticket.chosen");
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
  SQLSHIM_EVENT("server.connected");
  std::string endpoint;
  int attempt = 0;
  std::int64_t us = 0;
  void fields(this auto &&self, auto &&v) {
    v("endpoint", self.endpoint), v("attempt", self.attempt), v("us", self.us);
  }
};
struct TokenExchanged {
  SQLSHIM_DEBUG_EVENT("token.exchanged");
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
  SQLSHIM_EVENT("server.message");
  std::uint64_t number = 0, state = 0, severity = 0;
  std::string text;
  void fields(this auto &&self, auto &&v) {
    v("number", self.number), v("state", self.state), v("class", self.severity), v("text", self.text);
  }
};
struct AttemptEnded {
  SQLSHIM_EVENT("attempt.ended");
  int attempt = 0;
  std::string cause; ///< "ok" or a cause id
  void fields(this auto &&self, auto &&v) { v("attempt", self.attempt), v("cause", self.cause); }
};
struct FallbackTaken {
  SQLSHIM_EVENT("fallback.taken");
  std::string from, to, reason;
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("to", self.to), v("reason", self.reason);
  }
};
/// There is another attempt, and policy does not make it.
struct FallbackWithheld {
  SQLSHIM_EVENT("fallback.withheld");
  std::string from, to, reason;
  void fields(this auto &&self, auto &&v) {
    v("from", self.from), v("to", self.to), v("reason", self.reason);
  }
};
struct RedirectFollowed {
  SQLSHIM_EVENT("redirect.followed");
  std::string from, to;
  int hop = 0;
  void fields(this auto &&self, auto &&v) { v("from", self.from), v("to", self.to), v("hop", self.hop); }
};
/// The server named a failover partner, and the client is told our own address in its place.
struct PartnerMapped {
  SQLSHIM_EVENT("partner.mapped");
  std::string partner, listener;
  void fields(this auto &&self, auto &&v) { v("partner", self.partner), v("listener", self.listener); }
};
struct LoginAnswered {
  SQLSHIM_EVENT("login.answered");
  bool accepted = false;
  std::string version, database;
  std::uint64_t packet_size = 0;
  void fields(this auto &&self, auto &&v) {
    v("accepted", self.accepted), v("version", self.version), v("database", self.database),
        v("packet_size", self.packet_size);
  }
};
struct TraceLine {
  SQLSHIM_DEBUG_EVENT("trace");
  std::string text;
  void fields(this auto &&self, auto &&v) { v("text", self.text); }
};
struct Refused {
  SQLSHIM_EVENT("refused");
  std::optional<Step> step;
  std::string fault, cause, detail, remedy;
  void fields(this auto &&self, auto &&v) {
    v("step", self.step), v("fault", self.fault), v("cause", self.cause), v("detail", self.detail),
        v("remedy", self.remedy);
  }
};
struct Closed {
  SQLSHIM_EVENT("closed");
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
  SQLSHIM_EVENT("started");
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
  SQLSHIM_EVENT("warned");
  std::string what;
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct Reloaded {
  SQLSHIM_EVENT("reloaded");
  std::string what; ///< "tickets, KDC refusals and DNS answers forgotten"
  void fields(this auto &&self, auto &&v) { v("what", self.what); }
};
struct Drained {
  SQLSHIM_EVENT("drained");
  std::uint64_t waited_ms = 0, closed = 0; ///< closed: connections still open when the wait was over
  void fields(this auto &&self, auto &&v) { v("waited_ms", self.waited_ms), v("closed", self.closed); }
};

#undef SQLSHIM_EVENT
#undef SQLSHIM_DEBUG_EVENT

using AnyEvent =
    std::variant<Accepted, CallerProven, PreloginAnswered, TlsAgreed, LoginReceived, CredentialsIgnored,
                 PolicyDecided, DnsAnswered, TargetAliased, TargetResolved, BrowserAnswered, CredentialsTaken,
                 PlanMade, KdcAnswered, SpnTried, TicketChosen, ServerConnected, TokenExchanged, ServerSaid,
                 AttemptEnded, FallbackTaken, FallbackWithheld, RedirectFollowed, PartnerMapped,
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
bool is_debug(const Event &event);

} // namespace shim
