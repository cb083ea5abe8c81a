#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/auth/error_test.cpp"

namespace auth_test {

SEEDS(krb_error) {
  for (const int code : {0, 1, 6, 7, 8, 12, 14, 18, 23, 24, 25, 27, 31, 32, 35, 37, 41, 44, 45, 60, 68})
    fuzz::seed("krb_error", krb_error(code));
  for (const auto &[name, token] : wrapped(krb_error(41, "said", true)))
    fuzz::seed("krb_error", token);
  for (const auto &[name, token] : wrapped(der_of(0x6f, {der_of(0x30, {der_of(0xa0, {der_integer(5)})})})))
    fuzz::seed("krb_error", token);
}

} // namespace auth_test
