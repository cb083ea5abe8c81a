#include "auth/target.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <charconv>

namespace auth {

namespace {

/// The first prefix that some driver knows and we do not, with what to say about it.
std::string_view foreign_prefix(std::string_view low) {
  if (low.starts_with("lpc:"))
    return "shared memory (lpc:) reaches this machine only: write the server's name";
  if (low.starts_with("admin:"))
    return "the dedicated administrator connection (admin:) is not supported: write its name and port";
  if (low.starts_with("(localdb)")) return "LocalDB exists on Windows only: write the name of a server";
  return {};
}

std::expected<std::uint16_t, std::string> parse_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc{} || end != text.data() + text.size() || value < 1 || value > 65535)
    return std::unexpected("the port is \"" + std::string(text) + "\": write a number from 1 to 65535");
  return static_cast<std::uint16_t>(value);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

constexpr std::string_view default_pipe = "sql\\query";
constexpr std::size_t longest_pipe = 255;
constexpr std::string_view instance_prefix = "mssql$"; // of the pipes of a named instance

std::string bad_instance(std::string_view instance) {
  if (instance.empty())
    return "the instance name after the backslash is empty: write sql1\\INSTANCE, or sql1 alone";
  if (instance.find_first_of("\\/@[]\"") != std::string_view::npos || instance.size() > 255)
    return "the instance name holds a character that none has: write sql1\\INSTANCE";
  return {};
}

/// \\HOST\pipe\NAME, split. `rest` begins with the two backslashes.
struct Unc {
  std::string_view host, pipe;
};
std::optional<Unc> split_unc(std::string_view rest) {
  rest.remove_prefix(2);
  const auto end = std::min(rest.find('\\'), rest.size());
  constexpr std::string_view share = "\\pipe\\";
  if (lower(rest.substr(end, share.size())) != share) return std::nullopt;
  return Unc{rest.substr(0, end), rest.substr(end + share.size())};
}

} // namespace

std::expected<Target, std::string> parse_target(std::string_view typed) {
  const auto fault = [](std::string text) { return std::unexpected(std::move(text)); };
  if (typed.empty()) return fault("the target is empty: write the server's name, as in sql1 or sql1,1433");
  for (const char c : typed)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return fault("the target holds a space or a control character: write it without, as in sql1,1433");

  Target target{.typed = std::string(typed), .host = {}, .instance = {}, .port = {}, .is_address = false};
  std::string_view rest = typed;
  const bool by_pipe = lower(rest).starts_with("np:"), by_tcp = lower(rest).starts_with("tcp:");
  rest.remove_prefix(by_pipe ? 3 : by_tcp ? 4 : 0);
  if (const auto text = foreign_prefix(lower(rest)); !text.empty()) return fault(std::string(text));
  if (!by_tcp && rest.starts_with("\\\\")) {
    const auto unc = split_unc(rest);
    if (!unc || unc->pipe.empty() || unc->pipe.size() > longest_pipe ||
        unc->pipe.find_first_of("/:,") != std::string_view::npos)
      return fault("this is no path of a pipe: write \\\\sql1\\pipe\\sql\\query");
    target.pipe = unc->pipe;
    if (lower(target.pipe).starts_with(instance_prefix)) {
      target.instance =
          target.pipe.substr(instance_prefix.size(), target.pipe.find('\\') - instance_prefix.size());
      if (auto text = bad_instance(target.instance); !text.empty()) return fault(std::move(text));
    }
    rest = unc->host;
    if (rest.find_first_of(",:") != std::string_view::npos && normal_address(rest).empty())
      return fault("a pipe has no port: write \\\\sql1\\pipe\\sql\\query");
  }

  // What is left is HOST [\INSTANCE] [,PORT], where ':' may stand for the comma unless it
  // belongs to an IPv6 address.
  std::string_view host = rest;
  if (const auto whole = normal_address(rest); !whole.empty()) {
    host = rest;
    rest = {};
  } else if (rest.starts_with('[')) {
    const auto end = rest.find(']');
    if (end == std::string_view::npos)
      return fault("the bracket of the address is not closed: write [::1],1433");
    host = rest.substr(1, end - 1);
    rest = rest.substr(end + 1);
    if (normal_address(host).find(':') == std::string::npos)
      return fault(
          "between the brackets stands no IPv6 address (a zone like %eth0 is not supported): write [::1],1433");
    if (!rest.empty() && std::string_view(",:\\").find(rest.front()) == std::string_view::npos)
      return fault("after the address stands something else than a port or an instance: write [::1],1433");
  } else {
    const auto separator = std::min(rest.find_first_of(",\\"), rest.size());
    if (std::ranges::count(rest.substr(0, separator), ':') > 1 &&
        normal_address(rest.substr(0, separator)).empty())
      return fault("this is neither an IPv6 address nor a name with a port: write [::1],1433");
    const auto end = normal_address(rest.substr(0, separator)).empty()
                         ? std::min(rest.find_first_of(",\\:"), rest.size())
                         : separator;
    host = rest.substr(0, end);
    rest = rest.substr(end);
  }

  if (rest.starts_with('\\')) {
    const auto end = std::min(rest.find_first_of(",:"), rest.size());
    target.instance = rest.substr(1, end - 1);
    rest = rest.substr(end);
    if (auto text = bad_instance(target.instance); !text.empty()) return fault(std::move(text));
  }
  // MSSQLSERVER is how Windows calls the service of the default instance.
  if (lower(target.instance) == "mssqlserver") target.instance.clear();
  if (by_pipe && target.pipe.empty()) {
    target.pipe = target.instance.empty() ? "" : "MSSQL$" + target.instance + "\\";
    target.pipe += default_pipe;
    if (target.pipe.size() > longest_pipe)
      return fault("the name of the instance is longer than any: write np:sql1\\INSTANCE");
  }
  if (!rest.empty()) {
    if (!target.pipe.empty()) return fault("a pipe has no port: write np:sql1, or tcp:sql1,1433");
    const auto port = parse_port(rest.substr(1));
    if (!port) return fault(port.error());
    target.port = *port;
  }

  if (host == "." || lower(host) == "(local)") {
    target.host = "localhost";
    return target;
  }
  if (auto address = normal_address(host); !address.empty()) {
    target.host = std::move(address);
    target.is_address = true;
    return target;
  }
  if (auto text = name_fault(host); !text.empty())
    return fault(std::move(text) + ", as in sql1.corp.test,1433");
  std::string_view last = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  const auto dot = last.rfind('.');
  if (dot != std::string_view::npos && all_digits(last.substr(dot + 1)))
    return fault("\"" + std::string(host) +
                 "\" looks like an IPv4 address but is none: write four numbers from 0 to 255");
  target.host = lower(host);
  return target;
}

} // namespace auth
