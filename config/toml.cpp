#include "config/toml.hpp"

namespace config {

namespace {

/// The first "[" or "[[" at a line's beginning that no name follows: what toml++ asserts
/// about, without saying where.
Place odd_header(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  constexpr std::string_view name_begins =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-\"']";
  for (Place place{1, 1}; !text.empty(); ++place.line) {
    const std::string_view line = text.substr(0, text.find('\n'));
    std::size_t at = std::min(line.find_first_not_of(blanks), line.size());
    const std::size_t open = at;
    while (at < line.size() && at < open + 2 && line[at] == '[')
      ++at;
    const std::size_t name = line.find_first_not_of(blanks, at);
    if (at > open && name != std::string_view::npos && name_begins.find(line[name]) == std::string_view::npos)
      return {place.line, static_cast<int>(name) + 1};
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return {};
}

} // namespace

std::expected<toml::table, SyntaxError> parse_toml(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error &error) {
    return std::unexpected(SyntaxError{Place::of(error.source()), std::string(error.description())});
  } catch (const TomlAssertion &) {
    return std::unexpected(
        SyntaxError{odd_header(text), "a table's name must follow the bracket, as in [log] or [[route]]"});
  }
}

} // namespace config
