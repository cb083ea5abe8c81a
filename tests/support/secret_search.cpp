#include "tests/support/secret_search.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <stdexcept>

namespace test {

namespace {

constexpr std::size_t shortest = 6;
constexpr std::size_t longest_whole = 32; // longer ones are looked for in parts
constexpr std::size_t part_size = 16;
constexpr auto replacement = "\xEF\xBF\xBD"; // U+FFFD

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

/// Text, or too uniform to be anybody's in particular.
bool says_nothing(const std::string &part) {
  const auto readable =
      std::ranges::count_if(part, [](unsigned char c) { return c < 0x80 && std::isprint(c); });
  return readable >= 10 || std::set<char>(part.begin(), part.end()).size() < 8;
}

// ---- what becomes of bytes ----

std::string utf16(const std::string &bytes) {
  std::string result;
  for (const char c : bytes)
    result += c, result += '\0';
  return result;
}
/// MS-TDS 2.2.6.4: nibbles swapped, then XOR 0xA5.
std::string obfuscated(std::string bytes) {
  for (char &c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    c = static_cast<char>(((byte << 4 | byte >> 4) & 0xFF) ^ 0xA5);
  }
  return bytes;
}
std::string hex(const std::string &bytes) {
  std::string result;
  for (const char c : bytes)
    for (const int digit : {static_cast<unsigned char>(c) >> 4, c & 0x0F})
      result += "0123456789abcdef"[digit];
  return result;
}
/// The characters that `bytes` determine alone where they begin `offset` bytes after a group of three.
std::string base64(const std::string &bytes, std::size_t offset, std::string_view last_two) {
  const std::string alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + std::string(last_two);
  const std::string padded = std::string(offset, '\0') + bytes;
  const auto bit = [&](std::size_t i) {
    return static_cast<unsigned char>(padded[i / 8]) >> (7 - i % 8) & 1;
  };
  std::string result;
  const std::size_t first = (offset * 8 + 5) / 6;
  for (std::size_t i = first; (i + 1) * 6 <= padded.size() * 8; ++i) {
    std::size_t value = 0;
    for (std::size_t j = 0; j < 6; ++j)
      value = value << 1 | static_cast<std::size_t>(bit(i * 6 + j));
    result += alphabet[value];
  }
  return result;
}
std::string latin1_as_utf8(const std::string &bytes) {
  std::string result;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      result += c;
    else
      result += static_cast<char>(0xC0 | byte >> 6), result += static_cast<char>(0x80 | (byte & 0x3F));
  }
  return result;
}
std::string with_replacements(const std::string &bytes) {
  std::string result;
  for (const char c : bytes)
    is_ascii(c) ? result += c : result += replacement;
  return result;
}

// ---- what a text may be ----

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = std::tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
/// Reads `digits` digits of a base (16 or 8) at `at`; -1 where they are not there.
int number(std::string_view text, std::size_t at, std::size_t digits, int base) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    const int digit = hex_digit(text[i]);
    if (digit < 0 || digit >= base) return -1;
    value = value * base + digit;
  }
  return value;
}
/// Without the escapes of JSON and C. What is above a byte becomes a blank: no secret needs it.
std::string unescaped(std::string_view text) {
  constexpr std::array<std::pair<char, char>, 8> short_forms{{
      {'n', '\n'},
      {'r', '\r'},
      {'t', '\t'},
      {'b', '\b'},
      {'f', '\f'},
      {'"', '"'},
      {'\\', '\\'},
      {'/', '/'},
  }};
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      result += text[i++];
      continue;
    }
    const char kind = text[i + 1];
    const auto *found = std::ranges::find(short_forms, kind, &std::pair<char, char>::first);
    if (const int value = number(text, i + 2, 4, 16); kind == 'u' && value >= 0)
      result += value < 0x100 ? static_cast<char>(value) : ' ', i += 6;
    else if (const int byte = number(text, i + 2, 2, 16); kind == 'x' && byte >= 0)
      result += static_cast<char>(byte), i += 4;
    else if (const int octal = number(text, i + 1, 3, 8); octal >= 0 && octal < 0x100)
      result += static_cast<char>(octal), i += 4;
    else if (found != short_forms.end())
      result += found->second, i += 2;
    else
      result += text[i++];
  }
  return result;
}
/// Without what stands between the digits of a dump, and between the lines of base64.
std::string dense(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool prefix =
        (c == '0' || c == '\\') && i + 1 < text.size() && (text[i + 1] == 'x' || text[i + 1] == 'X');
    if (prefix)
      ++i;
    else if (c != ' ' && c != '\n' && c != '\r' && c != '\t' && c != ':' && c != ',')
      result += c;
  }
  return result;
}
std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::size_t first_three(const char *bytes) {
  const auto byte = [&](int i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  return byte(0) << 16 | byte(1) << 8 | byte(2);
}

} // namespace

void SecretSearch::add(const std::string &name, std::string_view secret) {
  if (secret.size() < shortest) throw std::invalid_argument(name + " is too short to be looked for");
  std::vector<std::string> parts;
  if (secret.size() <= longest_whole)
    parts.emplace_back(secret);
  else
    for (std::size_t at = 0; at + part_size <= secret.size(); at += part_size)
      if (std::string part(secret.substr(at, part_size)); !says_nothing(part))
        parts.push_back(std::move(part));
  if (parts.empty()) throw std::invalid_argument(name + " has no part that is worth looking for");
  for (const std::string &part : parts)
    add_part(name, part);
  ++secrets_;
}

void SecretSearch::add(const std::string &name, tds::ByteView secret) {
  add(name, std::string_view(reinterpret_cast<const char *>(secret.data()), secret.size()));
}

void SecretSearch::add_part(const std::string &name, const std::string &part) {
  const std::pair<const char *, std::string> kinds[] = {{"its bytes", part},
                                                        {"UTF-16LE", utf16(part)},
                                                        {"obfuscated", obfuscated(part)},
                                                        {"UTF-16LE, obfuscated", obfuscated(utf16(part))}};
  for (const auto &[kind, bytes] : kinds) {
    const std::string form = name + ": " + kind;
    add_needle({form, bytes, View::plain});
    add_needle({form + ", hexadecimal", hex(bytes), View::dense_lower});
    for (std::size_t offset = 0; offset < 3; ++offset)
      for (const std::string_view last_two : {"+/", "-_"})
        add_needle({form + ", base64", base64(bytes, offset, last_two), View::dense});
    if (std::ranges::all_of(bytes, is_ascii)) continue;
    add_needle({form + ", Latin-1 as UTF-8", latin1_as_utf8(bytes), View::plain});
    const std::string replaced = with_replacements(bytes);
    // Only where enough is left of it to be anybody's.
    if (static_cast<std::size_t>(std::ranges::count_if(bytes, is_ascii)) >= shortest)
      add_needle({form + ", invalid bytes replaced", replaced, View::plain});
  }
}

void SecretSearch::add_needle(Needle needle) {
  auto &same_start = by_start_[needle.bytes.substr(0, shortest)];
  // The ticket in the tokens of many logins is the same.
  const bool known = std::ranges::any_of(same_start, [&](std::size_t i) {
    return needles_[i].bytes == needle.bytes && needles_[i].view == needle.view;
  });
  if (known) return;
  same_start.push_back(needles_.size());
  first_three_[first_three(needle.bytes.data())] = true;
  needles_.push_back(std::move(needle));
}

void SecretSearch::mark(std::string_view text, View view, std::vector<bool> &found) const {
  for (std::size_t at = 0; at + shortest <= text.size(); ++at) {
    if (!first_three_[first_three(text.data() + at)]) continue;
    const auto candidates =
        by_start_.find(std::string(text.substr(at, shortest))); // short enough to need no memory
    if (candidates == by_start_.end()) continue;
    for (const std::size_t i : candidates->second)
      if (needles_[i].view == view && text.substr(at).starts_with(needles_[i].bytes)) found[i] = true;
  }
}

std::vector<std::string> SecretSearch::find(std::string_view text) const {
  std::string without_nuls(text);
  std::erase(without_nuls, '\0');
  std::vector<bool> found(needles_.size());
  for (const std::string &reading : {std::string(text), unescaped(text), without_nuls}) {
    mark(reading, View::plain, found);
    mark(dense(reading), View::dense, found);
    mark(lower(dense(reading)), View::dense_lower, found);
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < needles_.size(); ++i)
    if (found[i] && std::ranges::find(names, needles_[i].name) == names.end())
      names.push_back(needles_[i].name);
  return names;
}

} // namespace test
