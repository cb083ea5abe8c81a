// Users and groups as the configuration names them, looked up by number.
#pragma once

#include "config/value.hpp"

namespace config {

/// "self", a user's name, "@group", or digits (a uid). Asks the system's databases (blocking).
Parsed<Who> find_who(std::string_view text);
/// A uid written as a TOML integer.
Parsed<Who> find_who(std::int64_t uid);

} // namespace config
