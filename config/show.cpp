#include "config/show.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace config {

namespace {

/// A basic string of TOML 1.0.
std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

template <class List, class Text> std::string array(const List &list, Text text) {
  std::string out;
  for (const auto &element : list)
    out += (out.empty() ? "" : ", ") + text(element);
  return "[" + out + "]";
}

template <class Word> std::string words(const std::vector<Word> &list) {
  return array(list, [](Word word) { return toml_string(auth::to_string(word)); });
}

std::string rule(const auth::MapRule &rule) {
  return fmt::format("{{ from = {}, to = {} }}", toml_string(rule.from), toml_string(rule.to));
}

/// In the largest unit that says it exactly.
std::string duration(Duration duration) {
  using namespace std::chrono_literals;
  for (const auto &[unit, length] : {std::pair<std::string_view, Duration>{"h", 1h}, {"m", 1min}, {"s", 1s}})
    if (duration != Duration{0} && duration % length == Duration{0})
      return fmt::format("\"{}{}\"", duration / length, unit);
  return duration == Duration{0} ? "\"0s\"" : fmt::format("\"{}ms\"", duration.count());
}

std::string number(const Who &who, uid_t self) {
  if (who.self) return fmt::format("self: uid {}", self);
  return who.gid ? fmt::format("{}: gid {}", who.text, *who.gid)
                 : fmt::format("{}: uid {}", who.text, *who.uid);
}
std::string people(const std::vector<Who> &list) {
  return array(list, [](const Who &who) { return toml_string(who.text); });
}
/// The numbers that names stand for; nothing where all are numbers already.
std::string numbers(const std::vector<Who> &list, uid_t self) {
  std::string out;
  for (const Who &who : list)
    if (who.uid != std::nullopt && who.text == fmt::to_string(*who.uid))
      continue;
    else
      out += (out.empty() ? "  # " : ", ") + number(who, self);
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?'); // of a group's name
  return out;
}

std::string_view key(IdentityKind kind) {
  constexpr std::string_view words[] = {"keytab", "ccache", "password_file", "from", "ccache"};
  return words[static_cast<std::size_t>(kind)];
}

std::string match(const Match &match) {
  std::string out;
  for (const auto &[key, glob] :
       {std::pair<std::string_view, const std::string *>{"listener", &match.listener},
        {"server", &match.server},
        {"database", &match.database},
        {"user", &match.user},
        {"app", &match.app}})
    if (!glob->empty()) out += fmt::format("{} {} = {}", out.empty() ? "" : ",", key, toml_string(*glob));
  if (!match.caller.empty())
    out += fmt::format("{} caller = {}", out.empty() ? "" : ",", people(match.caller));
  return "{" + out + " }";
}

} // namespace

std::string show(const Config &config, uid_t self) {
  std::string out;
  const auto line = [&out]<class... Values>(fmt::format_string<Values...> format, Values &&...values) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Values>(values)...);
    out += '\n';
  };

  line("[log]");
  line("decisions = {}", toml_string(config.log.decisions.string()));
  line("level = \"{}\"", auth::spelling(config.log.level));
  line("\n[limits]");
  line("handshakes = {}", config.limits.handshakes);
  line("handshakes_per_uid = {}", config.limits.handshakes_per_uid);
  line("connections = {}", config.limits.connections);
  line("addresses = {}", config.limits.addresses);
  line("drain = {}", duration(config.limits.drain));
  line("client_login = {}", duration(config.limits.client_login));
  line("\n[dns]");
  line("servers = {}",
       array(config.dns.servers, [](const Address &address) { return toml_string(address.text()); }));
  line("search = {}", array(config.dns.search, toml_string));
  line("ndots = {}", config.dns.ndots);
  line("hosts = {}", toml_string(config.dns.hosts.string()));
  line("resolver = {}", toml_string(to_string(config.dns.resolver)));
  line("failures = {}", duration(config.dns.failures));
  line("\n[kerberos]");
  line("config = {}", toml_string(config.kerberos.config));
  line("refusals = {}", duration(config.kerberos.refusals));
  line("\n[state]");
  if (!config.state.directory.empty()) line("directory = {}", toml_string(config.state.directory.string()));
  line("\n[domains]");
  for (const auto &[name, realm] : config.domains)
    line("{} = {}", toml_string(name), toml_string(realm));

  line("\n[aliases]");
  if (!config.aliases.freetds_conf.empty())
    line("freetds_conf = {}", array(config.aliases.freetds_conf, [](const std::filesystem::path &path) {
           return toml_string(path.string());
         }));
  for (const auto &[name, target] : config.aliases.table)
    line("{} = {}", toml_string(name), toml_string(target));

  if (config.browser.address) {
    std::string instances;
    for (const auto &[instance, listener] : config.browser.instances)
      instances += fmt::format("{} {} = {}", instances.empty() ? "" : ",", toml_string(instance),
                               toml_string(listener));
    line("\n[browser]");
    line("address = {}", toml_string(config.browser.address->text()));
    line("instances = {{{} }}", instances);
  }

  for (const Listener &listener : config.listeners) {
    line("\n[[listener]]");
    line("name = {}", toml_string(listener.name));
    if (listener.twin)
      line("address = \"localhost:{}\"", listener.address->port);
    else if (listener.address)
      line("address = {}", toml_string(listener.address->text()));
    if (listener.unix_path)
      line("unix = {}\nmode = \"{:04o}\"", toml_string(listener.unix_path->string()), listener.mode);
    line("callers = {}{}", people(listener.callers), numbers(listener.callers, self));
    line("client_auth = \"{}\"", auth::spelling(listener.client_auth));
    const auto &version = listener.version;
    line("version = \"{}.{}.{}.{}\"", version.major, version.minor, version.build, version.sub_build);
    line("tls = \"{}\"", to_string(listener.tls));
    line("certificate = {}", toml_string(listener.certificate.string()));
    line("key = {}", toml_string(listener.key.string()));
  }
  for (const Identity &identity : config.identities) {
    line("\n[[identity]]");
    line("name = {}", toml_string(identity.name));
    line("allow = {}{}", people(identity.allow), numbers(identity.allow, self));
    if (identity.kind == IdentityKind::caller) line("from = \"caller\"");
    const bool client = identity.kind == IdentityKind::client;
    line("{} = {}", key(identity.kind), toml_string(client ? "client" : identity.source));
    if (!identity.account.empty())
      line("principal = {}  # {}, by [domains]", toml_string(identity.account), identity.principal);
    else if (!identity.principal.empty())
      line("principal = {}", toml_string(identity.principal));
  }
  for (const Route &route : config.routes) {
    line("\n[[route]]");
    line("name = {}", toml_string(route.name));
    if (route.match != Match{}) line("match = {}{}", match(route.match), numbers(route.match.caller, self));
    line("target = {}", toml_string(route.target));
    if (!route.identity.empty()) line("identity = {}", toml_string(route.identity));
    line("attempts = {}",
         array(route.attempts, [](AttemptKind kind) { return toml_string(to_string(kind)); }));
    line("fallback_on = {}", array(route.fallback_on, [](Cause cause) { return toml_string(id(cause)); }));
    line("fallback = \"{}\"", to_string(route.fallback));
    line("encrypt = \"{}\"", to_string(route.encrypt));
    line("ca_file = {}", toml_string(route.ca_file.string()));
    line("host_name_in_certificate = {}", toml_string(route.host_name_in_certificate));
    line("trust_server_certificate = {}", route.trust_server_certificate);
    line("tls_min = \"{}\"", to_string(route.tls_min));
    line("redirect_within = {}", array(route.redirect_within, toml_string));
    if (route.names.driver.empty())
      line("names = {}", words(route.names.order));
    else
      line("names = \"{}{}\"", auth::driver_prefix, route.names.driver);
    if (!route.names.map.empty()) line("map = {}", array(route.names.map, rule));
    line("canonical_within = {}", array(route.canonical_within, toml_string));
    line("spn = {}", toml_string(route.spn));
    line("spn_order = {}", words(route.spn_rules.order));
    line("realm_order = {}", words(route.spn_rules.realms));
    line("mutual_auth = \"{}\"", auth::spelling(route.mutual_auth));
    line("unprotected = \"{}\"", auth::spelling(route.unprotected));
    line("multi_subnet = {}", route.multi_subnet);
    line("failover_partner = {}", toml_string(route.failover_partner));
    const Timeouts &timeouts = route.timeouts;
    line("timeouts = {{ connect = {}, dns = {}, kdc = {}, login = {}, idle = {} }}",
         duration(timeouts.connect), duration(timeouts.dns), duration(timeouts.kdc), duration(timeouts.login),
         duration(timeouts.idle));
  }
  return out;
}

} // namespace config
