// A configuration while it is being read: what has come so far, and what the readers of its
// tables need of each other.
#pragma once

#include "config/section.hpp"

namespace config {

/// Where a table stands, for problems between tables.
struct Named {
  std::string table; ///< "listener[0]"
  Place place;
};
using Names = std::map<std::string, Named, std::less<>>;

struct Loading {
  Report report;
  Config config; ///< what has been read; its `file` is known from the start
  std::filesystem::path resolv_conf;
  std::string proc_status; ///< what the kernel says of this process
  Names listener_names, identity_names, route_names;
  std::map<std::string, std::string> addresses; ///< of listeners: address or path -> "listener[0]"

  /// Relative paths are relative to the configuration's folder; empty: that folder.
  std::filesystem::path from_folder(const std::string &path) const;
};

// What several tables have. Each makes its key a known one; what is wrong is a
// problem, and the default stays.

/// `name`, which stands only once in `names`; empty where there is none.
std::string read_name(Section &section, Names &names);
/// Users and groups, looked up by number.
void read_who(Section &section, std::string_view key, std::vector<Who> &list);
std::optional<Duration> read_duration(Section &section, std::string_view key);
/// A path, relative to the folder. "" is as not written: the default.
std::filesystem::path read_path(Section &section, std::string_view key, const Loading &loading);

/// A problem where everybody on this machine may read or write the file; a warning where there is none. A
/// ccache that is no file ("KCM:") is neither.
void check_secret(Section &section, std::string_view key, std::string path);
/// A problem where somebody else could put another file there.
void check_place(Section &section, std::string_view key, const std::filesystem::path &path);
void warn_if_absent(Section &section, std::string_view key, const std::filesystem::path &path);

} // namespace config
