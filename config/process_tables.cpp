#include "config/process_tables.hpp"

#include "auth/alias.hpp"
#include "auth/freetds_conf.hpp"
#include "auth/host_name.hpp"
#include "config/resolv_conf.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <pwd.h>
#include <ranges>
#include <sys/stat.h>
#include <unistd.h>

namespace config {
namespace {

namespace fs = std::filesystem;

/// Of the environment; empty where it is not set.
std::string variable(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

/// A path, several, or true: the files that FreeTDS itself would read for the user who runs sqlshim.
void read_freetds_conf(Section &section, std::string_view key, Loading &loading) {
  auto &files = loading.config.aliases.freetds_conf;
  const toml::node *node = section.find(key);
  if (node && node->is_boolean()) {
    const passwd *user = ::getpwuid(::geteuid());
    if (*section.boolean(key))
      files = auth::freetds_conf_files({.freetdsconf = variable("FREETDSCONF"),
                                        .freetds = variable("FREETDS"),
                                        .home = user && user->pw_dir ? user->pw_dir : ""});
    return;
  }
  for (const auto &element :
       section.elements(key, /*one_will_do=*/true).value_or(std::vector<Section::Element>{})) {
    const auto path = section.string(element);
    if (!path) continue;
    if (path->empty()) {
      section.problem(element,
                      "is empty; write the path of a freetds.conf, or true for FreeTDS's own search order");
      continue;
    }
    files.push_back(loading.from_folder(*path));
    std::error_code error;
    if (!fs::exists(files.back(), error))
      section.warning(element,
                      fmt::format("{} does not exist (yet), so it has no aliases", files.back().string()));
  }
}

void read_resolver(Section &section, Loading &loading) {
  Dns &dns = loading.config.dns;
  section.read("resolver", dns.resolver);
  const auto hosts = section.string("hosts");
  if (!hosts) return;
  dns.hosts = hosts->empty() ? fs::path() : loading.from_folder(*hosts);
  std::error_code error;
  if (!hosts->empty() && !fs::exists(dns.hosts, error))
    section.warning("hosts", fmt::format("{} does not exist (yet): it names nothing", dns.hosts.string()));
}

/// libkrb5 takes several files, separated by ':'.
template <class Change> std::string every_path(std::string_view paths, Change change) {
  std::string out;
  for (const auto &path : paths | std::views::split(':'))
    out += (out.empty() ? "" : ":") + change(std::string(path.begin(), path.end())).string();
  return out;
}

/// Empty where this user has no home, and nothing else tells.
fs::path default_state() {
  // systemd's may hold several, separated by ':'.
  const std::string systemd = variable("STATE_DIRECTORY"), xdg = variable("XDG_STATE_HOME"),
                    home = variable("HOME");
  if (!systemd.empty()) return fs::absolute(systemd.substr(0, systemd.find(':')));
  if (xdg.starts_with('/')) return fs::path(xdg) / "sqlshim"; // a relative one is to be ignored
  constexpr std::string_view below_home = ".local/state/sqlshim";
  if (!home.empty()) return fs::absolute(home) / below_home;
  const passwd *user = ::getpwuid(::getuid());
  return user && user->pw_dir && *user->pw_dir ? fs::path(user->pw_dir) / below_home : fs::path();
}

void check_state(Section &section, const fs::path &directory) {
  struct stat about {};
  if (::stat(directory.c_str(), &about) != 0) return; // made at the first start
  if (!S_ISDIR(about.st_mode))
    section.problem("directory",
                    fmt::format("{} is no folder; name one, it is made if absent", directory.string()));
  else if ((about.st_mode & S_IWOTH) != 0)
    section.problem("directory",
                    fmt::format("{} can be written by everybody on this machine, who could put another "
                                "certificate there; run chmod 0700 {}",
                                directory.string(), directory.string()));
}

/// Writing to what is no regular file could wait for ever, and whose it is could not be told.
void check_log(Section &section, const std::string &path, const Loading &loading) {
  if (path.empty() || path == "-") return;
  const fs::path file = loading.from_folder(path);
  std::error_code error;
  const auto type = fs::status(file, error).type();
  if (type == fs::file_type::fifo || type == fs::file_type::socket || type == fs::file_type::directory)
    section.problem("decisions",
                    fmt::format("{} is no regular file; write the path of one, or \"-\"", file.string()));
  else
    check_place(section, "decisions", type == fs::file_type::regular ? file : file.parent_path());
}

} // namespace

void read_log(Section &section, Loading &loading) {
  if (const auto path = section.string("decisions")) {
    if (path->empty()) section.problem("decisions", "is empty; write a path, or \"-\" for standard output");
    loading.config.log.decisions = *path;
    check_log(section, *path, loading);
  }
  section.read("level", loading.config.log.level);
  section.finish();
}

void read_limits(Section &section, Loading &loading) {
  Limits &limits = loading.config.limits;
  section.read("handshakes", limits.handshakes);
  section.read("handshakes_per_uid", limits.handshakes_per_uid);
  section.read("connections", limits.connections);
  section.read("addresses", limits.addresses);
  for (const auto &[key, limit, why] :
       {std::tuple<std::string_view, Duration *, std::string_view>{
            "drain", &limits.drain, "\"0s\" would wait for ever; write \"1s\" to hardly wait"},
        {"client_login", &limits.client_login, "\"0s\" would be no deadline at all; write \"10s\""}}) {
    const auto duration = read_duration(section, key);
    if (duration && *duration == Duration{0})
      section.problem(key, std::string(why));
    else if (duration)
      *limit = *duration;
  }
  section.finish();
}

void read_dns(std::optional<Section> section, Loading &loading) {
  std::optional<std::vector<Section::Element>> servers, search;
  std::optional<int> ndots;
  if (section) {
    read_resolver(*section, loading);
    if (const auto failures = read_duration(*section, "failures")) loading.config.dns.failures = *failures;
    if (const auto dots = section->number("ndots")) ndots = static_cast<int>(*dots);
    servers = section->elements("servers");
    search = section->elements("search");
  }
  // ndots and search belong together.
  loading.config.dns.from_resolv_conf = {
      .file = loading.resolv_conf, .servers = !servers, .search = !search, .ndots = !search && !ndots};
  if (!servers || !search) follow(loading.config.dns, load_resolv_conf(loading.resolv_conf));
  if (ndots) loading.config.dns.ndots = *ndots;
  if (servers && servers->empty())
    section->problem("servers", "is empty; name at least one server, or leave it out to use resolv.conf");
  for (const auto &element : servers.value_or(std::vector<Section::Element>{})) {
    constexpr std::uint16_t dns_port = 53;
    const auto text = section->string(element);
    if (!text) continue;
    const auto address = parse_address(*text, dns_port);
    if (!address)
      section->problem(element, address.error());
    else if (address->port == 0)
      section->problem(element, "port 0 is no server's port; write the port, or leave it out for 53");
    else
      loading.config.dns.servers.push_back(*address);
  }
  for (const auto &element : search.value_or(std::vector<Section::Element>{})) {
    auto text = section->string(element);
    if (!text) continue;
    if (text->ends_with('.')) text->pop_back();
    if (text->empty() || text->starts_with('.') || text->find_first_of(" \t*") != std::string::npos)
      section->problem(element, "is no domain; write it without a dot in front, as \"corp.test\"");
    else
      loading.config.dns.search.push_back(*text);
  }
  if (section) section->finish();
}

void read_kerberos(std::optional<Section> section, Loading &loading) {
  if (const char *environment = std::getenv("KRB5_CONFIG"); environment && *environment)
    loading.config.kerberos.config =
        every_path(environment, [](const std::string &path) { return fs::absolute(path); });
  if (!section) return;
  if (const auto path = section->string("config")) {
    if (path->empty()) section->problem("config", "is empty; write the path of a krb5.conf");
    loading.config.kerberos.config = every_path(*path, [&](const std::string &one) {
      const fs::path file = loading.from_folder(one);
      warn_if_absent(*section, "config", file);
      check_place(*section, "config", file);
      return file;
    });
  }
  if (const auto refusals = read_duration(*section, "refusals")) loading.config.kerberos.refusals = *refusals;
  section->finish();
}

void read_state(std::optional<Section> section, Loading &loading) {
  fs::path &directory = loading.config.state.directory;
  directory = default_state();
  if (!section) return;
  if (const auto written = section->string("directory")) {
    if (written->empty()) section->problem("directory", "is empty; write a path");
    directory = loading.from_folder(*written);
    check_state(*section, directory);
  }
  section->finish();
}

void read_domains(Section &section, Loading &loading) {
  std::map<std::string, std::string> domain_of; // realm, in capitals, to the key that has it
  for (const auto &element : section.entries()) {
    const auto name = parse_netbios_domain(element.key);
    if (!name) {
      section.problem(element, name.error());
      continue;
    }
    if (element.node->is_table()) { // corp.test = "…" is a table of TOML's
      section.problem(element, "must be a string, not a table; a NetBIOS domain has no dot");
      continue;
    }
    const auto text = section.string(element);
    if (!text) continue;
    const auto realm = parse_realm(*text);
    if (!realm) {
      section.problem(element, realm.error());
      continue;
    }
    const auto capitals = auth::upper(*realm);
    const auto [other, fresh] = domain_of.try_emplace(capitals, element.key);
    if (!loading.config.domains.try_emplace(*name, *realm).second)
      section.problem(
          element,
          fmt::format("domain {} stands here twice, since capitals do not count; take one out", *name));
    else if (!fresh)
      section.problem(
          element,
          fmt::format("\"{}\" is the realm of {} already, and a realm has one NetBIOS domain; take one out",
                      *realm, other->second));
    else if (capitals != *realm)
      section.warning(
          element,
          fmt::format("\"{}\" has small letters, and capitals count in realms; Active Directory's are "
                      "\"{}\"",
                      *realm, capitals));
  }
}

void read_aliases(Section &section, Loading &loading) {
  constexpr std::string_view reserved = "freetds_conf";
  read_freetds_conf(section, reserved, loading);
  auth::AliasTable &table = loading.config.aliases.table;
  std::vector<Section::Element> good;
  for (const auto &element : section.entries()) {
    if (element.key == reserved) continue;
    if (element.node->is_table()) { // web.corp.test = "…" is a table of TOML's
      section.problem(element, "must be a string, not a table; a name with dots stands in quotes, as "
                               "\"web.corp.test\" = \"sql1.corp.test\"");
      continue;
    }
    const auto target = section.string(element);
    if (!target) continue;
    if (table.try_emplace(auth::plain_name(element.key), *target).second)
      good.push_back(element);
    else
      section.problem(element,
                      fmt::format("\"{}\" stands here twice, since capitals do not count; take one out",
                                  auth::plain_name(element.key)));
  }
  // One may lead to another, so all are known before the first is judged.
  for (const auto &element : good) {
    const auto name = auth::plain_name(element.key);
    auto fault = auth::alias_fault(table, name);
    if (fault.empty()) fault = target_fault(table.at(name));
    if (!fault.empty()) section.problem(element, std::move(fault));
  }
  section.finish();
}

} // namespace config
