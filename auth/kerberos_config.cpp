#include "auth/kerberos_config.hpp"

#include "auth/handles.hpp"
#include "auth/host_name.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <profile.h>
#include <sys/mman.h>
#include <unistd.h>

namespace auth {

namespace {

struct ProfileDeleter {
  void operator()(_profile_t *profile) const { profile_release(profile); }
};
using Profile = std::unique_ptr<_profile_t, ProfileDeleter>;

Error profile_error(const std::string &path, long code) {
  return make_error(Kind::malformed, path + ": " + library_text(nullptr, static_cast<krb5_error_code>(code)),
                    code);
}

/// profile_init_path skips files that are absent or unreadable, and fails when none is left.
Result<Profile> open_profile(const std::string &path) {
  profile_t profile = nullptr;
  if (const long code = profile_init_path(path.c_str(), &profile))
    return std::unexpected(profile_error(path, code));
  return Profile(profile);
}

std::string get_string(profile_t profile, const char *section, const char *name) {
  char *value = nullptr;
  if (profile_get_string(profile, section, name, nullptr, nullptr, &value) != 0 || !value) return {};
  std::string copy = value;
  profile_release_string(value);
  return copy;
}

/// Strings of one of the list functions; empty where there is no such section.
std::vector<std::string> get_list(const std::function<long(char ***)> &fill) {
  char **list = nullptr;
  std::vector<std::string> result;
  if (fill(&list) != 0 || !list) return result;
  for (char **item = list; *item; ++item)
    result.emplace_back(*item);
  profile_free_list(list);
  return result;
}

std::optional<std::chrono::seconds> parse_duration(std::string text) {
  krb5_deltat seconds = 0;
  if (krb5_string_to_deltat(text.data(), &seconds) != 0 || seconds < 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

/// A sealed file in memory, laid in front of every profile: its settings win, and no file of anybody's is
/// touched. (Setting them with profile_add_relation would mark the data "dirty"; libkrb5 shares parsed files
/// between all profiles of a process, so a GSS context would see the change too, and profile_release would
/// try to write it into krb5.conf.) Opened once and kept: the shared data is found by name, and the name is
/// that of the descriptor. /proc/self/fd stays open to a process of its own even when it is not dumpable.
Result<std::string> front_profile() {
  constexpr std::string_view settings =
      "[libdefaults]\n"
      " kdc_timesync = 0\n"      // skew must show, not be hidden
      " clockskew = 315360000\n" // ten years: Exchange applies the configured limit
      " dns_lookup_kdc = false\n"
      " dns_lookup_realm = false\n"
      " dns_canonicalize_hostname = false\n"; // we are given names, and never ask for any
  static const int descriptor = [&] {
    constexpr unsigned noexec_seal =
        0x0008; // MFD_NOEXEC_SEAL, Linux 6.3: some systems demand it, older ones do not know it
    int fd = memfd_create("sqlshim-krb5", MFD_CLOEXEC | MFD_ALLOW_SEALING | noexec_seal);
    if (fd < 0 && errno == EINVAL) fd = memfd_create("sqlshim-krb5", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -errno;
    const bool good = write(fd, settings.data(), settings.size()) == static_cast<ssize_t>(settings.size()) &&
                      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
    if (good) return fd;
    const int fault = errno;
    close(fd);
    return -fault;
  }();
  if (descriptor < 0)
    return std::unexpected(make_error(
        Kind::other, std::string("memfd for Kerberos settings: ") + std::strerror(-descriptor), -descriptor));
  return "/proc/self/fd/" + std::to_string(descriptor);
}

Result<Context> context_of(profile_t profile) {
  krb5_context context = nullptr;
  // SECURE: no variable of the environment has a say (KRB5_TRACE would write files).
  if (const auto code = krb5_init_context_profile(profile, KRB5_INIT_CONTEXT_SECURE, &context))
    return std::unexpected(library_error(nullptr, code, "Kerberos library: "));
  return Context(context);
}

/// Values that libkrb5 would not understand are as not written, as it takes them.
MitNaming naming_of(profile_t profile) {
  constexpr std::array<std::string_view, 7> no{"n",   "no", "false", "f",
                                               "nil", "0",  "off"}; // libprofile's words
  MitNaming naming;
  const auto value = lower(get_string(profile, "libdefaults", "dns_canonicalize_hostname"));
  if (value == "fallback")
    naming.canonicalise = MitNaming::Canonicalise::fallback;
  else if (std::ranges::find(no, value) != no.end())
    naming.canonicalise = MitNaming::Canonicalise::never;
  int rdns = 1;
  if (profile_get_boolean(profile, "libdefaults", "rdns", nullptr, 1, &rdns) == 0) naming.rdns = rdns != 0;
  return naming;
}

} // namespace

std::string KdcAddress::text() const {
  const std::string place = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (https) return "https://" + place + (port == 443 ? "" : ":" + std::to_string(port)) + path;
  return place + ":" + std::to_string(port);
}

std::optional<KdcAddress> parse_kdc(std::string_view text) {
  KdcAddress kdc;
  const std::string low = lower(text);
  if (low.starts_with("https://")) {
    kdc.https = true;
    kdc.port = 443;
    text.remove_prefix(8);
    const auto slash = std::min(text.find('/'), text.size());
    kdc.path = text.substr(slash);
    text = text.substr(0, slash);
  } else if (low.starts_with("tcp/") || low.starts_with("udp/")) {
    text.remove_prefix(4);
  }

  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    port = text.substr(end + 1);
    text = text.substr(1, end - 1);
    if (normal_address(text).empty()) return std::nullopt;
  } else if (normal_address(text).empty()) {
    const auto colon = std::min(text.find(':'), text.size());
    port = text.substr(colon);
    text = text.substr(0, colon);
    if (!name_fault(text).empty()) return std::nullopt;
  }
  kdc.host = lower(text);
  if (port.empty()) return kdc;
  const char *end = port.data() + port.size();
  const auto [stop, fault] = std::from_chars(port.data() + 1, end, kdc.port);
  if (port.front() != ':' || fault != std::errc{} || stop != end || kdc.port == 0) return std::nullopt;
  return kdc;
}

std::string KerberosConfig::realm_of(std::string_view host) const {
  if (host.ends_with('.')) host.remove_suffix(1);
  const std::string name = lower(host);
  // "sql1.corp.test", ".corp.test", "corp.test", ".test", "test": libkrb5's order.
  for (std::string_view rest = name; !rest.empty();) {
    if (const auto entry = domain_realm.find(std::string(rest)); entry != domain_realm.end())
      return entry->second;
    if (!normal_address(name).empty()) break; // the dots of an address separate no domains
    const auto dot = rest.find('.');
    if (dot == 0)
      rest.remove_prefix(1);
    else if (dot == std::string_view::npos)
      break;
    else
      rest.remove_prefix(dot);
  }
  return {};
}

Result<KerberosConfig> load_kerberos_config(const std::string &path) {
  const auto opened = open_profile(path);
  if (!opened) return std::unexpected(opened.error());
  const profile_t profile = opened->get();
  const auto fault = [&](const std::string &text) {
    return std::unexpected(make_error(Kind::malformed, path + ": " + text, EINVAL));
  };

  KerberosConfig config;
  config.path = path;
  config.default_realm = get_string(profile, "libdefaults", "default_realm");
  if (std::string skew = get_string(profile, "libdefaults", "clockskew"); !skew.empty()) {
    const auto seconds = parse_duration(std::move(skew));
    if (!seconds) return fault("clockskew is no duration: write seconds, as in 300");
    config.clock_skew = *seconds;
  }

  int lookup = 1;
  if (profile_get_boolean(profile, "libdefaults", "dns_lookup_kdc", nullptr, 1, &lookup) != 0)
    return fault("dns_lookup_kdc is neither true nor false");
  config.dns_lookup_kdc = lookup != 0;
  config.naming = naming_of(profile);

  const char *domains[] = {"domain_realm", nullptr};
  for (const std::string &domain :
       get_list([&](char ***out) { return profile_get_relation_names(profile, domains, out); }))
    config.domain_realm[lower(domain)] = get_string(profile, "domain_realm", domain.c_str());

  const char *realms[] = {"realms", nullptr};
  for (const std::string &realm :
       get_list([&](char ***out) { return profile_get_subsection_names(profile, realms, out); })) {
    const char *entries[] = {"realms", realm.c_str(), "kdc", nullptr};
    for (const std::string &entry :
         get_list([&](char ***out) { return profile_get_values(profile, entries, out); })) {
      const auto kdc = parse_kdc(entry);
      if (!kdc)
        return fault("realm " + realm + ": kdc = " + entry +
                     " is none of HOST, HOST:PORT, [ADDRESS]:PORT, https://HOST/PATH");
      config.kdcs[realm].push_back(*kdc);
    }
  }
  return config;
}

std::chrono::seconds configured_clock_skew(const std::string &config_path) {
  const auto profile = open_profile(config_path);
  const auto seconds =
      profile ? parse_duration(get_string(profile->get(), "libdefaults", "clockskew")) : std::nullopt;
  return seconds.value_or(KerberosConfig().clock_skew);
}

void ContextDeleter::operator()(_krb5_context *context) const { krb5_free_context(context); }

Result<Context> make_context(const std::string &path) {
  // Opened alone first: with the front file in the list, a path where nothing can be read would go unnoticed.
  const auto own = open_profile(path);
  if (!own) return std::unexpected(own.error());
  const auto front = front_profile();
  if (!front) return std::unexpected(front.error());
  const auto both = open_profile(*front + ":" + path);
  if (!both) return std::unexpected(both.error());
  return context_of(both->get());
}

Result<Context> make_bare_context() {
  profile_t empty = nullptr;
  if (const long code = profile_init(nullptr, &empty))
    return std::unexpected(profile_error("empty profile", code));
  return context_of(Profile(empty).get());
}

} // namespace auth
