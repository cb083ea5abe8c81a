#include "shim/admission/users.hpp"

#include "tests/unit/shim/support.hpp"

#include <future>
#include <mutex>

namespace shim_test {
namespace {

/// A user database where those above `hanging` do not answer before `go_on`.
class Database {
public:
  Users::LookUp look_up() {
    return [state = state_](uid_t uid) {
      {
        std::lock_guard lock(state->mutex);
        state->asked.push_back(uid);
      }
      if (uid >= hanging) state->released.wait();
      Caller caller;
      caller.uid = uid;
      caller.user = "user" + std::to_string(uid);
      return caller;
    };
  }
  void go_on() { state_->go_on.set_value(); }
  std::vector<uid_t> asked() const {
    std::lock_guard lock(state_->mutex);
    return state_->asked;
  }
  static constexpr uid_t hanging = 1000;

private:
  struct State {
    std::promise<void> go_on;
    std::shared_future<void> released = go_on.get_future().share();
    std::mutex mutex;
    std::vector<uid_t> asked;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>(); // a thread that hangs has its share
};

TEST(UsersTest, FindsWithoutBlockingTheLoop) {
  Loop loop;
  Users users;
  auto found = loop.run(users.find(::getuid(), Millis(0)));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->uid, ::getuid());
  EXPECT_TRUE(found->groups_known);
  EXPECT_EQ(found->user, look_up_user(::getuid()).user);
}

TEST(UsersTest, ALookUpThatHangsIsGivenUp) {
  Loop loop;
  Database database;
  Users users(database.look_up());
  const auto started = Clock::now();
  EXPECT_FALSE(loop.run(users.find(1000, Millis(30))));
  EXPECT_GE(elapsed_since(started), 30ms);
  // The same user again: it waits for the look-up that is under way, and starts no second one.
  EXPECT_FALSE(loop.run(users.find(1000, Millis(10))));
  EXPECT_EQ(database.asked(), (std::vector<uid_t>{1000}));
  EXPECT_TRUE(loop.run(users.find(1, patience))) << "others are not held up";
  database.go_on();
  EXPECT_TRUE(loop.run(users.find(1000, patience)));
}

TEST(UsersTest, OneUserWhoHangsTakesOneThreadHoweverManyWait) {
  Loop loop;
  Database database;
  Users users(database.look_up());
  int given_up = 0;
  auto wait = [&]() -> Task<> {
    if (!co_await users.find(1000, Millis(20))) ++given_up;
  };
  for (int i = 0; i < 100; ++i)
    loop.spawn(wait());
  EXPECT_TRUE(loop.run(users.find(1, patience)));
  ASSERT_TRUE(loop.until([&] { return given_up == 100; }));
  EXPECT_EQ(std::ranges::count(database.asked(), 1000u), 1);
  database.go_on();
}

TEST(UsersTest, WhenAllThreadsHangOthersWaitForTheirOwnLimitAndAreServedAfterwards) {
  Loop loop;
  Database database;
  Users users(database.look_up());
  int given_up = 0;
  auto wait = [&](uid_t uid) -> Task<> {
    if (!co_await users.find(uid, Millis(20))) ++given_up;
  };
  for (uid_t i = 0; i < Users::most_threads; ++i)
    loop.spawn(wait(Database::hanging + i));
  ASSERT_TRUE(loop.until([&] { return given_up == static_cast<int>(Users::most_threads); }));
  EXPECT_FALSE(loop.run(users.find(1, Millis(20))));
  EXPECT_THAT(database.asked(), testing::Not(testing::Contains(1u)))
      << "no thread was free, and nobody waits any more";
  auto later = [&]() -> Task<int> {
    auto found = co_await users.find(2, patience);
    co_return found ? static_cast<int>(found->uid) : -1;
  };
  std::optional<int> uid;
  auto keep = [&]() -> Task<> { uid = co_await later(); };
  loop.spawn(keep());
  loop.drain();
  database.go_on();
  ASSERT_TRUE(loop.until([&] { return uid.has_value(); }));
  EXPECT_EQ(uid, 2);
  EXPECT_THAT(database.asked(), testing::Not(testing::Contains(1u))) << "given up, and not asked for later";
}

TEST(UsersTest, NobodyIsToldAfterHisLoopIsGone) {
  Database database;
  std::optional<Users> users(database.look_up());
  {
    Loop loop;
    auto wait = [&]() -> Task<> { (void)co_await users->find(1000, Millis(0)); };
    loop.spawn(wait());
    loop.drain();
    ASSERT_TRUE(loop.until([&] { return database.asked().size() == 1 || (loop.io.restart(), true); }));
  }
  users.reset();
  database.go_on(); // the thread ends by itself, on memory of its own
}

TEST(UsersTest, OutOfMemoryIsNoAnswer) {
  Loop loop;
  Users users([](uid_t) -> Caller { throw std::bad_alloc(); });
  EXPECT_FALSE(loop.run(users.find(1, patience)));
}

} // namespace
} // namespace shim_test
