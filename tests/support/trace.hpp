// What the kernel sees of a test: the test runs once more, as a child under strace.
#pragma once

#include <string>
#include <vector>

namespace test {

/// A mark in a trace of system calls: one that cannot do anything.
void mark();

/// System calls of a test of this program, less those of programs that it started: before its first mark,
/// and between its two marks.
struct Traced {
  std::vector<std::string> before;
  std::vector<std::string> between;
};

/// Whether strace is there and may trace.
bool can_trace();
/// Runs the test named `test` of this very program under strace -f with `calls` ("network,file"). Throws
/// where the test fails or the trace cannot be read.
Traced trace(const std::string &test, const std::string &calls);
/// The lines that hold a match of the regular expression.
std::vector<std::string> matching(const std::vector<std::string> &lines, const std::string &pattern);

} // namespace test

#define SKIP_WITHOUT_PTRACE()                                                                                \
  if (!test::can_trace()) {                                                                                  \
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "strace must work in CI";                                    \
    GTEST_SKIP() << "strace is not there or may not trace: what the kernel sees of a login is not checked";  \
  }
