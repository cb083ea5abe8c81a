#include "shim/net/dns.hpp"

#include "tests/unit/shim/support.hpp"

#include <random>

namespace shim_test {
namespace {

using auth::DnsAnswer;
using auth::DnsOutcome;
using auth::DnsRecord;
using auth::DnsType;
using testing::ElementsAre;

using Wire = std::vector<unsigned char>;
constexpr Millis long_time{20'000};

// --- messages by hand (RFC 1035 4.1) ---

constexpr int wire_a = 1, wire_cname = 5, wire_ptr = 12, wire_txt = 16, wire_aaaa = 28, wire_srv = 33;

Wire join(std::initializer_list<Wire> parts) {
  Wire all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}
Wire be16(unsigned value) { return {static_cast<unsigned char>(value >> 8), static_cast<unsigned char>(value)}; }
Wire be32(std::uint32_t value) { return join({be16(value >> 16), be16(value & 0xffff)}); }

Wire labels(std::string_view name) {
  Wire out;
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    out.push_back(static_cast<unsigned char>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back(0);
  return out;
}
/// A compression pointer (RFC 1035 4.1.4).
Wire pointer(unsigned offset) { return be16(0xc000 | offset); }

Wire record(const Wire &owner, int type, std::uint32_t ttl, const Wire &data) {
  return join(
      {owner, be16(static_cast<unsigned>(type)), be16(1), be32(ttl), be16(static_cast<unsigned>(data.size())), data});
}
Wire a(std::string_view owner, std::uint32_t ttl, const Wire &address) {
  return record(labels(owner), wire_a, ttl, address);
}
Wire cname(std::string_view owner, std::uint32_t ttl, std::string_view to) {
  return record(labels(owner), wire_cname, ttl, labels(to));
}

constexpr unsigned first_name = 12; ///< offset of the question's name

Wire reply_to(const Wire &question, unsigned id, unsigned flags, const std::vector<Wire> &answers) {
  auto message = join({be16(id), be16(0x8180 | flags), be16(1), be16(static_cast<unsigned>(answers.size())), be16(0),
                       be16(0), question});
  for (const auto &answer : answers)
    message.insert(message.end(), answer.begin(), answer.end());
  return message;
}
Wire message(std::string_view name, int type, const std::vector<Wire> &answers) {
  return reply_to(join({labels(name), be16(static_cast<unsigned>(type)), be16(1)}), 7, 0, answers);
}

// --- decode_dns_reply ---

struct Decoded {
  bool ok = false;
  std::vector<DnsRecord> records;
};
/// From a heap block of exactly this size, so that a sanitizer sees each byte read too many.
Decoded decode(const Wire &wire) {
  Decoded decoded;
  std::unique_ptr<unsigned char[]> exact(new unsigned char[wire.size()]);
  std::ranges::copy(wire, exact.get());
  decoded.ok = decode_dns_reply({exact.get(), wire.size()}, decoded.records);
  return decoded;
}

TEST(DecodeDnsReply, EachTypeThatWeKnow) {
  const Wire v6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5};
  const auto decoded =
      decode(message("Sql1.Corp.Test", wire_a,
                     {a("SQL1.corp.test", 300, {10, 0, 0, 5}), record(labels("sql1.corp.test"), wire_aaaa, 301, v6),
                      cname("alias.corp.test", 302, "SQL1.Corp.Test"),
                      record(labels("5.0.0.10.in-addr.arpa"), wire_ptr, 303, labels("sql1.corp.test")),
                      record(labels("_kerberos._tcp.corp.test"), wire_srv, 304,
                             join({be16(1), be16(20), be16(88), labels("Kdc1.corp.test")})),
                      record(labels("sql1.corp.test"), wire_txt, 305, {3, 'a', 'b', 'c'})}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_THAT(decoded.records,
              ElementsAre(DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 300s},
                          DnsRecord{"sql1.corp.test", DnsType::aaaa, "2001:db8::5", 301s},
                          DnsRecord{"alias.corp.test", DnsType::cname, "sql1.corp.test", 302s},
                          DnsRecord{"5.0.0.10.in-addr.arpa", DnsType::ptr, "sql1.corp.test", 303s},
                          DnsRecord{"_kerberos._tcp.corp.test", DnsType::srv, "1 20 88 kdc1.corp.test", 304s}))
      << "lower case, and TXT left out";
}

TEST(DecodeDnsReply, ChainWithCompressedNames) {
  // alias.corp.test: "corp.test" stands at 12 + 6.
  const auto to_sql1 = join({{4, 's', 'q', 'l', '1'}, pointer(first_name + 6)});
  const auto decoded = decode(
      message("alias.corp.test", wire_a,
              {record(pointer(first_name), wire_cname, 60, to_sql1), record(to_sql1, wire_a, 61, {10, 0, 0, 5})}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_THAT(decoded.records, ElementsAre(DnsRecord{"alias.corp.test", DnsType::cname, "sql1.corp.test", 60s},
                                           DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 61s}));
}

TEST(DecodeDnsReply, EmptyAnswer) {
  const auto decoded = decode(message("sql1.corp.test", wire_a, {}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_TRUE(decoded.records.empty());
}

TEST(DecodeDnsReply, Malformed) {
  const auto question = message("sql1.corp.test", wire_a, {});
  const auto at_end = static_cast<unsigned>(question.size());
  const auto with = [](const Wire &record) { return message("sql1.corp.test", wire_a, {record}); };
  const struct {
    const char *name;
    Wire wire;
  } rows[] = {
      {"nothing", {}},
      {"an owner that points at itself", with(record(pointer(at_end), wire_a, 1, {10, 0, 0, 5}))},
      {"an owner that points past the end", with(record(pointer(0x3fff), wire_a, 1, {10, 0, 0, 5}))},
      {"an alias that points at itself", with(record(pointer(first_name), wire_cname, 1, pointer(at_end + 12)))},
      {"an alias that points at what points back",
       with(record(pointer(first_name), wire_cname, 1, join({pointer(at_end + 14), pointer(at_end + 12)})))},
      {"an alias of no bytes", with(record(pointer(first_name), wire_cname, 1, {}))},
      {"an A of 3 bytes", with(record(pointer(first_name), wire_a, 1, {10, 0, 0}))},
      {"an A of 5 bytes", with(record(pointer(first_name), wire_a, 1, {10, 0, 0, 5, 5}))},
      {"an AAAA of 4 bytes", with(record(pointer(first_name), wire_aaaa, 1, {10, 0, 0, 5}))},
      {"an SRV without a target", with(record(pointer(first_name), wire_srv, 1, join({be16(1), be16(1), be16(88)})))},
      {"bytes behind the last record", join({question, {0}})},
  };
  for (const auto &row : rows)
    EXPECT_FALSE(decode(row.wire).ok) << row.name;
}

/// A message with everything in it that has a length.
Wire rich_message() {
  const auto to_sql1 = join({{4, 's', 'q', 'l', '1'}, pointer(first_name + 6)});
  return message("alias.corp.test", wire_a,
                 {record(pointer(first_name), wire_cname, 60, to_sql1), record(to_sql1, wire_a, 61, {10, 0, 0, 5}),
                  record(to_sql1, wire_aaaa, 61, Wire(16, 1)), record(pointer(first_name), wire_ptr, 1, to_sql1),
                  record(pointer(first_name), wire_srv, 1, join({be16(1), be16(2), be16(88), to_sql1}))});
}

TEST(DecodeDnsReply, TruncatedAtEachByte) {
  const auto whole = rich_message();
  ASSERT_TRUE(decode(whole).ok);
  ASSERT_EQ(decode(whole).records.size(), 5u);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}).ok) << size << " bytes";
}

TEST(DecodeDnsReply, AnyByteMayBeAnything) {
  const auto whole = rich_message();
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (int value = 0; value < 256; value += at < 2 ? 255 : 1) {
      auto wire = whole;
      wire[at] = static_cast<unsigned char>(value);
      EXPECT_LE(decode(wire).records.size(), 5u) << "byte " << at << " is " << value;
    }
}

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
  EXPECT_THAT(answer.records, ElementsAre(DnsRecord{"alias.corp.test", DnsType::cname, "gone.corp.test", 60s}));
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
  const auto answer = ask(resolver, "sql1.corp.test", DnsType::a, Millis(400));
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
  FakeDns dns(loop_.executor(), [](const FakeDns::Query &query) -> std::vector<Wire> {
    return {query.reply({}, 0x0200)}; // TC
  });
  TcpAcceptor acceptor(loop_.executor(), Tcp::endpoint(loopback(dns.address().port)));
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
  auto resolver = this->resolver({&dns});
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
  const auto answers =
      loop_.run(ask_all(resolver, {{"a.test", DnsType::a}, {"b.test", DnsType::a}, {"c.test", DnsType::a}}, long_time));
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
    return loop_.run(shim::canonicalise(
        resolver, *auth::parse_target(typed), std::move(policy), limit, [&](const DnsAnswer &answer) {
          answered_.push_back(answer.question.name + " " + std::string(auth::to_string(answer.question.type)) + " " +
                              std::string(auth::to_string(answer.outcome)));
        }));
  }
  std::vector<std::string> answered_;
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
