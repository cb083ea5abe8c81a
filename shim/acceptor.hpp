// The thread that accepts connections, and refuses those that there is no room for.
#pragma once

#include "shim/admission/listener.hpp"
#include "shim/listen.hpp"
#include "shim/log/log.hpp"
#include "shim/names/browser_responder.hpp"

#include <functional>
#include <thread>

namespace shim {

/// Accepts on sockets that it is given. Everything but its thread's own work is called on the thread that
/// made it.
class Acceptor {
public:
  /// Called on the acceptor's thread for each connection that somebody is to serve, if only to refuse it.
  using Take = std::function<void(Arrival)>;

  Acceptor(Limits &limits, Sink &log, Take take);
  ~Acceptor(); ///< stops it

  /// Begins to accept on a socket, once the thread runs.
  void add(ListenerPtr listener, ListeningSocket socket);
  /// Keeps it until accepting ends; its executor is this one's.
  void add(std::unique_ptr<BrowserResponder> responder);
  /// For small work beside accepting.
  Executor executor() { return io_.get_executor(); }
  void run();
  /// From soon on connecting is refused: all sockets are closed. On any thread.
  void stop_accepting();
  /// Ends the thread.
  void join();

private:
  class Loop; // what its thread alone touches

  asio::io_context io_{1};
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

/// Writes down how many connections were closed without a word since this was last done; nothing where there
/// was none. A line for each could fill the disk.
void tell_turned_away(Limits &limits, Sink &log);

} // namespace shim
