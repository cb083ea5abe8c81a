// TCP connections to several addresses: raced, the first that stands wins.
#pragma once

#include "shim/transport/task.hpp"

#include <expected>
#include <string>
#include <vector>

namespace shim {

/// "127.0.0.1:1433", "[::1]:1433"
std::string to_text(const asio::ip::tcp::endpoint &endpoint);
/// Either side of a socket: a TCP endpoint as above, "unix:/run/…" for a Unix one (the client's
/// side has no name: "unix").
std::string local_text(const Socket &socket);
std::string peer_text(const Socket &socket);

/// Makes the kernel notice a TCP peer that has gone without a word: probes after 30 s of silence, one a
/// second, as Microsoft's SQL Server clients do it; the connection is over after 10 that nobody answers.
void keep_alive(int socket);

struct Connected {
  Socket socket;
  asio::ip::tcp::endpoint endpoint;
};
struct ConnectError {
  bool refused = false;            ///< every address refused (else: at least one did not answer in time)
  bool out_of_descriptors = false; ///< this process, or the machine, has none left
  std::string detail;              ///< "127.0.0.1:1433: Connection refused; …"
};

/// The addresses with their families in turns, beginning with the first one's; otherwise in their order (RFC
/// 8305 4). So a family that leads nowhere costs one stagger, however many addresses it has.
std::vector<asio::ip::tcp::endpoint> in_turns(const std::vector<asio::ip::tcp::endpoint> &endpoints);

/// Sockets of one race at a time.
inline constexpr std::size_t most_connecting = 16;

/// Tries the addresses `in_turns`, the next one `stagger` after the one before or as soon as that has
/// failed (RFC 8305 5); all together take at most `limit`. TCP_NODELAY and keep-alive are set.
/// Sockets that lose are closed. Where there are more addresses than `most_connecting`, each try that is
/// under way has its share of `limit`, and then makes room for the next.
Task<std::expected<Connected, ConnectError>> connect_first(std::vector<asio::ip::tcp::endpoint> endpoints,
                                                           Millis stagger, Millis limit);

} // namespace shim
