// What a DNS server answers (shim/names/dns_reply.hpp).
#include "shim/names/dns_reply.hpp"

#include "auth/host_name.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(dns_reply, 65535) {
  std::vector<auth::DnsRecord> records;
  // A record of 12 bytes with pointers for its names holds two names of up to 1,024 characters as text.
  const bool ok =
      fuzz::within(4096 + 300 * input.size(), [&] { return shim::decode_dns_reply(input, records); });
  if (ok) fuzz::require(records.size() <= input.size() / 11, "a record has at least 11 bytes");
  for (const auto &record : records) {
    fuzz::require(record.name == auth::lower(record.name), "names are in lower case");
    const bool address = record.type == auth::DnsType::a || record.type == auth::DnsType::aaaa;
    fuzz::require(!address || auth::normal_address(record.data) == record.data, "an address is one");
    fuzz::require(record.ttl.count() >= 0, "no time to live is negative");
  }
}
