#include "shim/transport/stream.hpp"

#include "shim/transport/tls_session.hpp"

#include <netinet/tcp.h>

namespace shim {
namespace {

bool would_block(boost::system::error_code error) {
  return error == asio::error::would_block || error == asio::error::try_again;
}

} // namespace

Stream::Stream(Socket socket) : socket_(std::move(socket)) {
  // A try never waits, in clear no more than under TLS; Asio's own operations wait by
  // the event loop either way.
  boost::system::error_code ignored;
  if (socket_.is_open()) socket_.non_blocking(true, ignored);
}
Stream::Stream(Stream &&) noexcept = default;
Stream &Stream::operator=(Stream &&) noexcept = default;
Stream::~Stream() = default;

void Stream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Stream::acknowledge() {
  const int now = 1; // not for good: the kernel goes back to its own ways when it sends
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

Task<boost::system::error_code> Stream::ready(Wait wait) {
  auto [error] =
      co_await socket_.async_wait(wait == Wait::writable ? Socket::wait_write : Socket::wait_read, as_result);
  if (error) co_await stop_if_cancelled();
  co_return error;
}

Task<std::expected<TlsFacts, TlsError>> Stream::handshake(TlsHandshake wanted) {
  if (encrypted() || !wanted.context || wanted.context->accepts() != wanted.accept)
    co_return std::unexpected(TlsError{TlsFault::mismatch, "TLS was asked for in a way that cannot be"});
  auto session = std::make_unique<TlsSession>(socket_.native_handle(), std::move(wanted));
  for (;;) {
    auto step = session->handshake();
    if (!step) co_return std::unexpected(std::move(step.error()));
    if (*step == Wait::none) break;
    auto error = co_await ready(*step);
    if (error) co_return std::unexpected(TlsError{TlsFault::closed, error.message()});
  }
  auto facts = session->facts();
  tls_ = std::move(session);
  co_return std::move(facts);
}

void Stream::stop_tls() { tls_.reset(); }

std::size_t Stream::pending() const { return tls_ ? tls_->pending() : 0; }

void Stream::read_ahead() {
  if (tls_) tls_->read_ahead();
}

bool Stream::has_more() const { return tls_ && tls_->has_more(); }

Task<std::pair<boost::system::error_code, std::size_t>> Stream::read_some(asio::mutable_buffer buffer) {
  using Result = std::pair<boost::system::error_code, std::size_t>;
  if (!tls_) {
    auto [error, count] = co_await socket_.async_read_some(buffer, as_result);
    if (error) co_await stop_if_cancelled();
    co_return Result(error, count);
  }
  for (;;) {
    auto moved = tls_->read(static_cast<char *>(buffer.data()), buffer.size());
    if (moved.wait == Wait::none) co_return Result(moved.error, moved.count);
    auto error = co_await ready(moved.wait);
    if (error) co_return Result(error, 0);
  }
}

Task<boost::system::error_code> Stream::write(std::span<const std::uint8_t> bytes) {
  if (!tls_) {
    auto [error, count] =
        co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), as_result);
    if (error) co_await stop_if_cancelled();
    co_return error;
  }
  while (!bytes.empty()) {
    auto moved = tls_->write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    if (moved.error) co_return moved.error;
    bytes = bytes.subspan(moved.count);
    if (moved.wait == Wait::none) continue;
    auto error = co_await ready(moved.wait);
    if (error) co_return error;
  }
  co_return boost::system::error_code();
}

Moved Stream::try_read(char *data, std::size_t size) {
  if (tls_) return tls_->read(data, size);
  Moved moved;
  moved.count = socket_.read_some(asio::buffer(data, size), moved.error);
  if (would_block(moved.error)) return {0, {}, Wait::readable};
  return moved;
}

Moved Stream::try_write(const char *data, std::size_t size) {
  if (tls_) return tls_->write(data, size);
  Moved moved;
  moved.count = socket_.write_some(asio::buffer(data, size), moved.error);
  if (would_block(moved.error)) return {0, {}, Wait::writable};
  return moved;
}

Wait Stream::shutdown_send() {
  if (tls_ && tls_->close_notify() == Wait::writable) return Wait::writable;
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  return Wait::none;
}

} // namespace shim
