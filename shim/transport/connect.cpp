#include "shim/transport/connect.hpp"

#include "shim/transport/contest.hpp"

#include <algorithm>
#include <netinet/tcp.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, Executor>;

using Clock = std::chrono::steady_clock;

/// For all tries together where nobody sets a limit: a server that is there has answered by then.
constexpr Millis patience{5000};

struct Try {
  std::shared_ptr<TcpSocket> socket;
  Clock::time_point since;
  bool over = false;
  bool given_up = false; ///< for another's sake

  void close() {
    boost::system::error_code ignored;
    socket->close(ignored);
  }
};

/// What the tries of one race share.
struct Race final : Contest {
  using Contest::Contest;
  std::vector<Try> tries;
  std::optional<std::size_t> winner;
  bool all_refused = true;
  bool out_of_descriptors = false;
  std::string detail;

  std::size_t open() const { return static_cast<std::size_t>(std::ranges::count(tries, false, &Try::over)); }
  void note(const Tcp::endpoint &endpoint, const std::string &why) {
    detail += (detail.empty() ? "" : "; ") + to_text(endpoint) + ": " + why;
  }

private:
  void close() override {
    for (std::size_t i = 0; i < tries.size(); ++i)
      if (!winner || *winner != i) tries[i].close();
  }
};

Task<> one_try(std::shared_ptr<Race> race, std::size_t index, Tcp::endpoint endpoint) {
  auto socket = race->tries[index].socket;
  auto [error] = co_await socket->async_connect(endpoint, as_result);
  if (race->over()) co_return;
  race->tries[index].over = true;
  if (race->tries[index].given_up) {
    race->all_refused = false;
    race->note(endpoint, "no answer, and others had to be tried");
    race->fail();
    co_return;
  }
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

/// Waits until one try more may be made: one of those under way has ended, or the oldest has had its share.
Task<> wait_for_room(Race &race, Millis share) {
  while (race.open() >= most_connecting && !race.winner) {
    const auto oldest = std::ranges::find(race.tries, false, &Try::over);
    if (is_over(share, oldest->since)) {
      oldest->given_up = true;
      oldest->close();
      co_await race.change(Millis(0)); // until it has noticed
    } else {
      co_await race.change(left_of(share, oldest->since));
    }
  }
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

  const auto rounds = static_cast<Millis::rep>((endpoints.size() + most_connecting - 1) / most_connecting);
  const auto share = (limit.count() ? limit : patience) / std::max<Millis::rep>(rounds, 1);
  for (std::size_t i = 0; i < endpoints.size() && !race->winner && !timed_out(); ++i) {
    co_await wait_for_room(*race, share);
    if (race->winner) break;
    race->tries.push_back({std::make_shared<TcpSocket>(executor), Clock::now()});
    asio::co_spawn(executor, one_try(race, i, endpoints[i]), asio::detached);
    if (i + 1 < endpoints.size())
      co_await race->change(limit.count() ? std::min(stagger, left_of(limit, started)) : stagger);
  }
  co_await race->until([&] { return race->winner || race->failed() >= race->tries.size(); }, limit, started);

  if (!race->winner) {
    ConnectError error{race->all_refused && race->failed() == endpoints.size() && !endpoints.empty(),
                       race->out_of_descriptors, race->detail};
    if (race->failed() < endpoints.size())
      error.detail += (error.detail.empty() ? "" : "; ") + std::string("no answer within ") +
                      std::to_string(limit.count()) + " ms";
    co_return std::unexpected(std::move(error));
  }
  boost::system::error_code ignored;
  auto &won = *race->tries[*race->winner].socket;
  won.set_option(Tcp::no_delay(true), ignored);
  keep_alive(won.native_handle());
  co_return Connected{Socket(std::move(won)), endpoints[*race->winner]};
}

} // namespace shim
