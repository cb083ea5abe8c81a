#include "shim/transport/relay.hpp"

namespace shim {
namespace {

/// Borrowed while bytes are being moved, by one direction at a time: never across a wait.
constexpr std::size_t buffer_size = 16 * 1024;
/// Of what a client sends, in bytes: it may be a part of a long message, of which the client keeps the next
/// one back. (Packets are of 4,096 bytes by default.)
constexpr std::size_t large_part = 4000;
/// After so many full buffers in a row other connections of the thread get their turn.
constexpr int most_turns = 16;

char *borrowed_buffer() {
  static thread_local std::vector<char> buffer(buffer_size);
  return buffer.data();
}

} // namespace

Relay::Relay(Stream client, Stream server, Millis idle, std::function<void(RelayEnd)> ended)
    : client_(std::move(client)),
      server_(std::move(server)), up_{client_, server_, "client", "server"}, down_{server_, client_, "server",
                                                                                   "client"},
      idle_(idle), timer_(client_.get_executor()), ended_(std::move(ended)) {}

template <class Step> void Relay::with_memory(Step step) {
  try {
    step();
  } catch (const std::bad_alloc &) {
    end("us", "out of memory");
  }
}

void Relay::start() {
  if (!client_.open() || !server_.open())
    return end("us", make_error_code(boost::system::errc::bad_file_descriptor).message());
  // What TLS has decrypted already makes no socket readable: so the first step is to try.
  with_memory([this] {
    for (auto *direction : {&up_, &down_}) {
      direction->from.read_ahead();
      if (direction->from.buffers())
        pump_later(*direction);
      else
        wait_at(At::from, Wait::readable, *direction, &Relay::pump);
    }
    arm_idle();
  });
}

void Relay::stop(const std::string &reason) { end("us", reason); }

void Relay::wait_at(At where, Wait wait, Direction &direction, void (Relay::*next)(Direction &)) {
  auto &stream = where == At::from ? direction.from : direction.to;
  stream.async_wait(
      wait, [self = shared_from_this(), where, &direction, next](boost::system::error_code error) {
        if (!self->ended_) return;
        if (error) return self->end(where == At::from ? direction.reader : direction.writer, error.message());
        self->with_memory([&] { (self.get()->*next)(direction); });
      });
}

void Relay::pump_later(Direction &direction) {
  asio::post(direction.from.get_executor(), [self = shared_from_this(), &direction] {
    if (self->ended_) self->with_memory([&] { self->pump(direction); });
  });
}

void Relay::send_unsent(Direction &direction) {
  Moved written;
  if (!write_some(direction, direction.unsent.data(), direction.unsent.size(), written)) return;
  if (written.count < direction.unsent.size()) {
    direction.unsent.erase(direction.unsent.begin(),
                           direction.unsent.begin() + static_cast<std::ptrdiff_t>(written.count));
    return wait_at(At::to, written.wait, direction, &Relay::send_unsent);
  }
  std::vector<char>().swap(direction.unsent);
  pump(direction);
}

/// A server makes a record of TLS of each packet: many go on in one write. What ends the stream behind
/// them shows at the next call.
Moved Relay::read_some(Direction &direction, char *buffer) {
  if (direction.error) return {0, direction.error, Wait::none};
  auto read = direction.from.try_read(buffer, buffer_size);
  while (read.count > 0 && read.count < buffer_size && direction.from.has_more()) {
    const auto more = direction.from.try_read(buffer + read.count, buffer_size - read.count);
    direction.error = more.error;
    if (more.count == 0) break;
    read.count += more.count;
  }
  return read;
}

void Relay::pump(Direction &direction) {
  char *buffer = borrowed_buffer();
  for (int turn = 0; turn < most_turns; ++turn) {
    auto read = read_some(direction, buffer);
    if (read.wait != Wait::none) return wait_at(At::from, read.wait, direction, &Relay::pump);
    if (read.error == asio::error::eof) return finish_direction(direction);
    if (read.error) return end(direction.reader, read.error.message());
    if (&direction == &up_ && read.count >= large_part) direction.from.acknowledge();
    Moved written;
    if (!write_some(direction, buffer, read.count, written)) return;
    if (written.count < read.count) {
      direction.unsent.assign(buffer + written.count, buffer + read.count);
      return wait_at(At::to, written.wait, direction, &Relay::send_unsent);
    }
    // The socket is empty. (Of TLS, which gives one record at a time, that cannot be told.)
    if (read.count < buffer_size && !direction.from.buffers())
      return wait_at(At::from, Wait::readable, direction, &Relay::pump);
  }
  pump_later(direction);
}

bool Relay::write_some(Direction &direction, const char *data, std::size_t size, Moved &written) {
  while (written.count < size) {
    auto moved = direction.to.try_write(data + written.count, size - written.count);
    written.count += moved.count;
    direction.moved += moved.count;
    if (moved.count != 0) moved_since_ = true;
    if (moved.error) {
      end(direction.writer, moved.error.message());
      return false;
    }
    if (moved.wait != Wait::none) {
      written.wait = moved.wait;
      return true;
    }
  }
  return true;
}

void Relay::finish_direction(Direction &direction) {
  auto wait = direction.to.shutdown_send();
  if (wait != Wait::none) return wait_at(At::to, wait, direction, &Relay::finish_direction);
  direction.ended = true;
  // Both have said their last: whoever was second did not start it.
  if (up_.ended && down_.ended) end(direction.reader == up_.reader ? down_.reader : up_.reader, "closed");
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
  timer_.cancel();
  client_.close();
  server_.close();
  ended({by, reason, up_.moved, down_.moved});
}

} // namespace shim
