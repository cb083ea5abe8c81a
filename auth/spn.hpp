// SPN candidates: which service principal names are worth asking the KDC for, in which order, and why. Pure.
#pragma once

#include "auth/kerberos_config.hpp"
#include "auth/name.hpp"
#include "auth/spn_rules.hpp"

namespace auth {

struct SpnCandidate {
  std::string spn; ///< with realm: "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"
  Why why{};
  std::string realm_from; ///< RealmFrom's spelling
  bool operator==(const SpnCandidate &) const = default;
};

/// What is known of realms beside krb5.conf.
struct RealmFacts {
  std::string identity; ///< the identity's own realm
  std::string srv;      ///< as `realm_of_srv` gives it
};

/// The SRV questions whose answers tell a name's realm, longest suffix first: "_kerberos._tcp.eu.corp.test",
/// "_kerberos._tcp.corp.test". A top-level domain is never asked. Empty where they would change nothing: for
/// an address, a name that has a realm already, or rules without `srv`. Pure.
std::vector<DnsQuestion> realm_questions(const std::string &host, const KerberosConfig &config,
                                         const SpnRules &rules);
/// The realm that the answers tell: the longest suffix, in capitals. Empty: none. Pure.
std::string realm_of_srv(const std::vector<DnsAnswer> &answers);

/// The candidates in the order of the rules, each once. An explicit SPN stands alone: who wrote it meant that
/// service and no other. `bare` is none for a named instance or another port than 1433: there it is the
/// service of the default instance. A pipe's are by instance, or bare. A name whose own domain tells no realm
/// has the canonical name's. Empty when no realm can be told: cause realm-unknown.
std::vector<SpnCandidate> spn_candidates(const NameFacts &facts, std::uint16_t port,
                                         const std::string &explicit_spn, const KerberosConfig &config,
                                         const RealmFacts &realms, const SpnRules &rules = {});

/// Of the SMB server through which a pipe is reached: `cifs/HOST`, in the realm of the host's other services.
/// nullopt: no realm can be told.
std::optional<SpnCandidate> smb_spn(const NameFacts &facts, const KerberosConfig &config,
                                    const RealmFacts &realms, const SpnRules &rules = {});

/// The shapes of an SPN that faults of names produce. The first four are KB811889's, the fifth is a PTR
/// that leads to somebody else.
enum class Shape { short_name, address, wrong_domain, extra_label, other_host };
constexpr auto word_table(std::type_identity<Shape>) {
  return std::to_array<std::pair<Shape, std::string_view>>({
      {Shape::short_name, "short-name"},
      {Shape::address, "address"},
      {Shape::wrong_domain, "wrong-domain"},
      {Shape::extra_label, "extra-label"},
      {Shape::other_host, "other-host"},
  });
}
std::string_view to_string(Shape shape);

struct Oddity {
  Shape shape{};
  std::string lookup;       ///< what caused it: "PTR of 10.0.0.5: sql9.corp.test"
  std::string text() const; ///< "other-host (PTR of 10.0.0.5: sql9.corp.test)"
  /// Whether it was a PTR that gave `host`.
  bool came_by_ptr(std::string_view host) const;
  bool operator==(const Oddity &) const = default;
};
/// The inverse of `text`. nullopt: it is no such text.
std::optional<Oddity> parse_oddity(std::string_view text);
/// Whether an SPN's host has one of these shapes, given what DNS said of the name, and
/// the lookup to blame. Pure.
std::optional<Oddity> odd(std::string_view spn, const NameFacts &facts);

/// Host part of an SPN: "sql1.corp.test" of "MSSQLSvc/sql1.corp.test:1433@CORP.TEST". Realm part:
/// after the last '@', or empty.
std::string spn_host(std::string_view spn);
std::string spn_realm(std::string_view spn);

} // namespace auth
