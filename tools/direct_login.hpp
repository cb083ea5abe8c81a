// A login past sqlshim: FreeTDS, as the program sqlshim-control, at the same server with the same SPN and
// ticket. What it says is the second opinion of `sqlshim explain --connect --control`.
#pragma once

#include "config/config.hpp"
#include "shim/login/rehearsal.hpp"

namespace commands {

/// What the two said of one SPN.
struct SecondOpinion {
  std::string spn;
  std::string ours; ///< "ok", a cause id, or empty: explain's login did not come to this candidate
  std::optional<bool> accepted; ///< what FreeTDS was told; nullopt: it was not tried, `said` tells why
  std::string said; ///< the server's or FreeTDS's own first word; where accepted, the session's auth_scheme
  std::string
      note; ///< what FreeTDS cannot do and may explain a disagreement; empty where there is nothing of that
  std::optional<bool> agree() const { ///< nullopt: one of the two was not tried
    return accepted && !ours.empty() ? std::optional(*accepted == (ours == "ok")) : std::nullopt;
  }
};

/// For each SPN candidate of the explanation one login, one after the other, each in a process of its own
/// that ends within 15 s. Of a candidate without a ticket there is nothing to try. The ticket stands in a
/// folder that only this user can enter, for as long as that process runs. Error, as a sentence:
/// sqlshim-control is not beside this program, or no folder could be made.
std::expected<std::vector<SecondOpinion>, std::string> second_opinions(const config::Route &route,
                                                                       const shim::Explanation &explanation);

/// The freetds.conf of such a login, section "server". `endpoint`: "ADDRESS:PORT", IPv6 in brackets. Error:
/// what FreeTDS cannot do. Pure.
std::expected<std::string, std::string> freetds_conf(const config::Route &route, const std::string &endpoint);

} // namespace commands
