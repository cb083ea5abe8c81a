// `sqlshim explain` in a real lab: it says what the proxy says, of a login that succeeds and of every fault;
// and `sqlshim log --follow`.
#include "shim/diagnosis/diagnose.hpp"
#include "shim/log/render.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/tsql.hpp"

#include <csignal>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <regex>

namespace {

using namespace testing;

/// Standard output alone: warnings about the lab's configuration go to standard error.
lab::Finished explain(const lab::Lab &lab, const std::vector<std::string> &arguments,
                      const lab::Environment &environment = {}) {
  lab::Command command;
  command.argv = {"sh", "-c", "exec \"$0\" explain \"$@\" 2>/dev/null", lab::program_folder() / "sqlshim"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.environment = lab.environment();
  command.environment.insert(environment.begin(), environment.end());
  return lab::run(std::move(command));
}

/// A target as the lab's routes have it.
std::string target(const lab::Lab &lab, const std::string &host) {
  return lab.sql_port() == 1433 ? host : host + "," + std::to_string(lab.sql_port());
}

std::vector<shim::Record> records_in(const nlohmann::json &explanation) {
  std::string lines;
  for (const auto &record : explanation["records"])
    lines += record.dump() + "\n";
  return test::records_of(lines);
}

/// A running sqlshim has noticed nothing: its log tells of its start and of no login.
void expect_unnoticed(const lab::Lab &lab) {
  for (const auto &record : test::records_of(lab.decisions()))
    EXPECT_TRUE(std::holds_alternative<shim::Started>(record.event) ||
                std::holds_alternative<shim::Warned>(record.event))
        << shim::to_text(record);
}

bool was_connected_to(lab::Lab &lab) { return !lab.peer().record(1).empty(); }

TEST(Explain, ALoginThatSucceeds) {
  lab::Lab lab;
  const auto ran = explain(lab, {target(lab, "sqlalias.corp.test"), "--connect"});
  EXPECT_EQ(ran.status, 0) << ran.output;
  const auto spn = lab.spn();
  EXPECT_THAT(ran.output, HasSubstr("route     alias"));
  EXPECT_THAT(ran.output, HasSubstr("reports (svc-reports@CORP.TEST)"));
  EXPECT_THAT(ran.output, HasSubstr("CNAME sql1.corp.test, A " + lab.block().server(0)));
  EXPECT_THAT(ran.output, HasSubstr("canonical name  sql1.corp.test"));
  EXPECT_THAT(ran.output, HasSubstr(spn + "  canonical name and port  ticket: aes256"));
  EXPECT_THAT(ran.output, HasSubstr("1.  tcp+kerberos " + spn + "  ok"));
  EXPECT_THAT(ran.output, HasSubstr("TGS  ticket"));
  EXPECT_THAT(ran.output, HasSubstr("the server has proven itself"));
  EXPECT_THAT(ran.output, HasSubstr("LOGINACK     TDS 7.4, database master, packet size 4096"));
  EXPECT_THAT(ran.output, HasSubstr("ok: the login succeeds; the session's auth_scheme is KERBEROS."));
  EXPECT_THAT(ran.output, Not(HasSubstr("\033"))) << "no colour in a pipe";

  const auto record = lab.peer().record(1);
  EXPECT_EQ(record["login7"]["app"], "sqlshim explain") << record.dump(1);
  EXPECT_TRUE(lab.peer().record(2).empty()) << "one login, and no more";
  expect_unnoticed(lab);
}

TEST(Explain, WithoutConnectNoServerIsConnectedTo) {
  lab::Lab lab;
  const auto ran = explain(lab, {target(lab, "sql1.corp.test")});
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_THAT(ran.output,
              AllOf(HasSubstr("ticket: aes256"), HasSubstr("ok: a login would get as far as connecting")));
  EXPECT_THAT(ran.output, Not(HasSubstr("LOGINACK")));
  EXPECT_FALSE(was_connected_to(lab));
  expect_unnoticed(lab);
}

TEST(Explain, NoDecisionLogIsMade) {
  lab::Lab lab({.serve = false});
  EXPECT_EQ(explain(lab, {target(lab, "sql1.corp.test"), "--connect"}).status, 0);
  EXPECT_FALSE(lab::fs::exists(lab.folder() / "decisions.jsonl"));
}

TEST(Explain, ATargetWithoutRouteGetsDefaults) {
  lab::Lab lab({.hosts = {"sql2"}, .serve = false});
  // Defaults trust what the system trusts: here, as OpenSSL's environment has it, the lab's authority.
  const auto ran = explain(lab, {target(lab, "sql2.corp.test"), "--connect"},
                           {{"SSL_CERT_FILE", lab.folder() / "ca.pem"}});
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("no route has this target: defaults, with the first identity"));
  EXPECT_THAT(ran.output, HasSubstr("MSSQLSvc/sql2.corp.test:"));
  EXPECT_THAT(explain(lab, {target(lab, "sql2.corp.test"), "--connect"}).output,
              HasSubstr("certificate-untrusted"));
  const auto json = nlohmann::json::parse(explain(lab, {target(lab, "sql2.corp.test"), "--json"}).output);
  EXPECT_EQ(json["route"], "");
  EXPECT_EQ(test::events_of<shim::PolicyDecided>(records_in(json)).at(0).rule, "defaults");
}

TEST(Explain, ByTheNameOfTheRoute) {
  lab::Lab lab({.serve = false});
  const auto its_own = explain(lab, {"--route", "alias", "--json"});
  EXPECT_EQ(its_own.status, 0);
  EXPECT_EQ(nlohmann::json::parse(its_own.output)["target"], target(lab, "sqlalias.corp.test"));
  const auto another = explain(lab, {target(lab, "sql1.corp.test"), "--route", "alias", "--json"});
  EXPECT_EQ(nlohmann::json::parse(another.output)["target"], target(lab, "sql1.corp.test"));
  EXPECT_EQ(nlohmann::json::parse(another.output)["route"], "alias");
}

TEST(Explain, ARouteThatSendsTheClientsPasswordOn) {
  lab::Lab lab({.serve = false, .change = [](lab::Plan &plan) {
                  plan.fallback_keys.clear();
                  plan.route_extra = "attempts = [\"tcp+sql\"]\nunprotected = \"accept\"\n";
                }});
  const auto planned = explain(lab, {"--route", "reports"});
  EXPECT_EQ(planned.status, 0) << planned.output;
  EXPECT_THAT(planned.output, AllOf(HasSubstr("1.  tcp+sql"), HasSubstr("no ticket is needed")));
  const auto tried = explain(lab, {"--route", "reports", "--connect"});
  EXPECT_EQ(tried.status, 2) << tried.output;
  EXPECT_THAT(tried.output,
              AllOf(HasSubstr("login not tried"), HasSubstr("user and password"), Not(HasSubstr("ok:"))));
  EXPECT_FALSE(was_connected_to(lab));
}

TEST(Explain, WithoutAPasswordOnlyKerberosIsLeftOfAMixedRoute) {
  lab::Lab lab({.serve = false, .change = [](lab::Plan &plan) {
                  plan.fallback_keys.clear();
                  plan.route_extra = "attempts = [\"tcp+sql\", \"tcp+kerberos\"]\nunprotected = \"accept\"\n";
                }});
  const auto planned = explain(lab, {"--route", "reports"});
  EXPECT_THAT(planned.output,
              AllOf(HasSubstr("1.  tcp+sql"), HasSubstr("2.  tcp+kerberos"), HasSubstr("ticket: aes")))
      << "every SPN candidate is asked for, also one that the login would not come to";
  const auto tried = explain(lab, {"--route", "reports", "--connect"});
  EXPECT_EQ(tried.status, 0) << tried.output;
  EXPECT_THAT(tried.output, AllOf(Not(HasSubstr("tcp+sql")), HasSubstr("KERBEROS")));
}

TEST(Explain, WhatALoginWouldNotComeToIsNoPartOfTheDiagnosis) {
  lab::Lab lab({.fault = "spn-missing", .serve = false, .change = [](lab::Plan &plan) {
                  plan.fallback_keys.clear();
                  plan.route_extra = "attempts = [\"tcp+sql\", \"tcp+kerberos\"]\nunprotected = \"accept\"\n";
                }});
  const auto planned = explain(lab, {"--route", "reports"});
  EXPECT_EQ(planned.status, 0) << "the login would begin with tcp+sql: " << planned.output;
  EXPECT_THAT(planned.output, HasSubstr("service-unknown: 7"));
}

// --- the second opinion: FreeTDS, directly at the server
// --------------------------------------------------------------------------------------------

/// The first entry of "control", which is of canonical name and port, in `explain
/// --connect --control --json`.
nlohmann::json second_opinion(lab::LabOptions options) {
  options.serve = false;
  lab::Lab lab(std::move(options));
  const auto ran = explain(lab, {target(lab, "sql1.corp.test"), "--connect", "--control", "--json"});
  const auto json = nlohmann::json::parse(ran.output, nullptr, false);
  EXPECT_TRUE(json.is_object()) << ran.output;
  EXPECT_GE(json["control"].size(), 1u) << ran.output;
  return json["control"].at(0);
}

TEST(Control, AgreesAboutALoginThatSucceeds) {
  for (const auto *encrypt : {"off", "login", "require"}) {
    const auto told = second_opinion({.server_encrypt = encrypt});
    EXPECT_EQ(told["sqlshim"], "ok") << encrypt;
    EXPECT_EQ(told["freetds"], "accepted") << told.dump();
    EXPECT_EQ(told["said"], "KERBEROS");
    EXPECT_EQ(told["agree"], true);
  }
}

TEST(Control, AgreesWhereTheServerIsAtFault) {
  for (const auto *fault : {"spn-wrong-account", "login-denied"}) {
    const auto told = second_opinion({.fault = fault});
    EXPECT_EQ(told["sqlshim"], fault);
    EXPECT_EQ(told["freetds"], "refused") << told.dump();
    EXPECT_NE(told["said"], "");
    EXPECT_EQ(told["agree"], true);
  }
}

TEST(Control, DisagreesWhereSqlshimIsStricter) {
  const auto told = second_opinion({.change = [](lab::Plan &plan) { plan.peer.omit_sspi_token = true; }});
  EXPECT_EQ(told["sqlshim"], "mutual-auth-missing");
  EXPECT_EQ(told["freetds"], "accepted") << told.dump();
  EXPECT_EQ(told["agree"], false);
}

TEST(Control, SaysWhatFreeTdsCannotDo) {
  const auto bound = second_opinion({.epa = "required"});
  EXPECT_EQ(bound["agree"], false) << bound.dump();
  EXPECT_THAT(bound["note"].get<std::string>(), HasSubstr("channel binding"));
  const auto strict = second_opinion({.server_encrypt = "strict"});
  EXPECT_EQ(strict["freetds"], "not tried") << strict.dump();
  EXPECT_THAT(strict["said"].get<std::string>(), HasSubstr("TDS 8.0"));
  EXPECT_TRUE(strict["agree"].is_null());
}

TEST(Control, WithoutATicketThereIsNothingToTry) {
  const auto told = second_opinion({.fault = "spn-missing"});
  EXPECT_EQ(told["freetds"], "not tried");
  EXPECT_THAT(told["said"].get<std::string>(), HasSubstr("no ticket"));
}

TEST(Control, LogsInByItself) {
  lab::Lab lab({.serve = false});
  const auto ran = explain(lab, {target(lab, "sql1.corp.test"), "--connect", "--control"});
  EXPECT_THAT(ran.output, HasSubstr("they agree"));
  EXPECT_EQ(lab.peer().record(1)["login7"]["app"], "sqlshim explain");
  EXPECT_EQ(lab.peer().record(2)["login7"]["app"], "sqlshim explain --control");
  EXPECT_TRUE(lab.peer().record(3).empty());
  EXPECT_EQ(explain(lab, {target(lab, "sql1.corp.test"), "--control"}).status, 2) << "it goes with --connect";
}

/// As the README shows it: with the build's folder not in our own PATH, COMMAND finds sqlshim all the same.
TEST(Explain, AsACommandOfTheLab) {
  const auto sqlshim = lab::program_folder() / "sqlshim";
  const auto good =
      lab::run({.argv = {sqlshim, "lab", "--", "sqlshim", "explain", "--route", "alias", "--connect"}});
  EXPECT_EQ(good.status, 0) << good.output;
  EXPECT_THAT(good.output, HasSubstr("KERBEROS"));
  const auto broken = lab::run({.argv = {sqlshim, "lab", "--break", "spn-missing", "--", "sqlshim", "explain",
                                         "--route", "alias", "--connect"}});
  EXPECT_EQ(broken.status, 1) << broken.output;
  EXPECT_THAT(broken.output, HasSubstr("spn-missing (to be mended at: directory)"));
}

TEST(Explain, APipeIsToldOfButNotConnectedTo) {
  lab::Lab lab({.serve = false});
  lab.realm().add_spn("MSSQLSvc/sql1.corp.test");
  const auto told = explain(lab, {R"(\\sqlalias.corp.test\pipe\sql\query)", "--route", "alias"});
  EXPECT_EQ(told.status, 0) << told.output;
  EXPECT_THAT(told.output, HasSubstr("MSSQLSvc/sql1.corp.test@CORP.TEST"));
  EXPECT_THAT(told.output, Not(HasSubstr("sql1.corp.test:1433")));
  const auto connect = explain(lab, {"np:sqlalias.corp.test", "--route", "alias", "--connect"});
  EXPECT_EQ(connect.status, 2);
  EXPECT_THAT(connect.output, HasSubstr("login not tried: the target is a named pipe"));
}

TEST(Explain, Usage) {
  lab::Lab lab({.serve = false});
  EXPECT_EQ(explain(lab, {}).status, 2);
  EXPECT_EQ(explain(lab, {"sql1", "--route", "nonesuch"}).status, 2);
  EXPECT_EQ(explain(lab, {"sql1", "--config", lab.folder() / "nonesuch"}).status, 2);
  EXPECT_EQ(explain(lab, {"lpc:sql1"}).status, 2);
}

// --- every fault: explain and the proxy say the same
// ---------------------------------------------------------------------------------------------------

/// Faults that explain cannot meet, because they need a client.
const std::map<std::string_view, const char *> not_explains = {
    {"caller-denied",
     "a listener decides about its callers before any route, and explain comes through none"},
    {"client-auth-refused", "there is no client that could send the wrong kind of login"},
    {"route-denied", "`match` looks at what a client says; explain takes the route by its target"},
    {"ptr-wrong", "sqlshim asks for no PTR unless a route's names say so; explain --as tells whom it breaks"},
    {"mars-refused", "explain's login does not ask for MARS"},
    {"client-requires-tls", "there is no client that could demand encryption"},
    {"listener-requires-tls", "there is no client without encryption"},
};

/// All but password-throttled: refused passwords are counted by the process that was refused.
std::vector<std::string> every_fault() {
  std::vector<std::string> ids;
  for (const auto &fault : lab::all_faults())
    if (fault.id != "password-throttled") ids.emplace_back(fault.id);
  return ids;
}

/// By how many seconds a clock is wrong is measured anew each time; nothing else of a sentence may differ.
std::string without_skew(const std::string &sentence) {
  return std::regex_replace(sentence, std::regex("[0-9]+ seconds (ahead of|behind)"), "N seconds $1");
}

class ExplainFault : public TestWithParam<std::string> {};

TEST_P(ExplainFault, SaysWhatTheProxySays) {
  lab::Lab lab({.fault = GetParam()});
  // The route's target: a short name where the fault is how it is completed.
  const auto its_target = target(lab, GetParam() == "suffix-wrong" ? "sql1" : "sql1.corp.test");
  const auto rehearsed = explain(lab, {its_target, "--json"});
  const auto tried = explain(lab, {its_target, "--connect", "--json"});
  expect_unnoticed(lab);
  SCOPED_TRACE("without --connect: " + rehearsed.output + "\nwith: " + tried.output);

  if (const auto other = not_explains.find(GetParam()); other != not_explains.end()) {
    EXPECT_EQ(rehearsed.status, 0) << other->second;
    EXPECT_EQ(tried.status, 0) << other->second;
    return;
  }

  test::tsql(lab);
  ASSERT_TRUE(lab::eventually([&] { return lab.decisions().find("\"closed\"") != std::string::npos; }));
  const auto trail = test::last_connection(lab.decisions());
  const auto refused = test::events_of<shim::Refused>(trail);
  ASSERT_EQ(refused.size(), 1u);
  const auto proxys = shim::diagnose(trail);
  ASSERT_TRUE(proxys);

  const auto expect_the_same = [&](const lab::Finished &ran) {
    EXPECT_EQ(ran.status, 1);
    const auto json = nlohmann::json::parse(ran.output);
    ASSERT_FALSE(json["diagnosis"].is_null());
    EXPECT_EQ(json["diagnosis"]["cause"], refused[0].cause);
    EXPECT_EQ(json["diagnosis"]["fault"], std::string(auth::spelling(refused[0].fault.value())));
    EXPECT_EQ(without_skew(json["diagnosis"]["sentence"]), without_skew(proxys->sentence));
    EXPECT_EQ(json["diagnosis"]["remedy"], refused[0].remedy);
    EXPECT_EQ(json["diagnosis"]["spn"], proxys->spn);
    const auto its = test::events_of<shim::Refused>(records_in(json));
    ASSERT_EQ(its.size(), 1u);
    EXPECT_EQ(its[0].step, refused[0].step);
  };
  expect_the_same(tried);
  if (refused[0].step == shim::Step::connect || refused[0].step == shim::Step::server_login)
    EXPECT_EQ(rehearsed.status, 0) << "only the server shows it";
  else
    expect_the_same(rehearsed);
}

INSTANTIATE_TEST_SUITE_P(Lab, ExplainFault, ValuesIn(every_fault()), [](const auto &row) {
  std::string name = row.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(Explain, OnlyFaultsThatExistAreLeftOut) {
  for (const auto &[id, why] : not_explains)
    EXPECT_NO_THROW(lab::find_fault(id)) << id;
}

// --- sqlshim log --follow
// ----------------------------------------------------------------------------------------------------

TEST(LogFollow, ShowsConnectionsAsTheyComeThroughARotation) {
  lab::Lab lab;
  const auto log = lab.folder() / "decisions.jsonl";
  const auto shown = lab.folder() / "shown";
  lab::Process follower(
      {.argv = {lab::program_folder() / "sqlshim", "log", "--follow", "--cause", "spn-missing"},
       .environment = lab.environment(),
       .output = shown});
  const auto refusals = [&] {
    return test::events_of<shim::Refused>(test::records_of(lab.decisions())).size();
  };
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("KERBEROS"));
  lab.realm().remove(lab.spn());

  const auto id_of_a_refusal = [&] {
    lab.serve().signal(SIGHUP); // forgets the ticket, and opens the log anew
    EXPECT_TRUE(lab::eventually([&] { return lab.decisions().find("\"reloaded\"") != std::string::npos; }));
    const auto before = refusals();
    EXPECT_THAT(test::tsql(lab).output, HasSubstr("spn-missing"));
    EXPECT_TRUE(lab::eventually([&] { return refusals() > before; }));
    return test::last_connection(lab.decisions()).front().conn;
  };
  const auto first = id_of_a_refusal();
  follower.wait_until("the first refusal", [&] {
    const auto text = lab::read_file(shown);
    return text.find(first) != std::string::npos && text.find(" closed ") != std::string::npos;
  });
  lab::fs::rename(log, log.string() + ".1");
  const auto second = id_of_a_refusal();
  EXPECT_NE(first, second);
  follower.wait_until("the refusal after the rotation",
                      [&] { return lab::read_file(shown).find(second) != std::string::npos; });
  EXPECT_THAT(lab::read_file(shown), Not(HasSubstr(" login.answered")))
      << "the login that succeeded has no such cause";

  follower.signal(SIGINT);
  EXPECT_EQ(follower.wait(lab::milliseconds(10'000)), 0);
}

} // namespace
