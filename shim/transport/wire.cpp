#include "shim/transport/wire.hpp"

#include "shim/transport/connect.hpp"

#include <netinet/tcp.h>

namespace shim {
namespace {

/// Why a call of the kernel has failed: `wait`, or an error.
Moved failed(Wait wait) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {0, {}, wait};
  return {0, {errno, boost::system::system_category()}, Wait::none};
}

} // namespace

SocketTransport::SocketTransport(Socket socket) : socket_(std::move(socket)) {
  boost::system::error_code ignored;
  if (socket_.is_open()) socket_.non_blocking(true, ignored);
}

Moved SocketTransport::read(char *data, std::size_t size) {
  ssize_t count;
  do
    count = ::recv(socket_.native_handle(), data, size, MSG_DONTWAIT);
  while (count < 0 && errno == EINTR);
  if (count < 0) return failed(Wait::readable);
  if (count == 0) return {0, asio::error::eof, Wait::none};
  return {static_cast<std::size_t>(count), {}, Wait::none};
}

Moved SocketTransport::write(const char *data, std::size_t size) {
  ssize_t count;
  do
    count = ::send(socket_.native_handle(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (count < 0 && errno == EINTR);
  if (count < 0) return failed(Wait::writable);
  return {static_cast<std::size_t>(count), {}, Wait::none};
}

Wait SocketTransport::shutdown_send() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  return Wait::none;
}

void SocketTransport::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void SocketTransport::interrupt() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
}

std::string SocketTransport::local() const { return local_text(socket_); }
std::string SocketTransport::peer() const { return peer_text(socket_); }

void SocketTransport::acknowledge() {
  const int now = 1; // not for good: the kernel goes back to its own ways when it sends
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

} // namespace shim
