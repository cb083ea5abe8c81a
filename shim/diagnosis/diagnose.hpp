// From the decisions of one connection to its cause, evidence and remedy. Pure: it can be run again, offline, over an old log.
#pragma once

#include "shim/diagnosis/cause.hpp"
#include "shim/log/event.hpp"

#include <optional>
#include <span>

namespace shim {

struct Diagnosis {
  Cause cause{};
  std::string spn;      ///< that was asked for or sent, empty where none
  std::string said;     ///< what the KDC or the server said, in its own words (untrusted; escape before showing)
  std::string sentence; ///< what it means, names filled in
  std::string remedy;   ///< what to do, names filled in
  Strings evidence;     ///< the events it rests on, as one-line texts
};

/// What a step that failed reports of itself: the cause it can tell from where it stands, and its own words.
struct Failure {
  std::string step; ///< as in event Refused
  Cause cause{};
  std::string detail;
};

/// The cause may be sharpened by what came before: a server that closed after a complete token is spn-wrong-account, not server-closed; …
Diagnosis diagnose(std::span<const Record> trail, const Failure &failure);

/// For an old log: finds the failure in the trail itself (event `refused`). nullopt: the connection was not refused.
std::optional<Diagnosis> diagnose(std::span<const Record> trail);

/// What the client reads: "spn-missing: … SPN … KDC said … Remedy: … (sqlshim connection 7f3a01c2)". At most 2,000 characters.
std::string client_text(const Diagnosis &diagnosis, std::string_view conn);

} // namespace shim
