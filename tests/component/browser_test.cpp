// A named instance: SQL Browser is asked where it is, what it says is kept, and found out anew when it is
// wrong. A failover partner. Our own SQL Browser. All with a real lab.
#include "tests/component/server_in_process.hpp"

#include "shim/names/browser.hpp"

#include <csignal>
#include <sys/socket.h>
#include <sys/un.h>

namespace {

using namespace testing;

std::vector<shim::BrowserAnswered> answers(const test::LoggedIn &login) {
  return test::events_of<shim::BrowserAnswered>(login.trail);
}
std::uint16_t resolved_port(const test::LoggedIn &login) {
  const auto resolved = test::events_of<shim::TargetResolved>(login.trail);
  return resolved.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(resolved.back().port);
}

class NamedInstance : public test::ServerInProcess {
protected:
  void bring_up(lab::LabOptions options = {}) {
    options.instance = "INST";
    options.serve = false;
    lab_ = std::make_unique<lab::Lab>(std::move(options));
  }
  config::Config instance_configuration() {
    auto config = configuration(
        *lab_, identity(config::IdentityKind::keytab, (lab_->folder() / "reports.keytab").string()));
    config.routes[0].target = "sql1.corp.test\\INST";
    config.routes[0].spn_rules.order = {auth::Why::port};
    return config;
  }
  static std::string spn_at(std::uint16_t port) { return fmt::format("MSSQLSvc/sql1.corp.test:{}", port); }
  /// The instance is restarted, and has another port then. That port.
  std::uint16_t move() {
    const auto before = lab_->instance_port();
    lab_->peer().process().signal(SIGUSR1);
    EXPECT_TRUE(lab::eventually([&] { return lab_->instance_port() != before; })) << lab_->peer().log();
    return lab_->instance_port();
  }
  ~NamedInstance() override { server_.reset(); }
  std::unique_ptr<lab::Lab> lab_;
};

TEST_F(NamedInstance, IsFoundAndItsPortKept) {
  bring_up();
  start(instance_configuration());
  const auto port = lab_->instance_port();
  const auto first = log_in();
  ASSERT_TRUE(first.accepted) << first.error;
  ASSERT_EQ(answers(first).size(), 1u);
  EXPECT_EQ(answers(first)[0].instance, "INST");
  EXPECT_EQ(answers(first)[0].port, port);
  EXPECT_FALSE(answers(first)[0].cached);
  EXPECT_EQ(answers(first)[0].server, lab_->block().server(0) + ":1434");
  EXPECT_EQ(resolved_port(first), port);
  EXPECT_THAT(test::events_of<shim::TicketChosen>(first.trail)[0].spn, StartsWith(spn_at(port)));

  const auto second = log_in();
  ASSERT_TRUE(second.accepted) << second.error;
  ASSERT_EQ(answers(second).size(), 1u);
  EXPECT_TRUE(answers(second)[0].cached);
  EXPECT_EQ(lab_->browser().questions(), 1);

  server_->forget();
  const auto third = log_in();
  ASSERT_TRUE(third.accepted) << third.error;
  EXPECT_FALSE(answers(third).at(0).cached) << "SIGHUP";
}

// The instance is restarted while its port is kept: the same login finds it.
TEST_F(NamedInstance, IsFoundAgainWhenItsPortChanges) {
  bring_up();
  start(instance_configuration());
  ASSERT_TRUE(log_in().accepted);
  const auto before = lab_->instance_port(), now = move();
  const auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  const auto told = answers(login);
  ASSERT_EQ(told.size(), 3u); // kept; asked again, since nobody listens there; kept
  EXPECT_TRUE(told[0].cached);
  EXPECT_EQ(told[0].port, before);
  EXPECT_FALSE(told[1].cached);
  EXPECT_EQ(told[1].port, now);
  EXPECT_EQ(told[1].detail, fmt::format("was at port {}", before));
  EXPECT_EQ(resolved_port(login), now);
  EXPECT_THAT(test::events_of<shim::TicketChosen>(login.trail).back().spn, StartsWith(spn_at(now)));
  EXPECT_THAT(test::events_of<shim::AttemptEnded>(login.trail)[0].cause, "connection-refused");

  const auto next = log_in();
  ASSERT_TRUE(next.accepted) << next.error;
  EXPECT_EQ(answers(next).size(), 1u);
}

// The SPN of the old port is gone, and so is the ticket that was kept for it.
TEST_F(NamedInstance, IsFoundAgainWhereTheKdcKnowsTheOldPortNoMore) {
  bring_up();
  auto config = instance_configuration();
  config.identities.push_back(config.identities[0]);
  config.identities[1].name = "other"; // its tickets are its own
  config.identities[1].source = (lab_->folder() / "other.keytab").string();
  config.identities[1].principal = "svc-other@CORP.TEST";
  config.routes.push_back(config.routes[0]);
  config.routes[0].match.database = "master";
  config.routes[1].name = "other";
  config.routes[1].identity = "other";
  lab_->realm().add_principal("svc-other");
  lab_->realm().ktadd(lab_->folder() / "other.keytab", "svc-other");
  start(std::move(config));
  ASSERT_TRUE(log_in({.database = u"master"}).accepted);
  const auto now = move();
  const auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(test::events_of<shim::AttemptEnded>(login.trail)[0].cause, "spn-missing");
  EXPECT_EQ(resolved_port(login), now);
}

// Another instance has the port by now, and says so in PRELOGIN.
TEST_F(NamedInstance, AWrongInstanceIsLeft) {
  bring_up();
  start(instance_configuration());
  ASSERT_TRUE(log_in().accepted);
  const auto before = lab_->instance_port(), now = move();
  auto options = lab_->peer().options();
  options.instance = "OTHER";
  options.port = before;
  options.spn_host.clear();
  options.records.clear();
  lab::Peer other(lab_->folder(), options, lab_->realm().environment(), "other");
  const auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(resolved_port(login), now);
  EXPECT_THAT(test::events_of<shim::AttemptEnded>(login.trail)[0].cause, "protocol-violation");
  EXPECT_EQ(test::events_of<shim::ServerConnected>(login.trail).size(), 2u);
}

// SQL Browser itself leads to the wrong one: there is nowhere else to go.
TEST_F(NamedInstance, AWrongInstanceThatSqlBrowserNamesIsTold) {
  bring_up({.change = [](lab::Plan &plan) {
    plan.hosts["sql1.corp.test"] = [](lab::PeerOptions &options) { options.instance = "OTHER"; };
  }});
  start(instance_configuration());
  for (int i = 1; i <= 2; ++i) {
    const auto login = log_in();
    EXPECT_EQ(login.cause(), "protocol-violation");
    EXPECT_THAT(login.error, HasSubstr("Another instance than INST listens at"));
    EXPECT_EQ(answers(login).size(), 1u);
    EXPECT_FALSE(answers(login)[0].cached) << "a wrong answer is not kept";
    EXPECT_EQ(lab_->browser().questions(), i);
  }
}

TEST_F(NamedInstance, TheNewPortHasNoSpn) {
  bring_up();
  start(instance_configuration());
  ASSERT_TRUE(log_in().accepted);
  const auto before = lab_->instance_port(), now = move();
  lab_->realm().remove(spn_at(now));
  for (const bool kept : {false, true}) {
    SCOPED_TRACE(kept);
    const auto login = log_in();
    EXPECT_EQ(login.cause(), "port-changed");
    EXPECT_THAT(login.error, AllOf(HasSubstr(spn_at(now)), HasSubstr("fixed port")));
    EXPECT_EQ(answers(login).back().detail, fmt::format("was at port {}", before));
  }
}

TEST_F(NamedInstance, PortChangedMayBeFallenBackOn) {
  bring_up();
  auto config = instance_configuration();
  config.routes[0].attempts = {config::AttemptKind::tcp_kerberos, config::AttemptKind::tcp_sql};
  config.routes[0].fallback_on = {config::Cause::port_changed};
  start(std::move(config));
  ASSERT_TRUE(log_in().accepted);
  lab_->realm().remove(spn_at(move()));
  const auto login = log_in({.user = u"sa", .password = u"Lab.Passw0rd"});
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(test::events_of<shim::FallbackTaken>(login.trail).at(0).reason,
              "fallback_on lists port-changed");
}

TEST_F(NamedInstance, ASilentBrowser) {
  bring_up();
  lab_->browser().answer(false);
  auto config = instance_configuration();
  config.routes[0].timeouts.dns = std::chrono::milliseconds(300);
  start(std::move(config));
  const auto login = log_in();
  EXPECT_EQ(login.cause(), "browser-silent");
  EXPECT_EQ(test::events_of<shim::Refused>(login.trail).at(0).step, shim::Step::resolve);
  EXPECT_THAT(login.error, AllOf(HasSubstr("sql1.corp.test,PORT"), HasSubstr("no answer within")));
  ASSERT_EQ(answers(login).size(), 1u);
  EXPECT_EQ(answers(login)[0].port, 0u);
  EXPECT_THAT(login.kdcs, IsEmpty());
}

TEST_F(NamedInstance, ExplainTellsWhatSqlBrowserSaid) {
  bring_up();
  const auto explained = [&](std::vector<std::string> more) {
    std::vector<std::string> argv{lab::program_folder() / "sqlshim", "explain", "sql1.corp.test\\INST"};
    argv.insert(argv.end(), more.begin(), more.end());
    const auto done = lab::run({.argv = argv, .environment = lab_->environment()});
    EXPECT_EQ(done.status, 0) << done.output;
    return done.output;
  };
  const auto port = lab_->instance_port();
  const auto answer = HasSubstr(fmt::format("INST is at port {} ({}:1434", port, lab_->block().server(0)));
  EXPECT_THAT(explained({}), AllOf(answer, HasSubstr(spn_at(port))));
  EXPECT_THAT(explained({"--connect"}), AllOf(answer, HasSubstr("auth_scheme is KERBEROS")));
  EXPECT_THAT(explained({"--as", "tiberius"}), HasSubstr(spn_at(port)));
}

TEST_F(NamedInstance, OverIPv6) {
  try {
    bring_up({.change = [](lab::Plan &plan) { plan.ipv6 = true; }});
  } catch (const lab::LabError &error) {
    GTEST_SKIP() << error.what(); // there is one such address, and another lab may have it
  }
  start(instance_configuration());
  const auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(answers(login).at(0).server, "[::1]:1434");
}

// ---- a failover partner ----

class FailoverPartner : public test::ServerInProcess {
protected:
  config::Config with_partner(lab::Lab &lab) {
    auto config = configuration(
        lab, identity(config::IdentityKind::keytab, (lab.folder() / "reports.keytab").string()));
    config.routes[0].failover_partner = fmt::format("sql2.corp.test,{}", lab.sql_port());
    config.routes[0].host_name_in_certificate = "sql1.corp.test"; // of the target alone
    config.routes[0].spn = fmt::format("MSSQLSvc/sql1.corp.test:{}", lab.sql_port());
    return config;
  }
  static std::vector<std::string> partners(const test::LoggedIn &login) {
    std::vector<std::string> tried;
    for (const auto &event : test::events_of<shim::PartnerTried>(login.trail))
      tried.push_back(event.route + ": " + event.partner + " for " + event.target + " (" + event.cause + ")");
    return tried;
  }
  ~FailoverPartner() override { server_.reset(); }
};

TEST_F(FailoverPartner, IsTriedWhereTheTargetCannotBeReached) {
  lab::Lab lab({.hosts = {"sql2"}, .serve = false});
  auto config = with_partner(lab);
  start(config);
  auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(partners(login), IsEmpty());

  lab.peer(0).stop();
  login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(partners(login), ElementsAre(fmt::format(
                                   "reports: sql2.corp.test,{0} for sql1.corp.test,{0} (connection-refused)",
                                   lab.sql_port())));
  EXPECT_THAT(test::events_of<shim::TicketChosen>(login.trail).back().spn,
              StartsWith("MSSQLSvc/sql2.corp.test:"));

  config.routes[0].target = "absent.corp.test";
  start(config);
  login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(partners(login), ElementsAre(HasSubstr("(name-not-found)")));

  lab.peer(1).stop();
  login = log_in();
  EXPECT_EQ(login.cause(), "connection-refused");
  EXPECT_THAT(login.error, HasSubstr("sql2.corp.test"));
  EXPECT_THAT(test::events_of<shim::Refused>(login.trail).at(0).detail,
              HasSubstr("before that, the target absent.corp.test: name-not-found"));
  EXPECT_EQ(partners(login).size(), 1u) << "once";
}

TEST_F(FailoverPartner, IsTriedWhereTheTargetHasNotGotTheDatabase) {
  lab::Lab lab({.hosts = {"sql2"}, .serve = false, .change = [](lab::Plan &plan) {
                  plan.hosts["sql1.corp.test"] = [](lab::PeerOptions &options) {
                    options.databases = {"master"};
                  };
                }});
  start(with_partner(lab));
  const auto login = log_in({.database = u"reports"});
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(partners(login), ElementsAre(HasSubstr("(database-denied)")));
}

TEST_F(FailoverPartner, IsNotTriedWhereTheServerRefusesWhoAsks) {
  lab::Lab lab({.hosts = {"sql2"}, .serve = false, .change = [](lab::Plan &plan) {
                  plan.peer.principals = std::vector<std::string>{"alice@CORP.TEST"};
                }});
  start(with_partner(lab));
  const auto login = log_in();
  EXPECT_EQ(login.cause(), "login-denied");
  EXPECT_THAT(partners(login), IsEmpty());
}

TEST_F(FailoverPartner, ThatTheServerNamesBecomesOurListener) {
  lab::Lab lab({.serve = false, .change = [](lab::Plan &plan) { plan.peer.partner = "SQL2"; }});
  auto config =
      configuration(lab, identity(config::IdentityKind::keytab, (lab.folder() / "reports.keytab").string()));
  start(config);
  const auto partners = [&](test::Connection connection) {
    std::vector<std::u16string> named;
    const auto login = test::log_in(connection);
    EXPECT_TRUE(login.reply) << login.error();
    if (!login.reply) return named;
    for (const auto &token : tds::decode_tokens(login.reply->tokens, tds::tds_7_4).value())
      if (const auto *change = std::get_if<tds::EnvChange>(&token);
          change && change->type == tds::EnvChangeType::mirroring_partner)
        named.push_back(change->new_text());
    return named;
  };
  const auto own = fmt::format("127.0.0.1,{}", port_);
  EXPECT_THAT(partners(test::Connection("127.0.0.1", port_)), ElementsAre(tds::to_utf16(own)));
  const auto mapped = test::events_of<shim::PartnerMapped>(closed_trail());
  ASSERT_EQ(mapped.size(), 1u);
  EXPECT_EQ(mapped[0].partner, "SQL2");
  EXPECT_EQ(mapped[0].listener, own);

  // A Unix socket cannot be typed.
  const auto path = folder_.path() / "l.sock";
  config.listeners[0].address.reset();
  config.listeners[0].unix_path = path;
  start(config);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address), 0);
  EXPECT_THAT(partners(test::Connection(fd)), IsEmpty());
}

// ---- our own SQL Browser ----

TEST_F(FailoverPartner, OurOwnSqlBrowserTellsTheListenersPort) {
  lab::Lab lab({.serve = false});
  auto config =
      configuration(lab, identity(config::IdentityKind::keytab, (lab.folder() / "reports.keytab").string()));
  config.browser.address = config::Address{"127.0.0.1", 0};
  config.browser.instances = {{"INST", "local"}};
  start(config);
  ASSERT_EQ(server_->listening().size(), 2u);
  EXPECT_EQ(server_->listening()[1].name, "browser");
  const auto address = server_->listening()[1].address;
  const auto browser = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  asio::io_context io;
  std::expected<shim::BrowserAnswer, shim::BrowserError> answer;
  std::vector<asio::ip::udp::endpoint> servers{{asio::ip::address_v4::loopback(), browser}};
  asio::co_spawn(io, shim::ask_browser(servers, "inst", std::chrono::milliseconds(20'000)),
                 [&](std::exception_ptr, auto said) { answer = std::move(said); });
  io.run();
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_EQ(answer->instance.port, port_);
  EXPECT_TRUE(log_in().accepted);

  config.browser.address->port = browser; // the first still has it
  auto second = shim::start_server(std::make_shared<const config::Config>(config), *log_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), AllOf(HasSubstr("[browser]"), HasSubstr("Address already in use")));
}

} // namespace
