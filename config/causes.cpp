#include "config/causes.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace config {

namespace {

/// Why no list makes a cause lead to another attempt. The principle: an attempt that could not be made may be
/// followed by another; one that a server, or whoever answered as the server, has met, one that another try
/// would harm, and one that policy forbids, may not.
namespace never {
constexpr std::string_view may_follow; // a route may list it
constexpr std::string_view no_attempt_yet = "it ends a login before any attempt is made";
constexpr std::string_view same_account = "the next attempt is for the same account, and could lock it";
constexpr std::string_view rejected = "the server had a ticket and rejected it, which is no missing SPN";
constexpr std::string_view unproven = "whoever answers is not proven to be the server";
constexpr std::string_view answered = "the server has answered, and would answer the next attempt too";
constexpr std::string_view same_protection = "the next attempt has no other protection";
constexpr std::string_view ours = "it is about the application's login, not about the server's";
constexpr std::string_view nothing_left = "nothing is left to make another attempt with";
constexpr std::string_view not_logged = "no attempt is made that cannot be logged";
constexpr std::string_view no_time = "no time is left for another attempt";
} // namespace never

// In the order of the enum. {bare_spn} is the SPN without its realm, as setspn wants it. Remedies name
// commands of the side where the fault is: setspn for Active Directory, klist and kvno here.
constexpr auto catalogue = std::to_array<CauseEntry>({
    // names
    {Cause::name_not_found, "name-not-found", Fault::dns, Area::names, Onward::partner, never::no_attempt_yet,
     "DNS has no address for the target {target}.",
     "Check the spelling of target in route {route}. If it is right, ask the same DNS server for it by "
     "hand (dig {name}) and add the missing record there; a short name needs the right suffix in [dns] "
     "search, or write the full name as target."},
    {Cause::canonical_name_foreign, "canonical-name-foreign", Fault::dns, Area::names, Onward::here,
     never::no_attempt_yet,
     "DNS makes another name of the target {target}: {host}, which lies outside of what route {route} "
     "allows.",
     "Ask DNS by hand where the name leads (dig {target}; dig -x for its address). If {host} is right, add "
     "its domain to canonical_within in route {route}. If it is not, somebody has changed the alias or the "
     "PTR record: mend it there, and do not log in before."},
    {Cause::alias_not_canonical, "alias-not-canonical", Fault::configuration, Area::spn, Onward::here,
     never::may_follow,
     "The KDC knows no service principal name {spn}: {target} is an alias, and route {route} takes it as "
     "it is typed.",
     "Write names = [\"forward\"] in route {route}, so that the SPN is made of {canonical}, which the "
     "alias leads to; or register one for the alias: setspn -S {bare_spn} {account}."},
    {Cause::ptr_wrong, "ptr-wrong", Fault::dns, Area::spn, Onward::here, never::may_follow,
     "The KDC knows no service principal name {spn}: its host {host} is what a PTR record says, and the "
     "name {target} says otherwise.",
     "Mend the PTR record, so that it names the server itself (dig -x for its address shows it); or write "
     "names = [\"forward\"] in route {route}, which asks for no PTR."},
    {Cause::address_without_spn, "address-without-spn", Fault::configuration, Area::spn, Onward::here,
     never::may_follow,
     "The KDC knows no service principal name {spn}: the target {target} is an address, and no name was "
     "found for it.",
     "Write the server's name as target in route {route}; or names = [\"reverse\"] where its address has a "
     "right PTR record; or spn = \"MSSQLSvc/NAME:{port}\"."},
    {Cause::suffix_wrong, "suffix-wrong", Fault::configuration, Area::spn, Onward::here, never::may_follow,
     "The KDC knows no service principal name {spn}: the short name {target} was completed to {host}, "
     "whose domain no realm is known to hold.",
     "Write the server's full name as target in route {route}, or put its right suffix first in [dns] "
     "search. If {host} is the server's name, add its domain to [domain_realm] in krb5.conf, or register "
     "the SPN: setspn -S {bare_spn} {account}."},
    {Cause::browser_silent, "browser-silent", Fault::network, Area::names, Onward::partner,
     never::no_attempt_yet,
     "The port of the named instance {target} could not be found: SQL Browser (UDP port 1434) gave no "
     "answer.",
     "Write the instance's TCP port in route {route}, as target = \"{name},PORT\" (SQL Server "
     "Configuration Manager, TCP/IP, IP Addresses, IPAll shows it): then nobody has to be asked. Else "
     "start SQL Server Browser at {name} and let UDP port 1434 through from this machine. Check the "
     "spelling of the instance: SQL Browser says nothing of one that it does not know, or that is hidden."},
    {Cause::port_changed, "port-changed", Fault::directory, Area::spn, Onward::here, never::may_follow,
     "The instance {target} listens on port {port} now, and the KDC knows no service principal name {spn}: "
     "it was registered for another port.",
     "Give the instance a fixed port (SQL Server Configuration Manager, TCP/IP, IP Addresses, IPAll: TCP "
     "Port instead of TCP Dynamic Ports) and register the SPN of that one: setspn -S {bare_spn} {account}. "
     "Or let the service account register its SPN at each start (Read and Write servicePrincipalName on "
     "itself)."},

    // SPN and ticket
    {Cause::spn_missing, "spn-missing", Fault::directory, Area::ticket, Onward::here, never::may_follow,
     "The KDC knows no service principal name {spn}: it is not registered in the directory.",
     "Register it on the account that SQL Server runs as: setspn -S {bare_spn} {account} (the machine "
     "account if it runs as LocalSystem or Network Service). First check that host and port in the SPN are "
     "the server's own; a wrong host comes from DNS or an alias. If the server shall register the SPN "
     "itself at start (it logs SpnRegister error 8344 when it cannot), its account needs Read and Write "
     "servicePrincipalName on itself."},
    {Cause::spn_wrong_account, "spn-wrong-account", Fault::directory, Area::server, Onward::here,
     never::rejected,
     "The KDC gave a ticket for {spn}, but the server could not use it: the SPN is on another account than "
     "the one SQL Server runs as, or the server does not have that account's present key.",
     "See which account holds it: setspn -Q {bare_spn}; and what the service account holds: setspn -L "
     "{account}. Move it: setspn -D {bare_spn} WRONGACCOUNT, then setspn -S {bare_spn} {account}. If the "
     "account is right, its password was changed: restart SQL Server on Windows; on Linux write its keytab "
     "anew and restart it."},
    {Cause::spn_duplicate, "spn-duplicate", Fault::directory, Area::ticket, Onward::here, never::may_follow,
     "The SPN {spn} is registered on more than one account, so the KDC cannot tell whose key to use.",
     "There must be one and only one: setspn -X lists duplicates; setspn -D {bare_spn} WRONGACCOUNT takes "
     "it from each account but {account}, which SQL Server runs as."},
    {Cause::server_key_old, "server-key-old", Fault::server, Area::server, Onward::here, never::rejected,
     "The server has no key of the version that the KDC used for the ticket for {spn}: the account's "
     "password was changed after the server got its key.",
     "Compare the versions: kvno {spn} here, klist -kte mssql.keytab at the server. On Linux write the "
     "server's keytab anew and restart SQL Server; on Windows restart SQL Server. sqlshim has dropped the "
     "ticket, the next login asks for a new one."},
    {Cause::etype_refused, "etype-refused", Fault::directory, Area::ticket, Onward::here, never::may_follow,
     "KDC, service and identity {identity} have no encryption type in common.",
     "Allow AES for the account of SQL Server and for the account of identity {identity} "
     "(msDS-SupportedEncryptionTypes), then set their passwords anew, since AES keys are made only then, "
     "and write the keytabs anew. Check permitted_enctypes in krb5.conf."},

    // realm and KDC
    {Cause::realm_unknown, "realm-unknown", Fault::configuration, Area::ticket, Onward::here,
     never::may_follow, "Nothing tells the Kerberos realm of {host}, or where a KDC of realm {realm} is.",
     "In krb5.conf (the file of [kerberos] config) add \".{domain} = REALM\" below [domain_realm], and "
     "below [realms] \"{realm} = { kdc = HOST }\". Or give route {route} an spn with its realm: spn = "
     "\"MSSQLSvc/{host}:{port}@REALM\"."},
    {Cause::realm_wrong, "realm-wrong", Fault::configuration, Area::ticket, Onward::here, never::may_follow,
     "The KDC does not serve the realm {realm} that was asked for, and knows no way to it.",
     "Correct the realm of {host} below [domain_realm] in krb5.conf, or the kdc lines of realm {realm} "
     "below [realms], or the @REALM at the end of spn in route {route}. If both realms are right, they "
     "need a trust: an identity of the server's own realm needs none."},
    {Cause::kdc_unreachable, "kdc-unreachable", Fault::network, Area::ticket, Onward::here, never::may_follow,
     "No KDC of realm {realm} answered: {kdc}.",
     "Check that the kdc lines of realm {realm} in krb5.conf name running domain controllers, and that TCP "
     "port 88 (or the port written there) is open from this machine to them. sqlshim asks over TCP only."},
    {Cause::kdc_tcp_blocked, "kdc-tcp-blocked", Fault::network, Area::ticket, Onward::here, never::may_follow,
     "KDCs of realm {realm} answer over UDP, but none over TCP, which sqlshim needs: {kdc}.",
     "Open TCP port 88 (or the port written in krb5.conf) from this machine to the KDCs of realm {realm}. "
     "Tickets of users in many groups do not fit into UDP anyway; an MIT KDC listens on TCP where "
     "kdc_tcp_listen in kdc.conf says so."},
    {Cause::kdc_proxy_unsupported, "kdc-proxy-unsupported", Fault::configuration, Area::ticket, Onward::here,
     never::may_follow,
     "Every KDC of realm {realm} is a KDC proxy (https, MS-KKDCP), which sqlshim does not speak: {kdc}.",
     "Below [realms] in krb5.conf (the file of [kerberos] config) give realm {realm} a kdc line that names "
     "a domain controller, as kdc = HOST, and open TCP port 88 to it."},
    {Cause::clock_skew, "clock-skew", Fault::configuration, Area::ticket, Onward::here, never::may_follow,
     "The clocks are too far apart: the other side's clock ({kdc}) is {seconds} seconds {direction} this "
     "machine's.",
     "Set this machine's clock by the time source of the domain (chronyc makestep, or timedatectl set-ntp "
     "true), then check the domain controllers' and the server's. Kerberos allows 300 seconds unless "
     "configured otherwise."},

    // credentials
    {Cause::no_credentials, "no-credentials", Fault::configuration, Area::ticket, Onward::here,
     never::may_follow, "Identity {identity} has no usable credentials.",
     "Check that its keytab, ccache or password_file exists, can be read by the user who runs sqlshim, and "
     "fits its principal: klist -kt FILE lists a keytab, klist -c FILE a ccache (which kinit fills). The "
     "principal must be spelled as in the directory. With from = \"client\" or \"caller\" the detail says "
     "what the login lacks."},
    {Cause::tgt_expired, "tgt-expired", Fault::configuration, Area::ticket, Onward::here, never::may_follow,
     "The Kerberos ticket of identity {identity} has expired.",
     "Run kinit for its ccache again. An identity with a keytab gets new tickets by itself."},
    {Cause::keytab_mismatch, "keytab-mismatch", Fault::configuration, Area::ticket, Onward::here,
     never::same_account, "The key in the keytab of identity {identity} is not the one that the KDC holds.",
     "The account's password was changed after the keytab was made, or the keytab was made for another "
     "account. Compare the versions (klist -kte FILE here, msDS-KeyVersionNumber in the directory) and "
     "write the keytab anew."},
    {Cause::preauth_failed, "preauth-failed", Fault::configuration, Area::ticket, Onward::here,
     never::same_account, "The KDC did not accept the password of identity {identity}.",
     "Correct the password in its password_file (one line) before trying again: repeated failures lock the "
     "account."},
    {Cause::password_throttled, "password-throttled", Fault::configuration, Area::ticket, Onward::here,
     never::same_account,
     "The KDC has refused the password or key of identity {identity} twice within an hour, so it is not "
     "asked again: more failures would lock the account.",
     "Correct the password_file or keytab of the identity: with its new content logins go on at once. If "
     "it is the directory that was mended, send SIGHUP to sqlshim. Else one try is made again when the "
     "older failure is an hour old."},
    {Cause::account_revoked, "account-revoked", Fault::directory, Area::ticket, Onward::here,
     never::same_account, "The account of identity {identity} is disabled, locked or expired.",
     "Enable or unlock it in the directory (Active Directory Users and Computers, tab Account; MIT: kadmin "
     "getprinc)."},
    {Cause::password_expired, "password-expired", Fault::directory, Area::ticket, Onward::here,
     never::same_account, "The password of the account of identity {identity} has expired.",
     "Set a new password for it in the directory, then write it to the password_file or make the keytab "
     "anew. A service account is best kept from expiring."},

    // mechanisms
    {Cause::mechanism_missing, "mechanism-missing", Fault::configuration, Area::ticket, Onward::here,
     never::may_follow, "GSSAPI on this machine has no mechanism for this login.",
     "For Kerberos install the package libgssapi-krb5-2, for NTLM gss-ntlmssp, and look for files below "
     "/etc/gss/mech.d that name libraries which are not there."},
    {Cause::ntlm_untrusted, "ntlm-untrusted", Fault::server, Area::server, Onward::here, never::same_account,
     "The server did not accept the NTLM login of {login} (18452).",
     "Error 17806 beside it in the server's error log tells why: 0x8009030c means a wrong password, a "
     "disabled or restricted account, or a domain that the server does not trust; 0x80090346 the channel "
     "binding (Extended Protection). Correct the password_file of identity {identity}: repeated failures "
     "lock the account. Where NTLM is forbidden in the domain only Kerberos is left."},
    {Cause::ntlm_no_mic, "ntlm-no-mic", Fault::server, Area::server, Onward::here, never::unproven,
     "The server's NTLM challenge has no time, so the login could not be protected against being changed "
     "on its way (MIC).",
     "Every Windows since 2008 sends its time: check that {host}:{port} is the server meant, and that "
     "nothing in between answers for it. unprotected = \"accept\" in route {route} would log in without "
     "that protection."},
    {Cause::mutual_auth_missing, "mutual-auth-missing", Fault::server, Area::server, Onward::here,
     never::unproven, "The server at {endpoint} let the login in without proving that it is {spn}.",
     "Make sure that target {target} leads to the real server and that nothing in between answers for it. "
     "sqlshim sends no query to a server that has not proven itself."},
    {Cause::channel_binding_refused, "channel-binding-refused", Fault::server, Area::server, Onward::here,
     never::same_protection,
     "The server refused the token of {login}, which carried {binding}: it demands Extended Protection, or "
     "(18452) it does not trust the account's domain.",
     "Error 17806 beside it in the server's error log tells which: 0x80090346 channel bindings, 0x8009030c "
     "the account. A binding goes with TLS 1.2, none without TLS or with TLS 1.3: set encrypt = "
     "\"require\" in route {route}. If it is so already, remove what ends TLS between sqlshim and the "
     "server. Else set Extended Protection of SQL Server to Allowed or Off (SQL Server Configuration "
     "Manager, Protocols, Advanced)."},

    // the server said no
    {Cause::login_untrusted, "login-untrusted", Fault::server, Area::server, Onward::here, never::answered,
     "The server says that the login comes from an untrusted domain (18452): it could not accept the token "
     "of {login}.",
     "Error 17806 beside it in the server's error log tells which: 0x8009030c means that the account was "
     "refused (disabled, restricted, or its domain is not trusted): check the trust between the account's "
     "domain and the server's. 0x80090346 means that the channel binding did not fit (Extended "
     "Protection), though one was sent: remove what ends TLS between sqlshim and the server."},
    {Cause::login_denied, "login-denied", Fault::server, Area::server, Onward::here, never::answered,
     "The server knows who is asking ({login}) and refuses the login (18456). Names and tickets are in "
     "order.",
     "Give the account a login in SQL Server: CREATE LOGIN [{windows_login}] FROM WINDOWS. The state of "
     "error 18456 in the server's error log says more: 5 no such login, 7 disabled, 8 wrong password, 11 "
     "and 12 no access to the server, 38 and 46 no such database."},
    {Cause::anonymous_logon, "anonymous-logon", Fault::server, Area::server, Onward::here, never::answered,
     "The server saw NT AUTHORITY\\ANONYMOUS LOGON instead of an account: credentials were lost on the "
     "way, as in a double hop without delegation.",
     "If {host} passes logins on (a linked server, another proxy), its account needs constrained "
     "delegation to the next server, and the account of the login must not be marked as sensitive. Else "
     "check that a Kerberos ticket was used: the decision log shows it as ticket.chosen."},
    {Cause::database_denied, "database-denied", Fault::server, Area::server, Onward::partner, never::answered,
     "The server accepts {login} but not into database {database} (4060).",
     "Check the database's name in the application's settings. If it is right, add the user there: USE "
     "[{database}]; CREATE USER [{windows_login}] FOR LOGIN [{windows_login}]."},
    {Cause::server_closed, "server-closed", Fault::server, Area::server, Onward::here, never::answered,
     "The server at {endpoint} closed the connection during the login without saying why.",
     "Read the server's error log for that second. A server that demands TLS from the first byte (Force "
     "Strict Encryption) does this too: set encrypt = \"strict\" in route {route}. Check that "
     "{host}:{port} is a SQL Server at all."},

    // network and TLS
    {Cause::connection_refused, "connection-refused", Fault::network, Area::connection, Onward::partner,
     never::may_follow, "Nothing listens at {host}:{port}, or a firewall refuses for it.",
     "Check that SQL Server runs and that TCP/IP is enabled for it (SQL Server Configuration Manager), and "
     "on which port: a named instance has a port of its own, write it in route {route}: target = "
     "\"{host},PORT\"."},
    {Cause::connection_timeout, "connection-timeout", Fault::network, Area::connection, Onward::partner,
     never::may_follow, "{host}:{port} did not answer in time.",
     "Check that the address is the server's present one and that firewalls let TCP port {port} through "
     "from this machine. The deadline is timeouts.connect of route {route}."},
    {Cause::tls_mismatch, "tls-mismatch", Fault::configuration, Area::tls, Onward::here,
     never::same_protection,
     "TLS with {tls_peer} did not come about: the two sides do not begin it in the same way, or share no "
     "cipher.",
     "encrypt = \"strict\" is TLS from the first byte (TDS 8.0, SQL Server 2022), \"require\" and "
     "\"login\" begin it in PRELOGIN: set encrypt of route {route} as the server has it (Force Strict "
     "Encryption). If that fits, read the server's error log: 17821, 17828 and 17830 tell of a certificate "
     "that it cannot use or of a handshake that broke. Check that nothing in between changes the "
     "connection."},
    {Cause::tls_version_refused, "tls-version-refused", Fault::server, Area::tls, Onward::here,
     never::same_protection, "sqlshim and {tls_peer} have no version of TLS in common.",
     "Enable TLS 1.2 at the server, which an old SQL Server or Windows has only with updates. Where that "
     "cannot be had, tls_min = \"1.0\" in route {route} takes the old versions, which are weak. An "
     "application needs TLS 1.2 as well: update its driver or runtime, or turn encryption off in its "
     "connection to sqlshim."},
    {Cause::certificate_name, "certificate-name", Fault::configuration, Area::tls, Onward::here,
     never::unproven,
     "The certificate of the server at {endpoint} is not for the name that was checked: it holds "
     "{certificate_names}.",
     "The name checked is that of target in route {route} (now {target}), or host_name_in_certificate. "
     "Write one that the certificate holds: host_name_in_certificate = \"{certificate_name}\", if that is "
     "the server meant. Else give the server a certificate with the name of the target."},
    {Cause::certificate_untrusted, "certificate-untrusted", Fault::configuration, Area::tls, Onward::here,
     never::unproven,
     "The certificate of the server at {endpoint} ({certificate_names}) comes from an authority that is "
     "not trusted here.",
     "Save the certificate of that authority (PEM, with those between it and the server's) and name the "
     "file: ca_file = \"FILE\" in route {route}. Without ca_file the system's authorities count "
     "(update-ca-certificates). trust_server_certificate = true would take any certificate, an impostor's "
     "too."},
    {Cause::certificate_expired, "certificate-expired", Fault::server, Area::tls, Onward::here,
     never::unproven,
     "The certificate of the server at {endpoint} ({certificate_names}), or of its authority, has expired "
     "or does not hold yet.",
     "Give the server a new certificate (SQL Server Configuration Manager, Protocols, Certificate), then "
     "restart SQL Server. Where it was renewed already, the server still shows the old one until its "
     "restart. Check this machine's date as well, and the file of ca_file in route {route}."},
    {Cause::certificate_self_signed, "certificate-self-signed", Fault::server, Area::tls, Onward::here,
     never::unproven,
     "The certificate of the server at {endpoint} ({certificate_names}) is signed by itself, as SQL Server "
     "makes one where it was given none, and it is not trusted here.",
     "Give the server a certificate of an authority (SQL Server Configuration Manager, Protocols, "
     "Certificate) and name that authority: ca_file = \"FILE\" in route {route}. Or save this one as PEM, "
     "compare its fingerprint at the server, and name it as ca_file; it must then be for the name that is "
     "checked (host_name_in_certificate). trust_server_certificate = true would take any certificate, an "
     "impostor's too."},
    {Cause::certificate_weak, "certificate-weak", Fault::server, Area::tls, Onward::here, never::unproven,
     "The certificate of the server at {endpoint} ({certificate_names}), or of its authority, has a key or "
     "a signature that is too weak to trust.",
     "Give the server a certificate with an RSA key of 2048 bits or more, or an elliptic curve, signed "
     "with SHA-256 (SQL Server Configuration Manager, Protocols, Certificate), and restart SQL Server. For "
     "an authority's, name another in ca_file of route {route}."},
    {Cause::client_requires_tls, "client-requires-tls", Fault::client, Area::caller, Onward::here,
     never::ours,
     "The application demands an encrypted connection to sqlshim, and listener {listener} has tls = "
     "\"off\".",
     "Set tls = \"optional\" at listener {listener}, and make the application trust its certificate "
     "(sqlshim check prints how). Or turn encryption off in the application's connection to sqlshim, which "
     "stays on this machine: Encrypt=no (ODBC), encrypt=false (JDBC), encryption = off (freetds.conf)."},
    {Cause::listener_requires_tls, "listener-requires-tls", Fault::client, Area::caller, Onward::here,
     never::ours,
     "Listener {listener} takes encrypted connections only (tls = \"required\"), and the application does "
     "not encrypt.",
     "Turn encryption on in the application's connection to sqlshim: Encrypt=yes (ODBC), encrypt=true "
     "(JDBC), ssl=require (jTDS), encryption = require (freetds.conf), and make it trust the listener's "
     "certificate (sqlshim check prints how). Or set tls = \"optional\" at listener {listener}."},
    {Cause::server_requires_tls, "server-requires-tls", Fault::configuration, Area::tls, Onward::here,
     never::same_protection,
     "The server at {endpoint} demands encryption, and route {route} has encrypt = \"off\".",
     "Set encrypt = \"require\" in route {route}, or take the key out: that is its default. With TLS the "
     "server's certificate is checked: ca_file names its authority where the system does not know it."},
    {Cause::server_without_tls, "server-without-tls", Fault::server, Area::tls, Onward::here,
     never::same_protection,
     "Route {route} demands encryption, and the server at {endpoint} does not offer it.",
     "Every SQL Server since 2005 offers TLS; check that {host}:{port} is the server meant, that it could "
     "load its certificate (its error log at start), and that nothing in between takes encryption out of "
     "PRELOGIN. encrypt = \"off\" in route {route} would send everything in clear."},
    {Cause::redirect_refused, "redirect-refused", Fault::configuration, Area::server, Onward::here,
     never::unproven,
     "The server at {endpoint} sent the login on to another server, and route {route} does not let it go "
     "there.",
     "A redirect is followed twice at most, only after the server has proven itself, never to less "
     "encryption, and only into the domains of redirect_within (where empty: the target's own, {domain}). "
     "If the server that it named is right, add its domain: redirect_within = [\"DOMAIN\"] in route "
     "{route}; or write that server as target."},

    // us and our caller
    {Cause::caller_unknown, "caller-unknown", Fault::client, Area::caller, Onward::here, never::ours,
     "The kernel could not say which local user is behind this connection.",
     "Connect from this machine, as a user of this user namespace, and keep the connection open until the "
     "login is answered. A listener with unix = \"PATH\" always knows its callers."},
    {Cause::caller_denied, "caller-denied", Fault::configuration, Area::caller, Onward::here, never::ours,
     "Listener {listener} does not admit {caller}.",
     "If that user shall connect here, add the name to callers of listener {listener}."},
    {Cause::client_auth_refused, "client-auth-refused", Fault::client, Area::caller, Onward::here,
     never::ours, "Listener {listener} does not take this kind of login.",
     "Use a plain user and password in the application's connection (any will do where the route has an "
     "identity), or change client_auth of listener {listener}."},
    {Cause::route_denied, "route-denied", Fault::configuration, Area::caller, Onward::here, never::ours,
     "No route matches this login: listener {listener}, caller {caller}, database {database}, user {user}.",
     "Add a [[route]] whose match fits, or widen one. sqlshim log shows all that the application said, as "
     "login.received."},
    {Cause::identity_denied, "identity-denied", Fault::configuration, Area::caller, Onward::here, never::ours,
     "Identity {identity} may not be used by {caller}.",
     "If that user shall reach the server with these credentials, add the name to allow of identity "
     "{identity}."},
    {Cause::limit, "limit", Fault::us, Area::caller, Onward::here, never::nothing_left,
     "sqlshim takes no more of these logins at this time: a limit is reached.",
     "Try again in a moment. If it stays, find out which program holds connections open or connects "
     "without ever logging in (sqlshim log shows the callers), or raise the limit that is named here."},
    {Cause::deadline, "deadline", Fault::us, Area::caller, Onward::here, never::no_time,
     "The login did not finish in time.",
     "sqlshim log shows which step took how long. Deadlines are timeouts of route {route}; until the "
     "application has sent its whole login, [limits] client_login."},
    {Cause::log_unavailable, "log-unavailable", Fault::us, Area::caller, Onward::here, never::not_logged,
     "The decision log cannot be written, and sqlshim lets no login in that it cannot account for.",
     "Make room on the disk that holds [log] decisions, or correct the file's permissions; logins go on by "
     "themselves then."},
    {Cause::protocol_violation, "protocol-violation", Fault::us, Area::caller, Onward::here, never::answered,
     "Bytes came that TDS does not allow at that place.",
     "Check that both ends speak TDS: the application a SQL Server driver, {host}:{port} a SQL Server. If "
     "they do, please report it with the decision log."},
    {Cause::tds_too_old, "tds-too-old", Fault::client, Area::caller, Onward::here, never::ours,
     "The application speaks a TDS version before 7.0.",
     "Set a newer one (freetds.conf: tds version = 7.4) or use a newer driver."},
    {Cause::mars_refused, "mars-refused", Fault::server, Area::server, Onward::here, never::answered,
     "The application asks for MARS (several active result sets), which the server does not offer.",
     "Turn it off in the application's connection: MultipleActiveResultSets=False, Mars_Connection=no "
     "(ODBC)."},
    {Cause::fedauth_not_supported, "fedauth-not-supported", Fault::client, Area::caller, Onward::here,
     never::ours,
     "The application asks for federated authentication (Microsoft Entra ID), which sqlshim does not do.",
     "Take Authentication=... out of the application's connection and use a plain user and password: "
     "sqlshim does the integrated login."},
});

static_assert(
    [] {
      for (std::size_t i = 0; i < catalogue.size(); ++i)
        if (static_cast<std::size_t>(catalogue[i].cause) != i) return false;
      return static_cast<std::size_t>(Cause::fedauth_not_supported) + 1 == catalogue.size();
    }(),
    "the catalogue has one entry for each Cause, in the order of the enum");

/// What a reader sees for a name that is not known; also the list of all placeholders.
constexpr auto placeholders = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"account", "DOMAIN\\SERVICEACCOUNT"},
    {"bare_spn", "MSSQLSvc/HOST:PORT"},
    {"binding", "no channel binding"},
    {"caller", "this user"},
    {"canonical", "CANONICALNAME"},
    {"certificate_name", "NAME"},
    {"certificate_names", "names unknown"},
    {"database", "DATABASE"},
    {"direction", "away from"},
    {"domain", "DOMAIN"},
    {"endpoint", "ADDRESS:PORT"},
    {"host", "HOST"},
    {"identity", "IDENTITY"},
    {"kdc", "KDC"},
    {"listener", "LISTENER"},
    {"login", "LOGIN"},
    {"name", "NAME"},
    {"port", "PORT"},
    {"principal", "PRINCIPAL"},
    {"realm", "REALM"},
    {"route", "ROUTE"},
    {"seconds", "too many"},
    {"spn", "MSSQLSvc/HOST:PORT@REALM"},
    {"target", "TARGET"},
    {"tls_peer", "the other side"},
    {"user", "USER"},
    {"windows_login", "DOMAIN\\LOGIN"},
});

} // namespace

const CauseEntry &entry(Cause cause) { return catalogue[static_cast<std::size_t>(cause)]; }
std::string_view id(Cause cause) { return entry(cause).id; }

const CauseEntry *find_cause(std::string_view id) {
  const auto found = std::ranges::find(catalogue, id, &CauseEntry::id);
  return found == catalogue.end() ? nullptr : &*found;
}

std::span<const CauseEntry> all_causes() { return catalogue; }

std::optional<std::string_view> placeholder_word(std::string_view name) {
  const auto found =
      std::ranges::find(placeholders, name, &std::pair<std::string_view, std::string_view>::first);
  if (found == placeholders.end()) return std::nullopt;
  return found->second;
}

std::string fill(std::string_view text, const std::map<std::string, std::string> &facts) {
  std::string filled;
  while (!text.empty()) {
    const std::size_t open = text.find('{');
    const std::size_t close = open == std::string_view::npos ? open : text.find('}', open);
    filled += text.substr(0, open);
    if (close == std::string_view::npos)
      return filled += open == std::string_view::npos ? "" : text.substr(open);
    const std::string name(text.substr(open + 1, close - open - 1));
    const auto fact = facts.find(name);
    if (fact != facts.end() && !fact->second.empty())
      filled += fact->second;
    else
      // What is no placeholder ("{ kdc = HOST }" of a krb5.conf) stands as it is.
      filled += placeholder_word(name).value_or(text.substr(open, close - open + 1));
    text.remove_prefix(close + 1);
  }
  return filled;
}

} // namespace config
