#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/login7_test.cpp"

using namespace tds::test;

namespace {

/// A login for the target `rewrite`: behind one byte that chooses attempt and encryption.
void seed_rewrite(std::uint8_t choices, const tds::Bytes &login) {
  tds::Bytes bytes{choices};
  bytes.insert(bytes.end(), login.begin(), login.end());
  fuzz::seed("rewrite", bytes);
}

} // namespace

SEEDS(login7) {
  for (const auto &row : logins) {
    fuzz::seed("login7", row.bytes);
    for (const std::uint8_t choices : {0, 1, 2, 4})
      seed_rewrite(choices, {row.bytes.begin(), row.bytes.end()});
  }
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
