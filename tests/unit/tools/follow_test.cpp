#include "tools/follow.hpp"

#include "tools/commands.hpp"
#include "tools/lab/files.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <sstream>

namespace {

using namespace testing;
namespace fs = std::filesystem;

/// A log that a test writes to, and who follows it.
class Follow : public Test {
protected:
  void append(std::string_view text) { std::ofstream(path_, std::ios::app) << text; }
  /// The next lines; the first of a file with a caret in front.
  std::vector<std::string> next() {
    std::vector<std::string> texts;
    for (const auto &[text, first] : follower_.lines())
      texts.push_back((first ? "^" : "") + text);
    return texts;
  }
  void rotate() { fs::rename(path_, path_.string() + ".1"); }
  void append_to_rotated(std::string_view text) {
    std::ofstream(path_.string() + ".1", std::ios::app) << text;
  }

  lab::TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "log";
  commands::Follower follower_{path_};
};

TEST_F(Follow, BeginsWithWhatIsThereAndGoesOn) {
  append("one\ntwo\n");
  EXPECT_THAT(next(), ElementsAre("^one", "two"));
  EXPECT_THAT(next(), IsEmpty());
  append("three\n");
  EXPECT_THAT(next(), ElementsAre("three"));
}

TEST_F(Follow, WaitsForAFileThatDoesNotExistYet) {
  EXPECT_THAT(next(), IsEmpty());
  append("one\n");
  EXPECT_THAT(next(), ElementsAre("^one"));
}

TEST_F(Follow, ALineIsHandedOutWhenItIsWhole) {
  append("o");
  EXPECT_THAT(next(), IsEmpty());
  append("n");
  EXPECT_THAT(next(), IsEmpty());
  append("e\ntw");
  EXPECT_THAT(next(), ElementsAre("^one"));
  append("o\n");
  EXPECT_THAT(next(), ElementsAre("two"));
}

TEST_F(Follow, LinesLongerThanAReadStayWhole) {
  const std::string longer(200'000, 'x');
  append(longer + "\nnext\n");
  EXPECT_THAT(next(), ElementsAre("^" + longer, "next"));
}

TEST_F(Follow, AfterRotationTheNewFileIsRead) {
  append("one\n");
  next();
  rotate();
  append("two\n");
  EXPECT_THAT(next(), ElementsAre("^two"));
  append_to_rotated("too late\n");
  append("three\n");
  EXPECT_THAT(next(), ElementsAre("three"));
}

TEST_F(Follow, TheOldFileIsReadOnUntilTheNewOneHasContent) {
  append("one\n");
  next();
  rotate();
  append_to_rotated("two\n");
  EXPECT_THAT(next(), ElementsAre("two")) << "moved away, no new file yet";
  append(""); // logrotate's `create`: the writer is not told until later
  append_to_rotated("three\n");
  EXPECT_THAT(next(), ElementsAre("three"));
  append_to_rotated("four\n");
  append("five\n");
  EXPECT_THAT(next(), ElementsAre("four", "^five")) << "the last of the old file, then the new one";
}

TEST_F(Follow, ALineCutByRotationIsHandedOutAsItIs) {
  append("one\ncu");
  EXPECT_THAT(next(), ElementsAre("^one"));
  rotate();
  append("two\n");
  EXPECT_THAT(next(), ElementsAre("cu", "^two"));
}

TEST_F(Follow, TruncationInTheMiddleOfALine) {
  append("one\ntw");
  EXPECT_THAT(next(), ElementsAre("^one"));
  fs::resize_file(path_, 0);
  append("x\n");
  EXPECT_THAT(next(), ElementsAre("tw", "^x"));
  append("y\n");
  EXPECT_THAT(next(), ElementsAre("y"));
}

TEST_F(Follow, AFileThatIsDeletedAndMadeAnew) {
  append("one\n");
  next();
  fs::remove(path_);
  EXPECT_THAT(next(), IsEmpty());
  append("two\n");
  EXPECT_THAT(next(), ElementsAre("^two"));
}

// --- the timeline of a file that grows
// ----------------------------------------------------------------------------------------------------

std::string accepted(std::string_view conn) {
  return R"({"v":1,"at":"2026-11-22T09:52:02Z","conn":")" + std::string(conn) +
         R"(","seq":1,"us":0,"event":"accepted","data":{"listener":"b"}})"
         "\n";
}
std::string refused(std::string_view conn) {
  return R"({"v":1,"at":"2026-11-22T09:52:03Z","conn":")" + std::string(conn) +
         R"(","seq":2,"us":1830,"event":"refused","data":{"cause":"spn-missing"}})"
         "\n";
}
std::string closed(std::string_view conn) {
  return R"({"v":1,"at":"2026-11-22T09:52:04Z","conn":")" + std::string(conn) +
         R"(","seq":3,"us":1900,"event":"closed","data":{"by":"us"}})"
         "\n";
}

/// Runs `steps` one after the other between the looks of the follower, and returns what was shown after each.
struct Watched {
  std::vector<std::string> shown;
  std::string rest, err;
};
Watched watch(const fs::path &path, const commands::LogOptions &options,
              std::vector<std::function<void()>> steps) {
  Watched watched;
  std::ostringstream out, err;
  std::size_t step = 0;
  commands::follow(path, out, err, options, [&] {
    watched.shown.push_back(out.str());
    out.str("");
    if (step == steps.size()) return false;
    steps[step++]();
    return true;
  });
  watched.rest = out.str();
  watched.err = err.str();
  return watched;
}

TEST_F(Follow, ShowsEachLineOfTheTimelineAtOnce) {
  const auto watched = watch(path_, {},
                             {[&] { append(accepted("00000001") + refused("00000001").substr(0, 30)); },
                              [&] { append(refused("00000001").substr(30)); }});
  EXPECT_THAT(watched.shown, ElementsAre("", "00000001 +0.000ms accepted listener=b\n",
                                         "00000001 +1.830ms refused cause=spn-missing\n"));
}

TEST_F(Follow, WithACauseAConnectionIsShownWhenItCloses) {
  const auto watched = watch(
      path_, {.cause = "spn-missing"},
      {[&] {
         append(accepted("00000001") + accepted("00000002") + accepted("00000003") + refused("00000001"));
       },
       [&] { append(closed("00000002") + closed("00000001")); }, [&] { append(refused("00000003")); }});
  EXPECT_THAT(watched.shown, ElementsAre("", "",
                                         "00000001 +0.000ms accepted listener=b\n"
                                         "00000001 +1.830ms refused cause=spn-missing\n"
                                         "00000001 +1.900ms closed by=us up=0 down=0 lasted_ms=0\n",
                                         ""));
  EXPECT_THAT(watched.rest, StartsWith("00000003 ")) << "what has not closed yet is shown at the end";
}

TEST_F(Follow, OneConnection) {
  const auto watched =
      watch(path_, {.conn = "00000002"}, {[&] { append(accepted("00000001") + accepted("00000002")); }});
  EXPECT_THAT(watched.shown, ElementsAre("", "00000002 +0.000ms accepted listener=b\n"));
}

TEST_F(Follow, LinesThatCannotBeReadAreNumberedWithinTheirFile) {
  append(accepted("00000001") + "nonsense\n");
  const auto watched = watch(path_, {.name = "LOG"}, {[&] {
                               rotate();
                               append("more\n");
                             }});
  EXPECT_THAT(watched.err, AllOf(HasSubstr("LOG:2: "), HasSubstr("LOG:1: ")));
}

} // namespace
