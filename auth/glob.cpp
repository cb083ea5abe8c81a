#include "auth/glob.hpp"

namespace auth {

bool glob_match(std::string_view glob, std::string_view text) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  constexpr std::size_t none = std::string_view::npos;
  std::size_t g = 0, t = 0;
  std::size_t star = none, star_text = 0; // the last '*', and the text that it has not swallowed yet
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
    } else if (g < glob.size() && (glob[g] == '?' || lower(glob[g]) == lower(text[t]))) {
      ++g, ++t;
    } else if (star != none) {
      // An earlier '*' need not be tried again: whatever it could swallow, this one can.
      g = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*')
    ++g;
  return g == glob.size();
}

} // namespace auth
