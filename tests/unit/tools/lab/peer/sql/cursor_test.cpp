#include "tools/lab/peer/sql/cursor.hpp"

#include <gtest/gtest.h>

namespace lab {
namespace {

/// First row and size of the window, "1+2"; rows count from 1.
std::string window(const Cursor &cursor) {
  return std::to_string(cursor.before + 1) + "+" + std::to_string(cursor.size);
}

TEST(Cursor, fetches_to_and_fro) {
  Cursor cursor{.rows = {.rows = std::vector<Row>(5)}};
  const auto fetch = [&](std::int64_t type, std::int64_t row, std::int64_t count) {
    cursor.fetch(type, row, count);
    return window(cursor);
  };
  EXPECT_EQ(fetch(0x02, 0, 2), "1+2"); // next
  EXPECT_EQ(fetch(0x02, 0, 2), "3+2");
  EXPECT_EQ(fetch(0x02, 0, 2), "5+1");
  EXPECT_EQ(fetch(0x02, 0, 2), "6+0"); // behind the last
  EXPECT_EQ(fetch(0x04, 0, 2), "4+2"); // previous
  EXPECT_EQ(fetch(0x01, 0, 2), "1+2"); // first
  EXPECT_EQ(fetch(0x04, 0, 2), "1+0"); // before the first
  EXPECT_EQ(fetch(0x08, 0, 2), "4+2"); // last
  EXPECT_EQ(fetch(0x10, 3, 1), "3+1"); // absolute
  EXPECT_EQ(fetch(0x10, -1, 1), "5+1");
  EXPECT_EQ(fetch(0x20, -2, 1), "3+1"); // relative
  EXPECT_EQ(fetch(0x10, INT64_MAX, INT64_MAX), "6+0");
  EXPECT_EQ(fetch(0x10, INT64_MIN, INT64_MAX), "1+0");
}

} // namespace
} // namespace lab
