// What a driver's run through sqlshim must have in common with its run without it: what the programme
// printed, step by step, and what the peer received.
#pragma once

#include "tds/bytes.hpp"

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace interop {

/// The lines "step NAME: TEXT" that a programme printed, by NAME, in their order.
using Steps = std::map<std::string, std::vector<std::string>>;
Steps steps_of(const std::string &output);

/// A message of the client after its login, as it was packed.
struct Message {
  int session = -1; ///< of MARS; -1: there is none
  std::uint8_t type = 0;
  std::vector<std::uint8_t> status; ///< of each packet: the bits of a reset, and how many packets
  tds::Bytes payload;               ///< without what differs from one connection to the next

  bool operator==(const Message &) const = default;
  auto operator<=>(const Message &) const = default;
};
/// "rpc, 1 packet, 40 bytes: \x16\x00…s\x00", shortened around `mark` where it is long.
std::string describe(const Message &message, std::size_t mark = 0);

/// One connection, as the peer recorded it.
struct Connection {
  int number = 0;
  std::map<std::string, std::string>
      login; ///< fields of LOGIN7, as JSON; no field of authentication, and no name of the server
  std::vector<Message> messages;
};
/// Of NNNN.tds.bin and NNNN.json. What cannot be read is a message of type 0xFF that says so.
Connection connection_of(int number, const std::string &received, const nlohmann::json &facts);
/// The messages after the login. SPIDs in packets and the transaction descriptor, which the peer
/// makes of the SPID, are masked.
std::vector<Message> messages_of(tds::ByteView received);

/// Everything that one step of a run left behind.
struct Trace {
  std::vector<std::string> lines;
  std::vector<Connection> connections;
};
struct Compared {
  int comparisons = 0;
  std::vector<std::string> differences; ///< where, and both contents
  Compared &operator+=(const Compared &other);
};
/// Connections are compared in the order in which they logged in; where there are many at once, as
/// sorted by what they sent.
Compared compare(const std::string &where, const Trace &direct, const Trace &through);

} // namespace interop
