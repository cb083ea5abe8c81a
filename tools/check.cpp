#include "config/load.hpp"
#include "config/show.hpp"
#include "shim/log/render.hpp"
#include "tools/commands.hpp"

#include <fmt/format.h>
#include <ostream>
#include <unistd.h>

namespace commands {

namespace {

std::string count(std::size_t number, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", number, number == 1 ? singular : plural);
}

} // namespace

int check(std::ostream &out, const std::filesystem::path &config, bool show) {
  const config::Loaded loaded = config::load(config);
  const bool comments = show && loaded.ok();
  for (const config::Problem &problem : loaded.problems) // what is wrong may be quoted from the file
    out << (comments ? "# " : "") << shim::printable(problem.text(), 4096) << '\n';
  if (!loaded.ok()) return 2;
  out << fmt::format("{}{}: ok, {}, {}, {}\n", comments ? "# " : "", shim::printable(config.string(), 4096),
                     count(loaded.config.listeners.size(), "listener", "listeners"),
                     count(loaded.config.identities.size(), "identity", "identities"),
                     count(loaded.config.routes.size(), "route", "routes"));
  for (const config::Identity &identity : loaded.config.identities)
    if (!identity.account.empty())
      out << (comments ? "# " : "")
          << shim::printable(fmt::format("identity {}: {} is {}, by [domains]", identity.name, identity.account,
                                         identity.principal),
                             4096)
          << '\n';
  if (show) out << '\n' << config::show(loaded.config, ::getuid());
  return 0;
}

} // namespace commands
