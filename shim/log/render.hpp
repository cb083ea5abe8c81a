// Records as text: JSON Lines for the file, a timeline for people. The only place that escapes and
// caps strings from outside.
#pragma once

#include "shim/log/event.hpp"

#include <expected>
#include <optional>

namespace shim {

inline constexpr std::size_t longest_logged_text =
    1024; ///< bytes of one string, the mark "…(+N bytes)" for what was cut off included
inline constexpr std::size_t most_logged_strings =
    64; ///< entries of one list, the mark "…(+N more)" included

/// One line without newline: {"v":1,"at":…,"conn":…,"seq":…,"us":…,"event":…,"data":{…}}. `conn`, `seq`, `us`
/// are left out where there is no connection. Invalid UTF-8 becomes U+FFFD; control characters, DEL, C1, line
/// separators and bidirectional controls are escaped as \u00XX / \u20XX.
std::string to_json(const Record &record);
/// Reads a line written by any version so far ("v":1). Unknown events, known fields of another type, and
/// words that a closed set does not have are an Error text. Unknown fields of known events are ignored; one
/// that is missing (an older version did not know it) keeps its default.
std::expected<Record, std::string> from_json(std::string_view line);
/// "7f3a01c2 +1.830ms policy.decided rule=reports outcome=allow …"; values with blanks in double
/// quotes, empty ones left out. Without a connection the line begins with the time:
/// "2026-11-22T09:52:00.123456Z started …".
std::string to_text(const Record &record);
/// A string from outside, safe for a terminal and for a TDS error text: one line, escaped as
/// above, at most `longest` bytes.
std::string printable(std::string_view text, std::size_t longest = longest_logged_text);
/// "2026-11-22T09:52:00.123456Z"
std::string to_iso8601(WallTime time);
/// The inverse; fractions of any length are read, digits after the sixth are dropped. nullopt: not such a
/// time, or a year that the system clock cannot hold.
std::optional<WallTime> from_iso8601(std::string_view text);

} // namespace shim
