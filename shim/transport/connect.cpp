#include "shim/transport/connect.hpp"

#include "shim/transport/contest.hpp"

#include <netinet/tcp.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, Executor>;

/// What the tries of one race share.
struct Race final : Contest {
  using Contest::Contest;
  std::vector<std::shared_ptr<TcpSocket>> sockets;
  std::optional<std::size_t> winner;
  bool all_refused = true;
  bool out_of_descriptors = false;
  std::string detail;

  void note(const Tcp::endpoint &endpoint, const std::string &why) {
    detail += (detail.empty() ? "" : "; ") + to_text(endpoint) + ": " + why;
  }

private:
  void close() override {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      boost::system::error_code ignored;
      if (!winner || *winner != i) sockets[i]->close(ignored);
    }
  }
};

Task<> one_try(std::shared_ptr<Race> race, std::size_t index, Tcp::endpoint endpoint) {
  auto socket = race->sockets[index];
  auto [error] = co_await socket->async_connect(endpoint, as_result);
  if (race->over()) co_return;
  if (error) {
    // A reset is a refusal too: of who accepts and closes at once, or of a firewall.
    if (error != asio::error::connection_refused && error != asio::error::connection_reset)
      race->all_refused = false;
    if (error == asio::error::no_descriptors || error == boost::system::errc::too_many_files_open_in_system)
      race->out_of_descriptors = true;
    race->note(endpoint, error.message());
    race->fail();
    co_return;
  }
  if (!race->winner) race->winner = index;
  race->notify();
}

std::string text_of(const asio::generic::stream_protocol::endpoint &endpoint) {
  if (endpoint.protocol().family() == AF_UNIX) {
    auto *address = reinterpret_cast<const sockaddr_un *>(endpoint.data());
    auto length = endpoint.size() > offsetof(sockaddr_un, sun_path)
                      ? endpoint.size() - offsetof(sockaddr_un, sun_path)
                      : 0;
    std::string path(address->sun_path, strnlen(address->sun_path, length));
    return path.empty() ? "unix" : "unix:" + path;
  }
  Tcp::endpoint tcp;
  if (endpoint.size() > tcp.capacity()) return "";
  std::memcpy(tcp.data(), endpoint.data(), endpoint.size());
  tcp.resize(endpoint.size());
  return to_text(tcp);
}

} // namespace

std::string to_text(const Tcp::endpoint &endpoint) {
  auto address = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(endpoint.port());
}

std::string local_text(const Socket &socket) {
  boost::system::error_code error;
  auto endpoint = socket.local_endpoint(error);
  return error ? "" : text_of(endpoint);
}

std::string peer_text(const Socket &socket) {
  boost::system::error_code error;
  auto endpoint = socket.remote_endpoint(error);
  return error ? "" : text_of(endpoint);
}

void keep_alive(int socket) {
  constexpr int on = 1, idle_seconds = 30, interval_seconds = 1, probes = 10;
  // A socket that does not take one of these is none the worse for it.
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

std::vector<Tcp::endpoint> in_turns(const std::vector<Tcp::endpoint> &endpoints) {
  std::vector<Tcp::endpoint> turns, others;
  for (const auto &endpoint : endpoints)
    (endpoint.protocol() == endpoints.front().protocol() ? turns : others).push_back(endpoint);
  for (std::size_t i = 0; i < others.size(); ++i)
    turns.insert(turns.begin() + static_cast<std::ptrdiff_t>(std::min(2 * i + 1, turns.size())), others[i]);
  return turns;
}

Task<std::expected<Connected, ConnectError>> connect_first(std::vector<Tcp::endpoint> endpoints,
                                                           Millis stagger, Millis limit) {
  auto started = std::chrono::steady_clock::now();
  auto executor = co_await asio::this_coro::executor;
  endpoints = in_turns(endpoints);
  auto race = std::make_shared<Race>(executor);
  const ContestGuard guard(race);
  auto timed_out = [&] { return is_over(limit, started); };

  for (std::size_t i = 0; i < endpoints.size() && !race->winner && !timed_out(); ++i) {
    race->sockets.push_back(std::make_shared<TcpSocket>(executor));
    asio::co_spawn(executor, one_try(race, i, endpoints[i]), asio::detached);
    if (i + 1 < endpoints.size())
      co_await race->change(limit.count() ? std::min(stagger, left_of(limit, started)) : stagger);
  }
  co_await race->until([&] { return race->winner || race->failed() >= race->sockets.size(); }, limit,
                       started);

  if (!race->winner) {
    ConnectError error{race->all_refused && race->failed() == endpoints.size() && !endpoints.empty(),
                       race->out_of_descriptors, race->detail};
    if (race->failed() < endpoints.size())
      error.detail += (error.detail.empty() ? "" : "; ") + std::string("no answer within ") +
                      std::to_string(limit.count()) + " ms";
    co_return std::unexpected(std::move(error));
  }
  boost::system::error_code ignored;
  auto &won = *race->sockets[*race->winner];
  won.set_option(Tcp::no_delay(true), ignored);
  keep_alive(won.native_handle());
  co_return Connected{Socket(std::move(won)), endpoints[*race->winner]};
}

} // namespace shim
