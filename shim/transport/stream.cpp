#include "shim/transport/stream.hpp"

#include "shim/transport/tls_session.hpp"

namespace shim {

Stream::Stream(Socket socket) : Stream(std::make_unique<SocketTransport>(std::move(socket))) {}
Stream::Stream(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}
Stream::Stream(Stream &&) noexcept = default;
Stream &Stream::operator=(Stream &&) noexcept = default;
Stream::~Stream() = default;

Wire &Stream::top() const {
  if (tls_) return *tls_;
  return *transport_;
}

Task<boost::system::error_code> Stream::ready(Wait wait) {
  auto *socket = transport_->socket();
  if (!socket) {
    co_await transport_->gate(wait).wait();
    co_return boost::system::error_code();
  }
  auto [error] = co_await socket->async_wait(event(wait), as_result);
  if (error) co_await stop_if_cancelled();
  co_return error;
}

Task<std::expected<TlsFacts, TlsError>> Stream::handshake(TlsHandshake wanted) {
  if (encrypted() || !wanted.context || wanted.context->accepts() != wanted.accept)
    co_return std::unexpected(TlsError{TlsFault::mismatch, "TLS was asked for in a way that cannot be"});
  auto session = std::make_unique<TlsLayer>(*transport_, std::move(wanted));
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

Task<std::pair<boost::system::error_code, std::size_t>> Stream::read_some(asio::mutable_buffer buffer) {
  using Result = std::pair<boost::system::error_code, std::size_t>;
  for (;;) {
    auto moved = try_read(static_cast<char *>(buffer.data()), buffer.size());
    if (moved.wait == Wait::none) {
      // A peer that never stops sending leaves the others of this thread their turn.
      if (moved.count > 0) co_await asio::post(get_executor(), as_result);
      co_return Result(moved.error, moved.count);
    }
    auto error = co_await ready(moved.wait);
    if (error) co_return Result(error, 0);
  }
}

Task<boost::system::error_code> Stream::write(std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    auto moved = try_write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    if (moved.error) co_return moved.error;
    bytes = bytes.subspan(moved.count);
    if (moved.wait == Wait::none) continue;
    auto error = co_await ready(moved.wait);
    if (error) co_return error;
  }
  co_return boost::system::error_code();
}

} // namespace shim
