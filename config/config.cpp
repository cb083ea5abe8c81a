#include "config/config.hpp"

#include <algorithm>

namespace config {

std::string Address::text() const {
  const bool v6 = ip.find(':') != std::string::npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

std::string to_string(AttemptKind kind) { return std::string(auth::spelling(kind)); }
std::string to_string(Resolver resolver) { return std::string(auth::spelling(resolver)); }
std::string to_string(ListenerTls tls) { return std::string(auth::spelling(tls)); }
std::string to_string(Encrypt encrypt) { return std::string(auth::spelling(encrypt)); }
std::string to_string(TlsMin version) { return std::string(auth::spelling(version)); }
std::string to_string(Fallback fallback) { return std::string(auth::spelling(fallback)); }

bool Route::verified_tls() const { return encrypt != Encrypt::off && !trust_server_certificate; }

const Identity *Config::find_identity(std::string_view name) const {
  const auto found = std::ranges::find(identities, name, &Identity::name);
  return found == identities.end() ? nullptr : &*found;
}

} // namespace config
