// One connection, from accept to its end.
#pragma once

#include "shim/admission/caller.hpp"
#include "shim/admission/connections.hpp"
#include "shim/admission/listener.hpp"
#include "shim/admission/settings.hpp"
#include "shim/log/log.hpp"
#include "shim/transport/relay.hpp"

namespace shim {

/// What a connection is beside its login, and all that is left of it while bytes are relayed. Lives on its
/// worker's thread.
struct Connection {
  std::shared_ptr<void> alive; ///< let go of last of all
  ListenerPtr listener;
  SettingsPtr settings; ///< of the moment of accepting
  Quota::Place place;
  Trail trail;
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  // What is known of it so far.
  std::optional<uid_t> uid;
  std::string user;
  const config::Route *route = nullptr; ///< of its configuration
  Step step = Step::accept;             ///< of its login
  std::weak_ptr<Relay> relay;           ///< behind its login
  Connections::Entry entry;

  Connection(ListenerPtr came_by, SettingsPtr its_settings, Quota::Place held,
             std::shared_ptr<void> as_long_as_it_lives, Sink &log, Connections &others);
  Connection(const Connection &) = delete;

  ConnectionState state() const;
  /// Its last event.
  void closed(std::string by, std::string reason, Traffic moved = {});
};

/// Begins the relay, which ends the connection by itself.
void start_relay(std::shared_ptr<Connection> connection, Stream client, Stream server);

} // namespace shim
