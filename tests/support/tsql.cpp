#include "tests/support/tsql.hpp"

namespace test {

lab::Finished tsql(lab::Lab &lab, TsqlOptions options) {
  lab::Command command;
  command.argv = {"tsql", "-H", "127.0.0.1", "-p", std::to_string(lab.port(options.route))};
  command.argv.insert(command.argv.end(), options.arguments.begin(), options.arguments.end());
  command.environment = lab.environment();
  for (const auto &[name, value] : options.environment)
    command.environment[name] = value;
  return lab::run(std::move(command), options.batch);
}

} // namespace test
