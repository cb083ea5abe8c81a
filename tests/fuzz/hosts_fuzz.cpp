// hosts(5), which any program with the right may write (auth/hosts.hpp).
#include "auth/hosts.hpp"

#include "auth/host_name.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(hosts, 4096) {
  // The first line is the name that is asked for.
  const auto all = fuzz::text_of(input);
  const std::string asked(all.substr(0, all.find('\n')));
  // A name of one letter, two bytes of the input, takes a node, its canonical name and addresses.
  const auto hosts = fuzz::within(8192 + 512 * input.size(), [&] { return auth::Hosts(all, "hosts"); });
  fuzz::require(hosts.names() <= input.size() / 2, "each name stands there");
  for (const auto type : {auth::DnsType::a, auth::DnsType::aaaa, auth::DnsType::ptr, auth::DnsType::srv}) {
    const auto answer = hosts.answer({asked, type});
    if (!answer) continue;
    fuzz::require(type == auth::DnsType::ptr || hosts.has(asked), "it has what it answers");
    fuzz::require((answer->outcome == auth::DnsOutcome::ok) ==
                      (!answer->records.empty() && answer->records.back().type == type),
                  "ok, if there is such a record");
    for (const auto &record : answer->records) {
      const bool address = record.type == auth::DnsType::a || record.type == auth::DnsType::aaaa;
      fuzz::require(auth::normal_address(record.data) == (address ? record.data : ""),
                    "addresses in one spelling");
      fuzz::require(address || auth::name_fault(record.data).empty(), "names that an SPN can hold");
    }
  }
  const auto address = auth::reversed_address(asked);
  fuzz::require(address.empty() || auth::reverse_name(address) == auth::plain_name(asked),
                "one spelling alone");
}
