// toml++ as we use it: included here and nowhere else, with the settings that it needs.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace config {

/// toml++ 3.3.0 checks some of its own preconditions by assertion alone: "[[[" or "[=]" in a file ends a debug build, and in a release build
/// lets the optimiser assume what is not so (https://github.com/marzer/tomlplusplus/pull/301). So its assertions throw, in every build.
struct TomlAssertion {};
[[noreturn]] inline void toml_assertion_failed() { throw TomlAssertion{}; }

} // namespace config

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::config::toml_assertion_failed())
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace config {

/// Where something stands in the file, both from 1; 0: nowhere.
struct Place {
  int line = 0, column = 0;
  static Place of(const toml::source_region &region) {
    return {static_cast<int>(region.begin.line), static_cast<int>(region.begin.column)};
  }
  bool operator==(const Place &) const = default;
};

struct SyntaxError {
  Place place;
  std::string what;
};
std::expected<toml::table, SyntaxError> parse_toml(std::string_view text);

} // namespace config
