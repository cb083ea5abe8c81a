#include "tools/lab/peer.hpp"

#include "tools/lab/peer_server.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace lab {

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
  // The acceptor must take a token twice: tests replay captured logins. Before any thread: setenv is for one thread only.
  ::setenv("KRB5RCACHENAME", "none:", 1);
  const auto options = nlohmann::json::parse(read_file(config)).get<PeerOptions>();
  asio::io_context context(1);
  PeerServer server(context.get_executor(), options);
  asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](auto...) {
    server.stop();
    context.stop();
  });
  fmt::print("listening {}:{}\n", options.address, server.port());
  std::fflush(stdout);
  context.run();
  return 0;
}

} // namespace lab
