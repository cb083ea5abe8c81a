#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/shim/names/dns_reply_test.cpp"

namespace shim_test {

SEEDS(dns_reply) {
  fuzz::seed("dns_reply", rich_message());
  fuzz::seed("dns_reply", message("sql1.corp.test", wire_a, {}));
  fuzz::seed("dns_reply",
             message("a.test", wire_a, {a("a.test", 1, {10, 0, 0, 5}), cname("b.test", 2, "a.test")}));
  fuzz::seed("dns_reply",
             message("a.test", wire_txt, {record(labels("a.test"), wire_txt, 1, {3, 'a', 'b', 'c'})}));
}

} // namespace shim_test
