#include "shim/names/browser.hpp"

#include "tests/unit/shim/support.hpp"

namespace shim_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using Udp = asio::ip::udp;
using UdpSocket = asio::basic_datagram_socket<Udp, Executor>;
using Replies = std::vector<tds::Bytes>;

constexpr Millis long_time{20'000};
const tds::SsrpInstance instance{.server = "SQL1",
                                 .instance = "INST",
                                 .version = "16.0.1000.6",
                                 .clustered = false,
                                 .port = 51433,
                                 .pipe = {}};

/// SQL Browser, as far as a script says: the replies to each question, by its number from 1.
class FakeBrowser {
public:
  using Script = std::function<Replies(int)>;
  FakeBrowser(Executor executor, Script script)
      : socket_(executor, Udp::endpoint(asio::ip::address_v4::loopback(), 0)),
        stranger_(executor, Udp::endpoint(asio::ip::address_v4::loopback(), 0)), script_(std::move(script)) {
    asio::co_spawn(executor, serve(), asio::detached);
  }
  Udp::endpoint endpoint() const { return socket_.local_endpoint(); }
  const std::vector<tds::Bytes> &questions() const { return questions_; }
  /// From another port, to the one that asked last.
  void send_as_stranger(const tds::Bytes &bytes) { stranger_.send_to(asio::buffer(bytes), from_); }

private:
  Task<> serve() {
    tds::Bytes buffer(2000);
    for (;;) {
      auto [error, count] = co_await socket_.async_receive_from(asio::buffer(buffer), from_, as_result);
      if (error) co_return;
      questions_.emplace_back(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count));
      for (const auto &reply : script_(static_cast<int>(questions_.size())))
        co_await socket_.async_send_to(asio::buffer(reply), from_, as_result);
    }
  }
  UdpSocket socket_, stranger_;
  Script script_;
  Udp::endpoint from_;
  std::vector<tds::Bytes> questions_;
};

FakeBrowser::Script always(const tds::SsrpInstance &says) {
  return [says](int) { return Replies{tds::encode_ssrp_answer({says})}; };
}

class BrowserTest : public testing::Test {
protected:
  std::expected<BrowserAnswer, BrowserError> ask(std::vector<Udp::endpoint> servers,
                                                 Millis limit = long_time) {
    const auto started = Clock::now();
    auto answer = loop_.run(ask_browser(std::move(servers), "INST", limit));
    took_ = elapsed_since(started);
    loop_.drain();
    return answer;
  }
  Udp::endpoint closed() const {
    const auto endpoint = refuses_.endpoint();
    return {endpoint.address(),
            endpoint.port()}; // a TCP port that is taken says nothing of UDP, where nobody has it
  }
  Loop loop_;
  RefusingPort refuses_{loop_.executor()};
  Millis took_{};
};

TEST_F(BrowserTest, TellsThePort) {
  FakeBrowser browser(loop_.executor(), always(instance));
  const auto answer = ask({browser.endpoint()});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->instance, instance);
  EXPECT_EQ(answer->from, browser.endpoint());
  EXPECT_EQ(browser.questions(), (Replies{*tds::encode_ssrp_question("INST")}));
}

TEST_F(BrowserTest, IsAskedAgainAfterASecond) {
  FakeBrowser browser(loop_.executor(), [](int number) {
    return number == 1 ? Replies() : Replies{tds::encode_ssrp_answer({instance})};
  });
  const auto answer = ask({browser.endpoint()});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(browser.questions().size(), 2u);
  EXPECT_GE(took_, browser_patience);
}

TEST_F(BrowserTest, AllAreAskedAtOnce) {
  FakeBrowser silent(loop_.executor(), [](int) { return Replies(); }),
      second(loop_.executor(), always(instance));
  const auto answer = ask({silent.endpoint(), closed(), second.endpoint()});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->from, second.endpoint());
  EXPECT_EQ(silent.questions().size(), 1u);
}

TEST_F(BrowserTest, OfManyTheFirstAreAsked) {
  FakeBrowser browser(loop_.executor(), always(instance));
  std::vector<Udp::endpoint> servers(most_browsers - 1, closed());
  servers.push_back(browser.endpoint());
  EXPECT_TRUE(ask(servers));
  servers.insert(servers.begin(), closed());
  EXPECT_FALSE(ask(servers));
  EXPECT_EQ(browser.questions().size(), 1u);
}

TEST_F(BrowserTest, SilenceTakesAsLongAsItMay) {
  FakeBrowser silent(loop_.executor(), [](int) { return Replies(); });
  const auto answer = ask({silent.endpoint(), closed()}, Millis(200));
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().refused);
  EXPECT_THAT(
      answer.error().detail,
      MatchesRegex(
          "127\\.0\\.0\\.1:[0-9]+: no answer within [0-9]+ ms; 127\\.0\\.0\\.1:[0-9]+: Connection refused"));
  EXPECT_GE(took_, Millis(200));
}

TEST_F(BrowserTest, NobodyListensIsKnownAtOnce) {
  const auto answer = ask({closed()});
  ASSERT_FALSE(answer);
  EXPECT_TRUE(answer.error().refused);
  EXPECT_THAT(answer.error().detail, HasSubstr("Connection refused"));
  EXPECT_LT(took_, long_time);
}

TEST_F(BrowserTest, WhatIsNoAnswerIsToldAndWaitedOn) {
  auto other = instance;
  other.instance = "OTHER";
  FakeBrowser browser(loop_.executor(), [&](int) {
    return Replies{tds::Bytes{5}, tds::Bytes(1500, 5), tds::encode_ssrp_answer({other})};
  });
  const auto answer = ask({browser.endpoint()}, Millis(200));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().detail, AllOf(HasSubstr("InstanceName"), HasSubstr("another instance")));
  EXPECT_GE(took_, Millis(200)) << "the right answer may still come";
}

TEST_F(BrowserTest, OnlyWhoWasAskedAnswers) {
  FakeBrowser *asked = nullptr;
  auto forged = instance;
  forged.port = 6666;
  FakeBrowser browser(loop_.executor(), [&](int) {
    asked->send_as_stranger(tds::encode_ssrp_answer({forged}));
    return Replies{tds::encode_ssrp_answer({instance})};
  });
  asked = &browser;
  const auto answer = ask({browser.endpoint()});
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->instance.port, instance.port);
}

TEST_F(BrowserTest, ANameThatNoQuestionHoldsIsAnError) {
  const auto answer = loop_.run(ask_browser({closed()}, std::string(40, 'x'), long_time));
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().detail, HasSubstr("INSTANCENAME"));
}

} // namespace
} // namespace shim_test
