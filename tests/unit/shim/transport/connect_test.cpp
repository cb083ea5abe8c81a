#include "shim/transport/connect.hpp"

#include "tests/unit/shim/support.hpp"

#include <netinet/tcp.h>
#include <sys/resource.h>

namespace shim_test {
namespace {

using testing::HasSubstr;

constexpr Millis long_time{20'000};

class ConnectTest : public testing::Test {
protected:
  Loop loop_;
  TcpAcceptor listener_{loop_.executor(), loopback()};
  Tcp::endpoint good_ = listener_.local_endpoint();
};

TEST_F(ConnectTest, FirstRefusesSecondAccepts) {
  RefusingPort refuses(loop_.executor());
  const auto started = Clock::now();
  auto connected = loop_.run(connect_first({refuses.endpoint(), good_}, long_time, long_time));
  ASSERT_TRUE(connected) << connected.error().detail;
  EXPECT_EQ(connected->endpoint, good_);
  EXPECT_LT(elapsed_since(started), long_time) << "a failure is not waited upon";
  EXPECT_EQ(peer_text(connected->socket), to_text(good_));
  Tcp::no_delay no_delay;
  connected->socket.get_option(no_delay);
  EXPECT_TRUE(no_delay.value());
}

TEST_F(ConnectTest, NextIsTriedWhileTheFirstHangs) {
  BlackHole hangs(loop_.executor());
  auto connected = loop_.run(connect_first({hangs.endpoint(), good_}, Millis(10), long_time));
  ASSERT_TRUE(connected) << connected.error().detail;
  EXPECT_EQ(connected->endpoint, good_);
}

TEST_F(ConnectTest, NextIsNotTriedBeforeItsTurn) {
  TcpAcceptor second(loop_.executor(), loopback());
  second.non_blocking(true);
  auto connected = loop_.run(connect_first({good_, second.local_endpoint()}, long_time, long_time));
  ASSERT_TRUE(connected);
  EXPECT_EQ(connected->endpoint, good_);
  loop_.drain();
  boost::system::error_code error;
  (void)second.accept(error);
  EXPECT_EQ(error, asio::error::would_block) << "nobody came";
}

TEST_F(ConnectTest, EachWaitsForItsTurnWithoutALimitToo) {
  BlackHole one(loop_.executor()), two(loop_.executor());
  const auto started = Clock::now();
  auto connected = loop_.run(connect_first({one.endpoint(), two.endpoint(), good_}, Millis(100), Millis(0)));
  ASSERT_TRUE(connected) << connected.error().detail;
  EXPECT_EQ(connected->endpoint, good_);
  EXPECT_GE(elapsed_since(started), 200ms) << "two staggers";
}

TEST_F(ConnectTest, AllRefuse) {
  RefusingPort one(loop_.executor()), two(loop_.executor());
  auto connected = loop_.run(connect_first({one.endpoint(), two.endpoint()}, long_time, long_time));
  ASSERT_FALSE(connected);
  EXPECT_TRUE(connected.error().refused);
  EXPECT_EQ(connected.error().detail, to_text(one.endpoint()) + ": Connection refused; " +
                                          to_text(two.endpoint()) + ": Connection refused");
}

TEST_F(ConnectTest, OneThatHangsIsNoRefusal) {
  RefusingPort refuses(loop_.executor());
  BlackHole hangs(loop_.executor());
  const auto started = Clock::now();
  auto connected = loop_.run(connect_first({refuses.endpoint(), hangs.endpoint()}, Millis(10), Millis(100)));
  ASSERT_FALSE(connected);
  EXPECT_FALSE(connected.error().refused);
  EXPECT_THAT(connected.error().detail, HasSubstr(to_text(refuses.endpoint()) + ": Connection refused"));
  EXPECT_THAT(connected.error().detail, HasSubstr("no answer within 100 ms"));
  EXPECT_GE(elapsed_since(started), 100ms);
}

TEST_F(ConnectTest, OneThatCannotBeReachedIsNoRefusal) {
  RefusingPort refuses(loop_.executor());
  const Tcp::endpoint nowhere(asio::ip::address_v4::broadcast(), 1);
  auto connected = loop_.run(connect_first({nowhere, refuses.endpoint()}, long_time, long_time));
  ASSERT_FALSE(connected);
  EXPECT_FALSE(connected.error().refused) << connected.error().detail;
  EXPECT_THAT(connected.error().detail, HasSubstr("255.255.255.255:1: "));
}

TEST_F(ConnectTest, LimitHoldsForAllTogether) {
  BlackHole one(loop_.executor()), two(loop_.executor()), three(loop_.executor());
  const auto started = Clock::now();
  auto connected =
      loop_.run(connect_first({one.endpoint(), two.endpoint(), three.endpoint()}, long_time, Millis(50)));
  ASSERT_FALSE(connected);
  EXPECT_FALSE(connected.error().refused) << "the last ones were not even tried";
  EXPECT_LT(elapsed_since(started), long_time);
}

TEST_F(ConnectTest, NothingToConnectTo) {
  auto connected = loop_.run(connect_first({}, long_time, long_time));
  ASSERT_FALSE(connected);
  EXPECT_FALSE(connected.error().refused);
}

TEST_F(ConnectTest, LosersAreClosed) {
  BlackHole hangs(loop_.executor());
  const auto before = open_descriptors();
  {
    auto connected = loop_.run(connect_first({hangs.endpoint(), good_}, Millis(10), long_time));
    ASSERT_TRUE(connected);
    loop_.drain();
    EXPECT_EQ(open_descriptors(), before + 1) << "the winner's";
  }
  EXPECT_EQ(open_descriptors(), before);
}

Tcp::endpoint at(const char *address) { return {asio::ip::make_address(address), 1433}; }

TEST(InTurns, FamiliesAlternateFromTheFirst) {
  const auto turns = [](std::initializer_list<const char *> addresses) {
    std::vector<Tcp::endpoint> endpoints;
    for (const char *address : addresses)
      endpoints.push_back(at(address));
    std::vector<std::string> texts;
    for (const auto &endpoint : in_turns(endpoints))
      texts.push_back(endpoint.address().to_string());
    return texts;
  };
  using testing::ElementsAre;
  EXPECT_THAT(turns({}), ElementsAre());
  EXPECT_THAT(turns({"::1", "::2"}), ElementsAre("::1", "::2"));
  EXPECT_THAT(turns({"::1", "::2", "10.0.0.1", "10.0.0.2"}),
              ElementsAre("::1", "10.0.0.1", "::2", "10.0.0.2"));
  EXPECT_THAT(turns({"10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"}),
              ElementsAre("10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"));
  EXPECT_THAT(turns({"10.0.0.1", "::1", "::2", "::3"}), ElementsAre("10.0.0.1", "::1", "::2", "::3"));
}

/// Whether this machine has IPv6 on loopback; everywhere else what needs it is left out.
bool has_ipv6(Loop &loop) {
  TcpSocket probe(loop.executor());
  boost::system::error_code error;
  probe.open(Tcp::v6(), error);
  if (!error) probe.bind({asio::ip::address_v6::loopback(), 0}, error);
  return !error;
}

TEST_F(ConnectTest, DeadAddressesOfOneFamilyCostTheOtherOneTurn) {
  if (!has_ipv6(loop_)) GTEST_SKIP() << "no IPv6 on loopback";
  // Three servers of the first family hang; the only one of the other family is tried second.
  TcpAcceptor six(loop_.executor(), {asio::ip::address_v6::loopback(), 0});
  BlackHole one(loop_.executor()), two(loop_.executor()), three(loop_.executor());
  const auto started = Clock::now();
  auto connected = loop_.run(connect_first(
      {one.endpoint(), two.endpoint(), three.endpoint(), six.local_endpoint()}, Millis(700), long_time));
  ASSERT_TRUE(connected) << connected.error().detail;
  EXPECT_EQ(connected->endpoint, six.local_endpoint());
  EXPECT_GE(elapsed_since(started), 700ms);
  EXPECT_LT(elapsed_since(started), 2100ms) << "one stagger, not three";
}

TEST_F(ConnectTest, SixRefusesAndFourIsTakenAtOnce) {
  if (!has_ipv6(loop_)) GTEST_SKIP() << "no IPv6 on loopback";
  Tcp::endpoint refuses(asio::ip::address_v6::loopback(), 1);
  const auto started = Clock::now();
  auto connected = loop_.run(connect_first({refuses, good_}, long_time, long_time));
  ASSERT_TRUE(connected) << connected.error().detail;
  EXPECT_EQ(connected->endpoint, good_);
  EXPECT_LT(elapsed_since(started), long_time);
}

int option(int socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket, level, name, &value, &size), 0);
  return value;
}

TEST_F(ConnectTest, APeerThatIsGoneWillBeNoticed) {
  auto connected = loop_.run(connect_first({good_}, long_time, long_time));
  ASSERT_TRUE(connected);
  const int socket = connected->socket.native_handle();
  EXPECT_EQ(option(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPINTVL), 1);
  EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPCNT), 10);
}

TEST_F(ConnectTest, WithoutDescriptorsItSaysSo) {
  // What the connection needs is taken from this process, and given back at once.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit none{static_cast<rlim_t>(next), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  auto connected = loop_.run(connect_first({good_}, long_time, long_time));
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(connected);
  EXPECT_TRUE(connected.error().out_of_descriptors);
  EXPECT_FALSE(connected.error().refused);
  EXPECT_THAT(connected.error().detail, HasSubstr("Too many open files"));
}

TEST_F(ConnectTest, ManyThatHangHoldNoMoreThanSixteenSocketsAndEachHasItsShare) {
  BlackHole hangs(loop_.executor());
  std::vector<Tcp::endpoint> endpoints(most_connecting + 1, hangs.endpoint());
  endpoints.push_back(good_);
  const auto before = open_descriptors();
  std::size_t most = 0;
  auto count = [&]() -> Task<bool> {
    for (;;) {
      most = std::max(most, open_descriptors() - before);
      Signal pause(loop_.executor());
      co_await pause.wait(Millis(2));
    }
  };
  auto connect = [&]() -> Task<bool> {
    auto connected = co_await connect_first(endpoints, Millis(1), Millis(8000));
    co_return connected && connected->endpoint == good_;
  };
  auto first = loop_.run(first_of(connect(), count()));
  EXPECT_TRUE(std::get<0>(first)) << "the last one, behind more than may hang at once";
  EXPECT_GE(most, most_connecting);
  EXPECT_LE(most, most_connecting + 1) << "the winner's is one of them";
}

TEST_F(ConnectTest, CancelLeavesNoSocket) {
  BlackHole one(loop_.executor()), two(loop_.executor());
  const auto before = open_descriptors();
  auto connect = [&]() -> Task<int> {
    auto connected = co_await connect_first({one.endpoint(), two.endpoint()}, Millis(10), Millis(0));
    co_return connected ? 1 : 0;
  };
  EXPECT_EQ(loop_.run(with_deadline(connect(), Millis(60))), std::nullopt);
  loop_.drain();
  EXPECT_EQ(open_descriptors(), before);
}

TEST(EndpointText, AddressesAndPaths) {
  EXPECT_EQ(to_text({asio::ip::make_address("127.0.0.1"), 1433}), "127.0.0.1:1433");
  EXPECT_EQ(to_text({asio::ip::make_address("::1"), 1433}), "[::1]:1433");

  Loop loop;
  auto [client, server] = tcp_pair(loop.executor());
  const auto client_end = to_text(client.local_endpoint()), server_end = to_text(server.local_endpoint());
  Socket socket(std::move(server));
  EXPECT_EQ(peer_text(socket), client_end);
  EXPECT_EQ(local_text(socket), server_end);
  EXPECT_EQ(peer_text(Socket(loop.executor())), "") << "not connected";
}

TEST(EndpointText, UnixSocket) {
  Loop loop;
  const auto path =
      (std::filesystem::temp_directory_path() / ("sqlshim-text-" + std::to_string(::getpid()) + ".sock"))
          .string();
  std::filesystem::remove(path);
  using Unix = asio::local::stream_protocol;
  asio::basic_socket_acceptor<Unix, Executor> acceptor(loop.executor(), Unix::endpoint(path));
  asio::basic_stream_socket<Unix, Executor> client(loop.executor());
  client.connect(acceptor.local_endpoint());
  Socket server(acceptor.accept());
  std::filesystem::remove(path);
  EXPECT_EQ(local_text(server), "unix:" + path);
  EXPECT_EQ(peer_text(server), "unix");
}

} // namespace
} // namespace shim_test
