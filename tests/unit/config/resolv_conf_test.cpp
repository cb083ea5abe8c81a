#include "config/resolv_conf.hpp"

#include <gmock/gmock.h>

namespace {

using namespace config;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(ResolvConf, ServersSearchAndDots) {
  const Dns dns = parse_resolv_conf("# made by hand\n"
                                    "nameserver 10.0.0.2\n"
                                    "nameserver ::1  # trailing\n"
                                    "search corp.test. lab.corp.test\n"
                                    "options timeout:1 ndots:3 rotate\n");
  EXPECT_THAT(dns.servers, ElementsAre(Address{"10.0.0.2", 53}, Address{"::1", 53}));
  EXPECT_THAT(dns.search, ElementsAre("corp.test", "lab.corp.test"));
  EXPECT_EQ(dns.ndots, 3);
}

TEST(ResolvConf, TheLastOfSearchAndDomainCounts) {
  EXPECT_THAT(parse_resolv_conf("search a.test b.test\ndomain c.test\n").search, ElementsAre("c.test"));
  EXPECT_THAT(parse_resolv_conf("domain c.test\nsearch a.test b.test\n").search,
              ElementsAre("a.test", "b.test"));
}

TEST(ResolvConf, NothingMeansTheLocalServer) {
  const Dns dns = parse_resolv_conf("");
  EXPECT_THAT(dns.servers, ElementsAre(Address{"127.0.0.1", 53}));
  EXPECT_THAT(dns.search, IsEmpty());
  EXPECT_EQ(dns.ndots, 1);
  EXPECT_THAT(load_resolv_conf("/no/such/file").servers, ElementsAre(Address{"127.0.0.1", 53}));
}

TEST(ResolvConf, OddLinesAreLeftOut) {
  const Dns dns = parse_resolv_conf(
      "nameserver\nnameserver dns.corp.test\nnameserver 10.0.0.2:5353\nnonsense\noptions ndots:x ndots:99\nsearch .\n");
  EXPECT_THAT(dns.servers, ElementsAre(Address{"127.0.0.1", 53}));
  EXPECT_THAT(dns.search, IsEmpty());
  EXPECT_EQ(dns.ndots, 15); // as glibc caps it
}

TEST(ResolvConf, OnlyWhatIsItsIsTakenOver) {
  const Dns resolv_conf = parse_resolv_conf("nameserver 10.0.0.2\nsearch corp.test\noptions ndots:3\n");
  for (int which = 0; which < 8; ++which) {
    Dns dns;
    dns.from_resolv_conf = {
        .file = {}, .servers = (which & 1) != 0, .search = (which & 2) != 0, .ndots = (which & 4) != 0};
    follow(dns, resolv_conf);
    EXPECT_EQ(dns.servers.size(), which & 1 ? 1u : 0u);
    EXPECT_EQ(dns.search.size(), which & 2 ? 1u : 0u);
    EXPECT_EQ(dns.ndots, which & 4 ? 3 : 1);
  }
}

} // namespace
