// Where names come from, in a real lab: the hosts file, resolv.conf while sqlshim runs, the system; and what
// explain makes of their differences.
#include "tests/component/server_in_process.hpp"
#include "tests/support/tsql.hpp"

#include <future>

namespace {

using namespace testing;

class ResolverInProcess : public test::ServerWithSharedLab {
protected:
  /// A target that DNS does not know, at the lab's peer; its SPN is registered by the name that the
  /// hosts file calls canonical.
  config::Config configuration_of(const std::string &host) {
    auto config = configuration();
    auto &route = config.routes.front();
    route.target = host + "," + std::to_string(lab_->sql_port());
    route.host_name_in_certificate = "sql1.corp.test";
    config.dns.hosts = folder_.path() / "hosts";
    return config;
  }
  void write_hosts(const std::string &names) {
    lab::write_file(folder_.path() / "hosts", lab_->block().server(0) + " " + names + "\n");
  }
  std::vector<std::string> reloaded() {
    std::vector<std::string> told;
    for (const auto &event : test::events_of<shim::Reloaded>(test::records_of(decisions())))
      told.push_back(event.what);
    return told;
  }
};

TEST_F(ResolverInProcess, AHostOfTheFileIsLoggedInToWithoutDns) {
  write_hosts("sql1.corp.test nowhere-else");
  start(configuration_of("nowhere-else"));
  const auto login = log_in();
  EXPECT_TRUE(login.accepted) << login.error;
  const auto resolved = test::events_of<shim::TargetResolved>(login.trail);
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].via, "hosts");
  EXPECT_EQ(resolved[0].fqdn, "sql1.corp.test");
  const auto answers = test::events_of<shim::DnsAnswered>(login.trail);
  ASSERT_FALSE(answers.empty());
  EXPECT_EQ(answers[0].server, (folder_.path() / "hosts").string());
  EXPECT_THAT(answers[0].answers, ElementsAre("CNAME sql1.corp.test", "A " + lab_->block().server(0)));
}

TEST_F(ResolverInProcess, TheFileMayChangeWhileSqlshimRuns) {
  write_hosts("unrelated.test");
  start(configuration_of("nowhere-else"));
  EXPECT_EQ(log_in().cause(), "name-not-found");
  write_hosts("sql1.corp.test nowhere-else");
  const auto login = log_in();
  EXPECT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(reloaded(), Contains((folder_.path() / "hosts").string() + " has changed: 2 names"));
}

TEST_F(ResolverInProcess, ResolvConfMayChangeWhileSqlshimRuns) {
  const auto resolv_conf = folder_.path() / "resolv.conf";
  lab::write_file(resolv_conf, "search other.test\n");
  auto config = configuration_of("sql1");
  config.dns.search = {"other.test"};
  config.dns.from_resolv_conf = {resolv_conf, false, true, true};
  start(std::move(config));
  EXPECT_EQ(log_in().cause(), "name-not-found");
  lab::write_file(resolv_conf, "search corp.test\n");
  const auto login = log_in();
  EXPECT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(test::events_of<shim::TargetResolved>(login.trail).at(0).fqdn, "sql1.corp.test");
  EXPECT_THAT(reloaded(), Contains(HasSubstr(resolv_conf.string() + " has changed: ")));
}

TEST_F(ResolverInProcess, TheSystemIsAskedWhereTheConfigurationSaysSo) {
  auto config = configuration_of("nowhere-else");
  config.dns.resolver = config::Resolver::system;
  shim::ServerOptions options;
  options.look_up_name = [](const std::string &name) -> shim::SystemAnswer {
    if (name != "nowhere-else") return {auth::DnsOutcome::no_name, "", {}};
    return {auth::DnsOutcome::ok, "sql1.corp.test", {lab_->block().server(0)}};
  };
  start(std::move(config), std::move(options));
  const auto login = log_in();
  EXPECT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(test::events_of<shim::TargetResolved>(login.trail).at(0).via, "system");
}

TEST_F(ResolverInProcess, ASystemThatHangsEndsTheLoginInTime) {
  auto config = configuration_of("sql1.corp.test");
  config.dns.resolver = config::Resolver::system;
  config.routes.front().timeouts.dns = std::chrono::milliseconds(200);
  std::promise<void> go_on;
  shim::ServerOptions options;
  options.look_up_name = [released = go_on.get_future().share()](const std::string &) {
    released.wait();
    return shim::SystemAnswer{};
  };
  start(std::move(config), std::move(options));
  const auto login = log_in();
  EXPECT_EQ(login.cause(), "name-not-found");
  EXPECT_THAT(login.error, HasSubstr("timeout"));
  EXPECT_LT(login.took, std::chrono::seconds(5));
  go_on.set_value();
}

/// `sqlshim explain` with more in [dns] of the lab's configuration.
lab::Finished explain(const lab::Lab &lab, const std::string &dns, std::vector<std::string> arguments) {
  auto toml = lab::read_file(lab.folder() / "sqlshim.toml");
  const std::string table = "[dns]\n";
  toml.replace(toml.find(table), table.size(), table + dns);
  const auto file = lab.folder() / "resolver.toml";
  lab::write_file(file, toml);
  lab::Command command;
  command.argv = {
      "sh",       "-c", "exec \"$0\" explain \"$@\" 2>/dev/null", lab::program_folder() / "sqlshim",
      "--config", file};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.environment = lab.environment();
  return lab::run(std::move(command));
}

TEST(ExplainResolver, TheHostsFileIsSeenInIt) {
  lab::Lab lab({.serve = false});
  const auto hosts = lab.folder() / "hosts";
  lab::write_file(hosts, lab.block().server(0) + " sql1.corp.test sqlalias.corp.test\n");
  const auto ran = explain(lab, "hosts = \"hosts\"\n", {"--route", "alias"});
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("canonical name  sql1.corp.test (by hosts)"));
  EXPECT_THAT(ran.output, HasSubstr(hosts.string()));
}

// Whatever the system of this machine makes of the name, it is not what the file says.
TEST(ExplainResolver, TellsWhereTheTwoDiffer) {
  lab::Lab lab({.serve = false});
  const std::string name = "localhost.localdomain";
  lab::write_file(lab.folder() / "hosts", "127.99.99.99 sql1.corp.test " + name + "\n");
  for (const std::string resolver : {"own", "system"}) {
    SCOPED_TRACE(resolver);
    const auto keys = "hosts = \"hosts\"\nresolver = \"" + resolver + "\"\n";
    const auto text = explain(lab, keys, {name});
    EXPECT_THAT(text.output, HasSubstr("resolvers differ  own: sql1.corp.test, 127.99.99.99  system: "));
    const auto json = nlohmann::json::parse(explain(lab, keys, {name, "--json"}).output);
    EXPECT_EQ(json["names"]["own"]["canonical"], "sql1.corp.test");
    EXPECT_THAT(json["names"]["own"]["addresses"], ElementsAre("127.99.99.99"));
    EXPECT_NE(json["names"]["system"]["canonical"], "sql1.corp.test");
    EXPECT_THAT(json["names"]["differ"], ElementsAre("canonical", "addresses"));
  }
}

TEST(ExplainResolver, SaysNothingWhereTheyAgree) {
  lab::Lab lab({.serve = false});
  const auto json = nlohmann::json::parse(explain(lab, "", {"127.0.0.1", "--json"}).output);
  EXPECT_THAT(json["names"]["differ"], IsEmpty());
  EXPECT_THAT(explain(lab, "", {"127.0.0.1"}).output, Not(HasSubstr("resolvers differ")));
}

} // namespace
