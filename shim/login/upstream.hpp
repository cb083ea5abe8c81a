// The server leg: from a route to a logged-in connection, or to the one failure that explains why not.
#pragma once

#include "shim/login/attempt.hpp"

namespace shim {

/// Resolve, plan, then for each attempt: ticket, connect, TLS, log in; and all of it again at each place that
/// a redirect leads to, within the bounds of shim/redirect. The port of a named instance is SQL Browser's to
/// tell; where a port that was kept leads nowhere, it is asked again, once. Where the target cannot be
/// reached, or has not got the database (`config::Onward`), the same is done once more at the route's
/// failover partner. Emits every decision into the trail as it is made, `login.answered` last. Each phase has
/// the route's own timeout, and the whole has `timeouts.login`, after which the Failure is `deadline`, at the
/// step where that was. May be cancelled at any point.
Task<std::expected<Upstream, Failure>> open_upstream(Login &login);

/// An SPN of the plan, and what the KDC gave for it.
struct Candidate {
  std::string spn;
  auth::TicketPtr ticket; ///< null: none
};

/// `open_upstream` up to the first attempt that would connect, by the same functions, for who wants to know
/// and not to log in: connects to no server. nullopt: it would connect, with a ticket where it needs one.
Task<std::optional<Failure>> rehearse(Login &login);

/// Behind one of the two above: all SPN candidates of the first place's plan, in its order. Asks the KDC for
/// those that the login has not come to, so that the trail shows what became of each.
Task<std::vector<Candidate>> every_candidate(Login &login);

} // namespace shim
