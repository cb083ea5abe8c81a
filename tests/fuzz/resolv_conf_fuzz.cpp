// resolv.conf, which the network's configuration writes (config/resolv_conf.hpp).
#include "config/resolv_conf.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(resolv_conf, 4096) {
  const auto dns =
      fuzz::within(8192 + 64 * input.size(), [&] { return config::parse_resolv_conf(fuzz::text_of(input)); });
  fuzz::require(!dns.servers.empty(), "there is always a server to ask");
  fuzz::require(dns.ndots >= 0 && dns.ndots <= 15, "ndots is capped as glibc caps it");
  for (const auto &suffix : dns.search)
    fuzz::require(!suffix.empty() && !suffix.ends_with('.'), "a suffix is a name");
  // An unreadable file is like an empty one.
  fuzz::require(config::load_resolv_conf("/nonexistent/resolv.conf").servers.size() == 1, "the local server");
}
