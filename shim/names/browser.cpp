#include "shim/names/browser.hpp"

#include <fmt/format.h>
#include <ranges>

namespace shim {
namespace {

using Udp = asio::ip::udp;
using UdpSocket = asio::basic_datagram_socket<Udp, Executor>;

std::string text_of(const Udp::endpoint &endpoint) {
  const auto address = endpoint.address().to_string();
  return fmt::format(fmt::runtime(endpoint.address().is_v6() ? "[{}]:{}" : "{}:{}"), address,
                     endpoint.port());
}

/// One address that is asked.
struct Side {
  Udp::endpoint server;
  UdpSocket socket;
  bool refused = false; ///< the kernel has told that nobody listens there, or cannot send to it
  std::string why = {}; ///< the last that was wrong with it
};

/// Shared by those who listen; the one who asks waits for `changed`.
struct Question {
  explicit Question(Executor executor) : changed(executor) {}
  std::string instance;
  std::vector<std::unique_ptr<Side>> sides;
  Signal changed;
  std::optional<BrowserAnswer> answer;
  bool over = false; ///< the one who asked is gone

  bool hopeless() const {
    return std::ranges::all_of(sides, [](const auto &side) { return side->refused; });
  }
};

struct EndAtExit {
  std::shared_ptr<Question> question;
  ~EndAtExit() {
    question->over = true;
    boost::system::error_code ignored;
    for (auto &side : question->sides)
      side->socket.close(ignored);
  }
};

Task<> listen(std::shared_ptr<Question> question, Side &side) {
  tds::Bytes datagram(3 + tds::largest_ssrp_answer +
                      1); // one byte more: what is longer is not taken for an answer
  while (!question->over && !question->answer && !side.refused) {
    auto [error, count] = co_await side.socket.async_receive(asio::buffer(datagram), as_result);
    if (question->over || question->answer) co_return;
    if (error) {
      side.refused = true;
      side.why = error.message();
    } else if (auto said =
                   tds::decode_ssrp_answer(tds::ByteView(datagram).first(count), question->instance)) {
      question->answer = BrowserAnswer{std::move(*said), side.server};
    } else {
      side.why = said.error().text();
    }
    question->changed.notify();
  }
}

} // namespace

Task<std::expected<BrowserAnswer, BrowserError>> ask_browser(std::vector<Udp::endpoint> servers,
                                                             std::string instance, Millis limit) {
  const auto started = std::chrono::steady_clock::now();
  const auto executor = co_await asio::this_coro::executor;
  const auto message = tds::encode_ssrp_question(instance);
  if (!message) co_return std::unexpected(BrowserError{false, message.error().text()});
  auto question = std::make_shared<Question>(executor);
  question->instance = std::move(instance);
  EndAtExit guard{question};
  for (const auto &server : servers | std::views::take(most_browsers)) {
    auto &side = *question->sides.emplace_back(new Side{server, UdpSocket(executor)});
    boost::system::error_code error;
    side.socket.connect(server, error); // of a datagram: waits for nothing
    if (!error) side.socket.non_blocking(true, error);
    if (error) {
      side.refused = true;
      side.why = error.message();
      continue;
    }
    asio::co_spawn(executor, listen(question, side), asio::detached);
  }

  while (!question->answer && !question->hopeless() && !is_over(limit, started)) {
    for (auto &side : question->sides) {
      if (side->refused) continue;
      boost::system::error_code error;
      side->socket.send(asio::buffer(*message), 0, error);
      if (error && error != asio::error::would_block) {
        side->refused = true;
        side->why = error.message();
      }
    }
    const auto asked = std::chrono::steady_clock::now();
    while (!question->answer && !question->hopeless() && !is_over(limit, started) &&
           !is_over(browser_patience, asked))
      co_await question->changed.wait(std::min(left_of(browser_patience, asked),
                                               limit.count() ? left_of(limit, started) : browser_patience));
  }
  if (question->answer) co_return std::move(*question->answer);

  BrowserError error{.refused = question->hopeless(), .detail = {}};
  const auto waited = std::chrono::duration_cast<Millis>(std::chrono::steady_clock::now() - started);
  for (const auto &side : question->sides)
    error.detail +=
        fmt::format("{}{}: {}", error.detail.empty() ? "" : "; ", text_of(side->server),
                    side->why.empty() ? fmt::format("no answer within {} ms", waited.count()) : side->why);
  co_return std::unexpected(std::move(error));
}

} // namespace shim
