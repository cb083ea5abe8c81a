#include "shim/relay.hpp"

namespace shim {
namespace {

/// Borrowed while bytes are being moved, by one direction at a time: never across a wait.
constexpr std::size_t buffer_size = 16 * 1024;
/// After so many full buffers in a row other connections of the thread get their turn.
constexpr int most_turns = 16;

char *borrowed_buffer() {
  static thread_local std::vector<char> buffer(buffer_size);
  return buffer.data();
}

bool would_block(boost::system::error_code error) {
  return error == asio::error::would_block || error == asio::error::try_again;
}

} // namespace

Relay::Relay(Socket client, Socket server, Millis idle, std::function<void(RelayEnd)> ended)
    : client_(std::move(client)), server_(std::move(server)), up_{client_, server_, "client", "server"},
      down_{server_, client_, "server", "client"}, idle_(idle), timer_(client_.get_executor()),
      ended_(std::move(ended)) {}

template <class Step> void Relay::with_memory(Step step) {
  try {
    step();
  } catch (const std::bad_alloc &) {
    end("us", "out of memory");
  }
}

void Relay::start() {
  boost::system::error_code error;
  client_.non_blocking(true, error);
  if (!error) server_.non_blocking(true, error);
  if (error) return end("us", error.message());
  with_memory([this] {
    wait_readable(up_);
    wait_readable(down_);
    arm_idle();
  });
}

void Relay::stop(const std::string &reason) { end("us", reason); }

void Relay::wait_readable(Direction &direction) {
  direction.from.async_wait(Socket::wait_read,
                            [self = shared_from_this(), &direction](boost::system::error_code error) {
                              if (!self->ended_) return;
                              if (error) return self->end(direction.reader, error.message());
                              self->with_memory([&] { self->pump(direction); });
                            });
}

void Relay::wait_writable(Direction &direction) {
  direction.to.async_wait(Socket::wait_write, [self = shared_from_this(), &direction](boost::system::error_code error) {
    if (!self->ended_) return;
    if (error) return self->end(direction.writer, error.message());
    self->with_memory([&] { self->send_unsent(direction); });
  });
}

void Relay::send_unsent(Direction &direction) {
  std::size_t written = 0;
  if (!write_some(direction, direction.unsent.data(), direction.unsent.size(), written)) return;
  if (written < direction.unsent.size()) {
    direction.unsent.erase(direction.unsent.begin(), direction.unsent.begin() + static_cast<std::ptrdiff_t>(written));
    return wait_writable(direction);
  }
  std::vector<char>().swap(direction.unsent);
  pump(direction);
}

void Relay::pump(Direction &direction) {
  char *buffer = borrowed_buffer();
  for (int turn = 0; turn < most_turns; ++turn) {
    boost::system::error_code error;
    auto count = direction.from.read_some(asio::buffer(buffer, buffer_size), error);
    if (would_block(error)) return wait_readable(direction);
    if (error == asio::error::eof) return finish_direction(direction);
    if (error) return end(direction.reader, error.message());
    std::size_t written = 0;
    if (!write_some(direction, buffer, count, written)) return;
    if (written < count) {
      direction.unsent.assign(buffer + written, buffer + count);
      return wait_writable(direction);
    }
    if (count < buffer_size) return wait_readable(direction);
  }
  asio::post(direction.from.get_executor(), [self = shared_from_this(), &direction] {
    if (self->ended_) self->with_memory([&] { self->pump(direction); });
  });
}

bool Relay::write_some(Direction &direction, const char *data, std::size_t size, std::size_t &written) {
  while (written < size) {
    boost::system::error_code error;
    auto count = direction.to.write_some(asio::buffer(data + written, size - written), error);
    written += count;
    direction.moved += count;
    if (count != 0) moved_since_ = true;
    if (would_block(error)) return true;
    if (error) {
      end(direction.writer, error.message());
      return false;
    }
  }
  return true;
}

void Relay::finish_direction(Direction &direction) {
  direction.eof = true;
  boost::system::error_code ignored;
  direction.to.shutdown(Socket::shutdown_send, ignored);
  // Both have said their last: whoever was second did not start it.
  if (up_.eof && down_.eof) end(direction.reader == up_.reader ? down_.reader : up_.reader, "closed");
}

void Relay::arm_idle() {
  if (idle_.count() == 0) return;
  timer_.expires_after(idle_);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (error || !self->ended_) return;
    if (!self->moved_since_) return self->end("us", "idle");
    self->moved_since_ = false;
    self->with_memory([&] { self->arm_idle(); });
  });
}

void Relay::end(const char *by, const std::string &reason) {
  if (!ended_) return;
  auto ended = std::exchange(ended_, nullptr);
  boost::system::error_code ignored;
  timer_.cancel();
  client_.close(ignored);
  server_.close(ignored);
  ended({by, reason, up_.moved, down_.moved});
}

} // namespace shim
