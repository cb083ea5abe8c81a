#include "config/who.hpp"

#include <gmock/gmock.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

namespace {

using namespace config;
using testing::HasSubstr;

TEST(Who, SelfIsWhoRunsSqlshim) {
  const auto who = find_who("self");
  ASSERT_TRUE(who);
  EXPECT_TRUE(who->self);
  EXPECT_FALSE(who->uid || who->gid);
}

TEST(Who, UsersByNameAndNumber) {
  // Every system has these two.
  const auto root = find_who("root");
  ASSERT_TRUE(root) << root.error();
  EXPECT_EQ(root->uid, uid_t{0});
  EXPECT_EQ(root->text, "root");
  EXPECT_FALSE(root->self);
  EXPECT_FALSE(root->gid);

  EXPECT_EQ(find_who("4711")->uid, uid_t{4711}); // a uid needs no name
  EXPECT_EQ(find_who(std::int64_t{4711})->uid, uid_t{4711});
  EXPECT_EQ(find_who(std::int64_t{4711})->text, "4711");
}

TEST(Who, Groups) {
  const group *first = ::getgrgid(0);
  ASSERT_NE(first, nullptr);
  const std::string name = first->gr_name;
  const auto who = find_who("@" + name);
  ASSERT_TRUE(who) << who.error();
  EXPECT_EQ(who->gid, gid_t{0});
  EXPECT_FALSE(who->uid || who->self);
}

TEST(Who, NobodyByThatName) {
  struct Row {
    const char *text, *complaint;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"", "the name is empty"},
           {"@", "the name is empty"},
           {"*", "there are no patterns for users"},
           {"@adm*", "there are no patterns for users"},
           {"no-such-user-here", "\"no-such-user-here\": this machine has no such user; write a user's name, "
                                 "\"@GROUP\", a uid, or \"self\""},
           {"@no-such-group-here", "this machine has no such group"},
           {"4294967295", "4294967295 is no uid; the largest is 4294967294"},
           {"99999999999999999999", "is no uid"},
       }) {
    const auto who = find_who(row.text);
    ASSERT_FALSE(who) << row.text;
    EXPECT_THAT(who.error(), HasSubstr(row.complaint)) << row.text;
  }
  EXPECT_THAT(find_who(std::int64_t{-1}).error(), HasSubstr("-1 is no uid"));
  EXPECT_THAT(find_who(std::int64_t{1} << 40).error(), HasSubstr("is no uid"));
}

} // namespace
