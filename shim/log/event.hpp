// The decision log's events: one struct per kind of decision. Each has a stable `name` and one walk over its fields, which JSON, text and tests
// share. Strings that came from outside are kept as they came: the renderer escapes and caps them, nobody else does. No field is a secret.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace shim {

using Micros = std::chrono::microseconds;
using WallTime = std::chrono::system_clock::time_point;
using Strings = std::vector<std::string>;

// Field types: std::string, bool, std::int64_t, std::uint64_t, int, Strings. `fields(visit)` calls visit("name", value) in order.
#define SQLSHIM_EVENT(NAME)                                                                                            \
  static constexpr std::string_view name = NAME;                                                                       \
  static constexpr bool debug = false
#define SQLSHIM_DEBUG_EVENT(NAME)                                                                                      \
  static constexpr std::string_view name = NAME;                                                                       \
  static constexpr bool debug = true

struct Accepted {
  SQLSHIM_EVENT("accepted");
  std::string listener, peer, local;
  void fields(auto &&v) const { v("listener", listener), v("peer", peer), v("local", local); }
};
struct CallerProven {
  SQLSHIM_EVENT("caller.proven");
  std::uint64_t uid = 0;
  std::string user;
  Strings groups;
  std::string how; ///< "peercred", "sock_diag"
  std::int64_t us = 0;
  void fields(auto &&v) const { v("uid", uid), v("user", user), v("groups", groups), v("how", how), v("us", us); }
};
struct PreloginAnswered {
  SQLSHIM_EVENT("prelogin.answered");
  std::string leg; ///< "client", "server"
  std::string asked, answered;
  void fields(auto &&v) const { v("leg", leg), v("asked", asked), v("answered", answered); }
};
struct TlsAgreed {
  SQLSHIM_EVENT("tls.agreed");
  std::string leg, version, cipher;
  Strings names;
  bool verified = false;
  std::string binding, reason;
  void fields(auto &&v) const {
    v("leg", leg), v("version", version), v("cipher", cipher), v("names", names), v("verified", verified), v("binding", binding), v("reason", reason);
  }
};
struct LoginReceived {
  SQLSHIM_EVENT("login.received");
  std::string tds, server, database, user, app, host;
  std::uint64_t pid = 0, packet_size = 0;
  std::string auth;      ///< "sql", "integrated"
  std::string mechanism; ///< of the client's own SSPI token: "none", "kerberos", "spnego", "ntlm", "unknown"
  std::uint64_t size = 0; ///< bytes of the client's own SSPI token
  Strings features;
  void fields(auto &&v) const {
    v("tds", tds), v("server", server), v("database", database), v("user", user), v("app", app), v("host", host), v("pid", pid),
        v("packet_size", packet_size), v("auth", auth), v("mechanism", mechanism), v("size", size), v("features", features);
  }
};
struct CredentialsIgnored {
  SQLSHIM_EVENT("credentials.ignored");
  std::string what; ///< "user and password", "kerberos token (1234 bytes)"
  void fields(auto &&v) const { v("what", what); }
};
struct PolicyDecided {
  SQLSHIM_EVENT("policy.decided");
  std::string rule, outcome, route, identity, reason; ///< outcome: "allow", "deny"
  void fields(auto &&v) const { v("rule", rule), v("outcome", outcome), v("route", route), v("identity", identity), v("reason", reason); }
};
struct DnsAnswered {
  SQLSHIM_EVENT("dns.answered");
  std::string question, type, rcode;
  std::int64_t ttl = 0;
  Strings answers;
  std::string server;
  bool cached = false;
  std::int64_t us = 0;
  void fields(auto &&v) const {
    v("question", question), v("type", type), v("rcode", rcode), v("ttl", ttl), v("answers", answers), v("server", server), v("cached", cached), v("us", us);
  }
};
struct TargetResolved {
  SQLSHIM_EVENT("target.resolved");
  std::string typed, fqdn;
  std::uint64_t port = 0;
  std::string via;
  Strings endpoints;
  void fields(auto &&v) const { v("typed", typed), v("fqdn", fqdn), v("port", port), v("via", via), v("endpoints", endpoints); }
};
struct PlanMade {
  SQLSHIM_EVENT("plan.made");
  Strings attempts; ///< "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
  void fields(auto &&v) const { v("attempts", attempts); }
};
struct KdcAnswered {
  SQLSHIM_EVENT("kdc.answered");
  std::string kdc, exchange; ///< exchange: "AS", "TGS"
  std::int64_t code = 0;     ///< 0: a ticket; KRB-ERROR number; -1: no answer (text says why)
  std::string text, stime;   ///< stime: ISO 8601, empty where unknown
  std::int64_t skew_ms = 0;  ///< KDC's clock minus ours
  std::int64_t us = 0;
  void fields(auto &&v) const {
    v("kdc", kdc), v("exchange", exchange), v("code", code), v("text", text), v("stime", stime), v("skew_ms", skew_ms), v("us", us);
  }
};
struct SpnTried {
  SQLSHIM_EVENT("spn.tried");
  std::string spn, why, outcome, kind, detail; ///< outcome: "ticket", "refused", "skipped"; kind: auth::Kind's spelling
  void fields(auto &&v) const { v("spn", spn), v("why", why), v("outcome", outcome), v("kind", kind), v("detail", detail); }
};
struct TicketChosen {
  SQLSHIM_EVENT("ticket.chosen");
  std::string spn, client, etype;
  std::int64_t kvno = 0;
  std::string expires; ///< ISO 8601
  bool cached = false;
  void fields(auto &&v) const { v("spn", spn), v("client", client), v("etype", etype), v("kvno", kvno), v("expires", expires), v("cached", cached); }
};
struct ServerConnected {
  SQLSHIM_EVENT("server.connected");
  std::string endpoint;
  int attempt = 0;
  std::int64_t us = 0;
  void fields(auto &&v) const { v("endpoint", endpoint), v("attempt", attempt), v("us", us); }
};
struct TokenExchanged {
  SQLSHIM_DEBUG_EVENT("token.exchanged");
  int round = 0;
  std::string mechanism;
  std::uint64_t sent = 0, received = 0; ///< bytes
  std::string flags_asked, flags_granted;
  bool done = false;
  void fields(auto &&v) const {
    v("round", round), v("mechanism", mechanism), v("sent", sent), v("received", received), v("flags_asked", flags_asked), v("flags_granted", flags_granted), v("done", done);
  }
};
struct ServerSaid {
  SQLSHIM_EVENT("server.message");
  std::uint64_t number = 0, state = 0, severity = 0;
  std::string text;
  void fields(auto &&v) const { v("number", number), v("state", state), v("class", severity), v("text", text); }
};
struct AttemptEnded {
  SQLSHIM_EVENT("attempt.ended");
  int attempt = 0;
  std::string cause; ///< "ok" or a cause id
  void fields(auto &&v) const { v("attempt", attempt), v("cause", cause); }
};
struct FallbackTaken {
  SQLSHIM_EVENT("fallback.taken");
  std::string from, to, reason;
  void fields(auto &&v) const { v("from", from), v("to", to), v("reason", reason); }
};
struct RedirectFollowed {
  SQLSHIM_EVENT("redirect.followed");
  std::string from, to;
  int hop = 0;
  void fields(auto &&v) const { v("from", from), v("to", to), v("hop", hop); }
};
struct LoginAnswered {
  SQLSHIM_EVENT("login.answered");
  bool accepted = false;
  std::string version, database;
  std::uint64_t packet_size = 0;
  void fields(auto &&v) const { v("accepted", accepted), v("version", version), v("database", database), v("packet_size", packet_size); }
};
struct TraceLine {
  SQLSHIM_DEBUG_EVENT("trace");
  std::string text;
  void fields(auto &&v) const { v("text", text); }
};
struct Refused {
  SQLSHIM_EVENT("refused");
  std::string step; ///< "caller", "client-login", "policy", "resolve", "ticket", "connect", "server-login"
  std::string fault, cause, detail, remedy;
  void fields(auto &&v) const { v("step", step), v("fault", fault), v("cause", cause), v("detail", detail), v("remedy", remedy); }
};
struct Closed {
  SQLSHIM_EVENT("closed");
  std::string by, reason;        ///< by: "client", "server", "us"
  std::uint64_t up = 0, down = 0; ///< bytes relayed towards the server / the client
  std::int64_t lasted_ms = 0;
  void fields(auto &&v) const { v("by", by), v("reason", reason), v("up", up), v("down", down), v("lasted_ms", lasted_ms); }
};

// Without a connection.
struct Started {
  SQLSHIM_EVENT("started");
  std::string version, config;
  Strings listeners;
  void fields(auto &&v) const { v("version", version), v("config", config), v("listeners", listeners); }
};
struct Warned {
  SQLSHIM_EVENT("warned");
  std::string what;
  void fields(auto &&v) const { v("what", what); }
};
struct Reloaded {
  SQLSHIM_EVENT("reloaded");
  std::string what; ///< "tickets, KDC refusals and DNS answers forgotten"
  void fields(auto &&v) const { v("what", what); }
};
struct Drained {
  SQLSHIM_EVENT("drained");
  std::uint64_t waited_ms = 0, closed = 0; ///< closed: connections still open when the wait was over
  void fields(auto &&v) const { v("waited_ms", waited_ms), v("closed", closed); }
};

#undef SQLSHIM_EVENT
#undef SQLSHIM_DEBUG_EVENT

using Event = std::variant<Accepted, CallerProven, PreloginAnswered, TlsAgreed, LoginReceived, CredentialsIgnored, PolicyDecided, DnsAnswered,
                           TargetResolved, PlanMade, KdcAnswered, SpnTried, TicketChosen, ServerConnected, TokenExchanged, ServerSaid, AttemptEnded,
                           FallbackTaken, RedirectFollowed, LoginAnswered, TraceLine, Refused, Closed, Started, Warned, Reloaded, Drained>;

/// One line of the decision log. `conn` is 8 hex digits, empty for an event without a connection; `us` since the connection was accepted.
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
