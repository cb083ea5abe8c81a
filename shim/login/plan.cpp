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

std::optional<std::string> leads_too_far(const config::Route &route, const auth::NameFacts &facts) {
  if (route.canonical_within.empty() || facts.by == auth::Procedure::map) return std::nullopt;
  if (facts.canonical == auth::plain_name(facts.target.host)) return std::nullopt;
  if (std::ranges::any_of(route.canonical_within,
                          [&](const std::string &domain) { return auth::is_below(facts.canonical, domain); }))
    return std::nullopt;
  return fmt::format("DNS leads {} to {} (by {}), which is not below {}", facts.target.typed, facts.canonical,
                     facts.by_text(), fmt::join(route.canonical_within, " or "));
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
    if (kind == config::AttemptKind::tcp_sql) {
      if (!client_is_integrated) plan.push_back({kind, std::nullopt});
      continue;
    }
    if (kind == config::AttemptKind::tcp_ntlm) {
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
