#include "tests/support/decisions.hpp"

#include "shim/log/render.hpp"

#include <gtest/gtest.h>
#include <sstream>

namespace test {

std::vector<shim::Record> records_of(const std::string &log) {
  std::vector<shim::Record> records;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    auto record = shim::from_json(line);
    if (record)
      records.push_back(std::move(*record));
    else
      ADD_FAILURE() << record.error() << " in: " << line;
  }
  return records;
}

std::vector<shim::Record> last_connection(const std::string &log) {
  auto all = records_of(log);
  std::string last;
  for (const auto &record : all)
    if (!record.conn.empty() && std::holds_alternative<shim::Accepted>(record.event)) last = record.conn;
  std::erase_if(all, [&](const shim::Record &record) { return record.conn != last; });
  return last.empty() ? std::vector<shim::Record>{} : all;
}

void check_trail(const std::vector<shim::Record> &records) {
  ASSERT_FALSE(records.empty());
  EXPECT_TRUE(std::holds_alternative<shim::Accepted>(records.front().event))
      << shim::to_text(records.front());
  EXPECT_TRUE(std::holds_alternative<shim::Closed>(records.back().event)) << shim::to_text(records.back());
  EXPECT_EQ(events_of<shim::Closed>(records).size(), 1u);
  EXPECT_LE(events_of<shim::Refused>(records).size(), 1u);
  for (std::size_t i = 0; i < records.size(); ++i)
    EXPECT_EQ(records[i].seq, i + 1) << shim::to_text(records[i]);
}

} // namespace test
