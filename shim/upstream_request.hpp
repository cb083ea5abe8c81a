// What a login to the server is made of: what everything on its way gets.
#pragma once

#include "shim/browsers.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/identities.hpp"
#include "shim/log/log.hpp"
#include "shim/net/caller.hpp"
#include "shim/tickets.hpp"
#include "shim/tls_contexts.hpp"
#include "tds/accept_login.hpp"

namespace shim {

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
  Browsers &browsers;                       ///< where named instances were found
  bool trace;                               ///< libkrb5's trace into the trail
  const Caller *caller = nullptr;           ///< who asks, as proven: for an identity with from = "caller"
  std::optional<LoadedIdentity> given = {}; ///< set by the login itself: what it made of the client's own password
};

/// A step of it that failed.
inline std::unexpected<Failure> fail(std::string step, Cause cause, std::string detail) {
  return std::unexpected(Failure{std::move(step), cause, std::move(detail)});
}

} // namespace shim
