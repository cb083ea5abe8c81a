#include "auth/target.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace auth {
namespace {

using testing::HasSubstr;

struct Good {
  const char *typed;
  const char *host;
  const char *instance;
  std::optional<std::uint16_t> port;
  bool is_address;
  const char *pipe = "";
};

const Good good_rows[] = {
    {"sql1", "sql1", "", {}, false},
    {"SQL1.Corp.Test", "sql1.corp.test", "", {}, false},
    {"sql1.corp.test.", "sql1.corp.test.", "", {}, false},
    {"sql_1-a", "sql_1-a", "", {}, false},
    {"sql1,1433", "sql1", "", 1433, false},
    {"sql1:1433", "sql1", "", 1433, false},
    {"tcp:sql1,1433", "sql1", "", 1433, false},
    {"TCP:sql1", "sql1", "", {}, false},
    {"sql1\\INST", "sql1", "INST", {}, false},
    {"sql1\\INST,1433", "sql1", "INST", 1433, false},
    {"sql1\\Inst$1:1433", "sql1", "Inst$1", 1433, false},
    {"sql1\\MSSQLSERVER", "sql1", "", {}, false},
    {"sql1,1", "sql1", "", 1, false},
    {"sql1,65535", "sql1", "", 65535, false},
    {"123", "123", "", {}, false},
    {"10.0.0.1", "10.0.0.1", "", {}, true},
    {"10.0.0.1,1433", "10.0.0.1", "", 1433, true},
    {"10.0.0.1:1433", "10.0.0.1", "", 1433, true},
    {"10.0.0.1\\INST", "10.0.0.1", "INST", {}, true},
    {"[::1],1433", "::1", "", 1433, true},
    {"[::1]:1433", "::1", "", 1433, true},
    {"[::1]", "::1", "", {}, true},
    {"[::1]\\INST", "::1", "INST", {}, true},
    {"::1", "::1", "", {}, true},
    {"::1,1433", "::1", "", 1433, true},
    {"2001:DB8:0:0::1", "2001:db8::1", "", {}, true},
    {"tcp:::1", "::1", "", {}, true},
    {".", "localhost", "", {}, false},
    {".,1433", "localhost", "", 1433, false},
    {".\\INST", "localhost", "INST", {}, false},
    {"(local)", "localhost", "", {}, false},
    {"(LOCAL)\\INST", "localhost", "INST", {}, false},
    {"localhost:14330", "localhost", "", 14330, false},
    {"np:sql1", "sql1", "", {}, false, "sql\\query"},
    {"NP:SQL1\\Inst", "sql1", "Inst", {}, false, "MSSQL$Inst\\sql\\query"},
    {"np:sql1\\MSSQLSERVER", "sql1", "", {}, false, "sql\\query"},
    {"np:\\\\sql1.corp.test\\pipe\\sql\\query", "sql1.corp.test", "", {}, false, "sql\\query"},
    {"\\\\sql1\\PIPE\\MSSQL$INST\\sql\\query", "sql1", "INST", {}, false, "MSSQL$INST\\sql\\query"},
    {"\\\\.\\pipe\\mssql$a\\sql\\query", "localhost", "a", {}, false, "mssql$a\\sql\\query"},
    {"np:\\\\10.0.0.1\\pipe\\own", "10.0.0.1", "", {}, true, "own"},
};

TEST(Target, Accepts) {
  for (const Good &row : good_rows) {
    SCOPED_TRACE(row.typed);
    const auto target = parse_target(row.typed);
    ASSERT_TRUE(target) << target.error();
    const Target expected{.typed = row.typed,
                          .host = row.host,
                          .instance = row.instance,
                          .port = row.port,
                          .is_address = row.is_address,
                          .pipe = row.pipe};
    EXPECT_EQ(*target, expected) << target->host << " " << target->instance;
  }
}

struct Bad {
  std::string typed;
  const char *says;
};

using namespace std::string_literals;

const Bad bad_rows[] = {
    {"", "empty"},
    {",1433", "the host name is empty"},
    {"tcp:", "the host name is empty"},
    {"sql1, 1433", "a space"},
    {" sql1", "a space"},
    {"sql1\t", "control character"},
    {"sql1\0"s, "control character"},
    {"sql\0.corp.test"s, "control character"},
    {"sql1\x7f", "control character"},
    {"sql1,0", "\"0\": write a number from 1 to 65535"},
    {"sql1,65536", "65535"},
    {"sql1,99999999999999999999", "65535"},
    {"sql1,-1", "65535"},
    {"sql1,+1433", "65535"},
    {"sql1,", "the port is \"\""},
    {"sql1:", "the port is \"\""},
    {"sql1,abc", "\"abc\""},
    {"sql1,1433x", "65535"},
    {"sql1,1433,1434", "65535"},
    {"sql1,1433\\INST", "65535"},
    {"sql1\\", "instance name"},
    {"sql1\\,1433", "instance name"},
    {"sql1\\A\\B", "instance name"},
    {"sql1\\A/B", "instance name"},
    {"sql1\\A@B", "instance name"},
    {"np:sql1,1433", "a pipe has no port"},
    {"\\\\sql1,1433\\pipe\\sql\\query", "a pipe has no port"},
    {"\\\\sql1\\pipe\\sql\\query,1433", "no path of a pipe"},
    {"\\\\sql1\\pipes\\sql\\query", "no path of a pipe"},
    {"\\\\sql1\\pipe\\", "no path of a pipe"},
    {"\\\\sql1", "no path of a pipe"},
    {"\\\\\\pipe\\sql\\query", "the host name is empty"},
    {"\\\\sql1\\pipe\\MSSQL$\\sql\\query", "instance name"},
    {"tcp:\\\\sql1\\pipe\\sql\\query", "instance name"},
    {"np:", "the host name is empty"},
    {"np:\\\\sql1\\pipe\\" + std::string(256, 'x'), "no path of a pipe"},
    {"np:sql1\\" + std::string(240, 'x'), "longer than any"}, // MSSQL$…\sql\query has 256 bytes
    {"lpc:sql1", "shared memory"},
    {"admin:sql1", "dedicated administrator"},
    {"(localdb)\\v11", "LocalDB"},
    {"[::1", "bracket"},
    {"[sql1]", "no IPv6 address"},
    {"[10.0.0.1]", "no IPv6 address"},
    {"[fe80::1%eth0]", "zone"},
    {"fe80::1%eth0", "write [::1],1433"},
    {"[::1]1433", "after the address"},
    {"1:2:3", "neither an IPv6 address"},
    {"10.0.0.256", "four numbers"},
    {"10.0.0", "four numbers"},
    {"sql1.123", "four numbers"},
    {"sql..test", "empty label"},
    {".sql1", "empty label"},
    {"sql1..", "empty label"},
    {"sql1/x", "a character that no host name has"},
    {"sql1@OTHER.TEST", "a character"},
    {"sql1;x", "a character"},
    {"\xc3\xa4.test", "xn--"},
    {std::string(64, 'a'), "63"},
    {std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." +
         std::string(63, 'd'),
     "253"},
};

TEST(Target, Refuses) {
  for (const Bad &row : bad_rows) {
    SCOPED_TRACE(row.typed);
    const auto target = parse_target(row.typed);
    ASSERT_FALSE(target) << target->host;
    EXPECT_THAT(target.error(), HasSubstr(row.says));
  }
}

} // namespace
} // namespace auth
