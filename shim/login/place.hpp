// Where a login is tried, and what is known of it before the first attempt there. Values.
#pragma once

#include "shim/credentials/identities.hpp"
#include "shim/login/plan.hpp"

namespace shim {

/// The route's own target, its failover partner, or wherever redirects have led the login.
struct Place {
  auth::Target target;  ///< as typed, as the server named it, or what that is an alias for
  int redirects = 0;    ///< that led here
  bool partner = false; ///< the route's failover partner, or where it sent us
  /// The route's own target: its explicit SPN and its `host_name_in_certificate` hold here, and nowhere else.
  bool own() const { return redirects == 0 && !partner; }
  const std::string &spn(const config::Route &route) const {
    static const std::string none;
    return own() ? route.spn : none;
  }
};

/// Who says at which port an instance is: the configuration (also of what is no named instance),
/// SQL Browser in this login, SQL Browser for an earlier one.
enum class PortFrom { configuration, browser, kept };

/// What is known before the first attempt at one place.
struct Prepared {
  Place place;
  std::optional<LoadedIdentity> identity;
  auth::NameFacts facts; ///< its target has the port where the server is
  PortFrom port_from = PortFrom::configuration;
  std::vector<Attempt> plan; ///< not empty: policy lets nobody in whom every attempt leaves out
};

} // namespace shim
