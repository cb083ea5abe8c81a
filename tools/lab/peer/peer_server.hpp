// The peer: a TDS server without a database. It logs clients in for real (Kerberos by GSSAPI, SQL logins by a
// table), answers about 25 statements (answers.hpp), writes down what it saw (recorder.hpp), and misbehaves
// when told to (peer_options.hpp).
#pragma once

#include "tools/lab/peer/peer_options.hpp"

#include "shim/transport/asio.hpp"

#include <memory>

namespace lab {

/// Serves from construction until `stop()` or destruction, on one thread's io_context: connections share
/// nothing but that, and no locks are taken. GSSAPI's replay cache must be off in a process that runs one
/// (KRB5RCACHENAME=none: before any thread starts).
class PeerServer {
public:
  /// Listens at once. Throws LabError when it cannot.
  PeerServer(asio::io_context::executor_type executor, PeerOptions options);
  ~PeerServer();
  PeerServer(const PeerServer &) = delete;
  PeerServer &operator=(const PeerServer &) = delete;

  std::uint16_t port() const;
  /// Closes the listener and every connection. What they were doing ends on the executor.
  void stop();

private:
  struct Listener;
  std::shared_ptr<Listener> listener_;
};

} // namespace lab
