// SQL Browser (UDP 1434): on which port a named instance listens.
#pragma once

#include "shim/transport/task.hpp"
#include "tds/ssrp.hpp"

#include <expected>
#include <string>
#include <vector>

namespace shim {

/// Where somebody listens, or could.
struct BrowserAnswer {
  tds::SsrpInstance instance;
  asio::ip::udp::endpoint from; ///< who said so, one of those that were asked
};
/// Nobody gave a usable answer.
struct BrowserError {
  bool refused =
      /// every address said that nobody listens there (ICMP); else one at least was silent,
      /// or answered something else
      false;
  std::string detail; ///< "10.0.0.5:1434: no answer within 1000 ms; [fd00::5]:1434: Connection refused"
};

inline constexpr Millis browser_patience{
    1000}; ///< after which a question is asked again: a datagram may be lost
inline constexpr std::size_t most_browsers = 64; ///< as many as SqlClient asks; each is a socket

/// Asks every address (of more than `most_browsers` the first ones) at once for `instance`, again after each
/// second, for at most `limit` in all. The first usable answer counts. Each socket is connected, so the
/// kernel drops what comes from another address or port; a datagram that is no answer to this question
/// (tds/ssrp.hpp) is told in the error, and waited on. Ends at once where every address refuses. Never takes
/// more than one datagram of 1,027 bytes at a time.
Task<std::expected<BrowserAnswer, BrowserError>> ask_browser(std::vector<asio::ip::udp::endpoint> servers,
                                                             std::string instance, Millis limit);

} // namespace shim
