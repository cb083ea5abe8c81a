// The process: listeners, worker threads, signals.
#pragma once

#include "config/config.hpp"
#include "shim/admission/users.hpp"
#include "shim/credentials/kdcs.hpp"
#include "shim/log/log.hpp"
#include "shim/names/system_names.hpp"

#include <expected>
#include <memory>

namespace shim {

/// What a test may replace. A production process uses the defaults.
struct ServerOptions {
  UidProver prove_uid = shim::prove_uid;
  Users::LookUp look_up_user = shim::look_up_user;
  SystemNames::LookUp look_up_name = look_up_by_system;
  std::size_t threads = 0;                     ///< 0: one for each core, at most 8
  std::filesystem::path kdcinfo = sssd_folder; ///< where sssd says which KDCs there are
};

/// A running proxy: one acceptor thread, worker threads that each own the connections they were given.
/// Everything of it runs on threads of its own.
class Server {
public:
  struct Listening {
    std::string name;
    std::string address; ///< "127.0.0.1:14330", or "unix:/run/…"
  };

  virtual ~Server() = default; ///< stops it: what still runs is closed
  /// The listeners in the order of the configuration, then "browser" where there is one (UDP).
  virtual const std::vector<Listening> &listening() const = 0;
  /// SIGHUP: empties ticket store, kept KDC refusals, DNS caches and kept ports of instances, and opens the
  /// decision log anew (rotation).
  virtual void forget() = 0;
  /// Stops accepting, and waits for running connections at most `limit`; then closes them. Returns
  /// how many it had to close.
  virtual std::size_t drain(std::chrono::milliseconds limit) = 0;
  /// Ends a drain that is under way at once.
  virtual void hurry() = 0;
  virtual std::size_t connections() const = 0;
  /// Tickets that are kept, ticket-granting ones too.
  virtual std::size_t tickets() const = 0;
};

/// Binds the listeners and starts the threads. `log` must outlive the server. Identities that cannot be
/// loaded are warned of in the log: their logins will say so again. Error: what could not be done, as a
/// sentence (an address in use, a krb5.conf that cannot be read, …).
std::expected<std::unique_ptr<Server>, std::string>
start_server(std::shared_ptr<const config::Config> config, DecisionLog &log, ServerOptions options = {});

/// `sqlshim serve`: prints `listening NAME ADDRESS` for each listener on standard output when ready, obeys
/// SIGHUP, SIGTERM and SIGINT, returns the exit status. Switches off core dumps and ptrace for this process,
/// raises its limit of open files to what the system allows, and sets KRB5_CONFIG to the configured file
/// before any thread exists (GSSAPI's own contexts read it from nowhere else). Lowers `[limits] connections`
/// to what the open files allow. `warnings` are those of the configuration: they go to the decision log.
int serve(config::Config config, std::vector<std::string> warnings = {});

} // namespace shim
