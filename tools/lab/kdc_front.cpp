#include "tools/lab/kdc_front.hpp"

#include "shim/transport/task.hpp"
#include "tools/lab/front.hpp"

#include <array>
#include <atomic>
#include <fmt/format.h>
#include <thread>

namespace lab {
namespace {

using shim::as_result;
using shim::Task;
using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, shim::Executor>;

constexpr std::size_t largest = 1024 * 1024;

/// A message behind its 4 bytes of length (RFC 4120 7.2.2); empty: the other side closed, or it is none.
Task<tds::Bytes> read_message(TcpSocket &socket) {
  std::array<std::uint8_t, 4> prefix{};
  auto [error, count] = co_await asio::async_read(socket, asio::buffer(prefix), as_result);
  const std::size_t length =
      std::size_t(prefix[0]) << 24 | std::size_t(prefix[1]) << 16 | std::size_t(prefix[2]) << 8 | prefix[3];
  if (error || length > largest) co_return tds::Bytes{};
  tds::Bytes message(length);
  auto [body_error, body] = co_await asio::async_read(socket, asio::buffer(message), as_result);
  co_return body_error ? tds::Bytes{} : std::move(message);
}

tds::Bytes framed(const tds::Bytes &message) {
  tds::Bytes bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::uint8_t>(message.size() >> shift));
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

} // namespace

struct KdcFront::State {
  explicit State(KdcFrontOptions given) : options(std::move(given)), manner(options.manner) {}

  KdcFrontOptions options;
  std::atomic<KdcFrontOptions::Manner> manner;
  std::atomic<int> requests{0};
  asio::io_context io{1};
  FrontAcceptor acceptor{io.get_executor()};
  std::thread thread;

  Task<> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor.async_accept(as_result);
      if (error) co_return;
      asio::co_spawn(io, serve(std::move(socket)), asio::detached);
    }
  }

  Task<> serve(TcpSocket client) {
    using enum KdcFrontOptions::Manner;
    const auto request = co_await read_message(client);
    if (request.empty()) co_return;
    ++requests;
    const auto how = manner.load();
    if (how == hangs) {
      std::array<std::uint8_t, 64> ignored;
      for (;;) // until the client gives up
        if (auto [error, count] = co_await client.async_read_some(asio::buffer(ignored), as_result); error)
          co_return;
    }
    TcpSocket kdc(io.get_executor());
    auto [error] = co_await kdc.async_connect({asio::ip::make_address(options.kdc_address), options.kdc_port},
                                              as_result);
    if (error) co_return;
    const auto to_kdc = framed(request);
    co_await asio::async_write(kdc, asio::buffer(to_kdc), as_result);
    auto reply = co_await read_message(kdc);
    if (options.change) reply = options.change(request, std::move(reply));
    if (options.delay.count() > 0) {
      shim::Timer timer(io.get_executor(), options.delay);
      co_await timer.async_wait(as_result);
    }
    auto answer = framed(reply);
    if (how == resets) answer.resize(std::min<std::size_t>(answer.size(), 10));
    co_await asio::async_write(client, asio::buffer(answer), as_result);
    boost::system::error_code ignored;
    if (how == resets) client.set_option(asio::socket_base::linger(true, 0), ignored);
  }
};

KdcFront::KdcFront(KdcFrontOptions options) : state_(std::make_unique<State>(std::move(options))) {
  listen(state_->acceptor, "KDC front", state_->options.address, state_->options.port);
  asio::co_spawn(state_->io, state_->accept(), asio::detached);
  state_->thread = std::thread([state = state_.get()] { state->io.run(); });
}

KdcFront::~KdcFront() {
  state_->io.stop();
  state_->thread.join();
}

std::uint16_t KdcFront::port() const { return state_->acceptor.local_endpoint().port(); }
std::string KdcFront::place() const { return fmt::format("{}:{}", state_->options.address, port()); }
int KdcFront::requests() const { return state_->requests; }
void KdcFront::set_manner(KdcFrontOptions::Manner manner) { state_->manner = manner; }

} // namespace lab
