// The effective configuration as TOML: every key, defaults included.
#pragma once

#include "config/config.hpp"

namespace config {

/// The configuration as a file that loads to the same one from any folder: paths are absolute, what came from
/// resolv.conf or the environment is written out, and users and groups have their numbers beside them in a
/// comment ("self" has `self`). Pure. No secret is in a configuration, so none is here.
std::string show(const Config &config, uid_t self);

} // namespace config
