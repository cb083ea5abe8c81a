#include "auth/alias.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace auth {
namespace {

using namespace testing;

std::expected<Unaliased, std::string> replace(const std::string &typed, const AliasTable &table) {
  return replace_aliases(*parse_target(typed), {source_of(table)});
}

TEST(Alias, a_name_is_replaced_before_anything_else) {
  const auto done = replace("WEB", {{"web", "sql1.corp.test"}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->target.host, "sql1.corp.test");
  EXPECT_EQ(done->target.typed, "WEB");
  EXPECT_THAT(done->replacements, ElementsAre(Replacement{"web", "sql1.corp.test", "aliases"}));
}

TEST(Alias, what_was_typed_beside_the_name_stays) {
  const AliasTable table{{"web", "sql1,1500"}, {"inst", "sql1\\INST"}};
  EXPECT_EQ(replace("web", table)->target.port, 1500);
  EXPECT_EQ(replace("web,1600", table)->target.port, 1600);
  EXPECT_EQ(replace("inst", table)->target.instance, "INST");
  const auto both = replace("web\\OTHER", table);
  EXPECT_EQ(both->target.instance, "OTHER");
  EXPECT_FALSE(both->target.port) << "the alias's port is another instance's";
}

TEST(Alias, one_leads_to_another) {
  const auto done = replace("a.", {{"a", "b"}, {"b", "10.0.0.1"}, {"10.0.0.1", "no"}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->target.host, "10.0.0.1");
  EXPECT_TRUE(done->target.is_address);
  EXPECT_EQ(done->replacements.size(), 2u);
}

TEST(Alias, the_same_name_with_a_port_is_no_loop) {
  const auto done = replace("sql1", {{"sql1", "sql1,1500"}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->target.port, 1500);
}

TEST(Alias, loops_and_chains_that_are_too_long) {
  EXPECT_THAT(replace("a", {{"a", "b"}, {"b", "a"}}).error(), HasSubstr("a -> b -> a"));
  AliasTable chain;
  for (int i = 0; i < 20; ++i)
    chain["n" + std::to_string(i)] = "n" + std::to_string(i + 1);
  EXPECT_THAT(replace("n0", chain).error(), StartsWith("too many"));
  EXPECT_TRUE(replace("n12", chain)) << "eight are followed";
}

TEST(Alias, the_first_source_that_has_it_counts) {
  const AliasSource other = [](const std::string &name) {
    return name == "web" || name == "old" ? std::optional(Alias{"db9", "elsewhere"}) : std::nullopt;
  };
  const AliasTable table{{"web", "sql1"}};
  EXPECT_EQ(replace_aliases(*parse_target("web"), {source_of(table), other})->target.host, "sql1");
  EXPECT_EQ(replace_aliases(*parse_target("old"), {source_of(table), other})->replacements.front().by,
            "elsewhere");
}

TEST(Alias, freetds_conf_is_read_when_it_is_asked) {
  const auto folder = std::filesystem::temp_directory_path() / ("alias_test." + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::vector<std::filesystem::path> files{folder / "absent.conf", folder / "freetds.conf"};
  const auto write = [&](const std::string &text) { std::ofstream(files[1]) << text; };
  const auto web = [&] { return replace_aliases(*parse_target("Web"), {source_of(files)}); };
  write("[global]\nport = 1500\n[web]\nhost = db1.corp.test\n[empty]\ntds version = 7.4\n");
  EXPECT_THAT(web()->replacements, ElementsAre(Replacement{"web", "db1.corp.test,1500", files[1].string()}));
  EXPECT_EQ(web()->target.port, 1500);
  write("[web]\nhost = db2.corp.test\n");
  EXPECT_EQ(web()->target.host, "db2.corp.test");
  // A section without a host gives the name as it is a version or a port; that is nothing to us.
  EXPECT_THAT(replace_aliases(*parse_target("empty"), {source_of(files)})->replacements, IsEmpty());
  write("[web]\nhost = web\nport = 1600\n");
  EXPECT_EQ(web()->target.port, 1600);
  ASSERT_EQ(::mkfifo(files[0].c_str(), 0600), 0);
  EXPECT_EQ(web()->target.port, 1600) << "a FIFO is not waited for";
  std::filesystem::remove_all(folder);
  EXPECT_THAT(web()->replacements, IsEmpty());
}

TEST(Alias, what_check_says) {
  const AliasTable table{{"good", "sql1"}, {"bad", "lpc:x"}, {"a", "b"}, {"b", "a"}, {"x y", "sql1"}};
  EXPECT_EQ(alias_fault(table, "good"), "");
  EXPECT_THAT(alias_fault(table, "bad"), HasSubstr("shared memory"));
  EXPECT_THAT(alias_fault(table, "a"), HasSubstr("loop"));
  EXPECT_NE(alias_fault(table, "x y"), "");
}

} // namespace
} // namespace auth
