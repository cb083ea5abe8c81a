// A thread with the connections that it was given.
#pragma once

#include "shim/session.hpp"

#include <atomic>
#include <thread>

namespace shim {

/// Connections live and die on the worker that they were given to: no locks on the data path.
class Worker {
public:
  Worker(Common &common, std::shared_ptr<NameFiles> files, std::shared_ptr<SystemNames> system)
      : common_(common), resolver_(io_.get_executor(), std::move(files), std::move(system)) {}
  ~Worker() { join(); }

  void run();
  /// Takes an accepted connection over; on the acceptor's thread. It is counted before this returns, so that
  /// the next one goes elsewhere. `gone` is called, on this worker's thread, when it is over.
  void give(Arrival arrival, SettingsPtr settings, std::function<void()> gone);
  /// How many it has. On any thread.
  std::size_t count() const { return count_; }
  /// Forgets DNS answers.
  void forget();
  /// Ends each connection, with the reason in its last event.
  void stop_all(const std::string &reason);
  /// Ends the thread. What still waits on it is destroyed with the worker.
  void join();

private:
  /// What it was given begins here, on its own thread.
  void begin(Arrival arrival, SettingsPtr settings, std::shared_ptr<void> alive);

  Common &common_;
  std::atomic<std::size_t> count_{0};
  Connections connections_; // before io_: what still waits there is destroyed with it, and leaves this list
  asio::io_context io_{1};
  asio::executor_work_guard<Executor> work_{io_.get_executor()};
  Resolver resolver_;
  std::thread thread_;
};

} // namespace shim
