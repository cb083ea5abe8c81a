#include "shim/credentials/credentials.hpp"

#include "config/value.hpp"

#include <fmt/format.h>

namespace shim {

std::expected<ClientAccount, std::string> client_account(const tds::Login7 &login,
                                                         const std::map<std::string, std::string> &domains) {
  constexpr std::string_view form = "let it log in as user@REALM or DOMAIN\\user";
  if (login.integrated_security() || login.user_name.empty())
    return std::unexpected(
        fmt::format("the application sent no user and password{}, and the route's identity is made "
                    "of them; {}",
                    login.integrated_security() ? " (it asks for integrated login)" : "", form));
  ClientAccount found;
  found.account = tds::to_utf8(login.user_name);
  if (login.password.empty())
    return std::unexpected(fmt::format("the application sent an empty password for {}", found.account));
  const auto slash = found.account.find('\\');
  if (slash == std::string::npos && !found.account.contains('@'))
    return std::unexpected(
        fmt::format("the application's user \"{}\" has no realm; {}", found.account, form));
  if (slash != std::string::npos)
    if (const auto domain = config::parse_netbios_domain(std::string_view(found.account).substr(0, slash));
        domain && !domains.contains(*domain))
      return std::unexpected(
          fmt::format("no realm is known for the domain of the application's user \"{}\"; write "
                      "{} = \"REALM\" below [domains]",
                      found.account, *domain));
  auto principal = config::parse_principal(found.account, domains);
  if (!principal)
    return std::unexpected(
        fmt::format("the application's user \"{}\" is no account of Kerberos; {}", found.account, form));
  found.principal = std::move(*principal);
  return found;
}

std::expected<auth::IdentitySpec, std::string> caller_ccache(const config::Identity &wanted, uid_t caller,
                                                             uid_t self) {
  constexpr std::string_view uid = "%{uid}";
  auth::IdentitySpec spec{wanted.name, auth::Source::caller_ccache, wanted.source, "", caller};
  const auto number = std::to_string(caller);
  for (auto at = spec.path.find(uid); at != std::string::npos; at = spec.path.find(uid, at + number.size()))
    spec.path.replace(at, uid.size(), number);
  if (spec.path.starts_with('/') || spec.path.starts_with("FILE:")) return spec;
  if (caller != self)
    return std::unexpected(fmt::format(
        "{} opens for its own user alone, and the caller is uid {}, not uid {}", spec.path, caller, self));
  spec.source = auth::Source::ccache;
  return spec;
}

} // namespace shim
