// IPv6 all the way: the application, the proxy's listener, the DNS answer, the KDC and the server are on ::1.
#include "tests/component/server_in_process.hpp"
#include "tests/support/tds_client.hpp"
#include "tests/support/tsql.hpp"
#include "tools/lab/block.hpp"

#include <gmock/gmock.h>

namespace {

using namespace testing;

bool has_ipv6() {
  try {
    return lab::free_port("::1") != 0;
  } catch (const lab::LabError &) {
    return false;
  }
}

#define SKIP_WITHOUT_IPV6()                                                                                  \
  if (!has_ipv6()) {                                                                                         \
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "CI must have IPv6 on loopback";                             \
    GTEST_SKIP() << "no IPv6 on loopback";                                                                   \
  }

constexpr auto which_scheme = u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid";

TEST(Ipv6Path, TsqlLogsInWithKerberos) {
  SKIP_WITHOUT_IPV6();
  lab::Lab lab({.change = [](lab::Plan &plan) { plan.ipv6 = true; }});
  lab::Command tsql{.argv = {"tsql", "-H", "::1", "-p", std::to_string(lab.port()), "-U", "x", "-P", "y"},
                    .environment = lab.environment()};
  const auto ran = lab::run(std::move(tsql), test::which_scheme);
  // FreeTDS resolves even an address with AI_ADDRCONFIG, which finds no IPv6 where the machine
  // has it on loopback alone.
  if (ran.output.contains("Unknown host machine name"))
    GTEST_SKIP() << "tsql takes no IPv6 address on this machine (Ipv6Path.ALoginNeedsNoIpv4 ran)";
  EXPECT_THAT(ran.output, HasSubstr("KERBEROS")) << lab.decisions();
}

TEST(Ipv6Path, ALoginNeedsNoIpv4) {
  SKIP_WITHOUT_IPV6();
  lab::Lab lab({.change = [](lab::Plan &plan) { plan.ipv6 = true; }});
  test::Connection connection("::1", lab.port());
  const auto login = test::log_in(connection);
  ASSERT_TRUE(login.reply) << login.error() << lab.decisions();
  EXPECT_TRUE(test::says(test::query(connection, which_scheme), u"KERBEROS"));

  const auto trail = test::last_connection(lab.decisions());
  ASSERT_FALSE(trail.empty());
  const auto accepted = test::events_of<shim::Accepted>(trail);
  EXPECT_THAT(accepted.at(0).local, StartsWith("[::1]:"));
  EXPECT_THAT(accepted.at(0).peer, StartsWith("[::1]:"));
  const auto caller = test::events_of<shim::CallerProven>(trail);
  EXPECT_EQ(caller.at(0).uid, ::getuid());
  const auto resolved = test::events_of<shim::TargetResolved>(trail);
  EXPECT_THAT(resolved.at(0).endpoints, ElementsAre("[::1]:" + std::to_string(lab.sql_port())));
  const auto asked = test::events_of<shim::KdcAnswered>(trail);
  ASSERT_FALSE(asked.empty());
  for (const auto &answer : asked)
    EXPECT_EQ(answer.kdc, "[::1]:" + std::to_string(lab.realm().kdc_port()));
  const auto connected = test::events_of<shim::ServerConnected>(trail);
  EXPECT_EQ(connected.at(0).endpoint, "[::1]:" + std::to_string(lab.sql_port()));
}

class Ipv6 : public test::ServerWithSharedLab {
protected:
  static void SetUpTestSuite() {
    if (has_ipv6())
      lab_ = new lab::Lab({.serve = false, .change = [](lab::Plan &plan) { plan.ipv6 = true; }});
  }
};

TEST_F(Ipv6, TargetsThatAreAddresses) {
  SKIP_WITHOUT_IPV6();
  const auto port = std::to_string(lab_->sql_port());
  for (const auto &target : {"::1," + port, "[::1]:" + port, "[::1]," + port, "tcp:[::1]," + port}) {
    auto config = configuration();
    config.listeners[0].address = config::Address{"::1", 0};
    config.routes[0].target = target;
    config.routes[0].spn = lab_->spn(); // an address has no name to make one of
    config.routes[0].host_name_in_certificate = "sql1.corp.test";
    start(config);
    test::Connection connection("::1", port_);
    auto login = test::log_in(connection);
    ASSERT_TRUE(login.reply) << target << ": " << login.error();
    EXPECT_TRUE(test::says(
        test::query(connection, u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid"),
        u"KERBEROS"));
    connection.close();
    server_.reset();
  }
}

TEST_F(Ipv6, AnAddressOfTheOtherFamilyThatLeadsNowhereIsPassedOver) {
  SKIP_WITHOUT_IPV6();
  // sql1 gets an A record too; nobody listens there.
  lab_->dns().also("sql1.corp.test", lab_->block().server(0));
  lab_->dns().start();
  auto config = configuration();
  start(config);
  test::Connection connection("127.0.0.1", port_);
  auto login = test::log_in(connection);
  ASSERT_TRUE(login.reply) << login.error();
  connection.close();
  const auto trail = closed_trail();
  const auto port = ":" + std::to_string(lab_->sql_port());
  EXPECT_THAT(test::events_of<shim::TargetResolved>(trail).at(0).endpoints,
              ElementsAre(lab_->block().server(0) + port, "[::1]" + port));
  const auto connected = test::events_of<shim::ServerConnected>(trail);
  EXPECT_EQ(connected.at(0).endpoint, "[::1]" + port);
  EXPECT_LT(connected.at(0).us, 200'000) << "a refusal is not waited upon";
}

TEST_F(Ipv6, TheOtherWayRound) {
  SKIP_WITHOUT_IPV6();
  // The server moves to IPv4, and the AAAA record stays.
  const auto four = lab_->block().server(0);
  lab_->dns().also("sql1.corp.test", four);
  lab_->dns().start();
  auto options = lab_->peer().options();
  options.address = four;
  lab::TemporaryFolder folder;
  lab::Peer moved(folder.path(), options, lab_->realm().environment());
  lab_->peer().stop();
  auto config = configuration();
  start(config);
  {
    test::Connection connection("127.0.0.1", port_);
    auto login = test::log_in(connection);
    EXPECT_TRUE(login.reply) << login.error();
  }
  EXPECT_EQ(test::events_of<shim::ServerConnected>(closed_trail()).at(0).endpoint,
            four + ":" + std::to_string(lab_->sql_port()));
  lab_->peer().start();
}

} // namespace
