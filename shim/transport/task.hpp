// The vocabulary of everything that waits: one executor type, one coroutine type, one deadline.
#pragma once

#include "shim/transport/asio.hpp"

#include <chrono>
#include <memory>
#include <optional>

namespace shim {

using Executor = asio::io_context::executor_type;
/// A coroutine of the proxy. Errors are values; it throws only to unwind when it was cancelled,
/// and when there is no memory.
template <class T = void> using Task = asio::awaitable<T, Executor>;
/// Completion token: `auto [error, count] = co_await socket.async_read_some(buffer, as_result);`
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> as_result{
    asio::use_awaitable_t<Executor>{}};

/// Either leg: TCP or Unix.
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Executor>;
using Millis = std::chrono::milliseconds;

/// Unwinds a coroutine that was cancelled: for after an operation that failed, before its
/// failure is taken for the peer's.
Task<> stop_if_cancelled();

namespace detail {
/// Where a task leaves what it came to. Tasks race without their values: Asio's operator|| is made anew
/// for each kind of value, which was a fifth of the compile time, and goes on waiting for the other
/// task after one that threw.
template <class T> struct Box {
  std::optional<T> value;
  std::exception_ptr thrown;
  T take() {
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*value);
  }
};
template <class T> Task<> fill(Box<T> &box, Task<T> task) {
  try {
    box.value.emplace(co_await std::move(task));
  } catch (...) {
    box.thrown = std::current_exception();
  }
}
/// Which of two tasks that never throw ended first, 0 or 1; when it returns, the other one has
/// been cancelled and is gone.
Task<std::size_t> race(Task<> a, Task<> b);
/// Whether `task`, which never throws, ended within `limit`; else it has been cancelled and is gone.
Task<bool> ends_within(Task<> task, Millis limit);
} // namespace detail

/// Runs both until the first one ends, with a value or by throwing; the other one is cancelled at the
/// operation where it waits.
template <class A, class B> Task<std::variant<A, B>> first_of(Task<A> a, Task<B> b) {
  detail::Box<A> of_a;
  detail::Box<B> of_b;
  if (co_await detail::race(detail::fill(of_a, std::move(a)), detail::fill(of_b, std::move(b))) == 0)
    co_return std::variant<A, B>(std::in_place_index<0>, of_a.take());
  co_return std::variant<A, B>(std::in_place_index<1>, of_b.take());
}

/// Runs `task` for at most `limit` (0: for ever). nullopt: the time was over; the task was cancelled at the
/// operation where it waited and its frame is gone.
template <class T> Task<std::optional<T>> with_deadline(Task<T> task, Millis limit) {
  if (limit.count() == 0) co_return co_await std::move(task);
  detail::Box<T> box;
  if (co_await detail::ends_within(detail::fill(box, std::move(task)), limit)) co_return box.take();
  co_await stop_if_cancelled(); // by a deadline further out: then this one says nothing
  co_return std::nullopt;
}

/// What is left of a limit that began at `started`; at least 1 ms, so that it never turns into "for ever".
inline Millis left_of(Millis limit, std::chrono::steady_clock::time_point started) {
  if (limit.count() == 0) return limit;
  auto left = limit - std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - started);
  return left.count() < 1 ? Millis(1) : left;
}

/// Whether a limit that began at `started` is over; never for 0.
inline bool is_over(Millis limit, std::chrono::steady_clock::time_point started) {
  return limit.count() != 0 && std::chrono::steady_clock::now() - started >= limit;
}
/// What the log calls `us`: how long something took that began at `started`.
inline std::int64_t micros_since(std::chrono::steady_clock::time_point started) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - started)
      .count();
}

/// Somebody waits until somebody else on the same thread says so.
class Signal {
public:
  explicit Signal(Executor executor) : timer_(executor, Timer::time_point::max()) {}
  void notify() { timer_.cancel(); }
  /// Until `notify` is called while waiting, or the limit is over (0: for ever). Check the condition before:
  /// a notify with nobody waiting is lost.
  Task<> wait(Millis limit) {
    if (limit.count() == 0)
      timer_.expires_at(Timer::time_point::max());
    else
      timer_.expires_after(limit);
    co_await timer_.async_wait(as_result);
    co_await stop_if_cancelled();
  }

private:
  Timer timer_;
};

/// Runs a blocking function on `pool`, waiting for its value at most `limit`. nullopt: not done by then (it
/// goes on, its value is dropped).
template <class F, class R = std::invoke_result_t<F>>
Task<std::optional<R>> on_pool(asio::thread_pool &pool, F function, Millis limit) {
  struct State {
    explicit State(Executor e) : executor(e), done(e) {}
    Executor executor;
    Signal done;
    std::optional<R> value;
  };
  auto state = std::make_shared<State>(co_await asio::this_coro::executor);
  auto waiting = std::weak_ptr<State>(state);
  // Only the waiter's thread touches State; the pool's thread hands the value over by a post to it.
  asio::post(pool, [executor = state->executor, waiting, function = std::move(function)]() mutable {
    try {
      asio::post(executor, [waiting = std::move(waiting), value = function()]() mutable {
        if (auto there = waiting.lock()) {
          there->value = std::move(value);
          there->done.notify();
        }
      });
    } catch (const std::bad_alloc &) { // not done: whoever waits does so until the limit
    }
  });
  co_await state->done.wait(limit);
  co_return std::move(state->value);
}

} // namespace shim
