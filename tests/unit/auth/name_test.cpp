#include "auth/name.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace auth {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

using Records = std::vector<DnsRecord>;

DnsRecord a(const std::string &name, const std::string &address) { return {name, DnsType::a, address, 60s}; }
DnsRecord aaaa(const std::string &name, const std::string &address) {
  return {name, DnsType::aaaa, address, 60s};
}
DnsRecord cname(const std::string &name, const std::string &target) {
  return {name, DnsType::cname, target, 60s};
}

struct Reply {
  DnsOutcome outcome = DnsOutcome::ok;
  Records records = {};
};
const Reply nxdomain{DnsOutcome::no_name};
const Reply nodata{DnsOutcome::no_data};

/// A and AAAA answers to the questions of one round.
struct Round {
  std::string asks;
  Reply a;
  Reply aaaa;
};

Target named(const std::string &host) {
  return {.typed = host, .host = host, .instance = {}, .port = {}, .is_address = false};
}

using End = std::variant<std::monostate, NameFacts, NameError>;

/// Plays a script; each round must ask for its name, A and AAAA at once. monostate: more is
/// asked than the script answers.
End play(Canonicaliser &machine, const std::vector<Round> &script) {
  for (const Round &round : script) {
    const auto action = machine.next();
    if (const auto *facts = std::get_if<NameFacts>(&action)) return *facts;
    if (const auto *error = std::get_if<NameError>(&action)) return *error;
    const std::vector<DnsQuestion> expected{{round.asks, DnsType::a}, {round.asks, DnsType::aaaa}};
    EXPECT_EQ(std::get<AskDns>(action).questions, expected) << std::get<AskDns>(action).questions[0].name;
    EXPECT_TRUE(std::holds_alternative<AskDns>(machine.next())) << "asking again gives the same question";
    const auto answer = [&](const Reply &reply, DnsType type) {
      return DnsAnswer{.question = {round.asks, type},
                       .outcome = reply.outcome,
                       .records = reply.records,
                       .server = {},
                       .cached = false,
                       .took = {}};
    };
    machine.answer({answer(round.a, DnsType::a), answer(round.aaaa, DnsType::aaaa)});
  }
  const auto action = machine.next();
  if (const auto *facts = std::get_if<NameFacts>(&action)) return *facts;
  if (const auto *error = std::get_if<NameError>(&action)) return *error;
  return {};
}
End play(const std::string &host, SearchPolicy policy, const std::vector<Round> &script) {
  Canonicaliser machine(named(host), std::move(policy));
  return play(machine, script);
}

const SearchPolicy search{{"corp.test", "other.test"}, 1};

struct Found {
  const char *name;
  const char *host;
  SearchPolicy policy;
  std::vector<Round> script;
  std::string canonical;
  std::vector<std::string> chain;
  std::vector<std::string> addresses;
};

const std::string full = "sql1.corp.test";

std::vector<Found> found_rows() {
  return {
      {"both families, A first",
       "sql1.corp.test",
       search,
       {{full, {.records = {a(full, "10.0.0.1"), a(full, "10.0.0.2")}}, {.records = {aaaa(full, "::1")}}}},
       full,
       {full},
       {"10.0.0.1", "10.0.0.2", "::1"}},
      {"A alone",
       "sql1.corp.test",
       search,
       {{full, {.records = {a(full, "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
      {"AAAA alone",
       "sql1.corp.test",
       search,
       {{full, nodata, {.records = {aaaa(full, "2001:DB8::1")}}}},
       full,
       {full},
       {"2001:db8::1"}},
      {"A times out, AAAA is there",
       "sql1.corp.test",
       search,
       {{full, {DnsOutcome::timeout}, {.records = {aaaa(full, "::1")}}}},
       full,
       {full},
       {"::1"}},
      {"AAAA times out, A is there",
       "sql1.corp.test",
       search,
       {{full, {.records = {a(full, "10.0.0.1")}}, {DnsOutcome::timeout}}},
       full,
       {full},
       {"10.0.0.1"}},
      {"case and dots",
       "SQL1.Corp.Test",
       search,
       {{full, {.records = {a("Sql1.CORP.test.", "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
      {"a short name is completed",
       "sql1",
       search,
       {{full, {.records = {a(full, "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
      {"by the second suffix",
       "sql1",
       search,
       {{full, nxdomain, nxdomain},
        {"sql1.other.test", {.records = {a("sql1.other.test", "10.0.0.1")}}, nodata}},
       "sql1.other.test",
       {"sql1.other.test"},
       {"10.0.0.1"}},
      {"a short name as it is, last",
       "sql1",
       search,
       {{full, nxdomain, nxdomain},
        {"sql1.other.test", nodata, nodata},
        {"sql1", {.records = {a("sql1", "10.0.0.1")}}, nodata}},
       "sql1",
       {"sql1"},
       {"10.0.0.1"}},
      {"ndots 0: as typed first",
       "sql1",
       {{"corp.test"}, 0},
       {{"sql1", nxdomain, nxdomain}, {full, {.records = {a(full, "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
      {"ndots 2: the list first",
       "sql1.eu",
       {{"corp.test"}, 2},
       {{"sql1.eu.corp.test", nxdomain, nxdomain},
        {"sql1.eu", {.records = {a("sql1.eu", "10.0.0.1")}}, nodata}},
       "sql1.eu",
       {"sql1.eu"},
       {"10.0.0.1"}},
      {"no list",
       "sql1",
       {{}, 1},
       {{"sql1", {.records = {a("sql1", "10.0.0.1")}}, nodata}},
       "sql1",
       {"sql1"},
       {"10.0.0.1"}},
      {"suffixes in any spelling",
       "sql1",
       {{".Corp.Test.", "", "."}, 1},
       {{full, {.records = {a(full, "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
      {"a dot at the end ends all completing",
       "sql1.",
       search,
       {{"sql1", {.records = {a("sql1", "10.0.0.1")}}, nodata}},
       "sql1",
       {"sql1"},
       {"10.0.0.1"}},
      {"an alias",
       "alias.corp.test",
       search,
       {{"alias.corp.test",
         {.records = {cname("alias.corp.test", "sql1.corp.test"), a(full, "10.0.0.1")}},
         {DnsOutcome::no_data, {cname("alias.corp.test", "sql1.corp.test")}}}},
       full,
       {"alias.corp.test", full},
       {"10.0.0.1"}},
      {"a chain out of order, with a stranger's record",
       "a.test",
       search,
       {{"a.test",
         {.records = {a(full, "10.0.0.1"), a("x.test", "10.9.9.9"), cname("B.test.", "SQL1.corp.test."),
                      cname("a.test", "b.TEST")}},
         nodata}},
       full,
       {"a.test", "b.test", full},
       {"10.0.0.1"}},
      {"an alias that AAAA alone knows",
       "a.test",
       search,
       {{"a.test", {DnsOutcome::timeout}, {.records = {cname("a.test", full), aaaa(full, "::1")}}}},
       full,
       {"a.test", full},
       {"::1"}},
      {"an address of another form than announced is left out",
       "sql1.corp.test",
       search,
       {{full, {.records = {a(full, "nonsense"), a(full, "10.0.0.1")}}, nodata}},
       full,
       {full},
       {"10.0.0.1"}},
  };
}

TEST(Canonicaliser, Finds) {
  for (const Found &row : found_rows()) {
    SCOPED_TRACE(row.name);
    const End end = play(row.host, row.policy, row.script);
    const auto *facts = std::get_if<NameFacts>(&end);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->canonical, row.canonical);
    EXPECT_EQ(facts->chain, row.chain);
    EXPECT_EQ(facts->addresses, row.addresses);
    EXPECT_EQ(facts->via, "dns");
    EXPECT_EQ(facts->target, named(row.host));
  }
}

// Every script again, with every outcome in place of each of its rounds.
TEST(Canonicaliser, AFailureAtEveryStep) {
  for (const Found &row : found_rows())
    for (std::size_t step = 0; step < row.script.size(); ++step)
      for (const DnsOutcome outcome :
           {DnsOutcome::no_name, DnsOutcome::no_data, DnsOutcome::server_failure, DnsOutcome::refused,
            DnsOutcome::timeout, DnsOutcome::unreachable, DnsOutcome::malformed}) {
        SCOPED_TRACE(std::string(row.name) + ", round " + std::to_string(step) + ": " +
                     std::string(to_string(outcome)));
        std::vector<Round> script(row.script.begin(), row.script.begin() + static_cast<long>(step) + 1);
        script.back().a = script.back().aaaa = {outcome};
        Canonicaliser machine(named(row.host), row.policy);
        const End end = play(machine, script);
        ASSERT_FALSE(std::holds_alternative<NameFacts>(end));
        if (outcome == DnsOutcome::no_name || outcome == DnsOutcome::no_data) {
          // The search goes on, or was at its end.
          const auto *error = std::get_if<NameError>(&end);
          EXPECT_TRUE(!error || error->outcome == outcome);
          continue;
        }
        const auto *error = std::get_if<NameError>(&end);
        ASSERT_TRUE(error) << "a later suffix must not win over a name that may exist";
        EXPECT_EQ(error->outcome, outcome);
        EXPECT_EQ(error->name, script.back().asks);
        EXPECT_THAT(error->detail,
                    testing::EndsWith(script.back().asks + ": " + std::string(to_string(outcome))));
      }
}

struct Lost {
  const char *name;
  const char *host;
  std::vector<Round> script;
  DnsOutcome outcome;
  std::string last;
  std::string detail;
};

TEST(Canonicaliser, Loses) {
  const std::string nine = "n9.test";
  Records long_chain;
  for (int i = 0; i < 9; ++i)
    long_chain.push_back(cname("n" + std::to_string(i) + ".test", "n" + std::to_string(i + 1) + ".test"));
  long_chain.push_back(a(nine, "10.0.0.1"));

  const Lost rows[] = {
      {"nowhere",
       "sql1",
       {{full, nxdomain, nxdomain}, {"sql1.other.test", nxdomain, nxdomain}, {"sql1", nxdomain, nxdomain}},
       DnsOutcome::no_name,
       "sql1",
       "sql1.corp.test: nxdomain; sql1.other.test: nxdomain; sql1: nxdomain"},
      {"there, but without addresses",
       "x.test.",
       {{"x.test", nodata, nxdomain}},
       DnsOutcome::no_data,
       "x.test",
       "x.test: nodata"},
      {"an answer without records",
       "x.test.",
       {{"x.test", {}, {}}},
       DnsOutcome::no_data,
       "x.test",
       "x.test: nodata"},
      {"records of others only",
       "x.test.",
       {{"x.test", {.records = {a("y.test", "10.0.0.1")}}, nodata}},
       DnsOutcome::no_data,
       "x.test",
       "x.test: nodata"},
      {"one family failed, the other says nothing",
       "x.test",
       {{"x.test", nodata, {DnsOutcome::server_failure}}},
       DnsOutcome::server_failure,
       "x.test",
       "x.test: servfail"},
      {"a dangling alias ends the search",
       "alias",
       {{"alias.corp.test",
         {DnsOutcome::no_name, {cname("alias.corp.test", "gone.test")}},
         {DnsOutcome::no_name, {cname("alias.corp.test", "gone.test")}}}},
       DnsOutcome::no_name,
       "alias.corp.test",
       "alias.corp.test -> gone.test: nxdomain"},
      {"a loop",
       "a.test",
       {{"a.test", {.records = {cname("a.test", "b.test"), cname("b.test", "a.test")}}, nodata}},
       DnsOutcome::malformed,
       "a.test",
       "a.test -> b.test: malformed"},
      {"an alias of itself",
       "a.test",
       {{"a.test", {.records = {cname("a.test", "A.test.")}}, nodata}},
       DnsOutcome::malformed,
       "a.test",
       "a.test: malformed"},
      {"nine links",
       "n0.test",
       {{"n0.test", {.records = long_chain}, nodata}},
       DnsOutcome::malformed,
       "n0.test",
       "n0.test -> n1.test -> n2.test -> n3.test -> n4.test -> n5.test -> n6.test -> n7.test -> n8.test: malformed"},
      {"an alias that would be a realm",
       "a.test",
       {{"a.test",
         {.records = {cname("a.test", "sql1@EVIL.TEST"), a("sql1@evil.test", "10.0.0.1")}},
         nodata}},
       DnsOutcome::malformed,
       "a.test",
       "a.test: malformed"},
      {"an alias that would be another service",
       "a.test",
       {{"a.test", {.records = {cname("a.test", "x/sql1.test")}}, nodata}},
       DnsOutcome::malformed,
       "a.test",
       "a.test: malformed"},
      {"a name that is none",
       "bad name",
       {},
       DnsOutcome::malformed,
       "bad name",
       "the host name holds a character that no host name has: only letters, digits, '-', '_' and '.' are"},
      {"no name at all", "", {}, DnsOutcome::malformed, "", "the host name is empty"},
  };
  for (const Lost &row : rows) {
    SCOPED_TRACE(row.name);
    const End end = play(row.host, search, row.script);
    const auto *error = std::get_if<NameError>(&end);
    ASSERT_TRUE(error);
    EXPECT_EQ(to_string(error->outcome), to_string(row.outcome));
    EXPECT_EQ(error->name, row.last);
    EXPECT_EQ(error->detail, row.detail);
  }
}

TEST(Canonicaliser, EightLinksAreFollowed) {
  Records records;
  for (int i = 0; i < 8; ++i)
    records.push_back(cname("n" + std::to_string(i) + ".test", "n" + std::to_string(i + 1) + ".test"));
  records.push_back(a("n8.test", "10.0.0.1"));
  const End end = play("n0.test", search, {{"n0.test", {.records = records}, nodata}});
  ASSERT_TRUE(std::holds_alternative<NameFacts>(end));
  EXPECT_EQ(std::get<NameFacts>(end).canonical, "n8.test");
  EXPECT_EQ(std::get<NameFacts>(end).chain.size(), 9u);
}

TEST(Canonicaliser, AddressesAskNothing) {
  for (const std::string address : {"10.0.0.1", "2001:db8::1"}) {
    Target target = named(address);
    target.is_address = true;
    Canonicaliser machine(target, search);
    const auto facts = std::get<NameFacts>(machine.next());
    EXPECT_EQ(facts.canonical, address);
    EXPECT_THAT(facts.addresses, ElementsAre(address));
    EXPECT_THAT(facts.chain, ElementsAre(address));
    EXPECT_EQ(facts.via, "address");
  }
}

TEST(Canonicaliser, LocalhostAsksNothing) {
  for (const std::string host : {"localhost", "LOCALHOST.", "db.localhost"}) {
    Canonicaliser machine(named(host), search);
    const auto facts = std::get<NameFacts>(machine.next());
    EXPECT_THAT(facts.addresses, ElementsAre("127.0.0.1", "::1"));
    EXPECT_EQ(facts.via, "localhost");
    EXPECT_EQ(facts.canonical, host == "db.localhost" ? host : "localhost");
  }
  Canonicaliser machine(named("localhost.corp.test"), search);
  EXPECT_TRUE(std::holds_alternative<AskDns>(machine.next())) << "only the last label makes it local";
}

TEST(Canonicaliser, AnAnswerThatNobodyAskedForIsIgnored) {
  Canonicaliser machine(named("sql1.corp.test"), search);
  machine.answer({{.question = {full, DnsType::a},
                   .outcome = DnsOutcome::ok,
                   .records = {a(full, "10.6.6.6")},
                   .server = {},
                   .cached = false,
                   .took = {}}});
  EXPECT_TRUE(std::holds_alternative<AskDns>(machine.next()));
  machine.answer({});
  EXPECT_TRUE(std::holds_alternative<AskDns>(machine.next())) << "no answer at all: asked again";
}

TEST(Canonicaliser, Spellings) {
  const std::pair<DnsOutcome, const char *> outcomes[] = {{DnsOutcome::ok, "ok"},
                                                          {DnsOutcome::no_name, "nxdomain"},
                                                          {DnsOutcome::no_data, "nodata"},
                                                          {DnsOutcome::server_failure, "servfail"},
                                                          {DnsOutcome::refused, "refused"},
                                                          {DnsOutcome::timeout, "timeout"},
                                                          {DnsOutcome::unreachable, "unreachable"},
                                                          {DnsOutcome::malformed, "malformed"}};
  for (const auto &[outcome, text] : outcomes)
    EXPECT_EQ(to_string(outcome), text);
  EXPECT_EQ(to_string(DnsType::a), "A");
  EXPECT_EQ(to_string(DnsType::aaaa), "AAAA");
  EXPECT_EQ(to_string(DnsType::cname), "CNAME");
  EXPECT_EQ(to_string(DnsType::ptr), "PTR");
  EXPECT_EQ(to_string(DnsType::srv), "SRV");
}

/// A line of DNS data: what a question of that name and type brings.
using Zone = std::map<std::pair<std::string, DnsType>, Reply>;

/// Answers from the zone; what it does not hold is nxdomain. `asked` counts the questions by type.
NameFacts run(const std::string &typed, Procedures procedures, const Zone &zone,
              std::vector<std::string> *asked = nullptr) {
  Canonicaliser machine(parse_target(typed).value(), search, std::move(procedures));
  for (int round = 0; round < 8; ++round) {
    const auto action = machine.next();
    if (const auto *facts = std::get_if<NameFacts>(&action)) return *facts;
    if (const auto *error = std::get_if<NameError>(&action)) {
      ADD_FAILURE() << error->detail;
      return {};
    }
    std::vector<DnsAnswer> answers;
    for (const DnsQuestion &question : std::get<AskDns>(action).questions) {
      if (asked) asked->push_back(std::string(to_string(question.type)) + " " + question.name);
      const auto found = zone.find({question.name, question.type});
      const Reply &reply = found == zone.end() ? nxdomain : found->second;
      answers.push_back(
          {.question = question, .outcome = reply.outcome, .records = reply.records, .server = {}});
    }
    machine.answer(std::move(answers));
  }
  ADD_FAILURE() << "does not end";
  return {};
}

DnsRecord ptr(const std::string &owner, const std::string &name) { return {owner, DnsType::ptr, name, 60s}; }

const std::string r1 = "1.0.0.10.in-addr.arpa", r2 = "2.0.0.10.in-addr.arpa";

/// sql1 with a PTR; sqlalias, an alias of an alias; pair with two addresses and PTRs that differ; odd ones
/// by the name of their fault.
Zone corp() {
  const auto host = [](const std::string &name, const std::string &address) {
    return Reply{.records = {a(name, address)}};
  };
  return {
      {{full, DnsType::a}, host(full, "10.0.0.1")},
      {{r1, DnsType::ptr}, {.records = {ptr(r1, "SQL1.Corp.Test.")}}},
      {{"sqlalias.corp.test", DnsType::a},
       {.records = {cname("sqlalias.corp.test", "mid.corp.test"), cname("mid.corp.test", full),
                    a(full, "10.0.0.1")}}},
      {{"pair.corp.test", DnsType::a},
       {.records = {a("pair.corp.test", "10.0.0.2"), a("pair.corp.test", "10.0.0.1")}}},
      {{r2, DnsType::ptr},
       {.records = {ptr(r2, "node2.corp.test"), ptr(r2, "other.corp.test"), ptr(r2, "node2.corp.test")}}},
      {{"noptr.corp.test", DnsType::a}, host("noptr.corp.test", "10.0.0.3")},
      {{"mute.corp.test", DnsType::a}, host("mute.corp.test", "10.0.0.4")},
      {{"4.0.0.10.in-addr.arpa", DnsType::ptr}, {DnsOutcome::timeout}},
      {{"bad.corp.test", DnsType::a}, host("bad.corp.test", "10.0.0.5")},
      {{"5.0.0.10.in-addr.arpa", DnsType::ptr},
       {.records = {ptr("x", "sql1@EVIL.TEST"), ptr("x", "10.0.0.9")}}},
      {{"cidr.corp.test", DnsType::a}, host("cidr.corp.test", "10.0.0.6")},
      {{"6.0.0.10.in-addr.arpa", DnsType::ptr},
       {.records = {cname("6.0.0.10.in-addr.arpa", "6.0/25.0.0.10.in-addr.arpa"),
                    ptr("6.0/25.0.0.10.in-addr.arpa", "cidr.net.test")}}},
      {{"six.corp.test", DnsType::aaaa}, {.records = {aaaa("six.corp.test", "2001:db8::5")}}},
      {{"5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DnsType::ptr},
       {.records = {ptr("x", "v6.corp.test")}}},
  };
}

TEST(Canonicaliser, ByEachProcedure) {
  using enum Procedure;
  const struct {
    const char *typed;
    std::vector<Procedure> order;
    const char *canonical;
    Procedure by;
  } rows[] = {
      {"sqlalias", {as_typed}, "sqlalias", as_typed},
      {"SQLAlias.Corp.Test.", {as_typed}, "sqlalias.corp.test", as_typed},
      {"sqlalias", {short_only}, "sql1.corp.test", short_only},
      {"sqlalias.corp.test", {short_only}, "sqlalias.corp.test", short_only},
      {"sqlalias.corp.test", {forward}, "sql1.corp.test", forward},
      {"tcp:sqlalias,1433", {forward}, "sql1.corp.test", forward},
      {"sqlalias\\INST,1433", {forward}, "sql1.corp.test", forward},
      {"sqlalias", {forward_reverse}, "sql1.corp.test", forward_reverse},
      {"pair", {forward_reverse}, "node2.corp.test", forward_reverse},
      {"pair", {forward}, "pair.corp.test", forward},
      {"noptr", {forward_reverse}, "noptr", as_typed},
      {"noptr", {forward_reverse, forward}, "noptr.corp.test", forward},
      {"mute", {forward_reverse, forward}, "mute.corp.test", forward},
      {"bad", {forward_reverse, forward}, "bad.corp.test", forward},
      {"cidr", {forward_reverse}, "cidr.net.test", forward_reverse},
      {"six", {forward_reverse}, "v6.corp.test", forward_reverse},
      {"sql1", {reverse}, "sql1", as_typed},
      {"10.0.0.1", {reverse}, "sql1.corp.test", reverse},
      {"[2001:db8::5],1433", {reverse}, "v6.corp.test", reverse},
      {"10.0.0.1", {forward, reverse}, "sql1.corp.test", reverse},
      {"10.0.0.1", {forward}, "10.0.0.1", as_typed},
      {"10.0.0.1", {forward_reverse}, "10.0.0.1", as_typed},
      {"10.0.0.1", {short_only, reverse}, "10.0.0.1", short_only},
      {"10.0.0.9", {reverse}, "10.0.0.9", as_typed},
      {"sql1", {map, forward}, "sql1.corp.test", forward},
      {"noptr", {map, forward}, "mapped.corp.test", map},
      {"127.0.0.1,14330", {map, reverse}, "sql9.corp.test", map},
      {".", {map}, "localhost", as_typed},
      {"(local)", {forward_reverse, forward}, "localhost", forward},
      {"sql1", {}, "sql1", as_typed},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(std::string(row.typed) + " by " +
                 (row.order.empty() ? "" : std::string(to_string(row.order[0]))));
    const auto facts =
        run(row.typed, {row.order, {{"NO*", "Mapped.Corp.Test."}, {"127.*", "sql9.corp.test"}}}, corp());
    EXPECT_EQ(facts.canonical, row.canonical);
    EXPECT_EQ(to_string(facts.by), to_string(row.by));
    EXPECT_FALSE(facts.addresses.empty());
  }
}

TEST(Canonicaliser, PtrsAreAskedOnlyWhereAProcedureThatCountsNeedsThem) {
  using enum Procedure;
  const struct {
    std::vector<Procedure> order;
    bool asks;
  } rows[] = {{{forward}, false},
              {{as_typed}, false},
              {{forward, forward_reverse}, false},
              {{forward_reverse}, true},
              {{reverse}, false},
              {{map, forward_reverse, forward}, true},
              {{reverse, forward}, false},
              {{short_only, forward_reverse}, false}};
  for (const auto &row : rows) {
    std::vector<std::string> asked;
    run("sql1", {row.order, {}}, corp(), &asked);
    EXPECT_EQ(std::ranges::find(asked, "PTR " + r1) != asked.end(), row.asks) << to_string(row.order[0]);
  }
}

TEST(Canonicaliser, KeepsWhatEveryPtrSaid) {
  const auto facts = run("pair", {{Procedure::forward_reverse}, {}}, corp());
  EXPECT_THAT(facts.reverse,
              ElementsAre(ReverseFact{"10.0.0.2", DnsOutcome::ok, {"node2.corp.test", "other.corp.test"}},
                          ReverseFact{"10.0.0.1", DnsOutcome::ok, {"sql1.corp.test"}}));
  EXPECT_EQ(facts.forward(), "pair.corp.test");
  const auto silent = run("mute", {{Procedure::forward_reverse}, {}}, corp());
  EXPECT_THAT(silent.reverse, ElementsAre(ReverseFact{"10.0.0.4", DnsOutcome::timeout, {}}));
  const auto bad = run("bad", {{Procedure::forward_reverse}, {}}, corp());
  EXPECT_THAT(bad.reverse, ElementsAre(ReverseFact{"10.0.0.5", DnsOutcome::no_data, {}}))
      << "names that no SPN can hold";
}

TEST(Canonicaliser, OfManyAddressesAFewAreAsked) {
  Zone zone;
  Reply many;
  for (int i = 1; i <= 9; ++i)
    many.records.push_back(a(full, "10.0.0." + std::to_string(i)));
  zone[{full, DnsType::a}] = many;
  const auto facts = run("sql1", {{Procedure::forward_reverse, Procedure::forward}, {}}, zone);
  EXPECT_EQ(facts.addresses.size(), 9u);
  EXPECT_EQ(facts.reverse.size(), most_reversed);
}

TEST(Canonicaliser, NamesOfPtrRecords) {
  EXPECT_EQ(reverse_name("10.1.2.254"), "254.2.1.10.in-addr.arpa");
  EXPECT_EQ(reverse_name("2001:db8::5"),
            "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  EXPECT_EQ(reverse_name("sql1"), "");
}

TEST(Canonicaliser, SpellingsOfProcedures) {
  for (const std::string_view text :
       {"as-typed", "short-only", "forward", "forward-reverse", "reverse", "map"})
    EXPECT_EQ(to_string(find_procedure(text).value()), text);
  EXPECT_FALSE(find_procedure("backward"));
}

} // namespace
} // namespace auth
