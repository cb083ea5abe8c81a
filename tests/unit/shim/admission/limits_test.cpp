#include "shim/admission/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest-death-test.h>
#include <sys/resource.h>
#include <thread>
#include <vector>

namespace {

using namespace shim;
using testing::HasSubstr;

TEST(Quota, SoManyForEachKeyAndNoMore) {
  Quota quota(2);
  auto one = quota.take(7), two = quota.take(7), three = quota.take(7), other = quota.take(8);
  EXPECT_TRUE(one);
  EXPECT_TRUE(two);
  EXPECT_FALSE(three);
  EXPECT_TRUE(other);
  EXPECT_EQ(quota.taken(7), 2u);
  EXPECT_EQ(quota.taken(8), 1u);
  EXPECT_EQ(quota.taken(9), 0u);
}

TEST(Quota, APlaceComesBackOnceHoweverItGoes) {
  Quota quota(1);
  {
    auto place = quota.take();
    auto moved = std::move(place);
    EXPECT_FALSE(place);
    EXPECT_EQ(quota.taken(), 1u);
    moved.give_back();
    EXPECT_EQ(quota.taken(), 0u);
    moved.give_back();
  }
  EXPECT_EQ(quota.taken(), 0u);
  Quota other(1);
  auto place = quota.take();
  place = other.take();
  EXPECT_EQ(quota.taken(), 0u) << "what it held before";
  EXPECT_EQ(other.taken(), 1u);
  place = {};
  EXPECT_EQ(other.taken(), 0u);
}

TEST(Quota, Threads) {
  Quota quota(3);
  std::atomic<int> most = 0, now = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int turn = 0; turn < 2000; ++turn)
        if (auto place = quota.take(5)) {
          int inside = ++now;
          for (int seen = most; inside > seen && !most.compare_exchange_weak(seen, inside);) {
          }
          --now;
        }
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_LE(most, 3);
  EXPECT_GE(most, 1);
  EXPECT_EQ(quota.taken(5), 0u);
}

config::Limits limits(std::size_t handshakes, std::size_t per_uid, std::size_t connections) {
  config::Limits limits;
  limits.handshakes = handshakes;
  limits.handshakes_per_uid = per_uid;
  limits.connections = connections;
  return limits;
}

TEST(Limits, EachNamesItselfItsValueAndItsKey) {
  Limits few(limits(1, 1, 2));
  auto one = few.admit(0, "a");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->refused, "");
  auto two = few.admit(0, "a");
  ASSERT_TRUE(two);
  EXPECT_EQ(two->refused, "1 logins are under way on listener a; [limits] handshakes = 1");
  auto three = few.admit(1, "b");
  ASSERT_TRUE(three);
  EXPECT_EQ(three->refused, "") << "another listener; the refused one is no connection";
  auto four = few.admit(2, "c");
  ASSERT_TRUE(four);
  EXPECT_EQ(four->refused, "2 connections are open; [limits] connections = 2");

  auto user = few.admit_user(1000);
  ASSERT_TRUE(user);
  EXPECT_TRUE(few.admit_user(1001));
  auto again = few.admit_user(1000);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), "1 logins of uid 1000 are under way; [limits] handshakes_per_uid = 1");
  user->give_back();
  EXPECT_TRUE(few.admit_user(1000));
}

TEST(Limits, RefusalsAreLimitedToo) {
  Limits few(limits(1, 1, 1));
  auto in = few.admit(0, "a");
  std::vector<Admission> refused;
  while (auto next = few.admit(0, "a")) {
    EXPECT_NE(next->refused, "");
    refused.push_back(std::move(*next));
    ASSERT_LE(refused.size(), Limits::most_farewells);
  }
  EXPECT_EQ(refused.size(), Limits::most_farewells);
  EXPECT_FALSE(few.turn_down("x"));
  EXPECT_FALSE(few.farewell());
  refused.pop_back();
  EXPECT_TRUE(few.farewell());
}

TEST(Limits, WhoIsTurnedAwayIsCountedAndToldOfOnce) {
  Limits few(limits(1, 1, 1));
  int told = 0;
  few.on_turned_away([&] { ++told; });
  for (int i = 0; i < 3; ++i)
    few.turned_away();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(few.take_turned_away(), 3u);
  EXPECT_EQ(few.take_turned_away(), 0u);
  few.turned_away();
  EXPECT_EQ(told, 2);
}

/// In a process of its own: address space once given up does not come back. (What is mapped already
/// stays, a sanitizer's too.)
TEST(Limits, MemoryIsAskedOfTheKernel) {
  EXPECT_TRUE(has_memory());
  const auto without = [] {
    const rlimit spent{1, 1};
    ::_exit(::setrlimit(RLIMIT_AS, &spent) == 0 && !has_memory() ? 0 : 1);
  };
  EXPECT_EXIT(without(), testing::ExitedWithCode(0), "");
}

TEST(Limits, ConnectionsThatDescriptorsAllow) {
  EXPECT_EQ(connections_for(0), 1u);
  EXPECT_EQ(connections_for(128), 1u);
  EXPECT_EQ(connections_for(1024), 448u);
  EXPECT_EQ(connections_for(8320), 4096u);
}

} // namespace
