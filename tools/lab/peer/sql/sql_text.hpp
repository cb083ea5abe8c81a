// T-SQL text cut into words: just enough of the language for the peer to recognise what clients send it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lab {

struct Word {
  enum class Kind { name, quoted_name, string, number, symbol };
  Kind kind{};
  std::string text; ///< names as typed, strings without their quotes, symbols one character each
  /// `text` in lower case for names that were not quoted and symbols; else empty: no quoted text is a keyword
  std::string lower;
  std::uint32_t line = 1; ///< of the batch, from 1
};

/// Skips blanks and comments. Never fails: an open quote or comment runs to the end.
std::vector<Word> cut(std::string_view sql);

std::string lower_case(std::string_view text);

} // namespace lab
