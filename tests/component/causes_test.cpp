// Every cause, produced for real: a lab with one fault, tsql as the client, and what the client, the decision
// log and the diagnosis then say.
#include "shim/diagnosis/diagnose.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/tds_client.hpp"
#include "tests/support/tsql.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433";

/// What a login through a broken lab must show. Substrings: all of `client` in what tsql prints (line
/// breaks as tsql prints them).
struct Broken {
  const char *fault;
  const char *cause;
  std::vector<std::string> client; ///< in tsql's output, beside cause id and connection id
  const char *step;
  const char *blames;
  std::vector<std::string> evidence; ///< names of events that must stand in the trail
};

void PrintTo(const Broken &broken, std::ostream *out) { *out << broken.fault; }

class Causes : public TestWithParam<Broken> {};

TEST_P(Causes, IsNamedToClientAndLog) {
  const auto &broken = GetParam();
  lab::Lab lab({.fault = broken.fault});
  auto ran = test::tsql(lab);
  SCOPED_TRACE(ran.output + "\n" + lab.decisions());
  // The one that tsql was told of: the lab may have made logins of its own before.
  std::vector<shim::Record> trail;
  ASSERT_TRUE(lab::eventually([&] {
    trail = test::last_connection(lab.decisions());
    return !trail.empty() && ran.output.contains(trail.front().conn) &&
           std::holds_alternative<shim::Closed>(trail.back().event);
  }));
  test::check_trail(trail);
  auto refused = test::events_of<shim::Refused>(trail);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].cause, broken.cause);
  EXPECT_EQ(auth::spelling(refused[0].step.value()), broken.step);
  EXPECT_EQ(auth::spelling(refused[0].fault.value()), broken.blames);
  EXPECT_FALSE(refused[0].remedy.empty());
  std::vector<std::string> seen;
  for (const auto &record : trail)
    seen.emplace_back(shim::name_of(record.event));
  for (const auto &event : broken.evidence)
    EXPECT_THAT(seen, Contains(event));

  EXPECT_THAT(ran.output, HasSubstr(std::string(broken.cause) + ":"));
  std::string as = "Msg 50811 (severity 14, state 1) from sqlshim";
  for (const auto &said :
       test::events_of<shim::ServerSaid>(trail)) // where the server refused: with its number
    if (said.severity > 10)
      as = fmt::format("Msg {} (severity {}, state {}) from sqlshim", said.number, said.severity, said.state);
  EXPECT_THAT(ran.output, HasSubstr(as));
  EXPECT_THAT(ran.output, HasSubstr(trail.front().conn))
      << "the connection id leads from the client's error to the log";
  for (const auto &text : broken.client)
    EXPECT_THAT(ran.output, HasSubstr(text));

  // The diagnosis can be made again from the log alone, and says the same.
  auto again = shim::diagnose(trail);
  ASSERT_TRUE(again);
  EXPECT_EQ(id(again->cause), broken.cause);
  EXPECT_EQ(again->remedy, refused[0].remedy);
  EXPECT_TRUE(lab.serve().running()) << "sqlshim serves on, whatever a login came to";
}

const std::vector<std::string> asked_kdc = {"dns.answered", "target.resolved", "plan.made",
                                            "kdc.answered", "spn.tried",       "attempt.ended"};
const std::vector<std::string> reached_server = {"ticket.chosen", "server.connected", "attempt.ended"};

INSTANTIATE_TEST_SUITE_P(
    Lab, Causes,
    Values(
        Broken{"name-not-found",
               "name-not-found",
               {"sql1.corp.test", "nxdomain"},
               "resolve",
               "dns",
               {"dns.answered"}},
        Broken{"spn-missing",
               "spn-missing",
               {spn, "Server not found in Kerberos database", "setspn -S MSSQLSvc/sql1.corp.test:1433"},
               "ticket",
               "directory",
               asked_kdc},
        Broken{"spn-wrong-account",
               "spn-wrong-account",
               {spn, "setspn"},
               "server-login",
               "directory",
               reached_server},
        Broken{"server-key-old", "server-key-old", {spn, "keytab"}, "server-login", "server", reached_server},
        Broken{"spn-duplicate",
               "spn-duplicate",
               {spn, "more than one account", "setspn -X"},
               "ticket",
               "directory",
               asked_kdc},
        Broken{"realm-wrong",
               "realm-wrong",
               {"OTHER.TEST", "no way to it", "[domain_realm]"},
               "ticket",
               "configuration",
               asked_kdc},
        Broken{"kdc-tcp-blocked",
               "kdc-tcp-blocked",
               {":18088", "Connection refused", "over UDP", "TCP port 88"},
               "ticket",
               "network",
               {"kdc.answered", "spn.tried"}},
        Broken{"kdc-proxy-unsupported",
               "kdc-proxy-unsupported",
               {"https://kdcproxy.corp.test/KdcProxy", "CORP.TEST", "kdc = HOST"},
               "ticket",
               "configuration",
               {"kdc.answered", "spn.tried"}},
        Broken{"etype-refused", "etype-refused", {spn, "encryption type"}, "ticket", "directory", asked_kdc},
        Broken{"realm-unknown",
               "realm-unknown",
               {"a KDC of realm NOWHERE.TEST is", "NOWHERE.TEST = { kdc = HOST }"},
               "ticket",
               "configuration",
               {"plan.made", "kdc.answered", "spn.tried"}},
        Broken{"kdc-unreachable",
               "kdc-unreachable",
               {":18088", "refused"},
               "ticket",
               "network",
               {"kdc.answered", "spn.tried"}},
        Broken{"clock-skew",
               "clock-skew",
               {"60", "seconds"},
               "ticket",
               "configuration",
               {"kdc.answered", "spn.tried"}},
        Broken{"no-credentials",
               "no-credentials",
               {"absent.ccache"},
               "ticket",
               "configuration",
               {"policy.decided"}},
        Broken{"tgt-expired",
               "tgt-expired",
               {"svc-reports@CORP.TEST", "kinit"},
               "ticket",
               "configuration",
               {"policy.decided"}},
        Broken{"keytab-mismatch",
               "keytab-mismatch",
               {"svc-reports@CORP.TEST", "keytab"},
               "ticket",
               "configuration",
               {"kdc.answered", "spn.tried"}},
        Broken{"preauth-failed",
               "preauth-failed",
               {"svc-reports@CORP.TEST", "password"},
               "ticket",
               "configuration",
               {"kdc.answered", "spn.tried"}},
        Broken{"password-throttled",
               "password-throttled",
               {"svc-reports@CORP.TEST", "twice within an hour", "wrong.password", "SIGHUP"},
               "ticket",
               "configuration",
               {"spn.tried"}},
        Broken{"account-revoked",
               "account-revoked",
               {"svc-reports@CORP.TEST"},
               "ticket",
               "directory",
               {"kdc.answered", "spn.tried"}},
        Broken{"password-expired",
               "password-expired",
               {"svc-reports@CORP.TEST"},
               "ticket",
               "directory",
               {"kdc.answered", "spn.tried"}},
        Broken{"mutual-auth-missing",
               "mutual-auth-missing",
               {"sql1.corp.test"},
               "server-login",
               "server",
               reached_server},
        Broken{"login-untrusted",
               "login-untrusted",
               {"18452", "untrusted domain"},
               "server-login",
               "server",
               {"server.message", "attempt.ended"}},
        Broken{"login-denied",
               "login-denied",
               {"18456", "svc-reports"},
               "server-login",
               "server",
               {"server.message", "attempt.ended"}},
        Broken{"anonymous-logon",
               "anonymous-logon",
               {"ANONYMOUS LOGON", "delegation"},
               "server-login",
               "server",
               {"server.message", "attempt.ended"}},
        Broken{"database-denied",
               "database-denied",
               {"4060"},
               "server-login",
               "server",
               {"server.message", "attempt.ended"}},
        Broken{"server-closed",
               "server-closed",
               {"sql1.corp.test"},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"protocol-violation",
               "protocol-violation",
               {"the server"},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"deadline",
               "deadline",
               {"2000 ms", "server-login"},
               "server-login",
               "server",
               {"server.connected"}},
        Broken{"connection-refused",
               "connection-refused",
               {":1433"},
               "connect",
               "network",
               {"ticket.chosen", "attempt.ended"}},
        Broken{"connection-timeout",
               "connection-timeout",
               {"1000 ms"},
               "connect",
               "network",
               {"ticket.chosen", "attempt.ended"}},
        Broken{"server-requires-tls",
               "server-requires-tls",
               {"encrypt"},
               "server-login",
               "configuration",
               {"prelogin.answered", "attempt.ended"}},
        Broken{"server-without-tls",
               "server-without-tls",
               {"encrypt"},
               "server-login",
               "server",
               {"prelogin.answered", "attempt.ended"}},
        Broken{"certificate-name",
               "certificate-name",
               {"it holds other.corp.test", "host_name_in_certificate = \"other.corp.test\""},
               "server-login",
               "configuration",
               {"server.connected", "attempt.ended"}},
        Broken{"certificate-untrusted",
               "certificate-untrusted",
               {"ca_file"},
               "server-login",
               "configuration",
               {"server.connected", "attempt.ended"}},
        Broken{"certificate-expired",
               "certificate-expired",
               {},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"certificate-self-signed",
               "certificate-self-signed",
               {"ca_file"},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"certificate-weak",
               "certificate-weak",
               {},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"tls-version-refused",
               "tls-version-refused",
               {"tls_min"},
               "server-login",
               "server",
               {"server.connected", "attempt.ended"}},
        Broken{"tls-mismatch",
               "tls-mismatch",
               {"encrypt"},
               "server-login",
               "configuration",
               {"server.connected", "attempt.ended"}},
        Broken{"channel-binding-refused",
               "channel-binding-refused",
               {"Extended Protection", "18452"},
               "server-login",
               "server",
               {"server.message", "attempt.ended"}},
        Broken{"redirect-refused",
               "redirect-refused",
               {"evil.test", "not below corp.test", "redirect_within"},
               "server-login",
               "configuration",
               {"tls.agreed", "attempt.ended"}},
        Broken{"caller-denied", "caller-denied", {"callers"}, "caller", "configuration", {"caller.proven"}},
        Broken{"client-auth-refused",
               "client-auth-refused",
               {"client_auth"},
               "policy",
               "client",
               {"policy.decided"}},
        Broken{
            "identity-denied", "identity-denied", {"allow"}, "policy", "configuration", {"policy.decided"}},
        Broken{"route-denied", "route-denied", {"route"}, "policy", "configuration", {"policy.decided"}}),
    [](const auto &row) {
      std::string name = row.param.fault;
      for (char &c : name)
        if (c == '-') c = '_';
      return name;
    });

// --- what the client itself does wrong: one good lab for all
// -------------------------------------------------------------------------------------

class ClientCauses : public Test {
protected:
  static void SetUpTestSuite() { lab_ = new lab::Lab(); }
  static void TearDownTestSuite() {
    delete lab_;
    lab_ = nullptr;
  }

  /// The `refused` event of the last connection, once it is closed.
  shim::Refused refusal() {
    std::vector<shim::Record> trail;
    lab::eventually([&] {
      trail = test::last_connection(lab_->decisions());
      return !trail.empty() && std::holds_alternative<shim::Closed>(trail.back().event);
    });
    test::check_trail(trail);
    auto refused = test::events_of<shim::Refused>(trail);
    EXPECT_EQ(refused.size(), 1u) << lab_->decisions();
    return refused.empty() ? shim::Refused{} : refused[0];
  }
  test::Connection connect() { return {"127.0.0.1", lab_->port()}; }

  static lab::Lab *lab_;
};
lab::Lab *ClientCauses::lab_ = nullptr;

TEST_F(ClientCauses, Tds42) {
  auto ran = test::tsql(*lab_, {.environment = {{"TDSVER", "4.2"}}, .arguments = {"-U", "x", "-P", "y"}});
  EXPECT_THAT(ran.output, HasSubstr("tds-too-old"));
  EXPECT_EQ(refusal().cause, "tds-too-old");
}

TEST_F(ClientCauses, FederatedAuthentication) {
  auto connection = connect();
  test::ClientOptions options;
  options.features.push_back({tds::FeatureId::fedauth, {0x02, 0, 0, 0, 0}});
  auto login = test::log_in(connection, options);
  EXPECT_THAT(login.error(), StartsWith("fedauth-not-supported: "));
  EXPECT_EQ(refusal().cause, "fedauth-not-supported");
}

TEST_F(ClientCauses, BytesBeforeTheAnswerAreNeverForwarded) {
  auto connection = connect();
  tds::Writer out;
  tds::Prelogin prelogin;
  prelogin.set_version({});
  prelogin.set_encryption(tds::Encryption::not_sup);
  connection.send(tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin)));
  ASSERT_FALSE(connection.receive().empty());
  auto login = tds::encode_message(tds::PacketType::login7, *tds::encode_login7(test::make_login7({})));
  auto early =
      tds::encode_message(tds::PacketType::sql_batch, tds::Bytes{'e', 0, 'a', 0, 'r', 0, 'l', 0, 'y', 0});
  login.insert(login.end(), early.begin(), early.end());
  connection.send(login);
  connection.receive_all();
  auto refused = refusal();
  EXPECT_EQ(refused.cause, "protocol-violation");
  for (int number = 1; lab_->peer().received(number) != ""; ++number)
    EXPECT_THAT(lab_->peer().received(number), Not(HasSubstr(std::string("e\0a\0r\0l\0y", 9))));
}

TEST_F(ClientCauses, GarbageIsAProtocolViolation) {
  auto connection = connect();
  const tds::Bytes garbage(64, 'G');
  connection.send(garbage);
  connection.receive_all();
  auto refused = refusal();
  EXPECT_EQ(refused.cause, "protocol-violation");
  EXPECT_EQ(refused.step, shim::Step::client_login);
}

TEST(Causes, MarsRefused) {
  lab::Lab lab({.fault = "mars-refused"});
  test::Connection connection("127.0.0.1", lab.port());
  auto login = test::log_in(connection, {.mars = true});
  EXPECT_THAT(login.error(), StartsWith("mars-refused: "));
  test::Connection without("127.0.0.1", lab.port());
  EXPECT_TRUE(test::log_in(without).reply) << "who does not ask for MARS notices nothing";
}

TEST(Causes, WhatIsMissingAtThePlaceThatARedirectLedToIsToldOfThatPlace) {
  lab::Lab lab({.change = [](lab::Plan &plan) { plan.peer.route = lab::RouteTo{"sql9.corp.test", 1433}; }});
  auto ran = test::tsql(lab);
  EXPECT_THAT(ran.output, HasSubstr("name-not-found: DNS has no address for the target sql9.corp.test"));
}

// --- TLS between the application and sqlshim: what the client reads it cannot always show, the log says it
// all ------------------------------------

class ListenerTls : public Test {
protected:
  /// tsql through the lab with this `encryption` of freetds.conf, and the `refused` event.
  static std::pair<lab::Finished, shim::Refused> log_in(lab::Lab &lab, const std::string &encryption) {
    lab::write_file(lab.folder() / "tls.conf",
                    "[shim]\nhost = 127.0.0.1\nport = " + std::to_string(lab.port()) +
                        "\ntds version = 7.4\nencryption = " + encryption + "\n");
    auto ran = lab::run({.argv = {"tsql", "-S", "shim", "-U", "x", "-P", "y"},
                         .environment = {{"FREETDSCONF", (lab.folder() / "tls.conf").string()}}},
                        test::which_scheme);
    std::vector<shim::Record> trail;
    lab::eventually([&] {
      trail = test::last_connection(lab.decisions());
      return !trail.empty() && std::holds_alternative<shim::Closed>(trail.back().event);
    });
    test::check_trail(trail);
    auto refused = test::events_of<shim::Refused>(trail);
    return {ran, refused.empty() ? shim::Refused{} : refused[0]};
  }
};

TEST_F(ListenerTls, OptionalDoesWhatIsAsked) {
  lab::Lab lab;
  for (const auto *encryption : {"off", "request", "require"}) {
    const auto [ran, refused] = log_in(lab, encryption);
    EXPECT_THAT(ran.output, HasSubstr("KERBEROS")) << encryption;
    EXPECT_EQ(refused.cause, "");
  }
}

TEST_F(ListenerTls, OffRefusesWhoDemandsIt) {
  lab::Lab lab({.fault = "client-requires-tls"});
  const auto [ran, refused] = log_in(lab, "require");
  EXPECT_NE(ran.status, 0);
  EXPECT_EQ(refused.cause, "client-requires-tls");
  EXPECT_EQ(refused.fault, shim::Fault::client);
  EXPECT_THAT(refused.remedy, HasSubstr("optional"));
}

TEST_F(ListenerTls, OffTellsAStrictClientOnTheWire) {
  lab::Lab lab({.fault = "client-requires-tls"});
  test::Connection connection("127.0.0.1", lab.port());
  const tds::Bytes client_hello_start = {0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x03};
  connection.send(client_hello_start);
  EXPECT_TRUE(test::says(connection.receive_all(), u"client-requires-tls"));
}

TEST_F(ListenerTls, RequiredRefusesWhoOffersNone) {
  lab::Lab lab({.fault = "listener-requires-tls"});
  const auto [ran, refused] = log_in(lab, "off");
  EXPECT_NE(ran.status, 0);
  EXPECT_EQ(refused.cause, "listener-requires-tls");
  EXPECT_EQ(refused.fault, shim::Fault::client);
  EXPECT_THAT(log_in(lab, "require").first.output, HasSubstr("KERBEROS"));
  // Who begins with LOGIN7 can be told, and is.
  EXPECT_THAT(test::tsql(lab, {.environment = {{"TDSVER", "7.0"}}}).output,
              HasSubstr("listener-requires-tls:"));
}

TEST(Causes, NativeWrongKeyIsTheWrongAccountToo) {
  lab::Lab lab(
      {.fault = "spn-wrong-account", .change = [](lab::Plan &plan) { plan.peer.native_errors = true; }});
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("spn-wrong-account:"));
}

TEST(Causes, ServerThatClosesOnTheTicketIsTheWrongAccount) {
  lab::Lab lab({.change = [](lab::Plan &plan) { plan.peer.close_at = lab::Moment::login; }});
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("spn-wrong-account:"));
}

TEST(Causes, AClientThatIsSilentMeetsItsDeadline) {
  lab::Lab lab;
  test::Connection connection("127.0.0.1", lab.port());
  // The limit is 10 s from accepting; the receive gives up a little later than that.
  auto started = std::chrono::steady_clock::now();
  tds::Bytes answer;
  while (answer.empty() && std::chrono::steady_clock::now() - started < std::chrono::seconds(20))
    answer = connection.receive();
  EXPECT_FALSE(answer.empty());
  EXPECT_TRUE(lab::eventually([&] {
    return lab.decisions().find("\"cause\":\"deadline\"") != std::string::npos;
  })) << lab.decisions();
}

/// A ticket that a server rejected leaves the store: that login fails, and the next one asks the KDC
/// anew without anybody's help.
TEST(Causes, ARejectedTicketIsNotTriedAgain) {
  lab::Lab lab;
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("KERBEROS"));
  lab.realm().change_key(lab.spn());
  fs::remove(lab.folder() / "peer.keytab");
  lab.realm().ktadd(lab.folder() / "peer.keytab", lab.spn());
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("spn-wrong-account:")) << "the ticket is of the old key";
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("KERBEROS")) << lab.decisions();
}

/// The lab by hand, as in the issue: sqlshim runs on throughout, and a HUP is all that it needs.
TEST(Causes, MendedWhileSqlshimRunsOn) {
  lab::Lab lab;
  EXPECT_THAT(test::tsql(lab).output, HasSubstr("KERBEROS"));
  auto forget = [&] {
    auto reloads = test::events_of<shim::Reloaded>(test::records_of(lab.decisions())).size();
    lab.serve().signal(SIGHUP);
    ASSERT_TRUE(lab::eventually(
        [&] { return test::events_of<shim::Reloaded>(test::records_of(lab.decisions())).size() > reloads; }));
  };

  lab.realm().remove(lab.spn());
  forget();
  auto missing = test::tsql(lab).output;
  EXPECT_THAT(missing, AllOf(HasSubstr("spn-missing:"), HasSubstr(spn), HasSubstr("setspn -S")));

  lab.realm().add_spn(lab.spn());
  forget();
  EXPECT_THAT(test::tsql(lab).output, AllOf(HasSubstr("spn-wrong-account:"), HasSubstr(spn)));

  fs::remove(lab.folder() / "peer.keytab");
  lab.realm().ktadd(lab.folder() / "peer.keytab", lab.spn());
  auto mended =
      test::tsql(lab)
          .output; // no HUP: the rejected ticket has left the store, and the new key is the account's
  EXPECT_THAT(mended, HasSubstr("KERBEROS")) << lab.decisions();
  EXPECT_TRUE(lab.serve().running());
}

} // namespace
