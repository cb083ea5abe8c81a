// Which route a login takes, and whether its caller may. Pure functions over the configuration, the proven
// caller and what the client asked.
#pragma once

#include "config/config.hpp"
#include "shim/admission/caller.hpp"
#include "shim/log/event.hpp"
#include "shim/log/words.hpp"
#include "tds/accept_login.hpp"

namespace shim {

/// What routing looks at. `listener` and `caller` are proven; the rest the client has typed: hints that
/// choose a route, and never widen what a caller reaches.
struct Request {
  std::string listener;
  const Caller *caller = nullptr;
  std::string server, database, user, app;
  bool integrated = false; ///< the client asks for integrated login itself
  bool fedauth = false;
};
Request make_request(const std::string &listener, const Caller &caller, const tds::Login7 &login);
/// The same login as the decision log tells it.
LoginReceived to_event(const tds::Login7 &login);

/// Allowed: `route` is set, `identity` too unless the route needs none. Denied: `cause` is. `rule` is the
/// configuration entry that decided.
struct Decision {
  const config::Route *route = nullptr;
  const config::Identity *identity = nullptr;
  std::optional<Cause> denied;
  std::string rule;
  std::string reason;
};

/// True when the list names the caller: by "self" (the uid that sqlshim runs as), uid, or
/// one of the caller's groups.
bool names(const std::vector<config::Who> &list, const Caller &caller, uid_t self);

/// Whether every attempt of the route sends the client's own user and password on, so that no login
/// without them can take it.
bool only_sends_clients_password(const config::Route &route);

/// Before a byte is read: may this caller use the listener at all?
Decision admit(const config::Listener &listener, const Caller &caller, uid_t self);
/// After LOGIN7. The first route that matches counts; then the identity's own `allow` list has the last word.
Decision decide(const config::Config &config, const config::Listener &listener, const Request &request,
                uid_t self);
/// What `decide` does with the route that it has found: may this caller log in with its identity? `reason` is
/// left to who chose the route.
Decision take_route(const config::Config &config, const config::Route &route, const Caller &caller,
                    uid_t self);

} // namespace shim
