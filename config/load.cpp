#include "config/load.hpp"

#include "auth/alias.hpp"
#include "auth/driver.hpp"
#include "auth/freetds_conf.hpp"
#include "auth/host_name.hpp"
#include "auth/target.hpp"
#include "config/fallback.hpp"
#include "config/privileges.hpp"
#include "config/resolv_conf.hpp"
#include "config/section.hpp"
#include "config/who.hpp"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <pwd.h>
#include <ranges>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace config {

namespace {

namespace fs = std::filesystem;

/// "listener[0]" -> where it stands, for problems between tables.
struct Named {
  std::string table;
  Place place;
};

/// True when everything that `b` matches is matched by `a` too. May miss a case, never claims one.
bool covers(const std::string &a, const std::string &b) {
  if (a.find_first_not_of('*') == std::string::npos) return true;
  const bool b_is_one_text = !b.empty() && b.find_first_of("*?") == std::string::npos;
  const auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  };
  return b_is_one_text ? glob_match(a, b) : std::ranges::equal(a, b, same);
}
bool covers(const std::vector<Who> &a, const std::vector<Who> &b) {
  const auto listed = [&a](const Who &who) {
    return std::ranges::any_of(
        a, [&](const Who &w) { return w.self == who.self && w.uid == who.uid && w.gid == who.gid; });
  };
  return a.empty() || (!b.empty() && std::ranges::all_of(b, listed));
}
/// But for listeners, which are known one by one.
bool covers(const Match &a, const Match &b) {
  return covers(a.server, b.server) && covers(a.database, b.database) && covers(a.user, b.user) &&
         covers(a.app, b.app) && covers(a.caller, b.caller);
}

bool matches_listener(const Match &match, const Listener &listener) {
  return match.listener.empty() || glob_match(match.listener, listener.name);
}

/// True where the two lists certainly have no user in common. Who is in a group may change, so a group may hold anybody. (An empty list is a
/// problem of its own.)
bool are_apart(const std::vector<Who> &a, const std::vector<Who> &b) {
  const auto uid = [](const Who &who) { return who.self ? ::getuid() : *who.uid; };
  const auto may_be_one = [&](const Who &x, const Who &y) { return x.gid || y.gid || uid(x) == uid(y); };
  return !a.empty() && !b.empty() && std::ranges::none_of(a, [&](const Who &x) {
    return std::ranges::any_of(b, [&](const Who &y) { return may_be_one(x, y); });
  });
}

/// Of the environment; empty where it is not set.
std::string variable(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

class Loader {
public:
  Loader(const fs::path &file, const fs::path &resolv_conf, std::string proc_status)
      : report_(file.string()), resolv_conf_(resolv_conf), proc_status_(std::move(proc_status)) {
    config_.file = file;
  }

  void read(const toml::table &table) {
    Section top(report_, table, "");
    if (auto section = top.section("log")) read_log(*section);
    if (config_.log.decisions != "-") config_.log.decisions = from_folder(config_.log.decisions.string());
    if (auto section = top.section("limits")) read_limits(*section);
    read_dns(top.section("dns"));
    read_kerberos(top.section("kerberos"));
    read_state(top.section("state"));
    if (auto section = top.section("domains")) read_domains(*section);
    if (auto section = top.section("aliases")) read_aliases(*section);
    for (Section &section : top.sections("listener"))
      read_listener(section);
    for (Section &section : top.sections("identity"))
      read_identity(section);
    for (Section &section : top.sections("route"))
      read_route(section);
    if (auto section = top.section("browser")) read_browser(*section);
    if (!top.has("listener"))
      report_.problem(
          {}, "listener",
          "there is none, so nobody could connect; write [[listener]] with name and address = \"127.0.0.1:14330\"");
    if (!top.has("route"))
      report_.problem({}, "route",
                      "there is none, so every login would be refused; write [[route]] with name, target and identity");
    top.finish();
    check_reachable();
  }

  Loaded result() && { return {std::move(config_), std::move(report_).sorted()}; }
  Report &report() { return report_; }

private:
  // ---- [log], [limits], [dns], [kerberos], [state], [domains] ----

  void read_log(Section &section) {
    if (const auto path = section.string("decisions")) {
      if (path->empty()) section.problem("decisions", "is empty; write a path, or \"-\" for standard output");
      config_.log.decisions = *path;
    }
    if (const auto level = section.choice<Level>("level", {{"trace", Level::trace},
                                                           {"debug", Level::debug},
                                                           {"info", Level::info},
                                                           {"warn", Level::warn},
                                                           {"error", Level::error}}))
      config_.log.level = *level;
    section.finish();
  }

  void read_limits(Section &section) {
    constexpr std::int64_t most = 1'000'000; // more descriptors than any kernel gives by default
    Limits &limits = config_.limits;
    for (const auto &[key, limit] : {std::pair<std::string_view, std::size_t *>{"handshakes", &limits.handshakes},
                                     {"handshakes_per_uid", &limits.handshakes_per_uid},
                                     {"connections", &limits.connections}})
      if (const auto number = section.number(key, 1, most)) *limit = static_cast<std::size_t>(*number);
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

  /// Both ways: DOMAIN\user becomes user@REALM, and a server's DOMAIN\account is found again. So no name and no realm may stand twice.
  void read_domains(Section &section) {
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
      std::string capitals = *realm;
      std::ranges::transform(capitals, capitals.begin(),
                             [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      const auto [other, fresh] = domain_of.try_emplace(capitals, element.key);
      if (!config_.domains.try_emplace(*name, *realm).second)
        section.problem(element,
                        fmt::format("domain {} stands here twice, since capitals do not count; take one out", *name));
      else if (!fresh)
        section.problem(
            element, fmt::format("\"{}\" is the realm of {} already, and a realm has one NetBIOS domain; take one out",
                                 *realm, other->second));
      else if (capitals != *realm)
        section.warning(element,
                        fmt::format("\"{}\" has small letters, and capitals count in realms; Active Directory's are "
                                    "\"{}\"",
                                    *realm, capitals));
    }
  }

  void read_aliases(Section &section) {
    constexpr std::string_view reserved = "freetds_conf";
    read_freetds_conf(section, reserved);
    auth::AliasTable &table = config_.aliases.table;
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
        section.problem(element, fmt::format("\"{}\" stands here twice, since capitals do not count; take one out",
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

  /// A path, several, or true: the files that FreeTDS itself would read for the user who runs sqlshim.
  void read_freetds_conf(Section &section, std::string_view key) {
    auto &files = config_.aliases.freetds_conf;
    const toml::node *node = section.find(key);
    if (node && node->is_boolean()) {
      const passwd *user = ::getpwuid(::geteuid());
      if (*section.boolean(key))
        files = auth::freetds_conf_files({.freetdsconf = variable("FREETDSCONF"),
                                          .freetds = variable("FREETDS"),
                                          .home = user && user->pw_dir ? user->pw_dir : ""});
      return;
    }
    for (const auto &element : section.elements(key, /*one_will_do=*/true).value_or(std::vector<Section::Element>{})) {
      const auto path = section.string(element);
      if (!path) continue;
      if (path->empty()) {
        section.problem(element, "is empty; write the path of a freetds.conf, or true for FreeTDS's own search order");
        continue;
      }
      files.push_back(from_folder(*path));
      std::error_code error;
      if (!fs::exists(files.back(), error))
        section.warning(element, fmt::format("{} does not exist (yet), so it has no aliases", files.back().string()));
    }
  }

  void read_dns(std::optional<Section> section) {
    constexpr int most_dots = 15; // as resolv.conf(5)
    std::optional<std::vector<Section::Element>> servers, search;
    std::optional<int> ndots;
    if (section) {
      read_resolver(*section);
      if (const auto failures = read_duration(*section, "failures")) config_.dns.failures = *failures;
      if (const auto dots = section->number("ndots", 0, most_dots)) ndots = static_cast<int>(*dots);
      servers = section->elements("servers");
      search = section->elements("search");
    }
    // ndots and search belong together.
    config_.dns.from_resolv_conf = {
        .file = resolv_conf_, .servers = !servers, .search = !search, .ndots = !search && !ndots};
    if (!servers || !search) follow(config_.dns, load_resolv_conf(resolv_conf_));
    if (ndots) config_.dns.ndots = *ndots;
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
        config_.dns.servers.push_back(*address);
    }
    for (const auto &element : search.value_or(std::vector<Section::Element>{})) {
      auto text = section->string(element);
      if (!text) continue;
      if (text->ends_with('.')) text->pop_back();
      if (text->empty() || text->starts_with('.') || text->find_first_of(" \t*") != std::string::npos)
        section->problem(element, "is no domain; write it without a dot in front, as \"corp.test\"");
      else
        config_.dns.search.push_back(*text);
    }
    if (section) section->finish();
  }

  void read_resolver(Section &section) {
    Dns &dns = config_.dns;
    if (const auto resolver =
            section.choice<Resolver>("resolver", {{"own", Resolver::own}, {"system", Resolver::system}}))
      dns.resolver = *resolver;
    const auto hosts = section.string("hosts");
    if (!hosts) return;
    dns.hosts = hosts->empty() ? fs::path() : from_folder(*hosts);
    std::error_code error;
    if (!hosts->empty() && !fs::exists(dns.hosts, error))
      section.warning("hosts", fmt::format("{} does not exist (yet): it names nothing", dns.hosts.string()));
  }

  void read_kerberos(std::optional<Section> section) {
    if (const char *environment = std::getenv("KRB5_CONFIG"); environment && *environment)
      config_.kerberos.config = every_path(environment, [](const std::string &path) { return fs::absolute(path); });
    if (!section) return;
    if (const auto path = section->string("config")) {
      if (path->empty()) section->problem("config", "is empty; write the path of a krb5.conf");
      config_.kerberos.config = every_path(*path, [&](const std::string &one) {
        const fs::path file = from_folder(one);
        warn_if_absent(*section, "config", file);
        return file;
      });
    }
    if (const auto refusals = read_duration(*section, "refusals")) config_.kerberos.refusals = *refusals;
    section->finish();
  }

  /// libkrb5 takes several files, separated by ':'.
  template <class Change> static std::string every_path(std::string_view paths, Change change) {
    std::string out;
    for (const auto &path : paths | std::views::split(':'))
      out += (out.empty() ? "" : ":") + change(std::string(path.begin(), path.end())).string();
    return out;
  }

  void read_state(std::optional<Section> section) {
    fs::path &directory = config_.state.directory;
    directory = default_state();
    if (!section) return;
    if (const auto written = section->string("directory")) {
      if (written->empty()) section->problem("directory", "is empty; write a path");
      directory = from_folder(*written);
      check_state(*section, directory);
    }
    section->finish();
  }

  /// Empty where this user has no home, and nothing else tells.
  static fs::path default_state() {
    // systemd's may hold several, separated by ':'.
    const std::string systemd = variable("STATE_DIRECTORY"), xdg = variable("XDG_STATE_HOME"), home = variable("HOME");
    if (!systemd.empty()) return fs::absolute(systemd.substr(0, systemd.find(':')));
    if (xdg.starts_with('/')) return fs::path(xdg) / "sqlshim"; // a relative one is to be ignored
    constexpr std::string_view below_home = ".local/state/sqlshim";
    if (!home.empty()) return fs::absolute(home) / below_home;
    const passwd *user = ::getpwuid(::getuid());
    return user && user->pw_dir && *user->pw_dir ? fs::path(user->pw_dir) / below_home : fs::path();
  }

  static void check_state(Section &section, const fs::path &directory) {
    struct stat about {};
    if (::stat(directory.c_str(), &about) != 0) return; // made at the first start
    if (!S_ISDIR(about.st_mode))
      section.problem("directory", fmt::format("{} is no folder; name one, it is made if absent", directory.string()));
    else if ((about.st_mode & S_IWOTH) != 0)
      section.problem("directory", fmt::format("{} can be written by everybody on this machine, who could put another "
                                               "certificate there; run chmod 0700 {}",
                                               directory.string(), directory.string()));
  }

  // ---- [[listener]] ----

  void read_listener(Section &section) {
    Listener listener;
    listener.name = read_name(section, listener_names_);
    const bool by_address = section.has("address"), by_path = section.has("unix");
    if (by_address == by_path)
      section.problem("", by_address
                              ? "has both address and unix; write one of them, and a second [[listener]] for the other"
                              : "has neither address nor unix; write address = \"127.0.0.1:14330\" or unix = \"PATH\"");
    if ((listener.address = section.value(
             "address", +[](std::string_view text) { return parse_address(text); })))
      check_address(section, *listener.address);
    if (const auto path = section.string("unix")) {
      listener.unix_path = from_folder(*path);
      check_socket(section, *path, *listener.unix_path);
    }
    if (const auto mode = read_mode(section)) listener.mode = *mode;
    if (section.has("mode") && by_address && !by_path)
      section.problem("mode", "is for Unix sockets; take it out, or write unix instead of address");
    read_who(section, "callers", listener.callers);
    if (const auto auth = section.choice<ClientAuth>(
            "client_auth",
            {{"any", ClientAuth::any}, {"sql", ClientAuth::sql}, {"integrated", ClientAuth::integrated}}))
      listener.client_auth = *auth;
    if (const auto version = section.value("version", parse_version)) listener.version = *version;
    read_listener_tls(section, listener);
    section.finish();
    config_.listeners.push_back(std::move(listener));
  }

  void read_listener_tls(Section &section, Listener &listener) {
    if (const auto tls = section.choice<ListenerTls>(
            "tls",
            {{"off", ListenerTls::off}, {"optional", ListenerTls::optional}, {"required", ListenerTls::required}}))
      listener.tls = *tls;
    listener.certificate = read_path(section, "certificate");
    listener.key = read_path(section, "key");
    if (!listener.certificate.empty()) warn_if_absent(section, "certificate", listener.certificate);
    if (!listener.key.empty()) check_key(section, listener.key);

    // What is written with a wrong type has its own problem, and does not count as missing.
    const auto stands = [&](std::string_view name, const fs::path &path) {
      return !path.empty() || (section.has(name) && !section.find(name)->is_string());
    };
    const bool certificate = stands("certificate", listener.certificate), key = stands("key", listener.key);
    if (certificate != key)
      section.problem(certificate ? "certificate" : "key",
                      fmt::format("stands without {}; write both, or neither to have a certificate made in the state "
                                  "directory",
                                  certificate ? "key" : "certificate"));
    else if (certificate && listener.tls == ListenerTls::off)
      section.warning("certificate", "is never shown: tls is \"off\" here; write \"optional\", or take it out");
    if (!certificate && !key && listener.tls != ListenerTls::off && config_.state.directory.empty())
      section.problem("", "needs a certificate, and there is no home directory to keep one in; write [state] directory "
                          "= \"PATH\", or certificate and key, or tls = \"off\"");
  }

  static void check_key(Section &section, const fs::path &path) {
    check_secret(section, "key", path);
    std::error_code error;
    if (fs::is_directory(path, error))
      section.problem("key", fmt::format("{} is a folder; name the file", path.string()));
    else if (fs::exists(path, error) && ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0)
      section.warning("key", fmt::format("{} cannot be read by uid {}; sqlshim must be able to, so give it to the user "
                                         "who runs it",
                                         path.string(), ::geteuid()));
  }

  /// A path, relative to the folder. "" is as not written: the default.
  fs::path read_path(Section &section, std::string_view key) const {
    const auto written = section.string(key);
    return written && !written->empty() ? from_folder(*written) : fs::path();
  }

  void check_address(Section &section, const Address &address) {
    if (!is_loopback(address)) {
      section.problem(
          "address",
          fmt::format("\"{}\" is not loopback, and callers from other machines cannot be proven; write \"{}\"",
                      address.text(), Address{address.ip.contains('.') ? "127.0.0.1" : "::1", address.port}.text()));
      return;
    }
    if (address.port == 0) return; // the kernel chooses: no two are the same
    const auto [first, fresh] = addresses_.try_emplace(address.text(), section.name());
    if (!fresh)
      section.problem("address",
                      fmt::format("\"{}\" is taken by {}; write another port", address.text(), first->second));
  }

  void check_socket(Section &section, const std::string &written, const fs::path &path) {
    constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
    if (written.empty())
      section.problem("unix", "is empty; write a path");
    else if (path.native().size() > longest)
      section.problem("unix", fmt::format("is {} bytes long with its folder; the kernel takes {}, write a shorter path",
                                          path.native().size(), longest));
    const auto [first, fresh] = addresses_.try_emplace(path.string(), section.name());
    if (!fresh)
      section.problem("unix", fmt::format("\"{}\" is taken by {}; write another path", path.string(), first->second));
  }

  std::optional<mode_t> read_mode(Section &section) {
    const toml::node *node = section.find("mode");
    if (!node || !node->is_integer()) return section.value("mode", parse_mode);
    // 660 without 0o would be decimal, and other bits than it seems.
    const toml::value<std::int64_t> &number = *node->as_integer();
    const bool octal = (number.flags() & toml::value_flags::format_as_octal) != toml::value_flags::none;
    const auto mode = octal ? parse_mode(fmt::format("{:o}", number.get()))
                            : std::unexpected(fmt::format("{} is decimal; write \"0{}\" or 0o{}", number.get(),
                                                          number.get(), number.get()));
    if (mode) return *mode;
    section.problem("mode", mode.error());
    return std::nullopt;
  }

  // ---- [browser] ----

  void read_browser(Section &section) {
    Browser &browser = config_.browser;
    if ((browser.address = section.value(
             "address", +[](std::string_view text) { return parse_address(text, 1434); })) &&
        !is_loopback(*browser.address))
      section.problem(
          "address",
          fmt::format("\"{}\" is not loopback, and no listener can be reached from other machines; write "
                      "\"{}\"",
                      browser.address->text(),
                      Address{browser.address->ip.contains('.') ? "127.0.0.1" : "::1", browser.address->port}.text()));
    if (auto instances = section.section("instances")) read_instances(*instances);
    if (!section.has("address"))
      section.problem("address", "is missing, so nobody would be answered; write address = \"127.0.0.1:1434\"");
    if (!section.has("instances"))
      section.problem("instances", "is missing; write instances = { INSTANCE = \"listener\" }");
    section.finish();
  }

  void read_instances(Section &section) {
    std::size_t written = 0;
    for (const auto &element : section.entries()) {
      ++written;
      std::string name = element.key;
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      if (auto fault = instance_fault(name); !fault.empty()) {
        section.problem(element, std::move(fault));
        continue;
      }
      const auto listener = section.string(element);
      if (!listener) continue;
      const auto found = std::ranges::find(config_.listeners, *listener, &Listener::name);
      if (found == config_.listeners.end()) {
        std::vector<std::string_view> names;
        for (const Listener &one : config_.listeners)
          names.push_back(one.name);
        section.problem(element,
                        names.empty() ? "there is no listener at all" : Section::no_such_word(*listener, names));
      } else if (!found->address) {
        if (found->unix_path)
          section.problem(element, fmt::format("listener \"{}\" is a Unix socket, and SQL Browser tells ports; name "
                                               "one that has an address",
                                               *listener));
      } else if (!config_.browser.instances.try_emplace(name, *listener).second) {
        section.problem(element,
                        fmt::format("instance {} stands here twice, since capitals do not count; take one out", name));
      } else if (config_.browser.address && config_.browser.address->ip != found->address->ip) {
        section.warning(element, fmt::format("applications connect to the address that they asked, {}, and listener "
                                             "\"{}\" is on {}",
                                             config_.browser.address->ip, *listener, found->address->ip));
      }
    }
    if (written == 0) section.problem("", "names no instance; write { INSTANCE = \"listener\" }");
  }

  /// Why SQL Browser cannot be asked for an instance. Empty: it can.
  static std::string instance_fault(std::string_view name) {
    constexpr std::size_t longest = 32; // bytes, MC-SQLR 2.2.3
    if (name.empty() || name.size() > longest)
      return fmt::format("\"{}\" is no name of an instance: SQL Browser knows names of 1 to {} characters", name,
                         longest);
    const auto strange = [](unsigned char c) {
      return c <= 0x20 || c >= 0x7F || std::string_view("\\/:;,@[]\"").contains(static_cast<char>(c));
    };
    if (std::ranges::any_of(name, strange))
      return fmt::format("\"{}\" holds a character that no instance has; write letters, digits, _ and $", name);
    return {};
  }

  // ---- [[identity]] ----

  void read_identity(Section &section) {
    Identity identity;
    identity.name = read_name(section, identity_names_);
    read_who(section, "allow", identity.allow);
    if (section.has("from"))
      read_from(section, identity);
    else
      read_source(section, identity);
    section.finish();
    config_.identities.push_back(std::move(identity));
  }

  void read_source(Section &section, Identity &identity) {
    constexpr std::pair<std::string_view, IdentityKind> sources[] = {{"keytab", IdentityKind::keytab},
                                                                     {"ccache", IdentityKind::ccache},
                                                                     {"password_file", IdentityKind::password_file}};
    std::vector<std::string_view> written;
    for (const auto &[key, kind] : sources)
      if (const auto source = section.string(key)) {
        written.push_back(key);
        identity.kind = kind;
        if (source->empty()) section.problem(key, "is empty; write a path");
        identity.source = kind == IdentityKind::ccache ? ccache_name(*source) : from_folder(*source).string();
        check_secret(section, key, identity.source);
      } else if (section.has(key)) {
        written.push_back(key); // of a wrong type, which is said already
      }
    if (written.size() > 1)
      section.problem("", fmt::format("has {}; write one of them, and another [[identity]] for the other",
                                      fmt::join(written, " and ")));
    if (written.empty())
      section.problem("",
                      "has no credentials; write keytab and principal, ccache, password_file and principal, or from");

    if (const auto written_as = section.string("principal"))
      read_principal(section, *written_as, identity);
    else if (!section.has("principal") && !written.empty() && identity.kind != IdentityKind::ccache)
      section.problem("principal",
                      fmt::format("is missing; a {} needs one, write principal = \"NAME@REALM\"", written.front()));
  }

  // ---- [[identity]] from ----

  void read_from(Section &section, Identity &identity) {
    const auto from =
        section.choice<IdentityKind>("from", {{"client", IdentityKind::client}, {"caller", IdentityKind::caller}});
    const bool caller = from == IdentityKind::caller;
    for (const std::string_view key : {"keytab", "password_file", "principal", "ccache"}) {
      if (!section.has(key) || !from || (caller && key == "ccache")) continue;
      section.problem(key, caller ? "is not used: with from = \"caller\" the caller's own ccache tells who; take it out"
                                  : "is not used: with from = \"client\" the application's user and password are; take "
                                    "it out");
    }
    if (!from) return;
    identity.kind = *from;
    if (!caller) return;
    const auto written = section.string("ccache").value_or("/tmp/krb5cc_%{uid}");
    identity.source = written.empty() ? "" : ccache_name(written);
    if (const auto what = fault_of_template(identity.source, is_self_alone(identity.allow)); !what.empty())
      section.problem("ccache", what);
    if (!is_self_alone(identity.allow) && !may_read_files_of_others(proc_status_))
      section.warning("from", fmt::format("uid {} cannot read the ccaches of other users that allow names; write "
                                          "AmbientCapabilities=CAP_DAC_READ_SEARCH into the [Service] of its systemd "
                                          "unit (not setcap: libkrb5 then ignores its environment)",
                                          ::geteuid()));
  }

  static bool is_self_alone(const std::vector<Who> &allow) {
    return std::ranges::all_of(allow, [](const Who &who) { return who.self || who.uid == ::getuid(); });
  }

  /// What is wrong with where the caller's ccache is said to be; empty: nothing. `one_user`: only who runs sqlshim may use it.
  static std::string fault_of_template(std::string_view text, bool one_user) {
    constexpr std::string_view uid = "%{uid}", form = "write a path like \"/tmp/krb5cc_%{uid}\"";
    const std::size_t colon = text.find(':');
    const bool typed = colon != std::string_view::npos && text.find('/') > colon;
    const std::string_view type = typed ? text.substr(0, colon) : "FILE";
    const std::string_view rest = type == "FILE" && typed ? text.substr(colon + 1) : text;
    if (rest.empty()) return fmt::format("is empty; {}", form);
    for (std::size_t at = text.find("%{"); at != std::string_view::npos; at = text.find("%{", at + 1))
      if (!text.substr(at).starts_with(uid))
        return fmt::format("\"{}\": only %{{uid}} is replaced here; {}", text, form);
    constexpr std::string_view of_one_user[] = {"KCM", "KEYRING", "DIR"};
    if (std::ranges::find(of_one_user, type) != std::ranges::end(of_one_user)) {
      if (one_user) return {};
      return fmt::format("\"{}\": a {} cache opens for its own user alone, so only allow = [\"self\"] can use it; {}",
                         text, type, form);
    }
    if (type != "FILE") return fmt::format("\"{}\" is of a type that cannot be used here; {}", text, form);
    if (!text.contains(uid))
      return fmt::format("\"{}\" has no %{{uid}}, and would be one for all users; {}", text, form);
    return {};
  }

  /// A plain path, or "FILE:path", is relative to the folder; other types ("KEYRING:…") are names of their own.
  std::string ccache_name(const std::string &written) const {
    constexpr std::string_view file_type = "FILE:";
    if (written.starts_with(file_type))
      return std::string(file_type) + from_folder(written.substr(file_type.size())).string();
    const std::size_t colon = written.find(':');
    const bool typed = colon != std::string::npos && written.find('/') > colon;
    return typed ? written : from_folder(written).string();
  }

  static void check_secret(Section &section, std::string_view key, std::string path) {
    if (path.starts_with("FILE:")) path.erase(0, 5);
    if (!path.starts_with('/')) return; // a ccache that is no file
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) return warn_if_absent(section, key, path);
    constexpr mode_t others = S_IROTH | S_IWOTH;
    if (S_ISREG(about.st_mode) && (about.st_mode & others) != 0)
      section.problem(
          key, fmt::format("{} can be read or written by everybody on this machine; run chmod 0600 {}", path, path));
  }

  static void warn_if_absent(Section &section, std::string_view key, const fs::path &path) {
    std::error_code error;
    if (!fs::exists(path, error))
      section.warning(key, error
                               ? fmt::format("{} cannot be looked at: {}", path.string(), error.message())
                               : fmt::format("{} does not exist (yet); logins that need it will fail", path.string()));
  }

  void read_principal(Section &section, const std::string &written, Identity &identity) {
    const auto principal = parse_principal(written, config_.domains);
    if (!principal) return section.problem("principal", principal.error());
    identity.principal = *principal;
    if (*principal != written) identity.account = written;
  }

  // ---- [[route]] ----

  void read_route(Section &section) {
    section.later({"smb_port", "smb_encrypt"});
    Route route;
    route.name = read_name(section, route_names_);
    if (auto match = section.section("match")) read_match(*match, route.match);
    read_target(section, route);
    read_attempts(section, route);
    read_fallback(section, route);
    read_route_identity(section, route);
    read_encryption(section, route);
    read_domains(section, "redirect_within", route.redirect_within);
    read_names(section, route);
    if (const auto spn = section.string("spn"); spn && !spn->empty()) // "" says: computed
      if (const auto parsed = section.value("spn", parse_spn)) route.spn = *parsed;
    read_spn_rules(section, route);
    if (const auto mutual = section.choice<MutualAuth>(
            "mutual_auth", {{"required", MutualAuth::required}, {"or-verified-tls", MutualAuth::or_verified_tls}}))
      route.mutual_auth = *mutual;
    if (const auto unprotected = section.choice<Unprotected>(
            "unprotected", {{"refuse", Unprotected::refuse}, {"accept", Unprotected::accept}}))
      route.unprotected = *unprotected;
    check_unprotected(section, route);
    check_stand_in(section, route);
    if (const auto all = section.boolean("multi_subnet")) route.multi_subnet = *all;
    read_partner(section, route);
    if (auto timeouts = section.section("timeouts")) read_timeouts(*timeouts, route.timeouts);
    section.finish();
    if (!check_shadowed(section, route)) check_usable(section, route);
    config_.routes.push_back(std::move(route));
  }

  void read_match(Section &section, Match &match) {
    for (const auto &[key, pattern] : {std::pair<std::string_view, std::string *>{"listener", &match.listener},
                                       {"server", &match.server},
                                       {"database", &match.database},
                                       {"user", &match.user},
                                       {"app", &match.app}}) {
      const auto text = section.string(key);
      if (text && text->empty())
        section.problem(
            key, "is empty; take it out to match everything, or write a pattern (\"*\" any text, \"?\" one character)");
      else if (text)
        *pattern = *text;
    }
    read_who(section, "caller", match.caller);
    if (!match.listener.empty() && listeners_matched(match.listener) == 0) {
      std::vector<std::string_view> names;
      for (const Listener &listener : config_.listeners)
        names.push_back(listener.name);
      section.problem("listener",
                      names.empty() ? "there is no listener at all" : Section::no_such_word(match.listener, names));
    }
    section.finish();
  }

  void read_target(Section &section, Route &route) {
    if (!section.has("target"))
      section.problem("target", "is missing; write the server as you would type it, as target = \"sql1.corp.test\"");
    const auto typed = section.string("target");
    if (!typed) return;
    route.target = *typed;
    if (auto fault = target_fault(*typed); !fault.empty()) section.problem("target", std::move(fault));
  }

  static void read_partner(Section &section, Route &route) {
    const auto typed = section.string("failover_partner");
    if (!typed || typed->empty()) return; // "" says: none
    route.failover_partner = *typed;
    if (auto fault = target_fault(*typed); !fault.empty())
      section.problem("failover_partner", std::move(fault));
    else if (const auto partner = auth::parse_target(*typed), target = auth::parse_target(route.target);
             target && partner->host == target->host && partner->instance == target->instance &&
             partner->port == target->port)
      section.warning("failover_partner",
                      "is the target itself, which would only be tried twice; name the other server");
  }

  /// Why sqlshim cannot go to a target. Empty: it can.
  static std::string target_fault(const std::string &typed) {
    const auto target = auth::parse_target(typed);
    if (!target) return target.error();
    if (!target->pipe.empty())
      return "named pipes are not supported by this version; write the server's name and port, as \"sql1,1433\"";
    if (!target->instance.empty() && !target->port)
      if (const auto fault = instance_fault(target->instance); !fault.empty())
        return fmt::format("{}; write the port, as '{},PORT'", fault, typed);
    return {};
  }

  void read_attempts(Section &section, Route &route) {
    const auto elements = section.elements("attempts");
    if (!elements) return;
    if (elements->empty()) section.problem("attempts", "is empty; write [\"tcp+kerberos\"]");
    route.attempts.clear();
    for (const auto &element : *elements) {
      const auto text = section.string(element);
      if (!text) continue;
      const auto attempt = attempt_of(*text);
      if (!attempt)
        section.problem(element, attempt.error());
      else if (std::ranges::find(route.attempts, *attempt) != route.attempts.end())
        section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
      else
        route.attempts.push_back(*attempt);
    }
  }

  static Parsed<AttemptKind> attempt_of(std::string_view text) {
    constexpr std::string_view now[] = {"tcp+kerberos", "tcp+ntlm", "tcp+sql"};
    for (const AttemptKind kind : {AttemptKind::tcp_kerberos, AttemptKind::tcp_ntlm, AttemptKind::tcp_sql})
      if (text == to_string(kind)) return kind;
    for (const std::string_view other : {"np+kerberos", "np+ntlm"})
      if (text == other)
        return std::unexpected(fmt::format("\"{}\" is not built yet; write \"tcp+{}\"", text, text.substr(3)));
    return std::unexpected(Section::no_such_word(text, now));
  }

  static void read_fallback(Section &section, Route &route) {
    if (const auto fallback = section.choice<Fallback>(
            "fallback", {{"on", Fallback::on}, {"audit", Fallback::audit}, {"off", Fallback::off}}))
      route.fallback = *fallback;
    for (const auto &element : section.elements("fallback_on").value_or(std::vector<Section::Element>{})) {
      const auto text = section.string(element);
      if (!text) continue;
      if (const auto *rule = find_fallback_rule(*text); !rule) {
        std::vector<std::string_view> causes;
        for (const auto &[cause, never] : fallback_rules())
          if (never.empty()) causes.push_back(cause);
        section.problem(element, Section::no_such_word(*text, causes));
      } else if (!rule->never.empty()) {
        section.problem(
            element, fmt::format("no other attempt is ever made after {}: {}; take it out", *text, rule->never));
      } else if (std::ranges::find(route.fallback_on, *text) != route.fallback_on.end()) {
        section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
      } else {
        route.fallback_on.push_back(*text);
      }
    }
    if (!route.fallback_on.empty() && route.attempts.size() == 1)
      section.warning("fallback_on", fmt::format("leads nowhere: {} is the only attempt; add another to attempts",
                                                 to_string(route.attempts.front())));
    // Behind tcp+sql the next one is for clients that gave no password.
    if (!section.written("fallback_on") && route.attempts.size() > 1 && route.attempts[0] != AttemptKind::tcp_sql)
      section.warning("attempts", fmt::format("{} is never made after {} has failed; list the causes that may lead to "
                                              "it in fallback_on",
                                              to_string(route.attempts[1]), to_string(route.attempts[0])));
  }

  static bool has(const Route &route, AttemptKind kind) {
    return std::ranges::find(route.attempts, kind) != route.attempts.end();
  }

  void read_route_identity(Section &section, Route &route) {
    if (const auto identity = section.string("identity")) {
      route.identity = *identity;
      if (identity_names_.contains(*identity)) return check_ntlm_identity(section, route);
      std::vector<std::string_view> names;
      for (const auto &[name, where] : identity_names_)
        names.push_back(name);
      section.problem("identity",
                      names.empty()
                          ? fmt::format("there is no identity \"{}\"; write an [[identity]] with that name", *identity)
                          : Section::no_such_word(*identity, names));
      return;
    }
    const auto needy =
        std::ranges::find_if(route.attempts, [](AttemptKind kind) { return kind != AttemptKind::tcp_sql; });
    if (!section.has("identity") && needy != route.attempts.end())
      section.problem("identity",
                      fmt::format("is missing; {} needs one, write the name of an [[identity]]", to_string(*needy)));
  }

  /// NTLM is made of a password; a key or a ticket is none.
  void check_ntlm_identity(Section &section, const Route &route) {
    const auto *identity = config_.find_identity(route.identity);
    if (!has(route, AttemptKind::tcp_ntlm) || !identity) return;
    if (identity->kind == IdentityKind::password_file || identity->kind == IdentityKind::client) return;
    section.problem(
        "identity",
        fmt::format(
            "\"{}\" has no password, which tcp+ntlm needs; give it a password_file, or take tcp+ntlm out of attempts",
            identity->name));
  }

  void read_encryption(Section &section, Route &route) {
    if (const auto encrypt = section.choice<Encrypt>("encrypt", {{"require", Encrypt::require},
                                                                 {"strict", Encrypt::strict},
                                                                 {"login", Encrypt::login},
                                                                 {"off", Encrypt::off}}))
      route.encrypt = *encrypt;
    route.ca_file = read_path(section, "ca_file");
    if (!route.ca_file.empty()) warn_if_absent(section, "ca_file", route.ca_file);
    if (const auto name = section.string("host_name_in_certificate"); name && !name->empty()) // "": the target's
      if (const auto parsed = section.value("host_name_in_certificate", parse_host_name))
        route.host_name_in_certificate = *parsed;
    if (const auto trust = section.boolean("trust_server_certificate")) route.trust_server_certificate = *trust;
    if (const auto least = section.choice<TlsMin>("tls_min", {{"1.2", TlsMin::tls_1_2}, {"1.0", TlsMin::tls_1_0}}))
      route.tls_min = *least;
    check_encryption(section, route);
  }

  static void check_encryption(Section &section, const Route &route) {
    if (route.encrypt == Encrypt::login)
      section.warning("encrypt",
                      "\"login\" encrypts the login alone: queries and results go over the network in clear; "
                      "write \"require\"");
    if (route.trust_server_certificate && route.encrypt == Encrypt::strict)
      section.problem("trust_server_certificate",
                      "encrypt = \"strict\" always checks the certificate; take this out, and "
                      "name the authority in ca_file");
    else if (route.trust_server_certificate && route.encrypt != Encrypt::off)
      section.warning("trust_server_certificate", "takes any certificate, an impostor's too; take it out, and name the "
                                                  "authority in ca_file");
    if (route.tls_min == TlsMin::tls_1_0)
      section.warning("tls_min", "\"1.0\" takes versions of TLS that are broken; take it out as soon as the server has "
                                 "TLS 1.2");
  }

  static void read_domains(Section &section, std::string_view key, std::vector<std::string> &domains) {
    for (const auto &element : section.elements(key).value_or(std::vector<Section::Element>{})) {
      const auto text = section.string(element);
      if (!text) continue;
      if (auto domain = parse_domain(*text))
        domains.push_back(*std::move(domain));
      else
        section.problem(element, domain.error());
    }
  }

  /// An ordered list of words, each once. `all`: in the order in which the reference has them.
  template <class Word>
  static void read_words(Section &section, std::string_view key, std::vector<Word> &list,
                         std::optional<Word> (*find)(std::string_view), std::span<const Word> all) {
    const auto elements = section.elements(key);
    if (!elements) return;
    std::vector<std::string_view> words;
    for (const Word word : all)
      words.push_back(auth::to_string(word));
    if (elements->empty())
      section.problem(key, fmt::format("is empty; write one of {}, or take it out", fmt::join(words, ", ")));
    list.clear();
    for (const auto &element : *elements) {
      const auto text = section.string(element);
      if (!text) continue;
      const auto word = find(*text);
      if (!word)
        section.problem(element, Section::no_such_word(*text, words));
      else if (std::ranges::find(list, *word) != list.end())
        section.problem(element, fmt::format("\"{}\" stands here twice; take one out", *text));
      else
        list.push_back(*word);
    }
  }

  void read_names(Section &section, Route &route) {
    using enum auth::Procedure;
    constexpr auth::Procedure all[] = {as_typed, short_only, forward, forward_reverse, reverse, map};
    if (!read_driver(section, route.names))
      read_words<auth::Procedure>(section, "names", route.names.order, auth::find_procedure, all);
    for (Section &rule : section.sections("map"))
      read_map_rule(rule, route.names.map);
    const bool mapped = std::ranges::find(route.names.order, map) != route.names.order.end();
    if (mapped && !section.has("map"))
      section.problem("names", "\"map\" has no rules; write map = [{ from = \"sqlalias\", to = \"sql1.corp.test\" }]");
    else if (!mapped && section.has("map"))
      section.problem("map", "is not used, since names does not have \"map\"; write names = [\"map\", \"forward\"]");
    read_domains(section, "canonical_within", route.canonical_within);
    check_names(section, route);
  }

  /// names = "driver:NAME", alone or as the only one of its list. Whether a driver is written at all.
  static bool read_driver(Section &section, auth::Procedures &names) {
    const auto written = [](const Section::Element &element) {
      const auto text = element.node->value_exact<std::string>();
      return text && text->starts_with(auth::driver_prefix);
    };
    const auto *node = section.find("names");
    if (!node || (!node->is_array() && !written({"names", node}))) return false; // of another type: read_words says so
    const auto elements = section.elements("names", /*one_will_do=*/true);
    const auto element = std::ranges::find_if(*elements, written);
    if (element == elements->end()) return false;
    const auto id = element->node->value_exact<std::string>()->substr(auth::driver_prefix.size());
    std::vector<std::string_view> known;
    for (const auto &driver : auth::drivers())
      known.push_back(driver.id);
    if (elements->size() > 1)
      section.problem(*element,
                      "a driver has a name for every target, and never asks another procedure; write it alone");
    else if (!auth::find_driver(id))
      section.problem(*element, Section::no_such_word(id, known));
    else
      names = {.order = {auth::Procedure::as_typed}, .map = {}, .driver = id};
    return true;
  }

  static void read_map_rule(Section &section, std::vector<auth::MapRule> &rules) {
    auth::MapRule rule;
    for (const std::string_view key : {"from", "to"})
      if (!section.has(key)) section.problem(key, "is missing; write { from = \"sqlalias\", to = \"sql1.corp.test\" }");
    const auto from = section.string("from");
    if (from && from->empty())
      section.problem("from", "is empty; write a pattern (\"*\" any text, \"?\" one character)");
    const auto to = section.value("to", parse_host_name);
    section.finish();
    if (from && to) rules.push_back({auth::lower(*from), *to});
  }

  /// What stands behind a procedure that has a name for everything is never asked.
  static void check_names(Section &section, const Route &route) {
    using enum auth::Procedure;
    const auto &order = route.names.order;
    const auto last = std::ranges::find_if(order, [](auth::Procedure p) { return p == as_typed || p == short_only; });
    if (last != order.end() && last + 1 != order.end())
      section.warning("names",
                      fmt::format("\"{}\" has a name for every target, so \"{}\" behind it is never asked; put "
                                  "it last",
                                  auth::to_string(*last), auth::to_string(*(last + 1))));
  }

  static void read_spn_rules(Section &section, Route &route) {
    using auth::RealmFrom;
    using auth::Why;
    constexpr Why whys[] = {Why::explicit_spn, Why::port, Why::instance, Why::bare, Why::typed, Why::reverse};
    constexpr RealmFrom sources[] = {RealmFrom::explicit_realm, RealmFrom::domain_realm, RealmFrom::srv,
                                     RealmFrom::referral, RealmFrom::default_realm};
    auth::SpnRules &rules = route.spn_rules;
    read_words<Why>(section, "spn_order", rules.order, auth::find_why, whys);
    read_words<RealmFrom>(section, "realm_order", rules.realms, auth::find_realm_from, sources);
    const auto has = [&](Why why) { return std::ranges::find(rules.order, why) != rules.order.end(); };
    if (!route.spn.empty() && section.has("spn_order") && !has(Why::explicit_spn))
      section.problem("spn", "is not used, since spn_order does not have \"explicit\"; take it out, or add that word");
    const auto &names = route.names.order;
    const bool asks_ptr = std::ranges::any_of(names, [](auth::Procedure procedure) {
      return procedure == auth::Procedure::forward_reverse || procedure == auth::Procedure::reverse;
    });
    if (has(Why::reverse) && !asks_ptr)
      section.warning("spn_order", "\"reverse\" has no name to offer, since no procedure of names asks for one; write "
                                   "names = [\"forward-reverse\", \"forward\"]");
  }

  /// Passwords, and what NTLM makes of one, go only where TLS is, to a server whose certificate was checked.
  static void check_unprotected(Section &section, const Route &route) {
    const bool password = has(route, AttemptKind::tcp_sql), ntlm = has(route, AttemptKind::tcp_ntlm);
    // With "login" NTLM's answer would be outside of TLS: only the first packet is within.
    const bool half = ntlm && route.encrypt == Encrypt::login;
    if ((!password && !ntlm) || (route.verified_tls() && !half)) return;
    const bool clear = route.encrypt == Encrypt::off;
    const auto *attempt = password && !half ? "tcp+sql" : "tcp+ntlm";
    const auto *what =
        password && !half ? "the application's password" : "an answer that the password can be guessed from";
    if (route.unprotected == Unprotected::refuse)
      section.problem(
          "attempts",
          fmt::format(
              "{} sends {} over the network, and {}; take {} out, or write unprotected = \"accept\"", attempt, what,
              clear ? "encrypt = \"off\" leaves it readable: write \"require\""
              : half
                  ? "encrypt = \"login\" leaves it readable: write \"require\""
                  : "trust_server_certificate = true gives it to any server: take that out, and name the authority in ca_file",
              attempt));
    else
      section.warning(
          "unprotected",
          fmt::format("{} go {}",
                      password && !half ? "passwords of applications" : "answers that passwords can be guessed from",
                      clear || half ? "over the network to the server readable by anybody"
                                    : "to whoever answers as the server: no certificate is checked"));
  }

  static void check_stand_in(Section &section, const Route &route) {
    if (route.mutual_auth == MutualAuth::or_verified_tls && !route.verified_tls())
      section.warning("mutual_auth",
                      fmt::format("nothing can stand in for the server's own proof: {}; the server must "
                                  "prove itself as with \"required\"",
                                  route.encrypt == Encrypt::off ? "encrypt is \"off\"" : "no certificate is checked"));
  }

  static void read_timeouts(Section &section, Timeouts &timeouts) {
    for (const auto &[key, timeout] : {std::pair<std::string_view, Duration *>{"connect", &timeouts.connect},
                                       {"dns", &timeouts.dns},
                                       {"kdc", &timeouts.kdc},
                                       {"login", &timeouts.login},
                                       {"idle", &timeouts.idle}}) {
      const auto duration = read_duration(section, key);
      if (!duration) continue;
      // Whoever connects could hold a login open for ever.
      if (*duration == Duration{0} && timeout != &timeouts.idle)
        section.problem(key, "\"0s\" would be no deadline at all, which only idle may have; write \"5s\"");
      else
        *timeout = *duration;
    }
    section.finish();
  }

  /// The first route that matches counts: one behind it that matches nothing more is never reached. Whether it is so.
  bool check_shadowed(Section &section, const Route &route) {
    for (std::size_t i = 0; i < config_.routes.size(); ++i) {
      const Route &before = config_.routes[i];
      if (!covers_listeners(before.match, route.match) || !covers(before.match, route.match)) continue;
      section.warning(
          "", fmt::format("is never reached: route[{}] (\"{}\") stands before it and matches all that it matches; "
                          "put it first, or give it a narrower match",
                          i, before.name));
      return true;
    }
    return false;
  }

  bool covers_listeners(const Match &a, const Match &b) const {
    return std::ranges::all_of(config_.listeners, [&](const Listener &listener) {
      return matches_listener(a, listener) || !matches_listener(b, listener);
    });
  }

  /// A route that is found, and where every login must fail all the same.
  void check_usable(Section &section, const Route &route) {
    std::vector<const Listener *> listeners;
    for (const Listener &listener : config_.listeners)
      if (matches_listener(route.match, listener)) listeners.push_back(&listener);
    if (listeners.empty()) return; // that is said already
    const std::string names = fmt::format("{}", fmt::join(listeners | std::views::transform(&Listener::name), ", "));
    const std::string who_is_self = fmt::format("(\"self\" is uid {} here)", ::getuid());

    const bool passwords_only =
        std::ranges::all_of(route.attempts, [](AttemptKind kind) { return kind == AttemptKind::tcp_sql; });
    if (passwords_only && !route.attempts.empty() &&
        std::ranges::all_of(listeners, [](const Listener *l) { return l->client_auth == ClientAuth::integrated; }))
      section.warning(
          "attempts",
          fmt::format("can never be made: tcp+sql sends on the client's user and password, and listener {} takes "
                      "integrated logins only; change its client_auth",
                      names));

    const Identity *identity = config_.find_identity(route.identity);
    if (identity && identity->kind == IdentityKind::client &&
        std::ranges::all_of(listeners, [](const Listener *l) { return l->client_auth == ClientAuth::integrated; }))
      section.warning("identity",
                      fmt::format("can never log in: \"{}\" takes the client's user and password, and listener "
                                  "{} takes integrated logins only; change its client_auth",
                                  identity->name, names));

    // Who can get here: those that the match names, if the listeners let any of them in.
    std::vector<Who> callers;
    for (const Listener *listener : listeners)
      callers.insert(callers.end(), listener->callers.begin(), listener->callers.end());
    if (!route.match.caller.empty()) {
      if (are_apart(route.match.caller, callers))
        return section.warning(
            "match",
            fmt::format("can never match: listener {} admits none of the users in match.caller {}; add them to its "
                        "callers",
                        names, who_is_self));
      callers = route.match.caller;
    }
    if (identity && are_apart(callers, identity->allow))
      section.warning(
          "identity",
          fmt::format("nobody who can come here may use \"{}\" {}, so every login will be refused; add the callers to "
                      "its allow",
                      identity->name, who_is_self));
  }

  // ---- between tables ----

  std::string read_name(Section &section, std::map<std::string, Named, std::less<>> &names) {
    if (!section.has("name")) section.problem("name", "is missing; write name = \"…\"");
    const auto name = section.value("name", parse_name);
    if (!name) return {};
    const auto [first, fresh] = names.try_emplace(*name, Named{section.name(), section.place("")});
    if (!fresh)
      section.problem("name",
                      fmt::format("\"{}\" is the name of {} already; write another", *name, first->second.table));
    return *name;
  }

  void read_who(Section &section, std::string_view key, std::vector<Who> &list) {
    const auto elements = section.elements(key, /*one_will_do=*/true);
    if (!elements) return;
    if (elements->empty()) section.problem(key, "is empty, so nobody could; name users or \"@groups\", or take it out");
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

  static std::optional<Duration> read_duration(Section &section, std::string_view key) {
    const toml::node *node = section.find(key);
    if (!node || !node->is_integer()) return section.value(key, parse_duration);
    section.problem(key, fmt::format("{0} has no unit; write \"{0}s\" or \"{0}ms\"", node->ref<std::int64_t>()));
    return std::nullopt;
  }

  std::size_t listeners_matched(std::string_view glob) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        config_.listeners, [&](const Listener &listener) { return glob_match(glob, listener.name); }));
  }

  void check_reachable() {
    for (const Listener &listener : config_.listeners) {
      const auto leads_here = [&](const Route &route) { return matches_listener(route.match, listener); };
      const auto where = listener_names_.find(listener.name);
      if (where == listener_names_.end() || config_.routes.empty() || std::ranges::any_of(config_.routes, leads_here))
        continue;
      report_.warning(where->second.place, where->second.table,
                      fmt::format("no route takes logins from listener \"{}\": all will be refused", listener.name));
    }
  }

  /// Relative paths are relative to the configuration's folder.
  fs::path from_folder(const std::string &path) const {
    std::error_code error;
    fs::path folder = fs::absolute(config_.file, error).parent_path();
    return path.empty() ? folder : (folder / path).lexically_normal();
  }

  Report report_;
  Config config_;
  fs::path resolv_conf_;
  std::string proc_status_; ///< what the kernel says of this process
  std::map<std::string, Named, std::less<>> listener_names_, identity_names_, route_names_;
  std::map<std::string, std::string> addresses_; ///< address or path -> "listener[0]"
};

Loaded single_problem(const fs::path &file, std::string what) {
  Loaded loaded;
  loaded.config.file = file;
  loaded.problems.push_back(
      {.file = file.string(), .line = 0, .column = 0, .key = {}, .what = std::move(what), .warning = false});
  return loaded;
}

} // namespace

std::string Problem::text() const {
  std::string text = file;
  if (line > 0) text += fmt::format(":{}:{}", line, column);
  text += ": ";
  if (!key.empty()) text += key + ": ";
  if (warning) text += "warning: ";
  return text + what;
}

bool Loaded::ok() const { return std::ranges::all_of(problems, &Problem::warning); }

Loaded parse(std::string_view text, const fs::path &file, const fs::path &resolv_conf, const fs::path &proc_status) {
  std::ifstream status(proc_status, std::ios::binary);
  Loader loader(file, resolv_conf, std::string(std::istreambuf_iterator<char>(status), {}));
  const auto table = parse_toml(text);
  if (table)
    loader.read(*table);
  else
    loader.report().problem(table.error().place, "", "not TOML: " + table.error().what);
  return std::move(loader).result();
}

Loaded load(const fs::path &file) {
  std::error_code error;
  if (fs::is_directory(file, error)) return single_problem(file, "is a folder; name the file");
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return single_problem(file, fmt::format("cannot be read: {}; write --config FILE, or set SQLSHIM_CONFIG",
                                            std::generic_category().message(errno)));
  std::string text(largest_file + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return single_problem(file, "cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > largest_file)
    return single_problem(file, fmt::format("is larger than {} bytes; that is no configuration", largest_file));
  return parse(text, file);
}

fs::path which_file(const std::string &option) {
  if (!option.empty()) return option;
  if (const char *environment = std::getenv("SQLSHIM_CONFIG"); environment && *environment) return environment;
  return "/etc/sqlshim/sqlshim.toml";
}

} // namespace config
