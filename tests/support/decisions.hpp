// The decision log as tests read it.
#pragma once

#include "shim/log/event.hpp"

#include <string>
#include <vector>

namespace test {

/// Every record of a log text. A line that cannot be read fails the running test.
std::vector<shim::Record> records_of(const std::string &log);
/// Those of the last connection that the log tells of, in order.
std::vector<shim::Record> last_connection(const std::string &log);
/// The events of one kind.
template <class Kind> std::vector<Kind> events_of(const std::vector<shim::Record> &records) {
  std::vector<Kind> found;
  for (const auto &record : records)
    if (const auto *event = std::get_if<Kind>(&record.event)) found.push_back(*event);
  return found;
}
/// What must hold of every connection's trail: `accepted` first, `closed` last and once, no gap in the
/// sequence, at most one `refused`. Fails the test otherwise.
void check_trail(const std::vector<shim::Record> &records);

} // namespace test
