// The server leg: from a route to a logged-in connection, or to the one failure that explains why not.
#pragma once

#include "shim/browsers.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/log/log.hpp"
#include "shim/net/caller.hpp"
#include "shim/net/stream.hpp"
#include "shim/tickets.hpp"
#include "shim/tls_contexts.hpp"
#include "tds/connect_login.hpp"

namespace shim {

/// A server that has accepted the login; its reply is still to be given to the client.
struct Upstream {
  Stream stream;
  tds::LoginReply reply;
};

/// What opening the server leg needs: everything outlives the call.
struct UpstreamRequest {
  const config::Config &config;
  const config::Route &route;
  const config::Identity *identity; ///< null: the route needs none
  const tds::LoginRequest &asked;
  Trail &trail;
  Resolver &resolver;
  Tickets &tickets;
  Identities &identities;
  const TlsContexts &tls;
  Browsers &browsers; ///< where named instances were found
  bool trace; ///< libkrb5's trace into the trail
  const Caller *caller = nullptr;           ///< who asks, as proven: for an identity with from = "caller"
  std::optional<LoadedIdentity> given = {}; ///< set by the login itself: what it made of the client's own password
};

/// Resolve, plan, then for each attempt: ticket, connect, TLS, log in; and all of it again at each place that a redirect leads to, within the bounds of shim/redirect.
/// The port of a named instance is SQL Browser's to tell; where a port that was kept leads nowhere, it is asked again, once. Where the target cannot be reached, or has not got the database (`leads_to_partner`),
/// the same is done once more at the route's failover partner. Emits every decision into the trail as it is made, `login.answered` last. Each phase has the route's own
/// timeout, and the whole has `timeouts.login`, after which the Failure is `deadline`, at the step where that was. May be cancelled at any point.
Task<std::expected<Upstream, Failure>> open_upstream(UpstreamRequest request);

/// An SPN of the plan, and what the KDC gave for it.
struct Candidate {
  std::string spn;
  auth::TicketPtr ticket; ///< null: none
};

/// What a login would come to before it connects.
struct Rehearsal {
  std::optional<Failure> failure;    ///< nullopt: it would connect, with a ticket where it needs one
  std::size_t records = 0;           ///< of the trail, up to the point where that was decided: only these tell why
  std::vector<Candidate> candidates; ///< all of the plan, in its order
};
/// `open_upstream` up to connecting, by the same functions, for who wants to know and not to log in: connects to no server. Then asks the KDC for the plan's other SPN candidates
/// too, which a login would not come to, so that the trail shows what became of each.
Task<Rehearsal> rehearse(UpstreamRequest request);

/// The cause that an error of the ticket's exchange means, and that an error of the security context with the server means. Pure.
Cause cause_of_ticket_error(const TicketError &error);
Cause cause_of_context_error(auth::Kind kind);
/// The cause that a handshake with the server that failed means. Pure.
Cause cause_of_tls_fault(TlsFault fault);
/// What a channel binding to that TLS session holds ("tls-unique:" and the client's first Finished, RFC 5929 3); empty where it has none (TLS 1.3).
std::vector<std::uint8_t> channel_binding(const TlsFacts &facts);
/// The cause that the server's own refusal means, by its ERROR number. Pure.
Cause cause_of_server_error(std::uint32_t number);

} // namespace shim
