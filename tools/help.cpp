#include "config/causes.hpp"
#include "config/keys.hpp"
#include "config/value.hpp"
#include "tools/commands.hpp"

#include <fmt/format.h>
#include <ostream>

namespace commands {

namespace {

std::string row(const config::Key &key) {
  std::string text = fmt::format("{}\n  {}.\n  Written as: {}", key.heading(), key.sentence, key.type);
  if (key.bounds.most != 0) text += fmt::format(", from {} to {}", key.bounds.least, key.bounds.most);
  if (!key.standard.empty()) text += fmt::format("\n  Default: {} = {}", key.name, key.standard);
  return text + (key.later ? "\n  Not supported by this version.\n" : "\n");
}

} // namespace

int help(std::ostream &out, std::ostream &err, std::string_view word) {
  for (const auto *key : config::keys_meant(word))
    out << row(*key);
  const auto *cause = config::find_cause(word);
  if (cause)
    out << fmt::format("cause {}\n  {}\n  {}\n", cause->id, config::fill(cause->sentence, {}),
                       config::fill(cause->remedy, {}));
  if (cause || !config::keys_meant(word).empty()) return 0;
  std::vector<std::string_view> known;
  for (const auto &key : config::all_keys())
    known.push_back(key.name);
  for (const auto &entry : config::all_causes())
    known.push_back(entry.id);
  const auto hint = config::nearest(word, known);
  err << fmt::format("sqlshim help: \"{}\" is no key of the configuration and no cause; {}\n", word,
                     hint ? fmt::format("did you mean \"{}\"?", *hint)
                          : "README.md's configuration reference has all keys");
  return 2;
}

} // namespace commands
