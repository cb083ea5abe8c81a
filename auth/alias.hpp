// Aliases: names that an administrator gave to servers, replaced before anything else is decided (the Client Network Utility's job, KB811889 K14). Pure.
#pragma once

#include "auth/target.hpp"

#include <expected>
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

/// What a name stands for in one source; nullopt: nothing. `by` names the source: "aliases", "freetds.conf".
struct AliasSource {
  std::string by;
  std::function<std::optional<std::string>(const std::string &name)> find;
};

struct Unaliased {
  Target target;                         ///< `typed` is still what was typed
  std::vector<Replacement> replacements; ///< in their order; empty: no alias
};

/// Replaces the target's name by what the first source that has it says, and that name again, at most 8 times. A port or instance that was typed
/// beside the alias stays; else the alias's own counts. An address is no alias. Error: a sentence (a loop with its names, too many, an alias for no target).
std::expected<Unaliased, std::string> replace_aliases(Target target, const std::vector<AliasSource> &sources);

/// The table as a source.
AliasSource source_of(const AliasTable &table);

/// What is wrong with an entry of the table: no host name, no target, or a loop that begins there. Empty: nothing.
std::string alias_fault(const AliasTable &table, const std::string &name);

} // namespace auth
