#include "auth/alias.hpp"

#include "auth/freetds_conf.hpp"
#include "auth/host_name.hpp"
#include "auth/name.hpp"

#include <algorithm>
#include <fstream>

namespace auth {
namespace {

constexpr std::size_t most_replacements = 8; // as links of a CNAME chain

/// Empty where it cannot be read, and where it is no file: a FIFO would hold up whoever asks.
std::string read(const std::filesystem::path &file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return {};
  const auto size = std::filesystem::file_size(file, error);
  std::string text(error ? 0 : std::min<std::uintmax_t>(size, largest_freetds_conf), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

} // namespace

std::expected<Unaliased, std::string> replace_aliases(Target target,
                                                      const std::vector<AliasSource> &sources) {
  Unaliased result{.target = std::move(target), .replacements = {}};
  std::vector<std::string> path{plain_name(result.target.host)};
  while (!result.target.is_address) {
    std::optional<Alias> found;
    for (auto source = sources.begin(); !found && source != sources.end(); ++source)
      found = (*source)(path.back());
    if (!found) break;
    auto next = parse_target(found->target);
    if (!next)
      return std::unexpected("the alias " + path.back() + " (" + found->by + ") stands for \"" +
                             found->target + "\": " + next.error());
    result.replacements.push_back({path.back(), found->target, found->by});
    auto name = plain_name(next->host);
    // An alias for the same name sets port or instance alone; it is not looked up again.
    const bool same = name == path.back();
    const bool loop = !same && std::ranges::find(path, name) != path.end();
    path.push_back(std::move(name));
    if (loop || path.size() > most_replacements + 1) {
      std::string names;
      for (const auto &one : path)
        names += (names.empty() ? "" : " -> ") + one;
      return std::unexpected(
          (loop ? "aliases go round in a loop: " : "too many aliases behind each other: ") + names);
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
  return [&table](const std::string &name) -> std::optional<Alias> {
    const auto found = table.find(name);
    return found == table.end() ? std::nullopt : std::optional(Alias{found->second, "aliases"});
  };
}

AliasSource source_of(const std::vector<std::filesystem::path> &freetds_conf) {
  return [&freetds_conf,
          texts = std::vector<std::string>()](const std::string &name) mutable -> std::optional<Alias> {
    if (texts.empty()) std::ranges::transform(freetds_conf, std::back_inserter(texts), read);
    const auto found = find_freetds_server(texts, name);
    if (!found || found->host.empty()) return std::nullopt;
    return Alias{found->target(), freetds_conf[found->file].string()};
  };
}

std::string alias_fault(const AliasTable &table, const std::string &name) {
  if (auto fault = name_fault(name); !fault.empty()) return fault;
  auto target = parse_target(name);
  if (!target) return target.error();
  const auto replaced = replace_aliases(std::move(*target), {source_of(table)});
  return replaced ? std::string() : replaced.error();
}

} // namespace auth
