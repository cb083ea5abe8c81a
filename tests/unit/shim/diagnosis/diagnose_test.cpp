#include "shim/diagnosis/client_text.hpp"
#include "shim/diagnosis/sharpen.hpp"

#include "shim/log/render.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>

namespace {

using namespace shim;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";

using Records = std::vector<Record>;

Records trail_of(std::vector<Event> events) {
  Records trail;
  for (Event &event : events)
    trail.push_back({.at = {},
                     .conn = "7f3a01c2",
                     .seq = trail.size() + 1,
                     .since_accept = Micros(trail.size()),
                     .event = std::move(event)});
  return trail;
}
Records operator+(Records trail, std::vector<Event> more) {
  for (Record &record : trail_of(std::move(more)))
    trail.push_back(std::move(record));
  return trail;
}

// The parts of a login, as the proxy writes them.
const Records asked =
    trail_of({Accepted{.listener = "reports", .peer = "127.0.0.1:50000", .local = "127.0.0.1:14330"},
              CallerProven{.uid = 1000, .user = "alice", .groups = {"users"}, .how = "sock_diag", .us = 1},
              LoginReceived{.tds = "7.4",
                            .server = "sql1",
                            .database = "dw",
                            .user = "app-user",
                            .app = "tsql",
                            .host = "ws1",
                            .pid = 42,
                            .packet_size = 4096,
                            .auth = LoginKind::sql,
                            .mechanism = "none",
                            .size = 0,
                            .features = {}},
              PolicyDecided{.rule = "route dw-route",
                            .outcome = PolicyOutcome::allow,
                            .route = "dw-route",
                            .identity = "svc",
                            .reason = "its match fits"}});
const Records resolved =
    asked +
    std::vector<Event>{DnsAnswered{"sql1.corp.test", "A", "ok", 300, {"10.0.0.5"}, "10.0.0.2:53", false, 1},
                       TargetResolved{"sql1", "sql1.corp.test", 1433, "dns", {"10.0.0.5:1433"}},
                       PlanMade{{std::string("tcp+kerberos ") + spn}}};
const KdcAnswered preauth{"10.0.0.3:88", "AS", 25, "Additional pre-authentication required", "", 0, 1};
const KdcAnswered granted{"10.0.0.3:88", "TGS", 0, "", "", 20, 1};
const KdcAnswered not_found{"10.0.0.3:88", "TGS", 7, "Server not found in Kerberos database", "", 20, 1};
const SpnTried refused{spn, auth::Why::port, Tried::refused, auth::Kind::service_unknown, "Server not found"};
const Records ticket =
    resolved +
    std::vector<Event>{preauth, granted,
                       SpnTried{spn, auth::Why::port, Tried::ticket, auth::Kind::ok, "from the KDC"},
                       TicketChosen{spn, "svc-reports@CORP.TEST", "aes256-cts-hmac-sha1-96", 2, "", false}};
const Records connected = ticket + std::vector<Event>{ServerConnected{"10.0.0.5:1433", 1, 1},
                                                      PreloginAnswered{Side::server, "", ""}};
const TlsAgreed bound{Side::server,  "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", {"sql1.corp.test"}, true,
                      "tls-unique", ""};
const TlsAgreed unbound{Side::server, "TLSv1.3", "TLS_AES_256_GCM_SHA384", {"sql1.corp.test"}, true,
                        "none",      "tls13"};
const TlsAgreed of_client{Side::client, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", {}, false, "tls-unique", ""};
const ServerSaid untrusted{18452, 1, 14, "Login failed. The login is from an untrusted domain"};
const TokenExchanged first_token{1, "spnego", 1500, 0, "0x2e", "0x2e", false};
const TokenExchanged last_token{2, "spnego", 0, 120, "0x2e", "0x2e", true};
const Records token_sent = connected + std::vector<Event>{first_token};
const Records complete = token_sent + std::vector<Event>{last_token};

Failure failure(Step step, Cause cause, std::string detail = {}) { return {step, cause, std::move(detail)}; }

struct Row {
  const char *name;
  Records trail;
  Failure failure;
  Cause cause;
};
const Row rows[] = {
    // What the step says stands where nothing tells more.
    {"spn missing", resolved + std::vector<Event>{preauth, not_found, refused},
     failure(Step::ticket, Cause::spn_missing), Cause::spn_missing},
    {"a name that DNS has not", asked, failure(Step::resolve, Cause::name_not_found), Cause::name_not_found},
    {"closed before a token", connected, failure(Step::server_login, Cause::server_closed),
     Cause::server_closed},
    {"nothing happened", {}, failure(Step::accept, Cause::log_unavailable), Cause::log_unavailable},

    // A server that closes on our token could not use the ticket.
    {"closed on the token", token_sent, failure(Step::server_login, Cause::server_closed),
     Cause::spn_wrong_account},
    {"closed after a complete context", complete, failure(Step::server_login, Cause::server_closed),
     Cause::server_closed},
    {"closed with a word",
     token_sent + std::vector<Event>{ServerSaid{17830, 1, 20, "A network error occurred"}},
     failure(Step::server_login, Cause::server_closed), Cause::server_closed},
    {"the next server closed before its token",
     token_sent + std::vector<Event>{ServerConnected{"10.0.0.6:1433", 2, 1}},
     failure(Step::server_login, Cause::server_closed), Cause::server_closed},
    {"late, but not closed", token_sent, failure(Step::server_login, Cause::deadline), Cause::deadline},

    // What the server says.
    {"18456",
     complete + std::vector<Event>{ServerSaid{18456, 1, 14, "Login failed for user 'CORP\\svc-reports'."}},
     failure(Step::server_login, Cause::login_denied), Cause::login_denied},
    {"18456, then closed", complete + std::vector<Event>{ServerSaid{18456, 1, 14, "Login failed"}},
     failure(Step::server_login, Cause::server_closed), Cause::login_denied},
    {"anonymous",
     complete + std::vector<Event>{ServerSaid{18456, 1, 14,
                                              "Login failed for user 'NT AUTHORITY\\ANONYMOUS LOGON'."}},
     failure(Step::server_login, Cause::login_denied), Cause::anonymous_logon},
    {"18452, and a binding was sent", connected + std::vector<Event>{bound, first_token, untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::login_untrusted},
    {"18452 without TLS", token_sent + std::vector<Event>{untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::channel_binding_refused},
    {"18452 after a complete token without TLS", complete + std::vector<Event>{untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::channel_binding_refused},
    {"18452 over TLS 1.3", connected + std::vector<Event>{unbound, first_token, untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::channel_binding_refused},
    {"18452, and only the client's leg has TLS",
     connected + std::vector<Event>{of_client, first_token, untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::channel_binding_refused},
    {"18452, and the TLS was another server's",
     connected + std::vector<Event>{bound, ServerConnected{"10.0.0.6:1433", 2, 1}, first_token, untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::channel_binding_refused},
    {"18452 without a token: a password was sent", connected + std::vector<Event>{untrusted},
     failure(Step::server_login, Cause::login_denied), Cause::login_untrusted},
    {"18452, then closed", connected + std::vector<Event>{bound, first_token, untrusted},
     failure(Step::server_login, Cause::server_closed), Cause::login_untrusted},
    {"18456 without TLS is no binding's fault",
     token_sent + std::vector<Event>{ServerSaid{18456, 1, 14, "x"}},
     failure(Step::server_login, Cause::login_denied), Cause::login_denied},
    {"the server's token says so", token_sent, failure(Step::server_login, Cause::channel_binding_refused),
     Cause::channel_binding_refused},
    {"a certificate, whatever was said before", connected + std::vector<Event>{untrusted},
     failure(Step::server_login, Cause::certificate_name), Cause::certificate_name},
    {"4060 before 18456",
     complete + std::vector<Event>{ServerSaid{4060, 1, 11, "Cannot open database \"dw\""},
                                   ServerSaid{18456, 1, 14, "Login failed"}},
     failure(Step::server_login, Cause::login_denied), Cause::database_denied},
    {"4064", complete + std::vector<Event>{ServerSaid{4064, 1, 11, "Cannot open user default database"}},
     failure(Step::server_login, Cause::login_denied), Cause::database_denied},
    {"another number", complete + std::vector<Event>{ServerSaid{18470, 1, 14, "The account is disabled"}},
     failure(Step::server_login, Cause::login_denied), Cause::login_denied},
    {"what an earlier server said",
     complete + std::vector<Event>{ServerSaid{4060, 1, 11, "x"}, ServerConnected{"10.0.0.6:1433", 2, 1}},
     failure(Step::server_login, Cause::login_denied), Cause::login_denied},
    {"no proof, whatever it said", complete + std::vector<Event>{ServerSaid{18456, 1, 14, "x"}},
     failure(Step::server_login, Cause::mutual_auth_missing), Cause::mutual_auth_missing},

    // What the KDC says.
    {"clock skew",
     resolved +
         std::vector<Event>{KdcAnswered{"10.0.0.3:88", "AS", 37, "Clock skew too great", "", 412000, 1}},
     failure(Step::ticket, Cause::no_credentials), Cause::clock_skew},
    {"clock skew at one KDC, a ticket from the next",
     resolved +
         std::vector<Event>{KdcAnswered{"10.0.0.3:88", "AS", 37, "Clock skew too great", "", 412000, 1},
                            granted, not_found, refused},
     failure(Step::ticket, Cause::spn_missing), Cause::spn_missing},
    {"clock skew long ago, the server says no",
     complete + std::vector<Event>{KdcAnswered{"10.0.0.3:88", "AS", 37, "", "", 412000, 1},
                                   ServerSaid{18456, 1, 14, "x"}},
     failure(Step::server_login, Cause::login_denied), Cause::login_denied},
    {"spn.tried tells more",
     resolved + std::vector<Event>{SpnTried{spn, auth::Why::port, Tried::refused,
                                            auth::Kind::service_not_unique, ""}},
     failure(Step::ticket, Cause::spn_missing), Cause::spn_duplicate},
    {"the account does not exist",
     resolved +
         std::vector<Event>{SpnTried{spn, auth::Why::port, Tried::refused, auth::Kind::client_unknown, ""}},
     failure(Step::ticket, Cause::preauth_failed), Cause::no_credentials},
    {"spn.tried tells nothing",
     resolved + std::vector<Event>{SpnTried{spn, auth::Why::port, Tried::refused, auth::Kind::other, ""}},
     failure(Step::ticket, Cause::account_revoked), Cause::account_revoked},
    {"a word of a later version",
     resolved + std::vector<Event>{SpnTried{spn, auth::Why::port, Tried::refused, {}, ""}},
     failure(Step::ticket, Cause::kdc_unreachable), Cause::kdc_unreachable},
    {"late in the ticket step", resolved + std::vector<Event>{refused},
     failure(Step::ticket, Cause::deadline), Cause::deadline},
};

TEST(Diagnose, EveryRule) {
  for (const Row &row : rows)
    EXPECT_EQ(id(diagnose(row.trail, row.failure).cause), id(row.cause)) << row.name;
}

TEST(Diagnose, TheRulesHoldForTheirOwnResult) {
  // An old log holds the sharpened cause already.
  for (const Row &row : rows) {
    const Diagnosis first = diagnose(row.trail, row.failure);
    const Records logged =
        row.trail + std::vector<Event>{Refused{row.failure.step, first.fault, std::string(id(first.cause)),
                                               row.failure.detail, first.remedy},
                                       Closed{}};
    const auto again = diagnose(logged);
    ASSERT_TRUE(again) << row.name;
    EXPECT_EQ(id(again->cause), id(first.cause)) << row.name;
    EXPECT_EQ(again->sentence, first.sentence) << row.name;
    EXPECT_EQ(again->remedy, first.remedy) << row.name;
    EXPECT_EQ(again->evidence, first.evidence) << row.name;
  }
}

TEST(Diagnose, OldLogsWithoutARefusal) {
  EXPECT_EQ(diagnose(complete), std::nullopt);
  EXPECT_EQ(diagnose(std::span<const Record>{}), std::nullopt);
  EXPECT_EQ(diagnose(trail_of({Refused{Step::ticket, Fault::kdc, "cause-of-a-later-version", "", ""}})),
            std::nullopt);
}

TEST(Diagnose, SpnMissingInFull) {
  const Diagnosis diagnosis = diagnose(resolved + std::vector<Event>{preauth, not_found, refused},
                                       failure(Step::ticket, Cause::spn_missing, "the step's words"));
  EXPECT_EQ(diagnosis.spn, spn);
  EXPECT_EQ(diagnosis.fault, Fault::directory);
  EXPECT_EQ(diagnosis.said, "Server not found in Kerberos database");
  EXPECT_EQ(diagnosis.said_by, "KDC");
  EXPECT_THAT(diagnosis.sentence, HasSubstr(spn));
  EXPECT_THAT(diagnosis.remedy, HasSubstr("setspn -S MSSQLSvc/sql1.corp.test:1433 DOMAIN\\SERVICEACCOUNT"));
  EXPECT_THAT(diagnosis.evidence, ElementsAre(HasSubstr("target.resolved"), HasSubstr("kdc.answered"),
                                              HasSubstr("code=7"), HasSubstr("spn.tried")));
}

TEST(Diagnose, NamesTheFirstOfSeveralCandidates) {
  const std::string second = "MSSQLSvc/sql1.corp.test@CORP.TEST";
  const SpnTried second_refused{second, auth::Why::bare, Tried::refused, auth::Kind::service_unknown, ""};
  EXPECT_EQ(diagnose(resolved + std::vector<Event>{refused, second_refused},
                     failure(Step::ticket, Cause::spn_missing))
                .spn,
            spn);
  // ... but after a ticket, what was refused before counts no more.
  EXPECT_EQ(diagnose(resolved + std::vector<Event>{refused,
                                                   SpnTried{second, auth::Why::bare, Tried::ticket,
                                                            auth::Kind::ok, ""},
                                                   TicketChosen{second, "svc@CORP.TEST", "", 1, "", false}},
                     failure(Step::server_login, Cause::spn_wrong_account))
                .spn,
            second);
  EXPECT_EQ(
      diagnose(ticket + std::vector<Event>{second_refused}, failure(Step::ticket, Cause::spn_missing)).spn,
      second);
  // Before any was tried, the plan names it.
  EXPECT_EQ(diagnose(resolved, failure(Step::ticket, Cause::kdc_unreachable)).spn, spn);
  EXPECT_EQ(diagnose(asked + std::vector<Event>{PlanMade{{"tcp+sql"}}},
                     failure(Step::connect, Cause::connection_refused))
                .spn,
            "");
}

TEST(Diagnose, ClockSkewHasSecondsAndDirection) {
  const auto sentence = [](std::int64_t skew_ms) {
    return diagnose(resolved + std::vector<Event>{KdcAnswered{"10.0.0.3:88", "AS", 37, "Clock skew too great",
                                                              "", skew_ms, 1}},
                    failure(Step::ticket, Cause::clock_skew))
        .sentence;
  };
  EXPECT_THAT(sentence(412'400), HasSubstr("(10.0.0.3:88) is 412 seconds ahead of this machine's"));
  EXPECT_THAT(sentence(-7'200'600), HasSubstr("is 7201 seconds behind this machine's"));
  EXPECT_THAT(sentence(0), HasSubstr("too many seconds"));
  // The server's complaint is about its own clock, which we cannot read.
  const Diagnosis server =
      diagnose(token_sent, failure(Step::server_login, Cause::clock_skew, "Clock skew too great [37]"));
  EXPECT_THAT(server.sentence,
              AllOf(HasSubstr("(the server sql1.corp.test)"), HasSubstr("too many seconds")));
  EXPECT_EQ(server.said, "Clock skew too great [37]");
  EXPECT_EQ(server.said_by, "");
}

TEST(Diagnose, SilentKdcsAreAllNamed) {
  const Diagnosis diagnosis = diagnose(
      resolved + std::vector<Event>{KdcAnswered{"10.0.0.3:88", "AS", -1, "connection refused", "", 0, 1},
                                    KdcAnswered{"10.0.0.4:88", "AS", -1, "no answer in 2000 ms", "", 0, 1}},
      failure(Step::ticket, Cause::kdc_unreachable, "no KDC of CORP.TEST answered"));
  EXPECT_THAT(
      diagnosis.sentence,
      HasSubstr(
          "No KDC of realm CORP.TEST answered: 10.0.0.3:88 (connection refused), 10.0.0.4:88 (no answer in 2000 ms)."));
  EXPECT_EQ(diagnosis.said, "no KDC of CORP.TEST answered");
  EXPECT_EQ(diagnosis.said_by, "");
}

TEST(Diagnose, TheLoginToCreateIsNamedAsWindowsDoes) {
  const auto remedy = [](Cause cause, const char *account) {
    return diagnose(resolved + std::vector<Event>{TicketChosen{spn, "svc-reports@CORP.TEST", "", 2, "", false,
                                                               account}},
                    failure(Step::server_login, cause))
        .remedy;
  };
  EXPECT_THAT(remedy(Cause::login_denied, "CORP\\svc-reports"),
              HasSubstr("CREATE LOGIN [CORP\\svc-reports] FROM"));
  EXPECT_THAT(remedy(Cause::login_denied, ""), HasSubstr("CREATE LOGIN [DOMAIN\\svc-reports] FROM"));
  EXPECT_THAT(remedy(Cause::database_denied, "CORP\\svc-reports"),
              HasSubstr("CREATE USER [CORP\\svc-reports] FOR LOGIN [CORP\\svc-reports]"));
}

TEST(Diagnose, AClientsOwnPasswordIsTheApplicationsToMend) {
  const auto found = [](Cause cause, CredentialsFrom from) {
    return diagnose(resolved + std::vector<Event>{CredentialsTaken{from, "CORP\\alice", "alice@CORP.TEST"}},
                    failure(Step::ticket, cause));
  };
  for (auto cause :
       {Cause::no_credentials, Cause::preauth_failed, Cause::password_throttled, Cause::password_expired}) {
    EXPECT_THAT(found(cause, CredentialsFrom::client).remedy,
                AllOf(HasSubstr("CORP\\alice"), HasSubstr("application"), Not(HasSubstr("password_file"))))
        << id(cause);
    EXPECT_THAT(found(cause, CredentialsFrom::client).evidence, Contains(HasSubstr("credentials.taken")));
    EXPECT_THAT(found(cause, CredentialsFrom::caller).remedy, HasSubstr("password_file")) << id(cause);
  }
}

TEST(Diagnose, TheServersWordsCount) {
  const Diagnosis diagnosis = diagnose(
      complete + std::vector<Event>{ServerSaid{18456, 1, 14, "Login failed for user 'CORP\\svc-reports'."}},
      failure(Step::server_login, Cause::login_denied, "18456: …"));
  EXPECT_EQ(diagnosis.said, "Login failed for user 'CORP\\svc-reports'.");
  EXPECT_EQ(diagnosis.said_by, "server");
  EXPECT_THAT(diagnosis.sentence, HasSubstr("(svc-reports@CORP.TEST)"));
  EXPECT_THAT(diagnosis.remedy, HasSubstr("CREATE LOGIN [DOMAIN\\svc-reports] FROM WINDOWS"));
  EXPECT_THAT(diagnosis.evidence, Contains(HasSubstr("ticket.chosen")));
  EXPECT_THAT(diagnosis.evidence, Contains(HasSubstr("server.message")));
}

TEST(Diagnose, InformationIsNoRefusal) {
  const Diagnosis diagnosis =
      diagnose(complete + std::vector<Event>{ServerSaid{5701, 2, 0, "Changed database context to 'master'."}},
               failure(Step::server_login, Cause::server_closed, "end of stream"));
  EXPECT_EQ(diagnosis.said, "end of stream");
  EXPECT_EQ(diagnosis.said_by, "");
}

TEST(Diagnose, AnUnknownSpnWhoseHostIsTheFaultOfNames) {
  struct Names {
    Cause cause;
    const char *typed, *fqdn, *by, *host, *realm_from, *odd, *alias_end, *remedy;
  };
  const Names table[] = {
      {Cause::spn_missing, "sql1", "sql1.corp.test", "forward", "sql1.corp.test", "domain-realm", "", "",
       "setspn"},
      {Cause::alias_not_canonical, "sqlalias.corp.test", "sqlalias.corp.test", "as-typed",
       "sqlalias.corp.test", "domain-realm", "", "sql1.corp.test", "is made of sql1.corp.test"},
      {Cause::spn_missing, "sqlalias.corp.test", "sql1.corp.test", "forward", "sql1.corp.test",
       "domain-realm", "", "sql1.corp.test", "setspn"},
      {Cause::ptr_wrong, "sql1", "sql9.corp.test", "forward-reverse", "sql9.corp.test", "domain-realm",
       "other-host (PTR of 10.0.0.5: sql9.corp.test)", "", "Mend the PTR"},
      {Cause::address_without_spn, "10.0.0.5", "10.0.0.5", "as-typed", "10.0.0.5", "referral",
       "address (PTR of 10.0.0.5: nxdomain)", "", "Write the server's name"},
      {Cause::suffix_wrong, "sql1", "sql1.lab.test", "forward", "sql1.lab.test", "referral", "", "",
       "[dns] search"},
      {Cause::spn_missing, "sql1.lab.test", "sql1.lab.test", "forward", "sql1.lab.test", "referral", "", "",
       "setspn"},
      {Cause::spn_missing, "sql1", "sql1.corp.test", "", "sql1.corp.test", "", "address (x)", "",
       "setspn"}, // an old log
  };
  for (const Names &row : table) {
    SCOPED_TRACE(std::string(row.typed) + " by " + row.by);
    std::vector<Event> events{DnsAnswered{"x", "A", "ok", 300, {"A 10.0.0.5"}, "10.0.0.2:53", false, 1}};
    if (*row.alias_end)
      events.push_back(
          DnsAnswered{"x", "A", "ok", 300, {std::string("CNAME ") + row.alias_end}, "10.0.0.2:53", false, 1});
    SpnTried tried{std::string("MSSQLSvc/") + row.host + ":1433@CORP.TEST", auth::Why::port, Tried::refused,
                   auth::Kind::service_unknown, ""};
    tried.realm_from = meaning<auth::RealmFrom>(row.realm_from);
    tried.odd = auth::parse_oddity(row.odd);
    events.insert(events.end(), {TargetResolved{row.typed, row.fqdn, 1433, "dns", {"10.0.0.5:1433"}, row.by},
                                 not_found, tried});
    const Diagnosis diagnosis = diagnose(asked + events, failure(Step::ticket, Cause::spn_missing));
    EXPECT_EQ(id(diagnosis.cause), id(row.cause));
    EXPECT_THAT(diagnosis.remedy, HasSubstr(row.remedy));
    EXPECT_EQ(diagnosis.said_by, "KDC");
  }
}

// ---- named instances and partners ----

constexpr auto by_port = "MSSQLSvc/sql1.corp.test:50002@CORP.TEST";
std::vector<Event> at_instance(std::uint64_t port_before, auth::Why why = auth::Why::port) {
  SpnTried tried{by_port, why, Tried::refused, auth::Kind::service_unknown, ""};
  tried.realm_from = auth::RealmFrom::domain_realm; // else the name would be to blame before the port
  return {BrowserAnswered{"INST", "10.0.0.5:1434", 50002, false, "", 1, port_before},
          TargetResolved{"sql1\\INST", "sql1.corp.test", 50002, "dns", {"10.0.0.5:50002"}, "forward"},
          PlanMade{{std::string("tcp+kerberos ") + by_port}},
          preauth,
          not_found,
          std::move(tried)};
}

TEST(Diagnose, AnSpnForTheOldPortIsAPortThatHasChanged) {
  const auto missing = failure(Step::ticket, Cause::spn_missing);
  const auto moved = diagnose(asked + at_instance(50001), missing);
  EXPECT_EQ(id(moved.cause), "port-changed");
  EXPECT_THAT(moved.sentence, AllOf(HasSubstr("sql1\\INST"), HasSubstr("50002"), HasSubstr(by_port)));
  EXPECT_THAT(moved.evidence, Contains(HasSubstr("browser.answered")));
  EXPECT_EQ(moved.said_by, "KDC");
  EXPECT_EQ(id(diagnose(asked + at_instance(0), missing).cause), "spn-missing");
  EXPECT_EQ(id(diagnose(asked + at_instance(50001, auth::Why::explicit_spn), missing).cause), "spn-missing");
  // An answer that names no port says nothing of a change.
  EXPECT_EQ(id(diagnose(asked + std::vector<Event>{BrowserAnswered{"INST", "x", 0, false, "", 1, 1}} +
                            at_instance(0),
                        missing)
                   .cause),
            "spn-missing");
}

TEST(Diagnose, ASilentBrowserNamesTheServer) {
  const auto silent =
      diagnose(asked +
                   std::vector<Event>{
                       BrowserAnswered{"INST", "10.0.0.5:1434", 0, false, "no answer within 2000 ms", 1},
                       TargetResolved{"sql1\\INST", "sql1.corp.test", 0, "dns", {"10.0.0.5"}, "forward"}},
               failure(Step::resolve, Cause::browser_silent, "no answer within 2000 ms"));
  EXPECT_EQ(id(silent.cause), "browser-silent");
  EXPECT_THAT(silent.remedy, HasSubstr("target = \"sql1,PORT\""));
  EXPECT_THAT(silent.evidence, Contains(HasSubstr("browser.answered")));
  EXPECT_EQ(silent.said, "no answer within 2000 ms");
}

TEST(Diagnose, WhatCameBeforeThePartnerIsAboutAnotherServer) {
  const auto after =
      connected + std::vector<Event>{untrusted, PartnerTried{"r", "sql1", "connection-refused", "sql2"}};
  const auto diagnosis =
      diagnose(after + std::vector<Event>{TargetResolved{
                           "sql2", "sql2.corp.test", 1433, "dns", {"10.0.0.6:1433"}, "forward"}},
               failure(Step::connect, Cause::connection_refused, "10.0.0.6:1433: Connection refused"));
  EXPECT_EQ(diagnosis.spn, "");
  EXPECT_THAT(diagnosis.sentence, AllOf(HasSubstr("sql2.corp.test:1433"), Not(HasSubstr("sql1"))));
}

TEST(Diagnose, NamesThePrincipalThatAsked) {
  SpnTried tried = refused;
  tried.client = "svc-reports@CORP.TEST";
  tried.kind = auth::Kind::client_revoked;
  EXPECT_THAT(
      diagnose(resolved + std::vector<Event>{tried}, failure(Step::ticket, Cause::account_revoked)).sentence,
      HasSubstr("identity svc (svc-reports@CORP.TEST)"));
}

TEST(Diagnose, FactsOfTheCallerAndTheRoute) {
  struct Line {
    Cause cause;
    const char *text;
  };
  for (const Line &line : std::initializer_list<Line>{
           {Cause::caller_denied, "Listener reports does not admit alice (uid 1000)."},
           {Cause::identity_denied, "Identity svc may not be used by alice (uid 1000)."},
           {Cause::route_denied, "listener reports, caller alice (uid 1000), database dw, user app-user"},
       })
    EXPECT_THAT(diagnose(asked, failure(Step::policy, line.cause)).sentence, HasSubstr(line.text));
  const Diagnosis name = diagnose(
      asked +
          std::vector<Event>{DnsAnswered{"sql9.corp.test", "A", "nxdomain", 0, {}, "10.0.0.2:53", false, 1}},
      failure(Step::resolve, Cause::name_not_found, "sql9.corp.test: nxdomain"));
  EXPECT_THAT(name.sentence, HasSubstr("sql9.corp.test"));
  EXPECT_THAT(name.remedy, AllOf(HasSubstr("route dw-route"), HasSubstr("dig sql9.corp.test")));
  EXPECT_THAT(name.evidence, Contains(HasSubstr("rcode=nxdomain")));
}

TEST(Diagnose, WhatACertificateHolds) {
  TlsAgreed wrong = bound;
  wrong.names = {"sql9.corp.test", "*.lab.test"};
  wrong.verified = false;
  const auto diagnosed = [&](Cause cause) {
    return diagnose(connected + std::vector<Event>{of_client, wrong},
                    failure(Step::server_login, cause, "sql1.corp.test was checked"));
  };
  const Diagnosis name = diagnosed(Cause::certificate_name);
  EXPECT_EQ(name.fault, Fault::configuration);
  EXPECT_EQ(name.sentence,
            "The certificate of the server at 10.0.0.5:1433 is not for the name that was checked: it holds "
            "sql9.corp.test, *.lab.test.");
  EXPECT_THAT(name.remedy, AllOf(HasSubstr("target in route dw-route (now sql1)"),
                                 HasSubstr("host_name_in_certificate = \"sql9.corp.test\"")));
  EXPECT_EQ(name.said, "sql1.corp.test was checked");
  EXPECT_EQ(name.said_by, "");
  EXPECT_THAT(name.evidence, ElementsAre(HasSubstr("policy.decided"), HasSubstr("target.resolved"),
                                         HasSubstr("server.connected"), HasSubstr("prelogin.answered"),
                                         HasSubstr("tls.agreed"), HasSubstr("tls.agreed")));
  for (const Cause cause : {Cause::certificate_untrusted, Cause::certificate_self_signed,
                            Cause::certificate_expired, Cause::certificate_weak}) {
    const Diagnosis diagnosis = diagnosed(cause);
    EXPECT_THAT(diagnosis.sentence, HasSubstr("10.0.0.5:1433 (sql9.corp.test, *.lab.test)")) << id(cause);
    EXPECT_THAT(diagnosis.remedy, AllOf(HasSubstr("ca_file"), HasSubstr("route dw-route"))) << id(cause);
  }
  // The names may not have been read.
  EXPECT_THAT(diagnose(connected, failure(Step::server_login, Cause::certificate_name)).sentence,
              HasSubstr("it holds names unknown."));
}

TEST(Diagnose, ACertificateOfThousandsOfNames) {
  TlsAgreed hostile = bound;
  hostile.names.assign(10'000, "a.test");
  EXPECT_THAT(
      diagnose(connected + std::vector<Event>{hostile}, failure(Step::server_login, Cause::certificate_name))
          .sentence,
      testing::EndsWith("it holds a.test, a.test, a.test, a.test, a.test and 9995 more."));
}

TEST(Diagnose, WhatTheTokenWasBoundTo) {
  const auto sentence = [](std::vector<Event> tls) {
    tls.insert(tls.end(), {first_token, untrusted});
    return diagnose(connected + std::move(tls), failure(Step::server_login, Cause::channel_binding_refused))
        .sentence;
  };
  EXPECT_THAT(
      sentence({}),
      HasSubstr("which carried no channel binding (there was no TLS): it demands Extended Protection"));
  EXPECT_THAT(sentence({unbound}),
              HasSubstr("which carried no channel binding (TLSv1.3 has none): it demands"));
  const Diagnosis unfit =
      diagnose(connected + std::vector<Event>{bound, first_token},
               failure(Step::server_login, Cause::channel_binding_refused, "bad bindings"));
  EXPECT_THAT(
      unfit.sentence,
      HasSubstr(
          "the token of svc-reports@CORP.TEST, which carried the channel binding tls-unique of TLSv1.2"));
  EXPECT_THAT(unfit.remedy,
              AllOf(HasSubstr("0x80090346"), HasSubstr("encrypt = \"require\" in route dw-route")));
  EXPECT_THAT(unfit.evidence, Contains(HasSubstr("tls.agreed")));
}

TEST(Diagnose, WhoTlsFailedWith) {
  for (const Cause cause : {Cause::tls_mismatch, Cause::tls_version_refused}) {
    const Diagnosis server = diagnose(connected, failure(Step::server_login, cause));
    EXPECT_THAT(server.sentence, HasSubstr("the server at 10.0.0.5:1433")) << id(cause);
    EXPECT_EQ(server.fault, entry(cause).fault) << id(cause);
    const Diagnosis client = diagnose(asked, failure(Step::client_login, cause));
    EXPECT_THAT(client.sentence, HasSubstr("the application")) << id(cause);
    EXPECT_EQ(client.fault, Fault::client) << id(cause);
  }
  EXPECT_EQ(diagnose(connected, failure(Step::client_login, Cause::certificate_expired)).fault,
            Fault::server);
}

TEST(Diagnose, WhichKeysOfWhichRoute) {
  struct Line {
    Cause cause;
    const char *text;
  };
  for (const Line &line : std::initializer_list<Line>{
           {Cause::client_requires_tls, "listener reports has tls = \"off\""},
           {Cause::client_requires_tls, "Set tls = \"optional\" at listener reports"},
           {Cause::listener_requires_tls,
            "Listener reports takes encrypted connections only (tls = \"required\")"},
           {Cause::server_requires_tls,
            "10.0.0.5:1433 demands encryption, and route dw-route has encrypt = \"off\""},
           {Cause::server_requires_tls, "Set encrypt = \"require\" in route dw-route"},
           {Cause::server_without_tls,
            "Route dw-route demands encryption, and the server at 10.0.0.5:1433 does not"},
           {Cause::tls_version_refused, "tls_min = \"1.0\" in route dw-route"},
           {Cause::tls_mismatch, "set encrypt of route dw-route as the server has it"},
           {Cause::server_closed, "set encrypt = \"strict\" in route dw-route"},
           {Cause::redirect_refused, "The server at 10.0.0.5:1433 sent the login on"},
           {Cause::redirect_refused, "redirect_within (where empty: the target's own, corp.test)"},
           {Cause::login_untrusted, "0x80090346"},
           {Cause::login_untrusted, "0x8009030c"},
       }) {
    const Diagnosis diagnosis = diagnose(complete, failure(Step::server_login, line.cause));
    EXPECT_THAT(diagnosis.sentence + " " + diagnosis.remedy, HasSubstr(line.text)) << id(line.cause);
  }
}

TEST(Diagnose, ARedirectShowsWhereItCameFrom) {
  const Diagnosis redirected = diagnose(
      complete + std::vector<Event>{RedirectFollowed{"sql1.corp.test:1433", "sql2.corp.test:1433", 1}},
      failure(Step::server_login, Cause::redirect_refused, "sql3.lab.test:1433 is not within corp.test"));
  EXPECT_THAT(redirected.evidence, Contains(HasSubstr("redirect.followed")));
  EXPECT_EQ(redirected.said, "sql3.lab.test:1433 is not within corp.test");
  EXPECT_EQ(redirected.said_by, "");
}

TEST(Diagnose, WhoseFaultADeadlineIs) {
  for (const auto &[step, fault] : {std::pair{Step::client_login, Fault::client},
                                    {Step::resolve, Fault::dns},
                                    {Step::ticket, Fault::kdc},
                                    {Step::connect, Fault::network},
                                    {Step::server_login, Fault::server},
                                    {Step::accept, Fault::us}}) {
    EXPECT_EQ(diagnose(asked, failure(step, Cause::deadline)).fault, fault) << spelling(step);
    EXPECT_EQ(diagnose(asked, failure(step, Cause::limit)).fault, Fault::us) << spelling(step);
  }
}

TEST(Diagnose, KindsOfAuthHaveACause) {
  for (int i = 0; i <= static_cast<int>(auth::Kind::other); ++i) {
    const auto kind = static_cast<auth::Kind>(i);
    const bool says_nothing =
        kind == auth::Kind::ok || kind == auth::Kind::preauth_required || kind == auth::Kind::other;
    EXPECT_EQ(cause_of(kind).has_value(), !says_nothing) << auth::to_string(kind);
  }
  EXPECT_EQ(cause_of(auth::Kind::key_wrong), Cause::spn_wrong_account);
  EXPECT_EQ(cause_of(auth::Kind::key_version_wrong), Cause::server_key_old);
}

// ---- what the client reads ----

TEST(ClientText, HasCauseSpnWordsRemedyAndConnection) {
  const Diagnosis missing =
      diagnose(resolved + std::vector<Event>{not_found, refused}, failure(Step::ticket, Cause::spn_missing));
  EXPECT_THAT(
      client_text(missing, "7f3a01c2"),
      AllOf(
          testing::StartsWith(
              "spn-missing: The KDC knows no service principal name MSSQLSvc/sql1.corp.test:1433@CORP.TEST"),
          HasSubstr(" The KDC said: \"Server not found in Kerberos database\"."),
          HasSubstr(
              " Remedy: Register it on the account that SQL Server runs as: setspn -S MSSQLSvc/sql1.corp.test:1433 DOMAIN\\SERVICEACCOUNT"),
          testing::EndsWith(" (sqlshim connection 7f3a01c2)")));
  const Diagnosis denied = diagnose(complete, failure(Step::server_login, Cause::login_denied, "18456"));
  EXPECT_THAT(
      client_text(denied, "7f3a01c2"),
      AllOf(HasSubstr(" SPN: MSSQLSvc/sql1.corp.test:1433@CORP.TEST."), HasSubstr(" Detail: 18456.")));
}

TEST(ClientText, IsOneLineOfPlainTextAndNeverTooLong) {
  // Everything that comes from outside, at its worst.
  std::string worst;
  while (worst.size() < 2'500)
    worst += "\x1b[2J\n\u202E\xff{spn}\"";
  const Records hostile = trail_of(
      {Accepted{worst, worst, worst}, CallerProven{1, worst, {worst}, worst, 1},
       LoginReceived{worst, worst, worst, worst, worst, worst, 0, 0, LoginKind::sql, worst, 0, {worst}},
       PolicyDecided{worst, PolicyOutcome::deny, worst, worst, worst},
       DnsAnswered{worst, worst, worst, 0, {worst}, worst, false, 0},
       TargetResolved{worst, worst, 1, worst, {worst}}, KdcAnswered{worst, worst, -1, worst, worst, 1, 1},
       KdcAnswered{worst, worst, 7, worst, worst, 1, 1},
       SpnTried{worst, auth::Why::port, Tried::refused, auth::Kind::other, worst},
       TicketChosen{worst, worst, worst, 1, worst, false, worst}, ServerConnected{worst, 1, 1},
       TlsAgreed{Side::server, worst, worst, {worst, worst}, false, worst, worst},
       RedirectFollowed{worst, worst, 1}, ServerSaid{18456, 1, 14, worst}});
  for (const CauseEntry &entry : all_causes())
    for (const Step step : {Step::ticket, Step::server_login}) {
      const std::string text = client_text(diagnose(hostile, failure(step, entry.cause, worst)), "7f3a01c2");
      EXPECT_LE(text.size(), 2000u) << entry.id;
      EXPECT_EQ(text.find_first_of("\n\r\x1b\x7f"), std::string::npos) << entry.id;
      EXPECT_EQ(text, printable(text, 2000)) << entry.id;
      EXPECT_THAT(text, AllOf(HasSubstr(" Remedy: "), testing::EndsWith(" (sqlshim connection 7f3a01c2)")))
          << entry.id;
    }
}

TEST(ClientText, OrdinaryRemediesAreWhole) {
  for (const CauseEntry &entry : all_causes()) {
    const Diagnosis diagnosis = diagnose(complete, failure(Step::server_login, entry.cause));
    EXPECT_THAT(client_text(diagnosis, "7f3a01c2"),
                AllOf(HasSubstr(diagnosis.sentence), HasSubstr(diagnosis.remedy)))
        << entry.id;
  }
}

// ---- old logs ----

TEST(Diagnose, RunsOverALogOfVersion1) {
  std::ifstream file(SQLSHIM_SOURCE_DIR "/tests/data/decisions-v1.jsonl");
  ASSERT_TRUE(file);
  Records trail;
  for (std::string line; std::getline(file, line);)
    if (auto record = from_json(line); record && !record->conn.empty()) trail.push_back(*std::move(record));
  const auto diagnosis = diagnose(trail);
  ASSERT_TRUE(diagnosis);
  EXPECT_EQ(diagnosis->cause, Cause::spn_missing);
}

} // namespace
