#include "tds/error.hpp"

#include <gtest/gtest.h>

namespace tds::test {

TEST(Error, text_names_structure_field_offset_and_complaint) {
  EXPECT_EQ((Error{"LOGIN7", "ibUserName", "points past the end (300 > 210)", 40}.text()),
            "LOGIN7 ibUserName at byte 40: points past the end (300 > 210)");
}

TEST(Error, text_without_a_field) {
  EXPECT_EQ((Error{"INFO", "", "3 bytes too many", 12}.text()), "INFO at byte 12: 3 bytes too many");
}

} // namespace tds::test
