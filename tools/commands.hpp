// The subcommands of sqlshim. Each returns the exit status: 0 good, 1 bad (a login that would fail, a log
// with unreadable lines), 2 usage or configuration.
#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace shim {
struct Explanation;
}

namespace commands {
struct SecondOpinion;
}

namespace commands {

/// `sqlshim serve`: problems of the configuration go to standard error, then the proxy runs
/// until it is told to stop.
int serve(const std::filesystem::path &config);

/// `sqlshim check`: every problem and warning of the configuration, one a line, then "FILE: ok, …" when there
/// is no problem. `show`: then the configuration with every key written out, as TOML that can be loaded;
/// warnings are comments in it.
int check(std::ostream &out, const std::filesystem::path &config, bool show = false);

/// `sqlshim help WORD`: what a key of the configuration, or a cause, is. A word that is neither is refused by
/// name (status 2), with what may have been meant.
int help(std::ostream &out, std::ostream &err, std::string_view word);

struct ExplainOptions {
  std::string target{};
  std::string route{};  ///< name of the route whose policy is taken; empty: the one of the target
  bool connect = false; ///< log in as well
  bool control = false; ///< with `connect`: and let FreeTDS log in directly, for comparison
  bool json = false;
  bool colour = false; ///< for a terminal
  std::string as{};    ///< a driver, or "all": what it would make of the target; empty: nobody's comparison
};
/// `sqlshim explain`: what sqlshim would do for a target. Complaints go to `err`. Status 0: the login would
/// succeed (without `connect`: would get as far as connecting), 1: it would fail, 2: usage or configuration,
/// or a login that explain cannot try. Call it before any other thread exists.
int explain(std::ostream &out, std::ostream &err, const std::filesystem::path &config,
            const ExplainOptions &options);
/// The same for a person: the story from the target to the diagnosis.
std::string render(const shim::Explanation &explanation, const std::vector<SecondOpinion> &opinions,
                   bool colour);

struct LogOptions {
  std::string name{};  ///< of what is read, for complaints: the file, or "standard input"
  std::string conn{};  ///< show this connection only (the id, or its beginning)
  std::string cause{}; ///< show only connections that were refused for this cause
  bool time = false;   ///< put the time of day (UTC) in front
  bool colour = false; ///< for a terminal
};
/// What is wrong with a --cause: empty where it is none (not given) or exists; else a sentence with those
/// that may have been meant, or all.
std::string cause_problem(std::string_view cause);
/// `sqlshim log`: a decision log as a timeline. Lines that cannot be read are named on `err` and left
/// out; the status is 1 then.
int log(std::istream &in, std::ostream &out, std::ostream &err, const LogOptions &options);

/// `sqlshim log --follow`: the same of a file that grows, as `Follower` hands out its lines; `goes_on` is
/// asked after each look whether there is to be another one, and waits until it is time for it.
void follow(const std::filesystem::path &file, std::ostream &out, std::ostream &err,
            const LogOptions &options, const std::function<bool()> &goes_on);

/// `sqlshim lab …`: becomes `sqlshim-lab` beside this program, with the same arguments.
/// Returns only when that fails.
int lab(std::ostream &err, std::span<char *const> arguments);
/// The path of the program beside this one.
std::filesystem::path beside_this_program(const std::string &name);

} // namespace commands
