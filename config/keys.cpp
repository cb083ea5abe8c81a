#include "config/keys.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <ranges>

namespace config {
namespace {

constexpr Bounds places{1, 1'000'000}; // more descriptors than any kernel gives by default

// Rows of a table stand together. One of a later version has no default yet.
constexpr Key rows[] = {
    {"log", "decisions", "a path, or \"-\" for standard output", "\"decisions.jsonl\"",
     "where the decision log is written"},
    {"log", "level", "trace, debug, info, warn or error", "\"info\"",
     "which diagnostics go to standard error"},
    {"log",
     "size",
     "a size",
     "",
     "how large a decision log becomes before the next is begun; \"0\": never",
     {},
     true},
    {"log", "keep", "a number", "", "how many older decision logs stay", {0, 1000}, true},
    {"log",
     "when_full",
     "refuse or serve",
     "",
     "what becomes of new logins while the decision log cannot be written",
     {},
     true},

    {"limits", "handshakes", "a number", "64", "logins under way on one listener", places},
    {"limits", "handshakes_per_uid", "a number", "16", "logins under way of one local user", places},
    {"limits", "connections", "a number", "4096", "connections of the whole process", places},
    {"limits",
     "connections_per_uid",
     "a number",
     "",
     "connections of one local user; 0: three quarters of connections",
     {0, places.most},
     true},
    {"limits", "addresses", "a number", "64", "addresses of one server's name that a login makes use of",
     places},
    {"limits", "drain", "a duration", "\"30s\"", "how long SIGTERM waits for running connections"},
    {"limits", "client_login", "a duration", "\"10s\"",
     "from accepting a connection to its whole login request"},

    {"dns", "servers", "a list of addresses", "",
     "DNS servers; those of resolv.conf where it is not written"},
    {"dns", "search", "a list of domains", "", "suffixes; those of resolv.conf where it is not written"},
    {"dns", "ndots", "a number", "1", "a name with fewer dots is tried with the suffixes first", {0, 15}},
    {"dns", "hosts", "a path, or \"\" for none", "\"/etc/hosts\"",
     "the hosts file, read before DNS is asked"},
    {"dns", "resolver", "own or system", "\"own\"", "who looks names up: sqlshim, or the system"},
    {"dns", "failures", "a duration", "\"5s\"", "how long a failed answer is kept"},

    {"kerberos", "config", "a path", "",
     "the krb5.conf; KRB5_CONFIG or /etc/krb5.conf where it is not written"},
    {"kerberos", "refusals", "a duration", "\"5s\"", "how long a KDC's refusal of an SPN is kept"},
    // From libkrb5's own default to about 10 s of one core.
    {"kerberos",
     "most_iterations",
     "a number",
     "",
     "rounds of key derivation that a KDC may ask of a password",
     {4096, 10'000'000},
     true},
    {"kerberos",
     "password_etypes",
     "aes or any",
     "",
     "encryption types by which a password may prove itself to a KDC",
     {},
     true},

    {"state", "directory", "a path", "", "where sqlshim keeps what it made itself"},

    {"aliases", "freetds_conf", "a path, a list of them, or true", "", "whose sections count as aliases"},

    {"browser", "address", "an address", "", "where SQL Browser of our own answers"},
    {"browser", "instances", "{ INSTANCE = \"listener\" }", "",
     "for each instance the listener whose port is told"},

    {"listener", "name", "a name", "", "what logs and matches call it; required"},
    {"listener", "address", "an address and port of loopback", "",
     "where applications connect by TCP; \"localhost:PORT\" is 127.0.0.1 and ::1"},
    {"listener", "unix", "a path", "", "where applications connect by a Unix socket"},
    {"listener", "mode", "four octal digits", "\"0600\"", "of the Unix socket"},
    {"listener", "callers", "users, \"@groups\", uids, \"self\"", "[\"self\"]", "who may connect"},
    {"listener", "client_auth", "any, sql or integrated", "\"any\"", "which logins of the client are taken"},
    {"listener", "version", "MAJOR.MINOR.BUILD", "\"16.0.0\"", "the server version that PRELOGIN shows"},
    {"listener", "tls", "off, optional or required", "\"optional\"",
     "whether applications may, or must, encrypt"},
    {"listener", "certificate", "a path", "",
     "PEM, with key; made once in the state directory where neither is"},
    {"listener", "key", "a path", "", "PEM, with certificate"},

    {"identity", "name", "a name", "", "what routes call it; required"},
    {"identity", "allow", "users, \"@groups\", uids, \"self\"", "[\"self\"]", "who may use it"},
    {"identity", "keytab", "a path", "", "keys of the principal"},
    {"identity", "ccache", "a path, or TYPE:NAME", "", "tickets that another program keeps"},
    {"identity", "password_file", "a path", "", "whose first line is the principal's password"},
    {"identity", "from", "client or caller", "", "whose credentials, where they are in no file named here"},
    {"identity", "principal", "NAME@REALM or DOMAIN\\NAME", "", "whose keys, password or tickets they are"},

    {"route", "name", "a name", "", "what logs call it; required"},
    {"route", "match", "{ listener, caller, server, database, user, app }", "",
     "which logins go by it: patterns, all where it is not written"},
    {"route", "target", "a server as you would type it", "", "the real SQL Server; required"},
    {"route", "identity", "a name", "", "whose credentials"},
    {"route", "attempts", "a list of tcp+kerberos, tcp+ntlm, tcp+sql", "[\"tcp+kerberos\"]",
     "how to log in, in this order"},
    {"route", "fallback_on", "a list of causes", "[]", "after which of them the next attempt may be made"},
    {"route", "fallback", "on, audit or off", "\"on\"", "whether it is made, or only told of, or neither"},
    {"route", "encrypt", "require, strict, login or off", "\"require\"",
     "encryption of the way to the server"},
    {"route", "ca_file", "a path", "", "PEM of the authorities that may vouch for the server; the system's"},
    {"route", "host_name_in_certificate", "a name", "",
     "to look for in the certificate, instead of the target's"},
    {"route", "trust_server_certificate", "true or false", "false", "whether any certificate will do"},
    {"route", "tls_min", "1.2 or 1.0", "\"1.2\"", "the lowest version of TLS that the server may choose"},
    {"route", "redirect_within", "a list of domains", "[]",
     "where the server may send a login on to; []: the target's own domain"},
    {"route", "names", "a list of procedures, or \"driver:NAME\"", "[\"forward\"]",
     "how the canonical name is found"},
    {"route", "map", "[{ from = PATTERN, to = NAME }]", "", "rules for the procedure map"},
    {"route", "canonical_within", "a list of domains", "[]", "where DNS may lead a name into; []: anywhere"},
    {"route", "spn", "MSSQLSvc/HOST:PORT", "", "the SPN to ask for; computed where it is not written"},
    {"route", "spn_order", "a list of words", R"(["explicit", "port", "instance", "bare", "typed"])",
     "which SPNs are asked for, in this order"},
    {"route", "realm_order", "a list of words",
     R"(["explicit", "domain-realm", "srv", "referral", "default"])", "what tells an SPN's realm"},
    {"route", "mutual_auth", "required or or-verified-tls", "\"required\"",
     "whether a checked certificate may stand in for the server's own proof"},
    {"route", "unprotected", "refuse or accept", "\"refuse\"",
     "whether passwords and NTLM may go where no certificate was checked"},
    {"route", "multi_subnet", "true or false", "false", "whether all addresses are tried at once"},
    {"route", "failover_partner", "a server as you would type it", "",
     "where the database is when it is not there"},
    {"route", "timeouts", "{ connect, dns, kdc, login, idle }", "", "how long each of them may take"},
    {"route", "smb_port", "a number", "", "the port of SMB", {1, 65535}, true},
    {"route", "smb_encrypt", "off, auto or required", "", "whether pipes are encrypted", {}, true},

    {"route.match", "listener", "a pattern", "", "of the listener's name"},
    {"route.match", "caller", "users, \"@groups\", uids, \"self\"", "",
     "who connects, as the kernel proves it"},
    {"route.match", "server", "a pattern", "", "of the server that the client names"},
    {"route.match", "database", "a pattern", "", "of the database that the client names"},
    {"route.match", "user", "a pattern", "", "of the user that the client names"},
    {"route.match", "app", "a pattern", "", "of the application that the client names"},

    {"route.map", "from", "a pattern", "", "of the name as typed"},
    {"route.map", "to", "a name", "", "that stands for it"},

    {"route.timeouts", "connect", "a duration", "\"5s\"", "to connect to one server"},
    {"route.timeouts", "dns", "a duration", "\"2s\"", "for the answers of DNS and SQL Browser"},
    {"route.timeouts", "kdc", "a duration", "\"2s\"", "for the answers of KDCs"},
    {"route.timeouts", "login", "a duration", "\"15s\"", "for the whole login at the server"},
    {"route.timeouts", "idle", "a duration", "\"0s\"", "without a byte, once logged in; \"0s\": for ever"},
};

std::string_view first_part(std::string_view table) { return table.substr(0, table.find('.')); }

bool one_of_several(std::string_view table) {
  const auto first = first_part(table);
  return first == "listener" || first == "identity" || first == "route";
}

} // namespace

std::string Key::heading() const {
  const auto first = first_part(table);
  const std::string below = first == table ? "" : fmt::format("{}.", table.substr(first.size() + 1));
  return fmt::format("{}{}{} {}{}", one_of_several(table) ? "[[" : "[", first,
                     one_of_several(table) ? "]]" : "]", below, name);
}

std::span<const Key> all_keys() { return rows; }

std::span<const Key> keys_of(std::string_view table) {
  const auto same = [&](const Key &key) { return key.table == table; };
  const auto *first = std::ranges::find_if(rows, same);
  const auto *last = std::find_if_not(first, std::end(rows), same);
  return {first, last};
}

const Key *find_key(std::string_view table, std::string_view name) {
  const auto of_table = keys_of(table);
  const auto found = std::ranges::find(of_table, name, &Key::name);
  return found == of_table.end() ? nullptr : &*found;
}

std::string table_of(std::string_view section) {
  std::string table;
  bool within = false; // "[0]"
  for (const char c : section) {
    if (c == '[') within = true;
    if (!within) table += c;
    if (c == ']') within = false;
  }
  return table;
}

std::vector<const Key *> keys_meant(std::string_view word) {
  std::string plain;
  for (const char c : word)
    if (c == ' ')
      plain += '.';
    else if (c != '[' && c != ']')
      plain += c;
  std::vector<const Key *> meant;
  for (const Key &key : rows) {
    const std::string full = fmt::format("{}.{}", key.table, key.name);
    if (full == plain || full.ends_with("." + plain)) meant.push_back(&key);
  }
  return meant;
}

} // namespace config
