#include "auth/kdc_list.hpp"

#include <gmock/gmock.h>

namespace auth_test {
namespace {

using namespace auth;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> texts(const std::vector<KdcAddress> &kdcs) {
  std::vector<std::string> result;
  for (const auto &kdc : kdcs)
    result.push_back(kdc.text());
  return result;
}

DnsRecord srv(const std::string &data) { return {"_kerberos._tcp.corp.test", DnsType::srv, data, {}}; }

std::uint32_t first(std::uint32_t) { return 0; }
std::uint32_t last(std::uint32_t n) { return n - 1; }

TEST(KdcList, Kdcinfo) {
  EXPECT_THAT(
      texts(parse_kdcinfo(
          "10.0.0.1\n10.0.0.2:1088\n\n  [2001:db8::1]:89 \r\n2001:db8::2\n# a comment\n"
          "kdc1.corp.test:88 # the old one\nnot a kdc\nhttps://proxy.corp.test/KdcProxy\n10.0.0.3:0")),
      ElementsAre("10.0.0.1:88", "10.0.0.2:1088", "[2001:db8::1]:89", "[2001:db8::2]:88",
                  "kdc1.corp.test:88"));
  EXPECT_THAT(parse_kdcinfo(""), IsEmpty());
  std::string many;
  for (int i = 0; i < 1000; ++i)
    many += "10.0.0.1\n";
  EXPECT_EQ(parse_kdcinfo(many).size(), most_kdcs);
}

TEST(KdcList, SrvByPriority) {
  const std::vector<DnsRecord> records = {srv("20 0 88 third.corp.test"), srv("10 0 88 Second.Corp.Test."),
                                          srv("0 5 1088 first.corp.test")};
  for (const auto &random : {first, last})
    EXPECT_THAT(texts(order_srv(records, random)),
                ElementsAre("first.corp.test:1088", "second.corp.test:88", "third.corp.test:88"));
}

TEST(KdcList, SrvByWeightAmongEquals) {
  // Running sums of RFC 2782: zero 0, light 10, heavy 100.
  const std::vector<DnsRecord> records = {srv("0 10 88 light"), srv("0 90 88 heavy"), srv("0 0 88 zero")};
  const auto picks = [&](std::uint32_t point) {
    return texts(order_srv(records, [&](std::uint32_t n) { return std::min(point, n - 1); })).front();
  };
  EXPECT_EQ(picks(0), "zero:88");
  EXPECT_EQ(picks(1), "light:88");
  EXPECT_EQ(picks(10), "light:88");
  EXPECT_EQ(picks(11), "heavy:88");
  EXPECT_EQ(picks(100), "heavy:88");
  EXPECT_THAT(texts(order_srv(records, last)), ElementsAre("heavy:88", "light:88", "zero:88"));
  std::uint32_t asked = 0;
  order_srv({srv("0 10 88 a"), srv("0 90 88 b")},
            [&](std::uint32_t n) { return (asked = std::max(asked, n)), 0u; });
  EXPECT_EQ(asked, 101u) << "from 0 to the sum of the weights, both included";
}

TEST(KdcList, SrvThatIsNone) {
  EXPECT_THAT(order_srv({srv("0 0 88 ."),
                         srv("0 0 0 kdc"),
                         srv("0 0 65536 kdc"),
                         srv("0 65536 88 kdc"),
                         srv("0 -1 88 kdc"),
                         srv("-1 0 88 kdc"),
                         srv("0 0 88"),
                         srv("x 0 88 kdc"),
                         srv("0 0 88 a/b"),
                         srv(""),
                         {"kdc", DnsType::a, "10.0.0.1", {}}},
                        first),
              IsEmpty());
  EXPECT_THAT(order_srv({}, first), IsEmpty());
  std::vector<DnsRecord> many(1000, srv("0 65535 88 kdc"));
  EXPECT_EQ(order_srv(many, last).size(), most_kdcs);
}

TEST(KdcList, Question) {
  EXPECT_EQ(srv_question("CORP.TEST"), (DnsQuestion{"_kerberos._tcp.corp.test", DnsType::srv}));
}

} // namespace
} // namespace auth_test
