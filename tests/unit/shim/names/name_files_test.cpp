#include "shim/names/name_files.hpp"

#include "tests/unit/shim/names/written_file.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

namespace shim_test {
namespace {

using namespace shim;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NameFilesTest : public testing::Test {
protected:
  NameFilesTest() {
    dns_.servers = {{"10.0.0.2", 53}};
    dns_.search = {"corp.test"};
    dns_.hosts.clear();
  }
  NameFiles files() {
    return NameFiles(dns_, [this](std::string what) { told_.push_back(std::move(what)); });
  }
  void follow_all() { dns_.from_resolv_conf = {resolv_conf_.path(), true, true, true}; }

  config::Dns dns_;
  WrittenFile hosts_{"hosts"}, resolv_conf_{"resolv.conf"};
  std::vector<std::string> told_;
};

TEST_F(NameFilesTest, NothingIsFollowedUnlessItIsAskedFor) {
  resolv_conf_.write("nameserver 10.0.0.9\n");
  dns_.from_resolv_conf.file = resolv_conf_.path();
  auto files = this->files();
  const auto rules = files.current();
  EXPECT_EQ(rules->dns, dns_);
  EXPECT_EQ(rules->hosts.names(), 0u);
  EXPECT_EQ(files.current(), rules) << "the same object";
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(NameFilesTest, HostsIsReadAgainWhenItChanges) {
  dns_.hosts = hosts_.path();
  auto files = this->files();
  EXPECT_FALSE(files.current()->hosts.has("sql1")) << "there is none yet";
  hosts_.write("10.0.0.5 sql1\n");
  EXPECT_TRUE(files.current()->hosts.has("sql1"));
  const auto before = files.current();
  hosts_.write("10.0.0.5 sql2\n");
  EXPECT_FALSE(files.current()->hosts.has("sql1"));
  EXPECT_TRUE(files.current()->hosts.has("sql2"));
  EXPECT_TRUE(before->hosts.has("sql1")) << "who has the rules keeps them";
  hosts_.remove();
  EXPECT_FALSE(files.current()->hosts.has("sql2"));
  EXPECT_THAT(told_, ElementsAre(hosts_.path().string() + " has changed: 1 names",
                                 hosts_.path().string() + " has changed: 1 names",
                                 hosts_.path().string() + " has changed: 0 names"));
}

TEST_F(NameFilesTest, AFileThatWasWrittenLatelyIsReadAgainWhateverItsTime) {
  dns_.hosts = hosts_.path();
  auto files = this->files();
  const auto same = std::filesystem::file_time_type::clock::now() + std::chrono::hours(1);
  for (const std::string name : {"sql1", "sql2"}) { // of the same size; its clock has not ticked in between
    hosts_.write("10.0.0.5 " + name + "\n");
    std::filesystem::last_write_time(hosts_.path(), same);
    EXPECT_TRUE(files.current()->hosts.has(name));
  }
}

TEST_F(NameFilesTest, WhatHostsSaysAtFirstIsNoChange) {
  hosts_.write("10.0.0.5 sql1\n");
  dns_.hosts = hosts_.path();
  auto files = this->files();
  EXPECT_TRUE(files.current()->hosts.has("sql1"));
  EXPECT_EQ(files.current()->hosts.answer({"sql1", auth::DnsType::a})->server, hosts_.path());
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(NameFilesTest, TheSystemReadsItsOwnHosts) {
  hosts_.write("10.0.0.5 sql1\n");
  dns_.hosts = hosts_.path();
  dns_.resolver = config::Resolver::system;
  EXPECT_FALSE(files().current()->hosts.has("sql1"));
}

TEST_F(NameFilesTest, ResolvConfIsReadAgainWhenItChanges) {
  follow_all();
  resolv_conf_.write("nameserver 10.0.0.2\nsearch corp.test\n");
  auto files = this->files();
  files.current();
  EXPECT_THAT(told_, IsEmpty()) << "as it was when the configuration was loaded";
  resolv_conf_.write("nameserver 10.0.0.3\nsearch lab.test a.test\noptions ndots:2\n");
  const auto rules = files.current();
  EXPECT_THAT(rules->dns.servers, ElementsAre(config::Address{"10.0.0.3", 53}));
  EXPECT_THAT(rules->dns.search, ElementsAre("lab.test", "a.test"));
  EXPECT_EQ(rules->dns.ndots, 2);
  EXPECT_THAT(told_,
              ElementsAre(resolv_conf_.path().string() +
                          " has changed: servers 10.0.0.3:53; search lab.test, a.test; ndots 2; DNS answers "
                          "forgotten"));
  resolv_conf_.write("# the same\nnameserver 10.0.0.3\nsearch lab.test a.test\noptions ndots:2\n");
  EXPECT_EQ(files.current(), rules) << "another text, the same rules";
  resolv_conf_.remove();
  EXPECT_THAT(files.current()->dns.servers, ElementsAre(config::Address{"127.0.0.1", 53}))
      << "as resolv.conf(5) says";
  EXPECT_THAT(told_.back(), HasSubstr("search nothing"));
}

TEST_F(NameFilesTest, WhatIsConfiguredStays) {
  dns_.from_resolv_conf = {resolv_conf_.path(), false, true, false};
  auto files = this->files();
  files.current();
  resolv_conf_.write("nameserver 10.0.0.3\nsearch lab.test\noptions ndots:2\n");
  const auto &dns = files.current()->dns;
  EXPECT_THAT(dns.servers, ElementsAre(config::Address{"10.0.0.2", 53}));
  EXPECT_THAT(dns.search, ElementsAre("lab.test"));
  EXPECT_EQ(dns.ndots, 1);
}

TEST_F(NameFilesTest, ALargeFileIsCutAtALine) {
  std::string text = "10.0.0.5 first\n";
  while (text.size() < NameFiles::most_read - 5)
    text += "# nothing\n";
  hosts_.write(text + "10.0.0.5 cut-in-two\n10.0.0.5 beyond\n");
  dns_.hosts = hosts_.path();
  auto files = this->files();
  EXPECT_TRUE(files.current()->hosts.has("first"));
  EXPECT_EQ(files.current()->hosts.names(), 1u);
}

TEST_F(NameFilesTest, AFifoHoldsNobodyUp) {
  ASSERT_EQ(::mkfifo(hosts_.path().c_str(), 0600), 0);
  dns_.hosts = hosts_.path();
  EXPECT_EQ(files().current()->hosts.names(), 0u);
}

} // namespace
} // namespace shim_test
