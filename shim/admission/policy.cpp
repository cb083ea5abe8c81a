#include "shim/admission/policy.hpp"

#include "tds/sspi.hpp"

#include <algorithm>

namespace shim {
namespace {

Decision deny(Cause cause, std::string rule, std::string reason) {
  Decision decision;
  decision.denied = cause;
  decision.rule = std::move(rule);
  decision.reason = std::move(reason);
  return decision;
}

/// Why a rule by group may have missed a caller; nothing where it cannot.
std::string groups_text(const Caller &caller) {
  return caller.groups_known
             ? ""
             : " (the user database did not tell this user's groups in time, so no rule by group holds)";
}
std::string who_text(const Caller &caller) {
  return caller.user + " (uid " + std::to_string(caller.uid) + ")";
}

bool matches(const config::Match &match, const Request &request, uid_t self) {
  auto glob = [](const std::string &pattern, const std::string &text) {
    return pattern.empty() || config::glob_match(pattern, text);
  };
  return glob(match.listener, request.listener) &&
         (match.caller.empty() || names(match.caller, *request.caller, self)) &&
         glob(match.server, request.server) && glob(match.database, request.database) &&
         glob(match.user, request.user) && glob(match.app, request.app);
}

} // namespace

Request make_request(const std::string &listener, const Caller &caller, const tds::Login7 &login) {
  Request request;
  request.listener = listener;
  request.caller = &caller;
  request.server = tds::to_utf8(login.server_name);
  request.database = tds::to_utf8(login.database);
  request.user = tds::to_utf8(login.user_name);
  request.app = tds::to_utf8(login.app_name);
  request.integrated = login.integrated_security();
  request.fedauth = login.find(tds::FeatureId::fedauth) != nullptr;
  return request;
}

LoginReceived to_event(const tds::Login7 &login) {
  LoginReceived event;
  event.tds = login.tds_version.text();
  event.server = tds::to_utf8(login.server_name);
  event.database = tds::to_utf8(login.database);
  event.user = tds::to_utf8(login.user_name);
  event.app = tds::to_utf8(login.app_name);
  event.host = tds::to_utf8(login.host_name);
  event.pid = login.client_pid;
  event.packet_size = login.packet_size;
  event.auth = login.integrated_security() ? LoginKind::integrated : LoginKind::sql;
  event.mechanism = tds::to_string(tds::recognise(login.sspi));
  event.size = login.sspi.size();
  for (const auto &feature : login.features)
    event.features.push_back(std::to_string(static_cast<int>(feature.id)));
  return event;
}

bool only_sends_clients_password(const config::Route &route) {
  return std::ranges::all_of(route.attempts,
                             [](auto kind) { return kind.mechanism == config::Mechanism::sql; });
}

bool names(const std::vector<config::Who> &list, const Caller &caller, uid_t self) {
  return std::ranges::any_of(list, [&](const config::Who &who) {
    if (who.self && caller.uid == self) return true;
    if (who.uid && *who.uid == caller.uid) return true;
    return who.gid && std::ranges::find(caller.groups, *who.gid) != caller.groups.end();
  });
}

Decision admit(const config::Listener &listener, const Caller &caller, uid_t self) {
  Decision decision;
  decision.rule = "listener " + listener.name + " callers";
  if (!names(listener.callers, caller, self))
    return deny(Cause::caller_denied, decision.rule,
                who_text(caller) + " is not among the callers of this listener" + groups_text(caller));
  decision.reason = "caller admitted";
  return decision;
}

Decision decide(const config::Config &config, const config::Listener &listener, const Request &request,
                uid_t self) {
  std::string client_rule = "listener " + listener.name + " client_auth";
  if (request.fedauth)
    return deny(Cause::fedauth_not_supported, "built in", "the client asks for federated authentication");
  if (request.integrated && listener.client_auth == config::ClientAuth::sql)
    return deny(
        Cause::client_auth_refused, client_rule,
        "the listener takes logins with user and password only, and the client asks for integrated login");
  if (!request.integrated && listener.client_auth == config::ClientAuth::integrated)
    return deny(Cause::client_auth_refused, client_rule,
                "the listener takes integrated logins only, and the client sends user and password");

  auto route = std::ranges::find_if(
      config.routes, [&](const config::Route &candidate) { return matches(candidate.match, request, self); });
  if (route == config.routes.end())
    return deny(Cause::route_denied, "no route",
                "no route matches this login" + groups_text(*request.caller));

  std::string rule = "route " + route->name;
  if (request.integrated && only_sends_clients_password(*route))
    return deny(
        Cause::client_auth_refused, rule,
        "the route sends the client's own user and password on, and the client gave none (it asks for integrated login)");

  auto decision = take_route(config, *route, *request.caller, self);
  if (!decision.denied) decision.reason = "first route that matches";
  return decision;
}

Decision take_route(const config::Config &config, const config::Route &route, const Caller &caller,
                    uid_t self) {
  Decision decision;
  decision.route = &route;
  decision.rule = "route " + route.name;
  if (route.identity.empty()) return decision;
  const config::Identity *identity = config.find_identity(route.identity);
  if (!identity)
    return deny(Cause::identity_denied, decision.rule, "identity " + route.identity + " is not configured");
  decision.identity = identity;
  if (names(identity->allow, caller, self)) return decision;
  auto denied = deny(Cause::identity_denied, "identity " + identity->name + " allow",
                     who_text(caller) + " may not use identity " + identity->name + groups_text(caller));
  denied.route = &route;
  denied.identity = identity;
  return denied;
}

} // namespace shim
