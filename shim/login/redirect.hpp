// Whether a server may send a login elsewhere: the bounds of a routing redirect (MS-TDS 2.2.7.9,
// ENVCHANGE 20 and 21). Pure.
#pragma once

#include "auth/name.hpp"
#include "config/config.hpp"

#include <expected>

namespace shim {

inline constexpr int most_redirects = 2; ///< of one login

/// A redirect as the server asked for it, and what is known at that moment.
struct RedirectAsked {
  std::string server; ///< as sent: a name, an address, HOST\INSTANCE
  std::uint16_t port = 0;
  int hop = 1;                      ///< this would be the first, the second, …
  bool server_proven = false;       ///< by mutual authentication, or by a certificate that was verified
  bool password_goes_on = false;    ///< the client's own password would be sent there
  std::vector<std::string> been_to; ///< "sql1.corp.test,1433" of every target so far, as `place` writes it
};

/// The new target, when the redirect is within every bound: proven server, at most `most_redirects`, no place
/// twice, only below the domains of `redirect_within` (default: the route's target's own domain, by the name
/// as configured and never by what DNS made of it), a password only to domains that are listed. A name
/// without a dot counts as completed by the search list. Error: the bound that forbids it, as a sentence.
std::expected<auth::Target, std::string> follow_redirect(const config::Route &route,
                                                         const auth::Target &first,
                                                         const std::vector<std::string> &search,
                                                         const RedirectAsked &asked);

/// How targets are compared: host in lower case without a trailing dot, comma, port.
std::string place(const auth::Target &target);

/// The domains that a redirect of this route may lead into.
std::vector<std::string> redirect_domains(const config::Route &route, const auth::Target &first,
                                          const std::vector<std::string> &search);

} // namespace shim
