#include "shim/plan.hpp"

namespace shim {

std::string Attempt::text() const { return config::to_string(kind) + (spn ? " " + spn->spn : ""); }

std::uint16_t port_of(const auth::Target &target) { return target.port.value_or(default_port); }

bool needs_browser(const auth::Target &target) { return !target.instance.empty() && !target.port; }

std::vector<Attempt> make_plan(const config::Route &route, const std::string &spn, const auth::NameFacts &facts,
                               const auth::KerberosConfig &kerberos, const auth::RealmFacts &realms,
                               bool client_is_integrated) {
  std::vector<Attempt> plan;
  for (auto kind : route.attempts) {
    if (kind == config::AttemptKind::tcp_sql) {
      if (!client_is_integrated) plan.push_back({kind, std::nullopt});
      continue;
    }
    for (auto &candidate : auth::spn_candidates(facts, port_of(facts.target), spn, kerberos, realms, route.spn_rules))
      plan.push_back({kind, std::move(candidate)});
  }
  return plan;
}

} // namespace shim
