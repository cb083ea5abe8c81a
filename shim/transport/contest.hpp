// Several tries at one thing, each a coroutine of its own: the first that succeeds wins, and whoever began
// them may go before the last of them has noticed.
#pragma once

#include "shim/transport/task.hpp"

namespace shim {

/// What the tries of one contest share: a base of theirs. Each holds it by a shared_ptr, so it outlives the
/// contest until the last try has noticed that it is over. Of one thread.
class Contest {
public:
  explicit Contest(Executor executor) : changed_(executor) {}
  virtual ~Contest() = default;
  Contest(const Contest &) = delete;

  /// For a try, after each of its waits: nobody is there any more who would take what it has come to.
  bool over() const { return over_; }
  std::size_t failed() const { return failed_; }
  /// A try has come to something: who waits looks again.
  void notify() { changed_.notify(); }
  void fail() {
    failed_++;
    notify();
  }

  /// One look: until something has changed, or for `limit` (0: without end).
  Task<> change(Millis limit) { return changed_.wait(limit); }
  /// Until `done` holds, or the limit that began at `started` is over (0: without end).
  template <class Done> Task<> until(Done done, Millis limit, std::chrono::steady_clock::time_point started) {
    while (!done() && !is_over(limit, started))
      co_await changed_.wait(left_of(limit, started));
  }

  void end() {
    over_ = true;
    close();
  }

private:
  /// Closes what the tries wait at.
  virtual void close() = 0;

  Signal changed_;
  std::size_t failed_ = 0;
  bool over_ = false;
};

/// Ends a contest when the coroutine that began it ends, is cancelled or throws.
class ContestGuard {
public:
  explicit ContestGuard(std::shared_ptr<Contest> contest) : contest_(std::move(contest)) {}
  ~ContestGuard() { contest_->end(); }
  ContestGuard(const ContestGuard &) = delete;

private:
  std::shared_ptr<Contest> contest_;
};

} // namespace shim
