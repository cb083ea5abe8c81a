// [[route]].
#pragma once

#include "config/loading.hpp"

namespace config {

/// Adds one to the configuration. All listeners and identities are read before, and
/// the routes before this one.
void read_route(Section &section, Loading &loading);

} // namespace config
