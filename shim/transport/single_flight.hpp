// One does it for all who want the same at the same time, whichever thread each of them waits on.
#pragma once

#include "shim/transport/task.hpp"

#include <map>
#include <mutex>
#include <variant>
#include <vector>

namespace shim {

/// Thread-safe. Who asks first for a key has the claim to it; the others wait, each on its own event loop,
/// for what it comes to. Claims and waits may outlive it.
template <class Key, class Outcome> class SingleFlight {
  /// One coroutine that waits. Posted to only while it is registered: its event loop may be gone afterwards.
  struct Waiter {
    explicit Waiter(Executor of) : executor(of), done(of) {}
    Executor executor;
    Signal done;
    bool landed = false; ///< touched on the waiter's thread only
  };
  struct Flight {
    std::optional<Outcome> outcome; ///< written once, before any waiter is told
    std::vector<std::shared_ptr<Waiter>> waiters;
    bool forgotten = false;
  };
  struct State {
    std::mutex mutex; // of all flights
    std::map<Key, std::shared_ptr<Flight>> flights;
  };

public:
  /// A place among those who wait: given up when it goes, also when its coroutine is cancelled.
  class Wait {
  public:
    Wait(Wait &&) = default;
    Wait &operator=(Wait &&) = delete;
    ~Wait() {
      if (!flight_) return;
      std::lock_guard lock(state_->mutex);
      std::erase(flight_->waiters, waiter_);
    }
    /// Waits at most `limit` (0: for ever). nullopt: nothing by then, or whoever had the claim gave it up.
    Task<std::optional<Outcome>> outcome(Millis limit = Millis(0)) {
      if (!waiter_->landed) co_await waiter_->done.wait(limit);
      if (!waiter_->landed) co_return std::nullopt;
      co_return flight_->outcome;
    }

  private:
    friend class SingleFlight;
    /// Under the mutex.
    Wait(std::shared_ptr<State> state, std::shared_ptr<Flight> flight, Executor executor)
        : state_(std::move(state)), flight_(std::move(flight)), waiter_(std::make_shared<Waiter>(executor)) {
      flight_->waiters.push_back(waiter_);
    }
    std::shared_ptr<State> state_;
    std::shared_ptr<Flight> flight_;
    std::shared_ptr<Waiter> waiter_;
  };

  /// The right, and the duty, to do it. When it goes without `land` (its login was cancelled, say), those who
  /// wait are told that nothing came.
  class Claim {
  public:
    Claim(Claim &&) = default;
    Claim &operator=(Claim &&other) noexcept {
      std::swap(state_, other.state_);
      std::swap(key_, other.key_);
      std::swap(flight_, other.flight_);
      return *this;
    }
    ~Claim() {
      if (flight_) end(std::nullopt);
    }
    const Key &key() const { return key_; }
    /// Hands the outcome to all who wait.
    void land(Outcome outcome) { end(std::move(outcome)); }
    /// What comes is for those alone who waited already.
    bool forgotten() const {
      std::lock_guard lock(state_->mutex);
      return flight_->forgotten;
    }
    bool is_awaited() const {
      std::lock_guard lock(state_->mutex);
      return !flight_->waiters.empty();
    }
    /// Its holder waits like the others, while another thread does it.
    Wait wait(Executor executor) const {
      std::lock_guard lock(state_->mutex);
      return Wait(state_, flight_, executor);
    }

  private:
    friend class SingleFlight;
    Claim(std::shared_ptr<State> state, Key key, std::shared_ptr<Flight> flight)
        : state_(std::move(state)), key_(std::move(key)), flight_(std::move(flight)) {}

    void end(std::optional<Outcome> outcome) {
      const auto flight = std::exchange(flight_, nullptr);
      std::lock_guard lock(state_->mutex);
      if (auto entry = state_->flights.find(key_); entry != state_->flights.end() && entry->second == flight)
        state_->flights.erase(entry);
      flight->outcome = std::move(outcome);
      for (const auto &waiter : flight->waiters)
        try {
          asio::post(waiter->executor, [waiter] {
            waiter->landed = true;
            waiter->done.notify();
          });
        } catch (const std::bad_alloc &) { // it waits until its own deadline
        }
    }

    std::shared_ptr<State> state_;
    Key key_;
    std::shared_ptr<Flight> flight_;
  };

  /// The claim, where nobody has it; else a place among those who wait.
  std::variant<Claim, Wait> join(const Key &key, Executor executor) {
    std::lock_guard lock(state_->mutex);
    auto &flight = state_->flights[key];
    if (flight) return Wait(state_, flight, executor);
    return make(key, flight);
  }
  /// The claim alone; nullopt: somebody has it.
  std::optional<Claim> claim(const Key &key) {
    std::lock_guard lock(state_->mutex);
    auto &flight = state_->flights[key];
    if (flight) return std::nullopt;
    return make(key, flight);
  }
  /// What is under way for such keys serves those who wait for it already; whoever comes now asks anew.
  template <class Predicate> void forget(Predicate forgets) {
    std::lock_guard lock(state_->mutex);
    std::erase_if(state_->flights, [&](const auto &entry) {
      if (!entry.second || !forgets(entry.first)) return false;
      return entry.second->forgotten = true;
    });
  }

private:
  /// Under the mutex. (An entry without a flight, where there was no memory for it, is as good as none.)
  Claim make(const Key &key, std::shared_ptr<Flight> &flight) {
    auto made = std::make_shared<Flight>();
    Key copy = key;
    flight = made;
    return Claim(state_, std::move(copy), std::move(made));
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

} // namespace shim
