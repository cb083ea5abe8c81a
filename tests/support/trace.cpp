#include "tests/support/trace.hpp"

#include "tools/lab/process.hpp"

#include <regex>
#include <set>
#include <sstream>
#include <sys/socket.h>

namespace test {

void mark() { ::shutdown(-1, SHUT_RDWR); }

bool can_trace() { return lab::run({.argv = {"strace", "-f", "-o", "/dev/null", "true"}}).status == 0; }

Traced trace(const std::string &test, const std::string &calls) {
  const lab::TemporaryFolder folder;
  const auto output = folder.path() / "trace";
  // LeakSanitizer traces the process too, and there can be only one.
  const char *options = getenv("ASAN_OPTIONS");
  const auto done =
      lab::run({.argv = {"strace", "-f", "-e", "trace=execve," + calls, "-o", output.string(),
                         std::filesystem::read_symlink("/proc/self/exe").string(), "--gtest_filter=" + test},
                // The child runs that one test, whichever share of all of them this process has.
                .environment = {{"ASAN_OPTIONS", std::string(options ? options : "") + ":detect_leaks=0"},
                                {"GTEST_TOTAL_SHARDS", ""},
                                {"GTEST_SHARD_INDEX", ""}}},
               {}, std::chrono::seconds(300));
  if (done.status != 0) throw lab::LabError(test + " failed under strace:\n" + done.output);

  std::vector<std::string> lines;
  std::istringstream text(lab::read_file(output));
  for (std::string line; std::getline(text, line);)
    lines.push_back(line);
  const auto thread = [](const std::string &line) { return line.substr(0, line.find(' ')); };
  std::set<std::string> foreign;
  for (const auto &line : lines)
    if (line.find(" execve(") != line.npos && thread(line) != thread(lines.front()))
      foreign.insert(thread(line));

  Traced traced;
  int marks = 0;
  for (const auto &line : lines) {
    if (foreign.contains(thread(line))) continue;
    // Without the closing bracket: where another thread's call comes between, strace
    // prints one call as two lines.
    if (line.find(" shutdown(-1, SHUT_RDWR") != line.npos)
      ++marks;
    else if (marks < 2)
      (marks ? traced.between : traced.before).push_back(line);
  }
  if (marks != 2 || foreign.empty())
    throw lab::LabError("the trace of " + test + " cannot be read: " + std::to_string(marks) + " marks, " +
                        std::to_string(foreign.size()) + " programs, " + std::to_string(lines.size()) +
                        " lines");
  return traced;
}

std::vector<std::string> matching(const std::vector<std::string> &lines, const std::string &pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> result;
  for (const auto &line : lines)
    if (std::regex_search(line, expression)) result.push_back(line);
  return result;
}

} // namespace test
