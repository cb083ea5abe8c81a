#include "shim/log/log.hpp"

#include "shim/log/render.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fstream>
#include <gmock/gmock.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace shim;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

constexpr auto long_enough = 20s; ///< a deadline that only a hanging program reaches

class FileLogTest : public testing::Test {
protected:
  FileLogTest() {
    std::string pattern = (fs::temp_directory_path() / "sqlshim-log-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~FileLogTest() override { fs::remove_all(folder); }

  std::unique_ptr<DecisionLog> open(const fs::path &file, std::size_t lines = 65536,
                                    bool debug = false) const {
    auto log = open_decision_log(file, debug, lines);
    EXPECT_TRUE(log) << log.error();
    return std::move(log).value_or(nullptr);
  }
  static std::string content(const fs::path &file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator(in), {}};
  }
  /// What the warnings in a file say; a line that is none shows as it is.
  static std::vector<std::string> warnings(const fs::path &file) {
    std::vector<std::string> found;
    std::istringstream lines(content(file));
    for (std::string line; std::getline(lines, line);) {
      const auto record = from_json(line);
      found.push_back(record ? std::get<Warned>(record->event).what : line);
    }
    return found;
  }

  fs::path folder;
};

TEST_F(FileLogTest, WritesLinesIntoAFileOfItsOwn) {
  const auto old_mask = ::umask(0);
  {
    const auto log = open(folder / "d.jsonl");
    log->emit(Warned{"one"});
    log->emit(Warned{"two"});
    log->flush(long_enough);
    EXPECT_THAT(warnings(folder / "d.jsonl"), ElementsAre("one", "two"));
    log->emit(Warned{"three"});
  }
  ::umask(old_mask);
  EXPECT_THAT(warnings(folder / "d.jsonl"), ElementsAre("one", "two", "three"))
      << "what was queued is written before the log goes";
  EXPECT_EQ(fs::status(folder / "d.jsonl").permissions(), fs::perms(0600));
}

TEST_F(FileLogTest, AppendsToWhatIsThere) {
  open(folder / "d.jsonl")->emit(Warned{"one"});
  open(folder / "d.jsonl")->emit(Warned{"two"});
  EXPECT_THAT(warnings(folder / "d.jsonl"), ElementsAre("one", "two"));
}

TEST_F(FileLogTest, EndsALineThatAnEarlierRunLeftUnfinished) {
  std::ofstream(folder / "d.jsonl") << "{\"v\":1,\"at\":\"2026-";
  open(folder / "d.jsonl")->emit(Warned{"one"});
  EXPECT_THAT(warnings(folder / "d.jsonl"), ElementsAre("{\"v\":1,\"at\":\"2026-", "one"));
}

TEST_F(FileLogTest, DoesNotFollowASymbolicLink) {
  std::ofstream(folder / "precious") << "x";
  fs::create_symlink(folder / "precious", folder / "d.jsonl");
  const auto log = open_decision_log(folder / "d.jsonl", false);
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error(), HasSubstr("d.jsonl: it is a symbolic link; name the file itself"));
  EXPECT_EQ(content(folder / "precious"), "x");
}

TEST_F(FileLogTest, AFileThatCannotBeOpenedIsAnError) {
  const auto log = open_decision_log(folder / "no such folder" / "d.jsonl", false);
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error(), HasSubstr("cannot open the decision log"));
  EXPECT_THAT(log.error(), HasSubstr("No such file or directory"));
}

TEST_F(FileLogTest, ReopensByName) {
  const auto log = open(folder / "d.jsonl");
  log->emit(Warned{"old"});
  log->flush(long_enough);
  fs::rename(folder / "d.jsonl", folder / "d.jsonl.1");
  log->reopen();
  log->emit(Warned{"new"});
  log->flush(long_enough);
  EXPECT_THAT(warnings(folder / "d.jsonl.1"), ElementsAre("old"));
  EXPECT_THAT(warnings(folder / "d.jsonl"), ElementsAre("new"));
  EXPECT_EQ(fs::status(folder / "d.jsonl").permissions(), fs::perms(0600));
}

TEST_F(FileLogTest, KeepsTheOldFileWhenTheNewOneCannotBeOpened) {
  const auto log = open(folder / "d.jsonl");
  fs::rename(folder / "d.jsonl", folder / "d.jsonl.1");
  fs::create_directory(folder / "d.jsonl");
  log->reopen();
  log->emit(Warned{"one"});
  log->flush(long_enough);
  EXPECT_THAT(warnings(folder / "d.jsonl.1"), ElementsAre("one"));
}

TEST_F(FileLogTest, ADiskThatIsFullStopsNewLogins) {
  const auto log = open("/dev/full", 8);
  EXPECT_TRUE(log->has_room());
  log->emit(Warned{"one"});
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  while (log->has_room() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  EXPECT_FALSE(log->has_room());
  log->flush(1ms); // comes back, although nothing can be written

  // What runs goes on logging until the queue is full; then it is told so, and nothing waits.
  int queued = 1;
  while (log->write({.at = {}, .conn = {}, .seq = 0, .since_accept = {}, .event = Warned{"more"}}))
    ++queued;
  EXPECT_EQ(queued, 8);
}

/// A pipe stands for a file that takes nothing for a while, and only parts of lines.
TEST_F(FileLogTest, NothingIsLostOrCutWhenTheFileTakesBytesAgain) {
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto log = open(pipe, 100'000); // opened for reading too, so it waits for nobody
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);

  constexpr std::size_t lines = 2000; // more than the 64 KiB that a pipe holds
  for (std::size_t i = 0; i < lines; ++i)
    log->emit(Warned{std::to_string(i) + std::string(100, 'x')});

  std::string read;
  std::size_t ends = 0;
  const auto deadline = std::chrono::steady_clock::now() + long_enough;
  while (ends < lines && std::chrono::steady_clock::now() < deadline) {
    char piece[777]; // no divisor of a line
    const ssize_t count = ::read(reader, piece, sizeof piece);
    if (count <= 0) continue;
    read.append(piece, static_cast<std::size_t>(count));
    ends += static_cast<std::size_t>(std::count(piece, piece + count, '\n'));
  }
  ::close(reader);
  std::istringstream in(read);
  std::size_t number = 0;
  for (std::string line; std::getline(in, line); ++number) {
    const auto record = from_json(line);
    ASSERT_TRUE(record) << line;
    EXPECT_THAT(std::get<Warned>(record->event).what, testing::StartsWith(std::to_string(number) + "x"));
  }
  EXPECT_EQ(number, lines);
}

TEST_F(FileLogTest, HasRoomWhileHalfOfTheQueueIsFree) {
  const auto log = open("/dev/full", 4); // nothing ever leaves the queue
  EXPECT_TRUE(log->has_room());
  log->emit(Warned{"1"});
  log->emit(Warned{"2"});
  EXPECT_FALSE(log->has_room());
}

TEST_F(FileLogTest, TakesLinesFromManyThreads) {
  const auto log = open(folder / "d.jsonl");
  constexpr int threads = 4, each = 500;
  {
    std::vector<std::jthread> writers;
    for (int t = 0; t < threads; ++t)
      writers.emplace_back([&log, t] {
        for (int i = 0; i < each; ++i)
          log->emit(Warned{std::to_string(t) + ":" + std::to_string(i)});
      });
  }
  log->flush(long_enough);
  const auto written = warnings(folder / "d.jsonl");
  EXPECT_EQ(written.size(), std::size_t{threads * each});
  EXPECT_EQ(std::set(written.begin(), written.end()).size(), std::size_t{threads * each});
}

// ---- the trail of one connection ----

class MemoryLog final : public DecisionLog {
public:
  explicit MemoryLog(bool with_debug) : debug_(with_debug) {}
  bool write(const Record &record) override {
    if (full) return false;
    written.push_back(record);
    return true;
  }
  bool has_room() const override { return !full; }
  void flush(std::chrono::milliseconds) override {}
  void reopen() override {}
  bool debug() const override { return debug_; }

  std::vector<Record> written;
  bool full = false;

private:
  bool debug_;
};

std::vector<std::uint64_t> numbers(const std::vector<Record> &records) {
  std::vector<std::uint64_t> seqs;
  for (const Record &record : records)
    seqs.push_back(record.seq);
  return seqs;
}

TEST(Trail, NumbersWhatIsWrittenWithoutGaps) {
  MemoryLog log(false);
  Trail trail(log, "7f3a01c2");
  trail.emit(Accepted{});
  trail.emit(TraceLine{"debug"});
  trail.emit(PolicyDecided{});
  trail.emit(TokenExchanged{});
  trail.emit(Closed{});
  EXPECT_THAT(numbers(log.written), ElementsAre(1, 2, 3));
  EXPECT_THAT(numbers(trail.records()), ElementsAre(1, 0, 2, 0, 3)) << "the diagnosis sees debug kinds too";
  EXPECT_EQ(log.written[0].conn, "7f3a01c2");
}

TEST(Trail, WritesDebugKindsWhenTheyAreWanted) {
  MemoryLog log(true);
  Trail trail(log, "7f3a01c2");
  trail.emit(Accepted{});
  trail.emit(TraceLine{"debug"});
  trail.emit(Closed{});
  EXPECT_THAT(numbers(log.written), ElementsAre(1, 2, 3));
}

TEST(Trail, ALostLineShowsAsAGap) {
  MemoryLog log(false);
  Trail trail(log, "7f3a01c2");
  trail.emit(Accepted{});
  log.full = true;
  trail.emit(PolicyDecided{});
  log.full = false;
  trail.emit(Closed{});
  EXPECT_THAT(numbers(log.written), ElementsAre(1, 3));
  EXPECT_EQ(trail.records().size(), 3u);
}

TEST(Trail, ForgetsAndGoesOnNumbering) {
  MemoryLog log(false);
  Trail trail(log, "7f3a01c2");
  trail.emit(Accepted{});
  trail.forget();
  trail.emit(Closed{});
  EXPECT_THAT(trail.records(), IsEmpty());
  EXPECT_THAT(numbers(log.written), ElementsAre(1, 2));
}

TEST(Trail, DrawsAnIdOfItsOwn) {
  MemoryLog log(false);
  constexpr std::size_t many = 300000; // drawn by chance, ten of them would be there already
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < many; ++i)
    ids.push_back(Trail(log).id());
  EXPECT_THAT(ids.front(), testing::MatchesRegex("[0-9a-f]{8}"));
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
}

TEST(Trail, StampsInOrder) {
  MemoryLog log(false);
  Trail trail(log, "7f3a01c2");
  const auto before = std::chrono::system_clock::now();
  trail.emit(Accepted{});
  trail.emit(Closed{});
  EXPECT_GE(log.written[0].at, before);
  EXPECT_GE(log.written[0].since_accept, 0us);
  EXPECT_GE(log.written[1].since_accept, log.written[0].since_accept);
}

TEST(DecisionLog, EmitHasNoConnection) {
  MemoryLog log(false);
  log.emit(Warned{"x"});
  EXPECT_EQ(log.written.at(0).conn, "");
  EXPECT_EQ(log.written[0].seq, 0u);
}

} // namespace
