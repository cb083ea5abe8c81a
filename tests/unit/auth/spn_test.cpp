#include "auth/spn.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace auth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

KerberosConfig config() {
  KerberosConfig result;
  result.domain_realm = {{".corp.test", "CORP.TEST"}, {"odd.corp.test", "ODD.TEST"}};
  return result;
}

NameFacts facts(const std::string &canonical) {
  NameFacts result;
  result.canonical = canonical;
  return result;
}

struct Row {
  const char *canonical;
  std::uint16_t port;
  const char *explicit_spn;
  const char *identity_realm;
  std::vector<SpnCandidate> expected;
};

TEST(Spn, Candidates) {
  const Row rows[] = {
      {"sql1.corp.test",
       1433,
       "",
       "USERS.TEST",
       {{"MSSQLSvc/sql1.corp.test:1433@CORP.TEST", Why::port, "domain-realm"}}},
      {"odd.corp.test",
       14330,
       "",
       "",
       {{"MSSQLSvc/odd.corp.test:14330@ODD.TEST", Why::port, "domain-realm"}}},
      {"sql1.other.test",
       1433,
       "",
       "USERS.TEST",
       {{"MSSQLSvc/sql1.other.test:1433@USERS.TEST", Why::port, "referral"}}},
      {"10.0.0.1", 1433, "", "USERS.TEST", {{"MSSQLSvc/10.0.0.1:1433@USERS.TEST", Why::port, "referral"}}},
      {"sql1.other.test", 1433, "", "", {}},
      {"x",
       1,
       "MSSQLSvc/sql9.corp.test:1@FIXED.TEST",
       "U",
       {{"MSSQLSvc/sql9.corp.test:1@FIXED.TEST", Why::explicit_spn, "explicit"}}},
      {"x",
       1,
       "MSSQLSvc/sql9.corp.test:INST",
       "U",
       {{"MSSQLSvc/sql9.corp.test:INST@CORP.TEST", Why::explicit_spn, "domain-realm"}}},
      {"sql1.corp.test",
       1,
       "MSSQLSvc/sql9.other.test",
       "U",
       {{"MSSQLSvc/sql9.other.test@U", Why::explicit_spn, "referral"}}},
      {"sql1.corp.test",
       1,
       "MSSQLSvc/sql9.corp.test@",
       "U",
       {{"MSSQLSvc/sql9.corp.test@CORP.TEST", Why::explicit_spn, "domain-realm"}}},
      {"sql1.corp.test", 1, "MSSQLSvc/sql9.other.test", "", {}},
  };
  for (const Row &row : rows) {
    SCOPED_TRACE(std::string(row.canonical) + " " + row.explicit_spn);
    EXPECT_EQ(spn_candidates(facts(row.canonical), row.port, row.explicit_spn, config(),
                             {.identity = row.identity_realm, .srv = {}},
                             {.order = {Why::explicit_spn, Why::port}}),
              row.expected);
  }
}

NameFacts facts_of(const std::string &typed, const std::string &canonical,
                   std::vector<ReverseFact> reverse = {}) {
  NameFacts result;
  result.target = *parse_target(typed);
  result.canonical = canonical;
  result.chain = {canonical};
  result.addresses = {"10.0.0.5"};
  result.reverse = std::move(reverse);
  return result;
}

std::vector<std::string> spns(const NameFacts &facts, std::uint16_t port, const SpnRules &rules = {}) {
  std::vector<std::string> texts;
  for (const auto &one :
       spn_candidates(facts, port, "", config(), {.identity = "CORP.TEST", .srv = {}}, rules))
    texts.push_back(std::string(to_string(one.why)) + " " + one.spn.substr(9, one.spn.rfind('@') - 9));
  return texts;
}

TEST(Spn, OfTheSmbServer) {
  EXPECT_EQ(smb_spn(facts("sql1.corp.test"), config(), {}),
            (SpnCandidate{"cifs/sql1.corp.test@CORP.TEST", Why::bare, "domain-realm"}));
  EXPECT_EQ(smb_spn(facts("sql1.other.test"), config(), {.identity = "USERS.TEST", .srv = {}}),
            (SpnCandidate{"cifs/sql1.other.test@USERS.TEST", Why::bare, "referral"}));
  EXPECT_EQ(smb_spn(facts("sql1.other.test"), config(), {}), std::nullopt);
}

TEST(Spn, EachReasonInTheOrderOfTheRules) {
  EXPECT_THAT(spns(facts_of("sqlalias", "sql1.corp.test"), 1433),
              ElementsAre("port sql1.corp.test:1433", "bare sql1.corp.test", "typed sqlalias:1433"));
  EXPECT_THAT(spns(facts_of("sql1.corp.test.,1433", "sql1.corp.test"), 1433),
              ElementsAre("port sql1.corp.test:1433", "bare sql1.corp.test"))
      << "each once";
  EXPECT_THAT(spns(facts_of("sql1.corp.test,14330", "sql1.corp.test"), 14330),
              ElementsAre("port sql1.corp.test:14330"))
      << "the bare one is another service's";
  EXPECT_THAT(spns(facts_of("sql1.corp.test\\INST,1433", "sql1.corp.test"), 1433),
              ElementsAre("port sql1.corp.test:1433", "instance sql1.corp.test:INST"));
  EXPECT_THAT(spns(facts_of("sql1", "sql1.corp.test"), 1433, {.order = {Why::typed, Why::bare}}),
              ElementsAre("typed sql1:1433", "bare sql1.corp.test"));
  EXPECT_THAT(spns(facts_of("np:sqlalias", "sql1.corp.test"), 445),
              ElementsAre("bare sql1.corp.test", "typed sqlalias"));
  EXPECT_THAT(spns(facts_of(R"(\\sqlalias\pipe\MSSQL$INST\sql\query)", "sql1.corp.test"), 445),
              ElementsAre("instance sql1.corp.test:INST", "typed sqlalias:INST"));
  const auto reversed =
      facts_of("sql1", "sql1.corp.test", {{"10.0.0.5", DnsOutcome::ok, {"a.corp.test", "b.corp.test"}}});
  EXPECT_THAT(
      spns(reversed, 1433, {.order = {Why::reverse, Why::port}}),
      ElementsAre("reverse a.corp.test:1433", "reverse b.corp.test:1433", "port sql1.corp.test:1433"));
  EXPECT_THAT(spns(reversed, 1433, {.order = {Why::port}}), ElementsAre("port sql1.corp.test:1433"))
      << "off where it is not named";
  EXPECT_THAT(spns(reversed, 1433, {.order = {}}), IsEmpty());
}

TEST(Spn, RealmByTheFirstSourceThatKnows) {
  using enum RealmFrom;
  auto with_default = config();
  with_default.default_realm = "DEFAULT.TEST";
  const struct {
    const char *host;
    RealmFacts realms;
    std::vector<RealmFrom> order;
    const char *realm;
    const char *from;
  } rows[] = {
      {"sql1.corp.test",
       {"ID.TEST", "SRV.TEST"},
       {domain_realm, srv, referral, default_realm},
       "CORP.TEST",
       "domain-realm"},
      {"sql1.corp.test",
       {"ID.TEST", "SRV.TEST"},
       {srv, domain_realm, referral, default_realm},
       "SRV.TEST",
       "srv"},
      {"sql1.else.test",
       {"ID.TEST", "SRV.TEST"},
       {domain_realm, srv, referral, default_realm},
       "SRV.TEST",
       "srv"},
      {"sql1.else.test",
       {"ID.TEST", ""},
       {domain_realm, srv, referral, default_realm},
       "ID.TEST",
       "referral"},
      {"sql1.else.test", {"", ""}, {domain_realm, srv, referral, default_realm}, "DEFAULT.TEST", "default"},
      {"sql1.else.test", {"ID.TEST", ""}, {domain_realm, default_realm, referral}, "DEFAULT.TEST", "default"},
      {"sql1.else.test", {"ID.TEST", "SRV.TEST"}, {explicit_realm, domain_realm}, "", ""},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(std::string(row.host) + " " + row.from);
    const auto found = spn_candidates(facts(row.host), 1433, "", with_default, row.realms,
                                      {.order = {Why::port}, .realms = row.order});
    ASSERT_EQ(found.size(), *row.realm ? 1u : 0u);
    if (found.empty()) continue;
    EXPECT_EQ(spn_realm(found[0].spn), row.realm);
    EXPECT_EQ(found[0].realm_from, row.from);
  }
}

TEST(Spn, AShortNameHasTheRealmOfItsCanonicalName) {
  const auto found = spn_candidates(facts_of("sql1", "sql1.corp.test"), 1433, "", config(),
                                    {.identity = "USERS.TEST", .srv = {}}, {.order = {Why::typed}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].spn, "MSSQLSvc/sql1:1433@CORP.TEST");
}

TEST(Spn, SrvQuestionsFromTheLongestSuffix) {
  const auto names = [](const std::string &host, const SpnRules &rules = {}) {
    std::vector<std::string> asked;
    for (const auto &question : realm_questions(host, config(), rules)) {
      EXPECT_EQ(question.type, DnsType::srv);
      asked.push_back(question.name);
    }
    return asked;
  };
  EXPECT_THAT(names("sql1.a.b.test"), ElementsAre("_kerberos._tcp.a.b.test", "_kerberos._tcp.b.test"));
  EXPECT_THAT(names("sql1.corp.test"), IsEmpty()) << "domain_realm knows it already";
  EXPECT_THAT(names("sql1.corp.test", {.realms = {RealmFrom::srv}}), ElementsAre("_kerberos._tcp.corp.test"));
  EXPECT_THAT(names("sql1.b.test", {.realms = {RealmFrom::referral}}), IsEmpty());
  EXPECT_THAT(names("sql1"), IsEmpty());
  EXPECT_THAT(names("sql1.test"), IsEmpty()) << "a top-level domain is nobody's realm";
  EXPECT_THAT(names("10.0.0.1"), IsEmpty());
  EXPECT_EQ(names("x.a.b.c.d.e.f.g.test").size(), 4u);
}

TEST(Spn, SrvAnswersTellTheRealm) {
  const auto answer = [](const std::string &suffix, DnsOutcome outcome, DnsType type = DnsType::srv) {
    DnsAnswer made{.question = {"_kerberos._tcp." + suffix, DnsType::srv},
                   .outcome = outcome,
                   .records = {},
                   .server = {}};
    if (outcome == DnsOutcome::ok)
      made.records.push_back({made.question.name, type, "0 0 88 kdc.corp.test", std::chrono::seconds(60)});
    return made;
  };
  using enum DnsOutcome;
  EXPECT_EQ(realm_of_srv({answer("eu.corp.test", ok), answer("corp.test", ok)}), "EU.CORP.TEST");
  EXPECT_EQ(realm_of_srv({answer("eu.corp.test", no_name), answer("corp.test", ok)}), "CORP.TEST");
  EXPECT_EQ(realm_of_srv({answer("eu.corp.test", timeout), answer("corp.test", no_data)}), "");
  EXPECT_EQ(realm_of_srv({answer("corp.test", ok, DnsType::cname)}), "") << "an alias that leads nowhere";
  EXPECT_EQ(realm_of_srv({}), "");
}

/// KB811889's own example, shortened: sqlserver1.na.corp.test at 123.123.123.123.
TEST(Spn, TheArticlesFourShapesAndTheLookupToBlame) {
  const std::string right = "sqlserver1.na.corp.test";
  const auto ptr = [](std::string name) {
    return std::vector<ReverseFact>{{"123.123.123.123", DnsOutcome::ok, {std::move(name)}}};
  };
  const std::vector<ReverseFact> none{{"123.123.123.123", DnsOutcome::no_name, {}}};
  const struct {
    const char *name;
    NameFacts facts;
    const char *host;
    const char *text;
  } rows[] = {
      {"right", facts_of("SQLSERVER1", right, ptr(right)), "sqlserver1.na.corp.test", ""},
      {"short, as typed", facts_of("SQLSERVER1", right), "SQLSERVER1", "short-name (the name as typed)"},
      {"short, without PTR", facts_of("SQLSERVER1", right, none), "sqlserver1",
       "short-name (PTR of 123.123.123.123: nxdomain)"},
      {"short, by PTR", facts_of("sqlserver1", right, ptr("sqlserver1")), "sqlserver1",
       "short-name (PTR of 123.123.123.123: sqlserver1)"},
      {"address", facts_of("123.123.123.123", "123.123.123.123", none), "123.123.123.123",
       "address (PTR of 123.123.123.123: nxdomain)"},
      {"address, nothing asked", facts_of("123.123.123.123", "123.123.123.123"), "123.123.123.123",
       "address (an address as typed, and no PTR asked)"},
      {"wrong domain", facts_of("SQLSERVER1", right, ptr("sqlserver1.antarctica.corp.test")),
       "sqlserver1.antarctica.corp.test",
       "wrong-domain (PTR of 123.123.123.123: sqlserver1.antarctica.corp.test)"},
      {"extra label", facts_of("SQLSERVER1", right, ptr("sqlserver1.dns.na.corp.test")),
       "sqlserver1.dns.na.corp.test", "extra-label (PTR of 123.123.123.123: sqlserver1.dns.na.corp.test)"},
      {"another host", facts_of("SQLSERVER1", right, ptr("sql9.na.corp.test")), "sql9.na.corp.test",
       "other-host (PTR of 123.123.123.123: sql9.na.corp.test)"},
      {"an address's own PTR", facts_of("123.123.123.123", "sql9.na.corp.test", ptr("sql9.na.corp.test")),
       "sql9.na.corp.test", ""},
      {"a PTR that nobody used", facts_of("SQLSERVER1", right, ptr("sql9.na.corp.test")),
       "sqlserver1.na.corp.test", ""},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.name);
    const auto found = odd("MSSQLSvc/" + std::string(row.host) + ":1433@CORP.TEST", row.facts);
    EXPECT_EQ(found ? found->text() : "", row.text);
  }
  EXPECT_FALSE(odd("nothing", facts_of("a", "a")));
}

TEST(Spn, Parts) {
  struct {
    const char *spn;
    const char *host;
    const char *realm;
  } rows[] = {
      {"MSSQLSvc/sql1.corp.test:1433@CORP.TEST", "sql1.corp.test", "CORP.TEST"},
      {"MSSQLSvc/sql1.corp.test:INST", "sql1.corp.test", ""},
      {"MSSQLSvc/sql1.corp.test", "sql1.corp.test", ""},
      {"MSSQLSvc/sql1/other@R", "sql1", "R"},
      {"MSSQLSvc/::1:1433@R", "::1", "R"},
      {"MSSQLSvc/2001:db8::1", "2001:db8::1", ""},
      {"a@b@C", "", "C"},
      {"nothing", "", ""},
      {"", "", ""},
      {"/@", "", ""},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.spn);
    EXPECT_EQ(spn_host(row.spn), row.host);
    EXPECT_EQ(spn_realm(row.spn), row.realm);
  }
}

TEST(Spn, Spellings) {
  for (const std::string_view text : {"explicit", "port", "instance", "bare", "typed", "reverse"})
    EXPECT_EQ(to_string(find_why(text).value()), text);
  for (const std::string_view text : {"explicit", "domain-realm", "srv", "referral", "default"})
    EXPECT_EQ(to_string(find_realm_from(text).value()), text);
  EXPECT_FALSE(find_why("ptr"));
  EXPECT_FALSE(find_realm_from("identity"));
}

} // namespace
} // namespace auth
