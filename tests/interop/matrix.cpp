#include "tests/interop/matrix.hpp"

#include <fmt/format.h>

namespace interop {

std::string table(const std::vector<Row> &rows, const std::vector<std::string> &steps) {
  std::size_t first = 0;
  for (const auto &row : rows)
    first = std::max(first, row.driver.size());
  auto text = fmt::format("{:<{}}", "", first);
  for (const auto &step : steps)
    text += fmt::format("  {}", step);
  text += "  comparisons  seconds\n";
  for (const auto &row : rows) {
    text += fmt::format("{:<{}}", row.driver, first);
    for (const auto &step : steps) {
      const auto cell = row.cells.find(step);
      text += fmt::format("  {:<{}}", cell == row.cells.end() ? "absent" : cell->second, step.size());
    }
    text += fmt::format("  {:>11}  {:>7.0f}\n", row.compared.comparisons, row.seconds);
  }
  return text;
}

} // namespace interop
