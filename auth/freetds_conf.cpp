#include "auth/freetds_conf.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace auth {
namespace {

// FreeTDS reads with fgets into 256 bytes: what is longer goes on as a line of its own.
constexpr std::size_t longest_line = 255;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The next line of `rest`, which loses it.
std::string_view take_line(std::string_view &rest) {
  const auto end =
      std::min({rest.find('\n') == rest.npos ? rest.size() : rest.find('\n') + 1, longest_line, rest.size()});
  auto line = rest.substr(0, end);
  rest.remove_prefix(end);
  return line.substr(0, line.find('\0')); // a C string to FreeTDS
}

/// The words, with one space between them and none at the ends.
std::string words(std::string_view text) {
  std::string out;
  bool gap = false;
  for (const char c : text) {
    if (is_space(c)) {
      gap = !out.empty();
    } else {
      if (std::exchange(gap, false)) out += ' ';
      out += c;
    }
  }
  return out;
}

/// As atoi does, where 0 stands for what is no port.
std::uint16_t port_in(std::string_view text) {
  unsigned port = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') break;
    port = port * 10 + static_cast<unsigned>(c - '0');
    if (port > 65535) return 0;
  }
  return static_cast<std::uint16_t>(port);
}

using Take = std::function<void(const std::string &option, std::string value)>;

/// Gives every option of the section to `take`; whether there is such a section.
bool read_section(std::string_view text, const std::string &section, const Take &take) {
  bool inside = false, found = false;
  while (!text.empty()) {
    const auto line = take_line(text);
    const auto start = std::ranges::find_if_not(line, is_space);
    if (start == line.end() || *start == ';' || *start == '#') continue;
    const auto equals = std::min(line.find('='), line.size());
    const auto option = lower(words(line.substr(0, equals)));
    if (option.starts_with('[')) {
      inside = option.substr(1, option.find(']') - 1) == section;
      found = found || inside;
    } else if (inside && !option.empty()) {
      const auto value = line.substr(std::min(equals + 1, line.size()));
      take(option, words(value.substr(0, value.find_first_of(";#"))));
    }
  }
  return found;
}

} // namespace

std::vector<std::filesystem::path> freetds_conf_files(const FreetdsPlaces &places) {
  std::vector<std::filesystem::path> files;
  if (!places.freetdsconf.empty()) files.emplace_back(places.freetdsconf);
  if (!places.freetds.empty()) files.push_back(std::filesystem::path(places.freetds) / "etc/freetds.conf");
  if (!places.home.empty()) files.push_back(std::filesystem::path(places.home) / ".freetds.conf");
  files.emplace_back("/etc/freetds/freetds.conf");
  return files;
}

std::string FreetdsServer::target() const {
  if (port != 0) return host + "," + std::to_string(port);
  return instance.empty() ? host : host + "\\" + instance;
}

std::optional<FreetdsServer> find_freetds_server(std::span<const std::string> texts, std::string_view name) {
  constexpr auto global = "global";
  const auto section = lower(name);
  if (section.empty() || section == global) return std::nullopt;
  FreetdsServer server;
  const Take take = [&server](const std::string &option, std::string value) {
    if (option == "host")
      server.host = std::move(value);
    else if (option == "port")
      server.port = port_in(value);
    else if (option == "instance")
      server.instance = std::move(value);
    else if (option == "tds version")
      server.tds_version = std::move(value);
    else if (option == "spn")
      server.server_spn = std::move(value);
    else if (option == "realm")
      server.realm = std::move(value);
  };
  for (; server.file < texts.size(); ++server.file) {
    read_section(texts[server.file], global, take);
    if (read_section(texts[server.file], section, take)) return server;
  }
  return std::nullopt;
}

} // namespace auth
