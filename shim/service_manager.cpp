#include "shim/service_manager.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace shim {

std::string tell_service_manager(std::string_view state) {
  const char *name = std::getenv("NOTIFY_SOCKET");
  if (!name || !*name) return {};
  const std::string_view place = name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (place.size() >= sizeof address.sun_path || (place[0] != '/' && place[0] != '@'))
    return "NOTIFY_SOCKET is neither a path nor an abstract name: " + std::string(place);
  std::memcpy(address.sun_path, place.data(), place.size());
  if (place[0] == '@') address.sun_path[0] = '\0';
  const auto failed = [&] { return "NOTIFY_SOCKET " + std::string(place) + ": " + std::strerror(errno); };

  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed();
  constexpr timeval a_second{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &a_second, sizeof a_second);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + place.size());
  const auto sent = ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr *>(&address), size);
  const auto why = sent < 0 ? failed() : std::string();
  ::close(fd);
  return why;
}

} // namespace shim
