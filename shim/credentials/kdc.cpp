#include "shim/credentials/kdc.hpp"

#include "shim/transport/connect.hpp"
#include "shim/transport/contest.hpp"

#include <array>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using Udp = asio::ip::udp;
using TcpSocket = asio::basic_stream_socket<Tcp, Executor>;
using UdpSocket = asio::basic_datagram_socket<Udp, Executor>;
using Clock = std::chrono::steady_clock;

constexpr Millis connect_stagger{150};
constexpr Millis silence_before_next{400};

/// The conversations of one request.
struct Talk final : Contest {
  /// With one KDC.
  struct Side {
    std::shared_ptr<TcpSocket> socket;
    Tcp::endpoint endpoint;
    Clock::time_point started;
    bool connected = false;
    std::string failure; ///< empty: none yet
    std::int64_t us = 0; ///< until it failed
  };

  using Contest::Contest;
  std::vector<Side> sides;
  auth::Bytes framed;
  bool proof = false;
  bool sent = false; ///< to at least one KDC
  bool lost = false; ///< a KDC that had the message failed afterwards
  std::optional<KdcAnswer> answer;

  void close() override {
    boost::system::error_code ignored;
    for (auto &side : sides)
      side.socket->close(ignored);
  }
  void fail_side(std::size_t index, std::string why) {
    sides[index].failure = std::move(why);
    sides[index].us = micros_since(sides[index].started);
    fail();
  }
  /// Who was tried and did not answer.
  std::vector<KdcSilent> silent() const {
    std::vector<KdcSilent> list;
    for (const auto &side : sides) {
      if (answer && side.endpoint == answer->endpoint) continue;
      auto us = side.failure.empty() ? micros_since(side.started) : side.us;
      auto within = " within " + std::to_string(us / 1000) + " ms";
      list.push_back({side.endpoint,
                      !side.failure.empty() ? side.failure
                      : side.connected      ? "no answer" + within
                                            : "no connection" + within,
                      us});
    }
    return list;
  }
};

Task<> converse(std::shared_ptr<Talk> talk, std::size_t index) {
  auto socket = talk->sides[index].socket;
  auto endpoint = talk->sides[index].endpoint;
  auto [connect_error] = co_await socket->async_connect(endpoint, as_result);
  if (talk->over()) co_return;
  if (connect_error) co_return talk->fail_side(index, connect_error.message());
  talk->sides[index].connected = true;
  if (talk->proof && talk->sent) co_return; // another KDC has it: this one must not
  talk->sent = true;
  auto lose = [&](std::string why) {
    talk->lost = true;
    talk->fail_side(index, std::move(why));
  };

  auto [write_error, written] = co_await asio::async_write(*socket, asio::buffer(talk->framed), as_result);
  if (talk->over()) co_return;
  if (write_error) co_return lose("after connecting: " + write_error.message());

  std::array<unsigned char, 4> prefix;
  auto [prefix_error, prefix_read] = co_await asio::async_read(*socket, asio::buffer(prefix), as_result);
  if (talk->over()) co_return;
  if (prefix_error) co_return lose("closed without an answer (" + prefix_error.message() + ")");
  std::size_t length =
      std::size_t(prefix[0]) << 24 | std::size_t(prefix[1]) << 16 | std::size_t(prefix[2]) << 8 | prefix[3];
  if (length == 0 || length > largest_kdc_reply)
    co_return lose("announced an answer of " + std::to_string(length) + " bytes");

  auth::Bytes message(length);
  auto [read_error, read] = co_await asio::async_read(*socket, asio::buffer(message), as_result);
  if (talk->over()) co_return;
  if (read_error) co_return lose("broke off in mid-answer (" + read_error.message() + ")");
  if (!talk->answer) talk->answer = KdcAnswer{std::move(message), endpoint};
  talk->notify();
}

/// The datagrams of one probe.
struct Probe final : Contest {
  using Contest::Contest;
  std::vector<std::shared_ptr<UdpSocket>> sockets;
  std::optional<Tcp::endpoint> answered;

  void close() override {
    boost::system::error_code ignored;
    for (auto &socket : sockets)
      socket->close(ignored);
  }
};

Task<> probe_one(std::shared_ptr<Probe> probe, std::shared_ptr<UdpSocket> socket, Tcp::endpoint kdc,
                 auth::Bytes message) {
  // Connected: the kernel drops what comes from anybody else, and tells of a port that is closed.
  auto [connect_error] = co_await socket->async_connect(Udp::endpoint(kdc.address(), kdc.port()), as_result);
  if (probe->over()) co_return;
  bool good = false;
  if (!connect_error) {
    co_await socket->async_send(asio::buffer(message), as_result);
    if (probe->over()) co_return;
    std::array<std::uint8_t, 1> start{}; // of a datagram whose rest the kernel drops
    auto [error, count] = co_await socket->async_receive(asio::buffer(start), as_result);
    if (probe->over()) co_return;
    constexpr std::uint8_t krb_error = 0x7e, as_rep = 0x6b; // APPLICATION 30 and 11 (RFC 4120 5.9.1, 5.4.2)
    good = count == 1 && (start[0] == krb_error || start[0] == as_rep);
  }
  if (!good) co_return probe->fail();
  if (!probe->answered) probe->answered = kdc;
  probe->notify();
}

} // namespace

std::string to_text(const std::vector<KdcSilent> &silent) {
  std::string text;
  for (const auto &one : silent)
    text += (text.empty() ? "" : "; ") + to_text(one.endpoint) + ": " + one.why;
  return text;
}

Task<std::expected<KdcAnswer, std::vector<KdcSilent>>>
ask_kdc(std::vector<KdcEndpoint> kdcs, auth::Bytes message, bool proof, Millis limit) {
  auto started = Clock::now();
  auto executor = co_await asio::this_coro::executor;
  auto talk = std::make_shared<Talk>(executor);
  const ContestGuard guard(talk);
  talk->proof = proof;
  for (int shift = 24; shift >= 0; shift -= 8)
    talk->framed.push_back(static_cast<std::uint8_t>(message.size() >> shift));
  talk->framed.insert(talk->framed.end(), message.begin(), message.end());
  auto timed_out = [&] { return is_over(limit, started); };

  for (std::size_t i = 0; i < kdcs.size() && !talk->answer && !timed_out(); ++i) {
    if (talk->proof && talk->sent) break;
    talk->sides.push_back(
        {std::make_shared<TcpSocket>(executor), kdcs[i].endpoint, Clock::now(), false, {}, 0});
    asio::co_spawn(executor, converse(talk, i), asio::detached);
    if (i + 1 == kdcs.size()) break;
    auto since = Clock::now();
    auto failed_before = talk->failed();
    while (!talk->answer && talk->failed() == failed_before && !timed_out()) {
      auto patience = talk->sent ? silence_before_next : connect_stagger;
      if (Clock::now() - since >= patience) break;
      co_await talk->change(
          std::min(left_of(patience, since), limit.count() ? left_of(limit, started) : patience));
    }
  }
  // With proof sent, the failure of the KDC that has it ends the request; the failure of another,
  // which never had it, does not.
  auto hopeless = [&] { return talk->failed() >= talk->sides.size() || (talk->proof && talk->lost); };
  co_await talk->until([&] { return talk->answer || hopeless(); }, limit, started);

  auto silent = talk->silent();
  if (!talk->answer) co_return std::unexpected(std::move(silent));
  talk->answer->silent = std::move(silent);
  co_return std::move(*talk->answer);
}

Task<std::optional<Tcp::endpoint>> answers_over_udp(std::vector<KdcEndpoint> kdcs, auth::Bytes message,
                                                    Millis limit) {
  auto started = Clock::now();
  auto executor = co_await asio::this_coro::executor;
  auto probe = std::make_shared<Probe>(executor);
  const ContestGuard guard(probe);
  for (const auto &kdc : kdcs) {
    auto socket = probe->sockets.emplace_back(std::make_shared<UdpSocket>(executor));
    asio::co_spawn(executor, probe_one(probe, socket, kdc.endpoint, message), asio::detached);
  }
  co_await probe->until([&] { return probe->answered || probe->failed() == probe->sockets.size(); }, limit,
                        started);
  co_return probe->answered;
}

} // namespace shim
