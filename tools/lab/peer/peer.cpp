#include "tools/lab/peer/peer.hpp"

#include "tools/lab/peer/peer_server.hpp"

#include "shim/transport/task.hpp"

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

fs::path port_file(fs::path config) { return config.replace_extension(".port"); }

/// Whole at any moment: others read it while it is written.
void write_port(const fs::path &config, std::uint16_t port) {
  auto fresh = port_file(config);
  fresh += ".new";
  write_file(fresh, fmt::format("{}\n", port));
  fs::rename(fresh, port_file(config));
}

/// What a service account that may write its own SPNs does when its server starts at another port.
void move_spn(const PeerOptions &options, std::uint16_t from, std::uint16_t to) {
  const auto spn = [&](std::uint16_t port) { return fmt::format("MSSQLSvc/{}:{}", options.spn_host, port); };
  const auto commands =
      fmt::format("addprinc -randkey {0}\nktadd -norandkey -k {1} {0}\ndelprinc -force {2}\n", spn(to),
                  options.keytab.string(), spn(from));
  const auto done = run({.argv = {"kadmin.local", "-p", "sqlshim/admin"}}, commands);
  fmt::print("{}", done.output);
}

/// The server of a process, which may move.
class MovingServer {
public:
  MovingServer(shim::Executor executor, PeerOptions options, fs::path config)
      : executor_(executor), options_(std::move(options)), config_(std::move(config)),
        server_(open(options_.port)) {
    if (!options_.instance.empty()) write_port(config_, server_->port());
  }
  void move() {
    auto next = open(0);
    if (!options_.spn_host.empty()) move_spn(options_, server_->port(), next->port());
    std::swap(server_, next);
    next->stop(); // whoever still thinks of the old port is refused from here on
    write_port(config_, server_->port());
    fmt::print("moved to {}:{}\n", options_.address, server_->port());
    std::fflush(stdout);
  }
  PeerServer &server() { return *server_; }

private:
  std::unique_ptr<PeerServer> open(std::uint16_t port) {
    auto options = options_;
    options.port = port;
    return std::make_unique<PeerServer>(executor_, std::move(options));
  }
  shim::Executor executor_;
  PeerOptions options_;
  fs::path config_;
  std::unique_ptr<PeerServer> server_;
};

} // namespace

std::uint16_t port_now(const fs::path &config) {
  const auto text = read_file(port_file(config));
  std::uint16_t port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port;
}

Peer::Peer(fs::path folder, PeerOptions options, Environment environment, std::string name)
    : folder_(std::move(folder)), options_(std::move(options)), environment_(std::move(environment)),
      name_(std::move(name)) {
  if (options_.records.empty()) options_.records = folder_ / name_;
  fs::create_directories(options_.records);
  start();
}

void Peer::start() {
  stop();
  const auto config = folder_ / (name_ + ".json");
  write_file(config, nlohmann::json(options_).dump(2) + "\n");
  process_.emplace(Command{.argv = {program_folder() / "sqlshim-lab", "peer", "--config", config.string()},
                           .environment = environment_,
                           .output = folder_ / (name_ + ".log")});
  const auto place = process_->wait_for_line("listening ");
  options_.port = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
}

void Peer::stop() {
  if (process_) process_->stop();
}

void Peer::restart(PeerOptions options) {
  options.address = options_.address;
  options.port = options_.port;
  if (options.records.empty()) options.records = options_.records;
  options_ = std::move(options);
  start();
}

nlohmann::json Peer::record(int number) const {
  const auto text = read_file(options_.records / fmt::format("{:04}.json", number));
  return text.empty() ? nlohmann::json::object() : nlohmann::json::parse(text);
}

std::string Peer::received(int number) const {
  return read_file(options_.records / fmt::format("{:04}.tds.bin", number));
}

int run_peer(const fs::path &config) {
  // The acceptor must take a token twice: tests replay captured logins. Before any thread:
  // setenv is for one thread only.
  ::setenv("KRB5RCACHENAME", "none:", 1);
  const auto options = nlohmann::json::parse(read_file(config)).get<PeerOptions>();
  asio::io_context context(1);
  MovingServer moving(context.get_executor(), options, config);
  asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](auto...) {
    moving.server().stop();
    context.stop();
  });
  asio::signal_set moves(context);
  std::function<void()> await_move = [&] {
    moves.async_wait([&](const boost::system::error_code &error, int) {
      if (error) return;
      moving.move();
      await_move();
    });
  };
  if (!options.instance.empty()) {
    moves.add(SIGUSR1);
    await_move();
  }
  fmt::print("listening {}:{}\n", options.address, moving.server().port());
  std::fflush(stdout);
  context.run();
  return 0;
}

} // namespace lab
