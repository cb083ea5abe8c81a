#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/prelogin_test.cpp"

SEEDS(prelogin) {
  for (const auto &row : tds::test::prelogins)
    fuzz::seed("prelogin", row.bytes);
  for (const auto &row : tds::test::bad_prelogins)
    fuzz::seed("prelogin", row.bytes);
}
