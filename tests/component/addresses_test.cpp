// One server of several addresses, one of which neither answers nor refuses: one address after the other, or
// all at once where the route says so.
#include "tests/component/server_in_process.hpp"
#include "tools/lab/black_hole.hpp"

namespace {

using namespace testing;
using namespace std::chrono_literals;

class Addresses : public test::ServerWithSharedLab {
protected:
  /// multi.corp.test, whose first address is a black hole.
  config::Config multi() {
    lab_->dns().host("multi.corp.test", lab_->block().address(200));
    lab_->dns().also("multi.corp.test", lab_->peer().address());
    lab_->dns().start();
    auto config = configuration();
    auto &route = config.routes[0];
    route.target = fmt::format("multi.corp.test,{}", lab_->sql_port());
    route.spn = fmt::format("MSSQLSvc/sql1.corp.test:{}@CORP.TEST", lab_->sql_port());
    route.host_name_in_certificate = "sql1.corp.test";
    return config;
  }
  /// dnsmasq may turn its answers round, and the proxy keeps the one that it has: one
  /// that has the hole first.
  void start_hole_first(const config::Config &config) {
    for (int tries = 0; tries < 20; ++tries) {
      start(config);
      const auto resolved = test::events_of<shim::TargetResolved>(log_in().trail);
      ASSERT_EQ(resolved.size(), 1u);
      ASSERT_EQ(resolved[0].endpoints.size(), 2u);
      if (resolved[0].endpoints[0].starts_with(lab_->block().address(200) + ":")) return;
    }
    FAIL() << "the hole was never first";
  }
  /// How long connecting took, at the quickest of five logins: what a busy machine adds is not the proxy's.
  std::chrono::microseconds least() {
    auto least = std::chrono::microseconds::max();
    for (int i = 0; i < 5; ++i) {
      const auto login = log_in();
      EXPECT_TRUE(login.accepted) << login.error;
      for (const auto &connected : test::events_of<shim::ServerConnected>(login.trail))
        least = std::min(least, std::chrono::microseconds(connected.us));
    }
    return least;
  }
};

TEST_F(Addresses, OneAfterTheOtherOrAllAtOnce) {
  const lab::BlackHole hole(lab_->block().address(200), lab_->sql_port());
  auto config = multi();
  ASSERT_NO_FATAL_FAILURE(start_hole_first(config));
  EXPECT_GE(least(), 250ms) << "RFC 8305: the second after a quarter of a second";
  config.routes[0].multi_subnet = true;
  ASSERT_NO_FATAL_FAILURE(start_hole_first(config));
  EXPECT_LT(least(), 250ms);
}

} // namespace
