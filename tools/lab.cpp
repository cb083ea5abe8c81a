#include "tools/commands.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <ostream>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace commands {

std::filesystem::path beside_this_program(const std::string &name) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name;
}

int lab(std::ostream &err, std::span<char *const> arguments) {
  const std::string program = beside_this_program("sqlshim-lab").string();
  std::vector<char *> argv{const_cast<char *>(program.c_str())};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  if (errno == ENOENT)
    err << fmt::format("sqlshim lab: {} is not there: the lab is a program of its own, so that a production "
                       "installation holds no fake "
                       "server. Build it, or install it beside sqlshim.\n",
                       program);
  else
    err << fmt::format("sqlshim lab: cannot start {}: {}\n", program, std::generic_category().message(errno));
  return 2;
}

} // namespace commands
