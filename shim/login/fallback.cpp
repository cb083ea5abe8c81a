#include "shim/login/fallback.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace shim {

Onward what_follows(const config::Route &route, std::span<const Attempt> plan, const Met &met) {
  const auto kind = plan[met.attempt].kind;
  std::size_t next = met.attempt + 1;
  if (met.cause == Cause::spn_missing && next < plan.size() && plan[next].kind == kind)
    return {Follows::another_spn, next, ""};
  while (next < plan.size() && plan[next].kind == kind)
    ++next;
  if (next == plan.size()) return {};

  const auto withheld = [&](std::string reason) {
    return Onward{Follows::withheld, next, std::move(reason)};
  };
  for (const auto cause : {met.diagnosed, met.cause})
    if (const auto never = entry(cause).never; !never.empty())
      return withheld(fmt::format("never after {}: {}", id(cause), never));
  if (met.ticket_rejected) return withheld("never after a ticket that the server rejected");
  const auto listed = [&](Cause cause) {
    return std::ranges::find(route.fallback_on, cause) != route.fallback_on.end();
  };
  if (!listed(met.cause) && !listed(met.diagnosed))
    return withheld(fmt::format("fallback_on does not list {}", id(met.diagnosed)));
  const auto &by = id(listed(met.diagnosed) ? met.diagnosed : met.cause);
  switch (route.fallback) {
  case config::Fallback::on:
    return {Follows::fallback, next, fmt::format("fallback_on lists {}", by)};
  case config::Fallback::audit:
    return withheld(fmt::format("fallback_on lists {}, and fallback is \"audit\"", by));
  case config::Fallback::off:
    break;
  }
  return withheld("fallback is \"off\"");
}

} // namespace shim
