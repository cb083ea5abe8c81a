// One leg of a connection: a transport, in clear or under TLS. Whoever reads and writes does not care which.
#pragma once

#include "shim/transport/tls.hpp"
#include "shim/transport/wire.hpp"

#include <span>

namespace shim {

class TlsLayer;

/// Of errors that are TLS's own: bytes that are no record of this session, an alert.
/// Everything else is the socket's.
const boost::system::error_category &tls_category();

/// One leg. One coroutine may read while another one writes. Must not be moved, nor its TLS begun or
/// ended, while one of them waits.
class Stream {
public:
  Stream(Socket socket); // NOLINT: a socket is a stream in clear
  explicit Stream(std::unique_ptr<Transport> transport);
  Stream(Stream &&) noexcept;
  Stream &operator=(Stream &&) noexcept;
  ~Stream();

  Executor get_executor() { return transport_->get_executor(); }
  bool open() const { return transport_->open(); }
  void close() { transport_->close(); }
  /// Ends both directions: who waits goes on and finds the end.
  void interrupt() { transport_->interrupt(); }
  /// Either side, for a log: "127.0.0.1:1433", "unix:/run/…"; empty: not known.
  std::string local() const { return transport_->local(); }
  std::string peer() const { return transport_->peer(); }
  /// What the kernel is asked about, such as whose the other end is. A client leg always has one; a server
  /// leg need not: nullptr.
  Socket *socket() const { return transport_->socket(); }

  bool encrypted() const { return tls_ != nullptr; }
  /// From clear to TLS. Bytes that came in clear behind the peer's last flight are an error, `mismatch`. May
  /// be cancelled; then, and after an error, the stream is in clear and good for nothing but to be closed.
  Task<std::expected<TlsFacts, TlsError>> handshake(TlsHandshake wanted);
  /// Back to clear, without a byte on the wire. What follows on it is read in clear: nothing
  /// of it has been taken yet.
  void stop_tls();
  /// Bytes that have been decrypted and not read yet. Where the peer may not have sent anything further
  /// (before stop_tls), they are a violation.
  std::size_t pending() const;

  /// At least one byte, or an error; the end of the stream, with TLS's own word for it or
  /// without, is asio::error::eof.
  Task<std::pair<boost::system::error_code, std::size_t>> read_some(asio::mutable_buffer buffer);
  /// All of it, or an error. Cancelled, nothing more can be written.
  Task<boost::system::error_code> write(std::span<const std::uint8_t> bytes);

  /// From here on more is taken from the transport at once than one record of TLS: everything further is TLS,
  /// and nobody will call `stop_tls`. In clear: nothing.
  void read_ahead();
  /// Whether there may be more to read that has been taken from the transport already.
  bool has_more() const { return top().has_more(); }
  /// Whether a socket alone cannot tell that there is something to read, and a short read not that there is
  /// no more: under TLS, and where there is no socket.
  bool buffers() const { return encrypted() || !transport_->socket(); }

  /// For the relay, which never waits inside. After a `try_write` that has to wait, the next one must
  /// begin with the same bytes.
  Moved try_read(char *data, std::size_t size) { return top().read(data, size); }
  Moved try_write(const char *data, std::size_t size) { return top().write(data, size); }
  /// Until it makes sense to try again, or the transport has failed. Nothing is kept for it but the handler.
  template <class Handler> void async_wait(Wait wait, Handler handler) {
    if (auto *socket = transport_->socket()) return socket->async_wait(event(wait), std::move(handler));
    transport_->gate(wait).async_wait(std::move(handler));
  }
  /// The same in a coroutine.
  Task<boost::system::error_code> ready(Wait wait);
  /// Has the kernel tell the peer now that its bytes have come, and not 40 ms later. One that sends by
  /// Nagle's algorithm (RFC 1122 4.2.3.4), as Node's sockets do, waits for that before each packet of a long
  /// message. Of a Unix socket: nothing.
  void acknowledge() { transport_->acknowledge(); }
  /// The last byte has been written: tells the peer, who may go on sending. `writable`: the transport is
  /// full; call it again then.
  Wait shutdown_send() { return top().shutdown_send(); }

private:
  static Socket::wait_type event(Wait wait) {
    return wait == Wait::writable ? Socket::wait_write : Socket::wait_read;
  }
  Wire &top() const;

  std::unique_ptr<Transport> transport_;
  std::unique_ptr<TlsLayer> tls_; ///< on the transport
};

} // namespace shim
