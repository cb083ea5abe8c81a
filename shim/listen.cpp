#include "shim/listen.hpp"

#include "shim/transport/connect.hpp"

#include <cstring>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;

std::unexpected<ListenError> cannot_listen(const std::string &address, int number) {
  return std::unexpected(ListenError{"cannot listen on " + address + ": " + std::strerror(number), number});
}

Tcp::endpoint bound_to(int fd) {
  Tcp::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  ::getsockname(fd, endpoint.data(), &size);
  endpoint.resize(size);
  return endpoint;
}

/// A socket file that nobody listens on any more was left by a process that died.
bool is_stale_socket(const sockaddr_un &address) {
  struct stat info {};
  if (::lstat(address.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const auth::Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

std::expected<ListeningSocket, ListenError> listen_unix(const std::string &path, mode_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return cannot_listen("unix:" + path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  if (is_stale_socket(address)) ::unlink(path.c_str());
  auth::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The file must never be open to others, not even between bind and chmod.
  const auto mask = ::umask(0777 & ~mode);
  const bool bound =
      fd && ::bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0;
  const int why = errno;
  ::umask(mask);
  if (!bound) return cannot_listen("unix:" + path, why);
  ListeningSocket socket(std::move(fd), AF_UNIX, path);
  if (::chmod(path.c_str(), mode) != 0 || ::listen(socket.fd(), SOMAXCONN) != 0)
    return cannot_listen("unix:" + path, errno);
  return socket;
}

} // namespace

void ListeningSocket::close() {
  auth::Descriptor(fd_.release());
  if (const auto path = std::exchange(path_, ""); !path.empty()) ::unlink(path.c_str());
}

std::string ListeningSocket::address() const {
  return path_.empty() ? to_text(bound_to(fd_.get())) : "unix:" + path_;
}

std::uint16_t ListeningSocket::port() const { return path_.empty() ? bound_to(fd_.get()).port() : 0; }

std::expected<ListeningSocket, ListenError> listen_on(const config::Address &address) {
  boost::system::error_code error;
  Tcp::endpoint endpoint(asio::ip::make_address(address.ip, error), address.port);
  if (error) return std::unexpected(ListenError{address.text() + ": " + error.message(), error.value()});
  const int family = endpoint.protocol().family();
  auth::Descriptor fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int on = 1;
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0)
    return cannot_listen(address.text(), errno);
  return ListeningSocket(std::move(fd), family);
}

std::expected<ListeningSocket, ListenError> listen_on(const config::Listener &listener) {
  return listener.unix_path ? listen_unix(listener.unix_path->string(), listener.mode)
                            : listen_on(*listener.address);
}

} // namespace shim
