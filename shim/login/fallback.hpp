// What follows on an attempt that failed: the same by another SPN, another attempt, or the end. Pure: the
// route's policy decides, and the reason is told.
#pragma once

#include "shim/log/words.hpp"
#include "shim/login/plan.hpp"

#include <span>
#include <string>

namespace shim {

/// What one attempt of the plan met.
struct Met {
  std::size_t attempt = 0;      ///< its place in the plan
  Cause cause{};                ///< what the step that failed makes of it
  Cause diagnosed{};            ///< what the whole trail makes of it: the cause that the client would be told
  bool ticket_rejected = false; ///< the server had the ticket
};

enum class Follows {
  nothing,     ///< no attempt is left
  another_spn, ///< `next`: the same attempt by another spelling of the service, which is no fallback
  fallback,    ///< `next`: another attempt, as the route's fallback_on says
  withheld,    ///< `next` would be another attempt, and policy does not make it
};

struct Onward {
  Follows what = Follows::nothing;
  std::size_t next = 0; ///< place in the plan
  std::string reason;   ///< of fallback and withheld: "fallback_on does not list kdc-unreachable"
};

/// A missing SPN, however it came to be missing, leads to the next SPN candidate of the same attempt.
/// Any other attempt follows only where fallback is "on" and fallback_on lists `cause` or `diagnosed`;
/// never after a ticket that the server rejected, nor after a cause that the catalogue never lets
/// lead on, whatever is listed.
Onward what_follows(const config::Route &route, std::span<const Attempt> plan, const Met &met);

} // namespace shim
