#include "shim/login/plan.hpp"

#include "auth/host_name.hpp"
#include "config/value.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace shim {

std::string Attempt::text() const { return config::to_string(kind) + (spn ? " " + spn->spn : ""); }

std::uint16_t port_of(const auth::Target &target) {
  return target.port.value_or(target.pipe.empty() ? default_port : smb_port);
}

bool needs_browser(const auth::Target &target) {
  return target.pipe.empty() && !target.instance.empty() && !target.port;
}

std::vector<std::string> first_addresses(std::vector<std::string> addresses, std::size_t most) {
  if (addresses.size() <= most) return addresses;
  std::vector<std::string> fours, sixes;
  for (auto &address : addresses)
    (address.contains(':') ? sixes : fours).push_back(std::move(address));
  const auto kept_sixes = std::min(sixes.size(), std::max(most / 2, most - std::min(most, fours.size())));
  fours.resize(most - kept_sixes);
  sixes.resize(kept_sixes);
  std::ranges::move(sixes, std::back_inserter(fours));
  return fours;
}

namespace {

/// Whether a certificate has to prove the server while the connection lasts, not for its login only.
bool lasting_tls(const config::Route &route) {
  return route.verified_tls() && route.encrypt != config::Encrypt::login;
}

/// The domain of the name that DNS was asked for; none of an address, and of a name without a dot.
std::vector<std::string> own_domain(const auth::NameFacts &facts) {
  if (facts.target.is_address) return {};
  const auto asked = auth::plain_name(facts.chain.empty() ? facts.target.host : facts.chain.front());
  const auto dot = asked.find('.');
  return dot == asked.npos ? std::vector<std::string>{} : std::vector{asked.substr(dot + 1)};
}

} // namespace

std::optional<std::string> leads_too_far(const config::Route &route, const auth::NameFacts &facts) {
  if (facts.by == auth::Procedure::map) return std::nullopt;
  if (facts.canonical == auth::plain_name(facts.target.host)) return std::nullopt;
  const bool by_file = facts.via == "hosts" && !facts.chain.empty() && facts.canonical == facts.forward();
  const bool by_default = route.canonical_within.empty();
  if (by_default && (lasting_tls(route) || by_file)) return std::nullopt;
  const auto domains = by_default ? own_domain(facts) : route.canonical_within;
  if (std::ranges::any_of(domains,
                          [&](const std::string &domain) { return auth::is_below(facts.canonical, domain); }))
    return std::nullopt;
  const auto leads =
      fmt::format("DNS leads {} to {} (by {})", facts.target.typed, facts.canonical, facts.by_text());
  if (!by_default) return fmt::format("{}, which is not below {}", leads, fmt::join(domains, " or "));
  return fmt::format("{}, which is not in the target's own domain; where no certificate is checked, that "
                     "needs canonical_within",
                     leads);
}

std::string service_name(const std::string &spn, const auth::NameFacts &facts) {
  if (!spn.empty()) return spn.substr(0, spn.find('@'));
  return fmt::format("MSSQLSvc/{}:{}", facts.canonical, port_of(facts.target));
}

std::string ntlm_account(const std::string &principal, const std::map<std::string, std::string> &domains) {
  auto account = config::windows_account(principal, domains);
  if (!account.empty()) return account;
  const auto at = principal.rfind('@');
  return at == principal.npos ? principal : principal.substr(at + 1) + "\\" + principal.substr(0, at);
}

std::vector<Attempt> make_plan(const config::Route &route, const std::string &spn,
                               const auth::NameFacts &facts, const auth::KerberosConfig &kerberos,
                               const auth::RealmFacts &realms, bool client_is_integrated) {
  std::vector<Attempt> plan;
  for (auto kind : route.attempts) {
    if (kind.mechanism == config::Mechanism::sql) {
      if (!client_is_integrated) plan.push_back({kind, std::nullopt});
      continue;
    }
    if (kind.mechanism == config::Mechanism::ntlm) {
      plan.push_back({kind, std::nullopt});
      continue;
    }
    auto candidates =
        auth::spn_candidates(facts, port_of(facts.target), spn, kerberos, realms, route.spn_rules);
    if (candidates.empty()) plan.push_back({kind, std::nullopt});
    for (auto &candidate : candidates)
      plan.push_back({kind, std::move(candidate)});
  }
  return plan;
}

} // namespace shim
