#include "shim/transport/task.hpp"

#include "tests/unit/shim/support.hpp"

#include <future>
#include <thread>

namespace shim_test {
namespace {

using Events = std::vector<std::string>;

struct Unwinding {
  Events &events;
  ~Unwinding() { events.push_back("unwound"); }
};

/// Waits for `signal`, however long it takes.
Task<int> wait_for(Signal &signal, Events &events) {
  Unwinding unwinding{events};
  events.push_back("waits");
  co_await signal.wait(Millis(0));
  events.push_back("goes on");
  co_return 7;
}

Task<int> seven() { co_return 7; }

TEST(WithDeadline, ValueInTime) {
  Loop loop;
  const auto started = Clock::now();
  EXPECT_EQ(loop.run(with_deadline(seven(), Millis(3'600'000))), 7);
  EXPECT_LT(elapsed_since(started), patience) << "the timer is not waited for";
  loop.drain();
  EXPECT_TRUE(loop.io.stopped()) << "no timer stays behind";
}

TEST(WithDeadline, TaskThatIsLateIsUnwoundBeforeTheAnswer) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  const auto started = Clock::now();
  EXPECT_EQ(loop.run(with_deadline(wait_for(signal, events), Millis(20))), std::nullopt);
  EXPECT_GE(elapsed_since(started), 20ms);
  EXPECT_THAT(events, testing::ElementsAre("waits", "unwound"));
  signal.notify();
  loop.drain();
  EXPECT_EQ(events.size(), 2u) << "nothing of it runs later";
}

Task<int> read_one(TcpSocket &socket, Events &events) {
  Unwinding unwinding{events};
  char byte;
  auto [error, count] = co_await socket.async_read_some(asio::buffer(&byte, 1), as_result);
  events.push_back(error.message());
  co_await stop_if_cancelled();
  events.push_back("goes on");
  co_return 1;
}

TEST(WithDeadline, ReadThatIsCancelledIsNoEndOfStream) {
  Loop loop;
  auto [socket, other] = tcp_pair(loop.executor());
  Events events;
  EXPECT_EQ(loop.run(with_deadline(read_one(socket, events), Millis(20))), std::nullopt);
  EXPECT_THAT(events, testing::ElementsAre("Operation canceled", "unwound"));
  other.close();
  events.clear();
  EXPECT_EQ(loop.run(with_deadline(read_one(socket, events), Millis(20'000))), 1);
  EXPECT_THAT(events, testing::ElementsAre("End of file", "goes on", "unwound"));
}

TEST(WithDeadline, ZeroIsForEver) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  std::optional<int> got;
  auto wait = [&]() -> Task<> { got = co_await with_deadline(wait_for(signal, events), Millis(0)); };
  loop.spawn(wait());
  loop.run(pause(Millis(20)));
  EXPECT_THAT(events, testing::ElementsAre("waits"));
  signal.notify();
  EXPECT_TRUE(loop.until([&] { return got.has_value(); }));
  EXPECT_EQ(got, 7);
}

TEST(WithDeadline, OuterCancelsInner) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  auto inner = [&]() -> Task<int> {
    auto value = co_await with_deadline(wait_for(signal, events), Millis(3'600'000));
    events.push_back("inner has an answer");
    co_return value.value_or(0);
  };
  EXPECT_EQ(loop.run(with_deadline(inner(), Millis(20))), std::nullopt);
  EXPECT_THAT(events, testing::ElementsAre("waits", "unwound"));
}

Task<int> out_of_memory() {
  co_await pause(Millis(1));
  throw std::bad_alloc();
}

TEST(WithDeadline, WhatATaskThrowsComesOutAtOnce) {
  Loop loop;
  const auto started = Clock::now();
  EXPECT_THROW(loop.run(with_deadline(out_of_memory(), Millis(3'600'000))), std::bad_alloc);
  EXPECT_THROW(loop.run(with_deadline(with_deadline(out_of_memory(), Millis(0)), Millis(3'600'000))),
               std::bad_alloc);
  EXPECT_LT(elapsed_since(started), patience);
}

TEST(FirstOf, TheOtherOneIsUnwound) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  auto first = loop.run(first_of(wait_for(signal, events), seven()));
  ASSERT_EQ(first.index(), 1u);
  EXPECT_EQ(std::get<1>(first), 7);
  EXPECT_THAT(events, testing::ElementsAre("waits", "unwound"));
}

TEST(FirstOf, KeepsAVariantOfATaskWhole) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  auto choice = []() -> Task<std::variant<int, std::string>> { co_return "text"; };
  auto first = loop.run(first_of(choice(), wait_for(signal, events)));
  ASSERT_EQ(first.index(), 0u);
  EXPECT_EQ(std::get<std::string>(std::get<0>(first)), "text");
}

TEST(FirstOf, OneThatThrowsEndsBoth) {
  Loop loop;
  Signal signal(loop.executor());
  Events events;
  EXPECT_THROW(loop.run(first_of(wait_for(signal, events), out_of_memory())), std::bad_alloc);
  EXPECT_THAT(events, testing::ElementsAre("waits", "unwound"));
}

TEST(FirstOf, OuterCancelsBoth) {
  Loop loop;
  Signal one(loop.executor()), two(loop.executor());
  Events events;
  auto both = [&]() -> Task<int> {
    (void)co_await first_of(wait_for(one, events), wait_for(two, events));
    events.push_back("goes on");
    co_return 1;
  };
  EXPECT_EQ(loop.run(with_deadline(both(), Millis(20))), std::nullopt);
  EXPECT_THAT(events, testing::ElementsAre("waits", "waits", "unwound", "unwound"));
}

TEST(LeftOf, NeverTurnsIntoForEver) {
  const auto now = Clock::now();
  EXPECT_EQ(left_of(Millis(0), now - 1h), Millis(0)) << "for ever stays for ever";
  EXPECT_EQ(left_of(Millis(100), now - 1h), Millis(1)) << "an old limit is nearly over";
  const auto left = left_of(Millis(10'000), now - 4s);
  EXPECT_LE(left, 6s);
  EXPECT_GT(left, 0s);
}

TEST(SignalTest, NotifyEndsAWait) {
  Loop loop;
  Signal signal(loop.executor());
  int woken = 0;
  auto wait = [&]() -> Task<> {
    for (;;) {
      co_await signal.wait(Millis(0));
      woken++;
    }
  };
  loop.spawn(wait());
  loop.drain();
  for (int i = 1; i <= 3; ++i) {
    signal.notify();
    loop.drain();
    EXPECT_EQ(woken, i);
  }
}

TEST(SignalTest, LimitEndsAWait) {
  Loop loop;
  Signal signal(loop.executor());
  const auto started = Clock::now();
  loop.run(signal.wait(Millis(20)));
  EXPECT_GE(elapsed_since(started), 20ms);
}

TEST(SignalTest, NotifyWithNobodyWaitingIsLost) {
  Loop loop;
  Signal signal(loop.executor());
  signal.notify();
  const auto started = Clock::now();
  loop.run(signal.wait(Millis(20)));
  EXPECT_GE(elapsed_since(started), 20ms);
}

TEST(SignalTest, WaitForEverAfterAWaitWithALimit) {
  Loop loop;
  Signal signal(loop.executor());
  bool woken = false;
  auto wait = [&]() -> Task<> {
    co_await signal.wait(Millis(1));
    co_await signal.wait(Millis(0));
    woken = true;
  };
  loop.spawn(wait());
  loop.run(pause(Millis(30)));
  EXPECT_FALSE(woken);
  signal.notify();
  EXPECT_TRUE(loop.until([&] { return woken; }));
}

TEST(OnPool, ValueFromAnotherThread) {
  Loop loop;
  asio::thread_pool pool(1);
  auto task = on_pool(
      pool, [] { return std::this_thread::get_id(); }, Millis(0));
  const auto where = loop.run(std::move(task));
  ASSERT_TRUE(where);
  EXPECT_NE(*where, std::this_thread::get_id());
}

TEST(OnPool, LateValueIsDropped) {
  Loop loop;
  asio::thread_pool pool(1);
  std::promise<void> go_on;
  std::atomic<int> alive{0};
  struct Counted {
    explicit Counted(std::atomic<int> &a) : alive(&a) { ++*alive; }
    Counted(Counted &&other) noexcept : alive(other.alive) { ++*alive; }
    Counted &operator=(Counted &&) noexcept = default;
    ~Counted() { --*alive; }
    std::atomic<int> *alive;
  };
  const auto started = Clock::now();
  const auto value = loop.run(on_pool(
      pool,
      [&alive, released = go_on.get_future().share()] {
        released.wait();
        return Counted(alive);
      },
      Millis(20)));
  EXPECT_FALSE(value);
  EXPECT_GE(elapsed_since(started), 20ms);
  go_on.set_value();
  pool.join();
  EXPECT_EQ(alive, 1) << "handed over to the loop";
  loop.drain();
  EXPECT_EQ(alive, 0);
}

TEST(OnPool, CancelledWaitIsUnwoundWhileTheFunctionRuns) {
  Loop loop;
  asio::thread_pool pool(1);
  std::promise<void> go_on;
  Events events;
  auto wait = [&]() -> Task<int> {
    Unwinding unwinding{events};
    auto value = co_await on_pool(
        pool,
        [released = go_on.get_future().share()] {
          released.wait();
          return 7;
        },
        Millis(0));
    events.push_back("goes on");
    co_return *value;
  };
  EXPECT_EQ(loop.run(with_deadline(wait(), Millis(20))), std::nullopt);
  EXPECT_THAT(events, testing::ElementsAre("unwound"));
  go_on.set_value();
  pool.join();
  loop.drain();
  EXPECT_EQ(events.size(), 1u);
}

} // namespace
} // namespace shim_test
