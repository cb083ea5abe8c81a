#include "shim/net/users.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace shim {

/// One coroutine that waits. Posted to only while it is registered: its event loop may be gone afterwards.
struct Users::Waiter {
  Executor executor;
  Signal done;
  std::optional<Caller> found;
};

/// Outlives `Users` while a look-up hangs.
struct Users::State {
  LookUp look_up;
  std::mutex mutex;
  std::map<uid_t, std::vector<std::shared_ptr<Waiter>>> waiters; // of every uid that is asked for or will be
  std::deque<uid_t> queue;                                       // those that no thread asks for yet
  std::size_t threads = 0;

  /// A thread: one look-up after another until none is left.
  void work() {
    std::unique_lock lock(mutex);
    while (!queue.empty()) {
      auto uid = queue.front();
      queue.pop_front();
      lock.unlock();
      std::optional<Caller> caller;
      try {
        caller = look_up(uid);
      } catch (const std::bad_alloc &) { // not told
      }
      lock.lock();
      auto entry = waiters.find(uid);
      for (const auto &waiter : entry->second)
        try {
          asio::post(waiter->executor, [waiter, caller] {
            waiter->found = caller;
            waiter->done.notify();
          });
        } catch (const std::bad_alloc &) { // it waits until its limit
        }
      waiters.erase(entry);
    }
    --threads;
  }
};

Users::Users(LookUp look_up) : state_(std::make_shared<State>()) { state_->look_up = std::move(look_up); }

Task<std::optional<Caller>> Users::find(uid_t uid, Millis limit) {
  auto executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<Waiter>(executor, Signal(executor), std::nullopt);
  /// However the wait ends, also by being cancelled, nobody posts to us any more.
  struct Registered {
    State &state;
    uid_t uid;
    std::shared_ptr<Waiter> waiter;
    ~Registered() {
      std::lock_guard lock(state.mutex);
      auto entry = state.waiters.find(uid);
      if (entry == state.waiters.end()) return;
      std::erase(entry->second, waiter);
      // Nobody waits for the answer any more. (A look-up that is under way keeps its entry, so that no second one is started.)
      if (entry->second.empty() && std::erase(state.queue, uid) > 0) state.waiters.erase(entry);
    }
  } registered{*state_, uid, waiter};
  {
    std::lock_guard lock(state_->mutex);
    auto [entry, fresh] = state_->waiters.try_emplace(uid);
    entry->second.push_back(waiter);
    if (fresh) state_->queue.push_back(uid);
    if (!state_->queue.empty() && state_->threads < most_threads) {
      std::thread([state = state_] { state->work(); }).detach();
      ++state_->threads;
    }
  }
  co_await waiter->done.wait(limit);
  co_return std::move(waiter->found);
}

} // namespace shim
