#include "shim/login/rehearsal.hpp"

#include "tools/commands.hpp"
#include "tools/direct_login.hpp"
#include "tools/lab/files.hpp"

#include <gmock/gmock.h>
#include <sstream>

// What a person reads, from given events. What happens is tested with a real lab in tests/component.

namespace {

using namespace testing;
using namespace shim;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";

Explanation with(std::vector<Event> events) {
  Explanation explanation;
  explanation.target = "sqlalias";
  explanation.route = "alias";
  explanation.identity = "reports";
  explanation.principal = "svc-reports@CORP.TEST";
  for (auto &event : events) {
    Record record;
    record.conn = "7f3a01c2";
    record.event = std::move(event);
    explanation.records.push_back(std::move(record));
  }
  return explanation;
}

const std::vector<Event> until_plan = {
    CallerProven{1000, "dba", {"dba"}, "getuid", 0},
    LoginReceived{},
    PolicyDecided{"route alias", PolicyOutcome::allow, "alias", "reports", "the route of this target"},
    DnsAnswered{"sqlalias", "A", "nxdomain", 0, {}, "10.0.0.2:53", false, 1500},
    DnsAnswered{"sqlalias.corp.test",
                "A",
                "ok",
                60,
                {"CNAME sql1.corp.test", "A 10.0.0.1"},
                "10.0.0.2:53",
                false,
                250},
    TargetResolved{"sqlalias", "sql1.corp.test", 1433, "dns", {"10.0.0.1:1433"}},
    PlanMade{{std::string("tcp+kerberos ") + spn}},
};

std::vector<Event> operator+(std::vector<Event> left, const std::vector<Event> &right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(Explain, WhatSqlBrowserSaid) {
  const auto text = [](BrowserAnswered event) {
    return commands::render(with({std::move(event)}), {}, false);
  };
  EXPECT_THAT(text({"INST", "10.0.0.1:1434", 50002, false, "was at port 50001", 1500}),
              HasSubstr("SQL Browser  INST is at port 50002, was at port 50001 (10.0.0.1:1434, 1.500 ms)\n"));
  EXPECT_THAT(text({"INST", "", 50002, true, "", 0}), HasSubstr("INST is at port 50002 (kept)\n"));
  EXPECT_THAT(text({"INST", "10.0.0.1:1434", 0, false, "no answer within 1000 ms", 1000}),
              HasSubstr("no port of INST: no answer within 1000 ms (10.0.0.1:1434"));
}

TEST(Explain, TheWholeStoryOfALogin) {
  auto explanation = with(
      until_plan +
      std::vector<Event>{
          DnsAnswered{"kdc1.corp.test", "A", "ok", 9, {"A 10.0.0.3"}, "10.0.0.2:53", true, 0},
          KdcAnswered{"kdc1.corp.test:88", "AS", 25, "preauth", "2026-11-22T09:52:00.000000Z", -400, 1100},
          KdcAnswered{"kdc1.corp.test:88", "AS", 0, "", "2026-11-22T09:52:00.000000Z", -400, 1200},
          KdcAnswered{"kdc1.corp.test:88", "TGS", 0, "", "", 0, 1300},
          SpnTried{spn, auth::Why::port, Tried::ticket, auth::Kind::ok, "from the KDC",
                   "svc-reports@CORP.TEST"},
          TicketChosen{spn, "svc-reports@CORP.TEST", "aes256", 3, "2026-11-22T19:52:00.000000Z", false},
          ServerConnected{"10.0.0.1:1433", 1, 90},
          PreloginAnswered{Side::server, "VERSION 16.0.0", "VERSION 15.0.0"},
          TokenExchanged{1, "spnego", 1200, 0, "0x2e", "0x13e", false},
          TokenExchanged{2, "spnego", 0, 180, "0x2e", "0x13e", true},
          ServerSaid{5701, 2, 10, "Changed database context to 'master'."},
          AttemptEnded{1, "ok"},
          LoginAnswered{true, "7.4", "master", 4096},
      });
  explanation.connect = true;
  EXPECT_EQ(
      commands::render(explanation, {}, false),
      "Target\n"
      "  typed     sqlalias\n"
      "  route     alias: the route of this target\n"
      "  identity  reports (svc-reports@CORP.TEST), asked for by dba (uid 1000)\n"
      "\n"
      "Names\n"
      "  sqlalias            A  -                                         nxdomain  10.0.0.2:53  1.500 ms\n"
      "  sqlalias.corp.test  A  CNAME sql1.corp.test, A 10.0.0.1  ttl 60  ok        10.0.0.2:53  0.250 ms\n"
      "  canonical name  sql1.corp.test (by dns)\n"
      "  addresses       10.0.0.1:1433\n"
      "\n"
      "SPN candidates\n"
      "  MSSQLSvc/sql1.corp.test:1433@CORP.TEST  canonical name and port  ticket: aes256, kvno 3, expires "
      "2026-11-22T19:52:00.000000Z\n"
      "\n"
      "Plan\n"
      "  1.  tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST  ok\n"
      "\n"
      "KDC\n"
      "  kdc1.corp.test  A  A 10.0.0.3  ttl 9  ok  10.0.0.2:53  cached\n"
      "  kdc1.corp.test:88  AS   asks for proof (25 preauth)  its clock is right  1.100 ms\n"
      "  kdc1.corp.test:88  AS   ticket                       its clock is right  1.200 ms\n"
      "  kdc1.corp.test:88  TGS  ticket                                           1.300 ms\n"
      "\n"
      "Server\n"
      "  connected    10.0.0.1:1433 (attempt 1, 0.090 ms)\n"
      "  PRELOGIN     asked     VERSION 16.0.0\n"
      "               answered  VERSION 15.0.0\n"
      "  token 1      spnego, 0 bytes received, 1200 sent, flags 0x2e asked, 0x13e granted\n"
      "  token 2      spnego, 180 bytes received, 0 sent, flags 0x2e asked, 0x13e granted, the server has proven "
      "itself\n"
      "  server says  5701 (class 10, state 2): Changed database context to 'master'.\n"
      "  LOGINACK     TDS 7.4, database master, packet size 4096\n"
      "\n"
      "Diagnosis\n"
      "  ok: the login succeeds; the session's auth_scheme is KERBEROS.\n");
}

TEST(Explain, ARefusalEndsWithCauseEvidenceAndRemedy) {
  auto explanation =
      with(until_plan + std::vector<Event>{
                            KdcAnswered{"10.0.0.3:88", "TGS", 7, "Server not found", "", 0, 1300},
                            SpnTried{spn, auth::Why::port, Tried::refused, auth::Kind::service_unknown,
                                     "Server not found in database", ""},
                            AttemptEnded{1, "spn-missing"},
                        });
  explanation.diagnosis =
      diagnose(explanation.records, {Step::ticket, Cause::spn_missing, "Server not found"});
  const auto text = commands::render(explanation, {}, false);
  EXPECT_THAT(text, HasSubstr("@CORP.TEST  canonical name and port  service-unknown: 7 Server not found\n"));
  EXPECT_THAT(text, HasSubstr("@CORP.TEST  spn-missing\n"));
  EXPECT_THAT(text, HasSubstr("\nDiagnosis\n  spn-missing (to be mended at: directory)\n  " +
                              explanation.diagnosis->sentence + "\n  SPN: " + spn +
                              "\n"
                              "  The KDC said: \"Server not found\"\n  Remedy: " +
                              explanation.diagnosis->remedy + "\n"));
  EXPECT_THAT(text, Not(HasSubstr("\nServer\n"))) << "what was not reached is not there";
}

TEST(Explain, WithoutConnectItSaysHowFar) {
  auto explanation = with(
      until_plan + std::vector<Event>{SpnTried{spn, auth::Why::port, Tried::ticket, auth::Kind::ok, "", ""}});
  EXPECT_THAT(commands::render(explanation, {}, false),
              HasSubstr("ok: a login would get as far as connecting."));
}

TEST(Explain, ARouteThatSendsThePasswordOn) {
  auto explanation = with({PlanMade{{"tcp+sql"}}});
  explanation.identity = explanation.principal = "";
  EXPECT_THAT(commands::render(explanation, {}, false),
              AllOf(HasSubstr("identity  none is needed"), HasSubstr("ok: no ticket is needed")));
  explanation.connect = true;
  explanation.not_done = "explain has no password";
  EXPECT_THAT(commands::render(explanation, {}, false),
              AllOf(HasSubstr("login not tried: explain has no password."), Not(HasSubstr("ok:"))));
}

TEST(Explain, EverySpnCandidateHasItsRow) {
  auto explanation = with({
      KdcAnswered{"k", "TGS", 7, "unknown", "", 0, 0},
      SpnTried{"MSSQLSvc/a:1@R", auth::Why::explicit_spn, Tried::refused, auth::Kind::service_unknown,
               "detail", ""},
      SpnTried{"MSSQLSvc/b:1@R", auth::Why::port, Tried::refused, auth::Kind::service_unknown, "kept refusal",
               ""},
      SpnTried{"MSSQLSvc/c:1@R", auth::Why::port, Tried::ticket, auth::Kind::ok, "", ""},
      TicketChosen{"MSSQLSvc/c:1@R", "", "aes", 1, "then", false},
  });
  EXPECT_THAT(commands::render(explanation, {}, false),
              HasSubstr("SPN candidates\n"
                        "  MSSQLSvc/a:1@R  spn of the route         service-unknown: 7 unknown\n"
                        "  MSSQLSvc/b:1@R  canonical name and port  service-unknown: kept refusal\n"
                        "  MSSQLSvc/c:1@R  canonical name and port  ticket: aes, kvno 1, expires then\n"));
}

TEST(Explain, AClockThatIsOff) {
  auto explanation = with({KdcAnswered{"k", "AS", 37, "skew", "2026-11-22T09:52:00.000000Z", 599'600, 0},
                           KdcAnswered{"k", "AS", -1, "k: refused", "", 0, 0}});
  EXPECT_THAT(
      commands::render(explanation, {}, false),
      AllOf(HasSubstr("37 skew"), HasSubstr("its clock is +600 s off"), HasSubstr("no answer: k: refused")));
}

TEST(Explain, StringsFromOutsideAreEscaped) {
  auto explanation =
      with({ServerSaid{1, 1, 14, "\x1b[2J\nDiagnosis"}, TargetResolved{"t", "h\u202e", 1, "dns", {}}});
  explanation.target = "a\x1b";
  Diagnosis diagnosis;
  diagnosis.said = "\x1b[31m";
  explanation.diagnosis = diagnosis;
  const auto text = commands::render(explanation, {}, false);
  EXPECT_THAT(
      text, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\u202e")), HasSubstr("\\u001b[2J\\u000aDiagnosis")));
}

TEST(Explain, ColourOnlyWhereItIsWanted) {
  const auto explanation = with(until_plan);
  EXPECT_THAT(commands::render(explanation, {}, true),
              AllOf(HasSubstr("\033[1mTarget\033[0m\n"), HasSubstr("\033[32mok\033[0m")));
  EXPECT_THAT(commands::render(explanation, {}, false), Not(HasSubstr("\033")));
}

TEST(Explain, EventsOfOtherVersionsAreNotLost) {
  const auto explanation = with({FallbackTaken{"tcp+kerberos", "tcp+ntlm", "spn-missing"}});
  EXPECT_THAT(commands::render(explanation, {}, false),
              HasSubstr("fallback.taken  from=tcp+kerberos to=tcp+ntlm reason=spn-missing\n"));
}

struct Ran {
  int status;
  std::string out, err;
};
Ran explain(std::string_view toml, const commands::ExplainOptions &options) {
  lab::TemporaryFolder folder;
  const auto file = folder.path() / "sqlshim.toml";
  lab::write_file(file, toml);
  std::ostringstream out, err;
  const int status = commands::explain(out, err, file, options);
  return {status, out.str(), err.str()};
}

TEST(Explain, UsageAndConfiguration) {
  const auto nothing = explain("", {.target = "sql1"});
  EXPECT_EQ(nothing.status, 2);
  EXPECT_NE(nothing.err, "");
  const auto bad = explain("[log]\nlevle = 1\n", {.target = "sql1"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_THAT(bad.err, HasSubstr("levle"));
  EXPECT_EQ(bad.out, "");
}

TEST(Explain, WhatFreeTdsSaysOfEachSpn) {
  auto explanation = with(until_plan);
  const std::vector<commands::SecondOpinion> opinions = {
      {.spn = "MSSQLSvc/a:1@R", .ours = "ok", .accepted = true, .said = "KERBEROS", .note = ""},
      {.spn = "MSSQLSvc/bb:1@R",
       .ours = "spn-wrong-account",
       .accepted = false,
       .said = "18456 \033[2J",
       .note = ""},
      {.spn = "MSSQLSvc/c:1@R",
       .ours = "ok",
       .accepted = false,
       .said = "18452",
       .note = "no channel binding"},
      {.spn = "MSSQLSvc/d:1@R", .ours = "login-denied", .accepted = true, .said = "KERBEROS", .note = ""},
      {.spn = "MSSQLSvc/e:1@R", .ours = "", .accepted = true, .said = "KERBEROS", .note = ""},
      {.spn = "MSSQLSvc/f:1@R",
       .ours = "spn-missing",
       .accepted = {},
       .said = "there is no ticket",
       .note = ""}};
  EXPECT_THAT(
      commands::render(explanation, opinions, false),
      HasSubstr(
          "Control: FreeTDS, directly at the server\n"
          "  MSSQLSvc/a:1@R   sqlshim: ok                 FreeTDS: accepted (KERBEROS)             they agree\n"
          "  MSSQLSvc/bb:1@R  sqlshim: spn-wrong-account  FreeTDS: refused (18456 \\u001b[2J)       they agree\n"
          "  MSSQLSvc/c:1@R   sqlshim: ok                 FreeTDS: refused (18452)                 THEY DISAGREE\n"
          "                                               no channel binding\n"
          "  MSSQLSvc/d:1@R   sqlshim: login-denied       FreeTDS: accepted (KERBEROS)             THEY DISAGREE\n"
          "  MSSQLSvc/e:1@R   sqlshim: not tried          FreeTDS: accepted (KERBEROS)             -\n"
          "  MSSQLSvc/f:1@R   sqlshim: spn-missing        FreeTDS: not tried (there is no ticket)  -\n"));
  EXPECT_THAT(commands::render(explanation, {}, false), Not(HasSubstr("Control"))) << "who has not asked";
}

} // namespace
