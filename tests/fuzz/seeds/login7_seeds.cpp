#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/login7_test.cpp"

using namespace tds::test;

SEEDS(login7) {
  for (const auto &row : logins)
    fuzz::seed("login7", row.bytes);
  for (const auto &row : bad_logins) {
    tds::Bytes bytes = every_field_bytes;
    std::ranges::copy(row.replacement, bytes.begin() + static_cast<std::ptrdiff_t>(row.at));
    fuzz::seed("login7", bytes);
  }
  for (const auto &row : text_limits) {
    tds::Login7 login = every_field();
    row.set(login, std::u16string(row.longest, u'x'));
    fuzz::seed("login7", *tds::encode_login7(login));
  }
}
