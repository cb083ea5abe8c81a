// NTLM through the proxy, to a server that takes it as Windows does. What came to the server is read
// from the server's own record.
#include "config/causes.hpp"
#include "tests/component/server_in_process.hpp"
#include "tests/support/tsql.hpp"

#include <map>
#include <thread>

namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::string_view ntlmssp("NTLMSSP\0", 8);

/// Whether any connection of the lab's server brought an NTLM token.
bool server_saw_ntlm(lab::Lab &lab) {
  for (const auto &entry : fs::directory_iterator(lab.folder() / "peer"))
    if (entry.path().string().ends_with(".tds.bin") && lab::read_file(entry.path()).contains(ntlmssp))
      return true;
  return false;
}

class Ntlm : public test::ServerInProcess {
protected:
  void bring_up(lab::LabOptions options = {}) {
    options.serve = false;
    strict_ = options.server_encrypt == "strict";
    lab_ = std::make_unique<lab::Lab>(std::move(options));
  }
  /// svc-reports by its password.
  config::Config route_with(std::vector<config::AttemptKind> attempts, std::string_view password = {}) {
    const auto file = folder_.path() / "password";
    lab::write_file(file, std::string(password.empty() ? lab::service_password : password) + "\n");
    auto config = configuration(*lab_, identity(config::IdentityKind::password_file, file.string()));
    config.domains = {{"CORP", "CORP.TEST"}};
    auto &route = config.routes[0];
    route.attempts = std::move(attempts);
    if (strict_) route.encrypt = config::Encrypt::strict;
    return config;
  }
  config::Config ntlm_alone() { return route_with({config::AttemptKind::tcp_ntlm}); }
  nlohmann::json record(int number = 1) {
    nlohmann::json found;
    EXPECT_TRUE(lab::eventually([&] { return (found = lab_->peer().record(number)).contains("outcome"); }));
    return found;
  }
  template <class E> std::vector<std::string> told(const test::LoggedIn &login) {
    std::vector<std::string> lines;
    for (const auto &event : test::events_of<E>(login.trail))
      lines.push_back(event.from + " -> " + event.to + ": " + event.reason);
    return lines;
  }

  std::unique_ptr<lab::Lab> lab_;
  bool strict_ = false;
};

TEST_F(Ntlm, LogsInBoundToItsChannelAndWithAMic) {
  for (const std::string encrypt :
       {"on", "strict"}) { // of itself, strict would be TLS 1.3, which has no binding
    SCOPED_TRACE(encrypt);
    bring_up({.server_encrypt = encrypt, .epa = "required"});
    start(ntlm_alone(), {}, /*debug=*/true);
    const auto login = log_in();
    ASSERT_TRUE(login.accepted) << login.error;
    const auto seen = record();
    EXPECT_EQ(seen["mechanism"], "ntlm");
    EXPECT_EQ(seen["auth_scheme"], "NTLM");
    EXPECT_EQ(seen["login"], R"(CORP\svc-reports)");
    EXPECT_EQ(seen["ntlm"]["domain"], "CORP");
    EXPECT_EQ(seen["ntlm"]["mic"], true) << seen.dump(1);
    EXPECT_EQ(seen["ntlm"]["channel_bound"], true) << seen.dump(1);
    EXPECT_EQ(seen["ntlm"]["target_name"], fmt::format("MSSQLSvc/sql1.corp.test:{}", lab_->sql_port()));
    const auto taken = test::events_of<shim::CredentialsTaken>(login.trail);
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].from, shim::CredentialsFrom::ntlm);
    EXPECT_EQ(taken[0].account, R"(CORP\svc-reports)");
    for (const auto &event : test::events_of<shim::TokenExchanged>(login.trail))
      EXPECT_EQ(event.mechanism, "ntlm");
    EXPECT_THAT(test::events_of<shim::KdcAnswered>(login.trail), IsEmpty()) << "NTLM needs no KDC";
    server_.reset();
  }
}

TEST_F(Ntlm, BehindAMissingSpnWhereItIsListed) {
  bring_up({.fault = "spn-missing"});
  auto config = route_with({config::AttemptKind::tcp_kerberos, config::AttemptKind::tcp_ntlm});
  start(config);
  auto login = log_in();
  EXPECT_THAT(login.error, StartsWith("spn-missing: ")) << "nothing is listed";
  EXPECT_THAT(told<shim::FallbackWithheld>(login),
              ElementsAre(EndsWith("-> tcp+ntlm: fallback_on does not list spn-missing")));
  EXPECT_FALSE(server_saw_ntlm(*lab_));
  config.routes[0].fallback_on = {config::Cause::spn_missing};
  start(config);
  login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told<shim::FallbackTaken>(login),
              ElementsAre(EndsWith("-> tcp+ntlm: fallback_on lists spn-missing")));
  EXPECT_TRUE(server_saw_ntlm(*lab_));
}

// Whoever answers: without a certificate that was verified it gets no answer that a password can be guessed
// from, whatever came into the configuration.
TEST_F(Ntlm, NotToAnUnprovenServer) {
  bring_up();
  auto config = ntlm_alone();
  config.routes[0].trust_server_certificate = true;
  start(config);
  const auto login = log_in();
  EXPECT_THAT(login.error, StartsWith("mutual-auth-missing: "));
  EXPECT_FALSE(lab_->peer().record(1).contains("ntlm")) << "no AUTHENTICATE went out";
  config.routes[0].unprotected = config::Unprotected::accept;
  start(config);
  EXPECT_TRUE(log_in().accepted);
}

TEST_F(Ntlm, NotWithoutAMic) {
  bring_up({.change = [](lab::Plan &plan) { plan.peer.ntlm_timestamp = false; }});
  auto config = ntlm_alone();
  start(config);
  auto login = log_in();
  EXPECT_THAT(login.error, StartsWith("ntlm-no-mic: "));
  EXPECT_THAT(login.error, HasSubstr("unprotected"));
  EXPECT_FALSE(lab_->peer().record(1).contains("ntlm"));
  config.routes[0].unprotected = config::Unprotected::accept;
  start(config);
  login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(record(2)["ntlm"]["mic"], false);
}

TEST_F(Ntlm, AWrongPasswordIsTriedTwice) {
  bring_up();
  start(route_with({config::AttemptKind::tcp_ntlm}, "Wrong.Passw0rd"));
  for (int i = 0; i < 2; ++i) {
    const auto login = log_in();
    EXPECT_THAT(login.error, AllOf(StartsWith("ntlm-untrusted: "), HasSubstr(R"(CORP\svc-reports)"))) << i;
    EXPECT_EQ(login.cause(), "ntlm-untrusted");
  }
  EXPECT_THAT(log_in().error, StartsWith("password-throttled: "));
  EXPECT_TRUE(lab_->peer().record(3).empty()) << "nobody connected";
}

// All of them would otherwise be on their way before the first is refused, and an
// account is locked after a few.
TEST_F(Ntlm, WrongPasswordsAtOnceAreTriedOneByOne) {
  bring_up({.change = [](lab::Plan &plan) { plan.peer.login_delay = lab::milliseconds(200); }});
  start(route_with({config::AttemptKind::tcp_ntlm}, "Wrong.Passw0rd"));
  std::vector<std::thread> applications;
  for (int i = 0; i < 8; ++i)
    applications.emplace_back([this] {
      test::Connection connection("127.0.0.1", port_);
      EXPECT_FALSE(test::log_in(connection).reply);
    });
  for (auto &application : applications)
    application.join();
  EXPECT_FALSE(record(2).empty());
  EXPECT_TRUE(lab_->peer().record(3).empty()) << "a third try";
}

// One that was believed is not held up by the others.
TEST_F(Ntlm, AGoodPasswordWaitsForNobody) {
  static constexpr lab::milliseconds delay(
      1500); // far longer than what a login takes of a machine with much to do
  bring_up({.change = [](lab::Plan &plan) { plan.peer.login_delay = delay; }});
  start(ntlm_alone());
  ASSERT_TRUE(log_in().accepted);
  const auto started = std::chrono::steady_clock::now();
  std::vector<std::thread> applications;
  for (int i = 0; i < 8; ++i)
    applications.emplace_back([this] {
      test::Connection connection("127.0.0.1", port_);
      EXPECT_TRUE(test::log_in(connection).reply);
    });
  for (auto &application : applications)
    application.join();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 8 * delay) << "one after the other";
}

TEST_F(Ntlm, AServerThatTakesNone) {
  bring_up({.change = [](lab::Plan &plan) { plan.peer.ntlm = false; }});
  start(ntlm_alone());
  EXPECT_THAT(log_in().error, StartsWith("ntlm-untrusted: "));
}

// The lab's own route, with a real client, as README and `lab --help` show it.
TEST(NtlmFallback, IsTakenForTheMissingSpn) {
  lab::Lab lab({.fault = "spn-missing", .route = "ntlm-fallback"});
  const auto ran = test::tsql(lab, {.route = "ntlm-fallback"});
  EXPECT_THAT(ran.output, HasSubstr("NTLM"));
  EXPECT_THAT(lab.decisions(), HasSubstr("\"fallback.taken\""));
  EXPECT_TRUE(server_saw_ntlm(lab));
}

// For a cause of the Never list, whatever is listed besides: no NTLM, and the same search that
// finds it above finds nothing.
TEST(NtlmFallback, IsNeverTakenForTheOthers) {
  // Three of the faults only a client of another kind meets, and a keytab's is that of
  // a password on this route.
  const std::map<std::string_view, std::string> what_else{{"mars-refused", "KERBEROS"},
                                                          {"client-requires-tls", "KERBEROS"},
                                                          {"listener-requires-tls", "KERBEROS"},
                                                          {"keytab-mismatch", "preauth-failed: "}};
  for (const auto &fault : lab::all_faults()) {
    const auto *cause = config::find_cause(fault.id);
    if (!cause || cause->never.empty()) continue;
    SCOPED_TRACE(fault.id);
    lab::Lab lab({.fault = std::string(fault.id), .route = "ntlm-fallback"});
    const auto ran = test::tsql(lab, {.route = "ntlm-fallback"});
    const auto other = what_else.find(fault.id);
    EXPECT_THAT(ran.output,
                HasSubstr(other == what_else.end() ? std::string(fault.id) + ": " : other->second));
    EXPECT_FALSE(server_saw_ntlm(lab)) << ran.output;
    EXPECT_THAT(lab.decisions(), Not(HasSubstr("\"fallback.taken\"")));
  }
}

TEST(NtlmFallback, WithoutThePackage) {
  lab::Lab lab({.fault = "spn-missing", .serve = false});
  lab::Command command;
  command.argv = {lab::program_folder() / "sqlshim", "explain", "--route", "ntlm-fallback", "--connect"};
  command.environment = lab.environment();
  command.environment["GSS_MECH_CONFIG"] =
      lab.folder() / "absent.conf"; // read by the mechanism glue, once, at its start
  const auto ran = lab::run(std::move(command));
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.output, AllOf(HasSubstr("mechanism-missing"), HasSubstr("gss-ntlmssp")));
}

} // namespace
