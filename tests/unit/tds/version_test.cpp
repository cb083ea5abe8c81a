#include "tds/version.hpp"

#include "support.hpp"

namespace tds::test {

struct VersionRow {
  const char *name;
  std::uint32_t wire;
  int generation;
  const char *text;
  bool at_least_7_2;
};

const VersionRow versions[] = {
    {"tds_7_0", 0x70000000, 70, "7.0", false},
    {"tds_7_0_as_sql_server_7_says_it", 0x07000000, 70, "7.0", false},
    {"tds_7_1", 0x71000000, 71, "7.1", false},
    {"tds_7_1_revision_1", 0x71000001, 71, "7.1", false},
    {"tds_7_1_as_sql_server_2000_says_it", 0x07010000, 71, "7.1", false},
    {"tds_7_2", 0x72090002, 72, "7.2", true},
    {"tds_7_3_a", 0x730A0003, 73, "7.3", true},
    {"tds_7_3_b", 0x730B0003, 73, "7.3", true},
    {"tds_7_4", 0x74000004, 74, "7.4", true},
    {"tds_8_0_is_small_and_the_newest", 0x08000000, 80, "8.0", true},
    {"tds_4_2", 0x04020000, 0, "0x04020000", false},
    {"tds_5_0", 0x05000000, 0, "0x05000000", false},
    {"zero", 0, 0, "0x00000000", false},
    {"garbage", 0x12345678, 0, "0x12345678", false},
    {"above_7_4", 0x75000000, 0, "0x75000000", false},
    {"all_ones", 0xFFFFFFFF, 0, "0xFFFFFFFF", false},
};

class VersionTest : public testing::TestWithParam<VersionRow> {};
TEST_P(VersionTest, is_told_by_its_number) {
  const Version version{GetParam().wire};
  EXPECT_EQ(version.generation(), GetParam().generation);
  EXPECT_EQ(version.text(), GetParam().text);
  EXPECT_EQ(version.at_least_7_2(), GetParam().at_least_7_2);
  EXPECT_EQ(version.known(), GetParam().generation != 0);
}
INSTANTIATE_TEST_SUITE_P(rows, VersionTest, testing::ValuesIn(versions), RowName());

TEST(Version, constants_are_what_they_are_called) {
  EXPECT_EQ(tds_7_0.generation(), 70);
  EXPECT_EQ(tds_7_1.generation(), 71);
  EXPECT_EQ(tds_7_2.generation(), 72);
  EXPECT_EQ(tds_7_3.generation(), 73);
  EXPECT_EQ(tds_7_4.generation(), 74);
  EXPECT_EQ(tds_8_0.generation(), 80);
}

} // namespace tds::test
