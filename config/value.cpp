#include "config/value.hpp"

#include "auth/host_name.hpp"
#include "auth/target.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>
#include <utility>

namespace config {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// All of `text` as a number in base 10 (or 8). nullopt: no number, or larger than `largest`.
std::optional<std::uint64_t> number(std::string_view text, std::uint64_t largest, int base = 10) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || value > largest) return std::nullopt;
  return value;
}

template <class... Values>
std::unexpected<std::string> complain(fmt::format_string<Values...> text, Values &&...values) {
  return std::unexpected(fmt::format(text, std::forward<Values>(values)...));
}

/// The address in its usual spelling; nullopt: no IPv4 or IPv6 address.
std::optional<std::string> plain_ip(std::string_view text) {
  const std::string ip(text);
  char usual[INET6_ADDRSTRLEN];
  unsigned char bytes[sizeof(in6_addr)];
  for (const int family : {AF_INET, AF_INET6})
    if (::inet_pton(family, ip.c_str(), bytes) == 1) return ::inet_ntop(family, bytes, usual, sizeof usual);
  return std::nullopt;
}

std::string_view before(std::string_view text, std::size_t at) { return text.substr(0, at); }

} // namespace

Parsed<Duration> parse_duration(std::string_view text) {
  using namespace std::chrono_literals;
  constexpr Duration longest = 7 * 24h;
  constexpr std::pair<std::string_view, Duration> units[] = {{"ms", 1ms}, {"s", 1s}, {"m", 1min}, {"h", 1h}};

  if (text.starts_with('-')) return complain("\"{}\" is negative; write \"0s\" for never", text);
  const std::size_t digits =
      static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  const std::string_view unit = text.substr(digits);
  if (digits == 0)
    return complain("\"{}\" is no duration; write a number and a unit, as \"5s\" or \"400ms\"", text);
  if (unit.empty()) return complain("\"{0}\" has no unit; write \"{0}s\" or \"{0}ms\"", text);
  if (unit.starts_with('.') || unit.starts_with(','))
    return complain("\"{}\" has a fraction; write a whole number, as \"1500ms\"", text);
  for (const auto &[name, length] : units) {
    if (unit != name) continue;
    const auto count = number(before(text, digits), static_cast<std::uint64_t>(longest / length));
    if (!count) return complain("\"{}\" is too long; at most \"168h\" (a week), or \"0s\" for never", text);
    return static_cast<Duration::rep>(*count) * length;
  }
  return complain("\"{}\" has an unknown unit \"{}\"; write ms, s, m or h", text, unit);
}

Parsed<Address> parse_address(std::string_view text, std::optional<std::uint16_t> default_port) {
  if (default_port)
    if (const auto ip = plain_ip(text)) return Address{*ip, *default_port};

  std::string_view host, port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) return complain("\"{}\" has no port; write \"[::1]:14330\"", text);
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (const auto ip = plain_ip(text)) {
      const bool v6 = ip->find(':') != std::string::npos;
      return complain("\"{}\" has no port; write \"{}:14330\"", text, v6 ? "[" + *ip + "]" : *ip);
    }
    if (colon == std::string_view::npos)
      return complain("\"{}\" is no address and port; write \"127.0.0.1:14330\"", text);
    host = before(text, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos)
      return complain("\"{}\": put brackets around an IPv6 address, as \"[::1]:14330\"", text);
  }
  const auto ip = plain_ip(host);
  if (!ip && host == "localhost")
    return complain("\"{}\" is a name; write the address, \"127.0.0.1:{}\"", text, port);
  if (!ip)
    return complain(
        "\"{}\" is no IP address; names are not looked up here, write the address, as \"127.0.0.1:14330\"",
        host);
  const auto value = number(port, 65535);
  if (!value) return complain("\"{}\" is no port; write a number from 0 to 65535", port);
  return Address{*ip, static_cast<std::uint16_t>(*value)};
}

Parsed<std::pair<Address, std::optional<Address>>> parse_listener_addresses(std::string_view text) {
  using Both = std::pair<Address, std::optional<Address>>;
  constexpr std::string_view localhost = "localhost:";
  const bool both = text.starts_with(localhost);
  const auto first =
      parse_address(both ? "127.0.0.1:" + std::string(text.substr(localhost.size())) : std::string(text));
  if (!first) return std::unexpected(first.error());
  return both ? Both{*first, Address{"::1", first->port}} : Both{*first, std::nullopt};
}

bool is_loopback(const Address &address) { return address.ip.starts_with("127.") || address.ip == "::1"; }

Parsed<tds::ServerVersion> parse_version(std::string_view text) {
  const auto wrong = [&] {
    return complain("\"{}\" is no version; write MAJOR.MINOR.BUILD, as \"16.0.0\"", text);
  };
  std::uint16_t parts[4] = {};
  std::size_t count = 0;
  for (std::string_view rest = text;; ++count) {
    if (count == 4) return wrong();
    const std::size_t dot = rest.find('.');
    const auto value = number(before(rest, dot), count < 2 ? 0xFF : 0xFFFF);
    if (!value) return wrong();
    parts[count] = static_cast<std::uint16_t>(*value);
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (count == 0) return wrong();
  return tds::ServerVersion{static_cast<std::uint8_t>(parts[0]), static_cast<std::uint8_t>(parts[1]),
                            parts[2], parts[3]};
}

Parsed<mode_t> parse_mode(std::string_view text) {
  const auto mode = number(text, 07777, 8);
  if (!mode) return complain("\"{}\" is no file mode; write octal digits, as \"0660\"", text);
  if (*mode > 0777) return complain("\"{}\" has special bits; write at most \"0777\"", text);
  if ((*mode & 0600) != 0600) return complain("\"{}\" shuts the owner out; write at least \"0600\"", text);
  return static_cast<mode_t>(*mode);
}

Parsed<std::string> parse_spn(std::string_view text) {
  constexpr std::string_view form = "write MSSQLSvc/HOST:PORT or MSSQLSvc/HOST:PORT@REALM";
  constexpr std::string_view service = "MSSQLSvc/";
  if (!text.starts_with(service)) {
    if (glob_match("mssqlsvc/*", text)) return complain("\"{}\": capitals count here, write MSSQLSvc", text);
    return complain("\"{}\" is no SPN of SQL Server; {}", text, form);
  }
  const std::size_t at = text.find('@');
  const std::string_view place = before(text, at).substr(service.size());
  const std::size_t colon = place.find(':');
  const std::string_view host = before(place, colon);
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_'; };
  if (host.empty() || !std::ranges::all_of(host, allowed))
    return complain("\"{}\" has no proper host; {}", text, form);
  if (colon != std::string_view::npos) {
    const std::string_view suffix = place.substr(colon + 1);
    const auto in_instance = [](char c) {
      return is_letter(c) || is_digit(c) || c == '_' || c == '$' || c == '#';
    };
    const bool instance = !suffix.empty() && !is_digit(suffix[0]) && std::ranges::all_of(suffix, in_instance);
    if (!instance && number(suffix, 65535).value_or(0) == 0)
      return complain("\"{}\" has no proper port after ':'; {}", text, form);
  }
  if (at != std::string_view::npos) {
    const std::string_view realm = text.substr(at + 1);
    if (realm.empty() || !std::ranges::all_of(realm, allowed))
      return complain("\"{}\" has no proper realm after '@'; {}", text, form);
  }
  return std::string(text);
}

Parsed<std::string> parse_principal(std::string_view text,
                                    const std::map<std::string, std::string> &domains) {
  constexpr std::string_view form = "write NAME@REALM, as \"svc-reports@CORP.TEST\"";
  if (const std::size_t slash = text.find('\\'); slash != std::string_view::npos) {
    const auto domain = parse_netbios_domain(before(text, slash));
    if (!domain) return std::unexpected(domain.error());
    const std::string_view name = text.substr(slash + 1);
    const auto plain = [](char c) {
      return static_cast<unsigned char>(c) > ' ' && c != '@' && c != '\\' && c != '/';
    };
    if (name.empty() || !std::ranges::all_of(name, plain))
      return complain("\"{}\" is no DOMAIN\\user; {}, or 'CORP\\svc-reports' (in single quotes)", text, form);
    const auto realm = domains.find(*domain);
    if (realm == domains.end())
      return complain(
          "no realm is known for the domain of \"{0}\"; write {1} = \"REALM\" below [domains], or principal "
          "= \"{2}@REALM\"",
          text, *domain, name);
    return std::string(name) + "@" + realm->second;
  }
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) return complain("\"{}\" has no realm; {}", text, form);
  const auto visible = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != '@'; };
  const std::string_view name = before(text, at), realm = text.substr(at + 1);
  if (name.empty() || realm.empty() || !std::ranges::all_of(name, visible) ||
      !std::ranges::all_of(realm, visible))
    return complain("\"{}\" is no principal; {}", text, form);
  return std::string(text);
}

std::string windows_account(std::string_view principal, const std::map<std::string, std::string> &domains) {
  const std::size_t at = principal.rfind('@');
  if (at == std::string_view::npos) return {};
  const std::string_view name = before(principal, at), realm = principal.substr(at + 1);
  const auto found = std::ranges::find(domains, realm, [](const auto &domain) { return domain.second; });
  if (name.contains('/') || found == domains.end()) return {};
  return found->first + "\\" + std::string(name);
}

Parsed<std::string> parse_realm(std::string_view text) {
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_'; };
  if (text.empty() || !std::ranges::all_of(text, allowed))
    return complain("\"{}\" is no Kerberos realm; write it as the KDC does, as \"CORP.TEST\"", text);
  return std::string(text);
}

namespace {

/// Labels of letters, digits, '-' and '_' (which Windows allows), with dots between them (RFC
/// 1035 2.3.4 for the lengths).
bool is_dns_name(std::string_view text) {
  constexpr std::size_t longest = 253, longest_label = 63;
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; };
  if (text.size() > longest) return false;
  for (std::string_view rest = text;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view label = before(rest, dot);
    if (label.empty() || label.size() > longest_label || !std::ranges::all_of(label, allowed)) return false;
    if (dot == std::string_view::npos) return true;
    rest.remove_prefix(dot + 1);
  }
}

} // namespace

Parsed<std::string> parse_host_name(std::string_view text) {
  if (const auto ip = plain_ip(text)) return *ip;
  if (text.contains('*'))
    return complain("\"{}\" is a pattern; write one name, which a pattern in the certificate may cover",
                    text);
  const std::string_view name = text.ends_with('.') ? before(text, text.size() - 1) : text;
  if (!is_dns_name(name)) return complain("\"{}\" is no host name; write it as \"sql1.corp.test\"", text);
  return std::string(name);
}

Parsed<std::string> parse_domain(std::string_view text) {
  const std::string_view name = text.ends_with('.') ? before(text, text.size() - 1) : text;
  if (text.contains('*') || text.starts_with('.'))
    return complain(
        "\"{}\": a domain holds all that is below it; write it without * or dot in front, as \"corp.test\"",
        text);
  if (!is_dns_name(name)) return complain("\"{}\" is no domain; write it as \"corp.test\"", text);
  return std::string(name);
}

Parsed<std::string> parse_netbios_domain(std::string_view text) {
  constexpr std::size_t longest = 15; // [MS-NBTE] 2.2.1: the sixteenth byte is the suffix
  constexpr std::string_view marks = "!#$%&'()-^_{}~@";
  if (text.find('.') != std::string_view::npos)
    return complain(
        "\"{}\" has a dot, as a DNS domain; write the NetBIOS name, the part before \\ in DOMAIN\\user",
        text);
  const auto allowed = [&](char c) { return is_letter(c) || is_digit(c) || marks.find(c) != marks.npos; };
  if (text.empty() || text.size() > longest || !std::ranges::all_of(text, allowed))
    return complain("\"{}\" is no NetBIOS domain; write 1 to {} letters or digits, as CORP", text, longest);
  return auth::upper(text);
}

Parsed<std::string> parse_name(std::string_view text) {
  constexpr std::size_t longest = 64;
  const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-'; };
  if (text.empty() || text.size() > longest || !std::ranges::all_of(text, allowed))
    return complain("\"{}\" is no proper name; write letters, digits, '.', '_' or '-', {} at most", text,
                    longest);
  return std::string(text);
}

namespace {

/// Letters to add, drop, change, or swap with their neighbour.
std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> edits(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
    edits[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j)
    edits[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      edits[i][j] = std::min({edits[i - 1][j] + 1, edits[i][j - 1] + 1, edits[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        edits[i][j] = std::min(edits[i][j], edits[i - 2][j - 2] + 1);
    }
  return edits[a.size()][b.size()];
}

} // namespace

std::string instance_fault(std::string_view name) {
  constexpr std::size_t longest = 32; // bytes, MC-SQLR 2.2.3
  if (name.empty() || name.size() > longest)
    return fmt::format("\"{}\" is no name of an instance: SQL Browser knows names of 1 to {} characters",
                       name, longest);
  const auto strange = [](unsigned char c) {
    return c <= 0x20 || c >= 0x7F || std::string_view("\\/:;,@[]\"").contains(static_cast<char>(c));
  };
  if (std::ranges::any_of(name, strange))
    return fmt::format("\"{}\" holds a character that no instance has; write letters, digits, _ and $", name);
  return {};
}

std::string target_fault(const std::string &typed) {
  const auto target = auth::parse_target(typed);
  if (!target) return target.error();
  if (!target->pipe.empty())
    return "named pipes are not supported by this version; write the server's name and port, as \"sql1,1433\"";
  if (!target->instance.empty() && !target->port)
    if (const auto fault = instance_fault(target->instance); !fault.empty())
      return fmt::format("{}; write the port, as '{},PORT'", fault, typed);
  return {};
}

std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr std::size_t longest = 64; // more is no slip of the finger, and the table above is quadratic
  if (word.size() > longest) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t fewest = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates)
    if (const std::size_t edits = edits_between(word, candidate); edits < fewest) {
      fewest = edits;
      best = candidate;
    }
  return best;
}

} // namespace config
