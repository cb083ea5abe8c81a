#include "tools/commands.hpp"

#include <gmock/gmock.h>
#include <sstream>

namespace {

/// Two connections, mixed: 7f3a01c2 is refused, 00000001 is not.
constexpr std::string_view mixed =
    R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"started","data":{"version":"0.1.0"}})"
    "\n"
    R"({"v":1,"at":"2026-11-22T09:52:01.5Z","conn":"7f3a01c2","seq":1,"us":0,"event":"accepted","data":{"listener":"a"}})"
    "\n"
    R"({"v":1,"at":"2026-11-22T09:52:02Z","conn":"00000001","seq":1,"us":0,"event":"accepted","data":{"listener":"b"}})"
    "\n"
    R"({"v":1,"at":"2026-11-22T09:52:03Z","conn":"7f3a01c2","seq":2,"us":1830,"event":"refused","data":{"cause":"spn-missing"}})"
    "\n"
    R"({"v":1,"at":"2026-11-22T09:52:04Z","conn":"7f3a01c2","seq":3,"us":1900,"event":"closed","data":{"by":"us"}})"
    "\n";

struct Shown {
  int status;
  std::string out, err;
};
Shown show(std::string_view text, commands::LogOptions options = {}) {
  std::istringstream in{std::string(text)};
  std::ostringstream out, err;
  options.name = "FILE";
  const int status = commands::log(in, out, err, options);
  return {status, out.str(), err.str()};
}

TEST(Log, ShowsATimeline) {
  const Shown shown = show(mixed);
  EXPECT_EQ(shown.status, 0);
  EXPECT_EQ(shown.err, "");
  EXPECT_EQ(shown.out, "2026-11-22T09:52:00.000000Z started version=0.1.0\n"
                       "7f3a01c2 +0.000ms accepted listener=a\n"
                       "00000001 +0.000ms accepted listener=b\n"
                       "7f3a01c2 +1.830ms refused cause=spn-missing\n"
                       "7f3a01c2 +1.900ms closed by=us up=0 down=0 lasted_ms=0\n");
}

TEST(Log, OneConnection) {
  EXPECT_EQ(show(mixed, {.conn = "00000001"}).out, "00000001 +0.000ms accepted listener=b\n");
  EXPECT_EQ(show(mixed, {.conn = "0"}).out, "00000001 +0.000ms accepted listener=b\n");
  EXPECT_EQ(show(mixed, {.conn = "f"}).out, "");
}

TEST(Log, ConnectionsRefusedForOneCause) {
  const std::string expected = "7f3a01c2 +0.000ms accepted listener=a\n"
                               "7f3a01c2 +1.830ms refused cause=spn-missing\n"
                               "7f3a01c2 +1.900ms closed by=us up=0 down=0 lasted_ms=0\n";
  EXPECT_EQ(show(mixed, {.cause = "spn-missing"}).out, expected);
  EXPECT_EQ(show(mixed, {.cause = "clock-skew"}).out, "");
  // A connection whose end is not in the log yet is shown too.
  const std::string_view without_end = mixed.substr(0, mixed.rfind("{\"v\""));
  EXPECT_EQ(show(without_end, {.cause = "spn-missing"}).out, expected.substr(0, expected.rfind("7f3a01c2")));
}

TEST(Log, TheTimeOfDay) {
  EXPECT_EQ(show(mixed, {.conn = "7f3a01c2", .time = true}).out.substr(0, 50),
            "09:52:01.500 7f3a01c2 +0.000ms accepted listener=a");
}

TEST(Log, ColoursWhatDrawsTheEye) {
  const std::string out = show(mixed, {.colour = true}).out;
  EXPECT_THAT(out, testing::HasSubstr("\033[31m7f3a01c2 +1.830ms refused cause=spn-missing\033[0m\n"));
  EXPECT_THAT(out, testing::HasSubstr("\n7f3a01c2 +0.000ms accepted listener=a\n"));
}

TEST(Log, BadLinesAreNamedAndLeftOut) {
  const Shown shown = show("nonsense\n\n" + std::string(mixed) + R"({"v":1,"at":"2026-11-22T09:52:)");
  EXPECT_EQ(shown.status, 1);
  EXPECT_EQ(shown.out, show(mixed).out);
  EXPECT_EQ(shown.err,
            "FILE:1: not JSON (a line that was cut off?)\nFILE:8: not JSON (a line that was cut off?)\n");
}

TEST(Log, AnEmptyLogIsGood) {
  EXPECT_EQ(show("").status, 0);
  EXPECT_EQ(show("").out, "");
}

TEST(Log, ACauseThatIsNone) {
  EXPECT_EQ(commands::cause_problem(""), "");
  EXPECT_EQ(commands::cause_problem("spn-missing"), "");
  EXPECT_EQ(commands::cause_problem("spn-mising"),
            "there is no cause \"spn-mising\"; did you mean spn-missing?");
  EXPECT_EQ(
      commands::cause_problem("spn"),
      "there is no cause \"spn\"; did you mean address-without-spn, spn-missing, spn-wrong-account, spn-duplicate?");
  EXPECT_THAT(
      commands::cause_problem("something-else-entirely"),
      testing::AllOf(testing::HasSubstr("the causes are: name-not-found, "), testing::HasSubstr("deadline")));
  EXPECT_THAT(commands::cause_problem("\x1b"), testing::Not(testing::HasSubstr("\x1b")));
}

} // namespace
