#include "config/listener_table.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/un.h>
#include <unistd.h>

namespace config {
namespace {

namespace fs = std::filesystem;

void check_address(Section &section, const Address &address, Loading &loading) {
  if (!is_loopback(address)) {
    section.problem(
        "address",
        fmt::format("\"{}\" is not loopback, and callers from other machines cannot be proven; write \"{}\"",
                    address.text(),
                    Address{address.ip.contains('.') ? "127.0.0.1" : "::1", address.port}.text()));
    return;
  }
  if (address.port == 0) return; // the kernel chooses: no two are the same
  const auto [first, fresh] = loading.addresses.try_emplace(address.text(), section.name());
  if (!fresh)
    section.problem("address",
                    fmt::format("\"{}\" is taken by {}; write another port", address.text(), first->second));
}

void check_socket(Section &section, const std::string &written, const fs::path &path, Loading &loading) {
  constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  if (written.empty())
    section.problem("unix", "is empty; write a path");
  else if (path.native().size() > longest)
    section.problem("unix",
                    fmt::format("is {} bytes long with its folder; the kernel takes {}, write a shorter path",
                                path.native().size(), longest));
  const auto [first, fresh] = loading.addresses.try_emplace(path.string(), section.name());
  if (!fresh)
    section.problem("unix",
                    fmt::format("\"{}\" is taken by {}; write another path", path.string(), first->second));
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

void check_key(Section &section, const fs::path &path) {
  check_secret(section, "key", path);
  std::error_code error;
  if (fs::is_directory(path, error))
    section.problem("key", fmt::format("{} is a folder; name the file", path.string()));
  else if (fs::exists(path, error) && ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0)
    section.warning(
        "key", fmt::format("{} cannot be read by uid {}; sqlshim must be able to, so give it to the user "
                           "who runs it",
                           path.string(), ::geteuid()));
}

void read_listener_tls(Section &section, Listener &listener, const Loading &loading) {
  section.read("tls", listener.tls);
  listener.certificate = read_path(section, "certificate", loading);
  listener.key = read_path(section, "key", loading);
  if (!listener.certificate.empty()) warn_if_absent(section, "certificate", listener.certificate);
  if (!listener.key.empty()) check_key(section, listener.key);

  // What is written with a wrong type has its own problem, and does not count as missing.
  const auto stands = [&](std::string_view name, const fs::path &path) {
    return !path.empty() || (section.has(name) && !section.find(name)->is_string());
  };
  const bool certificate = stands("certificate", listener.certificate), key = stands("key", listener.key);
  if (certificate != key)
    section.problem(
        certificate ? "certificate" : "key",
        fmt::format("stands without {}; write both, or neither to have a certificate made in the state "
                    "directory",
                    certificate ? "key" : "certificate"));
  else if (certificate && listener.tls == ListenerTls::off)
    section.warning("certificate", "is never shown: tls is \"off\" here; write \"optional\", or take it out");
  if (!certificate && !key && listener.tls != ListenerTls::off && loading.config.state.directory.empty())
    section.problem(
        "", "needs a certificate, and there is no home directory to keep one in; write [state] directory "
            "= \"PATH\", or certificate and key, or tls = \"off\"");
}

void read_instances(Section &section, Loading &loading) {
  std::size_t written = 0;
  for (const auto &element : section.entries()) {
    ++written;
    const auto name = auth::upper(element.key);
    if (auto fault = instance_fault(name); !fault.empty()) {
      section.problem(element, std::move(fault));
      continue;
    }
    const auto listener = section.string(element);
    if (!listener) continue;
    const auto found = std::ranges::find(loading.config.listeners, *listener, &Listener::name);
    if (found == loading.config.listeners.end()) {
      std::vector<std::string_view> names;
      for (const Listener &one : loading.config.listeners)
        names.push_back(one.name);
      section.problem(element, names.empty() ? "there is no listener at all"
                                             : Section::no_such_word(*listener, names));
    } else if (!found->address) {
      if (found->unix_path)
        section.problem(element,
                        fmt::format("listener \"{}\" is a Unix socket, and SQL Browser tells ports; name "
                                    "one that has an address",
                                    *listener));
    } else if (!loading.config.browser.instances.try_emplace(name, *listener).second) {
      section.problem(
          element,
          fmt::format("instance {} stands here twice, since capitals do not count; take one out", name));
    } else if (loading.config.browser.address && loading.config.browser.address->ip != found->address->ip) {
      section.warning(element,
                      fmt::format("applications connect to the address that they asked, {}, and listener "
                                  "\"{}\" is on {}",
                                  loading.config.browser.address->ip, *listener, found->address->ip));
    }
  }
  if (written == 0) section.problem("", "names no instance; write { INSTANCE = \"listener\" }");
}

} // namespace

void read_listener(Section &section, Loading &loading) {
  Listener listener;
  listener.name = read_name(section, loading.listener_names);
  const bool by_address = section.has("address"), by_path = section.has("unix");
  if (by_address == by_path)
    section.problem(
        "", by_address
                ? "has both address and unix; write one of them, and a second [[listener]] for the other"
                : "has neither address nor unix; write address = \"127.0.0.1:14330\" or unix = \"PATH\"");
  if (const auto addresses = section.value("address", parse_listener_addresses)) {
    listener.address = addresses->first;
    listener.twin = addresses->second;
    check_address(section, *listener.address, loading);
    if (listener.twin) check_address(section, *listener.twin, loading);
  }
  if (const auto path = section.string("unix")) {
    listener.unix_path = loading.from_folder(*path);
    check_socket(section, *path, *listener.unix_path, loading);
  }
  if (const auto mode = read_mode(section)) listener.mode = *mode;
  if (section.has("mode") && by_address && !by_path)
    section.problem("mode", "is for Unix sockets; take it out, or write unix instead of address");
  read_who(section, "callers", listener.callers);
  section.read("client_auth", listener.client_auth);
  section.read("version", listener.version, parse_version);
  read_listener_tls(section, listener, loading);
  section.finish();
  loading.config.listeners.push_back(std::move(listener));
}

void read_browser(Section &section, Loading &loading) {
  Browser &browser = loading.config.browser;
  if ((browser.address = section.value(
           "address", +[](std::string_view text) { return parse_address(text, 1434); })) &&
      !is_loopback(*browser.address))
    section.problem(
        "address",
        fmt::format(
            "\"{}\" is not loopback, and no listener can be reached from other machines; write "
            "\"{}\"",
            browser.address->text(),
            Address{browser.address->ip.contains('.') ? "127.0.0.1" : "::1", browser.address->port}.text()));
  if (auto instances = section.section("instances")) read_instances(*instances, loading);
  if (!section.has("address"))
    section.problem("address", "is missing, so nobody would be answered; write address = \"127.0.0.1:1434\"");
  if (!section.has("instances"))
    section.problem("instances", "is missing; write instances = { INSTANCE = \"listener\" }");
  section.finish();
}

} // namespace config
