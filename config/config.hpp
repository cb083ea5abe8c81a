// What a user may ask for, as plain structs with defaults. Decides nothing. Spellings: the
// README's configuration reference.
#pragma once

#include "auth/glob.hpp"
#include "auth/name.hpp"
#include "auth/spn_rules.hpp"
#include "auth/words.hpp"
#include "config/causes.hpp"
#include "tds/prelogin.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace config {

using Duration = std::chrono::milliseconds; ///< 0: never

enum class Level { trace, debug, info, warn, error };
constexpr auto word_table(std::type_identity<Level>) {
  return std::to_array<std::pair<Level, std::string_view>>({{Level::trace, "trace"},
                                                            {Level::debug, "debug"},
                                                            {Level::info, "info"},
                                                            {Level::warn, "warn"},
                                                            {Level::error, "error"}});
}

struct Log {
  std::filesystem::path decisions = "decisions.jsonl"; ///< "-": standard output
  Level level = Level::info;
  bool operator==(const Log &) const = default;
};

/// An address of a DNS server.
struct Address {
  std::string ip;
  std::uint16_t port = 0;
  std::string text() const; ///< "127.0.0.1:53", "[::1]:53"
  bool operator==(const Address &) const = default;
};

/// What keeps one user, or many clients at once, from taking all there is.
struct Limits {
  std::size_t handshakes = 64;         ///< logins under way on one listener
  std::size_t handshakes_per_uid = 16; ///< logins under way of one user, on all listeners
  std::size_t connections = 4096;      ///< of the whole process, logged in or not
  std::size_t addresses = 64;          ///< of one server's name that a login makes use of
  Duration drain{30000};               ///< how long SIGTERM waits for running connections
  Duration client_login{10000};        ///< from accept to LOGIN7 complete
  bool operator==(const Limits &) const = default;
};

/// Who is asked for names: we ask hosts(5) and DNS ourselves, or the system does as its nsswitch.conf says.
enum class Resolver { own, system };
constexpr auto word_table(std::type_identity<Resolver>) {
  return std::to_array<std::pair<Resolver, std::string_view>>(
      {{Resolver::own, "own"}, {Resolver::system, "system"}});
}
std::string to_string(Resolver resolver);

/// Which values of [dns] are resolv.conf's, and go with it when it changes. Where a value is from is no part
/// of it: any two are equal.
struct FromResolvConf {
  std::filesystem::path file;
  bool servers = false, search = false, ndots = false;
  bool operator==(const FromResolvConf &) const { return true; }
};

struct Dns {
  std::vector<Address> servers; ///< as configured, else from resolv.conf (port 53)
  std::vector<std::string> search;
  int ndots = 1;                              ///< a name with fewer dots is tried below `search` first
  std::filesystem::path hosts = "/etc/hosts"; ///< read before DNS is asked; empty: none
  Resolver resolver = Resolver::own;
  Duration failures{5000}; ///< how long a failed answer is kept
  FromResolvConf from_resolv_conf = {};
  bool operator==(const Dns &) const = default;
};

struct Kerberos {
  std::string config = "/etc/krb5.conf";
  Duration refusals{5000}; ///< how long a KDC's refusal is kept
  bool operator==(const Kerberos &) const = default;
};

/// Users and groups, resolved to numbers when the file is loaded; `text` is as written.
struct Who {
  std::string text;
  bool self = false; ///< the user who runs sqlshim
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  bool operator==(const Who &) const = default;
};

enum class ClientAuth { any, sql, integrated };
constexpr auto word_table(std::type_identity<ClientAuth>) {
  return std::to_array<std::pair<ClientAuth, std::string_view>>(
      {{ClientAuth::any, "any"}, {ClientAuth::sql, "sql"}, {ClientAuth::integrated, "integrated"}});
}

/// What a listener answers to an application that asks for encryption: never; as the application
/// likes; nothing else is taken.
enum class ListenerTls { off, optional, required };
constexpr auto word_table(std::type_identity<ListenerTls>) {
  return std::to_array<std::pair<ListenerTls, std::string_view>>(
      {{ListenerTls::off, "off"}, {ListenerTls::optional, "optional"}, {ListenerTls::required, "required"}});
}
std::string to_string(ListenerTls tls);

struct Listener {
  std::string name;
  std::optional<Address> address; ///< TCP; port 0 lets the kernel choose
  std::optional<Address> twin;    ///< of "localhost:PORT": the same port at ::1, and `address` is 127.0.0.1
  std::optional<std::filesystem::path> unix_path;
  mode_t mode = 0600; ///< of the Unix socket
  std::vector<Who> callers{{.text = "self", .self = true, .uid = {}, .gid = {}}};
  ClientAuth client_auth = ClientAuth::any;
  tds::ServerVersion version{16, 0, 0, 0};
  ListenerTls tls = ListenerTls::optional;
  std::filesystem::path certificate, key; ///< PEM; both or neither. Empty: made once in the state directory
  bool operator==(const Listener &) const = default;
};

/// Where the credentials are: in a file that the configuration names; in the login of the client itself (its
/// user and password); in the ccache of the proven caller.
enum class IdentityKind { keytab, ccache, password_file, client, caller };

struct Identity {
  std::string name;
  std::vector<Who> allow{{.text = "self", .self = true, .uid = {}, .gid = {}}};
  IdentityKind kind{};
  /// path of the keytab or password file; name of the ccache; of caller: path of the ccache,
  /// with %{uid}; of client: empty
  std::string source;
  std::string principal;    ///< NAME@REALM; empty for a ccache without one, for client and for caller
  std::string account = {}; ///< the principal as written, where [domains] made it of DOMAIN\\user; else empty
  bool operator==(const Identity &) const = default;
};

/// What a route matches: globs (`*`, `?`, case-insensitive); an empty one matches all. `listener` and
/// `caller` are proven, the rest is claimed by the client.
struct Match {
  std::string listener, server, database, user, app;
  std::vector<Who> caller; ///< empty: any
  bool operator==(const Match &) const = default;
};

/// What an attempt goes over, and how it logs in: either can be had with any of the other that
/// `word_table` below lists.
enum class Transport { tcp };
enum class Mechanism { kerberos, ntlm, sql };
struct AttemptKind {
  Transport transport{};
  Mechanism mechanism{};
  bool operator==(const AttemptKind &) const = default;

  static const AttemptKind tcp_kerberos, tcp_ntlm, tcp_sql;
};
inline constexpr AttemptKind AttemptKind::tcp_kerberos{Transport::tcp, Mechanism::kerberos};
inline constexpr AttemptKind AttemptKind::tcp_ntlm{Transport::tcp, Mechanism::ntlm};
inline constexpr AttemptKind AttemptKind::tcp_sql{Transport::tcp, Mechanism::sql};
constexpr auto word_table(std::type_identity<AttemptKind>) {
  return std::to_array<std::pair<AttemptKind, std::string_view>>({{AttemptKind::tcp_kerberos, "tcp+kerberos"},
                                                                  {AttemptKind::tcp_ntlm, "tcp+ntlm"},
                                                                  {AttemptKind::tcp_sql, "tcp+sql"}});
}
std::string to_string(AttemptKind kind); ///< "tcp+kerberos"

/// Of the server leg: none; the login alone; all of it, begun in PRELOGIN; all of it from
/// the first byte (TDS 8.0).
enum class Encrypt { off, login, require, strict };
constexpr auto word_table(std::type_identity<Encrypt>) { // what is advised first
  return std::to_array<std::pair<Encrypt, std::string_view>>({{Encrypt::require, "require"},
                                                              {Encrypt::strict, "strict"},
                                                              {Encrypt::login, "login"},
                                                              {Encrypt::off, "off"}});
}
std::string to_string(Encrypt encrypt);
/// The lowest version of TLS that a server may choose.
enum class TlsMin { tls_1_0, tls_1_2 };
constexpr auto word_table(std::type_identity<TlsMin>) {
  return std::to_array<std::pair<TlsMin, std::string_view>>(
      {{TlsMin::tls_1_2, "1.2"}, {TlsMin::tls_1_0, "1.0"}});
}
std::string to_string(TlsMin version); ///< "1.2"
enum class MutualAuth { required, or_verified_tls };
constexpr auto word_table(std::type_identity<MutualAuth>) {
  return std::to_array<std::pair<MutualAuth, std::string_view>>(
      {{MutualAuth::required, "required"}, {MutualAuth::or_verified_tls, "or-verified-tls"}});
}
enum class Unprotected { refuse, accept };
constexpr auto word_table(std::type_identity<Unprotected>) {
  return std::to_array<std::pair<Unprotected, std::string_view>>(
      {{Unprotected::refuse, "refuse"}, {Unprotected::accept, "accept"}});
}
/// Whether an attempt that failed may be followed by the next: as fallback_on says; never, but the log tells
/// what would have followed; never.
enum class Fallback { on, audit, off };
constexpr auto word_table(std::type_identity<Fallback>) {
  return std::to_array<std::pair<Fallback, std::string_view>>(
      {{Fallback::on, "on"}, {Fallback::audit, "audit"}, {Fallback::off, "off"}});
}
std::string to_string(Fallback fallback);

struct Timeouts {
  Duration connect{5000};
  Duration dns{2000};
  Duration kdc{2000};
  Duration login{15000};
  Duration idle{0};
  bool operator==(const Timeouts &) const = default;
};

struct Route {
  std::string name;
  Match match;
  std::string target;   ///< as typed
  std::string identity; ///< name of one; may be empty when every attempt is tcp+sql
  std::vector<AttemptKind> attempts{AttemptKind::tcp_kerberos};
  std::vector<Cause> fallback_on; ///< causes after which the next attempt is made
  Fallback fallback = Fallback::on;
  Encrypt encrypt = Encrypt::require;
  std::filesystem::path
      ca_file; ///< PEM of the authorities that may vouch for the server; empty: the system's
  std::string
      host_name_in_certificate; ///< empty: the target's name, as written or completed by a search suffix
  bool trust_server_certificate = false; ///< any certificate will do: encryption without knowing to whom
  using TlsMin = config::TlsMin;
  TlsMin tls_min = TlsMin::tls_1_2;
  std::vector<std::string>
      redirect_within;    ///< domains that a redirect may lead into; empty: the target's own
  auth::Procedures names; ///< how the canonical name is found
  std::vector<std::string> canonical_within; ///< domains that a canonical name must lie in; empty: anywhere
  std::string spn;                           ///< empty: computed
  auth::SpnRules spn_rules;                  ///< spn_order, realm_order
  MutualAuth mutual_auth = MutualAuth::required;
  Unprotected unprotected = Unprotected::refuse;
  /// as typed: where the database is when the target does not have it (database mirroring); empty: none
  std::string failover_partner;
  bool multi_subnet =
      false; ///< all addresses of the target at once, as for an availability group in several subnets
  Timeouts timeouts;
  /// Whether the server leg is encrypted (its login at least) to a server whose certificate is checked.
  bool verified_tls() const;
  bool operator==(const Route &) const = default;
};

/// Where sqlshim keeps what it made itself and needs again: its listeners' certificate.
struct State {
  /// Absolute: as configured, else $STATE_DIRECTORY, else $XDG_STATE_HOME/sqlshim,
  /// else ~/.local/state/sqlshim.
  std::filesystem::path directory;
  bool operator==(const State &) const = default;
};

/// Names that stand for a route's target.
struct Aliases {
  std::map<std::string, std::string>
      table; ///< name, in small letters without a dot at its end, to target as typed: auth::AliasTable
  std::vector<std::filesystem::path>
      freetds_conf; ///< whose sections count behind the table, in this order; empty: none
  bool operator==(const Aliases &) const = default;
};

/// SQL Browser of our own (UDP): where an application that asks this machine for an instance is sent.
struct Browser {
  std::optional<Address> address;               ///< empty: none. Port 0 lets the kernel choose
  std::map<std::string, std::string> instances; ///< instance, in capitals, to the name of a TCP listener
  bool operator==(const Browser &) const = default;
};

struct Config {
  std::filesystem::path file;
  Log log;
  Limits limits;
  Dns dns;
  Kerberos kerberos;
  State state;
  std::map<std::string, std::string>
      domains; ///< NetBIOS domain, in capitals, to Kerberos realm; no realm stands twice
  Aliases aliases;
  Browser browser;
  std::vector<Listener> listeners;
  std::vector<Identity> identities;
  std::vector<Route> routes; ///< the first that matches counts

  const Identity *find_identity(std::string_view name) const;
  bool operator==(const Config &) const = default;
};

using auth::glob_match;

} // namespace config
