#include "shim/smb/pipe.hpp"

#include <algorithm>
#include <utility>

namespace shim::smb {

std::size_t whole_unit(ByteView bytes) {
  constexpr std::size_t packet_header = 8, record_header = 5;
  constexpr std::uint8_t first_record = 0x14, last_record = 0x17;
  if (bytes.size() < record_header) return 0;
  const bool record = bytes[0] >= first_record && bytes[0] <= last_record;
  const std::size_t size = record ? record_header + (std::size_t{bytes[3]} << 8 | bytes[4])
                                  : std::size_t{bytes[2]} << 8 | bytes[3];
  if (!record && size < packet_header) return std::min(bytes.size(), largest_payload);
  if (size > largest_payload) return largest_payload;
  return bytes.size() < size ? 0 : size;
}

Pipe::Pipe(Pipes &pipes, std::string_view name) : pipes_(pipes), name_(tds::to_utf16(name)) {
  pipes_.pipes_.push_back(this);
  pump();
}

Pipe::~Pipe() {
  auto &channel = pipes_.channel();
  std::erase(pipes_.pipes_, this);
  for (auto &[id, owner] : pipes_.owners_)
    if (owner == this) owner = nullptr;
  if (reading_) channel.cancel(*reading_);
  if (state_ != State::open || closing_ || !channel.has_credit()) return;
  pipes_.ask(channel.request(Command::close, CloseRequest{file_}), nullptr);
}

std::size_t Pipe::read(char *data, std::size_t size) {
  const auto count = std::min(size, received_.size() - read_);
  std::copy_n(received_.begin() + static_cast<std::ptrdiff_t>(read_), count, data);
  read_ += count;
  if (read_ == received_.size()) {
    Bytes().swap(received_); // an idle pipe owns no buffer
    read_ = 0;
    pump();
  }
  return count;
}

std::size_t Pipe::write(const char *data, std::size_t size) {
  if (!can_write()) return 0;
  const auto count = std::min(size, most_unsent - unsent_.size());
  unsent_.insert(unsent_.end(), data, data + count);
  pump();
  return count;
}

void Pipe::close() {
  closing_ = true;
  pump();
}

void Pipe::fail(Fault fault, std::string detail) {
  if (state_ == State::failed) return;
  state_ = State::failed;
  failure_ = {fault, std::move(detail)};
}

bool Pipe::send_unit() {
  auto &channel = pipes_.channel();
  auto size = whole_unit(unsent_);
  // A unit that does not fit, or a rest at the end, goes in pieces rather than never.
  if (size == 0 && (closing_ || unsent_.size() >= most_unsent)) size = unsent_.size();
  if (size == 0 || writes_.size() >= most_writes || !channel.has_credit()) return false;
  const auto id = channel.request(Command::write, WriteRequest{file_, ByteView(unsent_).first(size)});
  pipes_.ask(id, this);
  writes_[id] = size;
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(size));
  if (unsent_.empty()) Bytes().swap(unsent_);
  return true;
}

void Pipe::pump() {
  auto &channel = pipes_.channel();
  if (asked_) return;
  if (state_ == State::opening && channel.has_credit()) {
    asked_ = true;
    return pipes_.ask(channel.request(Command::create, CreateRequest{name_}), this);
  }
  if (state_ == State::waiting && channel.has_credit()) {
    asked_ = true;
    const IoctlRequest wait{fsctl_pipe_wait, no_file, encode_pipe_wait(name_, wait_milliseconds), 0};
    return pipes_.ask(channel.request(Command::ioctl, wait), this);
  }
  if (state_ != State::open) return;
  // Writes first: a server of one credit may hold it for as long as a READ waits.
  while (send_unit()) {
  }
  if (closing_ && unsent_.empty() && writes_.empty() && channel.has_credit()) {
    asked_ = true;
    return pipes_.ask(channel.request(Command::close, CloseRequest{file_}), this);
  }
  if (!reading_ && !closing_ && received_.empty() && whole_unit(unsent_) == 0 && channel.has_credit()) {
    cancelled_ = false;
    reading_ = channel.request(Command::read, ReadRequest{file_, largest_payload});
    return pipes_.ask(*reading_, this);
  }
  // No credit, and what holds the last one may wait for ever: the READ makes room for what is to be said.
  const bool stuck = !channel.has_credit() && (whole_unit(unsent_) != 0 || closing_) && writes_.empty();
  if (stuck && reading_ && !cancelled_ && channel.is_pending(*reading_)) {
    cancelled_ = true;
    channel.cancel(*reading_);
  }
}

void Pipe::on_create(const Reply &reply) {
  switch (reply.header.status) {
  case Status::success:
    break;
  case Status::pipe_not_available:
  case Status::pipe_busy:
    if (waits_++ >= most_waits)
      return fail(Fault::pipe_busy,
                  "every instance of the pipe is busy (" + to_string(reply.header.status) + ")");
    state_ = State::waiting;
    return;
  case Status::object_name_not_found:
    return fail(Fault::pipe_missing, "there is no such pipe (" + to_string(reply.header.status) + ")");
  case Status::access_denied:
    return fail(Fault::access_denied, "the pipe may not be opened (" + to_string(reply.header.status) + ")");
  default:
    return fail(Fault::server_error, "CREATE is answered with " + to_string(reply.header.status));
  }
  const auto file = decode_create_response(reply.message);
  if (!file) return fail(Fault::protocol_violation, file.error().text());
  file_ = *file;
  state_ = State::open;
}

void Pipe::on_read(const Reply &reply) {
  reading_.reset();
  switch (reply.header.status) {
  case Status::success:
  case Status::buffer_overflow: // a part of a message: the next READ brings more
    break;
  case Status::cancelled:
    if (!cancelled_) fail(Fault::server_error, "READ is answered with " + to_string(reply.header.status));
    return;
  case Status::end_of_file:
  case Status::pipe_disconnected:
  case Status::pipe_broken:
  case Status::file_closed:
    state_ = State::closed;
    return;
  default:
    return fail(Fault::server_error, "READ is answered with " + to_string(reply.header.status));
  }
  const auto data = decode_read_response(reply.message);
  if (!data) return fail(Fault::protocol_violation, data.error().text());
  if (data->size() > largest_payload) return fail(Fault::protocol_violation, "more than was asked for");
  received_.assign(data->begin(), data->end());
}

void Pipe::on_reply(std::uint64_t id, const Reply &reply) {
  const auto status = reply.header.status;
  switch (reply.header.command) {
  case Command::create:
    asked_ = false;
    return on_create(reply);
  case Command::ioctl:
    asked_ = false;
    if (status == Status::success || status == Status::io_timeout)
      state_ = State::opening;
    else
      fail(status == Status::object_name_not_found ? Fault::pipe_missing : Fault::pipe_busy,
           "waiting for the pipe is answered with " + to_string(status));
    return;
  case Command::close:
    asked_ = false;
    state_ = State::closed;
    return;
  case Command::write: {
    const auto size = std::exchange(writes_[id], 0);
    writes_.erase(id);
    if (status == Status::pipe_disconnected || status == Status::pipe_broken || status == Status::file_closed)
      return; // the READ tells, after what the server still said
    if (status != Status::success)
      return fail(Fault::server_error, "WRITE is answered with " + to_string(status));
    if (const auto count = decode_write_response(reply.message); !count || *count != size)
      fail(Fault::protocol_violation, count ? "a part of a WRITE was taken" : count.error().text());
    return;
  }
  default:
    if (reading_ == id) on_read(reply);
  }
}

Expected<void> Pipes::step() {
  for (;;) {
    auto reply = channel().next_reply();
    if (!reply) {
      for (auto *pipe : pipes_)
        pipe->fail(reply.error().fault, reply.error().detail);
      return std::unexpected(std::move(reply.error()));
    }
    if (!*reply) break;
    const auto id = (*reply)->header.message_id;
    const auto found = owners_.find(id);
    auto *owner = found == owners_.end() ? nullptr : found->second;
    if (found != owners_.end()) owners_.erase(found);
    if (owner) owner->on_reply(id, **reply);
  }
  for (auto *pipe : pipes_)
    pipe->pump();
  return {};
}

void Pipes::end_of_stream() {
  for (auto *pipe : pipes_)
    pipe->fail(Fault::closed, "the server closed the connection");
}

} // namespace shim::smb
