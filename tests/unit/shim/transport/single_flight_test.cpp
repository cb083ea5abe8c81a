#include "shim/transport/single_flight.hpp"

#include "tests/unit/shim/support.hpp"

#include <thread>

namespace shim_test {
namespace {

using Flights = SingleFlight<std::string, int>;
using testing::ElementsAre;
constexpr Millis long_time{20'000};

class SingleFlightTest : public testing::Test {
protected:
  /// Joins, and tells what came: an outcome, "nothing", or that it has the claim now.
  Task<> join(std::string name, Millis limit = long_time) {
    auto joined = flights_.join("key", loop_.executor());
    if (auto *claim = std::get_if<Flights::Claim>(&joined)) {
      told_.push_back(name + " claims");
      claims_.push_back(std::move(*claim));
      co_return;
    }
    const auto outcome = co_await std::get<Flights::Wait>(joined).outcome(limit);
    told_.push_back(name + (outcome ? " " + std::to_string(*outcome) : " nothing"));
  }
  void spawn(const char *name, Millis limit = long_time) {
    loop_.spawn(join(name, limit));
    loop_.drain();
  }

  Loop loop_;
  Flights flights_;
  std::vector<Flights::Claim> claims_;
  std::vector<std::string> told_;
};

TEST_F(SingleFlightTest, TheFirstClaimsAndTheOthersGetItsOutcome) {
  spawn("a");
  spawn("b");
  spawn("c");
  EXPECT_THAT(told_, ElementsAre("a claims"));
  EXPECT_FALSE(flights_.claim("key"));
  EXPECT_TRUE(flights_.claim("another"));
  claims_.front().land(7);
  loop_.drain();
  EXPECT_THAT(told_, ElementsAre("a claims", "b 7", "c 7"));
  spawn("d");
  EXPECT_EQ(told_.back(), "d claims") << "what has landed is nobody's any more";
}

TEST_F(SingleFlightTest, AClaimThatIsGivenUpBringsNothing) {
  spawn("a");
  spawn("b");
  claims_.clear();
  loop_.drain();
  EXPECT_THAT(told_, ElementsAre("a claims", "b nothing"));
  spawn("c");
  EXPECT_EQ(told_.back(), "c claims");
}

TEST_F(SingleFlightTest, AWaitEndsAtItsOwnLimit) {
  spawn("a");
  loop_.run(join("b", Millis(1)));
  EXPECT_EQ(told_.back(), "b nothing");
  EXPECT_FALSE(claims_.front().is_awaited());
}

TEST_F(SingleFlightTest, WhatIsForgottenServesThoseWhoWaitedBefore) {
  spawn("a");
  spawn("b");
  flights_.forget([](const std::string &key) { return key == "another"; });
  EXPECT_FALSE(claims_.front().forgotten());
  flights_.forget([](const std::string &key) { return key == "key"; });
  EXPECT_TRUE(claims_.front().forgotten());
  spawn("c");
  EXPECT_EQ(told_.back(), "c claims");
  claims_.front().land(7);
  loop_.drain();
  EXPECT_EQ(told_.back(), "b 7");
  EXPECT_FALSE(flights_.claim("key")) << "the end of the first is not the end of the second";
}

TEST_F(SingleFlightTest, WhoHasTheClaimMayWaitForAnotherThreadToDoIt) {
  auto claim = flights_.claim("key");
  auto wait = claim->wait(loop_.executor());
  std::thread([claim = std::move(*claim)]() mutable { claim.land(7); }).join();
  EXPECT_EQ(loop_.run(wait.outcome(long_time)), 7);
}

TEST_F(SingleFlightTest, AnEventLoopThatIsGoneIsNotPostedTo) {
  auto claim = flights_.claim("key");
  auto gone = std::make_unique<Loop>();
  gone->spawn([](Flights &flights, Executor executor) -> Task<> {
    auto joined = flights.join("key", executor);
    co_await std::get<Flights::Wait>(joined).outcome();
  }(flights_, gone->executor()));
  gone->drain();
  EXPECT_TRUE(claim->is_awaited());
  gone.reset();
  EXPECT_FALSE(claim->is_awaited());
  claim->land(7);
}

// Under TSan this also shows that nothing is shared without the mutex.
TEST(SingleFlight, ManyThreadsOneClaim) {
  Flights flights;
  std::atomic<int> flying = 0, flown = 0, told = 0;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker)
    threads.emplace_back([&] {
      Loop loop;
      for (int i = 0; i < 500; ++i)
        loop.run([](auto &all, auto &now, auto &ever, auto &others, Executor executor) -> Task<> {
          auto joined = all.join("key", executor);
          if (auto *claim = std::get_if<Flights::Claim>(&joined)) {
            EXPECT_EQ(++now, 1) << "two hold the claim";
            --now;
            claim->land(++ever);
          } else if (co_await std::get<Flights::Wait>(joined).outcome()) {
            ++others;
          }
        }(flights, flying, flown, told, loop.executor()));
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(flown + told, 2000);
}

} // namespace
} // namespace shim_test
