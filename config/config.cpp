#include "config/config.hpp"

#include <algorithm>
#include <utility>

namespace config {

std::string Address::text() const {
  const bool v6 = ip.find(':') != std::string::npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

std::string to_string(AttemptKind kind) {
  switch (kind) {
  case AttemptKind::tcp_kerberos:
    return "tcp+kerberos";
  case AttemptKind::tcp_ntlm:
    return "tcp+ntlm";
  case AttemptKind::tcp_sql:
    return "tcp+sql";
  }
  std::unreachable();
}

std::string to_string(Resolver resolver) { return resolver == Resolver::own ? "own" : "system"; }

std::string to_string(ListenerTls tls) {
  constexpr std::string_view words[] = {"off", "optional", "required"};
  return std::string(words[static_cast<std::size_t>(tls)]);
}

std::string to_string(Encrypt encrypt) {
  constexpr std::string_view words[] = {"off", "login", "require", "strict"};
  return std::string(words[static_cast<std::size_t>(encrypt)]);
}

std::string to_string(TlsMin version) {
  constexpr std::string_view words[] = {"1.0", "1.2"};
  return std::string(words[static_cast<std::size_t>(version)]);
}

std::string to_string(Fallback fallback) {
  constexpr std::string_view words[] = {"on", "audit", "off"};
  return std::string(words[static_cast<std::size_t>(fallback)]);
}

bool Route::verified_tls() const { return encrypt != Encrypt::off && !trust_server_certificate; }

const Identity *Config::find_identity(std::string_view name) const {
  const auto found = std::ranges::find(identities, name, &Identity::name);
  return found == identities.end() ? nullptr : &*found;
}

} // namespace config
