#include "auth/trace.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace auth {

namespace {

constexpr std::size_t shortest_dump = 16; // digits
constexpr std::size_t key_hash = 4;       // digits, of {keyblock} in libkrb5's trace formats

// libkrb5 writes bytes in capitals.
bool is_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; }

/// Whether `text` ends in "aes256-cts/" or the like.
bool ends_in_key_type(std::string_view text) {
  if (!text.ends_with('/')) return false;
  text.remove_suffix(1);
  std::size_t start = text.size();
  while (start > 0 && is_word(text[start - 1]))
    --start;
  const auto type = text.substr(start);
  constexpr std::array<std::string_view, 5> families{"aes", "camellia", "rc4", "arcfour", "des"};
  return type.contains('-') &&
         std::ranges::any_of(families, [type](std::string_view family) { return type.starts_with(family); });
}

} // namespace

std::string loggable_trace(std::string_view line) {
  while (line.ends_with('\n'))
    line.remove_suffix(1);
  std::string result;
  for (std::size_t at = 0; at < line.size();) {
    std::size_t end = at;
    while (end < line.size() && is_digit(line[end]))
      ++end;
    const std::size_t digits = end - at;
    const bool whole_word =
        (at == 0 || !is_word(line[at - 1])) && (end == line.size() || !is_word(line[end]));
    if (whole_word && digits >= shortest_dump) {
      result += "(" + std::to_string(digits / 2) + " bytes)";
    } else if (whole_word && digits == key_hash && ends_in_key_type(result)) {
      result.pop_back(); // the '/'
    } else {
      end = std::max(end, at + 1);
      result += line.substr(at, end - at);
    }
    at = end;
  }
  return result;
}

} // namespace auth
