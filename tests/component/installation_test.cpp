// What an operator installs: `cmake --install`, its unit, its programs.
#include "tools/lab/process.hpp"

#include <gmock/gmock.h>

namespace {

using namespace testing;
namespace fs = lab::fs;

std::vector<std::string> files_below(const fs::path &folder) {
  std::vector<std::string> files;
  for (const auto &entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory()) files.push_back(entry.path().lexically_relative(folder));
  return files;
}

/// One test: two installations at once would write the same manifest.
TEST(Installation, HoldsTheProgramsWithoutTheLabAndAUnitThatSystemdUnderstands) {
  const lab::TemporaryFolder folder;
  const auto program = folder.path() / "bin/sqlshim",
             unit = folder.path() / "lib/systemd/system/sqlshim.service";
  const auto done =
      lab::run({.argv = {"cmake", "--install", lab::program_folder(), "--prefix", folder.path().string()}});
  ASSERT_EQ(done.status, 0) << done.output;
  EXPECT_THAT(files_below(folder.path()), UnorderedElementsAre("bin/sqlshim", "bin/sqlshim-control",
                                                               "lib/systemd/system/sqlshim.service"));

  // Whoever has run the README's first command can install: it builds all of that.
  const auto demo = lab::read_file(SQLSHIM_SOURCE_DIR "/tools/demo.sh");
  for (const auto &installed : fs::directory_iterator(folder.path() / "bin"))
    EXPECT_THAT(demo, ContainsRegex("--target ([^\n]* )?" + installed.path().filename().string() + " "));

  const auto lab = lab::run({.argv = {program, "lab", "--", "true"}});
  EXPECT_EQ(lab.status, 2);
  EXPECT_THAT(lab.output, HasSubstr("sqlshim-lab"));

  // systemd itself reads it: settings and words that it does not know, and programs
  // that are not there, are told.
  EXPECT_THAT(lab::read_file(unit), HasSubstr("\nExecStart=" + program.string() + " serve\n"));
  const auto verified = lab::run({.argv = {"systemd-analyze", "verify", "--man=no", unit}});
  EXPECT_EQ(verified.status, 0);
  EXPECT_THAT(verified.output, Not(HasSubstr("sqlshim"))) << "what it says of other units is not ours";
  // From 0, safe, to 10: what is left is the network, users' ccaches in /tmp and /home, and its Unix sockets.
  const auto exposed = lab::run(
      {.argv = {"systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", unit}});
  EXPECT_EQ(exposed.status, 0) << exposed.output;
  for (const auto line : {"UMask=0077", "StateDirectoryMode=0700", "LogsDirectoryMode=0700", "MemoryMax=2G",
                          "TasksMax=512", "LimitCORE=0", "SystemCallFilter=~@privileged @resources"})
    EXPECT_THAT(lab::read_file(unit), HasSubstr("\n" + std::string(line) + "\n"));
}

} // namespace
