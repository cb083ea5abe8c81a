#include "auth/hosts.hpp"

#include <gmock/gmock.h>

namespace auth {
namespace {

using testing::ElementsAre;

/// "CNAME sql1.corp.test", "A 10.0.0.5"; or the outcome where there is no record, or none but an alias.
std::vector<std::string> answered(const std::string &text, const std::string &name, DnsType type) {
  const auto answer = Hosts(text, "/etc/hosts").answer({name, type});
  if (!answer) return {"unknown"};
  EXPECT_EQ(answer->server, "/etc/hosts");
  EXPECT_EQ(answer->via, "hosts");
  std::vector<std::string> told;
  for (const auto &record : answer->records) {
    told.push_back(std::string(to_string(record.type)) + " " + record.data);
    EXPECT_EQ(record.ttl.count(), 0);
  }
  if (answer->outcome != DnsOutcome::ok) told.emplace_back(to_string(answer->outcome));
  return told;
}

struct HostsRow {
  const char *name, *text, *asked;
  std::vector<std::string> a, aaaa;
};
const std::vector<std::string> unknown{"unknown"}, nodata{"nodata"};

const HostsRow hosts_rows[] = {
    {"canonical name", "10.0.0.5 sql1.corp.test sql1\n", "SQL1.corp.test", {"A 10.0.0.5"}, nodata},
    {"alias",
     "10.0.0.5\tsql1.corp.test  sql1\tdb",
     "db",
     {"CNAME sql1.corp.test", "A 10.0.0.5"},
     {"CNAME sql1.corp.test", "nodata"}},
    {"another name", "10.0.0.5 sql1.corp.test\n", "sql1", unknown, unknown},
    {"comment", "# 10.0.0.4 sql1\n10.0.0.5 sql1 # sql2\n", "sql1", {"A 10.0.0.5"}, nodata},
    {"name in a comment", "10.0.0.5 sql1 #sql2\n", "sql2", unknown, unknown},
    {"alias in a comment", "10.0.0.5 sql1 # sql2 is its old name\n", "sql2", unknown, unknown},
    {"IPv6, in whatever spelling", "2001:DB8:0::1 sql1\n", "sql1", nodata, {"AAAA 2001:db8::1"}},
    {"several lines, the first one names it",
     "10.0.0.5 sql1.corp.test sql1\n::1 other.test sql1\n10.0.0.6 sql1\n10.0.0.5 sql1\n",
     "sql1",
     {"CNAME sql1.corp.test", "A 10.0.0.5", "A 10.0.0.6"},
     {"CNAME sql1.corp.test", "AAAA ::1"}},
    {"zone id", "fe80::1%eth0 sql1\n10.0.0.5 sql1\n", "sql1", {"A 10.0.0.5"}, nodata},
    {"no address", "10.0.0 sql1\nsql1 sql1\n10.0.0.5.6 sql1\n", "sql1", unknown, unknown},
    {"address without a name", "10.0.0.5\n10.0.0.6 \n", "10.0.0.5", unknown, unknown},
    {"first name that no host has", "10.0.0.5 sql/1 sql1\n", "sql1", unknown, unknown},
    {"alias that no host has",
     "10.0.0.5 sql1 s@l 10.0.0.9 sql2\n",
     "sql2",
     {"CNAME sql1", "A 10.0.0.5"},
     {"CNAME sql1", "nodata"}},
    {"address as a name", "10.0.0.5 sql1 10.0.0.9\n", "10.0.0.9", unknown, unknown},
    {"trailing dots", "10.0.0.5 sql1.corp.test. sql1.\n", "sql1.corp.test.", {"A 10.0.0.5"}, nodata},
    {"carriage returns", "10.0.0.5 sql1\r\n10.0.0.6 sql2\r\n", "sql2", {"A 10.0.0.6"}, nodata},
    {"no end of line", "\n\n \t\n10.0.0.5 sql1", "sql1", {"A 10.0.0.5"}, nodata},
    {"nothing", "", "sql1", unknown, unknown},
};

TEST(Hosts, Addresses) {
  for (const auto &row : hosts_rows) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(answered(row.text, row.asked, DnsType::a), row.a);
    EXPECT_EQ(answered(row.text, row.asked, DnsType::aaaa), row.aaaa);
    EXPECT_EQ(Hosts(row.text, "/etc/hosts").has(row.asked), row.a != unknown);
  }
}

TEST(Hosts, NamesOfAddresses) {
  const std::string text = "10.0.0.5 sql1.corp.test sql1\n10.0.0.5 later.test\n2001:db8::1 six.test\n";
  EXPECT_THAT(answered(text, "5.0.0.10.in-addr.arpa", DnsType::ptr), ElementsAre("PTR sql1.corp.test"));
  EXPECT_THAT(answered(text, reverse_name("2001:db8::1"), DnsType::ptr), ElementsAre("PTR six.test"));
  EXPECT_EQ(answered(text, "6.0.0.10.in-addr.arpa", DnsType::ptr), unknown);
  EXPECT_EQ(answered(text, "sql1.corp.test", DnsType::ptr), unknown);
}

TEST(Hosts, OtherQuestionsAreLeftToDns) {
  for (const auto type : {DnsType::srv, DnsType::cname})
    EXPECT_EQ(answered("10.0.0.5 sql1.corp.test sql1\n", "sql1", type), unknown);
}

TEST(Hosts, CountsItsNames) {
  EXPECT_EQ(Hosts().names(), 0u);
  EXPECT_EQ(Hosts("10.0.0.5 a b\n10.0.0.6 b c\n", "f").names(), 3u);
}

TEST(ReversedAddress, IsTheOtherWayRound) {
  for (const std::string address : {"10.0.0.5", "255.1.2.3", "2001:db8::1", "::", "fe80::1"}) {
    EXPECT_EQ(reversed_address(reverse_name(address)), address);
    EXPECT_EQ(reversed_address(reverse_name(address) + "."), address);
  }
  for (const std::string name :
       {"", ".", "sql1.corp.test", "in-addr.arpa", ".in-addr.arpa", "0.0.10.in-addr.arpa",
        "1.5.0.0.10.in-addr.arpa", "5..0.10.in-addr.arpa", "05.0.0.10.in-addr.arpa", "x.0.0.10.in-addr.arpa",
        "1.ip6.arpa", "5.0.0.10.ip6.arpa"})
    EXPECT_EQ(reversed_address(name), "") << name;
}

// An answer of the hosts file goes through the canonicaliser as one of DNS does.
TEST(Hosts, DriveTheCanonicaliser) {
  const Hosts hosts("10.0.0.5 sql1.corp.test sql1\n", "/etc/hosts");
  Procedures procedures{{Procedure::forward_reverse, Procedure::forward}, {}};
  Canonicaliser machine({.typed = "sql1", .host = "sql1", .instance = {}, .port = {}, .is_address = false},
                        {.search = {"other.test"}, .ndots = 1, .complete = false}, procedures);
  for (int round = 0; round < 2; ++round) {
    const auto action = machine.next();
    ASSERT_TRUE(std::holds_alternative<AskDns>(action));
    std::vector<DnsAnswer> answers;
    for (const auto &question : std::get<AskDns>(action).questions) {
      const auto answer = hosts.answer(question);
      ASSERT_TRUE(answer) << question.name;
      answers.push_back(*answer);
    }
    machine.answer(std::move(answers));
  }
  const auto end = machine.next();
  const auto *facts = std::get_if<NameFacts>(&end);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->via, "hosts");
  EXPECT_EQ(facts->canonical, "sql1.corp.test");
  EXPECT_EQ(facts->by, Procedure::forward_reverse);
  EXPECT_THAT(facts->chain, ElementsAre("sql1", "sql1.corp.test"));
  EXPECT_THAT(facts->addresses, ElementsAre("10.0.0.5"));
}

} // namespace
} // namespace auth
