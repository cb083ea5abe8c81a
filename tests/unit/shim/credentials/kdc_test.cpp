#include "shim/credentials/kdc.hpp"

#include "shim/transport/connect.hpp"
#include "tests/unit/shim/support.hpp"

namespace shim_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Millis long_time{20'000};
const auth::Bytes request(300, 0x6a);
const auth::Bytes reply{0x6b, 1, 2, 3};

class KdcTest : public testing::Test {
protected:
  /// As of ask_kdc, with what each silent KDC did as one text.
  using Answer = std::expected<KdcAnswer, std::string>;
  static Answer told(std::expected<KdcAnswer, std::vector<KdcSilent>> answer) {
    if (!answer) return std::unexpected(to_text(answer.error()));
    return std::move(*answer);
  }
  Answer ask(std::vector<KdcEndpoint> kdcs, bool proof, Millis limit = long_time) {
    started_ = Clock::now();
    auto answer = told(loop_.run(ask_kdc(std::move(kdcs), request, proof, limit)));
    took_ = elapsed_since(started_);
    loop_.drain();
    return answer;
  }
  static KdcEndpoint at(const Tcp::endpoint &endpoint) { return {"kdc", endpoint}; }

  Loop loop_;
  Clock::time_point started_;
  Millis took_{};
};

/// What does not depend on whether the message holds proof of a password.
class KdcTestBoth : public KdcTest, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Kdc, KdcTestBoth, testing::Bool(),
                         [](const auto &info) { return info.param ? "WithProof" : "WithoutProof"; });

TEST_P(KdcTestBoth, Answers) {
  FakeKdc kdc(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({kdc.kdc()}, GetParam());
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->message, reply);
  EXPECT_EQ(answer->endpoint, kdc.endpoint());
  EXPECT_THAT(kdc.requests(), ElementsAre(request));
  EXPECT_EQ(kdc.open(), 0) << "the connection is closed";
}

TEST_P(KdcTestBoth, SecondIsNotTroubledWhenTheFirstAnswers) {
  FakeKdc first(loop_.executor(), FakeKdc::answers(reply)), second(loop_.executor(), FakeKdc::answers({9}));
  EXPECT_EQ(ask({first.kdc(), second.kdc()}, GetParam())->message, reply);
  EXPECT_EQ(second.connections(), 0);
}

TEST_P(KdcTestBoth, FirstRefusesSecondAnswers) {
  RefusingPort refuses(loop_.executor());
  FakeKdc second(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({at(refuses.endpoint()), second.kdc()}, GetParam());
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, second.endpoint());
}

TEST_P(KdcTestBoth, AllRefuse) {
  RefusingPort one(loop_.executor()), two(loop_.executor());
  const auto answer = ask({at(one.endpoint()), at(two.endpoint())}, GetParam());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), to_text(one.endpoint()) + ": Connection refused; " + to_text(two.endpoint()) +
                                ": Connection refused");
  EXPECT_LT(took_, long_time);
}

TEST_P(KdcTestBoth, ConnectionsAreRacedRequestsAreNot) {
  BlackHole hangs(loop_.executor());
  FakeKdc second(loop_.executor(), FakeKdc::answers(reply)), third(loop_.executor(), FakeKdc::answers({9}));
  const auto answer = ask({at(hangs.endpoint()), second.kdc(), third.kdc()}, GetParam());
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, second.endpoint());
  EXPECT_THAT(second.requests(), ElementsAre(request));
  EXPECT_TRUE(third.requests().empty());
}

TEST_P(KdcTestBoth, SilenceIsAnErrorAtTheLimit) {
  FakeKdc kdc(loop_.executor(), FakeKdc::is_silent());
  const auto answer =
      ask({kdc.kdc()}, GetParam(),
          Millis(300)); // it is counted from when the KDC was asked, a while after the limit began
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error(), testing::ContainsRegex("no answer within [1-9][0-9][0-9]+ ms$"));
  EXPECT_GE(took_, 300ms);
  EXPECT_LT(took_, long_time);
}

TEST_P(KdcTestBoth, EmptyList) {
  const auto answer = ask({}, GetParam());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error(), "");
  EXPECT_LT(took_, long_time);
}

TEST_P(KdcTestBoth, CancelClosesTheConversation) {
  FakeKdc kdc(loop_.executor(), FakeKdc::is_silent());
  auto wait = [&]() -> Task<int> {
    co_return (co_await ask_kdc({kdc.kdc()}, request, GetParam(), Millis(0))) ? 1 : 0;
  };
  EXPECT_EQ(loop_.run(with_deadline(wait(), Millis(50))), std::nullopt);
  EXPECT_TRUE(loop_.until([&] { return kdc.connections() == 1 && kdc.open() == 0; }));
}

// --- who was passed over ---

TEST_F(KdcTest, AnswerTellsWhatTheOthersDid) {
  RefusingPort refuses(loop_.executor());
  FakeKdc silent(loop_.executor(), FakeKdc::is_silent()), good(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({at(refuses.endpoint()), silent.kdc(), good.kdc()}, false);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, good.endpoint());
  ASSERT_EQ(answer->silent.size(), 2u);
  EXPECT_EQ(answer->silent[0].endpoint, refuses.endpoint());
  EXPECT_EQ(answer->silent[0].why, "Connection refused");
  EXPECT_EQ(answer->silent[1].endpoint, silent.endpoint());
  EXPECT_THAT(answer->silent[1].why, testing::StartsWith("no answer within "));
  EXPECT_GE(answer->silent[1].us, 400'000);
}

TEST_F(KdcTest, AConnectionThatDoesNotStandIsToldApartFromSilence) {
  BlackHole hole(loop_.executor());
  const auto answer = ask({at(hole.endpoint())}, false, Millis(100));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error(), HasSubstr("no connection within "));
}

// --- UDP ---

/// A KDC as far as UDP: what it answers, and from where.
class UdpKdc {
public:
  using UdpSocket = asio::basic_datagram_socket<asio::ip::udp, Executor>;
  UdpKdc(Executor executor, auth::Bytes answer, bool from_elsewhere = false)
      : socket_(executor, {asio::ip::address_v4::loopback(), 0}),
        elsewhere_(executor, {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(executor, serve(std::move(answer), from_elsewhere), asio::detached);
  }
  KdcEndpoint kdc() const {
    return {"kdc", {socket_.local_endpoint().address(), socket_.local_endpoint().port()}};
  }
  const std::vector<auth::Bytes> &requests() const { return requests_; }

private:
  Task<> serve(auth::Bytes answer, bool from_elsewhere) {
    for (;;) {
      auth::Bytes buffer(4096);
      asio::ip::udp::endpoint from;
      auto [error, count] = co_await socket_.async_receive_from(asio::buffer(buffer), from, as_result);
      if (error) co_return;
      buffer.resize(count);
      requests_.push_back(buffer);
      if (!answer.empty())
        co_await (from_elsewhere ? elsewhere_ : socket_).async_send_to(asio::buffer(answer), from, as_result);
    }
  }
  UdpSocket socket_, elsewhere_;
  std::vector<auth::Bytes> requests_;
};

TEST_F(KdcTest, UdpAnswerIsNoticed) {
  UdpKdc silent(loop_.executor(), {}), error(loop_.executor(), auth::Bytes(60'000, 0x7e));
  const auto who = loop_.run(answers_over_udp({silent.kdc(), error.kdc()}, request, long_time));
  ASSERT_TRUE(who);
  EXPECT_EQ(*who, error.kdc().endpoint);
  EXPECT_THAT(error.requests(), ElementsAre(request)) << "without the length that TCP has in front";
}

TEST_F(KdcTest, UdpThatIsNoAnswer) {
  UdpKdc silent(loop_.executor(), {}), garbage(loop_.executor(), {1, 2, 3}),
      stranger(loop_.executor(), {0x7e, 1, 2}, /*from_elsewhere=*/true);
  const auto started = Clock::now();
  EXPECT_EQ(loop_.run(answers_over_udp({silent.kdc(), garbage.kdc(), stranger.kdc()}, request, Millis(200))),
            std::nullopt);
  EXPECT_GE(elapsed_since(started), 200ms);
  EXPECT_EQ(stranger.requests().size(), 1u);
  EXPECT_EQ(loop_.run(answers_over_udp({}, request, long_time)), std::nullopt);
}

TEST_F(KdcTest, UdpPortThatIsClosedIsKnownAtOnce) {
  std::optional<UdpKdc> gone(std::in_place, loop_.executor(), auth::Bytes{});
  const auto kdc = gone->kdc();
  gone.reset();
  const auto started = Clock::now();
  EXPECT_EQ(loop_.run(answers_over_udp({kdc}, request, long_time)), std::nullopt);
  EXPECT_LT(elapsed_since(started), long_time);
}

// --- answers that are none ---

struct BadAnswer {
  const char *name;
  auth::Bytes raw;
  const char *why;
};
class KdcTestBad : public KdcTest, public testing::WithParamInterface<BadAnswer> {};
INSTANTIATE_TEST_SUITE_P(
    Kdc, KdcTestBad,
    testing::Values(BadAnswer{"Nothing", {}, "closed without an answer"},
                    BadAnswer{"HalfALength", {0, 0}, "closed without an answer"},
                    BadAnswer{"LengthZero", with_length({}, 0), "announced an answer of 0 bytes"},
                    BadAnswer{"OneTooMany", with_length({}, largest_kdc_reply + 1),
                              "announced an answer of 1048577 bytes"},
                    BadAnswer{"Huge", with_length({1}, 0xffffffff),
                              "announced an answer of 4294967295 bytes"},
                    BadAnswer{"BrokenOff", with_length({1, 2, 3}, 100), "broke off in mid-answer"}),
    [](const auto &info) { return info.param.name; });

TEST_P(KdcTestBad, AloneIsTheError) {
  FakeKdc kdc(loop_.executor(), FakeKdc::sends(GetParam().raw));
  const auto answer = ask({kdc.kdc()}, false);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error(), HasSubstr(to_text(kdc.endpoint()) + ": " + GetParam().why));
  EXPECT_LT(took_, long_time) << "known at once";
}

TEST_P(KdcTestBad, WithoutProofTheNextIsAskedAtOnce) {
  FakeKdc first(loop_.executor(), FakeKdc::sends(GetParam().raw)),
      second(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({first.kdc(), second.kdc()}, false);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->message, reply);
}

TEST_P(KdcTestBad, WithProofNobodyElseIsAsked) {
  FakeKdc first(loop_.executor(), FakeKdc::sends(GetParam().raw)),
      second(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({first.kdc(), second.kdc()}, true);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error(), HasSubstr(GetParam().why));
  EXPECT_THAT(answer.error(), testing::Not(HasSubstr("no answer within"))) << "it did answer, if badly";
  EXPECT_LT(took_, long_time) << "known at once";
  EXPECT_TRUE(second.requests().empty());
}

TEST_F(KdcTest, LargestAnswer) {
  const auth::Bytes large(largest_kdc_reply, 0x6b);
  FakeKdc kdc(loop_.executor(), FakeKdc::answers(large));
  const auto answer = ask({kdc.kdc()}, false);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->message, large);
}

TEST_F(KdcTest, AnswerInPieces) {
  FakeKdc kdc(loop_.executor(), [](TcpSocket &socket, int) -> Task<> {
    socket.set_option(Tcp::no_delay(true));
    for (auto byte : with_length(reply)) {
      co_await FakeKdc::write(socket, {byte});
      co_await pause(Millis(1));
    }
  });
  const auto answer = ask({kdc.kdc()}, true);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->message, reply);
}

// --- silence ---

TEST_F(KdcTest, WithoutProofTheNextIsAskedAfterAWhile) {
  FakeKdc first(loop_.executor(), FakeKdc::is_silent()), second(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({first.kdc(), second.kdc()}, false);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, second.endpoint());
  EXPECT_GE(took_, 400ms);
  EXPECT_EQ(first.requests().size(), 1u);
  EXPECT_EQ(first.open(), 0) << "the silent one is not left waiting";
}

TEST_F(KdcTest, WithoutProofTheFirstMayStillAnswer) {
  FakeKdc first(loop_.executor(), FakeKdc::answers_after(Millis(600), reply)),
      second(loop_.executor(), FakeKdc::is_silent());
  const auto answer = ask({first.kdc(), second.kdc()}, false);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, first.endpoint());
  EXPECT_EQ(second.requests().size(), 1u);
}

TEST_F(KdcTest, WithProofTheSecondIsNeverSentAnything) {
  FakeKdc first(loop_.executor(), FakeKdc::is_silent()), second(loop_.executor(), FakeKdc::answers(reply));
  const auto answer = ask({first.kdc(), second.kdc()}, true, Millis(800));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error(), testing::ContainsRegex("no answer within [0-9]+ ms$"));
  EXPECT_EQ(first.requests().size(), 1u);
  EXPECT_EQ(second.connections(), 0);
}

TEST_F(KdcTest, WithProofAConnectionThatStandsTooLateIsSentNothing) {
  BlackHole first(loop_.executor());
  Signal answer(loop_.executor());
  FakeKdc second(loop_.executor(), [&](TcpSocket &socket, int) -> Task<> {
    first.open_up(loop_.executor());
    return [](TcpSocket &to, Signal &go_on) -> Task<> {
      co_await go_on.wait(Millis(0));
      co_await FakeKdc::write_and_wait(to, with_length(reply));
    }(socket, answer);
  });
  std::optional<Answer> got;
  auto ask_both = [&]() -> Task<> {
    got = told(co_await ask_kdc({at(first.endpoint()), second.kdc()}, request, true, long_time));
  };
  loop_.spawn(ask_both());
  EXPECT_TRUE(loop_.until([&] { return first.strangers() == 1; })) << "the first connection stands now";
  loop_.drain();
  answer.notify();
  EXPECT_TRUE(loop_.until([&] { return got.has_value(); }));
  loop_.drain();
  ASSERT_TRUE(got->has_value()) << got->error();
  EXPECT_EQ((*got)->endpoint, second.endpoint());
  EXPECT_EQ(first.received(), 0u);
}

TEST_F(KdcTest, WithProofTheOneThatHasItIsWaitedForThoughAnotherRefused) {
  RefusingPort refuses(loop_.executor());
  FakeKdc second(loop_.executor(), FakeKdc::answers_after(Millis(600), reply)),
      third(loop_.executor(), FakeKdc::answers({9}));
  const auto answer = ask({at(refuses.endpoint()), second.kdc(), third.kdc()}, true);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(answer->endpoint, second.endpoint());
  EXPECT_EQ(third.connections(), 0);
}

} // namespace
} // namespace shim_test
