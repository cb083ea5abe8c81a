#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/auth/target_test.cpp"

namespace auth {

SEEDS(target) {
  for (const auto &row : good_rows)
    fuzz::seed("target", std::string_view(row.typed));
  for (const auto &row : bad_rows)
    fuzz::seed("target", std::string_view(row.typed));
}

} // namespace auth
