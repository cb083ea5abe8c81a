#include "shim/log/log.hpp"

#include "shim/log/render.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <mutex>
#include <poll.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace shim {

namespace {

using namespace std::chrono_literals;

constexpr auto retry_after = 100ms; ///< how often a file that refuses bytes is tried again

std::string error_text(int number) { return std::error_code(number, std::generic_category()).message(); }

/// A file descriptor that is closed when it goes; standard output is not ours to close.
class File {
public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File &operator=(File &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }
  int fd() const { return fd_; }

private:
  int fd_ = -1;
};

std::expected<File, std::string> open_log(const std::filesystem::path &path) {
  if (path == "-") return File(STDOUT_FILENO);
  // Readable too, because the last byte tells whether an earlier run ended in the middle of a line.
  const int fd = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
  if (fd < 0) {
    const std::string why =
        errno == ELOOP ? "it is a symbolic link; name the file itself" : error_text(errno);
    return std::unexpected(fmt::format("cannot open the decision log {}: {}", path.string(), why));
  }
  return File(fd);
}

/// True when the file ends in the middle of a line: its writer died, or the disk was full.
bool ends_mid_line(const File &file) {
  struct stat about {};
  char last = '\n';
  if (::fstat(file.fd(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_size == 0) return false;
  return ::pread(file.fd(), &last, 1, about.st_size - 1) == 1 && last != '\n';
}

/// Lines wait in `queue_`; the writer takes all of them at once and writes them with as few
/// write(2) as the kernel allows. What could not be written stays in `unwritten_` (known to the
/// writer alone) and is tried again.
class FileLog final : public DecisionLog {
public:
  FileLog(std::filesystem::path path, File file, bool with_debug, std::size_t queue_lines)
      : path_(std::move(path)), debug_(with_debug), queue_lines_(queue_lines), file_(std::move(file)) {
    diagnostics_.set_pattern("%Y-%m-%dT%H:%M:%S.%e sqlshim %l: %v");
    if (ends_mid_line(file_)) unwritten_ = "\n";
    writer_ = std::thread([this] { run(); });
  }
  ~FileLog() override {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    writer_.join();
  }

  bool write(const Record &record) override {
    std::string line = to_json(record) + '\n';
    {
      const std::scoped_lock lock(mutex_);
      if (waiting_lines() >= queue_lines_) return false;
      queue_.push_back(std::move(line));
      ++queued_;
    }
    wake_.notify_one();
    return true;
  }

  bool has_room() const override {
    const std::scoped_lock lock(mutex_);
    // The second half is for logins that are under way already.
    return !failing_ && waiting_lines() < (queue_lines_ + 1) / 2;
  }

  void flush(std::chrono::milliseconds deadline) override {
    std::unique_lock lock(mutex_);
    written_more_.wait_for(lock, deadline, [this, upto = queued_] { return written_ >= upto; });
  }

  void reopen() override {
    {
      const std::scoped_lock lock(mutex_);
      reopening_ = true;
    }
    wake_.notify_one();
  }

  bool debug() const override { return debug_; }

private:
  bool has_memory_for_queue() {
    std::size_t bytes = unwritten_.size();
    for (const std::string &line : queue_)
      bytes += line.size();
    try {
      unwritten_.reserve(bytes);
      return true;
    } catch (const std::bad_alloc &) {
      return false;
    }
  }
  std::size_t waiting_lines() const { return static_cast<std::size_t>(queued_ - written_); }

  void run() {
    // Signals are for the threads that wait for them; a closed pipe is an error of write(2) here,
    // not the end of the process.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);

    std::unique_lock lock(mutex_);
    for (;;) {
      const auto something_to_do = [this] { return !queue_.empty() || reopening_ || stopping_; };
      if (failing_)
        wake_.wait_for(lock, retry_after, [this] { return reopening_ || stopping_; });
      else
        wake_.wait(lock, something_to_do);

      if (std::exchange(reopening_, false)) {
        lock.unlock();
        reopen_now();
        lock.lock();
      }
      const bool last = stopping_;
      if (!has_memory_for_queue()) { // the lines stay where they are
        failing_ = true;
        if (last) return;
        continue;
      }
      std::vector<std::string> batch = std::exchange(queue_, {});
      lock.unlock();
      for (const std::string &line : batch)
        unwritten_ += line;
      lines_in_hand_ += batch.size();
      const int error = write_out();
      lock.lock();
      if (error == 0) {
        written_ += std::exchange(lines_in_hand_, 0);
        written_more_.notify_all();
      }
      const bool failed = error != 0, changed = failed != failing_;
      failing_ = failed;
      if (last && queue_.empty()) return;
      if (changed) {
        lock.unlock(); // standard error may be a pipe that nobody empties
        tell(error);
        lock.lock();
      }
    }
  }

  /// Writes `unwritten_`; 0, or an errno with the rest kept.
  int write_out() {
    std::size_t done = 0;
    int error = 0;
    while (done < unwritten_.size()) {
      const ssize_t count = ::write(file_.fd(), unwritten_.data() + done, unwritten_.size() - done);
      if (count >= 0)
        done += static_cast<std::size_t>(count);
      else if (errno == EAGAIN && becomes_writable())
        continue; // a pipe whose reader is slow
      else if (errno != EINTR) {
        error = errno;
        break;
      }
    }
    if (done > 0) {
      // The whole of a line that is cut now stays in front of what is unwritten: a new file must not
      // begin in the middle of it.
      const std::size_t newline = unwritten_.rfind('\n', done - 1);
      if (newline != std::string::npos)
        started_line_ = unwritten_.substr(newline + 1, done - newline - 1);
      else
        started_line_ += unwritten_.substr(0, done);
      unwritten_.erase(0, done);
    }
    return error;
  }

  bool becomes_writable() const {
    pollfd output{.fd = file_.fd(), .events = POLLOUT, .revents = 0};
    return ::poll(&output, 1, static_cast<int>(retry_after.count())) == 1;
  }

  void reopen_now() try {
    auto file = open_log(path_);
    if (!file) {
      diagnostics_.error("{}; decisions go on into the old file", file.error());
      return;
    }
    file_ = *std::move(file);
    unwritten_.insert(0, std::exchange(started_line_, {}));
    if (ends_mid_line(file_)) unwritten_.insert(0, "\n");
  } catch (const std::bad_alloc &) { // the old file serves until the next SIGHUP
  }

  void tell(int error) try {
    if (error != 0)
      diagnostics_.error("the decision log {} cannot be written: {}; new logins are refused until it can",
                         path_.string(), error_text(error));
    else
      diagnostics_.info("the decision log {} is written again", path_.string());
  } catch (const std::bad_alloc &) { // nobody is told
  }

  const std::filesystem::path path_;
  const bool debug_;
  const std::size_t queue_lines_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, written_more_;
  std::vector<std::string> queue_;
  std::uint64_t queued_ = 0, written_ = 0; ///< lines since the start
  bool failing_ = false, stopping_ = false, reopening_ = false;

  // The writer's own.
  spdlog::logger diagnostics_{"sqlshim", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
  File file_;
  /// bytes taken from the queue; begins in the middle of a line when `started_line_` is not empty
  std::string unwritten_;
  std::string started_line_; ///< what the file already holds of that line
  std::uint64_t lines_in_hand_ = 0;

  std::thread writer_;
};

std::uint32_t random_number() {
  std::uint32_t number = 0;
  // Up to 256 bytes come whole and without a signal's interference once the kernel's
  // pool is ready (getrandom(2)).
  while (::getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
  }
  return number;
}

/// Drawn by chance each, two of 10,000 connections would share an id in one process of a hundred, two of
/// 80,000 in every second one. In odd steps all 2^32 come before one comes again.
std::string next_id() {
  constexpr std::uint32_t step =
      0x9E3779B1; // 2^32 divided by the golden ratio: ids of neighbours do not look alike
  static std::atomic<std::uint32_t> next = random_number();
  return fmt::format("{:08x}", next.fetch_add(step));
}

} // namespace

std::expected<std::unique_ptr<DecisionLog>, std::string>
open_decision_log(const std::filesystem::path &path, bool debug, std::size_t queue_lines) {
  auto file = open_log(path);
  if (!file) return std::unexpected(file.error());
  return std::make_unique<FileLog>(path, *std::move(file), debug, queue_lines);
}

Trail::Trail(Sink &log) : Trail(log, next_id()) {}
Trail::Trail(Sink &log, std::string id)
    : log_(log), id_(std::move(id)), started_(std::chrono::steady_clock::now()) {}

void Trail::emit(Event event) {
  const bool written = log_.debug() || !is_debug(event);
  Record record{.at = std::chrono::system_clock::now(),
                .conn = id_,
                .seq = written ? next_seq_++ : 0,
                .since_accept =
                    std::chrono::duration_cast<Micros>(std::chrono::steady_clock::now() - started_),
                .event = std::move(event)};
  // A record that finds no place keeps its number: the gap shows that a line is missing.
  if (written) log_.write(record);
  if (keeping_) records_.push_back(std::move(record));
}

void Trail::forget() {
  keeping_ = false;
  records_ = {};
}

} // namespace shim
