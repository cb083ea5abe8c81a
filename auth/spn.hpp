// SPN candidates: which service principal names are worth asking the KDC for, in which order, and why. Pure.
#pragma once

#include "auth/kerberos_config.hpp"
#include "auth/name.hpp"

namespace auth {

/// Why a candidate is one: stable spellings for log and configuration.
enum class Why { explicit_spn, port };
std::string_view to_string(Why why); ///< "explicit", "port"

struct SpnCandidate {
  std::string spn; ///< with realm: "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
  Why why{};
  std::string realm_from; ///< "explicit", "domain-realm", "identity"
  bool operator==(const SpnCandidate &) const = default;
};

/// Candidates for a server: the explicit SPN alone where the route has one (its own @REALM, else the realm of its host), else
/// MSSQLSvc/canonical:port. Realm by domain_realm, else `identity_realm`. Empty when no realm can be told: cause realm-unknown.
std::vector<SpnCandidate> spn_candidates(const NameFacts &facts, std::uint16_t port, const std::string &explicit_spn,
                                         const KerberosConfig &config, const std::string &identity_realm);

/// Host part of an SPN: "sql1.corp.test" of "MSSQLSvc/sql1.corp.test:1433@CORP.TEST". Realm part: after the last '@', or empty.
std::string spn_host(std::string_view spn);
std::string spn_realm(std::string_view spn);

} // namespace auth
