#include "shim/names/system_names.hpp"

#include "tests/unit/shim/support.hpp"

#include <future>

namespace shim_test {
namespace {

using auth::DnsAnswer;
using auth::DnsOutcome;
using auth::DnsRecord;
using auth::DnsType;
using testing::ElementsAre;
using testing::IsEmpty;

DnsAnswer ask(Loop &loop, SystemNames &names, const std::string &name, DnsType type,
              Millis limit = Millis(0)) {
  return loop.run(names.ask({name, type}, limit));
}
SystemNames says(SystemAnswer answer) {
  return SystemNames([answer](const std::string &) { return answer; });
}

TEST(SystemNamesTest, ANameBecomesRecords) {
  Loop loop;
  auto names = says({DnsOutcome::ok, "SQL1.corp.test", {"10.0.0.6", "2001:db8::1", "10.0.0.5"}});
  const auto four = ask(loop, names, "sql1", DnsType::a);
  EXPECT_EQ(four.outcome, DnsOutcome::ok);
  EXPECT_EQ(four.server, "system");
  EXPECT_EQ(four.via, "system");
  EXPECT_THAT(four.records, ElementsAre(DnsRecord{"sql1", DnsType::cname, "sql1.corp.test", 0s},
                                        DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.6", 0s},
                                        DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 0s}));
  const auto six = ask(loop, names, "sql1.corp.test", DnsType::aaaa);
  EXPECT_THAT(six.records, ElementsAre(DnsRecord{"sql1.corp.test", DnsType::aaaa, "2001:db8::1", 0s}));
}

TEST(SystemNamesTest, NoAddressOfThatFamily) {
  Loop loop;
  auto names = says({DnsOutcome::ok, "sql1.corp.test", {"10.0.0.5"}});
  EXPECT_EQ(ask(loop, names, "sql1.corp.test", DnsType::aaaa).outcome, DnsOutcome::no_data);
  EXPECT_EQ(ask(loop, names, "sql1", DnsType::aaaa).outcome, DnsOutcome::no_data);
}

TEST(SystemNamesTest, Failures) {
  Loop loop;
  for (const auto outcome : {DnsOutcome::no_name, DnsOutcome::server_failure}) {
    auto names = says({outcome, "", {}});
    const auto answer = ask(loop, names, "sql1", DnsType::a);
    EXPECT_EQ(answer.outcome, outcome);
    EXPECT_THAT(answer.records, IsEmpty());
  }
}

TEST(SystemNamesTest, BothFamiliesAreOneLookUp) {
  Loop loop;
  std::atomic<int> asked = 0;
  std::promise<void> both;
  SystemNames names([&](const std::string &) {
    ++asked;
    both.get_future().wait();
    return SystemAnswer{DnsOutcome::ok, "sql1", {"10.0.0.5"}};
  });
  std::vector<DnsAnswer> answers;
  const auto one = [&](DnsType type) -> Task<> {
    answers.push_back(co_await names.ask({"sql1", type}, Millis(0)));
  };
  loop.spawn(one(DnsType::a));
  loop.spawn(one(DnsType::aaaa));
  loop.drain();
  both.set_value();
  EXPECT_TRUE(loop.until([&] { return answers.size() == 2; }));
  EXPECT_EQ(asked, 1);
}

TEST(SystemNamesTest, OneThatHangsIsGivenUpAndTakesOneThread) {
  Loop loop;
  std::promise<void> go_on;
  auto released = std::make_shared<std::shared_future<void>>(go_on.get_future().share());
  auto count = std::make_shared<std::atomic<int>>(0);
  SystemNames names([released, count](const std::string &name) {
    ++*count;
    if (name == "hangs") released->wait();
    return SystemAnswer{DnsOutcome::ok, name, {"10.0.0.5"}};
  });
  for (int i = 0; i < 3; ++i) {
    const auto started = Clock::now();
    EXPECT_EQ(ask(loop, names, "hangs", DnsType::a, Millis(30)).outcome, DnsOutcome::timeout);
    EXPECT_LT(elapsed_since(started), 5s);
  }
  EXPECT_EQ(*count, 1) << "nobody starts a second thread for it";
  EXPECT_EQ(ask(loop, names, "sql1", DnsType::a).outcome, DnsOutcome::ok) << "others are not held up";
  go_on.set_value();
}

TEST(SystemNamesTest, TheSystemsOwnWord) {
  const auto local = look_up_by_system("localhost");
  EXPECT_EQ(local.outcome, DnsOutcome::ok);
  EXPECT_THAT(local.addresses, testing::Contains(testing::AnyOf("127.0.0.1", "::1")));
  EXPECT_EQ(local.name, "localhost");
  const auto reversed = look_up_by_system(auth::reverse_name("127.0.0.1"));
  EXPECT_EQ(reversed.outcome, DnsOutcome::ok);
  EXPECT_FALSE(reversed.name.empty());
  EXPECT_THAT(look_up_by_system("nowhere.invalid").addresses, IsEmpty()); // RFC 6761: there is no such name
  EXPECT_NE(look_up_by_system("nowhere.invalid").outcome, DnsOutcome::ok);
}

} // namespace
} // namespace shim_test
