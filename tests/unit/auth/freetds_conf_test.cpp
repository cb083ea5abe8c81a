#include "auth/freetds_conf.hpp"

#include <gmock/gmock.h>

// What FreeTDS itself makes of such files is compared in tests/component/freetds_conf_test.cpp.

namespace auth {
namespace {

using namespace testing;

std::optional<FreetdsServer> find(const std::vector<std::string> &texts, std::string_view name) {
  return find_freetds_server(texts, name);
}

TEST(FreetdsConf, a_section_over_global) {
  const auto server = find(
      {"[global]\n tds version = 7.3\n port = 4999\n[web]\n host = db1.corp.test\n spn = MSSQLSvc/db1\n realm = CORP.TEST\n"},
      "WEB");
  ASSERT_TRUE(server);
  EXPECT_EQ(server->host, "db1.corp.test");
  EXPECT_EQ(server->port, 4999);
  EXPECT_EQ(server->tds_version, "7.3");
  EXPECT_EQ(server->server_spn, "MSSQLSvc/db1");
  EXPECT_EQ(server->realm, "CORP.TEST");
  EXPECT_EQ(server->target(), "db1.corp.test,4999");
}

TEST(FreetdsConf, an_instance_counts_where_there_is_no_port) {
  EXPECT_EQ(find({"[a]\nhost = h\ninstance = I\n"}, "a")->target(), "h\\I");
  EXPECT_EQ(find({"[a]\nhost = h\ninstance = I\nport = 5\n"}, "a")->target(), "h,5");
  EXPECT_EQ(find({"[a]\nhost = h\n"}, "a")->target(), "h");
}

TEST(FreetdsConf, the_first_file_with_the_section_ends_the_search) {
  const auto server =
      find({"[global]\nport = 1\n[b]\nhost = no\n", "[a]\nhost = one\n", "[a]\nhost = two\n"}, "a");
  ASSERT_TRUE(server);
  EXPECT_EQ(server->host, "one");
  EXPECT_EQ(server->file, 1u);
  EXPECT_EQ(server->port, 1) << "[global] of a file without the section counts";
}

TEST(FreetdsConf, what_is_not_there_or_no_server) {
  EXPECT_FALSE(find({}, "a"));
  EXPECT_FALSE(find({"[b]\nhost = x\n"}, "a"));
  EXPECT_FALSE(find({"[global]\nhost = x\n"}, "global"));
  EXPECT_FALSE(find({"[]\nhost = x\n"}, ""));
  EXPECT_FALSE(find({"; [a]\n# [a]\n"}, "a"));
}

TEST(FreetdsConf, ports_that_are_none) {
  for (const auto *text : {"x", "", "70000", "-1", "99999999999999999999"})
    EXPECT_EQ(find({std::string("[a]\nhost = h\nport = ") + text}, "a")->port, 0) << text;
  EXPECT_EQ(find({"[a]\nhost = h\nport = 77x"}, "a")->port, 77);
}

TEST(FreetdsConf, where_it_is_looked_for) {
  EXPECT_THAT(freetds_conf_files({"my.conf", "/opt/freetds", "/home/dba"}),
              ElementsAre("my.conf", "/opt/freetds/etc/freetds.conf", "/home/dba/.freetds.conf",
                          "/etc/freetds/freetds.conf"));
  EXPECT_THAT(freetds_conf_files({}), ElementsAre("/etc/freetds/freetds.conf"));
}

} // namespace
} // namespace auth
