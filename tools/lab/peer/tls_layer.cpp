#include "tools/lab/peer/tls_layer.hpp"

#include "tds/packet.hpp"

#include <algorithm>

namespace lab {
namespace {

constexpr std::size_t record_header_size = 5;
constexpr std::size_t largest_record = record_header_size + 16 * 1024 + 2048; // RFC 5246 6.2.3
constexpr std::uint8_t handshake_record = 0x16;
constexpr std::string_view garbage = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

void append(tds::Bytes &to, tds::ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

void drop_front(tds::Bytes &bytes, std::size_t size) {
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

/// The size of the TDS packet that begins here; nothing while its header is not whole.
std::optional<std::size_t> packet_size(tds::ByteView bytes) {
  if (bytes.size() < tds::packet_header_size) return {};
  const auto header = tds::decode_packet_header(bytes.first(tds::packet_header_size));
  if (!header) throw TlsError(header.error().text());
  if (header->length > tds::largest_packet_size) throw TlsError("a TDS packet that is too long");
  return header->length;
}

} // namespace

void TlsLayer::begin(TlsMode mode, const TlsContext &context, TlsManner manner) {
  mode_ = mode;
  manner_ = manner;
  session_.emplace(context);
  state_ = State::handshake;
}

TlsLayer::Step TlsLayer::receive(tds::ByteView bytes) {
  Step step;
  if (state_ == State::clear) {
    append(step.plain, bytes);
    return step;
  }
  append(pending_, bytes);
  try {
    if (state_ == State::handshake) receive_handshake(step);
    if (state_ == State::first_packet) receive_first_packet(step);
    if (state_ == State::secret) receive_secret(step);
    if (state_ == State::clear)
      append(step.plain, std::exchange(pending_, {})); // login-only TLS ended in these bytes
  } catch (const TlsError &error) {
    step.failure = error.what();
    auto alert = session_->output();
    append(step.send, state_ == State::handshake ? wrapped(std::move(alert)) : alert);
  }
  return step;
}

void TlsLayer::receive_handshake(Step &step) {
  if (mode_ == TlsMode::strict && !std::exchange(begun_, true) && pending_.front() != handshake_record) {
    step.failure = "something else than TLS came to a server that speaks TDS 8.0 alone";
    step.reset = true;
    return;
  }
  for (tds::Bytes flight; take_flight(flight); flight.clear()) {
    if (manner_.fault != TlsManner::Fault::none) {
      answer_hello_badly(step);
      if (!step.failure.empty()) return;
      continue;
    }
    session_->feed(flight);
    const bool complete = session_->handshake();
    append(step.send, wrapped(session_->output()));
    if (!complete) continue;
    step.agreed = true;
    state_ = mode_ == TlsMode::login ? State::first_packet : State::secret;
    return;
  }
}

/// The next piece of the client's handshake, out of its TDS packet. Whether there is one.
bool TlsLayer::take_flight(tds::Bytes &flight) {
  if (mode_ == TlsMode::strict) {
    flight = std::exchange(pending_, {});
    return !flight.empty();
  }
  const auto size = packet_size(pending_);
  if (!size || pending_.size() < *size) return false;
  if (pending_.front() != static_cast<std::uint8_t>(tds::PacketType::prelogin))
    throw TlsError("a TDS packet of another type than PRELOGIN in the TLS handshake");
  flight.assign(pending_.begin() + tds::packet_header_size,
                pending_.begin() + static_cast<std::ptrdiff_t>(*size));
  drop_front(pending_, *size);
  return true;
}

void TlsLayer::answer_hello_badly(Step &step) const {
  switch (manner_.fault) {
  case TlsManner::Fault::garbage:
    step.send = wrapped(tds::Bytes(garbage.begin(), garbage.end()));
    step.failure = "ClientHello was answered with something else than TLS, as told";
    break;
  case TlsManner::Fault::close:
    step.failure = "closed at ClientHello, as told";
    break;
  case TlsManner::Fault::silence:
    step.silent = true;
    break;
  case TlsManner::Fault::none:
    break;
  }
}

/// Record by record: what stands behind the one with the packet's last byte is clear already.
void TlsLayer::receive_first_packet(Step &step) {
  while (pending_.size() >= record_header_size) {
    const std::size_t size = record_header_size + pending_[3] * 256u + pending_[4];
    if (size > largest_record) throw TlsError("a TLS record that is too long");
    if (pending_.size() < size) return;
    session_->feed(tds::ByteView(pending_).first(size));
    drop_front(pending_, size);
    append(first_, session_->read());
    append(step.send, session_->output());
    if (session_->ended()) {
      step.ended = true;
      return;
    }
    const auto whole = packet_size(first_);
    if (!whole || first_.size() < *whole) continue;
    if (first_.size() > *whole) throw TlsError("more than the first packet of LOGIN7 is encrypted");
    append(step.plain, std::exchange(first_, {}));
    state_ = State::clear;
    return;
  }
}

void TlsLayer::receive_secret(Step &step) {
  session_->feed(std::exchange(pending_, {}));
  append(step.plain, session_->read());
  append(step.send, session_->output());
  step.ended = session_->ended();
}

tds::Bytes TlsLayer::seal(tds::ByteView plain) {
  if (state_ != State::secret) return {plain.begin(), plain.end()};
  session_->write(plain);
  return session_->output();
}

tds::Bytes TlsLayer::close() {
  if (state_ != State::secret) return {};
  session_->close();
  return session_->output();
}

tds::Bytes TlsLayer::wrapped(tds::Bytes flight) const {
  if (mode_ == TlsMode::strict || flight.empty()) return flight;
  return tds::encode_message(manner_.in_replies ? tds::PacketType::reply : tds::PacketType::prelogin, flight);
}

} // namespace lab
