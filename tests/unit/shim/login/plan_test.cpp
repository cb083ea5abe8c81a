#include "shim/login/plan.hpp"

#include <gmock/gmock.h>

namespace shim_test {
namespace {

using namespace shim;
using config::AttemptKind;
using testing::ElementsAre;

auth::NameFacts facts_of(const std::string &typed, const std::string &canonical = "sql1.corp.test") {
  auth::NameFacts facts;
  facts.target = *auth::parse_target(typed);
  facts.canonical = canonical;
  facts.addresses = {"10.0.0.5"};
  return facts;
}

const auth::KerberosConfig kerberos{
    .path = {}, .default_realm = {}, .domain_realm = {{".corp.test", "CORP.TEST"}}, .kdcs = {}, .naming = {}};

std::vector<std::string> plan(const config::Route &route, const auth::NameFacts &facts,
                              const std::string &realm = "", bool integrated = false) {
  std::vector<std::string> attempts;
  for (const auto &attempt :
       make_plan(route, route.spn, facts, kerberos, {.identity = realm, .srv = {}}, integrated)) {
    if (attempt.kind == AttemptKind::tcp_sql) EXPECT_FALSE(attempt.spn);
    attempts.push_back(attempt.text());
  }
  return attempts;
}

config::Route route_of(std::vector<AttemptKind> attempts) {
  config::Route route;
  route.attempts = std::move(attempts);
  route.spn_rules.order = {auth::Why::explicit_spn, auth::Why::port};
  return route;
}

TEST(FirstAddresses, BothFamiliesStay) {
  using testing::ElementsAre;
  const auto first = [](std::vector<std::string> addresses, std::size_t most) {
    return first_addresses(std::move(addresses), most);
  };
  EXPECT_THAT(first({"10.0.0.1", "::1"}, 2), ElementsAre("10.0.0.1", "::1"));
  EXPECT_THAT(first({"::1", "10.0.0.1"}, 2), ElementsAre("::1", "10.0.0.1")) << "as they came";
  EXPECT_THAT(first({"10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "::2", "::3"}, 4),
              ElementsAre("10.0.0.1", "10.0.0.2", "::1", "::2"));
  EXPECT_THAT(first({"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "::1"}, 3),
              ElementsAre("10.0.0.1", "10.0.0.2", "::1"));
  EXPECT_THAT(first({"10.0.0.1", "::1", "::2", "::3"}, 3), ElementsAre("10.0.0.1", "::1", "::2"));
  EXPECT_THAT(first({"10.0.0.1", "10.0.0.2", "10.0.0.3"}, 2), ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(first({"10.0.0.1", "::1"}, 1), ElementsAre("10.0.0.1"));
}

TEST(Plan, KerberosIsTheDefault) {
  EXPECT_THAT(plan({}, facts_of("sql1.corp.test")),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST",
                          "tcp+kerberos MSSQLSvc/sql1.corp.test@CORP.TEST"));
}

TEST(Plan, CandidatesInTheOrderOfTheRoute) {
  config::Route route;
  route.spn_rules.order = {auth::Why::typed, auth::Why::port};
  EXPECT_THAT(plan(route, facts_of("sql1")),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1:1433@CORP.TEST",
                          "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"));
}

TEST(Plan, PortIsAsTyped) {
  EXPECT_THAT(plan({}, facts_of("sql1.corp.test,14330")),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.corp.test:14330@CORP.TEST"));
}

TEST(Plan, AttemptsInTheOrderOfTheRoute) {
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_kerberos, AttemptKind::tcp_sql}), facts_of("sql1")),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST", "tcp+sql"));
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_sql, AttemptKind::tcp_kerberos}), facts_of("sql1")),
              ElementsAre("tcp+sql", "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"));
}

TEST(Plan, PasswordsNeedNoRealmAndNoSpn) {
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_sql}), facts_of("sql1", "sql1.other.test")),
              ElementsAre("tcp+sql"));
}

// What NTLM needs of Kerberos: nothing.
TEST(Plan, NtlmIsOneAttempt) {
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_kerberos, AttemptKind::tcp_ntlm}), facts_of("sql1")),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST", "tcp+ntlm"));
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_ntlm}), facts_of("sql1", "sql1.other.test"), "", true),
              ElementsAre("tcp+ntlm"));
}

TEST(Plan, WhatNtlmNames) {
  EXPECT_EQ(service_name("", facts_of("sql1")), "MSSQLSvc/sql1.corp.test:1433");
  EXPECT_EQ(service_name("", facts_of("sql1,1500")), "MSSQLSvc/sql1.corp.test:1500");
  EXPECT_EQ(service_name("MSSQLSvc/listener.corp.test:5022@CORP.TEST", facts_of("sql1")),
            "MSSQLSvc/listener.corp.test:5022");
  EXPECT_EQ(service_name("MSSQLSvc/listener.corp.test", facts_of("sql1")), "MSSQLSvc/listener.corp.test");
  EXPECT_EQ(ntlm_account("svc-reports@CORP.TEST", {{"CORP", "CORP.TEST"}}), R"(CORP\svc-reports)");
  EXPECT_EQ(ntlm_account("svc-reports@CORP.TEST", {{"OTHER", "OTHER.TEST"}}), R"(CORP.TEST\svc-reports)");
}

TEST(Plan, NoPasswordAttemptForAClientThatGaveNone) {
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_sql, AttemptKind::tcp_kerberos}), facts_of("sql1"), "", true),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"));
}

TEST(Plan, ExplicitSpnAlone) {
  config::Route route;
  route.spn = "MSSQLSvc/listener.corp.test:5022";
  EXPECT_THAT(plan(route, facts_of("sql1")),
              ElementsAre("tcp+kerberos MSSQLSvc/listener.corp.test:5022@CORP.TEST"));
  route.spn += "@OTHER.TEST";
  EXPECT_THAT(plan(route, facts_of("sql1")),
              ElementsAre("tcp+kerberos MSSQLSvc/listener.corp.test:5022@OTHER.TEST"));
  EXPECT_EQ(make_plan(route, route.spn, facts_of("sql1"), kerberos, {}, false)[0].spn->why,
            auth::Why::explicit_spn);
}

TEST(Plan, TheRoutesExplicitSpnHoldsForItsOwnTargetAlone) {
  config::Route route;
  route.spn = "MSSQLSvc/listener.corp.test:5022";
  const auto plan = make_plan(route, "", facts_of("sql2", "sql2.corp.test"), kerberos, {}, false);
  ASSERT_FALSE(plan.empty());
  EXPECT_EQ(plan[0].spn->spn, "MSSQLSvc/sql2.corp.test:1433@CORP.TEST")
      << "computed where a redirect has led";
}

TEST(Plan, RealmOfTheIdentityWhereTheDomainTellsNone) {
  const auto facts = facts_of("sql1", "sql1.other.test");
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_kerberos}), facts, "CORP.TEST"),
              ElementsAre("tcp+kerberos MSSQLSvc/sql1.other.test:1433@CORP.TEST"));
  EXPECT_EQ(
      make_plan({}, "", facts, kerberos, {.identity = "CORP.TEST", .srv = {}}, false)[0].spn->realm_from,
      "referral");
}

// It is in the plan, so that policy decides whether the next one may follow on it.
TEST(Plan, NoRealmNoSpn) {
  const auto facts = facts_of("sql1", "sql1.other.test");
  EXPECT_THAT(plan({}, facts), ElementsAre("tcp+kerberos"));
  EXPECT_THAT(plan(route_of({AttemptKind::tcp_kerberos, AttemptKind::tcp_sql}), facts),
              ElementsAre("tcp+kerberos", "tcp+sql"));
}

TEST(Plan, CanonicalNamesLeadOnlyWhereTheRouteSays) {
  config::Route route;
  auto facts = facts_of("sqlalias", "sql1.corp.test");
  EXPECT_FALSE(leads_too_far(route, facts)) << "no bound is written";
  route.canonical_within = {"lab.test", "Corp.Test"};
  EXPECT_FALSE(leads_too_far(route, facts));
  for (const char *name :
       {"sql1.evil.test", "sql1.evilcorp.test", "sql1.corp.test.evil.test", "sql1", "test"}) {
    facts.canonical = name;
    EXPECT_THAT(leads_too_far(route, facts).value_or(""),
                testing::HasSubstr("leads sqlalias to " + std::string(name)));
  }
  facts.by = auth::Procedure::map;
  EXPECT_FALSE(leads_too_far(route, facts)) << "the configuration's own";
  facts = facts_of("SQL1.Evil.Test.", "sql1.evil.test");
  EXPECT_FALSE(leads_too_far(route, facts)) << "the name as typed";
}

TEST(Plan, WithoutACertificateDnsLeadsOnlyWithinTheTargetsOwnDomain) {
  const auto led = [](config::Route route, const char *typed, const char *asked, const char *canonical) {
    auto facts = facts_of(typed, canonical);
    facts.chain = {asked, canonical};
    return leads_too_far(route, facts).value_or("");
  };
  using config::Encrypt;
  using testing::HasSubstr;
  for (const auto &[encrypt, trust] : {std::pair{Encrypt::off, false},
                                       {Encrypt::login, false},
                                       {Encrypt::require, true},
                                       {Encrypt::require, false},
                                       {Encrypt::strict, false}}) {
    config::Route route;
    route.encrypt = encrypt;
    route.trust_server_certificate = trust;
    EXPECT_EQ(led(route, "sql1", "sql1.corp.test", "sql1.corp.test"), "") << "completed";
    EXPECT_EQ(led(route, "sql1", "sql1.corp.test", "sql9.corp.test"), "");
    EXPECT_EQ(led(route, "a.corp.test", "a.corp.test", "sql1.db.corp.test"), "");
    for (const auto &[typed, asked] : {std::pair{"sql1", "sql1.corp.test"},
                                       {"a.corp.test", "a.corp.test"},
                                       {"sql1", "sql1"},
                                       {"10.0.0.5", "10.0.0.5"}}) {
      const auto foreign = led(route, typed, asked, "sql1.evil.test");
      if (route.verified_tls() && encrypt != Encrypt::login)
        EXPECT_EQ(foreign, "") << "it has to show its certificate";
      else
        EXPECT_THAT(foreign, HasSubstr("needs canonical_within")) << typed;
    }
    route.canonical_within = {"evil.test"};
    EXPECT_EQ(led(route, "sql1", "sql1.corp.test", "sql1.evil.test"), "") << "written otherwise";
  }
}

TEST(Plan, TheHostsFileIsNoDns) {
  config::Route route;
  route.encrypt = config::Encrypt::off;
  auto facts = facts_of("sql1", "sql1.other.test");
  facts.chain = {"sql1", "sql1.other.test"};
  facts.via = "hosts";
  EXPECT_FALSE(leads_too_far(route, facts));
  facts.by = auth::Procedure::forward_reverse; // a PTR's word
  facts.canonical = "sql1.evil.test";
  EXPECT_TRUE(leads_too_far(route, facts));
}

TEST(Plan, InstanceWithoutAPortNeedsSqlBrowser) {
  EXPECT_FALSE(needs_browser(*auth::parse_target("sql1")));
  EXPECT_FALSE(needs_browser(*auth::parse_target("sql1,1433")));
  EXPECT_TRUE(needs_browser(*auth::parse_target("sql1\\INST")));
  EXPECT_FALSE(needs_browser(*auth::parse_target("sql1\\INST,1433")));
}

TEST(Plan, PortOf) {
  EXPECT_EQ(port_of(*auth::parse_target("sql1")), 1433);
  EXPECT_EQ(port_of(*auth::parse_target("sql1,1")), 1);
}

} // namespace
} // namespace shim_test
