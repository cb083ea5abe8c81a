// A peer as a process of its own: `sqlshim-lab peer --config FILE`.
#pragma once

#include "tools/lab/peer/peer_options.hpp"
#include "tools/lab/process.hpp"

namespace lab {

/// Starts the peer and waits until it listens. Files in `folder`: NAME.json (the options), NAME.log.
class Peer {
public:
  /// `environment` goes to the process: Realm::environment(), for an acceptor of tickets. `name` tells
  /// several peers of one folder apart.
  Peer(fs::path folder, PeerOptions options, Environment environment = {}, std::string name = "peer");

  const std::string &address() const { return options_.address; }
  std::uint16_t port() const { return options_.port; }
  pid_t pid() const { return process_->pid(); }
  const PeerOptions &options() const { return options_; }
  std::string log() const { return read_file(folder_ / (name_ + ".log")); }
  Process &process() { return *process_; }

  void stop();
  void start();
  /// Restarts it at the same address and port, to behave otherwise.
  void restart(PeerOptions options);

  /// What it recorded of connection `number`; an empty object while there is nothing.
  nlohmann::json record(int number) const;
  std::string received(int number) const; ///< N.tds.bin

private:
  fs::path folder_;
  PeerOptions options_;
  Environment environment_;
  std::string name_;
  std::optional<Process> process_;
};

/// Where a named instance listens now, by the file that its process writes beside `config`; 0: nowhere yet.
std::uint16_t port_now(const fs::path &config);

/// The process: reads its options from `config`, prints "listening ADDRESS:PORT", serves until SIGTERM or
/// SIGINT. Its exit status. SIGUSR1 moves a named instance to another port, as a restart with a dynamic port
/// does: with its SPN (in the KDC of KRB5_CONFIG and KRB5_KDC_PROFILE, and in its keytab), and connections
/// end. The port is in a file, CONFIG with the ending .port.
int run_peer(const fs::path &config);

} // namespace lab
