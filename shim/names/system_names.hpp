// The system's own resolver (nsswitch: files, DNS, sssd, mDNS, …), which may hang:
// asked on threads of its own.
#pragma once

#include "auth/name.hpp"
#include "shim/transport/look_ups.hpp"

namespace shim {

/// What getaddrinfo, or getnameinfo, says.
struct SystemAnswer {
  auth::DnsOutcome outcome{};
  std::string name;                   ///< the canonical name; of an address, its name
  std::vector<std::string> addresses; ///< in its order
};
/// Of a name, which the system completes, its canonical name and addresses; of the name of a PTR record the
/// address's name. Blocks. An address of one interface alone (an IPv6 zone) is left out.
SystemAnswer look_up_by_system(const std::string &asked);

/// Answers DNS questions by the system's word, so that a name goes the same way whoever resolves it.
/// Thread-safe; see LookUps.
class SystemNames : public LookUps<std::string, SystemAnswer> {
public:
  explicit SystemNames(LookUp look_up = look_up_by_system) : LookUps(std::move(look_up)) {}

  /// A, AAAA and PTR: records without a TTL, an alias or a completed name as a CNAME record; server "system".
  /// "timeout": not told within `limit`. The A and AAAA questions of a name, asked at once, are one look-up.
  Task<auth::DnsAnswer> ask(auth::DnsQuestion question, Millis limit);
  static bool answers(auth::DnsType type);
};

} // namespace shim
