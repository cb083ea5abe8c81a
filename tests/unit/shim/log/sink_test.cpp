#include "shim/log/sink.hpp"

#include <gtest/gtest.h>

namespace {

using namespace shim;

struct Kept final : Sink {
  bool write(const Record &record) override {
    if (full) return false;
    records.push_back(record);
    return true;
  }
  bool has_room() const override { return !full; }
  bool debug() const override { return false; }
  std::vector<Record> records;
  bool full = false;
};

TEST(Sinks, EachRecordGoesToAllAndTheFirstDecides) {
  Kept first, second;
  Sinks sinks(first);
  sinks.add(second);
  sinks.emit(Warned{"x"});
  EXPECT_EQ(first.records.size(), 1u);
  EXPECT_EQ(second.records.size(), 1u);
  EXPECT_FALSE(sinks.debug());

  second.full = true;
  EXPECT_TRUE(sinks.has_room());
  EXPECT_TRUE(sinks.write(Record{})) << "who only reads along costs nobody a login";
  second.full = false;
  first.full = true;
  EXPECT_FALSE(sinks.has_room());
  EXPECT_FALSE(sinks.write(Record{}));
  EXPECT_EQ(second.records.size(), 2u);
}

} // namespace
