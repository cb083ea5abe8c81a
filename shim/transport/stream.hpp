// One leg of a connection: a socket, in clear or under TLS. Whoever reads and writes does not care which.
#pragma once

#include "shim/transport/task.hpp"
#include "shim/transport/tls.hpp"

#include <span>

namespace shim {

class TlsSession;

/// What has to happen at the socket before it makes sense to try again.
enum class Wait { none, readable, writable };
/// What one try came to: bytes, or an error (end of stream: asio::error::eof), or what to wait for.
struct Moved {
  std::size_t count = 0;
  boost::system::error_code error;
  Wait wait = Wait::none;
};

/// Of errors that are TLS's own: bytes that are no record of this session, an alert.
/// Everything else is the socket's.
const boost::system::error_category &tls_category();

/// One leg. One coroutine may read while another one writes. Must not be moved, nor its TLS begun or
/// ended, while one of them waits.
class Stream {
public:
  Stream(Socket socket); // NOLINT: a socket is a stream in clear
  Stream(Stream &&) noexcept;
  Stream &operator=(Stream &&) noexcept;
  ~Stream();

  Socket &socket() { return socket_; }
  const Socket &socket() const { return socket_; }
  Executor get_executor() { return socket_.get_executor(); }
  bool open() const { return socket_.is_open(); }
  void close();

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

  /// From here on more is taken from the socket at once than one record of TLS: everything further is TLS,
  /// and nobody will call `stop_tls`. In clear: nothing.
  void read_ahead();
  /// Whether there may be more to read that has been taken from the socket already.
  bool has_more() const;

  /// For the relay, which never waits inside. After a `try_write` that has to wait, the next one must
  /// begin with the same bytes.
  Moved try_read(char *data, std::size_t size);
  Moved try_write(const char *data, std::size_t size);
  /// Has the kernel tell the peer now that its bytes have come, and not 40 ms later. One that sends by
  /// Nagle's algorithm (RFC 1122 4.2.3.4), as Node's sockets do, waits for that before each packet of a long
  /// message. Of a Unix socket: nothing.
  void acknowledge();
  /// The last byte has been written: tells the peer, who may go on sending. `writable`: the socket is
  /// full; call it again then.
  Wait shutdown_send();

private:
  /// Until the socket is ready, or has failed.
  Task<boost::system::error_code> ready(Wait wait);

  Socket socket_;
  std::unique_ptr<TlsSession> tls_;
};

} // namespace shim
