#include "shim/credentials/tickets.hpp"

#include "shim/transport/connect.hpp"
#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/support.hpp"

#include <latch>
#include <list>
#include <thread>

// The KDC here is a script on a TCP port: it refuses, or is silent. Tickets that a real
// one issues: tests/component.

namespace shim_test {
namespace {

using auth::Kind;
using auth_test::FakeTicket;
using auth_test::Folder;
using auth_test::krb_error;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";
constexpr Millis long_time{20'000};

std::string text_of(const TicketResult &result) {
  if (result) return "ticket";
  return std::string(auth::to_string(result.error().error.kind)) +
         (result.error().cause ? " " + std::string(id(*result.error().cause)) : "");
}

class TicketsTest : public testing::Test {
protected:
  TicketsTest() {
    auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST", {{}});
    folder_.write("password", "s3cret\n");
  }

  auth::KerberosConfig kerberos(std::vector<Tcp::endpoint> kdcs) const {
    auth::KerberosConfig config;
    config.path = config_;
    config.default_realm = "CORP.TEST";
    for (const auto &kdc : kdcs)
      config.kdcs["CORP.TEST"].push_back({kdc.address().to_string(), kdc.port(), false});
    return config;
  }
  Tickets &tickets(std::vector<Tcp::endpoint> kdcs, Millis refusals = Millis(0)) {
    return tickets_with(kerberos(std::move(kdcs)), refusals);
  }
  Tickets &tickets_with(auth::KerberosConfig config, Millis refusals = Millis(0)) {
    return made_.emplace_back(std::move(config), refusals,
                              [this](Event event) { background_.push_back(std::move(event)); });
  }
  /// An identity whose TGT is in a ccache: no KDC is asked for it.
  LoadedIdentity with_tgt(std::uint64_t generation = 1) const {
    return {auth_test::value(
                auth::load_identity({"alice", auth::Source::ccache, folder_.file("ccache"), ""}, config_)),
            generation};
  }
  LoadedIdentity with_password(const std::string &name = "reports",
                               const std::string &principal = "svc-reports@CORP.TEST") const {
    return {auth_test::value(auth::load_identity(
                {name, auth::Source::password_file, folder_.file("password"), principal}, config_)),
            1};
  }
  /// As a client's login makes it, with a password of its own.
  LoadedIdentity of_client(std::uint64_t generation, const std::string &principal = "alice@CORP.TEST") const {
    const auto password = "s3cret" + std::to_string(generation);
    return {auth_test::value(auth::load_identity({"users", auth::Source::client_password, "", principal},
                                                 password, config_)),
            generation, "login " + std::to_string(generation), true};
  }
  FetchContext context(Millis kdc_limit = long_time) {
    return {resolver_, {}, kdc_limit, long_time, [this](Event event) { events_.push_back(std::move(event)); },
            false};
  }
  TicketResult acquire(Tickets &tickets, const LoadedIdentity &identity, const std::string &name = spn) {
    return loop_.run(tickets.acquire(identity, name, context()));
  }
  template <class T> std::vector<T> all(const std::vector<Event> &events) const {
    std::vector<T> found;
    for (const auto &event : events)
      if (auto *one = std::get_if<T>(&event)) found.push_back(*one);
    return found;
  }

  std::list<Tickets> made_; // they outlive what runs on the loop, as in the server
  Folder folder_;
  std::string config_ = folder_.write("krb5.conf", auth_test::plain_config);
  Loop loop_;
  Resolver resolver_{loop_.executor(), {}};
  std::vector<Event> events_, background_;
};

/// Refuses each request with `code`.
FakeKdc::Script refuses(int code) { return FakeKdc::answers(krb_error(code, "", true)); }
/// Refuses the first request with 7, once it is told to; those behind it at once with `code`.
FakeKdc::Script refuses_when_told(Signal &told, int code) {
  return [&told, code](TcpSocket &socket, int number) -> Task<> {
    if (number > 1) return FakeKdc::write_and_wait(socket, with_length(krb_error(code, "", true)));
    return [](TcpSocket &to, Signal &go_on) -> Task<> {
      co_await go_on.wait(Millis(0));
      co_await FakeKdc::write_and_wait(to, with_length(krb_error(7, "", true)));
    }(socket, told);
  };
}

// --- one login ---

TEST_F(TicketsTest, OwnTgtFromTheCcacheIsStored) {
  auto &tickets = this->tickets({});
  const auto identity = with_tgt();
  const auto first = acquire(tickets, identity, "");
  ASSERT_TRUE(first) << first.error().error.text;
  EXPECT_FALSE(first->cached);
  EXPECT_EQ(first->ticket->server, "krbtgt/CORP.TEST@CORP.TEST");
  const auto second = acquire(tickets, identity, "");
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->cached);
  EXPECT_EQ(second->ticket, first->ticket);
  EXPECT_EQ(tickets.size(), 1u);
}

TEST_F(TicketsTest, RefusalOfTheKdcIsTold) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()});
  const auto result = acquire(tickets, with_tgt());
  EXPECT_EQ(text_of(result), "service-unknown");
  EXPECT_EQ(result.error().error.code, 7);
  const auto answers = all<KdcAnswered>(events_);
  ASSERT_FALSE(answers.empty());
  EXPECT_EQ(answers.size(), kdc.requests().size()) << "one event an answer";
  EXPECT_EQ(answers[0].exchange, "TGS");
  EXPECT_EQ(answers[0].code, 7);
  EXPECT_EQ(answers[0].kdc, to_text(kdc.endpoint()));
  EXPECT_EQ(answers[0].stime.substr(0, 10), "2026-07-30");
  EXPECT_NE(answers[0].skew_ms, 0);
  EXPECT_EQ(tickets.size(), 1u) << "the TGT is good all the same";
}

TEST_F(TicketsTest, RefusalInTheFirstExchange) {
  FakeKdc kdc(loop_.executor(), refuses(6));
  auto &tickets = this->tickets({kdc.endpoint()});
  EXPECT_EQ(text_of(acquire(tickets, with_password())), "client-unknown");
  const auto answers = all<KdcAnswered>(events_);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].exchange, "AS");
  EXPECT_EQ(tickets.size(), 0u);
}

TEST_F(TicketsTest, UnreachableNamesEachKdc) {
  RefusingPort one(loop_.executor()), two(loop_.executor());
  auto config = kerberos({one.endpoint(), two.endpoint()});
  config.kdcs["CORP.TEST"].push_back({"kdc3.corp.test", 88, false}); // and no DNS server is configured
  config.kdcs["CORP.TEST"].push_back({"proxy.corp.test", 443, true});
  auto &tickets = tickets_with(config, long_time);
  const auto result = acquire(tickets, with_password());
  EXPECT_EQ(text_of(result), "other kdc-unreachable");
  const auto each =
      AllOf(HasSubstr(to_text(one.endpoint()) + ": Connection refused"),
            HasSubstr(to_text(two.endpoint()) + ": Connection refused"),
            HasSubstr("kdc3.corp.test:88: its name has no address"), HasSubstr("proxy.corp.test"));
  EXPECT_THAT(result.error().error.text, each);
  const auto answers = all<KdcAnswered>(events_);
  std::vector<std::string> kdcs;
  for (const auto &answer : answers) {
    EXPECT_EQ(answer.code, -1);
    EXPECT_EQ(answer.realm, "CORP.TEST");
    EXPECT_EQ(answer.source, "krb5.conf");
    kdcs.push_back(answer.kdc);
  }
  EXPECT_THAT(kdcs, ElementsAre(to_text(one.endpoint()), to_text(two.endpoint()), "kdc3.corp.test:88",
                                "https://proxy.corp.test"))
      << "one event for each";
  // Not kept, whatever `refusals` says: the network may be back.
  EXPECT_EQ(text_of(acquire(tickets, with_password())), "other kdc-unreachable");
  EXPECT_EQ(all<KdcAnswered>(events_).size(), 8u);
}

TEST_F(TicketsTest, NoneOfTheKdcsHasAnAddress) {
  auto config = kerberos({});
  config.kdcs["CORP.TEST"].push_back({"kdc3.corp.test", 88, false});
  auto &tickets = tickets_with(config);
  const auto result = acquire(tickets, with_password());
  EXPECT_EQ(text_of(result), "other kdc-unreachable");
  EXPECT_EQ(result.error().error.text, "kdc3.corp.test:88: its name has no address that could be found");
}

TEST_F(TicketsTest, SilentKdcIsUnreachableAtTheLimit) {
  FakeKdc kdc(loop_.executor(), FakeKdc::is_silent());
  auto &tickets = this->tickets({kdc.endpoint()});
  const auto started = Clock::now();
  const auto result = loop_.run(tickets.acquire(with_password(), spn, context(Millis(100))));
  EXPECT_EQ(text_of(result), "other kdc-unreachable");
  EXPECT_THAT(result.error().error.text, HasSubstr("no answer within "));
  EXPECT_LT(elapsed_since(started), long_time);
}

TEST_F(TicketsTest, RealmWithoutAKdc) {
  auto &tickets = this->tickets({});
  const auto result = acquire(tickets, with_password());
  EXPECT_EQ(text_of(result), "realm-unknown");
  EXPECT_EQ(
      result.error().error.text,
      "krb5.conf names no KDC of realm CORP.TEST, and DNS no service _kerberos._tcp.corp.test (unreachable)");
  const auto told = all<KdcAnswered>(events_);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].code, -1);
  EXPECT_EQ(told[0].kdc, "") << "nobody was asked";
  EXPECT_FALSE(told[0].realm.empty()) << "and the log says of which realm";
}

TEST_F(TicketsTest, GarbageFromTheKdc) {
  FakeKdc kdc(loop_.executor(), FakeKdc::answers({1, 2, 3}));
  auto &tickets = this->tickets({kdc.endpoint()});
  const auto result = acquire(tickets, with_password());
  ASSERT_FALSE(result);
  EXPECT_FALSE(result.error().cause);
}

TEST_F(TicketsTest, TraceOnlyWhereItIsWanted) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()});
  acquire(tickets, with_tgt());
  EXPECT_TRUE(all<TraceLine>(events_).empty());
  auto traced = context();
  traced.trace = true;
  loop_.run(tickets.acquire(with_tgt(), spn, std::move(traced)));
  EXPECT_FALSE(all<TraceLine>(events_).empty());
}

// --- the store ---

TEST_F(TicketsTest, RejectedTicketLeavesTheStoreAndANewerOneStays) {
  auto &tickets = this->tickets({});
  const auto old = acquire(tickets, with_tgt(), "");
  ASSERT_TRUE(old);
  tickets.rejected(*old);
  EXPECT_EQ(tickets.size(), 0u);
  const auto newer = acquire(tickets, with_tgt(), "");
  ASSERT_TRUE(newer);
  EXPECT_FALSE(newer->cached);
  ASSERT_NE(newer->ticket, old->ticket);
  tickets.rejected(*old); // a slower login hears of its rejection only now
  EXPECT_EQ(tickets.size(), 1u);
}

TEST_F(TicketsTest, ForgetEmptiesTheStore) {
  auto &tickets = this->tickets({});
  ASSERT_TRUE(acquire(tickets, with_tgt(), ""));
  tickets.forget();
  EXPECT_EQ(tickets.size(), 0u);
  EXPECT_FALSE(acquire(tickets, with_tgt(), "")->cached);
}

TEST_F(TicketsTest, AnotherGenerationHasTicketsOfItsOwnAndPushesTheOldOut) {
  auto &tickets = this->tickets({});
  ASSERT_TRUE(acquire(tickets, with_tgt(1), ""));
  EXPECT_FALSE(acquire(tickets, with_tgt(2), "")->cached) << "the file has changed";
  EXPECT_TRUE(acquire(tickets, with_tgt(2), "")->cached);
  for (std::uint64_t generation = 3; generation < 20; ++generation)
    acquire(tickets, with_tgt(generation), "");
  EXPECT_EQ(tickets.size(), 1u) << "a ccache that is read at each login does not fill the store";
}

TEST_F(TicketsTest, IdentitiesDoNotPushEachOtherOut) {
  auto &tickets = this->tickets({});
  auto other = with_tgt();
  other.identity = auth_test::value(
      auth::load_identity({"bob", auth::Source::ccache, folder_.file("ccache"), ""}, config_));
  acquire(tickets, with_tgt(), "");
  acquire(tickets, other, "");
  EXPECT_EQ(tickets.size(), 2u);
}

TEST_F(TicketsTest, WhatIsDiscardedIsGoneAndNothingElse) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()}, long_time);
  auto given = with_tgt(2);
  given.of = "login 2";
  given.one_login = true;
  acquire(tickets, with_tgt());
  acquire(tickets, given);
  EXPECT_EQ(tickets.size(), 2u);
  EXPECT_TRUE(acquire(tickets, given).error().kept);
  tickets.discard(given);
  EXPECT_EQ(tickets.size(), 1u);
  EXPECT_TRUE(acquire(tickets, with_tgt()).error().kept);
  EXPECT_FALSE(acquire(tickets, given).error().kept) << "its refusals are gone, too";
}

TEST_F(TicketsTest, WhatIsDiscardedWhileItIsUnderWayIsNotKept) {
  std::optional<Signal> answer(loop_.executor());
  FakeKdc kdc(loop_.executor(), refuses_when_told(*answer, 7));
  auto &tickets = this->tickets({kdc.endpoint()}, long_time);
  const auto given = with_tgt(2);
  bool refused = false;
  auto log_in = [&]() -> Task<> { refused = !co_await tickets.acquire(given, spn, context()); };
  loop_.spawn(log_in());
  EXPECT_TRUE(loop_.until([&] { return kdc.requests().size() == 1; }));
  const auto discard = [&]() -> Task<> {
    tickets.discard(given);
    answer->notify();
    co_return;
  };
  loop_.spawn(discard());
  EXPECT_TRUE(loop_.until([&] { return refused; }));
  const auto asked = kdc.requests().size();
  EXPECT_FALSE(acquire(tickets, given).error().kept);
  EXPECT_GT(kdc.requests().size(), asked);
}

TEST_F(TicketsTest, OneProofOfAPrincipalAtATime) {
  FakeKdc kdc(loop_.executor(), refuses(24));
  auto &tickets = this->tickets({kdc.endpoint()});
  std::map<std::string, int> outcomes;
  int done = 0;
  auto log_in = [&](LoadedIdentity identity) -> Task<> {
    ++outcomes[text_of(co_await tickets.acquire(std::move(identity), spn, context()))];
    ++done;
  };
  for (std::uint64_t i = 1; i <= 20; ++i)
    loop_.spawn(log_in(of_client(i)));
  loop_.spawn(log_in(with_password("file", "alice@CORP.TEST")));
  EXPECT_TRUE(loop_.until([&] { return done == 21; }));
  EXPECT_EQ(kdc.requests().size(), 2u) << "twenty-one passwords, and the KDC counts two";
  EXPECT_THAT(outcomes, ElementsAre(testing::Pair("preauth-failed", 2),
                                    testing::Pair("preauth-failed password-throttled", 19)));
  EXPECT_EQ(text_of(acquire(tickets, of_client(30, "bob@CORP.TEST"))), "preauth-failed") << "another account";
  EXPECT_THAT(acquire(tickets, of_client(31)).error().error.text, testing::Not(HasSubstr("unless")));
}

TEST_F(TicketsTest, WhatServesOneLoginIsNotRenewed) {
  auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST",
                          {{.starts = FakeTicket{}.starts - 6h, .life = 10h}});
  FakeKdc kdc(loop_.executor(), refuses(6));
  auto &tickets = this->tickets({kdc.endpoint()});
  auto given = with_tgt();
  ASSERT_TRUE(acquire(tickets, given, ""));
  auto renewer = with_password("alice", "alice@CORP.TEST");
  renewer.one_login = true;
  ASSERT_TRUE(acquire(tickets, renewer, "")->cached);
  loop_.drain();
  EXPECT_EQ(kdc.connections(), 0);
  EXPECT_TRUE(background_.empty());
}

TEST_F(TicketsTest, RenewalThatFailsLeavesTheOldTicket) {
  // Past half of its life. What renews it is another identity under the same name, which no KDC knows.
  auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST",
                          {{.starts = FakeTicket{}.starts - 6h, .life = 10h}});
  FakeKdc kdc(loop_.executor(), refuses(6));
  auto &tickets = this->tickets({kdc.endpoint()});
  const auto old = acquire(tickets, with_tgt(), "");
  ASSERT_TRUE(old);
  const auto renewer = with_password("alice", "alice@CORP.TEST");
  events_.clear();
  for (int round = 1; round <= 2; ++round) {
    const auto served = acquire(tickets, renewer, "");
    ASSERT_TRUE(served);
    EXPECT_EQ(served->ticket, old->ticket) << "it goes on serving";
    EXPECT_TRUE(served->cached);
    const auto warned = [&] { return all<Warned>(background_); };
    EXPECT_TRUE(loop_.until([&] { return warned().size() == static_cast<std::size_t>(round); }));
    EXPECT_THAT(warned().back().what,
                AllOf(HasSubstr("the TGT of alice@CORP.TEST"), HasSubstr("until it expires")));
  }
  EXPECT_TRUE(events_.empty()) << "a renewal belongs to no connection";
  EXPECT_EQ(all<KdcAnswered>(background_).size(), 2u);
}

TEST_F(TicketsTest, OneRenewalAtATime) {
  auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST",
                          {{.starts = FakeTicket{}.starts - 6h, .life = 10h}});
  FakeKdc kdc(loop_.executor(), FakeKdc::is_silent());
  auto &tickets = this->tickets({kdc.endpoint()});
  ASSERT_TRUE(acquire(tickets, with_tgt(), ""));
  const auto renewer = with_password("alice", "alice@CORP.TEST");
  int served = 0;
  auto log_in = [&]() -> Task<> {
    auto ticket = co_await tickets.acquire(renewer, "", context());
    EXPECT_TRUE(ticket && ticket->cached) << "nobody waits for the renewal";
    ++served;
  };
  for (int i = 0; i < 10; ++i)
    loop_.spawn(log_in()); // all of them see that it is due before the first renewal begins
  EXPECT_TRUE(loop_.until([&] { return served == 10; }));
  EXPECT_TRUE(acquire(tickets, renewer, "")) << "and later ones see that it is under way";
  EXPECT_TRUE(loop_.until([&] { return !kdc.requests().empty(); }));
  loop_.drain();
  EXPECT_EQ(kdc.connections(), 1);
}

TEST_F(TicketsTest, TgtThatTheKdcNoLongerTakesIsFetchedAnewOnce) {
  int code = 7;
  FakeKdc kdc(loop_.executor(), [&](TcpSocket &socket, int) -> Task<> {
    return FakeKdc::write_and_wait(socket, with_length(krb_error(code, "", true)));
  });
  auto &tickets = this->tickets({kdc.endpoint()});
  acquire(tickets, with_tgt());
  const auto once = kdc.requests().size();
  ASSERT_EQ(tickets.size(), 1u) << "the TGT is in the store";

  code = 32; // the TGT is over, says the KDC
  acquire(tickets, with_tgt());
  EXPECT_EQ(kdc.requests().size(), 3 * once)
      << "with the TGT of the store, then with a fresh one, and no more";
  EXPECT_EQ(tickets.size(), 0u) << "a TGT that the KDC does not take is not kept";
  acquire(tickets, with_tgt());
  EXPECT_EQ(kdc.requests().size(), 4 * once) << "a fresh one is not tried twice";
}

TEST_F(TicketsTest, TgtIsNotBlamedForAServiceThatIsUnknown) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()});
  acquire(tickets, with_tgt());
  const auto once = kdc.requests().size();
  acquire(tickets, with_tgt());
  EXPECT_EQ(kdc.requests().size(), 2 * once);
  EXPECT_EQ(tickets.size(), 1u);
}

// --- refusals that are kept ---

TEST_F(TicketsTest, RefusalIsKeptForAsLongAsConfigured) {
  const struct {
    Millis refusals;
    int code;
    bool kept;
  } rows[] = {{long_time, 7, true},  {long_time, 8, true},   {long_time, 12, true}, {long_time, 14, true},
              {Millis(0), 7, false}, {long_time, 60, false}, {long_time, 37, false}};
  for (const auto &row : rows) {
    SCOPED_TRACE("code " + std::to_string(row.code) + ", " + std::to_string(row.refusals.count()) + " ms");
    FakeKdc kdc(loop_.executor(), refuses(row.code));
    auto &tickets = this->tickets({kdc.endpoint()}, row.refusals);
    const auto first = acquire(tickets, with_tgt());
    const auto once = kdc.requests().size();
    ASSERT_GT(once, 0u);
    const auto second = acquire(tickets, with_tgt());
    EXPECT_EQ(text_of(first), text_of(second));
    EXPECT_EQ(first.error().error.text, second.error().error.text);
    EXPECT_FALSE(first.error().kept);
    EXPECT_EQ(second.error().kept, row.kept);
    if (row.kept)
      EXPECT_EQ(kdc.requests().size(), once);
    else
      EXPECT_GT(kdc.requests().size(), once);
  }
}

TEST_F(TicketsTest, RefusalIsKeptNoLonger) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()}, Millis(30));
  acquire(tickets, with_tgt());
  const auto once = kdc.requests().size();
  loop_.run(pause(Millis(40)));
  acquire(tickets, with_tgt());
  EXPECT_EQ(kdc.requests().size(), 2 * once);
}

TEST_F(TicketsTest, RefusalIsKeptForItsSpnAlone) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()}, long_time);
  acquire(tickets, with_tgt());
  const auto once = kdc.requests().size();
  acquire(tickets, with_tgt(), "MSSQLSvc/sql2.corp.test:1433@CORP.TEST");
  EXPECT_EQ(kdc.requests().size(), 2 * once);
}

TEST_F(TicketsTest, ForgetForgetsRefusals) {
  FakeKdc kdc(loop_.executor(), refuses(7));
  auto &tickets = this->tickets({kdc.endpoint()}, long_time);
  acquire(tickets, with_tgt());
  const auto once = kdc.requests().size();
  tickets.forget();
  acquire(tickets, with_tgt());
  EXPECT_EQ(kdc.requests().size(), 2 * once);
}

// --- many logins ---

TEST_F(TicketsTest, AbandonedFetchLetsTheNextTryItself) {
  int silent = 1;
  FakeKdc kdc(loop_.executor(), [&](TcpSocket &socket, int number) -> Task<> {
    if (number <= silent) return until_closed(socket);
    return FakeKdc::write_and_wait(socket, with_length(krb_error(7, "", true)));
  });
  auto &tickets = this->tickets({kdc.endpoint()});

  std::vector<std::string> outcomes;
  auto log_in = [&](Millis limit) -> Task<> {
    auto result = co_await with_deadline(tickets.acquire(with_tgt(), spn, context()), limit);
    outcomes.push_back(result ? text_of(*result) : "deadline");
  };
  loop_.spawn(log_in(Millis(100))); // has the claim, and gives up
  loop_.spawn(log_in(long_time));
  loop_.spawn(log_in(long_time));
  EXPECT_TRUE(loop_.until([&] { return kdc.requests().size() == 1; }));
  EXPECT_TRUE(loop_.until([&] { return outcomes.size() == 3; })) << outcomes.size();
  EXPECT_THAT(outcomes, ElementsAre("deadline", "service-unknown", "service-unknown"));
}

TEST_F(TicketsTest, WaiterMayGiveUpAlone) {
  std::optional<Signal> answer(loop_.executor());
  FakeKdc kdc(loop_.executor(), refuses_when_told(*answer, 7));
  auto &tickets = this->tickets({kdc.endpoint()});
  std::vector<std::string> outcomes;
  auto log_in = [&](Millis limit) -> Task<> {
    auto result = co_await with_deadline(tickets.acquire(with_tgt(), spn, context()), limit);
    outcomes.push_back(result ? text_of(*result) : "deadline");
  };
  loop_.spawn(log_in(long_time));
  loop_.spawn(log_in(Millis(50)));
  EXPECT_TRUE(loop_.until([&] { return outcomes.size() == 1; }));
  EXPECT_THAT(outcomes, ElementsAre("deadline"));
  answer->notify();
  EXPECT_TRUE(loop_.until([&] { return outcomes.size() == 2; }));
  EXPECT_EQ(outcomes.back(), "service-unknown") << "the one that asks is not disturbed";
}

TEST_F(TicketsTest, WhatIsForgottenWhileItIsUnderWayServesOnlyThoseWhoWaitedBefore) {
  std::optional<Signal> answer(loop_.executor());
  FakeKdc kdc(loop_.executor(), refuses_when_told(*answer, 12));
  auto &tickets = this->tickets({kdc.endpoint()}, long_time);
  std::vector<std::string> outcomes;
  auto log_in = [&](const char *name) -> Task<> {
    auto result = co_await tickets.acquire(with_tgt(), spn, context());
    outcomes.push_back(std::string(name) + " " + text_of(result) + (result.error().kept ? " (kept)" : ""));
  };
  loop_.spawn(log_in("asks"));
  EXPECT_TRUE(loop_.until([&] { return kdc.requests().size() == 1; }));
  loop_.spawn(log_in("waits"));
  const auto forget = [&]() -> Task<> {
    tickets.forget(); // behind "waits" on the loop
    co_await log_in("comes later");
  };
  const auto let_go = [&]() -> Task<> {
    answer->notify();
    co_return;
  };
  loop_.spawn(forget());
  loop_.spawn(let_go());
  EXPECT_TRUE(loop_.until([&] { return outcomes.size() == 3; }));
  EXPECT_THAT(outcomes, ElementsAre("asks service-unknown", "waits service-unknown", "comes later policy"));
  loop_.run(log_in("the next"));
  EXPECT_EQ(outcomes.back(), "the next policy (kept)") << "what was asked since is kept";
}

/// A worker thread with its own event loop, as the server has.
struct Worker {
  Loop loop;
  Resolver resolver{loop.executor(), {}};
  std::vector<std::string> outcomes;
  std::size_t events = 0;
};

TEST_F(TicketsTest, ManyWaitersOnTwoThreadsGetOneOutcome) {
  constexpr int each = 20;
  FakeKdc kdc(loop_.executor(), refuses(7));

  // What one login alone asks.
  auto &alone = this->tickets({kdc.endpoint()});
  acquire(alone, with_tgt());
  const auto once = kdc.requests().size();

  auto &tickets = this->tickets({kdc.endpoint()});
  const auto identity = with_tgt();
  std::array<Worker, 2> workers;
  std::latch all_wait(2);
  std::atomic<int> done{0};
  auto log_in = [&](Worker &worker) -> Task<> {
    FetchContext fetch{
        worker.resolver, {}, long_time, long_time, [&worker](Event) { ++worker.events; }, false};
    auto result = co_await tickets.acquire(identity, spn, std::move(fetch));
    worker.outcomes.push_back(text_of(result));
    ++done;
    asio::post(loop_.io, [] {}); // for the thread of the test to look
  };
  std::vector<std::jthread> threads;
  for (auto &worker : workers) {
    for (int i = 0; i < each; ++i)
      worker.loop.spawn(log_in(worker));
    // Behind all of them: each has begun by then, and either asks the KDC or waits for the one that does.
    asio::post(worker.loop.io, [&] { asio::post(worker.loop.io, [&] { all_wait.count_down(); }); });
    threads.emplace_back([&worker] { worker.loop.io.run_for(patience); });
  }
  all_wait.wait(); // The KDC, which lives on this thread, has said nothing so far.
  EXPECT_TRUE(loop_.until([&] { return done == 2 * each; }));
  threads.clear();

  EXPECT_EQ(kdc.requests().size(), 2 * once) << "one login asked for all of them";
  for (const auto &worker : workers) {
    EXPECT_EQ(worker.outcomes.size(), static_cast<std::size_t>(each));
    EXPECT_THAT(worker.outcomes, testing::Each("service-unknown"));
  }
  EXPECT_EQ(std::min(workers[0].events, workers[1].events), 0u)
      << "the events are those of the login that asked";
}

TEST_F(TicketsTest, StoreServesThreadsWhileItIsEmptied) {
  constexpr int each = 50;
  auto &tickets = this->tickets({});
  const auto identity = with_tgt();
  std::array<Worker, 3> workers;
  auto log_in = [&](Worker &worker) -> Task<> {
    FetchContext fetch{worker.resolver, {}, long_time, long_time, [](Event) {}, false};
    auto result = co_await tickets.acquire(identity, "", fetch);
    worker.outcomes.push_back(text_of(result));
    if (result && worker.outcomes.size() % 7 == 0) tickets.rejected(*result);
  };
  {
    std::vector<std::jthread> threads;
    for (auto &worker : workers) {
      for (int i = 0; i < each; ++i)
        worker.loop.spawn(log_in(worker));
      threads.emplace_back([&worker] { worker.loop.io.run_for(patience); });
    }
    for (int i = 0; i < 20; ++i)
      tickets.forget();
  }
  for (const auto &worker : workers) {
    EXPECT_EQ(worker.outcomes.size(), static_cast<std::size_t>(each));
    EXPECT_THAT(worker.outcomes, testing::Each("ticket"));
  }
}

} // namespace
} // namespace shim_test
