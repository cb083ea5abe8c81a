// What a login to the server is made of: what everything on its way gets.
#pragma once

#include "shim/admission/caller.hpp"
#include "shim/credentials/identities.hpp"
#include "shim/credentials/tickets.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/log/log.hpp"
#include "shim/names/browsers.hpp"
#include "shim/transport/tls_contexts.hpp"
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
  Browsers &browsers;             ///< where named instances were found
  bool trace;                     ///< libkrb5's trace into the trail
  const Caller *caller = nullptr; ///< who asks, as proven: for an identity with from = "caller"
  std::optional<LoadedIdentity> given =
      {}; ///< set by the login itself: what it made of the client's own password
};

/// A step of it that failed.
inline std::unexpected<Failure> fail(Step step, Cause cause, std::string detail) {
  return std::unexpected(Failure{step, cause, std::move(detail)});
}

} // namespace shim
