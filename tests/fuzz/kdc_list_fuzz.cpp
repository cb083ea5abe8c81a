// Where KDCs are, as sssd writes it down and as DNS answers (auth/kdc_list.hpp).
#include "auth/kdc_list.hpp"

#include "auth/host_name.hpp"
#include "shim/names/dns_reply.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

void check(const std::vector<auth::KdcAddress> &kdcs) {
  fuzz::require(kdcs.size() <= auth::most_kdcs, "more are never considered");
  for (const auto &kdc : kdcs) {
    fuzz::require(kdc.port != 0 && !kdc.https, "each can be connected to");
    fuzz::require(auth::name_fault(kdc.host).empty() || !auth::normal_address(kdc.host).empty(),
                  "a name or an address");
    const auto again = auth::parse_kdc(kdc.text());
    fuzz::require(again && again->port == kdc.port && auth::lower(again->host) == auth::lower(kdc.host),
                  "its text names the same one");
  }
}

} // namespace

FUZZ_TARGET(kdc_list, 16384) {
  fuzz::Cursor in(input);
  const std::uint32_t chosen = in.u16();
  const auto rest = in.rest();
  // The text and one line of it, copied, and at most sixteen addresses.
  check(fuzz::within(16 * 1024 + 8 * rest.size(), [&] { return auth::parse_kdcinfo(fuzz::text_of(rest)); }));

  std::vector<auth::DnsRecord> records;
  shim::decode_dns_reply(rest, records);
  // What is not decoded yet: its text as the data of a record, as another resolver might hand it on.
  records.push_back({"_kerberos._tcp.corp.test",
                     auth::DnsType::srv,
                     std::string(fuzz::text_of(rest.first(std::min<std::size_t>(rest.size(), 80)))),
                     {}});
  const auto random = [&](std::uint32_t below) {
    fuzz::require(below > 0, "there is something to choose from");
    return chosen % below;
  };
  check(fuzz::within(16 * 1024 + 2048 * (records.size() + 1),
                     [&] { return auth::order_srv(records, random); }));
}
