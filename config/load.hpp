// The TOML loader: reports every problem at once, with file, line, column, key and a hint.
#pragma once

#include "config/config.hpp"

namespace config {

struct Problem {
  std::string file;
  int line = 0;     ///< 1-based; 0: the file as a whole
  int column = 0;   ///< 1-based
  std::string key;  ///< "route[0].target"; empty where there is none (syntax)
  std::string what; ///< what is wrong, and what to write instead
  bool warning = false;

  /// "FILE:LINE:COLUMN: KEY: what"; a warning says "warning: " before `what`.
  std::string text() const;
};

struct Loaded {
  Config config;                 ///< meaningful only when `ok()`
  std::vector<Problem> problems; ///< in the order of the file
  bool ok() const;               ///< no problem that is not a warning
};

/// Parses `text` as the content of `file` (relative paths are relative to its folder). Unknown keys and
/// tables are problems, with the nearest known spelling as hint. Users and groups are looked up here
/// (blocking). Reads resolv.conf where [dns] says nothing, and KRB5_CONFIG where [kerberos] says nothing.
/// Looks at the mode of files with secrets, but opens no keytab and connects nowhere. `proc_status` tells
/// what this process may read.
Loaded parse(std::string_view text, const std::filesystem::path &file,
             const std::filesystem::path &resolv_conf = "/etc/resolv.conf",
             const std::filesystem::path &proc_status = "/proc/self/status");
/// Reads and parses a file of at most `largest_file` bytes; an unreadable or larger one is a Problem.
Loaded load(const std::filesystem::path &file);
inline constexpr std::size_t largest_file = 1024 * 1024;

/// --config, else SQLSHIM_CONFIG, else /etc/sqlshim/sqlshim.toml. `option` is empty where not given.
std::filesystem::path which_file(const std::string &option);

} // namespace config
