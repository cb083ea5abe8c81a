// A running proxy: listeners, the thread that accepts, the threads where connections live.
#pragma once

#include "shim/acceptor.hpp"
#include "shim/worker.hpp"

#include <condition_variable>
#include <map>

namespace shim {

/// What a test may replace. A production process uses the defaults.
struct ServerOptions {
  UidProver prove_uid = shim::prove_uid;
  Users::LookUp look_up_user = shim::look_up_user;
  SystemNames::LookUp look_up_name = look_up_by_system;
  std::size_t threads = 0;                     ///< 0: one for each core, at most 8
  std::filesystem::path kdcinfo = sssd_folder; ///< where sssd says which KDCs there are
  /// Called where somebody else listens at an address, with the sentence that says so; waits for a moment,
  /// and says whether to try again. Empty: never.
  std::function<bool(const std::string &)> address_in_use = {};
};

/// One acceptor, and workers that each own the connections they were given. Everything of it runs on threads
/// of its own; it is made by `start_server`, and called by one thread but where it says otherwise.
class Server {
public:
  struct Listening {
    std::string name;
    std::string address; ///< "127.0.0.1:14330", or "unix:/run/…"
  };

  Server(std::shared_ptr<const config::Config> config, DecisionLog &log, ServerOptions options,
         auth::KerberosConfig kerberos);
  ~Server(); ///< stops it: what still runs is closed
  Server(const Server &) = delete;

  /// Binds the listeners and starts the threads, once.
  std::expected<void, std::string> start();
  /// The listeners in the order of the configuration, then "browser" where there is one (UDP).
  const std::vector<Listening> &listening() const { return listening_; }
  /// SIGHUP: empties ticket store, kept KDC refusals, DNS caches and kept ports of instances, and opens the
  /// decision log anew (rotation).
  void forget();
  /// Stops accepting, and waits for running connections at most `limit`; then closes them. Returns
  /// how many it had to close.
  std::size_t drain(std::chrono::milliseconds limit);
  /// Ends a drain that is under way at once. On any thread.
  void hurry();
  std::size_t connections() const;
  /// Tickets that are kept, ticket-granting ones too.
  std::size_t tickets() const { return tickets_.size(); }

private:
  std::expected<void, std::string> open_listeners();
  std::expected<void, std::string> open_twin(const ListenerPtr &listener, std::uint16_t port);
  /// Tries again while the address is in use and the options want to.
  template <class Where> std::expected<ListeningSocket, ListenError> listen(const Where &where);
  std::expected<void, std::string> open_browser(const std::map<std::string, std::uint16_t> &ports);
  /// Warns of one whose logins would fail.
  Task<> try_identity(const config::Identity &identity);
  /// On the acceptor's thread.
  void serve(Arrival arrival);
  template <class Condition> void wait_until(Condition condition, Millis limit);

  std::shared_ptr<const config::Config> config_;
  DecisionLog &log_;
  asio::thread_pool pool_{2};
  Identities identities_;
  Tickets tickets_;
  Users users_;
  Limits limits_;
  std::shared_ptr<TlsContexts> tls_;
  SettingsPtr settings_; ///< for the next connection
  Browsers browsers_;
  Common common_;
  std::mutex idle_mutex_;
  std::condition_variable idle_; ///< a connection is gone, or `hurried_`
  std::function<bool(const std::string &)> address_in_use_;
  bool hurried_ = false;
  bool drained_ = false;
  std::vector<Listening> listening_;
  std::uint64_t last_listener_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  Acceptor acceptor_;
};

/// A server that has started. `log` must outlive it. Identities that cannot be loaded are warned of in the
/// log: their logins will say so again. Error: what could not be done, as a sentence (an address in use, a
/// krb5.conf that cannot be read, …).
std::expected<std::unique_ptr<Server>, std::string>
start_server(std::shared_ptr<const config::Config> config, DecisionLog &log, ServerOptions options = {});

} // namespace shim
