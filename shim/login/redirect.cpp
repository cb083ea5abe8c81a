#include "shim/login/redirect.hpp"

#include "auth/host_name.hpp"
#include "auth/name.hpp"
#include "shim/login/plan.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace shim {
namespace {

bool is_below_one(const std::string &name, const std::vector<std::string> &domains) {
  return std::ranges::any_of(
      domains, [&](const std::string &domain) { return auth::is_below(name, auth::plain_name(domain)); });
}

/// What a name may turn out to be: itself, or each completion.
std::vector<std::string> full_names(const auth::Target &target, const std::vector<std::string> &search) {
  const auto host = auth::plain_name(target.host);
  if (target.is_address || host.contains('.') || search.empty()) return {host};
  std::vector<std::string> names;
  for (const auto &suffix : search)
    names.push_back(host + "." + auth::plain_name(suffix));
  return names;
}

} // namespace

std::string place(const auth::Target &target) {
  return fmt::format("{},{}", auth::plain_name(target.host), port_of(target));
}

std::vector<std::string> redirect_domains(const config::Route &route, const auth::Target &first,
                                          const std::vector<std::string> &search) {
  if (!route.redirect_within.empty()) return route.redirect_within;
  if (first.is_address) return {};
  std::vector<std::string> domains;
  for (const auto &name : full_names(first, search))
    if (const auto dot = name.find('.'); dot != std::string::npos) domains.push_back(name.substr(dot + 1));
  return domains;
}

std::expected<auth::Target, std::string> follow_redirect(const config::Route &route,
                                                         const auth::Target &first,
                                                         const std::vector<std::string> &search,
                                                         const RedirectAsked &asked) {
  const auto to = fmt::format("{},{}", asked.server, asked.port);
  auto no = [&](std::string why) {
    return std::unexpected(fmt::format("the server sends the login on to {}, {}", to, why));
  };
  if (!asked.server_proven)
    return no("before it has proven who it is (neither mutual authentication nor a verified certificate)");
  if (asked.hop > most_redirects)
    return no(fmt::format("which is one redirect more than the {} that are followed", most_redirects));
  auto target = auth::parse_target(to);
  if (!target) return no("which is no server: " + target.error());
  if (asked.port == 0) return no("without a port");
  if (std::ranges::find(asked.been_to, place(*target)) != asked.been_to.end())
    return no("where it has been already");

  if (asked.password_goes_on && route.redirect_within.empty())
    return no("and the client's password would go there: that needs redirect_within");
  const auto domains = redirect_domains(route, first, search);
  const auto names = full_names(*target, search);
  if (!std::ranges::all_of(names, [&](const std::string &name) { return is_below_one(name, domains); }))
    return no(domains.empty() ? std::string("and no redirect_within says where it may")
                              : fmt::format("which is not below {}", fmt::join(domains, " or ")));
  return *target;
}

} // namespace shim
