#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/auth/hosts_test.cpp"

namespace auth {

SEEDS(hosts) {
  for (const auto &row : hosts_rows)
    fuzz::seed("hosts", std::string_view(row.asked + std::string("\n") + row.text));
  for (const char *asked : {"5.0.0.10.in-addr.arpa", "6.0.0.10.in-addr.arpa"})
    fuzz::seed("hosts", std::string_view(asked + std::string("\n10.0.0.5 sql1\n")));
  fuzz::seed("hosts", std::string_view(reverse_name("2001:db8::1") + "\n2001:db8::1 sql1\n"));
}

} // namespace auth
