// From a typed name to a canonical one: the explicit procedure that replaces what drivers and libkrb5
// do silently (KB811889, K2).
#pragma once

#include "auth/target.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace auth {

enum class DnsType { a, aaaa, cname, ptr, srv };
std::string_view to_string(DnsType type);

struct DnsQuestion {
  std::string name; ///< without a trailing dot
  DnsType type{};
  bool operator==(const DnsQuestion &) const = default;
};

enum class DnsOutcome { ok, no_name, no_data, server_failure, refused, timeout, unreachable, malformed };
/// "ok", "nxdomain", "nodata", "servfail", "refused", "timeout", "unreachable", "malformed"
std::string_view to_string(DnsOutcome outcome);

struct DnsRecord {
  std::string name; ///< owner
  DnsType type{};
  std::string data; ///< address text, target name, or "priority weight port target"
  std::chrono::seconds ttl{0};
  bool operator==(const DnsRecord &) const = default;
};

/// One answer, as it came: for A and AAAA the records hold the CNAME chain too.
struct DnsAnswer {
  DnsQuestion question;
  DnsOutcome outcome = DnsOutcome::ok;
  std::vector<DnsRecord> records;
  std::string server; ///< who answered, "127.0.0.1:5353"
  bool cached = false;
  std::chrono::microseconds took{0};
  std::string via = "dns"; ///< what kind of answer it is: "dns", "hosts", "system"
};

/// How names are completed: resolv.conf's search list and ndots (a name with fewer
/// dots tries the list first).
struct SearchPolicy {
  std::vector<std::string> search;
  int ndots = 1;
  bool complete =
      /// false: the name as typed alone is asked for, since who answers has it, or completes it himself
      true;
};

/// One way from a typed name to a canonical one. They differ in the name alone: the addresses are always
/// those of the name as typed.
enum class Procedure {
  as_typed,        ///< the name itself
  short_only,      ///< a name without a dot as `forward`, any other as typed (FreeTDS)
  forward,         ///< the end of the CNAME chain; names only
  forward_reverse, ///< the PTR of the name's first address, as KB811889 describes it; names only
  reverse,         ///< the PTR of an address; addresses only
  map              ///< the first rule that matches
};
std::string_view
to_string(Procedure procedure); ///< "as-typed", "short-only", "forward", "forward-reverse", "reverse", "map"
std::optional<Procedure> find_procedure(std::string_view text);
/// How a driver is written among procedures: "driver:mssql-jdbc".
inline constexpr std::string_view driver_prefix = "driver:";

/// `from` is a glob over the name as typed (in lower case, without a trailing dot) or
/// the address; `to` a name.
struct MapRule {
  std::string from, to;
  bool operator==(const MapRule &) const = default;
};

/// The first of `order` that has a name for a target gives the canonical one; where none has,
/// the name as typed stands.
struct Procedures {
  std::vector<Procedure> order{Procedure::forward};
  std::vector<MapRule> map;
  /// Id of a client driver ("mssql-jdbc", see auth/driver) whose own name counts instead: whoever uses it
  /// puts it into the facts. `order` is as_typed then. Empty: none.
  std::string driver = {};
  bool operator==(const Procedures &) const = default;
};

/// What the PTR question for one address brought.
struct ReverseFact {
  std::string address;
  DnsOutcome outcome{};
  std::vector<std::string> names; ///< lower case, without a trailing dot; only names that an SPN can hold
  bool operator==(const ReverseFact &) const = default;
};

/// Everything that is known of a target's name after the procedures.
struct NameFacts {
  Target target;
  std::string canonical;          ///< lower case, no trailing dot; an address where nothing names it
  std::vector<std::string> chain; ///< the name asked for, then each CNAME target; one entry without an alias
  std::vector<std::string>
      addresses;   ///< IPv4 and IPv6 in the order of the answers, A before AAAA; never empty
  std::string via; ///< where the addresses are from: "dns", "hosts", "system", "address", "localhost"
  Procedure by = Procedure::forward; ///< what gave `canonical`; as_typed where none had a name
  std::string driver = {};           ///< id of the driver that gave `canonical` instead; empty: none
  std::vector<ReverseFact>
      reverse; ///< of the first addresses, in their order; empty where no procedure asked

  const std::string &forward() const { return chain.back(); } ///< what `forward` makes of the name
  std::string by_text() const;                                ///< "forward", "driver:mssql-jdbc"
};

struct NameError {
  DnsOutcome outcome{};
  std::string name;   ///< the last name asked
  std::string detail; ///< "sql1.corp.test: nxdomain; sql1: nxdomain"
};

/// Ask all of these (at once); feed the answers in the same order.
struct AskDns {
  std::vector<DnsQuestion> questions;
};

/// The name of an address's PTR record: "5.0.0.10.in-addr.arpa", "8.b.d.0.….ip6.arpa". `address` in
/// inet_ntop's spelling. Pure.
std::string reverse_name(const std::string &address);
/// The address in inet_ntop's spelling whose PTR record has that name; empty: it is no such name. Pure.
std::string reversed_address(std::string_view name);
/// Lower case, without a trailing dot: how names are compared, and how they stand in an SPN.
std::string plain_name(std::string_view name);

/// How many of a name's addresses are asked for their PTR: the first decides, the
/// others show whether they agree.
inline constexpr std::size_t most_reversed = 4;

/// The procedures as a machine: completes the name by the search policy (a name with at least ndots dots is
/// tried as typed first), asks A and AAAA, follows the CNAME chain that the answers hold (at most 8 links; a
/// loop is an error); then asks for PTRs if, and only if, a procedure that counts needs them. Addresses and
/// `localhost` (RFC 6761) have no A question. A timeout or server failure ends the search at once: a later
/// suffix must not win over a name that may exist. A PTR that is absent or nobody answers is no error: the
/// next procedure has its turn.
class Canonicaliser {
public:
  Canonicaliser(Target target, SearchPolicy policy, Procedures procedures = {});
  /// What to do now. NameFacts and NameError are last.
  std::variant<AskDns, NameFacts, NameError> next();
  void answer(std::vector<DnsAnswer> answers);

private:
  std::variant<AskDns, NameFacts, NameError> search();
  std::variant<AskDns, NameFacts, NameError> choose();
  std::optional<std::string> name_by(Procedure procedure) const;

  Target target_;
  Procedures procedures_;
  std::optional<NameFacts> facts_;      ///< once the addresses are known
  bool reversed_ = false;               ///< the PTR questions have been asked and answered
  std::vector<std::string> candidates_; ///< names still to ask
  std::vector<DnsAnswer> answers_;
  std::string tried_; ///< for NameError::detail
  std::string asked_;
  bool waiting_ = false; ///< asked_ is asked and not answered yet
  DnsOutcome last_ = DnsOutcome::no_name;
};

} // namespace auth
