#include "tools/lab/smb_front.hpp"

#include "shim/transport/task.hpp"
#include "tools/lab/front.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

namespace lab {
namespace {

using shim::as_result;
using shim::Task;
using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, shim::Executor>;

constexpr std::size_t largest = 16 * 1024 * 1024; // 24 bits of length
constexpr std::size_t header_size = 64;           // MS-SMB2 2.2.1
constexpr std::uint8_t plain = 0xfe, sealed = 0xfd;
constexpr std::size_t command_at = 12, flags_at = 16, signature_at = 48, sealed_signature_at = 4;
constexpr std::uint8_t signed_flag = 0x08;
constexpr std::size_t session_flags_at = header_size + 2, answered_dialect_at = header_size + 4;
constexpr std::size_t dialect_count_at = header_size + 2, dialects_at = header_size + 36;
constexpr std::uint16_t dialect_2_1 = 0x0210;

bool is_sealed(const tds::Bytes &message) { return !message.empty() && message[0] == sealed; }

std::uint16_t u16_at(const tds::Bytes &message, std::size_t at) {
  return at + 2 > message.size() ? 0 : static_cast<std::uint16_t>(message[at] | message[at + 1] << 8);
}

void put_u16(tds::Bytes &message, std::size_t at, std::uint16_t value) {
  if (at + 2 > message.size()) return;
  message[at] = static_cast<std::uint8_t>(value);
  message[at + 1] = static_cast<std::uint8_t>(value >> 8);
}

/// A message behind its 4 bytes of length (MS-SMB2 2.1); empty: the other side closed.
Task<tds::Bytes> read_message(TcpSocket &socket) {
  std::array<std::uint8_t, 4> prefix{};
  auto [error, count] = co_await asio::async_read(socket, asio::buffer(prefix), as_result);
  if (error) co_return tds::Bytes{};
  tds::Bytes message(std::size_t(prefix[1]) << 16 | std::size_t(prefix[2]) << 8 | prefix[3]);
  auto [body_error, body] = co_await asio::async_read(socket, asio::buffer(message), as_result);
  co_return body_error ? tds::Bytes{} : std::move(message);
}

tds::Bytes framed(const tds::Bytes &message, std::size_t length) {
  tds::Bytes bytes{0, static_cast<std::uint8_t>(length >> 16), static_cast<std::uint8_t>(length >> 8),
                   static_cast<std::uint8_t>(length)};
  bytes.insert(bytes.end(), message.begin(), message.end());
  return bytes;
}

/// Every dialect above 2.1 that a NEGOTIATE offers becomes 2.1.
void offer_less(tds::Bytes &message) {
  const auto count = u16_at(message, dialect_count_at);
  for (std::size_t index = 0; index < count; ++index)
    if (u16_at(message, dialects_at + 2 * index) > dialect_2_1)
      put_u16(message, dialects_at + 2 * index, dialect_2_1);
}

} // namespace

std::vector<tds::Bytes> with_mischief(SmbMischief mischief, tds::Bytes message) {
  using enum SmbMischief;
  const auto signature = is_sealed(message) ? sealed_signature_at : signature_at;
  if (message.size() < header_size) return {std::move(message)};
  switch (mischief) {
  case flip_signature:
    message[signature] ^= 1;
    break;
  case strip_signature:
    std::fill_n(message.begin() + static_cast<std::ptrdiff_t>(signature), 16, std::uint8_t{0});
    if (!is_sealed(message)) message[flags_at] &= static_cast<std::uint8_t>(~signed_flag);
    break;
  case flip_payload:
    message.back() ^= 1;
    break;
  case replay:
    return {message, message};
  case truncate:
    message.pop_back();
    break;
  case set_guest:
    put_u16(message, session_flags_at, u16_at(message, session_flags_at) | 1);
    break;
  case downgrade_request:
    offer_less(message);
    break;
  case downgrade_answer:
    put_u16(message, answered_dialect_at, dialect_2_1);
    break;
  case none:
  case lie_about_length:
  case hold_back:
  case close:
    break;
  }
  return {std::move(message)};
}

struct SmbFront::State {
  explicit State(SmbFrontOptions given) : options(std::move(given)) {}

  SmbFrontOptions options;
  std::atomic<int> connections{0};
  std::atomic<int> done{0};
  asio::io_context io{1};
  FrontAcceptor acceptor{io.get_executor()};
  std::thread thread;

  struct Connection {
    explicit Connection(TcpSocket from) : client(std::move(from)), server(client.get_executor()) {}
    TcpSocket client, server;
    int met = 0; // messages that the mischief is for

    void close() {
      boost::system::error_code gone;
      client.close(gone);
      server.close(gone);
    }
  };
  using Shared = std::shared_ptr<Connection>;

  Task<> accept() {
    for (;;) {
      auto [error, socket] = co_await acceptor.async_accept(as_result);
      if (error) co_return;
      ++connections;
      asio::co_spawn(io, serve(std::make_shared<Connection>(std::move(socket))), asio::detached);
    }
  }

  Task<> serve(Shared connection) {
    auto [error] = co_await connection->server.async_connect(
        {asio::ip::make_address(options.smb_address), options.smb_port}, as_result);
    boost::system::error_code ignored;
    connection->client.set_option(Tcp::no_delay(true), ignored);
    connection->server.set_option(Tcp::no_delay(true), ignored);
    if (error) co_return connection->close();
    asio::co_spawn(io, pass(connection, connection->client, connection->server, true), asio::detached);
    co_await pass(connection, connection->server, connection->client, false);
  }

  Task<> pass(Shared connection, TcpSocket &from, TcpSocket &to, bool of_client) {
    using enum SmbMischief;
    for (;;) {
      auto message = co_await read_message(from);
      if (message.empty()) break;
      const auto mischief =
          is_meant(message, of_client) && ++connection->met == options.which ? options.mischief : none;
      if (mischief != none) ++done;
      if (mischief == hold_back) {
        co_await drain(from);
        break;
      }
      if (mischief == SmbMischief::close) break;
      for (const auto &one : with_mischief(mischief, std::move(message))) {
        const auto bytes = framed(one, mischief == lie_about_length ? largest - 1 : one.size());
        if (auto [error, count] = co_await asio::async_write(to, asio::buffer(bytes), as_result); error)
          co_return connection->close();
      }
    }
    connection->close();
  }

  /// Nothing more goes on; until the connection ends.
  Task<> drain(TcpSocket &from) {
    while (!(co_await read_message(from)).empty()) {
    }
  }

  bool is_meant(const tds::Bytes &message, bool of_client) const {
    if (options.mischief == SmbMischief::none || message.size() < header_size) return false;
    if (of_client != (options.mischief == SmbMischief::downgrade_request)) return false;
    if (is_sealed(message)) return options.encrypted;
    return !options.encrypted && message[0] == plain &&
           u16_at(message, command_at) == static_cast<std::uint16_t>(options.command);
  }
};

SmbFront::SmbFront(SmbFrontOptions options) : state_(std::make_unique<State>(std::move(options))) {
  listen(state_->acceptor, "SMB front", state_->options.address, state_->options.port);
  asio::co_spawn(state_->io, state_->accept(), asio::detached);
  state_->thread = std::thread([state = state_.get()] { state->io.run(); });
}

SmbFront::~SmbFront() {
  state_->io.stop();
  state_->thread.join();
}

std::uint16_t SmbFront::port() const { return state_->acceptor.local_endpoint().port(); }
int SmbFront::connections() const { return state_->connections; }
int SmbFront::done() const { return state_->done; }

} // namespace lab
