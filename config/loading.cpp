#include "config/loading.hpp"

#include "config/place_of_trust.hpp"
#include "config/who.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace config {

namespace fs = std::filesystem;

fs::path Loading::from_folder(const std::string &path) const {
  std::error_code error;
  fs::path folder = fs::absolute(config.file, error).parent_path();
  return path.empty() ? folder : (folder / path).lexically_normal();
}

std::string read_name(Section &section, Names &names) {
  if (!section.has("name")) section.problem("name", "is missing; write name = \"…\"");
  const auto name = section.value("name", parse_name);
  if (!name) return {};
  const auto [first, fresh] = names.try_emplace(*name, Named{section.name(), section.place("")});
  if (!fresh)
    section.problem(
        "name", fmt::format("\"{}\" is the name of {} already; write another", *name, first->second.table));
  return *name;
}

void read_who(Section &section, std::string_view key, std::vector<Who> &list) {
  const auto elements = section.elements(key, /*one_will_do=*/true);
  if (!elements) return;
  if (elements->empty())
    section.problem(key, "is empty, so nobody could; name users or \"@groups\", or take it out");
  list.clear();
  for (const auto &element : *elements) {
    const auto number = element.node->value_exact<std::int64_t>();
    const auto text = number ? std::nullopt : section.string(element);
    if (!number && !text) continue;
    const auto who = number ? find_who(*number) : find_who(*text);
    if (who)
      list.push_back(*who);
    else
      section.problem(element, who.error());
  }
}

std::optional<Duration> read_duration(Section &section, std::string_view key) {
  const toml::node *node = section.find(key);
  if (!node || !node->is_integer()) return section.value(key, parse_duration);
  section.problem(key,
                  fmt::format("{0} has no unit; write \"{0}s\" or \"{0}ms\"", node->ref<std::int64_t>()));
  return std::nullopt;
}

fs::path read_path(Section &section, std::string_view key, const Loading &loading) {
  const auto written = section.string(key);
  return written && !written->empty() ? loading.from_folder(*written) : fs::path();
}

void check_secret(Section &section, std::string_view key, std::string path) {
  if (path.starts_with("FILE:")) path.erase(0, 5);
  if (!path.starts_with('/')) return; // a ccache that is no file
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return warn_if_absent(section, key, path);
  constexpr mode_t others = S_IROTH | S_IWOTH;
  if (S_ISREG(about.st_mode) && (about.st_mode & others) != 0)
    section.problem(
        key,
        fmt::format("{} can be read or written by everybody on this machine; run chmod 0600 {}", path, path));
  else
    check_place(section, key, path);
}

void check_place(Section &section, std::string_view key, const fs::path &path) {
  if (auto fault = fault_of_place(path, ::geteuid()); !fault.empty()) section.problem(key, std::move(fault));
}

void warn_if_absent(Section &section, std::string_view key, const fs::path &path) {
  std::error_code error;
  if (!fs::exists(path, error))
    section.warning(
        key, error ? fmt::format("{} cannot be looked at: {}", path.string(), error.message())
                   : fmt::format("{} does not exist (yet); logins that need it will fail", path.string()));
}

} // namespace config
