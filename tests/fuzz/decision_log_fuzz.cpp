// A line of a decision log, read and written again (shim/log/render.hpp).
#include "shim/log/render.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(decision_log, 16384) {
  const auto line = fuzz::text_of(input);
  // nlohmann's tree: 16 bytes and a heap block for a value of two bytes, in arrays that grow by doubling.
  const auto record = fuzz::within(16 * 1024 + 128 * line.size(), [&] { return shim::from_json(line); });
  const auto shown = shim::printable(line);
  fuzz::require(shown.size() <= shim::longest_logged_text, "a text is capped");
  fuzz::require(shim::printable(shown) == shown, "what is printable stays as it is");
  for (const unsigned char c : shown)
    fuzz::require(c >= 0x20 && c != 0x7F, "no control character reaches a terminal");
  if (const auto time = shim::from_iso8601(line))
    fuzz::require(shim::from_iso8601(shim::to_iso8601(*time)) == time, "a time survives writing");
  if (!record) {
    fuzz::require(!record.error().empty(), "a line that is refused says why");
    return;
  }
  const std::string written = shim::to_json(*record);
  fuzz::require(written.find('\n') == std::string::npos, "a record is one line");
  const auto again = shim::from_json(written);
  fuzz::require(again.has_value(), "what was written can be read");
  fuzz::require(shim::to_json(*again) == written, "written, read and written again is the same");
  fuzz::require(again->event.index() == record->event.index(), "of the same kind");
  const std::string timeline = shim::to_text(*record);
  for (const unsigned char c : timeline)
    fuzz::require(c >= 0x20 && c != 0x7F, "the timeline has no control character");
  shim::is_debug(record->event);
}
