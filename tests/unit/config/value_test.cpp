#include "config/value.hpp"

#include <gmock/gmock.h>
#include <map>

namespace {

using namespace config;
using namespace std::chrono_literals;
using testing::HasSubstr;

/// The complaint, or "" for a value.
template <class T> std::string complaint(const Parsed<T> &parsed) { return parsed ? "" : parsed.error(); }

TEST(Value, Durations) {
  struct Row {
    const char *text;
    Duration value;
  };
  for (const Row &row : std::initializer_list<Row>{{"0s", 0ms},
                                                   {"0ms", 0ms},
                                                   {"400ms", 400ms},
                                                   {"5s", 5s},
                                                   {"2m", 2min},
                                                   {"1h", 1h},
                                                   {"168h", 168h},
                                                   {"604800000ms", 168h}}) {
    const auto parsed = parse_duration(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error();
    EXPECT_EQ(*parsed, row.value) << row.text;
  }
}

TEST(Value, DurationsThatAreNone) {
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"", "is no duration"},
           {"s", "is no duration"},
           {"five seconds", "is no duration"},
           {"5", "\"5\" has no unit; write \"5s\" or \"5ms\""},
           {"-1s", "is negative; write \"0s\" for never"},
           {"1.5s", "has a fraction; write a whole number"},
           {"1,5s", "has a fraction"},
           {"5 s", "unknown unit \" s\"; write ms, s, m or h"},
           {"5d", "unknown unit \"d\""},
           {"169h", "is too long; at most \"168h\""},
           {"99999999999999999999999s", "is too long"},
       })
    EXPECT_THAT(complaint(parse_duration(row.text)), HasSubstr(row.complaint)) << row.text;
}

TEST(Value, Addresses) {
  struct Row {
    const char *text;
    Address value;
  };
  for (const Row &row :
       std::initializer_list<Row>{{"127.0.0.1:14330", {"127.0.0.1", 14330}},
                                  {"127.0.0.1:0", {"127.0.0.1", 0}},
                                  {"[::1]:65535", {"::1", 65535}},
                                  {"[0:0:0:0:0:0:0:1]:53", {"::1", 53}}, // one spelling for one address
                                  {"0.0.0.0:1", {"0.0.0.0", 1}}}) {
    const auto parsed = parse_address(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error();
    EXPECT_EQ(*parsed, row.value) << row.text;
  }
}

TEST(Value, AddressesWithoutPortWhereThereIsADefault) {
  EXPECT_EQ(parse_address("10.0.0.2", 53), (Address{"10.0.0.2", 53}));
  EXPECT_EQ(parse_address("::1", 53), (Address{"::1", 53}));
  EXPECT_EQ(parse_address("127.81.3.2:5353", 53), (Address{"127.81.3.2", 5353}));
}

TEST(Value, AddressesThatAreNone) {
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"", "is no address and port"},
           {"14330", "is no address and port; write \"127.0.0.1:14330\""},
           {"localhost:14330", "is a name; write the address, \"127.0.0.1:14330\""},
           {"sql1:1433", "\"sql1\" is no IP address; names are not looked up here"},
           {"127.0.0.1", "has no port; write \"127.0.0.1:14330\""},
           {"::1", "has no port; write \"[::1]:14330\""},
           {"[::1]", "has no port; write \"[::1]:14330\""},
           {"fe80::1%eth0:53", "put brackets around"},
           {"127.0.0.1:", "\"\" is no port"},
           {"127.0.0.1:65536", "\"65536\" is no port; write a number from 0 to 65535"},
           {"127.0.0.1:-1", "is no port"},
           {"127.0.0.1:0x50", "is no port"},
           {"127.1:80", "\"127.1\" is no IP address"},
       })
    EXPECT_THAT(complaint(parse_address(row.text)), HasSubstr(row.complaint)) << row.text;
}

TEST(Value, LocalhostIsBothAddresses) {
  using Both = std::pair<Address, std::optional<Address>>;
  EXPECT_EQ(parse_listener_addresses("localhost:14330"), (Both{{"127.0.0.1", 14330}, Address{"::1", 14330}}));
  EXPECT_EQ(parse_listener_addresses("localhost:0"), (Both{{"127.0.0.1", 0}, Address{"::1", 0}}));
  EXPECT_EQ(parse_listener_addresses("[::1]:7"), (Both{{"::1", 7}, std::nullopt}));
  EXPECT_EQ(parse_listener_addresses("127.0.0.1:7"), (Both{{"127.0.0.1", 7}, std::nullopt}));
  for (const std::string text : {"localhost", "localhost:", "localhost:x", "localhost:70000", "localhosts:7"})
    EXPECT_NE(complaint(parse_listener_addresses(text)), "") << text;
}

TEST(Value, Loopback) {
  EXPECT_TRUE(is_loopback({"127.0.0.1", 1}));
  EXPECT_TRUE(is_loopback({"127.81.3.2", 1}));
  EXPECT_TRUE(is_loopback({"::1", 1}));
  for (const char *ip : {"0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1", "1270.0.0.1"})
    EXPECT_FALSE(is_loopback({ip, 1})) << ip;
}

TEST(Value, Versions) {
  EXPECT_EQ(parse_version("16.0"), (tds::ServerVersion{16, 0, 0, 0}));
  EXPECT_EQ(parse_version("16.0.600"), (tds::ServerVersion{16, 0, 600, 0}));
  EXPECT_EQ(parse_version("9.255.65535.7"), (tds::ServerVersion{9, 255, 65535, 7}));
  for (const char *text :
       {"", "16", "16.", ".16", "256.0.0", "16.0.65536", "1.2.3.4.5", "16.0.0-CU1", "-1.0"})
    EXPECT_THAT(complaint(parse_version(text)), HasSubstr("is no version; write MAJOR.MINOR.BUILD")) << text;
}

TEST(Value, Modes) {
  EXPECT_EQ(parse_mode("0600"), mode_t{0600});
  EXPECT_EQ(parse_mode("660"), mode_t{0660});
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{{"", "is no file mode; write octal digits"},
                                                   {"0680", "is no file mode"},
                                                   {"rw-------", "is no file mode"},
                                                   {"04777", "has special bits"},
                                                   {"0440", "shuts the owner out; write at least \"0600\""}})
    EXPECT_THAT(complaint(parse_mode(row.text)), HasSubstr(row.complaint)) << row.text;
}

TEST(Value, Spns) {
  for (const char *text :
       {"MSSQLSvc/sql1", "MSSQLSvc/sql1.corp.test:1433", "MSSQLSvc/sql1.corp.test:1433@CORP.TEST",
        "MSSQLSvc/sql1.corp.test:INST@CORP.TEST", "MSSQLSvc/10.0.0.1:1433"})
    EXPECT_EQ(parse_spn(text), text);
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"sql1.corp.test", "is no SPN of SQL Server; write MSSQLSvc/HOST:PORT"},
           {"HTTP/sql1:80", "is no SPN of SQL Server"},
           {"mssqlsvc/sql1:1433", "capitals count here, write MSSQLSvc"},
           {"MSSQLSvc/", "has no proper host"},
           {"MSSQLSvc/:1433", "has no proper host"},
           {"MSSQLSvc/a/b:1433", "has no proper host"},
           {"MSSQLSvc/sql 1", "has no proper host"},
           {"MSSQLSvc/sql1:", "has no proper port"},
           {"MSSQLSvc/sql1:0", "has no proper port"},
           {"MSSQLSvc/sql1:65536", "has no proper port"},
           {"MSSQLSvc/sql1:1433:1", "has no proper port"},
           {"MSSQLSvc/sql1:1433@", "has no proper realm"},
           {"MSSQLSvc/sql1:1433@A@B", "has no proper realm"},
       })
    EXPECT_THAT(complaint(parse_spn(row.text)), HasSubstr(row.complaint)) << row.text;
}

TEST(Value, Principals) {
  const std::map<std::string, std::string> domains{{"CORP", "CORP.TEST"}};
  EXPECT_EQ(parse_principal("svc-reports@CORP.TEST", domains), "svc-reports@CORP.TEST");
  EXPECT_EQ(parse_principal("host/a.corp.test@CORP.TEST", {}), "host/a.corp.test@CORP.TEST");
  EXPECT_EQ(parse_principal("CORP\\svc-reports", domains), "svc-reports@CORP.TEST");
  EXPECT_EQ(parse_principal("corp\\host$", domains), "host$@CORP.TEST")
      << "capitals of a NetBIOS name do not count";
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"", "has no realm"},
           {"svc-reports", "has no realm; write NAME@REALM"},
           {"OTHER\\svc", "write OTHER = \"REALM\" below [domains], or principal = \"svc@REALM\""},
           {"corp.test\\svc", "has a dot"},
           {"\\svc", "is no NetBIOS domain"},
           {"CORP\\", "is no DOMAIN\\user"},
           {"CORP\\a\\b", "is no DOMAIN\\user"},
           {"CORP\\svc@CORP.TEST", "is no DOMAIN\\user"},
           {"CORP\tsvc@X", "is no principal"},
           {"@CORP.TEST", "is no principal"},
           {"svc@", "is no principal"},
           {"s vc@CORP", "is no principal"},
           {"a@b@C", "is no principal"}})
    EXPECT_THAT(complaint(parse_principal(row.text, domains)), HasSubstr(row.complaint)) << row.text;
}

TEST(Value, WindowsAccounts) {
  const std::map<std::string, std::string> domains{{"CORP", "CORP.TEST"}, {"OTHER", "OTHER.TEST"}};
  EXPECT_EQ(windows_account("svc-reports@CORP.TEST", domains), "CORP\\svc-reports");
  EXPECT_EQ(windows_account("host$@OTHER.TEST", domains), "OTHER\\host$");
  for (const char *none :
       {"svc@THIRD.TEST", "svc@corp.test", "HTTP/web.corp.test@CORP.TEST", "svc", "CORP.TEST", "@", ""})
    EXPECT_EQ(windows_account(none, domains), "") << none;
  EXPECT_EQ(windows_account("svc-reports@CORP.TEST", {}), "");
}

TEST(Value, Names) {
  EXPECT_EQ(parse_name("reports-2.a_B"), "reports-2.a_B");
  for (const std::string &text :
       {std::string(), std::string("a b"), std::string("ü"), std::string("a\n"), std::string(65, 'a')})
    EXPECT_THAT(complaint(parse_name(text)), HasSubstr("is no proper name")) << text;
}

TEST(Value, HostNamesAndDomains) {
  for (const auto parse : {parse_host_name, parse_domain}) {
    EXPECT_EQ(parse("sql1.corp.test"), "sql1.corp.test");
    EXPECT_EQ(parse("Sql_1-a.corp.test."), "Sql_1-a.corp.test");
    EXPECT_EQ(parse("localhost"), "localhost");
    EXPECT_EQ(parse(std::string(63, 'a')), std::string(63, 'a'));
    for (const std::string &text :
         {std::string(), std::string("."), std::string("a..b"), std::string("a b"), std::string("a:1"),
          std::string("a\n"), std::string("\xC3\xBC"), std::string(64, 'a'), std::string("\0", 1)})
      EXPECT_THAT(complaint(parse(text)), testing::AnyOf(HasSubstr("is no "), HasSubstr("without * or dot")))
          << text;
    std::string longest;
    while (longest.size() < 250)
      longest += "abcdefghi.";
    EXPECT_TRUE(parse(longest + "abc"));
    EXPECT_FALSE(parse(longest + "abcd"));
  }
  EXPECT_EQ(parse_host_name("0:0::1"), "::1");
  EXPECT_THAT(complaint(parse_host_name("*.corp.test")), HasSubstr("is a pattern; write one name"));
  EXPECT_THAT(complaint(parse_host_name(".corp.test")),
              HasSubstr("is no host name; write it as \"sql1.corp.test\""));
  EXPECT_THAT(complaint(parse_domain("::1")), HasSubstr("is no domain; write it as \"corp.test\""));
  for (const char *text : {".corp.test", "*.corp.test", "*", "."})
    EXPECT_THAT(complaint(parse_domain(text)), HasSubstr("write it without * or dot in front")) << text;
}

TEST(Value, NearestSpelling) {
  constexpr std::string_view keys[] = {"target", "identity", "attempts", "match", "spn"};
  struct Row {
    const char *word;
    std::optional<std::string_view> nearest;
  };
  for (const Row &row : std::initializer_list<Row>{{"tarpet", "target"},
                                                   {"traget", "target"}, // a swap is one slip
                                                   {"identiy", "identity"},
                                                   {"attempt", "attempts"},
                                                   {"snp", "spn"},
                                                   {"nps", std::nullopt},
                                                   {"zebra", std::nullopt},
                                                   {"", std::nullopt}})
    EXPECT_EQ(nearest(row.word, keys), row.nearest) << row.word;
  EXPECT_EQ(nearest(std::string(100'000, 't'), keys), std::nullopt);
}

} // namespace
