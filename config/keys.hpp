// The keys of the configuration: one row each. The loader takes bounds and hints from it; `sqlshim help KEY`
// prints a row; tests hold defaults, `check --show` and the README's reference to it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace config {

/// From `least` to `most`, both allowed.
struct Bounds {
  std::int64_t least = 0, most = 0;
};

struct Key {
  std::string_view table;    ///< "log", "listener", "route.timeouts": names without the brackets
  std::string_view name;     ///< "decisions"
  std::string_view type;     ///< what is written there, for people: "a path", "a duration", the words
  std::string_view standard; ///< the default as TOML; empty: none, or the environment's
  std::string_view sentence; ///< what it is, without a full stop
  Bounds bounds{};           ///< of numbers
  bool later = false;        ///< of a later version: known, and refused

  std::string heading() const; ///< "[log] decisions", "[[route]] timeouts.connect"
};

std::span<const Key> all_keys();
/// Those of one table; empty: it has no rows (its keys are the user's own, or it is none).
std::span<const Key> keys_of(std::string_view table);
const Key *find_key(std::string_view table, std::string_view name);
/// "route[0].timeouts" is table "route.timeouts".
std::string table_of(std::string_view section);

/// What a person means by `word`: "encrypt", "timeouts.connect", "route.encrypt", "[log] level". Several
/// where tables have the same key.
std::vector<const Key *> keys_meant(std::string_view word);

} // namespace config
