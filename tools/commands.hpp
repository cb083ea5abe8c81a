// The subcommands of sqlshim. Each returns the exit status: 0 good, 1 bad (a log with unreadable lines), 2 usage or configuration.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>

namespace commands {

/// `sqlshim serve`: problems of the configuration go to standard error, then the proxy runs until it is told to stop.
int serve(const std::filesystem::path &config);

/// `sqlshim check`: every problem and warning of the configuration, one a line, then "FILE: ok, …" when there is no problem.
int check(std::ostream &out, const std::filesystem::path &config);

struct LogOptions {
  std::string name{};  ///< of what is read, for complaints: the file, or "standard input"
  std::string conn{};  ///< show this connection only (the id, or its beginning)
  std::string cause{}; ///< show only connections that were refused for this cause
  bool time = false;   ///< put the time of day (UTC) in front
  bool colour = false; ///< for a terminal
};
/// `sqlshim log`: a decision log as a timeline. Lines that cannot be read are named on `err` and left out; the status is 1 then.
int log(std::istream &in, std::ostream &out, std::ostream &err, const LogOptions &options);

/// `sqlshim lab …`: becomes `sqlshim-lab` beside this program, with the same arguments. Returns only when that fails.
int lab(std::ostream &err, std::span<char *const> arguments);
/// The path of the program beside this one.
std::filesystem::path beside_this_program(const std::string &name);

} // namespace commands
