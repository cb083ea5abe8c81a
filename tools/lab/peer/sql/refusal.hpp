// How the reading of a request ends early: thrown by what answers statements, it becomes an ERROR of the
// reply. It never leaves the lab's answer_ functions.
#pragma once

#include "tds/bytes.hpp"

namespace lab {

inline constexpr std::uint32_t lab_error_number =
    50000; ///< of what SQL Server would have understood, and the lab does not

struct Refusal {
  std::uint32_t number = lab_error_number;
  std::uint8_t severity = 16;
  std::string text;
  std::uint8_t state = 1;
  std::uint32_t line = 0;     ///< 0: that of the statement
  std::string procedure = {}; ///< whose error it is, where a procedure raised it
};

/// What was read, or a Refusal that says what could not be.
template <class T> T need(tds::Result<T> read) {
  if (!read) throw Refusal{.text = "the lab cannot read this request: " + read.error().text()};
  return std::move(*read);
}

} // namespace lab
