#include "config/keys.hpp"

#include "config/load.hpp"
#include "config/show.hpp"
#include "config/toml.hpp"

#include <algorithm>
#include <fstream>
#include <gmock/gmock.h>
#include <map>
#include <ranges>
#include <sstream>

namespace {

using namespace config;
using testing::HasSubstr;

constexpr std::string_view smallest = "[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\n"
                                      "[[identity]]\nname = \"i\"\nccache = \"KEYRING:session:i\"\n"
                                      "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"i\"\n"
                                      "match = { app = \"*\" }\n";

/// The value of a key as `show` prints it; empty: it is not printed.
std::string shown(const toml::table &file, const Key &key) {
  toml::node_view<const toml::node> at(file);
  for (const auto part : key.table | std::views::split('.')) {
    at = at[std::string_view(part.begin(), part.end())];
    if (at.is_array()) at = at[0];
  }
  at = at[key.name];
  if (!at) return {};
  if (at.is_boolean()) return *at.value<bool>() ? "true" : "false";
  if (at.is_integer()) return std::to_string(*at.value<std::int64_t>());
  if (at.is_string()) return '"' + *at.value<std::string>() + '"';
  std::string out;
  if (const auto *array = at.as_array())
    for (const auto &element : *array)
      out += (out.empty() ? "\"" : ", \"") + element.value<std::string>().value_or("") + '"';
  return "[" + out + "]";
}

TEST(Keys, DefaultsAreTheLoadersOwn) {
  const Loaded loaded = parse(smallest, "/f", "/dev/null");
  ASSERT_TRUE(loaded.ok()) << loaded.problems[0].text();
  const auto file = parse_toml(show(loaded.config, 1000));
  ASSERT_TRUE(file);
  for (const Key &key : all_keys()) {
    std::string standard(key.standard);
    if (standard.empty() || key.name == "mode") continue; // a TCP listener has none
    if (key.name == "decisions") standard = "\"/decisions.jsonl\"";
    if (key.name == "version") standard = "\"16.0.0.0\"";
    EXPECT_EQ(shown(*file, key), standard) << key.heading();
  }
}

/// Every key of `table`, and of the tables in it, has a row.
void expect_rows(const toml::table &table, const std::string &name) {
  for (const auto &[key, node] : table) {
    if (!keys_of(name).empty() && name != "aliases") {
      EXPECT_TRUE(find_key(name, key.str())) << name << '.' << key.str();
    }
    const std::string below = name.empty() ? std::string(key.str()) : name + '.' + std::string(key.str());
    if (const auto *inner = node.as_table()) expect_rows(*inner, below);
    if (const auto *list = node.as_array())
      for (const auto &element : *list)
        if (const auto *inner = element.as_table()) expect_rows(*inner, below);
  }
}

TEST(Keys, WhatShowPrintsHasARow) {
  const Loaded loaded = parse(smallest, "/f", "/dev/null");
  const auto file = parse_toml(show(loaded.config, 1000));
  ASSERT_TRUE(file);
  expect_rows(*file, "");
}

TEST(Keys, StandOnceAndAreSentences) {
  for (const Key &key : all_keys()) {
    EXPECT_EQ(find_key(key.table, key.name), &key) << key.heading();
    EXPECT_FALSE(key.type.empty() || key.sentence.empty() || key.sentence.ends_with('.')) << key.heading();
    EXPECT_EQ(key.type == "a number", key.bounds.most != 0) << key.heading();
  }
}

struct Line {
  std::string keys, text;
};
/// The README's reference: table, as "route", to its lines.
std::map<std::string, std::vector<Line>> reference() {
  std::ifstream in(SQLSHIM_SOURCE_DIR "/README.md");
  std::map<std::string, std::vector<Line>> tables;
  std::string table;
  bool within = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) within = line == "## Configuration reference";
    if (!within || !line.starts_with("| ")) continue;
    std::vector<std::string> cells;
    for (const auto cell : std::string_view(line).substr(1) | std::views::split('|'))
      cells.emplace_back(cell.begin(), cell.end());
    if (cells.size() < 3 || cells[0] == " table ") continue;
    if (const auto open = cells[0].find_first_not_of(" `["); open != std::string::npos)
      table = cells[0].substr(open, cells[0].find(']') - open);
    tables[table].push_back({cells[1], line});
  }
  return tables;
}

TEST(Keys, TheReferenceHasEachWithItsDefault) {
  auto tables = reference();
  for (const Key &key : all_keys()) {
    if (key.later) continue;
    const std::string first(key.table.substr(0, key.table.find('.')));
    const bool below = first != key.table; // in the line of the key that holds it
    const std::string name(below ? key.table.substr(first.size() + 1) : key.name);
    const auto line = std::ranges::find_if(
        tables[first], [&](const Line &one) { return one.keys.contains("`" + name + "`"); });
    const bool found = line != tables[first].end() || name == "from";
    EXPECT_TRUE(found) << key.heading() << " is not in README.md";
    if (line == tables[first].end()) continue;
    if (below) {
      EXPECT_THAT(line->text, HasSubstr(key.name)) << key.heading();
    }
    if (key.standard.empty()) continue;
    const std::string standard = below ? std::string(key.name) + " = " + std::string(key.standard)
                                       : "`" + std::string(key.standard) + "`";
    EXPECT_THAT(line->text, HasSubstr(standard)) << key.heading();
  }
}

TEST(Keys, TheReferenceHasNoOthers) {
  for (const auto &[table, lines] : reference())
    for (const Line &line : lines)
      for (std::size_t at = line.keys.find('`'); at != std::string::npos;) {
        const std::size_t end = line.keys.find('`', at + 1);
        ASSERT_NE(end, std::string::npos) << line.keys;
        const std::string word = line.keys.substr(at + 1, end - at - 1);
        if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos) {
          EXPECT_TRUE(find_key(table, word)) << table << ' ' << word;
        }
        at = line.keys.find('`', end + 1);
      }
}

TEST(Keys, WordsOfPeople) {
  for (const char *word : {"encrypt", "route.encrypt", "[[route]] encrypt"}) {
    const auto meant = keys_meant(word);
    ASSERT_EQ(meant.size(), 1u) << word;
    EXPECT_EQ(meant[0]->heading(), "[[route]] encrypt");
  }
  EXPECT_EQ(keys_meant("name").size(), 3u);
  EXPECT_EQ(keys_meant("timeouts.dns").at(0)->heading(), "[[route]] timeouts.dns");
  EXPECT_EQ(keys_meant("log.level").at(0)->heading(), "[log] level");
  EXPECT_TRUE(keys_meant("crypt").empty());
  EXPECT_EQ(table_of("route[12].match"), "route.match");
}

} // namespace
