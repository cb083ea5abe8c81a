#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/sspi_test.cpp"

SEEDS(sspi) {
  for (const auto &row : tds::test::mechanisms) {
    fuzz::seed("recognise", row.token);
    fuzz::seed("sspi", row.token);
  }
}
