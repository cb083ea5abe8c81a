// What a user may say of SPN candidates: which there are, in which order, and what tells their realm.
#pragma once

#include "auth/words.hpp"

#include <vector>

namespace auth {

/// Why a candidate is one: stable spellings for log and configuration.
enum class Why {
  explicit_spn, ///< written in the configuration
  port,         ///< canonical name and port
  instance,     ///< canonical name and instance, where one was typed
  bare,   ///< canonical name alone: the default instance at its own port, where somebody registered only that
  typed,  ///< the name as typed and the port
  reverse ///< a PTR's name and the port, where a procedure asked for one
};
constexpr auto word_table(std::type_identity<Why>) {
  return std::to_array<std::pair<Why, std::string_view>>({
      {Why::explicit_spn, "explicit"},
      {Why::port, "port"},
      {Why::instance, "instance"},
      {Why::bare, "bare"},
      {Why::typed, "typed"},
      {Why::reverse, "reverse"},
  });
}
std::string_view to_string(Why why);
std::optional<Why> find_why(std::string_view text);

/// What tells the realm of a candidate.
enum class RealmFrom {
  explicit_realm, ///< the explicit SPN's own @REALM
  domain_realm,   ///< krb5.conf [domain_realm]
  srv,            ///< the longest suffix of the name that has a _kerberos SRV record
  referral,       ///< the identity's own: its KDC refers to another, if it knows better
  default_realm   ///< krb5.conf default_realm
};
constexpr auto word_table(std::type_identity<RealmFrom>) {
  return std::to_array<std::pair<RealmFrom, std::string_view>>({
      {RealmFrom::explicit_realm, "explicit"},
      {RealmFrom::domain_realm, "domain-realm"},
      {RealmFrom::srv, "srv"},
      {RealmFrom::referral, "referral"},
      {RealmFrom::default_realm, "default"},
  });
}
std::string_view to_string(RealmFrom from);
std::optional<RealmFrom> find_realm_from(std::string_view text);

/// Which candidates there are, and what tells their realm: each list in its order,
/// the first that knows counts.
struct SpnRules {
  std::vector<Why> order{Why::explicit_spn, Why::port, Why::instance, Why::bare, Why::typed};
  std::vector<RealmFrom> realms{RealmFrom::explicit_realm, RealmFrom::domain_realm, RealmFrom::srv,
                                RealmFrom::referral, RealmFrom::default_realm};
  bool operator==(const SpnRules &) const = default;
};

} // namespace auth
