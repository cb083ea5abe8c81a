// The main path, as a user has it: tsql, which knows no Kerberos, through `sqlshim serve`.
#include "tests/support/decisions.hpp"
#include "tests/support/tds_client.hpp"
#include "tests/support/tsql.hpp"

#include <gmock/gmock.h>

namespace {

using namespace testing;

class MainPath : public Test {
protected:
  static void SetUpTestSuite() { lab_ = new lab::Lab(); }
  static void TearDownTestSuite() {
    delete lab_;
    lab_ = nullptr;
  }
  static lab::Lab *lab_;
};
lab::Lab *MainPath::lab_ = nullptr;

TEST_F(MainPath, TsqlAtEveryTdsVersion) {
  for (const auto *version : {"7.0", "7.1", "7.2", "7.3", "7.4"}) {
    auto ran = test::tsql(*lab_, {.environment = {{"TDSVER", version}}});
    EXPECT_EQ(ran.status, 0) << version;
    EXPECT_THAT(ran.output, HasSubstr("KERBEROS")) << version;
    auto login = test::events_of<shim::LoginReceived>(test::last_connection(lab_->decisions()));
    ASSERT_EQ(login.size(), 1u);
    EXPECT_EQ(login[0].tds, version);
  }
  EXPECT_THAT(lab_->realm().log(), HasSubstr("svc-reports@CORP.TEST for MSSQLSvc/sql1.corp.test:"));
}

TEST_F(MainPath, NoCredentialOfTheClientIsNeeded) {
  // Neither ticket cache nor keytab that it could use: the login is sqlshim's.
  auto ran = test::tsql(
      *lab_, {.batch = "select suser_sname()\ngo\n",
              .environment = {{"KRB5CCNAME", "FILE:/nonexistent"}, {"KRB5_CONFIG", "/nonexistent"}}});
  EXPECT_THAT(ran.output, HasSubstr("CORP\\svc-reports"));
}

TEST_F(MainPath, TheSpnComesFromTheCanonicalName) {
  auto ran = test::tsql(*lab_, {.route = "alias"});
  EXPECT_THAT(ran.output, HasSubstr("KERBEROS"));
  auto resolved = test::events_of<shim::TargetResolved>(test::last_connection(lab_->decisions()));
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].typed.substr(0, 18), "sqlalias.corp.test");
  EXPECT_EQ(resolved[0].fqdn, "sql1.corp.test");
}

TEST_F(MainPath, ManyRowsComeThroughUnchanged) {
  auto through = test::tsql(*lab_, {.batch = "exec lab_rows 20000, 200\ngo\n"});
  EXPECT_EQ(through.status, 0);
  EXPECT_THAT(through.output, HasSubstr("(20000 rows affected)"));
  lab::Command direct{.argv = {"tsql", "-H", lab_->peer().address(), "-p",
                               std::to_string(lab_->peer().port()), "-U", "sa", "-P", "Lab.Passw0rd"},
                      .environment = lab_->environment()};
  auto straight = lab::run(std::move(direct), "exec lab_rows 20000, 200\ngo\n");
  auto rows = [](const std::string &output) { return output.substr(output.find("1> 2> ")); };
  EXPECT_TRUE(rows(through.output) == rows(straight.output))
      << "what the proxy relays is what the server sent";
}

TEST(Serve, SigtermWaitsForRunningConnectionsAndASecondOneEndsThem) {
  lab::Lab lab;
  test::Connection connection("127.0.0.1", lab.port());
  ASSERT_TRUE(test::log_in(connection).reply);
  lab.serve().signal(SIGTERM);
  ASSERT_TRUE(lab::eventually([&] { return !test::Connection("127.0.0.1", lab.port()).open(); }))
      << "nobody new gets in";
  EXPECT_TRUE(lab.serve().running());
  EXPECT_TRUE(test::says(test::query(connection, u"select suser_sname()"), u"CORP\\svc-reports"))
      << "who is in goes on";
  lab.serve().signal(SIGTERM);
  EXPECT_TRUE(lab.serve().wait(std::chrono::seconds(10))) << "it ends, long before the 30 s are over";
  EXPECT_TRUE(connection.receive().empty());
  auto drained = test::events_of<shim::Drained>(test::records_of(lab.decisions()));
  ASSERT_EQ(drained.size(), 1u);
  EXPECT_GE(drained[0].closed, 1u) << "a probe of the loop above may have got in too";
}

} // namespace
