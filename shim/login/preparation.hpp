// What is known before the first attempt at one place: credentials, name and addresses, port, plan.
#pragma once

#include "shim/login/plan.hpp"
#include "shim/login/upstream_request.hpp"

namespace shim {

/// Where a login is being tried: the route's own target, then wherever redirects have led it.
struct Hop {
  int number = 0;
  auth::Target target;
  std::string spn;      ///< the route's explicit one, which holds for its own target alone
  bool partner = false; ///< the route's failover partner, or where it sent us
};

/// Who says at which port an instance is: the configuration (also of what is no named instance), SQL Browser
/// just now, SQL Browser for an earlier login.
enum class PortFrom { configuration, browser, kept };

/// What is known before the first attempt at one place.
struct Prepared {
  Hop hop;
  std::optional<LoadedIdentity> identity;
  auth::NameFacts facts;
  PortFrom port_from = PortFrom::configuration;
  std::vector<Attempt> plan; ///< not empty: policy lets nobody in whom every attempt leaves out
};

/// Where to connect to: its addresses, each with the target's port.
std::vector<asio::ip::tcp::endpoint> endpoints_of(const auth::NameFacts &facts);

/// The route's target, or what that is an alias for.
std::expected<Hop, Failure> first_hop(UpstreamRequest &request);
/// The route's failover partner, where `failure` of its target leads there.
std::optional<Hop> partner_of(UpstreamRequest &request, const Hop &hop, const Failure &failure);

/// Takes the identity, resolves the name, asks SQL Browser for a port where the target is a named instance,
/// and plans; each with its events. `step` is where it is. Within the route's timeouts for DNS and KDC.
Task<std::expected<Prepared, Failure>> prepare(UpstreamRequest &request, Hop hop, Step &step);

/// Forgets the instance's port after a failure by `cause`, and asks SQL Browser again where it was a kept
/// one. Whether the instance is elsewhere.
Task<bool> has_moved(UpstreamRequest &request, Prepared &prepared, Cause cause, Step &step);

} // namespace shim
