// Shared by the unit tests of shim/: an event loop of the test's own, and small partners on loopback that
// do what a test tells them.
#pragma once

#include "auth/error.hpp"
#include "shim/credentials/kdc.hpp"
#include "shim/transport/task.hpp"

#include <atomic>
#include <filesystem>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace shim_test {

using namespace shim;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, Executor>;
using TcpAcceptor = asio::basic_socket_acceptor<Tcp, Executor>;

/// Nothing here takes so long: what hangs is a failure, and no test waits for it longer than this.
inline constexpr auto patience = 30s;

/// An event loop, run by the test itself. Declare it before whatever lives on it.
class Loop {
public:
  asio::io_context io;
  Executor executor() { return io.get_executor(); }

  /// Runs `task` to its end, and nothing after that.
  template <class T> T run(Task<T> task) {
    std::optional<T> value;
    run(keep(std::move(task), value));
    return std::move(*value);
  }
  void run(Task<> task) {
    bool done = false;
    std::exception_ptr thrown;
    asio::co_spawn(io, std::move(task), [&](std::exception_ptr error) {
      done = true;
      thrown = error;
    });
    if (!until([&] { return done; })) throw std::runtime_error("the task hangs");
    if (thrown) std::rethrow_exception(thrown);
  }
  void spawn(Task<> task) { asio::co_spawn(io, std::move(task), asio::detached); }

  /// Runs what is due, one thing at a time, until `condition` holds. False: it never will,
  /// or patience is at an end.
  bool until(const std::function<bool()> &condition) {
    const auto deadline = Clock::now() + patience;
    io.restart();
    while (!condition())
      if (io.run_one_until(deadline) == 0) return condition();
    return true;
  }
  /// Runs what is due now, and waits for nothing.
  void drain() {
    do
      io.restart();
    while (io.poll() != 0);
  }

private:
  template <class T> static Task<> keep(Task<T> task, std::optional<T> &value) {
    value.emplace(co_await std::move(task));
  }
};

inline Task<> pause(Millis length) {
  Timer timer(co_await asio::this_coro::executor, length);
  co_await timer.async_wait(as_result);
}

inline Tcp::endpoint loopback(std::uint16_t port = 0) { return {asio::ip::address_v4::loopback(), port}; }

/// Two ends of one TCP connection.
inline std::pair<TcpSocket, TcpSocket> tcp_pair(Executor executor) {
  TcpAcceptor acceptor(executor, loopback());
  TcpSocket client(executor);
  client.connect(acceptor.local_endpoint());
  auto server = acceptor.accept();
  return {std::move(client), std::move(server)};
}

/// Closes with a reset instead of an end of stream.
inline void reset(TcpSocket &socket) {
  socket.set_option(asio::socket_base::linger(true, 0));
  socket.close();
}

/// A port that is taken and where nobody listens: it refuses.
class RefusingPort {
public:
  explicit RefusingPort(Executor executor) : socket_(executor) {
    socket_.open(Tcp::v4());
    socket_.bind(loopback());
  }
  Tcp::endpoint endpoint() const { return socket_.local_endpoint(); }

private:
  TcpSocket socket_;
};

/// A listener whose queue is full: a connection to it neither stands nor fails.
class BlackHole {
public:
  explicit BlackHole(Executor executor) : acceptor_(executor) {
    acceptor_.open(Tcp::v4());
    acceptor_.bind(loopback());
    acceptor_.listen(0);
    for (int filler = 0; filler < 4;
         ++filler) { // one fits in, the next may be half-open, the others make sure
      auto &socket = fillers_.emplace_back(executor);
      socket.open(Tcp::v4());
      socket.non_blocking(true);
      const auto where = endpoint();
      (void)::connect(socket.native_handle(), where.data(),
                      static_cast<socklen_t>(where.size())); // Asio's would wait
    }
  }
  Tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

  /// From now on connections stand, those that hang after a second. Counts those that are not our own,
  /// and every byte that comes.
  void open_up(Executor executor) { asio::co_spawn(executor, accept(), asio::detached); }
  int strangers() const { return strangers_; }
  std::size_t received() const { return received_; }

private:
  Task<> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(as_result);
      if (error) co_return;
      const auto from = socket.remote_endpoint();
      if (std::ranges::none_of(fillers_,
                               [&](const TcpSocket &filler) { return filler.local_endpoint() == from; }))
        ++strangers_;
      asio::co_spawn(acceptor_.get_executor(), read(std::move(socket)), asio::detached);
    }
  }
  Task<> read(TcpSocket socket) {
    std::array<char, 256> ignored;
    for (;;) {
      auto [error, count] = co_await socket.async_read_some(asio::buffer(ignored), as_result);
      received_ += count;
      if (error) co_return;
    }
  }

  TcpAcceptor acceptor_;
  std::vector<TcpSocket> fillers_;
  int strangers_ = 0;
  std::size_t received_ = 0;
};

/// Reads until the other side closes.
inline Task<> until_closed(TcpSocket &socket) {
  std::array<char, 256> ignored;
  for (;;) {
    auto [error, count] = co_await socket.async_read_some(asio::buffer(ignored), as_result);
    if (error) co_return;
  }
}

/// A message behind its length, as between Kerberos and TCP (RFC 4120 7.2.2).
inline auth::Bytes with_length(const auth::Bytes &message, std::optional<std::uint32_t> announced = {}) {
  const auto length = announced.value_or(static_cast<std::uint32_t>(message.size()));
  auth::Bytes framed;
  for (int shift = 24; shift >= 0; shift -= 8)
    framed.push_back(static_cast<std::uint8_t>(length >> shift));
  framed.insert(framed.end(), message.begin(), message.end());
  return framed;
}

/// A KDC as far as TCP: it takes requests, and a script says what comes back. Lives on one loop.
class FakeKdc {
public:
  /// Called for each whole request, `number` from 1; when it ends, the connection is closed.
  using Script = std::function<Task<>(TcpSocket &, int number)>;

  FakeKdc(Executor executor, Script script) : state_(std::make_shared<State>(executor, std::move(script))) {
    asio::co_spawn(executor, accept(state_), asio::detached);
  }
  Tcp::endpoint endpoint() const { return state_->acceptor.local_endpoint(); }
  KdcEndpoint kdc() const { return {"kdc", endpoint()}; }
  int connections() const { return state_->connections; }
  int open() const { return state_->open; }
  const std::vector<auth::Bytes> &requests() const { return state_->requests; }

  /// Scripts.
  static Script answers(auth::Bytes message) {
    return
        [message](TcpSocket &socket, int) -> Task<> { return write_and_wait(socket, with_length(message)); };
  }
  static Script sends(auth::Bytes raw) {
    return [raw](TcpSocket &socket, int) -> Task<> { return write(socket, raw); };
  }
  static Script closes() { return sends({}); }
  static Script is_silent() {
    return [](TcpSocket &socket, int) -> Task<> { return until_closed(socket); };
  }
  static Script answers_after(Millis delay, auth::Bytes message) {
    return [delay, message](TcpSocket &socket, int) -> Task<> {
      return delayed(delay, write_and_wait(socket, with_length(message)));
    };
  }

  static Task<> write(TcpSocket &socket, auth::Bytes raw) {
    co_await asio::async_write(socket, asio::buffer(raw), as_result);
  }
  static Task<> write_and_wait(TcpSocket &socket, auth::Bytes raw) {
    co_await write(socket, std::move(raw));
    co_await until_closed(socket);
  }
  static Task<> delayed(Millis delay, Task<> then) {
    co_await pause(delay);
    co_await std::move(then);
  }

private:
  struct State {
    State(Executor executor, Script what) : acceptor(executor, loopback()), script(std::move(what)) {}
    TcpAcceptor acceptor;
    Script script;
    int connections = 0;
    int open = 0;
    std::vector<auth::Bytes> requests;
  };
  static Task<> accept(std::shared_ptr<State> state) {
    for (;;) {
      auto [error, socket] = co_await state->acceptor.async_accept(as_result);
      if (error) co_return;
      state->connections++;
      asio::co_spawn(state->acceptor.get_executor(), converse(state, std::move(socket)), asio::detached);
    }
  }
  static Task<> converse(std::shared_ptr<State> state, TcpSocket socket) {
    state->open++;
    std::array<std::uint8_t, 4> prefix;
    auto [error, count] = co_await asio::async_read(socket, asio::buffer(prefix), as_result);
    if (!error) {
      auth::Bytes request(std::size_t(prefix[2]) << 8 | prefix[3]);
      co_await asio::async_read(socket, asio::buffer(request), as_result);
      state->requests.push_back(std::move(request));
      co_await state->script(socket, static_cast<int>(state->requests.size()));
    }
    state->open--;
  }

  std::shared_ptr<State> state_;
};

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto &entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

inline Millis elapsed_since(Clock::time_point started) {
  return std::chrono::duration_cast<Millis>(Clock::now() - started);
}

} // namespace shim_test
