#include "config/toml.hpp"

#include <gmock/gmock.h>

namespace {

using namespace config;

TEST(Toml, Parses) {
  const auto table = parse_toml("[log]\nlevel = \"info\"\n");
  ASSERT_TRUE(table);
  EXPECT_EQ((*table)["log"]["level"].value<std::string>(), "info");
}

TEST(Toml, LettersOfAllKindsMayStandInQuotes) {
  const auto table = parse_toml("a = \"\u00fc\" # \u00a7\nb = \"\"\"\\\n\u00a7\"\"\"\n");
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ((*table)["a"].value<std::string>(), "\u00fc");
  EXPECT_EQ((*table)["b"].value<std::string>(), "\u00a7");
}

TEST(Toml, SyntaxErrorsHaveTheirPlace) {
  struct Row {
    std::string text;
    Place place;
  };
  for (const Row &row : {
           Row{"a = \n", {1, 5}},
           Row{"x = 1\na = [1, 2\n", {2, 11}},
           Row{"a = 1\na = 2\n", {2, 5}},
           Row{"a = \"\\uD800\"", {1, 12}},
           // what toml++ asserts about
           Row{"x = 1\n[=]\n", {2, 2}},
           Row{"[[[a]]]\n", {1, 3}},
           Row{"[ok]\n\n  [[ .a]]\n", {3, 6}},
           Row{"[#]", {1, 2}},
           // what its table of blanks has no entry for
           Row{"x = 1\n\u00fc = 1\n", {2, 1}},
           Row{"x = 1 \u00a7", {1, 7}},
       }) {
    const auto table = parse_toml(row.text);
    ASSERT_FALSE(table) << row.text;
    EXPECT_EQ(table.error().place, row.place) << row.text << " at " << table.error().place.line << ":"
                                              << table.error().place.column << ": " << table.error().what;
    EXPECT_NE(table.error().what, "");
  }
}

// Whatever a file holds, parsing it ends with a table or an error.
TEST(Toml, EveryPrefixAndEveryChangedByteIsAnswered) {
  const std::string good =
      "a.b = [1, {c = \"\\u00e9\"}]\n[[t]]\nd = 2020-01-02T03:04:05Z\n[t.\"x y\"]\ne = '''l\n'''\nf = 0o17 # c\n";
  ASSERT_TRUE(parse_toml(good));
  std::size_t errors = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    errors += !parse_toml(good.substr(0, i));
    for (const char byte : {'\0', '[', ']', '=', '.', '"', '\n', '#', '{', ',', '\x80', '\xff'}) {
      std::string changed = good;
      changed[i] = byte;
      errors += !parse_toml(changed);
    }
  }
  EXPECT_GT(errors, good.size());
}

TEST(Toml, NamesOfManyPartsAreRefused) {
  std::string deep = "a";
  for (int part = 0; part < 100'000; ++part)
    deep += ".a";
  for (const std::string &text :
       {"\n[" + deep + "]\n", "\n" + deep + " = 1\n", "\nb = { " + deep + " = 1 }\n"}) {
    const auto parsed = config::parse_toml(text);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().place.line, 2);
  }
  const std::string dots(200, '.');
  for (const std::string &text : {"a = \"" + dots + "\"", "a = '" + dots + "'",
                                  "a = \"\"\"" + dots + "\n\"\"\"", "# " + dots, "a = \"\\\"" + dots + "\""})
    EXPECT_TRUE(config::parse_toml(text)) << text;
}

} // namespace
