// Patterns over names. Pure.
#pragma once

#include <string_view>

namespace auth {

/// True when `text` matches `glob`: '*' any run, '?' one character, ASCII case ignored. Linear in text
/// times glob, never recursive.
bool glob_match(std::string_view glob, std::string_view text);

} // namespace auth
