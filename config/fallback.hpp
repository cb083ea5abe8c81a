// After which causes a route may go on to its next attempt. The causes themselves are shim's; here stands
// what a configuration may say of them.
#pragma once

#include <span>
#include <string_view>

namespace config {

/// `never` empty: a route may list it in fallback_on. Else why no list makes it lead to another attempt, as
/// the end of a sentence: "the server …".
struct FallbackRule {
  std::string_view cause; ///< its id: "spn-missing"
  std::string_view never;
};

/// Every cause of the catalogue, once. The principle: an attempt that could not be made may be followed by
/// another; one that a server, or whoever answered as the server, has met, one that another try would harm,
/// and one that policy forbids, may not.
std::span<const FallbackRule> fallback_rules();
/// nullptr: there is no such cause.
const FallbackRule *find_fallback_rule(std::string_view cause);

} // namespace config
