#include "auth/spn.hpp"

#include "auth/host_name.hpp"

namespace auth {

std::string_view to_string(Why why) {
  switch (why) {
  case Why::explicit_spn:
    return "explicit";
  case Why::port:
    return "port";
  }
  return "explicit";
}

std::string spn_realm(std::string_view spn) {
  const auto at = spn.rfind('@');
  return at == std::string_view::npos ? std::string() : std::string(spn.substr(at + 1));
}

std::string spn_host(std::string_view spn) {
  spn = spn.substr(0, spn.rfind('@'));
  const auto slash = spn.find('/');
  if (slash == std::string_view::npos) return {};
  std::string_view host = spn.substr(slash + 1);
  host = host.substr(0, host.find('/'));
  // What follows the last colon is a port or an instance, unless all of it is an IPv6 address. "::1:1433" is both: as a candidate
  // of ours always carries its port, the shorter reading wins.
  const auto colon = host.rfind(':');
  if (colon == std::string_view::npos) return std::string(host);
  const std::string_view before = host.substr(0, colon);
  if (before.find(':') == std::string_view::npos || !normal_address(before).empty()) return std::string(before);
  return std::string(host);
}

std::vector<SpnCandidate> spn_candidates(const NameFacts &facts, std::uint16_t port, const std::string &explicit_spn,
                                         const KerberosConfig &config, const std::string &identity_realm) {
  const bool given = !explicit_spn.empty();
  SpnCandidate candidate{.spn = given ? explicit_spn : "MSSQLSvc/" + facts.canonical + ":" + std::to_string(port),
                         .why = given ? Why::explicit_spn : Why::port,
                         .realm_from = {}};
  if (given && candidate.spn.ends_with('@')) candidate.spn.pop_back();
  if (given && !spn_realm(candidate.spn).empty()) {
    candidate.realm_from = "explicit";
    return {candidate};
  }

  std::string realm = config.realm_of(given ? spn_host(candidate.spn) : facts.canonical);
  candidate.realm_from = "domain-realm";
  if (realm.empty()) {
    realm = identity_realm;
    candidate.realm_from = "identity";
  }
  if (realm.empty()) return {};
  candidate.spn += "@" + realm;
  return {candidate};
}

} // namespace auth
