// Databases that may hang: asked on threads of their own, with a deadline.
#pragma once

#include "shim/transport/single_flight.hpp"

#include <deque>
#include <functional>
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
    const auto executor = co_await asio::this_coro::executor;
    const DropUnwanted at_exit{*state_};
    auto joined = state_->flights.join(key, executor);
    auto *claim = std::get_if<Claim>(&joined);
    auto wait = claim ? claim->wait(executor) : std::get<Wait>(std::move(joined));
    if (claim) enqueue(std::move(*claim));
    co_return co_await wait.outcome(limit);
  }

  static constexpr std::size_t most_threads = 8;

private:
  using Flights = SingleFlight<Key, Value>;
  using Claim = typename Flights::Claim;
  using Wait = typename Flights::Wait;

  /// Outlives `LookUps` while one hangs.
  struct State {
    LookUp look_up;
    Flights flights;
    std::mutex mutex;        // of the two below
    std::deque<Claim> queue; // what no thread asks for yet
    std::size_t threads = 0;

    /// A thread: one look-up after another until none is left.
    void work() {
      while (auto claim = next())
        try {
          claim->land(look_up(claim->key()));
        } catch (const std::bad_alloc &) { // not told
        }
    }
    /// nullopt: the thread ends.
    std::optional<Claim> next() {
      std::lock_guard lock(mutex);
      if (queue.empty()) {
        --threads;
        return std::nullopt;
      }
      std::optional<Claim> first(std::move(queue.front()));
      queue.pop_front();
      return first;
    }
  };

  void enqueue(Claim claim) {
    std::lock_guard lock(state_->mutex);
    state_->queue.push_back(std::move(claim));
    if (state_->threads == most_threads) return;
    std::thread([state = state_] { state->work(); }).detach();
    ++state_->threads;
  }

  /// What is still in the queue when its last waiter goes is not asked for. (What is under way goes on, so
  /// that no second one is started.)
  struct DropUnwanted {
    State &state;
    ~DropUnwanted() {
      std::lock_guard lock(state.mutex);
      std::erase_if(state.queue, [](const Claim &claim) { return !claim.is_awaited(); });
    }
  };

  std::shared_ptr<State> state_;
};

} // namespace shim
