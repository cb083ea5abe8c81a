// [[listener]], and [browser], which tells listeners' ports.
#pragma once

#include "config/loading.hpp"

namespace config {

/// Adds one to the configuration. [state] is read before.
void read_listener(Section &section, Loading &loading);
/// All listeners are read before.
void read_browser(Section &section, Loading &loading);

} // namespace config
