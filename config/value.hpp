// Values as they are written in the configuration: durations, addresses, versions, modes, SPNs. Pure. Every
// error is a sentence that says what is wrong and what to write instead.
#pragma once

#include "config/config.hpp"

#include <expected>
#include <span>

namespace config {

template <class T> using Parsed = std::expected<T, std::string>;

/// "5s", "400ms", "2m", "1h"; "0s" is 0 (never). At most a week.
Parsed<Duration> parse_duration(std::string_view text);

/// "127.0.0.1:1433", "[::1]:1433". A name is an error: an address is a decision, a name would be one more
/// lookup. Where `default_port` is given, the port may be left out ("10.0.0.2", "::1").
Parsed<Address> parse_address(std::string_view text, std::optional<std::uint16_t> default_port = {});
/// Where a listener listens: an address, or "localhost:14330", which is 127.0.0.1 and, second, ::1.
Parsed<std::pair<Address, std::optional<Address>>> parse_listener_addresses(std::string_view text);
/// 127.0.0.0/8 or ::1.
bool is_loopback(const Address &address);

/// "16.0", "16.0.600", "16.0.600.1"
Parsed<tds::ServerVersion> parse_version(std::string_view text);

/// "0660": octal digits, at most 0777, and the owner may read and write.
Parsed<mode_t> parse_mode(std::string_view text);

/// MSSQLSvc/HOST[:PORT or :INSTANCE][@REALM]. The value is `text` itself.
Parsed<std::string> parse_spn(std::string_view text);

/// NAME@REALM or NAME/HOST@REALM, which are taken as they are, or DOMAIN\\NAME, whose realm `domains`
/// (NetBIOS name in capitals to realm) tells.
Parsed<std::string> parse_principal(std::string_view text, const std::map<std::string, std::string> &domains);
/// The other way: DOMAIN\\NAME of NAME@REALM. Empty where `domains` has no such realm, and for
/// NAME/HOST@REALM, which is no account's own name.
std::string windows_account(std::string_view principal, const std::map<std::string, std::string> &domains);

/// A Kerberos realm: letters, digits, '.', '-', '_'. Capitals count; the value is `text` itself.
Parsed<std::string> parse_realm(std::string_view text);

/// A DNS name: of a host as a certificate may hold it (an IP address too), or of a domain. A
/// dot at its end is left out.
Parsed<std::string> parse_host_name(std::string_view text);
Parsed<std::string> parse_domain(std::string_view text);

/// A NetBIOS domain ("CORP"), in capitals: 15 characters at most, and no dot, which a DNS name has.
Parsed<std::string> parse_netbios_domain(std::string_view text);

/// Names of listeners, identities and routes stand in logs and on standard output: letters, digits,
/// '.', '_' and '-', 64 at most.
Parsed<std::string> parse_name(std::string_view text);

/// Why SQL Browser cannot be asked for an instance; empty: it can.
std::string instance_fault(std::string_view name);
/// Why sqlshim cannot go to a target, as it is typed; empty: it can.
std::string target_fault(const std::string &typed);

/// The candidate that `word` was probably meant to be: few letters differ. nullopt: none is near.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> candidates);

} // namespace config
