// Aliases: names that an administrator gave to servers, replaced before anything else is decided (the Client
// Network Utility's job, KB811889 K14).
#pragma once

#include "auth/target.hpp"

#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <vector>

namespace auth {

/// Name (small letters, no dot at its end) to target, as typed.
using AliasTable = std::map<std::string, std::string>;

/// One replacement: "web" by "sql1.corp.test,1500", as `by` says.
struct Replacement {
  std::string from, to, by;
  bool operator==(const Replacement &) const = default;
};

/// What a name stands for: a target as typed, and who says so: "aliases", "/etc/freetds/freetds.conf".
struct Alias {
  std::string target, by;
};
/// Looks a name up in one place; nullopt: it has none.
using AliasSource = std::function<std::optional<Alias>(const std::string &name)>;

struct Unaliased {
  Target target;                         ///< `typed` is still what was typed
  std::vector<Replacement> replacements; ///< in their order; empty: no alias
};

/// Replaces the target's name by what the first source that has it says, and that name again, at most 8
/// times. A port or instance that was typed beside the alias stays; else the alias's own counts. An address
/// is no alias. Error: a sentence (a loop with its names, too many, an alias for no target).
std::expected<Unaliased, std::string> replace_aliases(Target target, const std::vector<AliasSource> &sources);

/// The table as a source. It outlives the source.
AliasSource source_of(const AliasTable &table);
/// Sections of freetds.conf files, in FreeTDS's order, as a source. Read when first asked, so each login sees
/// them as they are; at most `largest_freetds_conf` bytes of each. A file that cannot be read has no
/// sections, as for FreeTDS. They outlive the source.
AliasSource source_of(const std::vector<std::filesystem::path> &freetds_conf);
inline constexpr std::size_t largest_freetds_conf = 1 << 20;

/// What is wrong with an entry of the table: no host name, no target, or a loop that
/// begins there. Empty: nothing.
std::string alias_fault(const AliasTable &table, const std::string &name);

} // namespace auth
