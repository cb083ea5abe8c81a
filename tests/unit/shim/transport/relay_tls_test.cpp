// The relay with TLS on one leg or on both (shim/transport/relay.hpp); relay_test.cpp holds the rest.
#include "shim/transport/relay.hpp"

#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/transport/tls_support.hpp"

#include <cstring>
#include <random>

namespace shim_test {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

struct Legs {
  const char *name;
  bool client_tls, server_tls;
};

class RelayTls : public testing::TestWithParam<Legs> {
protected:
  struct Leg {
    Stream near, far;
  };
  /// One connection; `accept`: its near side is the server, as on the client leg.
  Leg leg(bool tls, bool accept) {
    auto [near, far] = stream_pair(loop_.executor());
    if (tls) {
      // Both framings: TLS 1.2 on the client leg, 1.3 on the server leg.
      auto outcome = accept ? loop_.run(shake_hands(far, near, connecting(true), accepting(true)))
                            : loop_.run(shake_hands(near, far, connecting(false), accepting(false)));
      if (!outcome.first || !outcome.second) throw std::runtime_error(text_of(outcome.first));
    }
    return {std::move(near), std::move(far)};
  }
  void open() {
    auto client = leg(GetParam().client_tls, true), server = leg(GetParam().server_tls, false);
    application_.emplace(std::move(client.far));
    server_.emplace(std::move(server.far));
    client_leg_.emplace(std::move(client.near));
    server_leg_.emplace(std::move(server.near));
  }
  void start_relay(Millis idle = Millis(0)) {
    relay_ = std::make_shared<Relay>(std::move(*client_leg_), std::move(*server_leg_), idle,
                                     [this](RelayEnd end) { ends_.push_back(std::move(end)); });
    relay_->start();
  }
  void start(Millis idle = Millis(0)) {
    open();
    start_relay(idle);
  }
  RelayEnd end() {
    EXPECT_TRUE(loop_.until([&] { return !ends_.empty(); })) << "the relay does not end";
    loop_.drain();
    EXPECT_EQ(ends_.size(), 1u);
    return ends_.empty() ? RelayEnd{} : ends_.front();
  }
  /// Sends until nothing more goes in. Returns how much that was; what was not taken whole is `rest`.
  std::size_t fill(Stream &stream) {
    const std::string block(16 * 1024, 'x');
    std::size_t sent = 0;
    stream.socket()->non_blocking(true);
    for (int idle_rounds = 0; idle_rounds < 3;) {
      auto moved = stream.try_write(block.data(), block.size());
      if (moved.error) throw boost::system::system_error(moved.error);
      sent += moved.count;
      const auto done = loop_.io.poll();
      idle_rounds = moved.count == 0 && done == 0 ? idle_rounds + 1 : 0;
      loop_.io.restart();
    }
    return sent;
  }

  Loop loop_;
  std::optional<Stream> application_, server_, client_leg_, server_leg_;
  std::shared_ptr<Relay> relay_;
  std::vector<RelayEnd> ends_;
};

/// One way of a connection: the same block again and again, its length a prime, so that a piece
/// lost, doubled or moved shows.
struct Flow {
  static constexpr std::size_t period = 262'147;
  std::vector<std::uint8_t> block;
  std::size_t size = 0, sent = 0;
  std::size_t good = 0; ///< bytes that came and are what they should be
  bool ended = false;   ///< the end came, or a wrong byte

  Flow(std::size_t total, unsigned seed) : block(2 * period), size(total) {
    std::mt19937 random(seed);
    for (std::size_t i = 0; i < period; ++i)
      block[i] = block[i + period] = static_cast<std::uint8_t>(random());
  }
  /// `count` bytes of it from `position` on.
  std::span<const std::uint8_t> at(std::size_t position, std::size_t count) const {
    return std::span(block).subspan(position % period, count);
  }
};

Task<> send_flow(Stream &to, Flow &flow, unsigned seed) {
  std::mt19937 random(seed);
  while (flow.sent < flow.size) {
    auto piece = flow.at(flow.sent, std::min<std::size_t>(flow.size - flow.sent, 1 + random() % 60'000));
    auto error = co_await to.write(piece);
    if (error) co_return;
    flow.sent += piece.size();
  }
  while (to.shutdown_send() == Wait::writable)
    co_await to.ready(Wait::writable);
}
Task<> receive_flow(Stream &from, Flow &flow, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> piece(70'000);
  for (;;) {
    auto [error, count] = co_await from.read_some(asio::buffer(piece.data(), 1 + random() % piece.size()));
    if (error || std::memcmp(piece.data(), flow.at(flow.good, count).data(), count) != 0) break;
    flow.good += count;
  }
  flow.ended = true;
}

TEST_P(RelayTls, FiftyMegabytesEachWayAtOnce) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  constexpr std::size_t size = 50'000'000;
  start();
  Flow up(size, seed), down(size, seed + 1);
  loop_.spawn(send_flow(*application_, up, seed + 2));
  loop_.spawn(send_flow(*server_, down, seed + 3));
  loop_.spawn(receive_flow(*server_, up, seed + 4));
  loop_.spawn(receive_flow(*application_, down, seed + 5));
  // However slow the machine: as long as something moves.
  while (!up.ended || !down.ended) {
    const auto so_far = up.good + down.good;
    ASSERT_TRUE(loop_.until([&] {
      return up.good + down.good >= so_far + 1'000'000 || (up.ended && down.ended);
    })) << "stuck at "
        << up.good << " and " << down.good;
  }
  EXPECT_EQ(up.good, size);
  EXPECT_EQ(down.good, size);
  const auto end = this->end();
  EXPECT_EQ(end.reason, "closed");
  EXPECT_EQ(end.up, size);
  EXPECT_EQ(end.down, size);
}

TEST_P(RelayTls, WhatWasDecryptedBeforeTheStartGoesToo) {
  open();
  ASSERT_TRUE(loop_.run(send(*application_, "LOGIN7and a query")));
  ASSERT_TRUE(loop_.run(send(*server_, "LOGINACKand rows")));
  ASSERT_EQ(loop_.run(read(*client_leg_, 6)), "LOGIN7");
  ASSERT_EQ(loop_.run(read(*server_leg_, 8)), "LOGINACK");
  start_relay();
  EXPECT_EQ(loop_.run(read(*server_, 11)), "and a query");
  EXPECT_EQ(loop_.run(read(*application_, 8)), "and rows");
  relay_->stop("over");
}

TEST_P(RelayTls, AttentionPassesWhileTheOtherWayIsBlocked) {
  start();
  const auto rows = fill(*server_);
  ASSERT_GT(rows, 100'000u);
  const std::string attention("\x06\x01\x00\x08\x00\x00\x01\x00", 8);
  ASSERT_TRUE(loop_.run(send(*application_, attention)));
  EXPECT_EQ(loop_.run(read(*server_, attention.size())), attention);
  EXPECT_EQ(loop_.run(read(*application_, rows)), std::string(rows, 'x'));
  relay_->stop("over");
  EXPECT_EQ(end().up, attention.size());
}

TEST_P(RelayTls, HalfCloseIsPassedOnAndTheOtherWayFlows) {
  start();
  ASSERT_TRUE(loop_.run(send(*application_, "query")));
  ASSERT_EQ(application_->shutdown_send(), Wait::none);
  EXPECT_EQ(loop_.run(read(*server_, 5)), "query");
  EXPECT_EQ(loop_.run(read_error(*server_)), asio::error::eof);
  EXPECT_TRUE(ends_.empty());
  const std::string rows(300'000, 'r');
  auto [sent, came] = loop_.run(both(send(*server_, rows), read(*application_, rows.size())));
  EXPECT_TRUE(came == rows);
  EXPECT_TRUE(ends_.empty());
  server_->close(); // without TLS's own word for it
  const auto end = this->end();
  EXPECT_EQ(end.by, "client") << "who closed first";
  EXPECT_EQ(end.reason, "closed");
  EXPECT_EQ(end.down, rows.size());
  EXPECT_EQ(loop_.run(read_error(*application_)), asio::error::eof);
}

TEST_P(RelayTls, HalfCloseBehindABlockedWay) {
  start();
  const auto size = fill(*server_);
  auto finish = [&]() -> Task<bool> {
    const std::string block(16 * 1024, 'x'); // as `fill` left it
    for (Moved moved; moved.count == 0;) {
      moved = server_->try_write(block.data(), block.size());
      if (moved.error) co_return false;
      if (moved.wait != Wait::none) co_await server_->ready(Wait::writable);
    }
    while (server_->shutdown_send() == Wait::writable)
      co_await server_->ready(Wait::writable);
    co_return true;
  };
  auto [finished, came] = loop_.run(both(finish(), read(*application_, size + 1'000'000)));
  EXPECT_TRUE(finished);
  EXPECT_GT(came.size(), size) << "the end comes after the last byte";
  EXPECT_TRUE(ends_.empty());
}

TEST_P(RelayTls, ResetEndsBoth) {
  start();
  loop_.drain();
  application_->socket()->set_option(asio::socket_base::linger(true, 0));
  application_->close();
  const auto end = this->end();
  EXPECT_EQ(end.by, "client");
  EXPECT_THAT(end.reason, HasSubstr("reset"));
  EXPECT_TRUE(loop_.run(read_error(*server_)));
}

const std::string noise("\x17\x03\x03\x00\x20 and this is no record of theirs", 37);

TEST_P(RelayTls, FalsifiedBytesEndIt) {
  start();
  loop_.drain();
  asio::write(*application_->socket(), asio::buffer(noise));
  if (!GetParam().client_tls) {
    EXPECT_EQ(loop_.run(read(*server_, noise.size())), noise) << "in clear it is data";
    return relay_->stop("over");
  }
  const auto end = this->end();
  EXPECT_EQ(end.by, "client");
  EXPECT_THAT(end.reason, HasSubstr("TLS: "));
  EXPECT_EQ(end.up, 0u);
}

TEST_P(RelayTls, WhatEndsItBehindGoodBytesIsNotTakenForTheirEnd) {
  start();
  loop_.drain();
  application_->socket()->set_option(asio::ip::tcp::no_delay(true)); // both are there when the relay looks
  ASSERT_EQ(application_->try_write("query", 5).count, 5u);
  asio::write(*application_->socket(), asio::buffer(noise));
  EXPECT_EQ(loop_.run(read(*server_, 5)), "query");
  if (!GetParam().client_tls) return relay_->stop("over");
  const auto end = this->end();
  EXPECT_EQ(end.by, "client");
  EXPECT_THAT(end.reason, HasSubstr("TLS: "));
  EXPECT_EQ(end.up, 5u);
}

TEST_P(RelayTls, RecordsThatCameTogetherGoOnTogether) {
  start();
  loop_.drain();
  constexpr std::size_t packets = 4;
  const std::string packet(2000, 'r');
  server_->socket()->set_option(asio::ip::tcp::no_delay(true)); // all are there when the relay looks
  for (std::size_t i = 0; i < packets; ++i)
    ASSERT_EQ(server_->try_write(packet.data(), packet.size()).count, packet.size());
  std::vector<char> rows(packets * packet.size() + 1);
  const auto [error, count] = loop_.run(application_->read_some(asio::buffer(rows)));
  EXPECT_FALSE(error);
  EXPECT_EQ(count, packets * packet.size());
  relay_->stop("over");
}

TEST_P(RelayTls, IdleEndsIt) {
  start(Millis(50));
  EXPECT_EQ(end().reason, "idle");
}

TEST_P(RelayTls, NothingOfItStaysBehind) {
  { auto warm_up = leg(true, true); }
  loop_.drain();
  const auto before = open_descriptors();
  start(Millis(3'600'000));
  std::weak_ptr<Relay> relay = relay_;
  ASSERT_TRUE(loop_.run(send(*application_, "x")));
  EXPECT_EQ(loop_.run(read(*server_, 1)), "x");
  relay_->stop("over");
  loop_.drain();
  relay_.reset();
  EXPECT_TRUE(relay.expired());
  EXPECT_TRUE(loop_.io.stopped()) << "nothing is waited for";
  application_.reset(), server_.reset(), client_leg_.reset(), server_leg_.reset();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(RelayTls, NoBufferOfOursIsHeldWhileIdle) {
  for (int round = 0; round < 4; ++round) {
    open();
    const auto before = auth_test::allocated_bytes();
    start_relay();
    {
      const std::string text(100'000, 'x');
      auto [sent, came] = loop_.run(both(send(*application_, text), read(*server_, text.size())));
      EXPECT_TRUE(came == text);
    }
    loop_.drain();
    const auto held = static_cast<double>(auth_test::allocated_bytes()) - static_cast<double>(before);
    if (round > 0) EXPECT_LT(held, 4096) << "bytes of heap";
    relay_->stop("over");
    ends_.clear();
  }
}

INSTANTIATE_TEST_SUITE_P(Legs, RelayTls,
                         testing::Values(Legs{"client", true, false}, Legs{"server", false, true},
                                         Legs{"both", true, true}, Legs{"none", false, false}),
                         [](const auto &info) { return info.param.name; });

} // namespace
} // namespace shim_test
