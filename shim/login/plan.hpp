// The ordered attempts that policy allows. Pure: from what is known to what will be tried.
#pragma once

#include "auth/spn.hpp"
#include "config/config.hpp"

#include <optional>

namespace shim {

/// One transport x mechanism x SPN.
struct Attempt {
  config::AttemptKind kind{};
  /// Kerberos only; empty where no realm is known, and the attempt can only fail
  std::optional<auth::SpnCandidate> spn;
  std::string text() const; ///< "tcp+kerberos MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
};

inline constexpr std::uint16_t default_port = 1433, smb_port = 445;
/// The port of a target: as typed, else 1433, and 445 of a pipe.
std::uint16_t port_of(const auth::Target &target);
/// A named instance without a port, which is SQL Browser's to tell.
bool needs_browser(const auth::Target &target);
/// What is said of a target that is a named pipe, until there are attempts by np.
inline constexpr std::string_view no_pipes =
    "this version cannot connect to it; write the server's name and port, as in sql1,1433";

/// The first of a name's addresses, at most so many; where not all can stay, some of IPv4 and of IPv6. A name
/// may have thousands, and each is a connection that would be tried.
std::vector<std::string> first_addresses(std::vector<std::string> addresses, std::size_t most);

/// The domains of `canonical_within` bound where DNS may lead a name: an SPN of somebody else's server is a
/// ticket for somebody else. The name as typed and the name that a map rule gives are the configuration's
/// own. Without a certificate that proves the server while the connection lasts, nothing but DNS says who it
/// is: then the default is the target's own domain (the hosts file's word is no DNS). nullopt: within; else a
/// sentence that says where it led.
std::optional<std::string> leads_too_far(const config::Route &route, const auth::NameFacts &facts);

/// What NTLM names as its target: the route's explicit SPN, else the server's own by host
/// and port; without a realm.
std::string service_name(const std::string &spn, const auth::NameFacts &facts);
/// How NTLM names an account: DOMAIN\NAME by [domains]; where they do not tell its realm, the realm is the
/// domain's DNS name: CORP.TEST\NAME.
std::string ntlm_account(const std::string &principal, const std::map<std::string, std::string> &domains);

/// For each attempt that the route lists, in its order: of Kerberos one Attempt for each SPN candidate,
/// and one without where no realm is known; of the others one. tcp+sql is left out for a client that asks
/// for integrated login: it gave no password to send on. `spn`: the explicit one, empty where it is
/// computed (also at a place that a redirect led to). Candidates and their realms by the route's
/// spn_order and realm_order.
std::vector<Attempt> make_plan(const config::Route &route, const std::string &spn,
                               const auth::NameFacts &facts, const auth::KerberosConfig &kerberos,
                               const auth::RealmFacts &realms, bool client_is_integrated);

} // namespace shim
