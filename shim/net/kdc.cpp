#include "shim/net/kdc.hpp"

#include "shim/net/connect.hpp"

#include <array>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, Executor>;

constexpr Millis connect_stagger{150};
constexpr Millis silence_before_next{400};

/// What the conversations of one request share; it outlives the request until each conversation has noticed that it is over.
struct Talk {
  explicit Talk(Executor executor) : changed(executor) {}
  Signal changed;
  std::vector<std::shared_ptr<TcpSocket>> sockets;
  auth::Bytes framed;
  bool proof = false;
  bool sent = false; ///< to at least one KDC
  bool lost = false; ///< a KDC that had the message failed afterwards
  bool over = false;
  std::size_t failed = 0;
  std::string failures;
  std::optional<KdcAnswer> answer;

  void end() {
    over = true;
    boost::system::error_code ignored;
    for (auto &socket : sockets)
      socket->close(ignored);
  }
  void fail(const KdcEndpoint &kdc, const std::string &why) {
    failed++;
    failures += (failures.empty() ? "" : "; ") + to_text(kdc.endpoint) + ": " + why;
    changed.notify();
  }
};

struct EndAtExit {
  std::shared_ptr<Talk> talk;
  ~EndAtExit() { talk->end(); }
};

Task<> converse(std::shared_ptr<Talk> talk, std::size_t index, KdcEndpoint kdc) {
  auto socket = talk->sockets[index];
  auto [connect_error] = co_await socket->async_connect(kdc.endpoint, as_result);
  if (talk->over) co_return;
  if (connect_error) co_return talk->fail(kdc, connect_error.message());
  if (talk->proof && talk->sent) co_return; // another KDC has it: this one must not
  talk->sent = true;
  auto lose = [&](const std::string &why) {
    talk->lost = true;
    talk->fail(kdc, why);
  };

  auto [write_error, written] = co_await asio::async_write(*socket, asio::buffer(talk->framed), as_result);
  if (talk->over) co_return;
  if (write_error) co_return lose("after connecting: " + write_error.message());

  std::array<unsigned char, 4> prefix;
  auto [prefix_error, prefix_read] = co_await asio::async_read(*socket, asio::buffer(prefix), as_result);
  if (talk->over) co_return;
  if (prefix_error) co_return lose("closed without an answer (" + prefix_error.message() + ")");
  std::size_t length =
      std::size_t(prefix[0]) << 24 | std::size_t(prefix[1]) << 16 | std::size_t(prefix[2]) << 8 | prefix[3];
  if (length == 0 || length > largest_kdc_reply)
    co_return lose("announced an answer of " + std::to_string(length) + " bytes");

  auth::Bytes message(length);
  auto [read_error, read] = co_await asio::async_read(*socket, asio::buffer(message), as_result);
  if (talk->over) co_return;
  if (read_error) co_return lose("broke off in mid-answer (" + read_error.message() + ")");
  if (!talk->answer) talk->answer = KdcAnswer{std::move(message), to_text(kdc.endpoint)};
  talk->changed.notify();
}

} // namespace

Task<std::expected<KdcAnswer, std::string>> ask_kdc(std::vector<KdcEndpoint> kdcs, auth::Bytes message, bool proof,
                                                    Millis limit) {
  auto started = std::chrono::steady_clock::now();
  auto executor = co_await asio::this_coro::executor;
  auto talk = std::make_shared<Talk>(executor);
  EndAtExit guard{talk};
  talk->proof = proof;
  for (int shift = 24; shift >= 0; shift -= 8)
    talk->framed.push_back(static_cast<std::uint8_t>(message.size() >> shift));
  talk->framed.insert(talk->framed.end(), message.begin(), message.end());
  auto timed_out = [&] { return is_over(limit, started); };

  for (std::size_t i = 0; i < kdcs.size() && !talk->answer && !timed_out(); ++i) {
    if (talk->proof && talk->sent) break;
    talk->sockets.push_back(std::make_shared<TcpSocket>(executor));
    asio::co_spawn(executor, converse(talk, i, kdcs[i]), asio::detached);
    if (i + 1 == kdcs.size()) break;
    auto since = std::chrono::steady_clock::now();
    auto failed_before = talk->failed;
    while (!talk->answer && talk->failed == failed_before && !timed_out()) {
      auto patience = talk->sent ? silence_before_next : connect_stagger;
      if (std::chrono::steady_clock::now() - since >= patience) break;
      co_await talk->changed.wait(
          std::min(left_of(patience, since), limit.count() ? left_of(limit, started) : patience));
    }
  }
  // With proof sent, the failure of the KDC that has it ends the request; the failure of another, which never had it, does not.
  auto hopeless = [&] { return talk->failed >= talk->sockets.size() || (talk->proof && talk->lost); };
  while (!talk->answer && !hopeless() && !timed_out())
    co_await talk->changed.wait(left_of(limit, started));

  if (talk->answer) co_return std::move(*talk->answer);
  std::string why = talk->failures;
  if (!hopeless())
    why += (why.empty() ? "" : "; ") + std::string("no answer within ") + std::to_string(limit.count()) + " ms";
  if (kdcs.empty()) why = "no KDC is known for the realm";
  co_return std::unexpected(std::move(why));
}

} // namespace shim
