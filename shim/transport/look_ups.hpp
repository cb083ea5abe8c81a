// Databases that may hang: asked on threads of their own, with a deadline.
#pragma once

#include "shim/transport/task.hpp"

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace shim {

/// Calls a blocking function without ever blocking a worker thread. Each key is asked for once at a time,
/// however many wait for it: one whose look-up hangs takes one thread and no more. At most `most_threads`;
/// who finds them all taken waits in the queue, and gives up at its own deadline. Threads that hang are left
/// behind: nobody waits for them, at the end neither. Thread-safe.
template <class Key, class Value> class LookUps {
public:
  using LookUp = std::function<Value(const Key &)>;
  explicit LookUps(LookUp look_up) : state_(std::make_shared<State>()) {
    state_->look_up = std::move(look_up);
  }

  /// nullopt: not told within `limit`.
  Task<std::optional<Value>> find(Key key, Millis limit) {
    auto executor = co_await asio::this_coro::executor;
    auto waiter = std::make_shared<Waiter>(executor, Signal(executor), std::nullopt);
    const Registered registered{*state_, key, waiter};
    {
      std::lock_guard lock(state_->mutex);
      auto [entry, fresh] = state_->waiters.try_emplace(key);
      entry->second.push_back(waiter);
      if (fresh) state_->queue.push_back(key);
      if (!state_->queue.empty() && state_->threads < most_threads) {
        std::thread([state = state_] { state->work(); }).detach();
        ++state_->threads;
      }
    }
    co_await waiter->done.wait(limit);
    co_return std::move(waiter->found);
  }

  static constexpr std::size_t most_threads = 8;

private:
  /// One coroutine that waits. Posted to only while it is registered: its event loop may be gone afterwards.
  struct Waiter {
    Executor executor;
    Signal done;
    std::optional<Value> found;
  };
  using Waiters = std::map<Key, std::vector<std::shared_ptr<Waiter>>>;

  /// Outlives `LookUps` while one hangs.
  struct State {
    LookUp look_up;
    std::mutex mutex;
    Waiters waiters;       // of every key that is asked for or will be
    std::deque<Key> queue; // those that no thread asks for yet
    std::size_t threads = 0;

    /// A thread: one look-up after another until none is left.
    void work() {
      std::unique_lock lock(mutex);
      while (!queue.empty()) {
        auto key = std::move(queue.front());
        queue.pop_front();
        lock.unlock();
        std::optional<Value> value;
        try {
          value = look_up(key);
        } catch (const std::bad_alloc &) { // not told
        }
        lock.lock();
        auto entry = waiters.find(key);
        for (const auto &waiter : entry->second)
          try {
            asio::post(waiter->executor, [waiter, value] {
              waiter->found = value;
              waiter->done.notify();
            });
          } catch (const std::bad_alloc &) { // it waits until its limit
          }
        waiters.erase(entry);
      }
      --threads;
    }
  };

  /// However the wait ends, also by being cancelled, nobody posts to its waiter any more.
  struct Registered {
    State &state;
    const Key &key;
    std::shared_ptr<Waiter> waiter;
    ~Registered() {
      std::lock_guard lock(state.mutex);
      auto entry = state.waiters.find(key);
      if (entry == state.waiters.end()) return;
      std::erase(entry->second, waiter);
      // Nobody waits for the answer any more. (A look-up that is under way keeps its entry, so that
      // no second one is started.)
      if (entry->second.empty() && std::erase(state.queue, key) > 0) state.waiters.erase(entry);
    }
  };

  std::shared_ptr<State> state_;
};

} // namespace shim
