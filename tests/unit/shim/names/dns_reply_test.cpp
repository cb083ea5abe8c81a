#include "shim/names/dns_reply.hpp"

#include "tests/unit/shim/names/dns_wire.hpp"

#include <gmock/gmock.h>
#include <memory>

namespace shim_test {
namespace {

using namespace std::chrono_literals;
using auth::DnsRecord;
using auth::DnsType;
using shim::decode_dns_reply;
using testing::ElementsAre;

struct Decoded {
  bool ok = false;
  std::vector<DnsRecord> records;
};
/// From a heap block of exactly this size, so that a sanitizer sees each byte read too many.
Decoded decode(const Wire &wire) {
  Decoded decoded;
  std::unique_ptr<unsigned char[]> exact(new unsigned char[wire.size()]);
  std::ranges::copy(wire, exact.get());
  decoded.ok = decode_dns_reply({exact.get(), wire.size()}, decoded.records);
  return decoded;
}

TEST(DecodeDnsReply, EachTypeThatWeKnow) {
  const Wire v6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5};
  const auto decoded = decode(
      message("Sql1.Corp.Test", wire_a,
              {a("SQL1.corp.test", 300, {10, 0, 0, 5}), record(labels("sql1.corp.test"), wire_aaaa, 301, v6),
               cname("alias.corp.test", 302, "SQL1.Corp.Test"),
               record(labels("5.0.0.10.in-addr.arpa"), wire_ptr, 303, labels("sql1.corp.test")),
               record(labels("_kerberos._tcp.corp.test"), wire_srv, 304,
                      join({be16(1), be16(20), be16(88), labels("Kdc1.corp.test")})),
               record(labels("sql1.corp.test"), wire_txt, 305, {3, 'a', 'b', 'c'})}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_THAT(
      decoded.records,
      ElementsAre(DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 300s},
                  DnsRecord{"sql1.corp.test", DnsType::aaaa, "2001:db8::5", 301s},
                  DnsRecord{"alias.corp.test", DnsType::cname, "sql1.corp.test", 302s},
                  DnsRecord{"5.0.0.10.in-addr.arpa", DnsType::ptr, "sql1.corp.test", 303s},
                  DnsRecord{"_kerberos._tcp.corp.test", DnsType::srv, "1 20 88 kdc1.corp.test", 304s}))
      << "lower case, and TXT left out";
}

TEST(DecodeDnsReply, ChainWithCompressedNames) {
  // alias.corp.test: "corp.test" stands at 12 + 6.
  const auto to_sql1 = join({{4, 's', 'q', 'l', '1'}, pointer(first_name + 6)});
  const auto decoded = decode(message(
      "alias.corp.test", wire_a,
      {record(pointer(first_name), wire_cname, 60, to_sql1), record(to_sql1, wire_a, 61, {10, 0, 0, 5})}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_THAT(decoded.records,
              ElementsAre(DnsRecord{"alias.corp.test", DnsType::cname, "sql1.corp.test", 60s},
                          DnsRecord{"sql1.corp.test", DnsType::a, "10.0.0.5", 61s}));
}

TEST(DecodeDnsReply, EmptyAnswer) {
  const auto decoded = decode(message("sql1.corp.test", wire_a, {}));
  EXPECT_TRUE(decoded.ok);
  EXPECT_TRUE(decoded.records.empty());
}

TEST(DecodeDnsReply, Malformed) {
  const auto question = message("sql1.corp.test", wire_a, {});
  const auto at_end = static_cast<unsigned>(question.size());
  const auto with = [](const Wire &record) { return message("sql1.corp.test", wire_a, {record}); };
  const struct {
    const char *name;
    Wire wire;
  } rows[] = {
      {"nothing", {}},
      {"an owner that points at itself", with(record(pointer(at_end), wire_a, 1, {10, 0, 0, 5}))},
      {"an owner that points past the end", with(record(pointer(0x3fff), wire_a, 1, {10, 0, 0, 5}))},
      {"an alias that points at itself",
       with(record(pointer(first_name), wire_cname, 1, pointer(at_end + 12)))},
      {"an alias that points at what points back",
       with(record(pointer(first_name), wire_cname, 1, join({pointer(at_end + 14), pointer(at_end + 12)})))},
      {"an alias of no bytes", with(record(pointer(first_name), wire_cname, 1, {}))},
      {"an A of 3 bytes", with(record(pointer(first_name), wire_a, 1, {10, 0, 0}))},
      {"an A of 5 bytes", with(record(pointer(first_name), wire_a, 1, {10, 0, 0, 5, 5}))},
      {"an AAAA of 4 bytes", with(record(pointer(first_name), wire_aaaa, 1, {10, 0, 0, 5}))},
      {"an SRV without a target",
       with(record(pointer(first_name), wire_srv, 1, join({be16(1), be16(1), be16(88)})))},
      {"a CNAME that ends before its data does",
       with(record(pointer(first_name), wire_cname, 1, join({pointer(first_name), {0}})))},
      {"a CNAME that goes on behind its data",
       message("sql1.corp.test", wire_a,
               {record(pointer(first_name), wire_cname, 1, {3}),
                record(pointer(first_name), wire_a, 1, {10, 0, 0, 5})})},
      {"an SRV whose target ends before its data does",
       with(record(pointer(first_name), wire_srv, 1,
                   join({be16(1), be16(1), be16(88), pointer(first_name), {0}})))},
      {"bytes behind the last record", join({question, {0}})},
  };
  for (const auto &row : rows)
    EXPECT_FALSE(decode(row.wire).ok) << row.name;
}

/// A message with everything in it that has a length.
Wire rich_message() {
  const auto to_sql1 = join({{4, 's', 'q', 'l', '1'}, pointer(first_name + 6)});
  return message("alias.corp.test", wire_a,
                 {record(pointer(first_name), wire_cname, 60, to_sql1),
                  record(to_sql1, wire_a, 61, {10, 0, 0, 5}), record(to_sql1, wire_aaaa, 61, Wire(16, 1)),
                  record(pointer(first_name), wire_ptr, 1, to_sql1),
                  record(pointer(first_name), wire_srv, 1, join({be16(1), be16(2), be16(88), to_sql1}))});
}

TEST(DecodeDnsReply, TruncatedAtEachByte) {
  const auto whole = rich_message();
  ASSERT_TRUE(decode(whole).ok);
  ASSERT_EQ(decode(whole).records.size(), 5u);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}).ok)
        << size << " bytes";
}

TEST(DecodeDnsReply, AnyByteMayBeAnything) {
  const auto whole = rich_message();
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (int value = 0; value < 256; value += at < 2 ? 255 : 1) {
      auto wire = whole;
      wire[at] = static_cast<unsigned char>(value);
      EXPECT_LE(decode(wire).records.size(), 5u) << "byte " << at << " is " << value;
    }
}

} // namespace
} // namespace shim_test
