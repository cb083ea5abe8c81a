// Real drivers behave through sqlshim as they do without it.
#include "tests/interop/matrix.hpp"
#include "tests/interop/programme.hpp"

#include <atomic>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <thread>

namespace {

using namespace testing;
using namespace interop;

constexpr std::size_t most_differences = 12; ///< of a row that are shown: one fault shows in many places

/// Those rows whose name holds this alone, and what they print; null: all, quietly.
const char *const only_these = std::getenv("SQLSHIM_INTEROP");

/// Two failures may be equal, too: of the programme, and where the peer knows less than the programme asks.
bool says_that_it_failed(const std::string &line) {
  for (const auto *words : {"failed: ", "Could not find stored procedure", "the lab does not know", "the lab cannot"})
    if (line.contains(words)) return true;
  return false;
}

/// One row of the matrix: the programme direct, then through sqlshim.
Row compare_driver(lab::Lab &lab, const Driver &driver) {
  Row row{.driver = fmt::format("{}, {}, {}", driver.name, driver.mode, to_string(driver.auth)),
          .cells = {},
          .compared = {}};
  const auto started = std::chrono::steady_clock::now();
  auto direct = run(lab, driver, Way::direct);
  auto through = run(lab, driver, Way::through);
  for (const auto *one : {&direct, &through})
    if (one->finished.status != 0)
      row.compared.differences.push_back(fmt::format("{} {}: status {}\n{}", row.driver,
                                                     one == &direct ? "direct" : "through sqlshim",
                                                     one->finished.status, one->finished.output));
  if (only_these) fmt::print("{}", direct.finished.output);
  for (const auto &step : step_names()) {
    const auto &lines = direct.steps[step].lines;
    const auto compared = compare(row.driver + ", " + step, direct.steps[step], through.steps[step]);
    const bool no_such_thing = lines.size() == 1 && lines[0].starts_with("- ");
    const bool ran = !lines.empty() && std::ranges::none_of(lines, says_that_it_failed);
    row.cells[step] = !compared.differences.empty() ? "DIFFERS" : no_such_thing ? "-" : ran ? "equal" : "FAILED";
    row.compared += compared;
    if (row.compared.differences.size() > most_differences) row.compared.differences.resize(most_differences);
  }
  row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return row;
}

std::vector<Driver> chosen() {
  std::vector<Driver> rows;
  for (const auto &driver : drivers())
    if (!only_these || driver.slug().contains(only_these)) rows.push_back(driver);
  return rows;
}

TEST(Interop, DriversBehaveAsWithoutSqlshim) {
  const auto started = std::chrono::steady_clock::now();
  const auto rows_wanted = chosen();
  const auto plain = make_lab({.server_encrypt = "on"});
  const auto strict = make_lab({.server_encrypt = "strict"});
  std::vector<Row> rows(rows_wanted.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < rows_wanted.size(); i = next++)
      try {
        rows[i] = compare_driver(rows_wanted[i].strict ? *strict : *plain, rows_wanted[i]);
      } catch (const std::exception &problem) {
        rows[i].driver = rows_wanted[i].slug();
        rows[i].compared.differences.push_back(problem.what());
      }
  };
  std::thread second(work); // two at a time: a driver's programme leaves a core idle half of the time
  work();
  second.join();

  fmt::print("{}", table(rows, step_names()));
  int comparisons = 0;
  for (const auto &row : rows) {
    comparisons += row.compared.comparisons;
    for (const auto &difference : row.compared.differences)
      ADD_FAILURE() << difference;
    for (const auto &[step, cell] : row.cells)
      EXPECT_THAT(cell, AnyOf("equal", "-")) << row.driver << ", " << step;
  }
  fmt::print("{} rows, {} comparisons, {:.1f} minutes\n", rows.size(), comparisons,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count() / 60);
}

} // namespace
