#include "shim/server.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace shim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Millis identity_load_limit{5000};
constexpr Millis farewell_limit{3000}; // for each connection's last event, and for a refusal to be read

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

std::size_t threads_for(std::size_t wanted) {
  return wanted ? wanted : std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
}

} // namespace

Server::Server(std::shared_ptr<const config::Config> config, DecisionLog &log, ServerOptions options,
               auth::KerberosConfig kerberos)
    : config_(std::move(config)), log_(log), identities_(pool_, kerberos.path),
      tickets_(
          std::move(kerberos), config_->kerberos.refusals,
          [&log](Event event) { log.emit(std::move(event)); }, options.kdcinfo),
      users_(std::move(options.look_up_user)), limits_(config_->limits),
      tls_(std::make_shared<TlsContexts>(config_,
                                         [&log](std::string what) { log.emit(Warned{std::move(what)}); })),
      settings_(std::make_shared<const Settings>(config_, tls_)),
      common_{log,        tickets_,   identities_, users_, limits_, browsers_, std::move(options.prove_uid),
              ::getuid(), log.debug()},
      address_in_use_(std::move(options.address_in_use)),
      acceptor_(limits_, log, [this](Arrival arrival) { serve(std::move(arrival)); }) {
  const auto files = std::make_shared<NameFiles>(
      config_->dns, [this](std::string what) { log_.emit(Reloaded{std::move(what)}); });
  const auto system = std::make_shared<SystemNames>(std::move(options.look_up_name));
  for (std::size_t i = 0; i < threads_for(options.threads); ++i)
    workers_.push_back(std::make_unique<Worker>(common_, files, system));
}

Server::~Server() {
  drain(Millis(1));
  acceptor_.join();
  pool_.join();
  for (auto &worker : workers_)
    worker->join();
}

std::expected<void, std::string> Server::start() {
  if (auto opened = open_listeners(); !opened) return opened;
  Started started{SQLSHIM_VERSION, config_->file.string(), {}, {}};
  for (const auto &entry : listening_)
    started.listeners.push_back(entry.name + " " + entry.address);
  for (const auto &identity : config_->identities)
    started.identities.push_back(text_of(identity));
  for (auto &worker : workers_)
    worker->run();
  log_.emit(started);
  for (const auto &identity : config_->identities)
    asio::co_spawn(acceptor_.executor(), try_identity(identity), asio::detached);
  acceptor_.run();
  return {};
}

std::expected<void, std::string> Server::open_listeners() {
  std::map<std::string, std::uint16_t> ports;
  for (const auto &settings : config_->listeners) {
    auto socket = listen(settings);
    if (!socket) return std::unexpected("listener " + settings.name + ": " + socket.error().text);
    listening_.push_back({settings.name, socket->address()});
    ports[settings.name] = socket->port();
    const auto listener = std::make_shared<const Listener>(++last_listener_, settings);
    acceptor_.add(listener, std::move(*socket));
    if (!settings.twin) continue;
    if (auto opened = open_twin(listener, ports[settings.name]); !opened) return opened;
  }
  return open_browser(ports);
}

/// The other address of localhost. A machine without IPv6 has none, and so nobody who could take it.
std::expected<void, std::string> Server::open_twin(const ListenerPtr &listener, std::uint16_t port) {
  auto socket = listen(config::Address{listener->settings.twin->ip, port});
  if (!socket && (socket.error().number == EADDRNOTAVAIL || socket.error().number == EAFNOSUPPORT)) {
    log_.emit(Warned{"listener " + listener->settings.name + ": " + socket.error().text +
                     "; localhost is 127.0.0.1 alone"});
    return {};
  }
  if (!socket) return std::unexpected("listener " + listener->settings.name + ": " + socket.error().text);
  listening_.push_back({listener->settings.name, socket->address()});
  acceptor_.add(listener, std::move(*socket));
  return {};
}

template <class Where> std::expected<ListeningSocket, ListenError> Server::listen(const Where &where) {
  for (;;) {
    auto socket = listen_on(where);
    if (socket || socket.error().number != EADDRINUSE || !address_in_use_ ||
        !address_in_use_(socket.error().text))
      return socket;
  }
}

/// SQL Browser, where it is configured: it tells the ports that were bound.
std::expected<void, std::string> Server::open_browser(const std::map<std::string, std::uint16_t> &ports) {
  const auto &browser = config_->browser;
  if (!browser.address) return {};
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::vector<tds::SsrpInstance> instances;
  for (const auto &[instance, name] : browser.instances)
    for (const auto &listener : config_->listeners)
      if (listener.name == name && listener.address)
        instances.push_back(
            {host.data(), instance, text_of(listener.version), false, ports.at(listener.name), {}});
  auto opened = BrowserResponder::open(acceptor_.executor(), *browser.address, std::move(instances));
  if (!opened) return std::unexpected("[browser]: " + opened.error());
  listening_.push_back({"browser", (*opened)->address()});
  acceptor_.add(std::move(*opened));
  return {};
}

void Server::forget() {
  tickets_.forget();
  browsers_.forget();
  for (auto &worker : workers_)
    worker->forget();
  tls_->reload();
  log_.reopen();
  log_.emit(Reloaded{
      "tickets, KDC refusals, DNS answers and ports of instances forgotten; certificates read and decision "
      "log opened anew"});
}

std::size_t Server::drain(std::chrono::milliseconds limit) {
  if (std::exchange(drained_, true)) return 0;
  const auto started = Clock::now();
  acceptor_.stop_accepting();
  wait_until([this] { return hurried_ || connections() == 0; }, limit);
  const auto left = connections();
  for (auto &worker : workers_)
    worker->stop_all("shutdown");
  wait_until([this] { return connections() == 0; }, farewell_limit);
  tell_turned_away(limits_, log_);
  const auto lasted = std::chrono::duration_cast<Millis>(Clock::now() - started);
  log_.emit(Drained{static_cast<std::uint64_t>(lasted.count()), left});
  return left;
}

void Server::hurry() {
  std::lock_guard lock(idle_mutex_);
  hurried_ = true;
  idle_.notify_all();
}

std::size_t Server::connections() const {
  std::size_t sum = 0;
  for (const auto &worker : workers_)
    sum += worker->count();
  return sum;
}

Task<> Server::try_identity(const config::Identity &identity) {
  using enum config::IdentityKind;
  if (identity.kind == client || identity.kind == caller) co_return; // nobody has come yet
  auto loaded = co_await identities_.get(identity, identity_load_limit);
  if (!loaded)
    log_.emit(Warned{"identity " + identity.name + " cannot be loaded now: " + loaded.error().text});
}

void Server::serve(Arrival arrival) {
  auto fewest = std::ranges::min_element(workers_, {}, [](const auto &worker) { return worker->count(); });
  (*fewest)->give(std::move(arrival), settings_, [this] {
    std::lock_guard lock(idle_mutex_);
    idle_.notify_all();
  });
}

template <class Condition> void Server::wait_until(Condition condition, Millis limit) {
  std::unique_lock lock(idle_mutex_);
  idle_.wait_for(lock, limit, condition);
}

std::expected<std::unique_ptr<Server>, std::string> start_server(std::shared_ptr<const config::Config> config,
                                                                 DecisionLog &log, ServerOptions options) {
  auto kerberos = auth::load_kerberos_config(config->kerberos.config);
  if (!kerberos) return std::unexpected(config->kerberos.config + ": " + kerberos.error().text);
  auto server = std::make_unique<Server>(std::move(config), log, std::move(options), std::move(*kerberos));
  if (auto started = server->start(); !started) return std::unexpected(started.error());
  return server;
}

} // namespace shim
