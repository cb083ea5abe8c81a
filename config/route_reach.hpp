// What holds between routes, listeners and identities: who comes to a route, and whether any login can
// succeed there. Only warnings, and only of what is certain.
#pragma once

#include "config/loading.hpp"

namespace config {

/// The first route that matches counts: one behind it that matches nothing more is never
/// reached. Whether it is so.
bool check_shadowed(Section &section, const Route &route, const Loading &loading);
/// A route that is found, and where every login must fail all the same.
void check_usable(Section &section, const Route &route, const Loading &loading);
/// Listeners that no route takes logins from.
void check_reachable(Loading &loading);

/// How many listeners have a name like that.
std::size_t listeners_matched(std::string_view glob, const Loading &loading);

} // namespace config
