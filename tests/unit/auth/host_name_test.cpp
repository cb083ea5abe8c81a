#include "auth/host_name.hpp"

#include <gtest/gtest.h>

namespace auth {
namespace {

using namespace std::string_literals;

TEST(HostName, UpperIsAsciiOnly) { EXPECT_EQ(upper("corp.Test-\xc3\xa4_z{"), "CORP.TEST-\xc3\xa4_Z{"); }
TEST(HostName, LowerIsAsciiOnly) { EXPECT_EQ(lower("SQL1.Corp-\xc3\x84_Z["), "sql1.corp-\xc3\x84_z["); }

TEST(HostName, Names) {
  const std::string label63(63, 'a');
  const std::string longest = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b'); // 253
  for (const std::string &good :
       {"a"s, "sql1.corp.test"s, "sql1.corp.test."s, "SQL_1-x"s, label63, longest, longest + "."})
    EXPECT_EQ(name_fault(good), "") << good;
  for (const std::string &bad : {""s, "."s, ".."s, "a..b"s, ".a"s, "a.."s, "a b"s, "a/b"s, "a@b"s, "a:b"s,
                                 "a\0b"s, "\xff"s, label63 + "a", longest + "b"})
    EXPECT_NE(name_fault(bad), "") << bad;
}

TEST(HostName, Addresses) {
  EXPECT_EQ(normal_address("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(normal_address("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(normal_address("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
  for (const std::string &none :
       {""s, "10.0.0"s, "10.0.0.256"s, "010.0.0.1"s, "[::1]"s, "::1%lo"s, "10.0.0.1\0"s, "sql1"s, "1:2:3"s})
    EXPECT_EQ(normal_address(none), "") << none;
}

} // namespace
} // namespace auth
