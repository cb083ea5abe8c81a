#include "config/section.hpp"

#include <gmock/gmock.h>

namespace {

using namespace config;
using testing::ElementsAre;
using testing::IsEmpty;

/// A file being read, and what was found wrong in it.
struct Reading {
  explicit Reading(std::string_view text) : table(parse_toml(text).value()) {}
  std::vector<std::string> problems() {
    std::vector<std::string> texts;
    for (const Problem &problem : std::move(report).sorted())
      texts.push_back(problem.text());
    return texts;
  }
  toml::table table;
  Report report{"f"};
  Section top{report, table, ""};
};

TEST(Section, GivesStringsOfKeysThatAreThere) {
  Reading reading("a = \"x\"\n");
  EXPECT_EQ(reading.top.string("a"), "x");
  EXPECT_EQ(reading.top.string("b"), std::nullopt);
  reading.top.finish();
  EXPECT_THAT(reading.problems(), IsEmpty());
}

TEST(Section, AnotherTypeIsAProblemAtTheValue) {
  Reading reading("a = 5\nb = \"x\"\nc = [1]\n[d]\n");
  EXPECT_EQ(reading.top.string("a"), std::nullopt);
  EXPECT_FALSE(reading.top.elements("b"));
  EXPECT_EQ(reading.top.string("c"), std::nullopt);
  EXPECT_EQ(reading.top.string("d"), std::nullopt);
  EXPECT_FALSE(reading.top.section("a"));
  EXPECT_THAT(reading.top.sections("d"), IsEmpty());
  EXPECT_THAT(reading.problems(),
              ElementsAre("f:1:5: a: must be a string, not an integer; write a = \"5\"", //
                          "f:1:5: a: must be a table, not an integer; write [a]",
                          "f:2:5: b: must be an array, not a string; write b = [\"x\"]",
                          "f:3:5: c: must be a string, not an array; write one value, in quotes",
                          "f:4:1: d: must be a string, not a table",
                          "f:4:1: d: there may be several of them; write [[d]] with two brackets"));
}

TEST(Section, BooleansAreTrueOrFalse) {
  Reading reading("a = true\nb = false\nc = \"true\"\nd = 1\n");
  EXPECT_EQ(reading.top.boolean("a"), true);
  EXPECT_EQ(reading.top.boolean("b"), false);
  for (const char *key : {"c", "d", "e"})
    EXPECT_EQ(reading.top.boolean(key), std::nullopt) << key;
  EXPECT_THAT(reading.problems(),
              ElementsAre("f:3:5: c: must be true or false, not a string; take the quotes away",
                          "f:4:5: d: must be true or false, not an integer"));
}

enum class Switch { off, on };
constexpr auto word_table(std::type_identity<Switch>) {
  return std::to_array<std::pair<Switch, std::string_view>>({{Switch::off, "off"}, {Switch::on, "on"}});
}

TEST(Section, ChoicesNameTheNearestWord) {
  Reading reading("a = \"of\"\nb = \"zzz\"\nc = \"on\"\n");
  const auto choose = [&](std::string_view key) { return reading.top.word<Switch>(key); };
  EXPECT_EQ(choose("a"), std::nullopt);
  EXPECT_EQ(choose("b"), std::nullopt);
  EXPECT_EQ(choose("c"), Switch::on);
  EXPECT_THAT(reading.problems(), ElementsAre("f:1:5: a: \"of\" is unknown; did you mean \"off\"?",
                                              "f:2:5: b: \"zzz\" is unknown; write one of \"off\", \"on\""));
}

TEST(Section, ElementsHaveKeysAndPlacesOfTheirOwn) {
  Reading reading("a = [\"x\",\n     7]\nb = \"one\"\n");
  const auto elements = reading.top.elements("a");
  ASSERT_TRUE(elements);
  ASSERT_EQ(elements->size(), 2u);
  EXPECT_EQ(reading.top.string(elements->at(0)), "x");
  EXPECT_EQ(reading.top.string(elements->at(1)), std::nullopt);
  ASSERT_TRUE(reading.top.elements("b", true));
  EXPECT_EQ(reading.top.elements("b", true)->at(0).key, "b");
  EXPECT_THAT(reading.problems(),
              ElementsAre("f:2:6: a[1]: must be a string, not an integer; put it in quotes"));
}

TEST(Section, TablesBelowHaveDottedNames) {
  Reading reading("[[route]]\n[[route]]\n[route.match]\nservre = \"x\"\n");
  auto routes = reading.top.sections("route");
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[1].name(), "route[1]");
  auto match = routes[1].section("match");
  ASSERT_TRUE(match);
  match->string("server");
  match->finish();
  EXPECT_THAT(reading.problems(),
              ElementsAre("f:4:1: route[1].match.servre: unknown key; did you mean \"server\"?"));
}

TEST(Section, FinishNamesWhatNobodyAskedFor) {
  Reading reading("known = \"\"\nknwon = 1\n\"quite other\" = 3\n");
  reading.top.find("known");
  reading.top.finish();
  EXPECT_THAT(reading.problems(), ElementsAre("f:2:1: knwon: unknown key; did you mean \"known\"?",
                                              "f:3:1: quite other: unknown key; known here: known"));
}

} // namespace
