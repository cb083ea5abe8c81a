#include "config/load.hpp"
#include "shim/log/render.hpp"
#include "shim/process.hpp"
#include "tools/commands.hpp"

#include <iostream>

namespace commands {

int serve(const std::filesystem::path &config) {
  config::Loaded loaded = config::load(config);
  std::vector<std::string> warnings;
  for (const config::Problem &problem : loaded.problems) {
    std::cerr << shim::printable(problem.text(), 4096) << '\n';
    if (problem.warning) warnings.push_back(problem.text());
  }
  if (!loaded.ok()) return 2;
  return shim::serve(std::move(loaded.config), std::move(warnings));
}

} // namespace commands
