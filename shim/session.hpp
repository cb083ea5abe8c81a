// One connection from accept to relay: the story of the design, top to bottom.
#pragma once

#include "shim/admission/connections.hpp"
#include "shim/admission/listener.hpp"
#include "shim/admission/settings.hpp"
#include "shim/admission/users.hpp"
#include "shim/credentials/tickets.hpp"
#include "shim/log/log.hpp"
#include "shim/names/browsers.hpp"

namespace shim {

/// What every session of a process shares. All of it is thread-safe or never changes.
struct Common {
  Sink &log;
  Tickets &tickets;
  Identities &identities;
  Users &users;
  Limits &limits;
  Browsers &browsers;
  UidProver prove_uid;
  uid_t self; ///< the uid that "self" means
  bool trace = false;
};

/// What the sessions of one worker thread share.
struct WorkerParts {
  Common &common;
  Resolver &resolver;
  Connections &connections;
};

/// Serves one client until its login is refused or its relay has begun (which then lives by itself). The
/// settings are those of the moment of accepting: a reload never changes a running session. `alive` is let go
/// of, on this thread, when the connection is over.
Task<> serve_client(WorkerParts parts, SettingsPtr settings, Arrival arrival, std::shared_ptr<void> alive,
                    Socket client);

} // namespace shim
