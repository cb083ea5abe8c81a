// [[identity]].
#pragma once

#include "config/loading.hpp"

namespace config {

/// Adds one to the configuration. [domains] is read before.
void read_identity(Section &section, Loading &loading);

} // namespace config
