// A child process of the lab: started with its own environment, watched with deadlines, never left behind.
#pragma once

#include "tools/lab/files.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace lab {

using Environment = std::map<std::string, std::string>;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

struct Command {
  std::vector<std::string> argv =
      /// argv[0] without a slash is looked up in PATH (that of `environment`, if any),
      /// then in /usr/sbin and /sbin
      {};
  Environment environment = {}; ///< laid over our own environment; an empty value removes the variable
  fs::path output = {};         ///< standard output and error are appended here; empty: ours are inherited
  fs::path input = {};          ///< standard input; empty: /dev/null, or ours where `terminal`
  bool terminal = false; ///< stays in our process group and keeps our standard input: Ctrl-C reaches it
};

/// A running child. It gets SIGKILL when the thread that started it dies (PR_SET_PDEATHSIG), so
/// nothing outlives a killed lab: start processes from a thread that lives as long as they
/// must. Destruction stops it.
class Process {
public:
  /// Starts it. Throws LabError when the program is not there (naming the package that
  /// has it, where we know it).
  explicit Process(Command command);
  Process(Process &&other) noexcept;
  Process &operator=(Process &&other) noexcept;
  ~Process() { stop(); }

  pid_t pid() const { return pid_; }
  bool running();
  /// Its exit status (128 + signal where a signal ended it) once it has ended.
  std::optional<int> status();
  /// Waits for its end. nullopt when it still runs after `deadline`.
  std::optional<int> wait(milliseconds deadline);
  void signal(int number);
  /// SIGTERM, and SIGKILL to what still runs after `grace`. Reaps it. No effect on one that has ended.
  void stop(milliseconds grace = 3s);

  /// Waits until `condition` holds. Throws LabError with the end of its output when it ends
  /// first, or at the deadline.
  void wait_until(const std::string &what, const std::function<bool()> &condition,
                  milliseconds deadline = 30s);
  /// Waits until something accepts TCP connections at `address`:`port`.
  void wait_for_port(const std::string &address, std::uint16_t port, milliseconds deadline = 30s);
  /// Waits for a line of its output that starts with `prefix`; the rest of that line.
  std::string wait_for_line(const std::string &prefix, milliseconds deadline = 30s);

private:
  std::string name_;
  fs::path output_;
  std::uintmax_t output_start_ = 0; // where its own output begins in a file that is appended to
  pid_t pid_ = -1;
  std::optional<int> status_;
};

struct Finished {
  int status = 0;
  std::string output; ///< standard output and error, in the order written
};
/// Runs a command to its end with `input` on its standard input. Throws LabError when it does not
/// end in time (it is killed).
Finished run(Command command, std::string_view input = {}, milliseconds deadline = 60s);

/// Looks again every few milliseconds until `condition` holds or `deadline` has passed; whether it holds.
bool eventually(const std::function<bool()> &condition, milliseconds deadline = 30s);
/// Whether something accepts TCP connections there now.
bool port_answers(const std::string &address, std::uint16_t port);

} // namespace lab
