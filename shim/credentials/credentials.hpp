// Pure: whose credentials an identity with `from` means in one login: the client's own user, or the
// ccache of the proven caller.
#pragma once

#include "auth/identity.hpp"
#include "config/config.hpp"
#include "tds/login7.hpp"

#include <expected>

namespace shim {

/// The user of a client's login as a Kerberos principal.
struct ClientAccount {
  std::string account;   ///< as the client typed it
  std::string principal; ///< NAME@REALM
};
/// user@REALM, or DOMAIN\user with the realm that `domains` has for the domain. Error: a sentence that says
/// what the login lacks (user and password, a realm, an entry of [domains]) and what to write instead.
std::expected<ClientAccount, std::string> client_account(const tds::Login7 &login,
                                                         const std::map<std::string, std::string> &domains);

/// Where the ccache of that caller is. A file is to be read as another user's; a cache that is in none (KCM,
/// KEYRING) or in a folder (DIR) only opens for who runs sqlshim: Error for any other `caller`.
std::expected<auth::IdentitySpec, std::string> caller_ccache(const config::Identity &wanted, uid_t caller,
                                                             uid_t self);

} // namespace shim
