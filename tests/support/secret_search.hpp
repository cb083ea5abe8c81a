// Looks for known secrets in whatever may hold them, in every form in which a program
// leaks bytes by accident.
#pragma once

#include "tds/bytes.hpp"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace test {

/// Knows secrets, and finds them in a text:
///
/// - their bytes as they are, as UTF-16LE, and obfuscated as LOGIN7 does it (MS-TDS 2.2.6.4);
/// - of each of these: raw, in hexadecimal (any case, with blanks, colons, commas, "0x" or "\x" between), in
///   base64 (with and without padding, the URL alphabet, in the middle of a longer text), as Latin-1 that was
///   turned into UTF-8, as UTF-8 whose invalid bytes were replaced;
/// - in a text that is itself escaped (JSON's \u0041 and \n, C's \x41 and \101) or UTF-16.
///
/// Of a long secret (above 32 bytes: tokens, tickets) a part is enough: 31 bytes on end are found wherever
/// they are from. Parts that are mostly readable text are not looked for, since names that stand in a
/// token may stand elsewhere.
class SecretSearch {
public:
  /// Throws std::invalid_argument for less than 6 bytes, and for a long one of which no part is worth looking
  /// for: a search that finds everywhere or never.
  void add(const std::string &name, tds::ByteView secret);
  void add(const std::string &name, std::string_view secret);

  /// What was found: "working password: UTF-16LE, hexadecimal". Each once, in order of `add`.
  std::vector<std::string> find(std::string_view text) const;
  std::size_t secrets() const { return secrets_; }

private:
  enum class View { plain, dense, dense_lower }; ///< dense: without what separates hexadecimal digits
  struct Needle {
    std::string name; ///< of secret and form
    std::string bytes;
    View view;
  };
  void add_part(const std::string &name, const std::string &part);
  void add_needle(Needle needle);
  void mark(std::string_view text, View view, std::vector<bool> &found) const;

  std::vector<Needle> needles_;
  std::unordered_map<std::string, std::vector<std::size_t>>
      by_start_; ///< places in needles_, by their first bytes
  std::vector<bool> first_three_ = std::vector<bool>(
      1 << 24); ///< whether a needle begins with these three bytes: nearly every place of a text is none
  std::size_t secrets_ = 0;
};

} // namespace test
