#include "shim/credentials/kdcs.hpp"

#include "shim/transport/connect.hpp"
#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/support.hpp"

// SRV records and names of KDCs are tested with a real DNS server: tests/component/kdcs_test.cpp.

namespace shim_test {
namespace {

using auth_test::Folder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class KdcsTest : public testing::Test {
protected:
  auth::KerberosConfig config(std::vector<auth::KdcAddress> kdcs, bool dns = false) {
    auth::KerberosConfig made;
    if (!kdcs.empty()) made.kdcs["CORP.TEST"] = std::move(kdcs);
    made.dns_lookup_kdc = dns;
    return made;
  }
  Kdcs::Found find(Kdcs &kdcs, const std::string &realm = "CORP.TEST") {
    FetchContext context{resolver_,
                         {},
                         Millis(20'000),
                         Millis(20'000),
                         [this](Event event) { events_.push_back(std::move(event)); },
                         false};
    return loop_.run(kdcs.find(realm, context));
  }
  static std::vector<std::string> places(const Kdcs::Found &found) {
    std::vector<std::string> texts;
    for (const auto &kdc : found.endpoints)
      texts.push_back(to_text(kdc.endpoint));
    return texts;
  }

  Folder folder_;
  Loop loop_;
  Resolver resolver_{loop_.executor(), {}};
  std::vector<Event> events_;
};

TEST_F(KdcsTest, InTheOrderOfKrb5Conf) {
  Kdcs kdcs(config({{"proxy.corp.test", 443, true, "/Kdc"},
                    {"127.0.0.3", 88},
                    {"::1", 89},
                    {"127.0.0.3", 88},
                    {"not a name", 88},
                    {"unknown.corp.test", 88}}),
            folder_.file(""));
  const auto found = find(kdcs);
  EXPECT_EQ(found.source, "krb5.conf");
  EXPECT_THAT(places(found), ElementsAre("127.0.0.3:88", "[::1]:89")) << "each once";
  EXPECT_EQ(found.trusted, 2u);
  EXPECT_EQ(found.endpoints[1].name, "[::1]:89");
  ASSERT_EQ(found.untried.size(), 3u);
  EXPECT_EQ(found.untried[0], std::pair(std::string("https://proxy.corp.test/Kdc"),
                                        std::string("a KDC proxy (https), which is not supported")));
  EXPECT_EQ(found.untried[1].first, "not a name:88");
  EXPECT_EQ(found.untried[2], std::pair(std::string("unknown.corp.test:88"),
                                        std::string("its name has no address that could be found")));
  EXPECT_FALSE(found.proxies_only);
  EXPECT_FALSE(events_.empty()) << "what DNS said of unknown.corp.test";
}

TEST_F(KdcsTest, ProxiesOnly) {
  Kdcs kdcs(config({{"one", 443, true}, {"two", 8443, true}}), folder_.file(""));
  const auto found = find(kdcs);
  EXPECT_TRUE(found.proxies_only);
  EXPECT_THAT(found.endpoints, IsEmpty());
  EXPECT_EQ(found.source, "krb5.conf");
}

TEST_F(KdcsTest, SssdIsBelievedFirst) {
  Kdcs kdcs(config({{"127.0.0.3", 88}}), folder_.file(""));
  folder_.write("kdcinfo.CORP.TEST", "127.0.0.7\n[::1]:1088\n");
  auto found = find(kdcs);
  EXPECT_EQ(found.source, "sssd");
  EXPECT_THAT(places(found), ElementsAre("127.0.0.7:88", "[::1]:1088"));
  folder_.write("kdcinfo.CORP.TEST", "\n");
  EXPECT_EQ(find(kdcs).source, "krb5.conf")
      << "a file that lists none is as no file, and it is read anew each time";
  folder_.write("kdcinfo.OTHER.TEST", "127.0.0.8\n");
  EXPECT_THAT(places(find(kdcs, "OTHER.TEST")), ElementsAre("127.0.0.8:88"));
}

TEST_F(KdcsTest, RealmThatIsAPathIsNotFollowed) {
  folder_.write("secret", "127.0.0.9\n");
  std::filesystem::create_directory(folder_.file("kdcinfo.x"));
  Kdcs kdcs(config({}, /*dns=*/true), folder_.file(""));
  EXPECT_EQ(find(kdcs, "x/../secret").source, "") << "realms come from the network, too";
  EXPECT_TRUE(events_.empty()) << "and DNS is not asked for one";
}

TEST_F(KdcsTest, Nobody) {
  Kdcs silent(config({}), folder_.file(""));
  EXPECT_EQ(find(silent).why_none,
            "krb5.conf names no KDC of realm CORP.TEST, and says dns_lookup_kdc = false");
  EXPECT_TRUE(events_.empty()) << "dns_lookup_kdc = false is honoured";
  Kdcs asking(config({}, /*dns=*/true), folder_.file(""));
  EXPECT_THAT(find(asking).why_none, HasSubstr("DNS no service _kerberos._tcp.corp.test (unreachable)"));
  EXPECT_EQ(find(asking).source, "");
}

TEST_F(KdcsTest, WhoAnsweredIsAskedFirstAndWhoFailedLast) {
  Kdcs kdcs(config({{"127.0.0.1", 88}, {"127.0.0.2", 88}, {"127.0.0.3", 88}}), folder_.file(""));
  const auto kdc = [](const char *address) { return Tcp::endpoint{asio::ip::make_address(address), 88}; };
  kdcs.failed(kdc("127.0.0.1"));
  kdcs.answered("CORP.TEST", kdc("127.0.0.3"));
  auto found = find(kdcs);
  EXPECT_THAT(places(found), ElementsAre("127.0.0.3:88", "127.0.0.2:88", "127.0.0.1:88"));
  EXPECT_EQ(found.trusted, 2u);
  kdcs.failed(kdc("127.0.0.3"));
  kdcs.failed(kdc("127.0.0.2"));
  found = find(kdcs);
  EXPECT_THAT(places(found), ElementsAre("127.0.0.1:88", "127.0.0.2:88", "127.0.0.3:88"))
      << "none is left out";
  EXPECT_EQ(found.trusted, 0u);
  kdcs.answered("CORP.TEST", kdc("127.0.0.2"));
  EXPECT_THAT(places(find(kdcs)), ElementsAre("127.0.0.2:88", "127.0.0.1:88", "127.0.0.3:88"));
  kdcs.forget();
  EXPECT_THAT(places(find(kdcs)), ElementsAre("127.0.0.1:88", "127.0.0.2:88", "127.0.0.3:88"));
}

TEST_F(KdcsTest, Bounded) {
  std::vector<auth::KdcAddress> many;
  for (int i = 0; i < 100; ++i)
    many.push_back({"127.0.1." + std::to_string(i), 88});
  Kdcs kdcs(config(many), folder_.file(""));
  EXPECT_EQ(find(kdcs).endpoints.size(), auth::most_kdcs);
}

TEST(TicketEvents, DnsAnswer) {
  auth::DnsAnswer answer{
      {"sql1.corp.test", auth::DnsType::a}, auth::DnsOutcome::ok, {}, "127.0.0.1:53", true, {}};
  answer.records = {{"sql1.corp.test", auth::DnsType::cname, "x.test", 300s},
                    {"x.test", auth::DnsType::a, "10.0.0.5", 60s},
                    {"x.test", auth::DnsType::a, "10.0.0.6", 90s}};
  answer.took = std::chrono::microseconds(77);
  const auto event = to_event(answer);
  EXPECT_EQ(event.question, "sql1.corp.test");
  EXPECT_EQ(event.type, "A");
  EXPECT_EQ(event.rcode, "ok");
  EXPECT_THAT(event.answers, ElementsAre("CNAME x.test", "A 10.0.0.5", "A 10.0.0.6"));
  EXPECT_EQ(event.ttl, 60) << "the smallest";
  EXPECT_EQ(event.server, "127.0.0.1:53");
  EXPECT_TRUE(event.cached);
  EXPECT_EQ(event.us, 77);
  EXPECT_EQ(to_event({}).ttl, 0);
}

} // namespace
} // namespace shim_test
