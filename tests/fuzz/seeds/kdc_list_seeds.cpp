#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/shim/names/dns_wire.hpp"

#include <string>

using namespace shim_test;

SEEDS(kdc_list) {
  for (
      const std::string text :
      {"10.0.0.1\n10.0.0.2:1088\n\n  [2001:db8::1]:89 \r\n2001:db8::2\n# a comment\nkdc1.corp.test:88 # the old one\nnot a kdc\n",
       "https://proxy.corp.test/KdcProxy\n10.0.0.3:0\n", "20 0 88 third.corp.test.", "10 5 70000 a",
       "0 0 88 ."})
    fuzz::seed("kdc_list", std::string_view(std::string(2, '\1') + text));
  // Three of one priority, one of another.
  const auto srv = [](unsigned priority, unsigned weight, std::string_view target) {
    return record(pointer(first_name), wire_srv, 60,
                  join({be16(priority), be16(weight), be16(88), labels(target)}));
  };
  const auto reply = message("_kerberos._tcp.corp.test", wire_srv,
                             {srv(0, 10, "light.corp.test"), srv(0, 90, "heavy.corp.test"),
                              srv(0, 0, "zero.corp.test"), srv(20, 0, "third.corp.test")});
  for (const unsigned chosen : {0, 1, 11, 100})
    fuzz::seed("kdc_list", join({be16(chosen), reply}));
}
