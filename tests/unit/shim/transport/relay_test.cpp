#include "shim/transport/relay.hpp"

#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/support.hpp"

#include <netinet/tcp.h>
#include <random>

namespace shim_test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

/// A relay between two connections; `application` and `server` are their far ends, which the test plays.
class RelayTest : public testing::Test {
protected:
  void start(Millis idle = Millis(0)) {
    auto [application, client_leg] = tcp_pair(loop_.executor());
    auto [server_leg, server] = tcp_pair(loop_.executor());
    application_.emplace(std::move(application));
    server_.emplace(std::move(server));
    relay_ = std::make_shared<Relay>(Socket(std::move(client_leg)), Socket(std::move(server_leg)), idle,
                                     [this](RelayEnd end) { ends_.push_back(std::move(end)); });
    relay_->start();
  }
  bool ended() const { return !ends_.empty(); }
  /// The end, once it has come; looks once more afterwards that there is no second one.
  RelayEnd end() {
    EXPECT_TRUE(loop_.until([&] { return ended(); })) << "the relay does not end";
    loop_.drain();
    relay_->stop("too late");
    EXPECT_EQ(ends_.size(), 1u) << "told more than once";
    return ends_.empty() ? RelayEnd{} : ends_.front();
  }

  void send(TcpSocket &socket, const std::string &text) { asio::write(socket, asio::buffer(text)); }
  /// What arrives, up to `size` bytes, or to the end of the stream.
  static Task<std::string> read(TcpSocket &socket, std::size_t size) {
    std::string text(size, '\0');
    auto [error, count] = co_await asio::async_read(socket, asio::buffer(text), as_result);
    text.resize(count);
    co_return text;
  }
  static Task<bool> at_end(TcpSocket &socket) {
    char byte;
    auto [error, count] = co_await socket.async_read_some(asio::buffer(&byte, 1), as_result);
    co_return error == asio::error::eof;
  }
  /// Sends from `socket` until nothing more goes in: the relay and whatever is behind it are
  /// full. Returns what was sent.
  std::string fill(TcpSocket &socket) {
    std::string sent;
    const std::string block(64 * 1024, 'x');
    socket.non_blocking(true);
    for (int idle_rounds = 0; idle_rounds < 3;) {
      boost::system::error_code error;
      const auto count = socket.write_some(asio::buffer(block), error);
      sent.append(block, 0, count);
      if (error && error != asio::error::would_block) throw boost::system::system_error(error);
      const auto moved = loop_.io.poll();
      idle_rounds = count == 0 && moved == 0 ? idle_rounds + 1 : 0;
      loop_.io.restart();
    }
    return sent;
  }

  Loop loop_;
  std::optional<TcpSocket> application_, server_;
  std::shared_ptr<Relay> relay_;
  std::vector<RelayEnd> ends_;
};

struct Traffic {
  std::string sent, received;
};

/// Sends `traffic.sent` in pieces of random size, then closes this direction.
Task<> send_pieces(TcpSocket &socket, Traffic &traffic, unsigned seed, std::size_t largest) {
  std::mt19937 random(seed);
  for (std::size_t at = 0; at < traffic.sent.size();) {
    const auto size = std::min<std::size_t>(traffic.sent.size() - at, 1 + random() % largest);
    auto [error, count] =
        co_await asio::async_write(socket, asio::buffer(traffic.sent.data() + at, size), as_result);
    if (error) co_return;
    at += count;
  }
  socket.shutdown(TcpSocket::shutdown_send);
}
Task<> receive_pieces(TcpSocket &socket, Traffic &traffic, unsigned seed, std::size_t largest) {
  std::mt19937 random(seed);
  std::string piece;
  for (;;) {
    piece.resize(1 + random() % largest);
    auto [error, count] = co_await socket.async_read_some(asio::buffer(piece), as_result);
    if (error) co_return;
    traffic.received.append(piece, 0, count);
  }
}
std::string noise(std::mt19937 &random, std::size_t size) {
  std::string bytes(size, '\0');
  for (auto &byte : bytes)
    byte = static_cast<char>(random());
  return bytes;
}

TEST_F(RelayTest, BytesBothWaysUnchanged) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (std::size_t largest :
       {std::size_t(1), std::size_t(700), std::size_t(16 * 1024), std::size_t(300'000)}) {
    SCOPED_TRACE("pieces of up to " + std::to_string(largest));
    ends_.clear();
    start();
    const std::size_t most = largest == 1 ? 2'000 : 2'000'000;
    Traffic up{noise(random, random() % most), {}}, down{noise(random, random() % most), {}};
    loop_.spawn(send_pieces(*application_, up, random(), largest));
    loop_.spawn(send_pieces(*server_, down, random(), largest));
    loop_.spawn(receive_pieces(*server_, up, random(), largest));
    loop_.spawn(receive_pieces(*application_, down, random(), largest));
    const auto end = this->end();
    EXPECT_TRUE(up.received == up.sent) << up.received.size() << " of " << up.sent.size();
    EXPECT_TRUE(down.received == down.sent) << down.received.size() << " of " << down.sent.size();
    EXPECT_EQ(end.reason, "closed");
    EXPECT_EQ(end.up, up.sent.size());
    EXPECT_EQ(end.down, down.sent.size());
  }
}

TEST_F(RelayTest, WhatWasSentBeforeTheStartGoesToo) {
  auto [application, client_leg] = tcp_pair(loop_.executor());
  auto [server_leg, server] = tcp_pair(loop_.executor());
  send(application, "early");
  auto relay = std::make_shared<Relay>(Socket(std::move(client_leg)), Socket(std::move(server_leg)),
                                       Millis(0), [](RelayEnd) {});
  relay->start();
  EXPECT_EQ(loop_.run(read(server, 5)), "early");
  relay->stop("over");
}

TEST_F(RelayTest, AttentionPassesWhileTheOtherWayIsBlocked) {
  start();
  const auto rows = fill(*server_); // and the application does not read
  ASSERT_GT(rows.size(), 0u);
  const std::string attention("\x06\x01\x00\x08\x00\x00\x01\x00", 8);
  send(*application_, attention);
  EXPECT_EQ(loop_.run(read(*server_, attention.size())), attention);
  // The application wakes up: nothing of what waited is lost, and the way is open again.
  EXPECT_TRUE(loop_.run(read(*application_, rows.size())) == rows);
  server_->non_blocking(false);
  send(*server_, "more");
  EXPECT_EQ(loop_.run(read(*application_, 4)), "more");
  relay_->stop("over");
  EXPECT_EQ(end().down, rows.size() + 4);
}

TEST_F(RelayTest, SlowReceiverLosesNothing) {
  start();
  auto rows = fill(*server_);
  rows += "the end";
  server_->non_blocking(false);
  auto last = [&]() -> Task<> {
    co_await asio::async_write(*server_, asio::buffer("the end", 7), as_result);
    server_->shutdown(TcpSocket::shutdown_send);
  };
  loop_.spawn(last());
  Traffic down;
  loop_.run(receive_pieces(*application_, down, 1, 4000));
  EXPECT_TRUE(down.received == rows) << "the end of the stream comes after its last byte: "
                                     << down.received.size() << " of " << rows.size();
  EXPECT_FALSE(ended());
}

TEST_F(RelayTest, HalfCloseIsPassedOnAndTheOtherWayFlows) {
  start();
  send(*application_, "query");
  application_->shutdown(TcpSocket::shutdown_send);
  EXPECT_EQ(loop_.run(read(*server_, 5)), "query");
  EXPECT_TRUE(loop_.run(at_end(*server_)));
  EXPECT_FALSE(ended());
  send(*server_, "answer");
  EXPECT_EQ(loop_.run(read(*application_, 6)), "answer");
  EXPECT_FALSE(ended());
  server_->close();
  const auto end = this->end();
  EXPECT_EQ(end.by, "client") << "who closed first";
  EXPECT_EQ(end.reason, "closed");
  EXPECT_EQ(end.up, 5u);
  EXPECT_EQ(end.down, 6u);
  EXPECT_TRUE(loop_.run(at_end(*application_)));
}

TEST_F(RelayTest, HalfCloseOfTheServer) {
  start();
  server_->shutdown(TcpSocket::shutdown_send);
  EXPECT_TRUE(loop_.run(at_end(*application_)));
  send(*application_, "still here");
  EXPECT_EQ(loop_.run(read(*server_, 10)), "still here");
  application_->close();
  EXPECT_EQ(end().by, "server");
}

TEST_F(RelayTest, ResetByTheClientEndsBoth) {
  start();
  reset(*application_);
  const auto end = this->end();
  EXPECT_EQ(end.by, "client");
  EXPECT_EQ(end.reason, "Connection reset by peer");
  EXPECT_TRUE(loop_.run(at_end(*server_)));
}

TEST_F(RelayTest, ResetByTheServerEndsBoth) {
  start();
  reset(*server_);
  const auto end = this->end();
  EXPECT_EQ(end.by, "server");
  EXPECT_EQ(end.reason, "Connection reset by peer");
  EXPECT_TRUE(loop_.run(at_end(*application_)));
}

TEST_F(RelayTest, ResetWhileItsReceiverIsBlocked) {
  start();
  fill(*server_);
  reset(*application_);
  const auto end = this->end();
  EXPECT_EQ(end.by, "client");
  EXPECT_THAT(end.reason, AnyOf(HasSubstr("reset"), HasSubstr("Broken pipe")));
}

TEST_F(RelayTest, ResetWithBytesUnderWay) {
  // The write towards the server fails: it is the server's doing, not the client's.
  start();
  server_->shutdown(TcpSocket::shutdown_send);
  EXPECT_TRUE(loop_.run(at_end(*application_)));
  reset(*server_);
  send(*application_, "into the void");
  const auto end = this->end();
  EXPECT_EQ(end.by, "server");
}

TEST_F(RelayTest, Stop) {
  start();
  loop_.drain();
  relay_->stop("shutdown");
  ASSERT_EQ(ends_.size(), 1u) << "told before stop returns";
  EXPECT_EQ(ends_[0].by, "us");
  EXPECT_EQ(ends_[0].reason, "shutdown");
  EXPECT_TRUE(loop_.run(at_end(*application_)));
  EXPECT_TRUE(loop_.run(at_end(*server_)));
  end();
}

TEST_F(RelayTest, StopWhileBlocked) {
  start();
  fill(*server_);
  relay_->stop("shutdown");
  EXPECT_EQ(end().reason, "shutdown");
}

TEST_F(RelayTest, StopBeforeAnythingRan) {
  start();
  relay_->stop("shutdown");
  EXPECT_EQ(end().reason, "shutdown");
}

TEST_F(RelayTest, NothingOfItStaysBehind) {
  (void)tcp_pair(loop_.executor()); // the loop opens some of its own with the first socket
  const auto before = open_descriptors();
  start(Millis(3'600'000));
  std::weak_ptr<Relay> relay = relay_;
  send(*application_, "x");
  EXPECT_EQ(loop_.run(read(*server_, 1)), "x");
  relay_->stop("over");
  loop_.drain();
  relay_.reset();
  EXPECT_TRUE(relay.expired());
  EXPECT_TRUE(loop_.io.stopped()) << "nothing is waited for";
  application_.reset();
  server_.reset();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(RelayTest, IdleEndsIt) {
  const auto started = Clock::now();
  start(Millis(50));
  const auto end = this->end();
  EXPECT_EQ(end.by, "us");
  EXPECT_EQ(end.reason, "idle");
  EXPECT_GE(elapsed_since(started), 50ms);
  EXPECT_TRUE(loop_.run(at_end(*application_)));
  EXPECT_TRUE(loop_.run(at_end(*server_)));
}

TEST_F(RelayTest, TrafficEitherWayKeepsItAlive) {
  for (bool upwards : {true, false}) {
    ends_.clear();
    const auto started = Clock::now();
    auto last_sent = started;
    start(Millis(600));
    auto &from = upwards ? *application_ : *server_;
    auto &to = upwards ? *server_ : *application_;
    while (elapsed_since(started) < 900ms) {
      last_sent = Clock::now();
      send(from, "x");
      ASSERT_EQ(loop_.run(read(to, 1)), "x") << "ended after " << elapsed_since(started).count() << " ms";
    }
    EXPECT_EQ(end().reason, "idle");
    EXPECT_GE(elapsed_since(last_sent), 590ms);
  }
}

/// Segments that this side has sent and nobody has acknowledged.
unsigned unacknowledged(TcpSocket &socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info.tcpi_unacked;
}

TEST_F(RelayTest, PartsOfALongMessageAreAcknowledgedAtOnce) {
  start(Millis(0));
  // Questions and answers, after which the kernel keeps acknowledgements back.
  for (int i = 0; i < 20; ++i) {
    send(*application_, "x");
    ASSERT_EQ(loop_.run(read(*server_, 1)), "x");
    send(*server_, "y");
    ASSERT_EQ(loop_.run(read(*application_, 1)), "y");
  }
  const std::string part(4096, 'p');
  for (int i = 0; i < 20; ++i) {
    send(*application_, part);
    ASSERT_EQ(loop_.run(read(*server_, part.size())), part);
    EXPECT_EQ(unacknowledged(*application_), 0u) << "part " << i;
  }
}

TEST_F(RelayTest, IdleConnectionHoldsNoBuffer) {
  constexpr std::size_t count = 64;
  struct Pair {
    TcpSocket application, server;
  };
  std::vector<Pair> ends;
  std::vector<std::shared_ptr<Relay>> relays;
  ends.reserve(count);
  relays.reserve(count);
  const auto add = [&] {
    auto [application, client_leg] = tcp_pair(loop_.executor());
    auto [server_leg, server] = tcp_pair(loop_.executor());
    ends.push_back({std::move(application), std::move(server)});
    relays.push_back(std::make_shared<Relay>(Socket(std::move(client_leg)), Socket(std::move(server_leg)),
                                             Millis(0), [](RelayEnd) {}));
    relays.back()->start();
    // It has been busy: more than one buffer was full.
    const std::string text(50'000, 'x');
    Traffic up{text, {}};
    asio::write(ends.back().application, asio::buffer(text));
    EXPECT_EQ(loop_.run(read(ends.back().server, text.size())).size(), text.size());
    loop_.drain();
  };
  for (int warm_up = 0; warm_up < 4; ++warm_up)
    add();
  const auto before = auth_test::allocated_bytes();
  while (relays.size() < count)
    add();
  const auto each =
      (static_cast<double>(auth_test::allocated_bytes()) - static_cast<double>(before)) / (count - 4);
  EXPECT_LT(each, 4096) << "bytes of heap an idle connection, both its far ends included";
  for (auto &relay : relays)
    relay->stop("over");
}

TEST_F(RelayTest, NoBufferIsHeldOnceTheReceiverHasCaughtUp) {
  std::vector<double> held;
  std::size_t before = 0;
  for (int round = 0; round < 8; ++round) {
    start();
    loop_.drain();
    before = auth_test::allocated_bytes();
    std::size_t size = fill(*server_).size();
    while (size > 0)
      size -= loop_.run(read(*application_, std::min<std::size_t>(size, 65'536))).size();
    loop_.drain();
    held.push_back(static_cast<double>(auth_test::allocated_bytes()) - static_cast<double>(before));
    relay_->stop("over");
  }
  // Of the first round the libraries keep something of their own.
  EXPECT_LT(*std::max_element(held.begin() + 1, held.end()), 1024)
      << "bytes of heap, after a way was blocked";
}

TEST_F(RelayTest, UnixAndTcpMix) {
  using Unix = asio::local::stream_protocol;
  asio::basic_stream_socket<Unix, Executor> application(loop_.executor()), client_leg(loop_.executor());
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  application.assign(Unix(), fds[0]);
  client_leg.assign(Unix(), fds[1]);
  auto [server_leg, server] = tcp_pair(loop_.executor());
  auto relay = std::make_shared<Relay>(Socket(std::move(client_leg)), Socket(std::move(server_leg)),
                                       Millis(0), [this](RelayEnd end) { ends_.push_back(std::move(end)); });
  relay->start();
  asio::write(application, asio::buffer("query", 5));
  EXPECT_EQ(loop_.run(read(server, 5)), "query");
  send(server, "answer");
  char text[7]{};
  loop_.drain();
  asio::read(application, asio::buffer(text, 6));
  EXPECT_STREQ(text, "answer");
  application.close();
  server.close();
  EXPECT_TRUE(loop_.until([&] { return ended(); }));
  EXPECT_EQ(ends_.size(), 1u);
}

} // namespace
} // namespace shim_test
