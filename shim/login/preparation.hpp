// What is known before the first attempt at one place: credentials, name and addresses, port, plan.
#pragma once

#include "shim/login/login.hpp"

namespace shim {

/// Where to connect to: its addresses, each with the target's port.
std::vector<asio::ip::tcp::endpoint> endpoints_of(const auth::NameFacts &facts);

/// The route's target, or what that is an alias for.
std::expected<Place, Failure> first_place(Login &login);
/// The route's failover partner, where `failure` of its target leads there.
std::optional<Place> partner_of(Login &login, const Place &place, const Failure &failure);

/// Whether SQL Browser was asked for the port of the place in this login already.
enum class Browsed { not_yet, already };

/// Takes the identity, resolves the name, asks SQL Browser for a port where the target is a named instance,
/// and plans; each with its events. Within the route's timeouts for DNS and KDC.
Task<std::expected<Prepared, Failure>> prepare(Login &login, Place place, Browsed browsed);

/// Asks SQL Browser again. Whether the instance listens at another port than `prepared` has.
Task<bool> is_elsewhere(Login &login, const Prepared &prepared);

} // namespace shim
