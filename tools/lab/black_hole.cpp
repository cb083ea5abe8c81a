#include "tools/lab/black_hole.hpp"

#include "tools/lab/files.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lab {

BlackHole::BlackHole(const std::string &address, std::uint16_t port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &place.sin_addr) != 1)
    throw LabError(address + " is no IPv4 address");
  const auto *where = reinterpret_cast<const sockaddr *>(&place);
  const auto open = [&](int flags) {
    return sockets_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  };

  const int listener = open(0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, where, sizeof place) != 0 || ::listen(listener, 0) != 0)
    throw LabError(fmt::format("cannot listen on {}:{}: {}", address, port, std::strerror(errno)));
  // A backlog of 0 holds one connection; the second try is the first that hangs, the others make sure.
  for (int filler = 0; filler < 4; ++filler)
    (void)::connect(open(SOCK_NONBLOCK), where, sizeof place);
}

BlackHole::~BlackHole() {
  for (const int socket : sockets_)
    if (socket >= 0) ::close(socket);
}

} // namespace lab
