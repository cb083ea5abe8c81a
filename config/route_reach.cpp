#include "config/route_reach.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <ranges>
#include <unistd.h>

namespace config {
namespace {

/// True when everything that `b` matches is matched by `a` too. May miss a case, never claims one.
bool covers(const std::string &a, const std::string &b) {
  if (a.find_first_not_of('*') == std::string::npos) return true;
  const bool b_is_one_text = !b.empty() && b.find_first_of("*?") == std::string::npos;
  const auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  return b_is_one_text ? glob_match(a, b) : std::ranges::equal(a, b, same);
}
bool covers(const std::vector<Who> &a, const std::vector<Who> &b) {
  const auto listed = [&a](const Who &who) {
    return std::ranges::any_of(
        a, [&](const Who &w) { return w.self == who.self && w.uid == who.uid && w.gid == who.gid; });
  };
  return a.empty() || (!b.empty() && std::ranges::all_of(b, listed));
}
/// But for listeners, which are known one by one.
bool covers(const Match &a, const Match &b) {
  return covers(a.server, b.server) && covers(a.database, b.database) && covers(a.user, b.user) &&
         covers(a.app, b.app) && covers(a.caller, b.caller);
}

bool matches_listener(const Match &match, const Listener &listener) {
  return match.listener.empty() || glob_match(match.listener, listener.name);
}

/// True where the two lists certainly have no user in common. Who is in a group may change, so a group may
/// hold anybody. (An empty list is a problem of its own.)
bool are_apart(const std::vector<Who> &a, const std::vector<Who> &b) {
  const auto uid = [](const Who &who) { return who.self ? ::getuid() : *who.uid; };
  const auto may_be_one = [&](const Who &x, const Who &y) { return x.gid || y.gid || uid(x) == uid(y); };
  return !a.empty() && !b.empty() && std::ranges::none_of(a, [&](const Who &x) {
    return std::ranges::any_of(b, [&](const Who &y) { return may_be_one(x, y); });
  });
}

bool covers_listeners(const Match &a, const Match &b, const Loading &loading) {
  return std::ranges::all_of(loading.config.listeners, [&](const Listener &listener) {
    return matches_listener(a, listener) || !matches_listener(b, listener);
  });
}

} // namespace

bool check_shadowed(Section &section, const Route &route, const Loading &loading) {
  for (std::size_t i = 0; i < loading.config.routes.size(); ++i) {
    const Route &before = loading.config.routes[i];
    if (!covers_listeners(before.match, route.match, loading) || !covers(before.match, route.match)) continue;
    section.warning(
        "",
        fmt::format("is never reached: route[{}] (\"{}\") stands before it and matches all that it matches; "
                    "put it first, or give it a narrower match",
                    i, before.name));
    return true;
  }
  return false;
}

void check_usable(Section &section, const Route &route, const Loading &loading) {
  std::vector<const Listener *> listeners;
  for (const Listener &listener : loading.config.listeners)
    if (matches_listener(route.match, listener)) listeners.push_back(&listener);
  if (listeners.empty()) return; // that is said already
  const std::string names =
      fmt::format("{}", fmt::join(listeners | std::views::transform(&Listener::name), ", "));
  const std::string who_is_self = fmt::format("(\"self\" is uid {} here)", ::getuid());

  const bool passwords_only =
      std::ranges::all_of(route.attempts, [](AttemptKind kind) { return kind.mechanism == Mechanism::sql; });
  if (passwords_only && !route.attempts.empty() && std::ranges::all_of(listeners, [](const Listener *l) {
        return l->client_auth == ClientAuth::integrated;
      }))
    section.warning(
        "attempts",
        fmt::format(
            "can never be made: tcp+sql sends on the client's user and password, and listener {} takes "
            "integrated logins only; change its client_auth",
            names));

  const Identity *identity = loading.config.find_identity(route.identity);
  if (identity && identity->kind == IdentityKind::client &&
      std::ranges::all_of(listeners,
                          [](const Listener *l) { return l->client_auth == ClientAuth::integrated; }))
    section.warning("identity",
                    fmt::format("can never log in: \"{}\" takes the client's user and password, and listener "
                                "{} takes integrated logins only; change its client_auth",
                                identity->name, names));

  // Who can get here: those that the match names, if the listeners let any of them in.
  std::vector<Who> callers;
  for (const Listener *listener : listeners)
    callers.insert(callers.end(), listener->callers.begin(), listener->callers.end());
  if (!route.match.caller.empty()) {
    if (are_apart(route.match.caller, callers))
      return section.warning(
          "match",
          fmt::format(
              "can never match: listener {} admits none of the users in match.caller {}; add them to its "
              "callers",
              names, who_is_self));
    callers = route.match.caller;
  }
  if (identity && are_apart(callers, identity->allow))
    section.warning(
        "identity",
        fmt::format(
            "nobody who can come here may use \"{}\" {}, so every login will be refused; add the callers to "
            "its allow",
            identity->name, who_is_self));
}

std::size_t listeners_matched(std::string_view glob, const Loading &loading) {
  return static_cast<std::size_t>(std::ranges::count_if(
      loading.config.listeners, [&](const Listener &listener) { return glob_match(glob, listener.name); }));
}

void check_reachable(Loading &loading) {
  for (const Listener &listener : loading.config.listeners) {
    const auto leads_here = [&](const Route &route) { return matches_listener(route.match, listener); };
    const auto where = loading.listener_names.find(listener.name);
    if (where == loading.listener_names.end() || loading.config.routes.empty() ||
        std::ranges::any_of(loading.config.routes, leads_here))
      continue;
    loading.report.warning(
        where->second.place, where->second.table,
        fmt::format("no route takes logins from listener \"{}\": all will be refused", listener.name));
  }
}

} // namespace config
