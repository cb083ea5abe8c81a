// Every target runs over its corpus, every crash that was ever found and its own edge cases, in the ordinary
// test programs: no libFuzzer needed.
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <set>
#include <string>

namespace {

namespace fs = std::filesystem;

const fs::path here = SQLSHIM_SOURCE_DIR "/tests/fuzz";

std::vector<std::uint8_t> content(const fs::path &file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::set<std::string> folders(const fs::path &folder) {
  std::set<std::string> names;
  if (fs::exists(folder))
    for (const auto &entry : fs::directory_iterator(folder))
      if (entry.is_directory()) names.insert(entry.path().filename());
  return names;
}

class Replay : public testing::TestWithParam<fuzz::Target> {};

TEST_P(Replay, CorpusAndCrashes) {
  std::size_t runs = 0;
  for (const char *kind : {"corpus", "crashes"}) {
    const fs::path folder = here / kind / GetParam().name;
    if (!fs::exists(folder)) continue;
    for (const auto &file : fs::directory_iterator(folder)) {
      const auto input = content(file.path());
      ASSERT_LE(input.size(), GetParam().longest) << file.path();
      SCOPED_TRACE(file.path());
      fuzz::run(GetParam(), input);
      ++runs;
    }
  }
  EXPECT_GE(runs, 1u) << "no corpus in " << here / "corpus" / GetParam().name;
}

// What no corpus need hold: nothing, and runs of one byte up to the longest input.
TEST_P(Replay, NothingAndOneByteOverAndOver) {
  fuzz::run(GetParam(), {});
  for (const int byte :
       {0x00, 0x01, 0x04, 0x10, 0x30, 0x5B, 0x60, 0x7F, 0x80, 0xAA, 0xAE, 0xC0, 0xED, 0xFE, 0xFF})
    for (const std::size_t size :
         {std::size_t{1}, std::size_t{9}, GetParam().longest / 16, GetParam().longest}) {
      SCOPED_TRACE(std::to_string(size) + " times " + std::to_string(byte));
      fuzz::run(GetParam(), std::vector<std::uint8_t>(size, static_cast<std::uint8_t>(byte)));
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(fuzz::targets()),
                         [](const auto &info) { return std::string(info.param.name); });

// A folder that belongs to no target, or a target that targets.txt does not list, would never run.
TEST(Targets, FoldersAndListAgree) {
  std::set<std::string> linked, listed;
  for (const auto &target : fuzz::targets())
    linked.insert(std::string(target.name));
  std::ifstream list(here / "targets.txt");
  for (std::string line; std::getline(list, line);)
    if (!line.empty() && line[0] != '#') listed.insert(line.substr(0, line.find(' ')));
  EXPECT_EQ(linked, listed);
  EXPECT_EQ(folders(here / "corpus"), listed);
  for (const auto &name : folders(here / "crashes"))
    EXPECT_TRUE(listed.contains(name)) << name;
}

// The tool itself: what is beyond the bound, or does not hold, ends the program.
TEST(FuzzDeathTest, ABoundThatIsPassedEndsTheProgram) {
  const auto large = [] { return std::vector<std::uint8_t>(10'000).size(); };
  EXPECT_EQ(fuzz::within(20'000, large), 10'000u);
  EXPECT_DEATH(fuzz::within(5'000, large),
               "10000 bytes more than the 0 that it holds, and 5000 are its bound");
  EXPECT_DEATH(fuzz::within(15'000,
                            [] {
                              std::vector<std::uint8_t> one(10'000), two(10'000);
                              return one.size() + two.size();
                            }),
               "10000 bytes more than the 10... that it holds, and 15000 are its bound");
  EXPECT_DEATH(fuzz::require(false, "one is two"), "does not hold: one is two");
}

} // namespace
