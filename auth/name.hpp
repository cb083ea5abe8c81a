// From a typed name to a canonical one: the explicit procedure that replaces what drivers and libkrb5 do silently (KB811889, K2).
#pragma once

#include "auth/target.hpp"

#include <chrono>
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
};

/// How names are completed: resolv.conf's search list and ndots (a name with fewer dots tries the list first).
struct SearchPolicy {
  std::vector<std::string> search;
  int ndots = 1;
};

/// Everything that is known of a target's name after the `forward` procedure.
struct NameFacts {
  Target target;
  std::string
      canonical; ///< lower case, no trailing dot: last name of the CNAME chain; the address itself for an address
  std::vector<std::string> chain;     ///< the name asked for, then each CNAME target; one entry without an alias
  std::vector<std::string> addresses; ///< IPv4 and IPv6 in the order of the answers, A before AAAA; never empty
  std::string via;                    ///< "dns", "address", "localhost"
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

/// The `forward` procedure as a machine: completes the name by the search policy (a name with at least ndots dots is tried as typed first),
/// asks A and AAAA, follows the CNAME chain that the answers hold (at most 8 links; a loop is an error). Addresses and `localhost` (RFC 6761)
/// ask nothing. A timeout or server failure ends the search at once: a later suffix must not win over a name that may exist.
class Canonicaliser {
public:
  Canonicaliser(Target target, SearchPolicy policy);
  /// What to do now. NameFacts and NameError are last.
  std::variant<AskDns, NameFacts, NameError> next();
  void answer(std::vector<DnsAnswer> answers);

private:
  Target target_;
  std::vector<std::string> candidates_; ///< names still to ask
  std::vector<DnsAnswer> answers_;
  std::string tried_; ///< for NameError::detail
  std::string asked_;
  bool waiting_ = false; ///< asked_ is asked and not answered yet
  DnsOutcome last_ = DnsOutcome::no_name;
};

} // namespace auth
