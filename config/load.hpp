// The TOML loader: reports every problem at once, with file, line, column, key and a hint.
#pragma once

#include "config/config.hpp"

namespace config {

struct Problem {
  std::string file;
  int line = 0;   ///< 1-based; 0: the file as a whole
  int column = 0; ///< 1-based
  std::string key; ///< "route[0].target"; empty where there is none (syntax)
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

/// Parses `text` as the content of `file` (relative paths are relative to its folder). Unknown keys and tables are problems, with the nearest
/// known spelling as hint. Users and groups are looked up here (blocking). Reads resolv.conf where [dns] says nothing. Opens no keytab and connects nowhere.
Loaded parse(std::string_view text, const std::filesystem::path &file);
/// Reads and parses a file; an unreadable file is a Problem.
Loaded load(const std::filesystem::path &file);

/// --config, else SQLSHIM_CONFIG, else /etc/sqlshim/sqlshim.toml. `option` is empty where not given.
std::filesystem::path which_file(const std::string &option);

} // namespace config
