// One login to a server: what everything on its way gets.
#pragma once

#include "shim/admission/caller.hpp"
#include "shim/admission/settings.hpp"
#include "shim/credentials/tickets.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/log/log.hpp"
#include "shim/login/place.hpp"
#include "shim/names/browsers.hpp"
#include "tds/accept_login.hpp"

namespace shim {

/// What logins learn from the world and share. Lives as long as the process; thread-safe.
struct Services {
  Tickets &tickets;
  Identities &identities;
  Browsers &browsers;
  bool trace = false; ///< libkrb5's trace into the trail
};

/// How far a login is to go.
enum class Until {
  would_connect, ///< up to the first attempt that would connect, with its ticket
  logged_in,
};

/// Whatever a client's own password has made is gone when its login ends, however that ends.
struct GivenCredentials {
  Tickets &tickets;
  std::optional<LoadedIdentity> loaded = {};

  explicit GivenCredentials(Tickets &all) : tickets(all) {}
  GivenCredentials(const GivenCredentials &) = delete;
  ~GivenCredentials() {
    if (loaded) tickets.discard(*loaded);
  }
};

/// One login. Lives in the coroutine that wants it; what it refers to outlives it.
struct Login {
  const Services &services;
  const Settings &settings;
  Resolver &resolver;
  const config::Route &route;
  const config::Identity *identity; ///< null: the route needs none
  const Caller *caller;             ///< who asks, as proven: for an identity with from = "caller"
  const tds::LoginRequest &asked;
  Trail &trail;
  Until until = Until::logged_in;

  Step step = Step::resolve; ///< where it is
  GivenCredentials given = GivenCredentials(services.tickets);
  std::shared_ptr<const Prepared> first = {}; ///< the first place for which there is a plan
  std::vector<std::optional<auth::TicketPtr>> tickets =
      {}; ///< of its attempts, as far as they were asked for

  /// The login ends here, or this attempt of it does.
  std::unexpected<Failure> fail(Cause cause, std::string detail) const {
    return std::unexpected(Failure{step, cause, std::move(detail)});
  }
  const config::Config &config() const { return *settings.config; }
  /// What a fetch of a ticket needs of this login.
  FetchContext fetching() {
    return {resolver,
            resolver.search(),
            route.timeouts.kdc,
            route.timeouts.dns,
            [this](Event event) { trail.emit(std::move(event)); },
            services.trace};
  }
};

} // namespace shim
