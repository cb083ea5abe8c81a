#include "shim/names/dns.hpp"

#include "tests/unit/shim/names/dns_wire.hpp"
#include "tests/unit/shim/names/written_file.hpp"
#include "tests/unit/shim/support.hpp"

#include <future>
#include <random>

namespace shim_test {
namespace {

using auth::DnsAnswer;
using auth::DnsOutcome;
using auth::DnsRecord;
using auth::DnsType;
using testing::ElementsAre;

constexpr Millis long_time{20'000};

// --- Resolver ---

/// A DNS server on UDP as far as a script says.
class FakeDns {
public:
  struct Query {
    std::string name;
    int type = 0;
    int number = 0; ///< from 1
    Wire question;  ///< as in the message
    unsigned id = 0;

    Wire reply(const std::vector<Wire> &answers, unsigned flags = 0) const {
      return reply_to(question, id, flags, answers);
    }
    Wire rcode(unsigned code) const { return reply({}, code); }
  };
  /// The replies to a query; none: silence.
  using Script = std::function<std::vector<Wire>(const Query &)>;

  FakeDns(Executor executor, Script script) : state_(std::make_shared<State>(executor, std::move(script))) {
    asio::co_spawn(executor, serve(state_), asio::detached);
  }
  config::Address address() const { return {"127.0.0.1", state_->socket.local_endpoint().port()}; }
  const std::vector<Query> &queries() const { return state_->queries; }

  static Script always(std::vector<Wire> answers) {
    return [answers](const Query &query) -> std::vector<Wire> { return {query.reply(answers)}; };
  }
  static Script always_rcode(unsigned code) {
    return [code](const Query &query) -> std::vector<Wire> { return {query.rcode(code)}; };
  }
  static Script silence() {
    return [](const Query &) -> std::vector<Wire> { return {}; };
  }
  /// The question of a query message: name, type, class.
  static Query parse(const unsigned char *wire) {
    Query query;
    query.id = static_cast<unsigned>(wire[0] << 8 | wire[1]);
    std::size_t at = first_name;
    while (wire[at] != 0) {
      if (!query.name.empty()) query.name += '.';
      query.name.append(reinterpret_cast<const char *>(wire) + at + 1, wire[at]);
      at += wire[at] + 1u;
    }
    query.type = wire[at + 1] << 8 | wire[at + 2];
    query.question.assign(wire + first_name, wire + at + 5);
    return query;
  }

private:
  using Udp = asio::ip::udp;
  struct State {
    State(Executor executor, Script what)
        : socket(executor, Udp::endpoint(asio::ip::address_v4::loopback(), 0)), script(std::move(what)) {}
    asio::basic_datagram_socket<Udp, Executor> socket;
    Script script;
    std::vector<Query> queries;
  };
  static Task<> serve(std::shared_ptr<State> state) {
    std::array<unsigned char, 1500> buffer;
    for (;;) {
      Udp::endpoint from;
      auto [error, size] = co_await state->socket.async_receive_from(asio::buffer(buffer), from, as_result);
      if (error) co_return;
      auto query = parse(buffer.data());
      query.number = static_cast<int>(state->queries.size()) + 1;
      state->queries.push_back(query);
      for (const auto &reply : state->script(query))
        co_await state->socket.async_send_to(asio::buffer(reply), from, as_result);
    }
  }
  std::shared_ptr<State> state_;
};

const Wire address_5{10, 0, 0, 5};

class ResolverTest : public testing::Test {
protected:
  DnsAnswer ask(Resolver &resolver, const std::string &name = "sql1.corp.test", DnsType type = DnsType::a,
                Millis limit = long_time) {
    return loop_.run(resolver.ask({name, type}, limit));
  }
  Resolver resolver(std::initializer_list<const FakeDns *> servers) {
    std::vector<config::Address> addresses;
    for (const auto *server : servers)
      addresses.push_back(server->address());
    return Resolver(loop_.executor(), addresses);
  }
  Loop loop_;
};

TEST_F(ResolverTest, Answer) {
  FakeDns dns(loop_.executor(), FakeDns::always({a("sql1.corp.test", 300, address_5)}));
  auto resolver = this->resolver({&dns});
  const auto answer = ask(resolver, "SQL1.Corp.Test");
  EXPECT_EQ(answer.outcome, DnsOutcome::ok);
  EXPECT_EQ(answer.question, (auth::DnsQuestion{"sql1.corp.test", DnsType::a})) << "asked in lower case";
  EXPECT_THAT(answer.records, ElementsAre(DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 300s}));
  EXPECT_EQ(answer.server, dns.address().text());
  EXPECT_FALSE(answer.cached);
  EXPECT_GT(answer.took.count(), 0);
  ASSERT_EQ(dns.queries().size(), 1u);
  EXPECT_EQ(dns.queries()[0].name, "sql1.corp.test");
}

TEST_F(ResolverTest, TypesGoOntoTheWire) {
  FakeDns dns(loop_.executor(), FakeDns::always({}));
  auto resolver = this->resolver({&dns});
  for (auto type : {DnsType::a, DnsType::aaaa, DnsType::cname, DnsType::ptr, DnsType::srv})
    ask(resolver, "sql1.corp.test", type);
  std::vector<int> asked;
  for (const auto &query : dns.queries())
    asked.push_back(query.type);
  EXPECT_THAT(asked, ElementsAre(wire_a, wire_aaaa, wire_cname, wire_ptr, wire_srv));
}

TEST_F(ResolverTest, AnswersThatAreFinal) {
  const struct {
    const char *name;
    FakeDns::Script script;
    DnsOutcome outcome;
    bool kept;
  } rows[] = {
      {"nxdomain", FakeDns::always_rcode(3), DnsOutcome::no_name, false},
      {"nodata", FakeDns::always({}), DnsOutcome::no_data, true},
      {"an answer section that is not there",
       [](const FakeDns::Query &query) -> std::vector<Wire> {
         auto reply = query.reply({});
         reply[7] = 1; // ANCOUNT
         return {reply};
       },
       DnsOutcome::malformed, false},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.name);
    FakeDns first(loop_.executor(), row.script),
        second(loop_.executor(), FakeDns::always({a("sql1.corp.test", 300, address_5)}));
    auto resolver = this->resolver({&first, &second});
    const auto answer = ask(resolver);
    EXPECT_EQ(answer.outcome, row.outcome) << auth::to_string(answer.outcome);
    EXPECT_EQ(answer.server, first.address().text());
    EXPECT_TRUE(answer.records.empty());
    EXPECT_TRUE(second.queries().empty());
    EXPECT_EQ(ask(resolver).cached, row.kept);
    EXPECT_EQ(first.queries().size(), row.kept ? 1u : 2u);
    resolver.forget();
    EXPECT_FALSE(ask(resolver).cached);
  }
}

TEST_F(ResolverTest, ChainThatEndsInNothingIsKept) {
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    return {query.reply({cname("alias.corp.test", 60, "gone.corp.test")}, 3)};
  });
  auto resolver = this->resolver({&dns});
  const auto answer = ask(resolver, "alias.corp.test");
  EXPECT_EQ(answer.outcome, DnsOutcome::no_name);
  EXPECT_THAT(answer.records,
              ElementsAre(DnsRecord{"alias.corp.test", DnsType::cname, "gone.corp.test", 60s}));
}

struct OnToTheNext {
  const char *name;
  std::optional<unsigned> rcode; ///< none: silence
  DnsOutcome alone;
};
class ResolverTestNext : public ResolverTest, public testing::WithParamInterface<OnToTheNext> {
protected:
  FakeDns::Script script() const {
    return GetParam().rcode ? FakeDns::always_rcode(*GetParam().rcode) : FakeDns::silence();
  }
};
INSTANTIATE_TEST_SUITE_P(Resolver, ResolverTestNext,
                         testing::Values(OnToTheNext{"ServFail", 2, DnsOutcome::server_failure},
                                         OnToTheNext{"NotImplemented", 4, DnsOutcome::server_failure},
                                         OnToTheNext{"Refused", 5, DnsOutcome::refused},
                                         OnToTheNext{"Silent", {}, DnsOutcome::timeout}),
                         [](const auto &info) { return info.param.name; });

TEST_P(ResolverTestNext, SecondServerAnswers) {
  FakeDns first(loop_.executor(), script()),
      second(loop_.executor(), FakeDns::always({a("sql1.corp.test", 300, address_5)}));
  auto resolver = this->resolver({&first, &second});
  // One that is silent takes half of it.
  const auto answer =
      ask(resolver, "sql1.corp.test", DnsType::a, GetParam().rcode ? long_time : Millis(2000));
  EXPECT_EQ(answer.outcome, DnsOutcome::ok) << auth::to_string(answer.outcome);
  EXPECT_EQ(answer.server, second.address().text());
  EXPECT_FALSE(first.queries().empty());
}

TEST_P(ResolverTestNext, AloneItIsTheAnswer) {
  FakeDns dns(loop_.executor(), script());
  auto resolver = this->resolver({&dns});
  const auto started = Clock::now();
  const auto answer = ask(resolver, "sql1.corp.test", DnsType::a, GetParam().rcode ? long_time : Millis(100));
  EXPECT_EQ(answer.outcome, GetParam().alone) << auth::to_string(answer.outcome);
  EXPECT_EQ(answer.server, dns.address().text());
  EXPECT_LT(elapsed_since(started), 5s);
}

TEST_F(ResolverTest, NobodyListens) {
  asio::ip::udp::socket taken(loop_.io, asio::ip::udp::endpoint(asio::ip::address_v4::loopback(), 0));
  const config::Address nobody{"127.0.0.1", taken.local_endpoint().port()};
  taken.close();
  Resolver resolver(loop_.executor(), {nobody});
  const auto started = Clock::now();
  EXPECT_EQ(ask(resolver).outcome, DnsOutcome::unreachable);
  EXPECT_LT(elapsed_since(started), 600ms) << "each try fails at once: c-ares waits for none of them";
}

TEST_F(ResolverTest, NoServer) {
  Resolver resolver(loop_.executor(), {});
  EXPECT_EQ(ask(resolver).outcome, DnsOutcome::unreachable);
}

TEST_F(ResolverTest, ReplyToAnotherQuestionIsNotTaken) {
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    auto forged = query.reply({a("sql1.corp.test", 300, {6, 6, 6, 6})});
    forged[0] ^= 0x55; // another id
    auto other = query;
    other.question = join({labels("other.corp.test"), be16(wire_a), be16(1)});
    return {forged, other.reply({a("sql1.corp.test", 300, {6, 6, 6, 7})}),
            query.reply({a("sql1.corp.test", 300, address_5)})};
  });
  auto resolver = this->resolver({&dns});
  const auto answer = ask(resolver);
  ASSERT_EQ(answer.records.size(), 1u);
  EXPECT_EQ(answer.records[0].data, "10.0.0.5");
}

TEST_F(ResolverTest, LongAnswerOverTcp) {
  // One port for both; the one that the kernel gives for UDP may be somebody's for TCP.
  std::optional<FakeDns> dns;
  TcpAcceptor acceptor(loop_.executor());
  for (boost::system::error_code taken = asio::error::address_in_use; taken;) {
    dns.emplace(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
      return {query.reply({}, 0x0200)}; // TC
    });
    acceptor = TcpAcceptor(loop_.executor(), Tcp::v4());
    acceptor.bind(Tcp::endpoint(loopback(dns->address().port)), taken);
  }
  acceptor.listen();
  auto serve = [&]() -> Task<> {
    auto [error, socket] = co_await acceptor.async_accept(as_result);
    std::array<unsigned char, 512> buffer;
    co_await asio::async_read(socket, asio::buffer(buffer.data(), 2), as_result);
    co_await asio::async_read(socket, asio::buffer(buffer.data(), buffer[0] << 8 | buffer[1]), as_result);
    std::vector<Wire> many(100, a("sql1.corp.test", 300, address_5));
    auto reply = FakeDns::parse(buffer.data()).reply(many);
    co_await asio::async_write(socket, asio::buffer(join({be16(static_cast<unsigned>(reply.size())), reply})),
                               as_result);
    co_await until_closed(socket);
  };
  loop_.spawn(serve());
  auto resolver = this->resolver({&*dns});
  const auto answer = ask(resolver);
  EXPECT_EQ(answer.outcome, DnsOutcome::ok) << auth::to_string(answer.outcome);
  EXPECT_EQ(answer.records.size(), 100u);
}

TEST_F(ResolverTest, CancelledQuestion) {
  FakeDns dns(loop_.executor(), FakeDns::silence());
  auto resolver = this->resolver({&dns});
  auto wait = [&]() -> Task<int> {
    co_await resolver.ask({"sql1.corp.test", DnsType::a}, Millis(0));
    co_return 1;
  };
  EXPECT_EQ(loop_.run(with_deadline(wait(), Millis(20))), std::nullopt);
}

TEST_F(ResolverTest, GoneWhileItsServerIsSilent) {
  FakeDns dns(loop_.executor(), FakeDns::silence());
  {
    auto resolver = this->resolver({&dns});
    EXPECT_EQ(ask(resolver, "sql1.corp.test", DnsType::a, Millis(20)).outcome, DnsOutcome::timeout);
  }
  loop_.drain();
}

// --- the cache ---

TEST_F(ResolverTest, AnswersAreKept) {
  FakeDns dns(loop_.executor(), FakeDns::always({a("sql1.corp.test", 300, address_5)}));
  auto resolver = this->resolver({&dns});
  const auto first = ask(resolver);
  const auto second = ask(resolver, "SQL1.CORP.TEST");
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.records, first.records);
  EXPECT_EQ(second.server, first.server) << "who once said it";
  EXPECT_EQ(dns.queries().size(), 1u);
  EXPECT_FALSE(ask(resolver, "sql1.corp.test", DnsType::aaaa).cached) << "another question";
  EXPECT_FALSE(ask(resolver, "sql2.corp.test").cached);

  resolver.forget();
  EXPECT_FALSE(ask(resolver).cached);
}

TEST_F(ResolverTest, SmallestTtlCounts) {
  const struct {
    const char *name;
    std::vector<Wire> answers;
    bool kept;
  } rows[] = {
      {"both long", {cname("sql1.corp.test", 300, "x.test"), a("x.test", 300, address_5)}, true},
      {"alias 0", {cname("sql1.corp.test", 0, "x.test"), a("x.test", 300, address_5)}, false},
      {"address 0", {cname("sql1.corp.test", 300, "x.test"), a("x.test", 0, address_5)}, false},
  };
  for (const auto &row : rows) {
    FakeDns dns(loop_.executor(), FakeDns::always(row.answers));
    auto resolver = this->resolver({&dns});
    ask(resolver);
    EXPECT_EQ(ask(resolver).cached, row.kept) << row.name;
  }
}

TEST_F(ResolverTest, AnswersAreKeptNoLongerThanTheirTtl) {
  FakeDns dns(loop_.executor(), FakeDns::always({a("sql1.corp.test", 1, address_5)}));
  auto resolver = this->resolver({&dns});
  ask(resolver);
  loop_.run(pause(Millis(1010)));
  EXPECT_FALSE(ask(resolver).cached);
  EXPECT_EQ(dns.queries().size(), 2u);
}

TEST_F(ResolverTest, CacheIsBounded) {
  FakeDns dns(loop_.executor(), FakeDns::always({a("sql1.corp.test", 300, address_5)}));
  auto resolver = this->resolver({&dns});
  for (std::size_t i = 0; i < Resolver::most_cached; ++i)
    ask(resolver, "host" + std::to_string(i) + ".test");
  EXPECT_TRUE(ask(resolver, "host0.test").cached);
  ask(resolver, "onemore.test");
  EXPECT_FALSE(ask(resolver, "host0.test").cached) << "the cache was full, and began anew";
}

// --- several questions, and the whole procedure ---

TEST_F(ResolverTest, AskAllAtOnceKeepsTheOrder) {
  // The first is answered only when the second has been asked, and after it.
  std::optional<FakeDns::Query> held;
  const auto answer = [](const FakeDns::Query &query) {
    return query.reply({a(query.name, 300, {10, 0, 0, static_cast<unsigned char>(query.name[0])})});
  };
  FakeDns dns(loop_.executor(), [&](const FakeDns::Query &query) -> std::vector<Wire> {
    if (query.name == "a.test") {
      held = query;
      return {};
    }
    if (query.name == "b.test" && held) return {answer(query), answer(*held)};
    return {answer(query)};
  });
  auto resolver = this->resolver({&dns});
  const auto answers = loop_.run(
      ask_all(resolver, {{"a.test", DnsType::a}, {"b.test", DnsType::a}, {"c.test", DnsType::a}}, long_time));
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].records.at(0).data, "10.0.0.97");
  EXPECT_EQ(answers[1].records.at(0).data, "10.0.0.98");
  EXPECT_EQ(answers[2].records.at(0).data, "10.0.0.99");
}

class CanonicaliseTest : public ResolverTest {
protected:
  using Outcome = std::variant<auth::NameFacts, auth::NameError>;
  Outcome canonicalise(Resolver &resolver, const std::string &typed, auth::SearchPolicy policy = {},
                       Millis limit = long_time) {
    answered_.clear();
    return loop_.run(shim::canonicalise(resolver, *auth::parse_target(typed), std::move(policy), procedures_,
                                        limit, [&](const DnsAnswer &answer) {
                                          answered_.push_back(
                                              answer.question.name + " " +
                                              std::string(auth::to_string(answer.question.type)) + " " +
                                              std::string(auth::to_string(answer.outcome)));
                                        }));
  }
  std::vector<std::string> answered_;
  auth::Procedures procedures_;
};

TEST_F(CanonicaliseTest, SearchListThenAlias) {
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    if (query.name != "sqlalias.corp.test") return {query.rcode(3)};
    std::vector<Wire> answers{cname(query.name, 60, "sql1.corp.test")};
    if (query.type == wire_a) answers.push_back(a("sql1.corp.test", 60, address_5));
    return {query.reply(answers)};
  });
  auto resolver = this->resolver({&dns});
  const auto outcome = canonicalise(resolver, "sqlalias,1433", {{"other.test", "corp.test"}, 1});
  const auto *facts = std::get_if<auth::NameFacts>(&outcome);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->canonical, "sql1.corp.test");
  EXPECT_THAT(facts->addresses, ElementsAre("10.0.0.5"));
  EXPECT_THAT(facts->chain, ElementsAre("sqlalias.corp.test", "sql1.corp.test"));
  EXPECT_THAT(answered_, ElementsAre("sqlalias.other.test A nxdomain", "sqlalias.other.test AAAA nxdomain",
                                     "sqlalias.corp.test A ok", "sqlalias.corp.test AAAA ok"));
}

TEST_F(CanonicaliseTest, ReverseIsAskedWhereAProcedureNeedsIt) {
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    return {query.type == wire_a ? query.reply({a(query.name, 60, address_5)}) : query.rcode(3)};
  });
  auto resolver = this->resolver({&dns});
  procedures_.order = {auth::Procedure::forward_reverse, auth::Procedure::forward};
  const auto outcome = canonicalise(resolver, "sql1.corp.test");
  const auto *facts = std::get_if<auth::NameFacts>(&outcome);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->by, auth::Procedure::forward);
  EXPECT_THAT(answered_, ElementsAre("sql1.corp.test A ok", "sql1.corp.test AAAA nxdomain",
                                     "5.0.0.10.in-addr.arpa PTR nxdomain"));
}

TEST_F(ResolverTest, FailuresAreKeptForAsLongAsTheConfigurationSays) {
  for (const int rcode : {3, 2}) { // no such name; SERVFAIL
    FakeDns dns(loop_.executor(),
                [&](const FakeDns::Query &query) -> std::vector<Wire> { return {query.rcode(rcode)}; });
    Resolver keeps(loop_.executor(), {dns.address()}, Millis(300));
    EXPECT_FALSE(ask(keeps).cached);
    EXPECT_TRUE(ask(keeps).cached);
    loop_.run(pause(Millis(310)));
    EXPECT_FALSE(ask(keeps).cached);
    Resolver forgets(loop_.executor(), {dns.address()});
    EXPECT_FALSE(ask(forgets).cached);
    EXPECT_FALSE(ask(forgets).cached);
  }
}

TEST_F(ResolverTest, AnAnswerThatIsForgottenWhileItIsUnderWayIsNotKept) {
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    if (query.number == 1) return {}; // before it was mended
    return {query.reply({a(query.name, 300, address_5)})};
  });
  Resolver resolver(loop_.executor(), {dns.address()}, Millis(60'000));
  DnsAnswer late;
  const auto wait = [&]() -> Task<> {
    late = co_await resolver.ask({"sql1.corp.test", DnsType::a}, Millis(100));
  };
  loop_.spawn(wait());
  EXPECT_TRUE(loop_.until([&] { return !dns.queries().empty(); }));
  resolver.forget();
  EXPECT_TRUE(loop_.until([&] { return !late.server.empty(); }));
  EXPECT_EQ(late.outcome, DnsOutcome::timeout);
  EXPECT_EQ(ask(resolver).outcome, DnsOutcome::ok);
  EXPECT_TRUE(ask(resolver).cached) << "what was asked since is kept";
}

// --- the hosts file, resolv.conf, the system ---

class NamesTest : public CanonicaliseTest {
protected:
  NamesTest() {
    config_.servers = {dns_.address()};
    config_.hosts.clear();
  }
  Resolver resolver() { return Resolver(loop_.executor(), std::make_shared<NameFiles>(config_), system_); }

  FakeDns dns_{loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
                 return {query.type == wire_a ? query.reply({a(query.name, 300, address_5)})
                                              : query.rcode(3)};
               }};
  WrittenFile file_{"file"};
  config::Dns config_;
  SystemAnswer says_{DnsOutcome::ok, "sql9.corp.test", {"10.0.0.9"}};
  std::shared_ptr<SystemNames> system_ =
      std::make_shared<SystemNames>([this](const std::string &) { return says_; });
};

TEST_F(NamesTest, AHostOfTheFileNeedsNoDns) {
  file_.write("10.0.0.7 sql1.corp.test sql1\n");
  config_.hosts = file_.path();
  auto resolver = this->resolver();
  procedures_.order = {auth::Procedure::forward_reverse};
  const auto outcome = canonicalise(resolver, "SQL1", {{"other.test"}, 1});
  const auto *facts = std::get_if<auth::NameFacts>(&outcome);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->via, "hosts");
  EXPECT_EQ(facts->canonical, "sql1.corp.test");
  EXPECT_THAT(facts->addresses, ElementsAre("10.0.0.7"));
  EXPECT_THAT(answered_, ElementsAre("sql1 A ok", "sql1 AAAA nodata", "7.0.0.10.in-addr.arpa PTR ok"));
  EXPECT_TRUE(dns_.queries().empty());
  EXPECT_EQ(ask(resolver, "sql1").server, file_.path()) << "the log says which file";
}

TEST_F(NamesTest, TheFileIsForNamesAsTyped) {
  file_.write("10.0.0.7 sql1.corp.test\n");
  config_.hosts = file_.path();
  auto resolver = this->resolver();
  const auto outcome = canonicalise(resolver, "sql1", {{"corp.test"}, 1});
  const auto *facts = std::get_if<auth::NameFacts>(&outcome);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->via, "dns") << "as for every other program: a completed name is DNS's alone";
  EXPECT_THAT(facts->addresses, ElementsAre("10.0.0.5"));
}

TEST_F(NamesTest, AChangeOfTheFileCountsAtOnce) {
  config_.hosts = file_.path();
  auto resolver = this->resolver();
  EXPECT_EQ(ask(resolver).records.at(0).data, "10.0.0.5");
  EXPECT_TRUE(ask(resolver).cached);
  file_.write("10.0.0.7 sql1.corp.test\n");
  EXPECT_EQ(ask(resolver).records.at(0).data, "10.0.0.7");
  file_.remove();
  EXPECT_EQ(ask(resolver).records.at(0).data, "10.0.0.5");
}

TEST_F(NamesTest, ResolvConfMayChangeWhileTheResolverLives) {
  config_.servers.clear();
  config_.from_resolv_conf = {file_.path(), true, true, true};
  file_.write("nameserver 127.77.0.1\nsearch a.test\n");
  auto resolver = this->resolver();
  EXPECT_EQ(resolver.search().search, std::vector<std::string>{"a.test"});
  EXPECT_EQ(ask(resolver, "sql1.corp.test", DnsType::a, Millis(100)).server, "127.77.0.1:53");
  file_.write("nameserver 127.77.0.2\nsearch b.test\noptions ndots:3\n");
  EXPECT_EQ(ask(resolver, "sql1.corp.test", DnsType::a, Millis(100)).server, "127.77.0.2:53")
      << "the failure of the old server is forgotten, too";
  EXPECT_EQ(resolver.search().search, std::vector<std::string>{"b.test"});
  EXPECT_EQ(resolver.search().ndots, 3);
}

TEST_F(NamesTest, AQuestionUnderWayEndsWithTheOldServers) {
  FakeDns silent(loop_.executor(), FakeDns::silence());
  config_.servers = {silent.address()};
  config_.from_resolv_conf = {file_.path(), false, true, true};
  auto resolver = this->resolver();
  DnsAnswer late;
  const auto wait = [&]() -> Task<> { late = co_await resolver.ask({"slow.test", DnsType::a}, Millis(300)); };
  loop_.spawn(wait());
  EXPECT_TRUE(loop_.until([&] { return !silent.queries().empty(); }));
  file_.write("search b.test\n");
  EXPECT_EQ(resolver.search().search, std::vector<std::string>{"b.test"});
  EXPECT_TRUE(loop_.until([&] { return !late.server.empty(); }));
  EXPECT_EQ(late.outcome, DnsOutcome::timeout);
  EXPECT_FALSE(ask(resolver, "slow.test", DnsType::a, Millis(30)).cached)
      << "it is not kept for the new rules";
}

TEST_F(NamesTest, TheSystemCompletesAndCanonicalises) {
  config_.resolver = config::Resolver::system;
  auto resolver = this->resolver();
  const auto outcome = canonicalise(resolver, "sql1", {{"corp.test"}, 1});
  const auto *facts = std::get_if<auth::NameFacts>(&outcome);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->via, "system");
  EXPECT_EQ(facts->canonical, "sql9.corp.test");
  EXPECT_THAT(facts->addresses, ElementsAre("10.0.0.9"));
  EXPECT_THAT(answered_, ElementsAre("sql1 A ok", "sql1 AAAA nodata"));
  EXPECT_TRUE(dns_.queries().empty());
  EXPECT_EQ(ask(resolver, "_kerberos._tcp.corp.test", DnsType::srv).server, dns_.address().text())
      << "it knows no services";
}

TEST_F(NamesTest, WhatTheSystemSaysIsNotKeptButForItsFailures) {
  config_.resolver = config::Resolver::system;
  auto resolver = this->resolver();
  ask(resolver);
  EXPECT_FALSE(ask(resolver).cached);
  says_ = {DnsOutcome::server_failure, "", {}};
  EXPECT_FALSE(ask(resolver).cached);
  EXPECT_TRUE(ask(resolver).cached) << "a resolver that takes long to fail costs one login its time";
}

TEST_F(NamesTest, ASystemThatHangsFailsTheNameInTime) {
  config_.resolver = config::Resolver::system;
  auto go_on = std::make_shared<std::promise<void>>();
  auto released = go_on->get_future().share();
  system_ = std::make_shared<SystemNames>([released](const std::string &) {
    released.wait();
    return SystemAnswer{};
  });
  auto resolver = this->resolver();
  const auto started = Clock::now();
  const auto outcome = canonicalise(resolver, "sql1.corp.test", {}, Millis(100));
  const auto *error = std::get_if<auth::NameError>(&outcome);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->detail, "sql1.corp.test: timeout");
  EXPECT_LT(elapsed_since(started), 5s);
  go_on->set_value();
}

TEST_F(CanonicaliseTest, AddressAsksNobody) {
  Resolver resolver(loop_.executor(), {});
  const auto outcome = canonicalise(resolver, "127.0.0.1,1433");
  ASSERT_TRUE(std::holds_alternative<auth::NameFacts>(outcome));
  EXPECT_TRUE(answered_.empty());
}

TEST_F(CanonicaliseTest, LimitHoldsForTheWhole) {
  FakeDns dns(loop_.executor(), FakeDns::silence());
  auto resolver = this->resolver({&dns});
  const auto started = Clock::now();
  const auto outcome = canonicalise(resolver, "sql1", {{"a.test", "b.test", "c.test"}, 1}, Millis(100));
  const auto *error = std::get_if<auth::NameError>(&outcome);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->outcome, DnsOutcome::timeout);
  EXPECT_LT(elapsed_since(started), 5s);
  EXPECT_THAT(answered_, ElementsAre("sql1.a.test A timeout", "sql1.a.test AAAA timeout"));
}

} // namespace
} // namespace shim_test
