// One connection from accept to relay: the story of the design, top to bottom.
#pragma once

#include "shim/connections.hpp"
#include "shim/log/log.hpp"
#include "shim/net/caller.hpp"
#include "shim/tickets.hpp"

#include <atomic>

namespace shim {

/// What every session of a process shares. All of it is thread-safe or never changes.
struct Common {
  DecisionLog &log;
  Tickets &tickets;
  Identities &identities;
  asio::thread_pool &pool; ///< for what can block: files, user databases
  UidProver prove_uid;
  uid_t self;                 ///< the uid that "self" means
  Millis client_login{10000}; ///< from accept to LOGIN7 complete
  bool trace = false;
};

/// What the sessions of one worker thread share.
struct WorkerParts {
  Common &common;
  Resolver &resolver;
  Connections &connections;
};

/// Serves one client until its login is refused or its relay has begun (which then lives by itself). `done` is called, on this thread, when the connection is over. The
/// configuration is the one of the moment of accepting: a reload never changes a running session.
Task<> serve_client(WorkerParts parts, std::shared_ptr<const config::Config> config, std::size_t listener,
                    Socket client, std::function<void()> done);

} // namespace shim
