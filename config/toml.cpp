#include "config/toml.hpp"

#include <algorithm>
#include <optional>

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

/// Where a name has more parts ("a.b.c") than any of ours; toml++ would go as deep as it has, and crash. Dots
/// of strings and comments are none.
std::optional<Place> deep_name(std::string_view text) {
  constexpr int most_parts = 64;
  constexpr std::string_view ends = "=,[]{}\n";
  int dots = 0, line = 1;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size()) - 1;
      continue;
    }
    if (c == '"' || c == '\'') {
      const std::string three(3, c);
      const bool lines = text.substr(at).starts_with(three);
      const std::size_t from = at + (lines ? 3 : 1);
      std::size_t end = from;
      while (end < text.size() &&
             (lines ? !text.substr(end).starts_with(three) : text[end] != c && text[end] != '\n'))
        end += c == '"' && text[end] == '\\' ? 2 : 1;
      end = std::min(end, text.size());
      line += static_cast<int>(std::ranges::count(text.substr(at, end - at), '\n'));
      at = lines ? end + 2 : end < text.size() && text[end] == '\n' ? end - 1 : end;
      continue;
    }
    if (c == '\n') ++line;
    if (ends.contains(c)) dots = 0;
    if (c == '.' && ++dots >= most_parts) return Place{line, 1};
  }
  return std::nullopt;
}

} // namespace

std::expected<toml::table, SyntaxError> parse_toml(std::string_view text) {
  if (const auto place = deep_name(text))
    return std::unexpected(SyntaxError{*place, "a name has more than 64 parts"});
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
