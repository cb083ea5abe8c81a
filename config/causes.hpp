// The failure catalogue: one enum and one table. A cause has a stable id, whose fault it is, what may follow
// on it, a sentence and a remedy. It stands here because a configuration names causes too.
#pragma once

#include "auth/words.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace config {

enum class Fault { client, server, directory, dns, kdc, network, configuration, us };
constexpr auto word_table(std::type_identity<Fault>) {
  return std::to_array<std::pair<Fault, std::string_view>>({
      {Fault::client, "client"},
      {Fault::server, "server"},
      {Fault::directory, "directory"},
      {Fault::dns, "dns"},
      {Fault::kdc, "kdc"},
      {Fault::network, "network"},
      {Fault::configuration, "configuration"},
      {Fault::us, "us"},
  });
}
constexpr std::string_view to_string(Fault fault) { return auth::spelling(fault); }

enum class Cause {
  // names
  name_not_found,
  canonical_name_foreign,
  alias_not_canonical,
  ptr_wrong,
  address_without_spn,
  suffix_wrong,
  browser_silent,
  port_changed,
  // SPN and ticket
  spn_missing,
  spn_wrong_account,
  spn_duplicate,
  server_key_old,
  etype_refused,
  // realm and KDC
  realm_unknown,
  realm_wrong,
  kdc_unreachable,
  kdc_tcp_blocked,
  kdc_proxy_unsupported,
  clock_skew,
  // credentials
  no_credentials,
  tgt_expired,
  keytab_mismatch,
  preauth_failed,
  password_throttled,
  account_revoked,
  password_expired,
  // mechanisms
  mechanism_missing,
  ntlm_untrusted,
  ntlm_no_mic,
  mutual_auth_missing,
  channel_binding_refused,
  // the server said no
  login_untrusted,
  login_denied,
  anonymous_logon,
  database_denied,
  server_closed,
  // network and TLS
  connection_refused,
  connection_timeout,
  tls_mismatch,
  tls_version_refused,
  certificate_name,
  certificate_untrusted,
  certificate_expired,
  certificate_self_signed,
  certificate_weak,
  client_requires_tls,
  listener_requires_tls,
  server_requires_tls,
  server_without_tls,
  redirect_refused,
  // us and our caller
  caller_unknown,
  caller_denied,
  client_auth_refused,
  route_denied,
  identity_denied,
  limit,
  deadline,
  log_unavailable,
  protocol_violation,
  tds_too_old,
  mars_refused,
  fedauth_not_supported,
};

/// The part of a login that a cause belongs to: whose words count, and which events show it.
enum class Area { caller, names, spn, ticket, connection, tls, server };

/// Where a login goes on that came to its end by a cause: nowhere but along the route's attempts, or to the
/// route's failover partner. That is where nobody was reached, or the server has not got the database (its
/// partner may by now). A server that refuses who is asking, or is not proven, leads nowhere.
enum class Onward { here, partner };

/// What the catalogue knows of a cause. `sentence` and `remedy` hold placeholders ({spn}, {host}, …:
/// `placeholder_word` knows all), filled by `fill`. `fault` is who has to act as a rule; for deadline,
/// protocol-violation and TLS that fails the failing step tells better.
struct CauseEntry {
  Cause cause;
  std::string_view id; ///< "spn-missing"
  Fault fault;
  Area area;
  Onward onward;
  std::string_view never; ///< empty: a route may list it in fallback_on. Else why no list makes it lead to
                          ///< another attempt, as the end of a sentence: "the server …"
  std::string_view sentence;
  std::string_view remedy;
};
const CauseEntry &entry(Cause cause);
std::string_view id(Cause cause);
/// Looks a stable id up; nullptr where there is none.
const CauseEntry *find_cause(std::string_view id);
/// The whole catalogue, in the order of the enum.
std::span<const CauseEntry> all_causes();

/// Fills {name} from `facts`; a placeholder without a fact becomes an upper-case word for the reader
/// ("DOMAIN\SERVICEACCOUNT" for {account}). Facts are put in as they are, and are not filled again: whoever
/// shows the result escapes it.
std::string fill(std::string_view text, const std::map<std::string, std::string> &facts);
/// The word for a placeholder without a fact; nullopt: there is no such placeholder.
std::optional<std::string_view> placeholder_word(std::string_view name);

} // namespace config
