#include "config/load.hpp"
#include "shim/log/render.hpp"
#include "tools/commands.hpp"

#include <fmt/format.h>
#include <ostream>

namespace commands {

namespace {

std::string count(std::size_t number, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", number, number == 1 ? singular : plural);
}

} // namespace

int check(std::ostream &out, const std::filesystem::path &config) {
  const config::Loaded loaded = config::load(config);
  for (const config::Problem &problem : loaded.problems)
    out << shim::printable(problem.text(), 4096) << '\n'; // what is wrong may be quoted from the file
  if (!loaded.ok()) return 2;
  out << fmt::format("{}: ok, {}, {}, {}\n", config.string(),
                     count(loaded.config.listeners.size(), "listener", "listeners"),
                     count(loaded.config.identities.size(), "identity", "identities"),
                     count(loaded.config.routes.size(), "route", "routes"));
  return 0;
}

} // namespace commands
