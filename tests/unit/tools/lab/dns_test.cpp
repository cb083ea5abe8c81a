#include "tools/lab/dns.hpp"

#include "shim/names/dns.hpp"
#include "tools/lab/netns.hpp"

#include <gmock/gmock.h>

namespace lab {
namespace {

using namespace testing;
using auth::DnsOutcome;
using auth::DnsType;

/// A real dnsmasq, asked by sqlshim's own resolver.
class Records : public Test {
protected:
  auth::DnsAnswer ask(const std::string &name, DnsType type) {
    asio::io_context io;
    shim::Resolver resolver(io.get_executor(), {{dns.address(), dns.port()}});
    auth::DnsAnswer answer;
    asio::co_spawn(
        io,
        [&]() -> shim::Task<> {
          answer = co_await resolver.ask({name, type}, shim::Millis(5000));
          io.stop();
        },
        asio::detached);
    io.run();
    return answer;
  }
  static std::vector<std::string> data(const auth::DnsAnswer &answer) {
    std::vector<std::string> result;
    for (const auto &record : answer.records)
      result.push_back(record.data);
    return result;
  }
  /// "10.3.81.127.in-addr.arpa": the first server's.
  std::string reverse() const {
    std::string name = "in-addr.arpa", address = block.server(0) + ".";
    for (std::size_t dot; (dot = address.find('.')) != address.npos; address.erase(0, dot + 1))
      name = address.substr(0, dot) + "." + name;
    return name;
  }

  TemporaryFolder folder;
  Block block;
  Dns dns{folder.path() / "dns", block};
};

TEST_F(Records, an_alias_replaces_the_address_that_the_name_had) {
  dns.host("sql1.corp.test", block.server(0));
  dns.host("sql2.corp.test", block.server(1));
  dns.cname("sql2.corp.test", "sql1.corp.test");
  dns.start();
  EXPECT_THAT(data(ask("sql2.corp.test", DnsType::a)), ElementsAre("sql1.corp.test", block.server(0)));
}

TEST_F(Records, an_alias_replaces_an_alias) {
  dns.host("sql1.corp.test", block.server(0));
  dns.host("sql2.corp.test", block.server(1));
  dns.cname("alias.corp.test", "sql1.corp.test");
  dns.cname("alias.corp.test", "sql2.corp.test");
  dns.start();
  EXPECT_THAT(data(ask("alias.corp.test", DnsType::a)), ElementsAre("sql2.corp.test", block.server(1)));
}

TEST_F(Records, an_address_without_ptr_resolves_like_any_other) {
  dns.host("sql1.corp.test", block.server(0));
  dns.address_only("sql1.corp.test", block.server(0));
  dns.cname("alias.corp.test", "sql1.corp.test");
  dns.start();
  EXPECT_THAT(data(ask("sql1.corp.test", DnsType::a)), ElementsAre(block.server(0)));
  EXPECT_EQ(ask("sql1.corp.test", DnsType::aaaa).outcome, DnsOutcome::no_data);
  EXPECT_THAT(data(ask("alias.corp.test", DnsType::a)), ElementsAre("sql1.corp.test", block.server(0)));
  EXPECT_EQ(ask("x.sql1.corp.test", DnsType::a).outcome, DnsOutcome::no_name);
  EXPECT_EQ(ask(reverse(), DnsType::ptr).outcome, DnsOutcome::no_name);
}

TEST_F(Records, a_ptr_that_lies_stands_alone) {
  dns.host("sql1.corp.test", block.server(0));
  dns.ptr(block.server(0), "other.corp.test");
  dns.start();
  EXPECT_THAT(data(ask(reverse(), DnsType::ptr)), ElementsAre("other.corp.test"));
}

TEST_F(Records, it_knows_what_has_a_record) {
  dns.host("a.corp.test", block.server(0));
  dns.address_only("b.corp.test", block.server(0));
  dns.cname("c.corp.test", "nowhere.corp.test");
  EXPECT_TRUE(dns.knows("a.corp.test") && dns.knows("b.corp.test") && dns.knows("c.corp.test"));
  EXPECT_FALSE(dns.knows("nowhere.corp.test"));
}

TEST(Netns, host_names_come_from_files_and_dns_alone) {
  EXPECT_EQ(
      with_dns_hosts(
          "passwd: files sss\nhosts: files mdns4_minimal [NOTFOUND=return] resolve dns\nnetworks: files\n"),
      "passwd: files sss\nnetworks: files\nhosts: files dns\n");
  EXPECT_EQ(with_dns_hosts(""), "hosts: files dns\n");
}

/// `sqlshim-lab`, because the namespaces are a whole process's.
Finished in_netns(const std::vector<std::string> &options, const std::string &script) {
  std::vector<std::string> argv = {program_folder() / "sqlshim-lab", "lab", "--netns"};
  argv.insert(argv.end(), options.begin(), options.end());
  argv.insert(argv.end(), {"--", "sh", "-c", script});
  return run({.argv = argv});
}

TEST(Netns, every_program_resolves_the_labs_names_and_reaches_its_servers) {
  const auto done = in_netns(
      {"--cname", "sqlalias=a.b.corp.test"},
      "getent hosts sql1; getent ahostsv4 sqlalias; echo host $SQLSHIM_PEER_HOST; id -u; echo alicepw | kinit alice "
      ">/dev/null; printf 'select auth_scheme from sys.dm_exec_connections where "
      "session_id=@@spid\\ngo\\n' | tsql -S peer");
  if (done.output.contains("gives no user, network and mount namespaces")) GTEST_SKIP() << done.output;
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_THAT(done.output, AllOf(HasSubstr(" sql1.corp.test"), HasSubstr("STREAM a.b.corp.test"),
                                 HasSubstr("host sql1.corp.test"),
                                 HasSubstr("\n" + std::to_string(::getuid()) + "\n"), HasSubstr("KERBEROS")));
}

TEST(Netns, without_ptr_addresses_have_no_names) {
  const auto done = in_netns(
      {"--no-ptr"},
      "getent ahostsv4 sql1 | head -1; getent hosts $(getent hosts sql1 | cut -d' ' -f1) || echo nameless");
  if (done.output.contains("gives no user, network and mount namespaces")) GTEST_SKIP() << done.output;
  EXPECT_THAT(done.output, AllOf(HasSubstr("STREAM sql1.corp.test"), HasSubstr("nameless")));
}

TEST(LabOptions, an_alias_needs_two_names) {
  for (const std::string wrong :
       {"sqlalias", "sqlalias=", "=sql1", "a=a", "a=a.corp.test", "a b=c", "a=b,c", "a=b\nport=1"}) {
    const auto done =
        run({.argv = {program_folder() / "sqlshim-lab", "lab", "--cname", wrong, "--", "true"}});
    EXPECT_EQ(done.status, 2) << wrong << done.output;
    EXPECT_THAT(done.output, HasSubstr("--cname")) << wrong;
  }
}

} // namespace
} // namespace lab
