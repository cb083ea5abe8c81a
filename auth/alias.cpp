#include "auth/alias.hpp"

#include "auth/host_name.hpp"

#include <algorithm>

namespace auth {
namespace {

constexpr std::size_t most_replacements = 8; // as links of a CNAME chain

std::string key_of(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return lower(name);
}

} // namespace

std::expected<Unaliased, std::string> replace_aliases(Target target, const std::vector<AliasSource> &sources) {
  Unaliased result{.target = std::move(target), .replacements = {}};
  std::vector<std::string> path{key_of(result.target.host)};
  while (!result.target.is_address) {
    std::optional<std::string> found;
    const auto source = std::ranges::find_if(sources, [&](const AliasSource &one) {
      found = one.find(path.back());
      return found.has_value();
    });
    if (source == sources.end()) break;
    auto next = parse_target(*found);
    if (!next) return std::unexpected("the alias " + path.back() + " stands for \"" + *found + "\": " + next.error());
    result.replacements.push_back({path.back(), *found, source->by});
    auto name = key_of(next->host);
    // An alias for the same name sets port or instance alone; it is not looked up again.
    const bool same = name == path.back();
    const bool loop = !same && std::ranges::find(path, name) != path.end();
    path.push_back(std::move(name));
    if (loop || path.size() > most_replacements + 1) {
      std::string names;
      for (const auto &one : path)
        names += (names.empty() ? "" : " -> ") + one;
      return std::unexpected((loop ? "aliases go round in a loop: " : "too many aliases behind each other: ") + names);
    }
    auto &now = result.target;
    // What was typed beside the name says more than the alias.
    if (!now.port && now.instance.empty()) {
      now.port = next->port;
      now.instance = std::move(next->instance);
    }
    now.host = std::move(next->host);
    now.is_address = next->is_address;
    if (same) break;
  }
  return result;
}

AliasSource source_of(const AliasTable &table) {
  return {"aliases", [table](const std::string &name) -> std::optional<std::string> {
            const auto found = table.find(name);
            return found == table.end() ? std::nullopt : std::optional(found->second);
          }};
}

std::string alias_fault(const AliasTable &table, const std::string &name) {
  if (auto fault = name_fault(name); !fault.empty()) return fault;
  auto target = parse_target(name);
  if (!target) return target.error();
  const auto replaced = replace_aliases(std::move(*target), {source_of(table)});
  return replaced ? std::string() : replaced.error();
}

} // namespace auth
