#include "shim/transport/smb_connection.hpp"

namespace shim {
namespace {

constexpr std::size_t buffer_size = 64 * 1024;
/// After so many full buffers in a row others of the thread get their turn.
constexpr int most_turns = 8;

/// Borrowed while bytes are being moved, never across a wait.
char *borrowed_buffer() {
  static thread_local std::vector<char> buffer(buffer_size);
  return buffer.data();
}

tds::ByteView bytes_of(const char *data, std::size_t size) {
  return {reinterpret_cast<const std::uint8_t *>(data), size};
}

std::unexpected<smb::Failure> closed(const std::string &why) {
  return std::unexpected(smb::Failure{smb::Fault::closed, why});
}

} // namespace

SmbConnection::SmbConnection(Socket socket, smb::SessionRequest request)
    : wire_(std::move(socket)), session_(std::move(request)), pipes_(session_) {}

Task<std::expected<std::shared_ptr<SmbConnection>, smb::Failure>>
SmbConnection::open(Socket socket, smb::SessionRequest request, std::unique_ptr<auth::Initiator> initiator) {
  auto connection = std::make_shared<SmbConnection>(std::move(socket), std::move(request));
  auto stands = co_await connection->set_up(*initiator);
  if (!stands) co_return std::unexpected(std::move(stands.error()));
  connection->read_when_ready();
  co_return connection;
}

std::expected<void, smb::Failure> SmbConnection::give_token(auth::Initiator &initiator,
                                                            const smb::NeedToken &need) {
  auto step = initiator.step(need.server_token);
  if (!step) return std::unexpected(smb::Failure{smb::Fault::logon_failure, step.error().text});
  tds::Bytes key;
  if (step->complete) {
    const auto shared = initiator.session_key();
    if (!shared) return std::unexpected(smb::Failure{smb::Fault::signing_refused, shared.error().text});
    key.assign(shared->reveal().begin(), shared->reveal().end());
  }
  session_.token(std::move(step->token), step->complete, std::move(key));
  return {};
}

Task<std::expected<void, smb::Failure>> SmbConnection::set_up(auth::Initiator &initiator) {
  for (;;) {
    auto action = session_.next();
    auto moved = Moved{};
    if (std::holds_alternative<smb::Stands>(action)) co_return std::expected<void, smb::Failure>();
    if (auto *failure = std::get_if<smb::Failure>(&action)) co_return std::unexpected(std::move(*failure));
    if (auto *need = std::get_if<smb::NeedToken>(&action)) {
      if (auto given = give_token(initiator, *need); !given)
        co_return std::unexpected(std::move(given.error()));
      continue;
    }
    if (std::holds_alternative<smb::Send>(action)) {
      const auto out = session_.output();
      moved = wire_.write(reinterpret_cast<const char *>(out.data()), out.size());
      session_.sent(moved.count);
    } else {
      auto *buffer = borrowed_buffer();
      moved = wire_.read(buffer, buffer_size);
      session_.receive(bytes_of(buffer, moved.count));
      if (moved.error == asio::error::eof) session_.end_of_stream();
    }
    if (moved.error && moved.error != asio::error::eof) co_return closed(moved.error.message());
    if (moved.wait == Wait::none) continue;
    auto [error] = co_await wire_.socket()->async_wait(
        moved.wait == Wait::writable ? Socket::wait_write : Socket::wait_read, as_result);
    co_await stop_if_cancelled();
    if (error) co_return closed(error.message());
  }
}

Task<std::expected<std::unique_ptr<Transport>, smb::Failure>> SmbConnection::open_pipe(std::string name) {
  auto transport = std::make_unique<PipeTransport>(shared_from_this(), name);
  using State = smb::Pipe::State;
  while (transport->pipe_->state() == State::opening || transport->pipe_->state() == State::waiting) {
    if (ended_) co_return closed("the connection to the SMB server has ended");
    co_await transport->readable_.wait();
  }
  if (transport->pipe_->state() == State::failed) co_return std::unexpected(transport->pipe_->failure());
  co_return std::unique_ptr<Transport>(std::move(transport));
}

void SmbConnection::flush() {
  while (!flushing_ && !ended_ && !session_.output().empty()) {
    const auto out = session_.output();
    const auto moved = wire_.write(reinterpret_cast<const char *>(out.data()), out.size());
    session_.sent(moved.count);
    if (moved.error) return end({smb::Fault::closed, moved.error.message()});
    if (moved.wait == Wait::none) continue;
    flushing_ = true;
    wire_.socket()->async_wait(Socket::wait_write,
                               [waiting = weak_from_this()](boost::system::error_code error) {
                                 const auto self = waiting.lock();
                                 if (!self) return;
                                 self->flushing_ = false;
                                 if (!error) self->flush();
                               });
  }
}

void SmbConnection::read_when_ready() {
  wire_.socket()->async_wait(Socket::wait_read,
                             [waiting = weak_from_this()](boost::system::error_code error) {
                               const auto self = waiting.lock();
                               if (self && !error) self->on_readable();
                             });
}

void SmbConnection::on_readable() {
  auto *buffer = borrowed_buffer();
  for (int turn = 0; turn < most_turns && !ended_; ++turn) {
    const auto moved = wire_.read(buffer, buffer_size);
    if (moved.error) return end({smb::Fault::closed, moved.error.message()});
    if (moved.wait != Wait::none) break;
    session_.receive(bytes_of(buffer, moved.count));
    if (auto good = pipes_.step(); !good) return end(good.error());
    if (moved.count < buffer_size) break;
  }
  flush();
  wake();
  if (!ended_) read_when_ready();
}

void SmbConnection::end(const smb::Failure &) {
  if (ended_) return;
  ended_ = true;
  pipes_.end_of_stream();
  wire_.close();
  wake();
}

void SmbConnection::wake() {
  for (auto *transport : transports_) {
    transport->readable_.open();
    transport->writable_.open();
  }
}

PipeTransport::PipeTransport(std::shared_ptr<SmbConnection> connection, const std::string &name)
    : connection_(std::move(connection)), readable_(connection_->wire_.get_executor()),
      writable_(connection_->wire_.get_executor()) {
  pipe_.emplace(connection_->pipes_, name);
  connection_->transports_.push_back(this);
  connection_->flush();
}

PipeTransport::~PipeTransport() {
  close();
  std::erase(connection_->transports_, this);
}

boost::system::error_code PipeTransport::error() const {
  if (!pipe_) return asio::error::bad_descriptor;
  if (pipe_->state() == smb::Pipe::State::failed) return asio::error::connection_reset;
  return {};
}

Moved PipeTransport::read(char *data, std::size_t size) {
  if (pipe_ && pipe_->has_data()) {
    const auto count = pipe_->read(data, size);
    connection_->flush(); // the next READ
    return {count, {}, Wait::none};
  }
  if (const auto wrong = error()) return {0, wrong, Wait::none};
  if (interrupted_ || pipe_->at_end()) return {0, asio::error::eof, Wait::none};
  return {0, {}, Wait::readable};
}

Moved PipeTransport::write(const char *data, std::size_t size) {
  if (const auto wrong = error()) return {0, wrong, Wait::none};
  if (interrupted_ || pipe_->state() == smb::Pipe::State::closed)
    return {0, asio::error::broken_pipe, Wait::none};
  const auto count = pipe_->write(data, size);
  connection_->flush();
  if (const auto wrong = error()) return {0, wrong, Wait::none};
  return count > 0 ? Moved{count, {}, Wait::none} : Moved{0, {}, Wait::writable};
}

Wait PipeTransport::shutdown_send() {
  if (!pipe_) return Wait::none;
  pipe_->close();
  connection_->flush();
  return Wait::none;
}

void PipeTransport::close() {
  if (!pipe_) return;
  pipe_.reset();
  connection_->flush();
  readable_.open();
  writable_.open();
}

void PipeTransport::interrupt() {
  interrupted_ = true;
  readable_.open();
  writable_.open();
}

} // namespace shim
