// The user database, which may hang: asked on threads of its own, with a deadline.
#pragma once

#include "shim/net/caller.hpp"

#include <functional>
#include <memory>

namespace shim {

/// Looks users up without ever blocking a worker thread. Each uid is asked for once at a time, however many wait for it: a user whose look-up hangs
/// takes one thread and no more. At most `most_threads`; who finds them all taken waits in the queue, and gives up at its own deadline. Threads that hang are left
/// behind: nobody waits for them, at the end neither. Thread-safe.
class Users {
public:
  using LookUp = std::function<Caller(uid_t)>;
  explicit Users(LookUp look_up = look_up_user);

  /// nullopt: not told within `limit`.
  Task<std::optional<Caller>> find(uid_t uid, Millis limit);

  static constexpr std::size_t most_threads = 8;

private:
  struct Waiter;
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace shim
