// What a leg is made of: wires, one upon the other. At the bottom a transport, that is a socket or a pipe;
// upon it TLS, which may come and go. None of them waits.
#pragma once

#include "shim/transport/task.hpp"

#include <string>

namespace shim {

/// What has to happen at the transport before it makes sense to try again.
enum class Wait { none, readable, writable };
/// What one try came to: bytes, or an error (end of stream: asio::error::eof), or what to wait for.
struct Moved {
  std::size_t count = 0;
  boost::system::error_code error;
  Wait wait = Wait::none;
};

/// Bytes in, bytes out, by whatever is between. Never waits.
class Wire {
public:
  virtual ~Wire() = default;
  virtual Moved read(char *data, std::size_t size) = 0;
  /// After one that has to wait, the next one must begin with the same bytes.
  virtual Moved write(const char *data, std::size_t size) = 0;
  /// The last byte has been written: tells the peer, who may go on sending. `writable`: again then.
  virtual Wait shutdown_send() = 0;
  /// Whether there may be more to read that has been taken from below already.
  virtual bool has_more() const = 0;
};

/// Where several wait for one thing that no descriptor of their own tells. Of one thread.
class Gate {
public:
  explicit Gate(Executor executor) : timer_(executor, Timer::time_point::max()) {}
  /// Lets all go on who wait now. Nobody is remembered: what they wait for is looked at by a try.
  void open() { timer_.cancel(); }
  template <class Handler> void async_wait(Handler handler) {
    timer_.async_wait([handler = std::move(handler)](boost::system::error_code) mutable {
      handler(boost::system::error_code());
    });
  }
  Task<> wait() {
    co_await timer_.async_wait(as_result);
    co_await stop_if_cancelled();
  }

private:
  Timer timer_;
};

/// The bottom of a leg: what the bytes go over, and where one waits for them.
class Transport : public Wire {
public:
  virtual Executor get_executor() = 0;
  virtual bool open() const = 0;
  virtual void close() = 0;
  /// Ends both directions: who waits goes on and finds the end.
  virtual void interrupt() = 0;
  /// Where one waits, and what the kernel is asked about; nullptr where several share one connection: then
  /// `gate` tells.
  virtual Socket *socket() = 0;
  virtual Gate &gate(Wait wait) = 0;
  /// Either side, for a log: "127.0.0.1:1433", "unix:/run/…"; empty: not known.
  virtual std::string local() const = 0;
  virtual std::string peer() const = 0;
  /// Has the peer told now that its bytes have come.
  virtual void acknowledge() {}
};

/// TCP, or a Unix socket.
class SocketTransport final : public Transport {
public:
  explicit SocketTransport(Socket socket);
  Moved read(char *data, std::size_t size) override;
  Moved write(const char *data, std::size_t size) override;
  Wait shutdown_send() override;
  bool has_more() const override { return false; }
  Executor get_executor() override { return socket_.get_executor(); }
  bool open() const override { return socket_.is_open(); }
  void close() override;
  void interrupt() override;
  Socket *socket() override { return &socket_; }
  Gate &gate(Wait) override { std::terminate(); } // it has a socket
  std::string local() const override;
  std::string peer() const override;
  void acknowledge() override;

private:
  Socket socket_;
};

} // namespace shim
