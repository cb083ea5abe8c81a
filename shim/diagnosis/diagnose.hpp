// From the decisions of one connection to its cause, evidence and remedy. Pure: it can be run again,
// offline, over an old log.
#pragma once

#include "shim/diagnosis/failure.hpp"
#include "shim/log/event.hpp"

#include <optional>
#include <span>

namespace shim {

struct Diagnosis {
  Cause cause{};
  Fault fault{};    ///< the catalogue's; for deadline, protocol-violation and TLS that fails by the step
  std::string spn;  ///< that was asked for or sent, empty where none
  std::string said; ///< what the KDC or the server said, in its own words (untrusted; escape before showing)
  std::string said_by;  ///< "KDC", "server"; empty: `said` is the failing step's own detail
  std::string sentence; ///< what it means, names filled in
  std::string remedy;   ///< what to do, names filled in
  Strings evidence;     ///< the events it rests on, as one-line texts
};

/// The cause is the step's own, or what `sharpen` makes of it.
Diagnosis diagnose(std::span<const Record> trail, const Failure &failure);

/// For an old log: finds the failure in the trail itself (event `refused`). nullopt: the connection was not
/// refused, or for a cause that this version does not know.
std::optional<Diagnosis> diagnose(std::span<const Record> trail);

/// The event that tells of a refusal.
Refused refused(const Diagnosis &diagnosis, const Failure &failure);

} // namespace shim
