// What the server is asked, made from what the client asked. Changes authentication only.
#pragma once

#include "auth/target.hpp"
#include "config/config.hpp"
#include "tds/connect_login.hpp"

namespace shim {

/// For Kerberos and NTLM: integrated security on; user, password, change-password and the client's own token
/// gone. For tcp+sql: as the client sent it, less a token. Everything else (application, host, process id,
/// language, database, packet size, intent, features) stays the client's, so that APP_NAME(), HOST_NAME(),
/// logon triggers and Resource Governor keep working. TDS 8.0 becomes 7.4 where the server leg is not strict;
/// the client's version stays otherwise, because the results are relayed.
tds::Login7 rewrite(const tds::Login7 &asked, config::Mechanism mechanism, config::Encrypt encrypt);

/// The PRELOGIN for the server leg: MARS as the client asked, its TRACEID sent on; VERSION and INSTOPT of our
/// own. ENCRYPTION is the login machine's.
tds::Prelogin server_prelogin(const tds::LoginRequest &asked, const auth::Target &target);

/// A login reply as the client gets it, and the failover partners that the server named in it.
struct PartnerMap {
  tds::Bytes tokens;
  std::vector<std::string> partners; ///< as the server says them; what came from outside
};
/// ENVCHANGE 13 (MS-TDS 2.2.7.9) tells the client where to go when this server is gone: past us, to a
/// name that may mean nothing where the client is. In its place it gets `own`, the listener as a client
/// would type it; nothing where `own` is empty. All other bytes stay as they are; so does a reply from
/// where on it cannot be read.
PartnerMap map_partners(tds::ByteView tokens, tds::Version version, const std::string &own);

/// Whether any attempt of the route sends the client's own user and password on.
bool sends_password(const config::Route &route);
/// Whether the identity is made of the client's own user and password. Null: the route has none.
bool takes_clients_password(const config::Identity *identity);
/// What the client sent to authenticate itself and what is not used, in words for the log: empty where
/// nothing was ignored. `taken`: user and password were, by the identity.
std::string ignored_credentials(const tds::Login7 &asked, config::Mechanism mechanism, bool taken = false);

} // namespace shim
