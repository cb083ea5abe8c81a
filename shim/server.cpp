#include "shim/server.hpp"

#include "shim/names/browser_responder.hpp"
#include "shim/service_manager.hpp"
#include "shim/session.hpp"
#include "shim/transport/connect.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr Millis identity_load_limit{5000};
constexpr Millis farewell_limit{3000};   // for each connection's last event, and for a refusal to be read
constexpr Millis accept_pause{100};      // when not even a refusal can be made
constexpr Millis turned_away_told{1000}; // one line about them in so much time
constexpr std::size_t spare_descriptors = 4;

std::string errno_text() { return std::strerror(errno); }

/// A listening socket, closed when it goes; a Unix socket's file is removed with it.
struct ListeningSocket {
  int fd = -1;
  int family = AF_INET;
  std::string path;
  ListeningSocket() = default;
  ListeningSocket(ListeningSocket &&other) noexcept
      : fd(std::exchange(other.fd, -1)), family(other.family), path(std::exchange(other.path, "")) {}
  ListeningSocket &operator=(ListeningSocket &&) = delete;
  ~ListeningSocket() {
    if (fd >= 0) ::close(fd);
    if (!path.empty()) ::unlink(path.c_str());
  }
};

std::expected<ListeningSocket, std::string> listen_tcp(const config::Address &address) {
  boost::system::error_code error;
  Tcp::endpoint endpoint(asio::ip::make_address(address.ip, error), address.port);
  if (error) return std::unexpected(address.text() + ": " + error.message());
  ListeningSocket out;
  out.family = endpoint.protocol().family();
  out.fd = ::socket(out.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  if (out.fd < 0 || ::setsockopt(out.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(out.fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
      ::listen(out.fd, SOMAXCONN) != 0)
    return std::unexpected("cannot listen on " + address.text() + ": " + errno_text());
  return out;
}

/// A socket file that nobody listens on any more was left by a process that died.
bool is_stale_socket(const sockaddr_un &address) {
  struct stat info {};
  if (::lstat(address.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool refused = ::connect(probe, reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 &&
                 errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

std::expected<ListeningSocket, std::string> listen_unix(const std::string &path, mode_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected(path + ": longer than a Unix socket's path may be (107 bytes)");
  path.copy(address.sun_path, path.size());
  if (is_stale_socket(address)) ::unlink(path.c_str());
  ListeningSocket out;
  out.family = AF_UNIX;
  out.fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // The file must never be open to others, not even between bind and chmod. No other thread exists
  // yet that could create files.
  auto mask = ::umask(0777 & ~mode);
  bool bound =
      out.fd >= 0 && ::bind(out.fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0;
  auto why = errno_text();
  ::umask(mask);
  if (!bound) return std::unexpected("cannot listen on unix:" + path + ": " + why);
  out.path = path;
  if (::chmod(path.c_str(), mode) != 0 || ::listen(out.fd, SOMAXCONN) != 0)
    return std::unexpected("cannot listen on unix:" + path + ": " + errno_text());
  return out;
}

std::string bound_address(const ListeningSocket &socket) {
  if (!socket.path.empty()) return "unix:" + socket.path;
  Tcp::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  ::getsockname(socket.fd, endpoint.data(), &size);
  endpoint.resize(size);
  return to_text(endpoint);
}

/// A descriptor that is closed unless somebody takes it over.
class OwnedDescriptor {
public:
  explicit OwnedDescriptor(int fd) : fd_(fd) {}
  OwnedDescriptor(OwnedDescriptor &&other) noexcept : fd_(other.release()) {}
  OwnedDescriptor &operator=(OwnedDescriptor &&) = delete;
  ~OwnedDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_;
};

/// Descriptors held back for the time when there are no others: each is closed to accept one more connection,
/// and to tell that client why it is refused.
class SpareDescriptors {
public:
  SpareDescriptors() { refill(); }
  void refill() {
    while (spares_.size() < spare_descriptors) {
      OwnedDescriptor spare(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (spare.get() < 0) return;
      spares_.push_back(std::move(spare));
    }
  }
  /// Makes one descriptor free. False: there is none left to give.
  bool give() {
    if (spares_.empty()) return false;
    spares_.pop_back();
    return true;
  }

private:
  std::vector<OwnedDescriptor> spares_;
};

/// Whose credentials an identity is; "reports: keytab of CORP\svc, which is svc@CORP.TEST by [domains]".
std::string text_of(const config::Identity &identity) {
  constexpr std::string_view kinds[] = {"keytab", "ccache", "password file", "the client's user and password",
                                        "the caller's ccache"};
  std::string text = identity.name + ": " + std::string(kinds[static_cast<std::size_t>(identity.kind)]);
  if (!identity.account.empty())
    return text + " of " + identity.account + ", which is " + identity.principal + " by [domains]";
  return identity.principal.empty() ? text : text + " of " + identity.principal;
}

std::string text_of(const tds::ServerVersion &version) {
  return fmt::format("{}.{}.{}.{}", version.major, version.minor, version.build, version.sub_build);
}

/// One thread with the connections it was given. They live and die here: no locks on the data path.
class Worker {
public:
  Worker(Common &common, std::shared_ptr<NameFiles> files, std::shared_ptr<SystemNames> system)
      : common_(common), resolver_(io_.get_executor(), std::move(files), std::move(system)) {}
  ~Worker() { join(); }

  void run() {
    thread_ = std::thread([this] {
      // What has no memory to go on ends by itself (a coroutine is unwound, a relay ends); the others go on.
      for (;;)
        try {
          io_.run();
          return;
        } catch (const std::bad_alloc &) {
        }
    });
  }
  /// Takes an accepted socket over. Called on the acceptor's thread; the count is up before it
  /// returns, so that the next one goes elsewhere. `gone` is called, on this worker's thread,
  /// when the connection is over.
  void give(OwnedDescriptor fd, int family, std::shared_ptr<const config::Config> config,
            std::size_t listener, Admission admission, std::function<void()> gone) {
    ++count_;
    Arrival arrival{listener, std::move(admission),
                    std::shared_ptr<void>(nullptr, [this, gone = std::move(gone)](void *) {
                      --count_;
                      gone();
                    })};
    asio::post(io_, [this, fd = std::move(fd), family, config = std::move(config),
                     arrival = std::move(arrival)] mutable {
      Socket socket(io_.get_executor());
      boost::system::error_code error;
      socket.assign(asio::generic::stream_protocol(family, family == AF_UNIX ? 0 : IPPROTO_TCP), fd.get(),
                    error);
      if (error) return;
      fd.release();
      asio::co_spawn(io_,
                     serve_client({common_, resolver_, connections_}, std::move(config), std::move(arrival),
                                  std::move(socket)),
                     asio::detached);
    });
  }
  void forget() {
    asio::post(io_, [this] { resolver_.forget(); });
  }
  void stop_all(const std::string &reason) {
    asio::post(io_, [this, reason] { connections_.stop_all(reason); });
  }
  void join() {
    if (!thread_.joinable()) return;
    work_.reset();
    io_.stop();
    thread_.join();
  }
  std::size_t count() const { return count_; }

private:
  Common &common_;
  std::atomic<std::size_t> count_{0};
  Connections connections_; // before io_: what still waits there is destroyed with it, and leaves this list
  asio::io_context io_{1};
  asio::executor_work_guard<Executor> work_{io_.get_executor()};
  Resolver resolver_;
  std::thread thread_;
};

class RunningServer final : public Server {
public:
  RunningServer(std::shared_ptr<const config::Config> config, DecisionLog &log, ServerOptions options,
                auth::KerberosConfig kerberos)
      : config_(std::move(config)), log_(log), identities_(pool_, kerberos.path),
        tickets_(
            std::move(kerberos), config_->kerberos.refusals,
            [&log](Event event) { log.emit(std::move(event)); }, options.kdcinfo),
        users_(std::move(options.look_up_user)), limits_(config_->limits),
        tls_(config_, [&log](std::string what) { log.emit(Warned{std::move(what)}); }),
        common_{log,        tickets_,   identities_, users_,
                limits_,    tls_,       browsers_,   std::move(options.prove_uid),
                ::getuid(), log.debug()} {
    limits_.on_turned_away([this] { asio::co_spawn(acceptor_io_, tell_turned_away(), asio::detached); });
    auto threads = options.threads ? options.threads
                                   : std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
    const auto files = std::make_shared<NameFiles>(
        config_->dns, [this](std::string what) { log_.emit(Reloaded{std::move(what)}); });
    const auto system = std::make_shared<SystemNames>(std::move(options.look_up_name));
    for (std::size_t i = 0; i < threads; ++i)
      workers_.push_back(std::make_unique<Worker>(common_, files, system));
  }
  ~RunningServer() override {
    drain(Millis(1));
    acceptor_io_.stop();
    if (acceptor_thread_.joinable()) acceptor_thread_.join();
    pool_.join();
    for (auto &worker : workers_)
      worker->join();
  }

  std::expected<void, std::string> start() {
    for (std::size_t i = 0; i < config_->listeners.size(); ++i) {
      const auto &listener = config_->listeners[i];
      auto socket = listener.unix_path ? listen_unix(listener.unix_path->string(), listener.mode)
                                       : listen_tcp(*listener.address);
      if (!socket) return std::unexpected("listener " + listener.name + ": " + socket.error());
      listening_.push_back({listener.name, bound_address(*socket)});
      sockets_.push_back(std::move(*socket));
    }
    if (auto opened = open_responder(); !opened) return opened;
    for (auto &worker : workers_)
      worker->run();
    Started started{SQLSHIM_VERSION, config_->file.string(), {}, {}};
    for (const auto &entry : listening_)
      started.listeners.push_back(entry.name + " " + entry.address);
    for (const auto &identity : config_->identities)
      started.identities.push_back(text_of(identity));
    log_.emit(started);
    for (const auto &identity : config_->identities)
      asio::co_spawn(acceptor_io_, try_identity(identity), asio::detached);
    for (const auto &socket : sockets_)
      waiters_.push_back(std::make_unique<Waiter>(acceptor_io_, ::dup(socket.fd)));
    for (std::size_t i = 0; i < sockets_.size(); ++i)
      asio::co_spawn(acceptor_io_, accept_on(i), asio::detached);
    acceptor_thread_ = std::thread([this] { acceptor_io_.run(); });
    return {};
  }

  const std::vector<Listening> &listening() const override { return listening_; }

  void forget() override {
    tickets_.forget();
    browsers_.forget();
    for (auto &worker : workers_)
      worker->forget();
    tls_.reload();
    log_.reopen();
    log_.emit(Reloaded{
        "tickets, KDC refusals, DNS answers and ports of instances forgotten; certificates read and decision "
        "log opened anew"});
  }

  std::size_t drain(std::chrono::milliseconds limit) override {
    auto started = Clock::now();
    if (drained_) return 0;
    drained_ = true;
    asio::post(acceptor_io_, [this] { stop_accepting(); });
    wait_until([this] { return hurried_ || connections() == 0; }, limit);
    auto left = connections();
    for (auto &worker : workers_)
      worker->stop_all("shutdown");
    wait_until([this] { return connections() == 0; }, farewell_limit);
    say_turned_away();
    log_.emit(Drained{
        static_cast<std::uint64_t>(std::chrono::duration_cast<Millis>(Clock::now() - started).count()),
        left});
    return left;
  }

  void hurry() override {
    std::lock_guard lock(idle_mutex_);
    hurried_ = true;
    idle_.notify_all();
  }

  std::size_t connections() const override {
    std::size_t sum = 0;
    for (const auto &worker : workers_)
      sum += worker->count();
    return sum;
  }

  std::size_t tickets() const override { return tickets_.size(); }

private:
  /// SQL Browser, where it is configured: it tells the ports that were bound.
  std::expected<void, std::string> open_responder() {
    const auto &browser = config_->browser;
    if (!browser.address) return {};
    std::vector<tds::SsrpInstance> instances;
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    for (const auto &[instance, name] : browser.instances)
      for (std::size_t i = 0; i < config_->listeners.size(); ++i) {
        const auto &listener = config_->listeners[i];
        if (listener.name != name || !listener.address) continue;
        const auto &bound = listening_[i].address;
        const auto port = static_cast<std::uint16_t>(std::stoul(bound.substr(bound.rfind(':') + 1)));
        instances.push_back({host.data(), instance, text_of(listener.version), false, port, {}});
      }
    auto opened = BrowserResponder::open(acceptor_io_.get_executor(), *browser.address, std::move(instances));
    if (!opened) return std::unexpected("[browser]: " + opened.error());
    responder_ = std::move(*opened);
    listening_.push_back({"browser", responder_->address()});
    return {};
  }

  using Waiter = asio::posix::basic_stream_descriptor<Executor>;

  Task<> try_identity(const config::Identity &identity) {
    using enum config::IdentityKind;
    if (identity.kind == client || identity.kind == caller) co_return; // nobody has come yet
    auto loaded = co_await identities_.get(identity, identity_load_limit);
    if (!loaded)
      log_.emit(Warned{"identity " + identity.name + " cannot be loaded now: " + loaded.error().text});
  }

  Task<> accept_on(std::size_t index) {
    auto &waiter = *waiters_[index];
    const auto &name = config_->listeners[index].name;
    Timer pause(acceptor_io_);
    std::string trouble; // that was told already
    while (!closing_) {
      auto [error] = co_await waiter.async_wait(Waiter::wait_read, as_result);
      while (!error && !closing_) {
        auto [taken, why] = accept_one_if_memory_lasts(index);
        if (taken) trouble.clear();
        if (taken || why == EINTR || why == ECONNABORTED) continue;
        if (why == EAGAIN || why == EWOULDBLOCK) break;
        if (std::string text = std::strerror(why); why != ENOMEM && text != std::exchange(trouble, text))
          log_.emit(Warned{"listener " + name + " cannot accept: " + text});
        pause.expires_after(accept_pause);
        co_await pause.async_wait(as_result);
      }
    }
  }

  std::pair<bool, int> accept_one_if_memory_lasts(std::size_t index) {
    try {
      return accept_one(index);
    } catch (const std::bad_alloc &) { // the connection, if there was one, is closed
      limits_.turned_away();
      return {false, ENOMEM};
    }
  }

  /// Accepts one connection, and refuses it where there is no room for it. Whether there was one, else errno.
  std::pair<bool, int> accept_one(std::size_t index) {
    spares_.refill();
    OwnedDescriptor fd(::accept4(sockets_[index].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    bool spent = fd.get() < 0 && (errno == EMFILE || errno == ENFILE);
    if (spent && spares_.give())
      return refuse_one(index,
                        "no file descriptor is left for it (RLIMIT_NOFILE, or fs.file-max of the machine)");
    if (fd.get() < 0) return {false, errno};
    hand_to_worker(std::move(fd), index,
                   has_memory() ? limits_.admit(index, config_->listeners[index].name)
                                : limits_.turn_down("sqlshim is out of memory"));
    return {true, 0};
  }
  std::pair<bool, int> refuse_one(std::size_t index, const char *why) {
    OwnedDescriptor fd(::accept4(sockets_[index].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.get() < 0) return {false, errno};
    hand_to_worker(std::move(fd), index, limits_.turn_down(why));
    return {true, 0};
  }

  /// Connections that were closed without a word are counted, and told of once in a while: a line for
  /// each could fill the disk.
  Task<> tell_turned_away() {
    Timer pause(acceptor_io_, turned_away_told);
    co_await pause.async_wait(as_result);
    say_turned_away();
  }
  void say_turned_away() {
    auto count = limits_.take_turned_away();
    if (count == 0) return;
    log_.emit(Warned{fmt::format(
        "{} connections were closed without an answer, since {} others are being refused already; the "
        "causes of those tell why",
        count, Limits::most_farewells)});
  }

  /// On the acceptor's thread: from now on connecting is refused.
  void stop_accepting() {
    closing_ = true;
    waiters_.clear();
    sockets_.clear();
    responder_.reset();
  }

  void hand_to_worker(OwnedDescriptor fd, std::size_t listener, std::optional<Admission> admission) {
    if (!admission) return limits_.turned_away();
    auto family = sockets_[listener].family;
    if (family != AF_UNIX) {
      int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      keep_alive(fd.get());
    }
    auto fewest = std::ranges::min_element(workers_, {}, [](const auto &worker) { return worker->count(); });
    (*fewest)->give(std::move(fd), family, config_, listener, std::move(*admission), [this] {
      std::lock_guard lock(idle_mutex_);
      idle_.notify_all();
    });
  }

  template <class Condition> void wait_until(Condition condition, Millis limit) {
    std::unique_lock lock(idle_mutex_);
    idle_.wait_for(lock, limit, condition);
  }

  std::shared_ptr<const config::Config> config_;
  DecisionLog &log_;
  asio::thread_pool pool_{2};
  Identities identities_;
  Tickets tickets_;
  Users users_;
  Limits limits_;
  TlsContexts tls_;
  Browsers browsers_;
  Common common_;
  std::mutex idle_mutex_;
  std::condition_variable idle_;
  bool hurried_ = false;
  bool drained_ = false;
  std::vector<Listening> listening_;
  std::vector<ListeningSocket> sockets_;
  SpareDescriptors spares_;
  std::vector<std::unique_ptr<Worker>> workers_;
  asio::io_context acceptor_io_{1};
  // From here on touched on the acceptor's thread only, once that runs. A waiter has a descriptor of its own:
  // Asio closes what it waits for.
  std::vector<std::unique_ptr<Waiter>> waiters_;
  std::unique_ptr<BrowserResponder> responder_; // null: none is configured
  bool closing_ = false;
  std::thread acceptor_thread_;
};

} // namespace

std::expected<std::unique_ptr<Server>, std::string> start_server(std::shared_ptr<const config::Config> config,
                                                                 DecisionLog &log, ServerOptions options) {
  auto kerberos = auth::load_kerberos_config(config->kerberos.config);
  if (!kerberos) return std::unexpected(config->kerberos.config + ": " + kerberos.error().text);
  auto server =
      std::make_unique<RunningServer>(std::move(config), log, std::move(options), std::move(*kerberos));
  if (auto started = server->start(); !started) return std::unexpected(started.error());
  return server;
}

namespace {

/// As many open files as the system lets us have. Returns how many that is.
std::uint64_t raise_descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  rlimit most{files.rlim_max, files.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &most) == 0 ? most.rlim_cur : files.rlim_cur;
}

/// Lowers what the descriptors do not suffice for; the warning that says so.
std::optional<std::string> fit_to(std::uint64_t descriptors, config::Limits &limits) {
  auto most = connections_for(descriptors);
  if (most >= limits.connections) return std::nullopt;
  auto warning = fmt::format(
      "[limits] connections = {}, but the {} open files that this process may have suffice for {}, and that is the limit now; raise LimitNOFILE "
      "of the service (ulimit -Hn), or lower connections",
      limits.connections, descriptors, most);
  limits.connections = most;
  return warning;
}

} // namespace

int serve(config::Config settings, std::vector<std::string> warnings) {
  ::prctl(PR_SET_DUMPABLE, 0);
  keep_memory_in_reserve();
  rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN); // a log that may not grow is an error of its writing, and not our end
  ::setenv("KRB5_CONFIG", settings.kerberos.config.c_str(), 1);
  auto lowered = fit_to(raise_descriptors(), settings.limits);
  auto config = std::make_shared<const config::Config>(std::move(settings));
  auto diagnostics = spdlog::stderr_logger_st("sqlshim");
  diagnostics->set_pattern("%Y-%m-%dT%H:%M:%S.%e sqlshim %l: %v");
  diagnostics->set_level(static_cast<spdlog::level::level_enum>(config->log.level));

  bool debug = config->log.level <= config::Level::debug;
  auto log = open_decision_log(config->log.decisions, debug);
  if (!log) {
    diagnostics->error("{}", log.error());
    return 2;
  }
  // Before any thread: the signals go to the one that waits for them below.
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGHUP, SIGTERM, SIGINT})
    sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto server = start_server(config, **log);
  if (!server) {
    diagnostics->error("{}", server.error());
    return 2;
  }
  if (lowered) {
    diagnostics->warn("{}", *lowered);
    warnings.push_back(*lowered);
  }
  for (const auto &warning : warnings)
    (*log)->emit(Warned{warning});
  for (const auto &[name, address] : (*server)->listening())
    fmt::print("listening {} {}\n", name, address);
  std::fflush(stdout);
  diagnostics->info("serving; decisions go to {}", config->log.decisions.string());
  const auto tell = [&](const std::string &state) {
    if (const auto why = tell_service_manager(state); !why.empty()) diagnostics->warn("{}", why);
  };
  tell("READY=1\nSTATUS=serving");

  for (;;) {
    int number = 0;
    sigwait(&signals, &number);
    if (number == SIGHUP) {
      (*server)->forget();
      diagnostics->info("tickets, KDC refusals and DNS answers forgotten");
      continue;
    }
    const auto running = (*server)->connections();
    diagnostics->info("stopping; waiting for {} connections", running);
    // Its own patience may be shorter than ours.
    const auto needed = std::chrono::microseconds(config->limits.drain + Millis(10000));
    tell(fmt::format("STOPPING=1\nSTATUS=waiting for {} connections\nEXTEND_TIMEOUT_USEC={}", running,
                     needed.count()));
    // A second signal ends the wait.
    std::thread impatient([&] {
      int again = 0;
      do
        sigwait(&signals, &again);
      while (again == SIGHUP);
      (*server)->hurry();
    });
    (*server)->drain(config->limits.drain);
    ::kill(::getpid(), SIGTERM); // lets the other thread go, if nobody has
    impatient.join();
    break;
  }
  server->reset();
  (*log)->flush(Millis(2000));
  return 0;
}

} // namespace shim
