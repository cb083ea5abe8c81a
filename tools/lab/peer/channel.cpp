#include "tools/lab/peer/channel.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>

namespace lab {
namespace {

constexpr std::uint8_t status_reset = 0x08;
constexpr std::uint8_t status_reset_skip_transaction = 0x10;
constexpr std::uint32_t smp_window = 4;

/// Bytes of what may be a part of a long message, of which a client that sends by Nagle's algorithm keeps the
/// next one back until this one is acknowledged.
constexpr std::size_t large_part = 4000;

bool belongs_to_tds(tds::PacketType type) {
  using enum tds::PacketType;
  for (const auto known : {sql_batch, rpc, attention, bulk, transaction_manager, login7, sspi, prelogin})
    if (type == known) return true;
  return false;
}

} // namespace

void Wire::acknowledge() {
  const int now = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
}

shim::Task<tds::ByteView> Wire::read() {
  while (!ended_) {
    const auto [error, size] = co_await socket_.async_read_some(asio::buffer(buffer_), shim::as_result);
    if (error) break;
    bytes_read_ += size;
    if (size >= large_part) acknowledge();
    const tds::ByteView bytes(buffer_.data(), size);
    recorder_.received(bytes);
    auto step = tls_.receive(bytes);
    if (step.agreed) record_tls();
    if (step.silent) recorder_.fact("state", "hanging");
    recorder_.understood(step.plain);
    if (!step.send.empty()) {
      co_await take_turn();
      co_await send(step.send);
    }
    if (step.reset) reset();
    if (!step.failure.empty()) throw ConnectionEnded(step.failure);
    ended_ = step.ended;
    plain_ = std::move(step.plain);
    if (!plain_.empty()) co_return plain_;
  }
  co_return tds::ByteView();
}

shim::Task<> Wire::write(tds::ByteView bytes) {
  co_await take_turn();
  const auto sealed = tls_.seal(bytes); // in the order in which it goes out
  co_await send(sealed);
}

shim::Task<> Wire::take_turn() {
  while (writing_)
    co_await turn_.wait(shim::Millis(0));
}

shim::Task<> Wire::send(tds::ByteView bytes) {
  writing_ = true;
  const auto [error, size] =
      co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), shim::as_result);
  writing_ = false;
  turn_.notify();
  if (error) throw ConnectionEnded("the client went away while the peer was writing");
}

void Wire::record_tls() {
  const auto &session = *tls_.session();
  recorder_.facts({{"mode", to_string(tls_.mode())},
                   {"tls",
                    {{"version", session.version()},
                     {"cipher", session.cipher()},
                     {"alpn", session.alpn()},
                     {"sni", session.server_name()}}}});
}

void Wire::shutdown() {
  boost::system::error_code gone;
  // As far as there is room: nobody waits for a client that does not read, and nothing goes
  // into the middle of a record.
  if (const auto farewell = writing_ ? tds::Bytes() : tls_.close(); !farewell.empty()) {
    socket_.non_blocking(true, gone);
    if (!gone) socket_.write_some(asio::buffer(farewell), gone);
  }
  socket_.shutdown(asio::socket_base::shutdown_send, gone);
}

void Wire::reset() {
  boost::system::error_code gone;
  socket_.set_option(asio::socket_base::linger(true, 0), gone);
  close();
}

void Wire::close() {
  boost::system::error_code gone;
  socket_.close(gone);
  turn_.notify();
}

Channel::Channel(Wire &wire, shim::Executor executor, std::optional<std::uint16_t> sid)
    : wire_(wire), sid_(sid), changed_(executor), reader_(tds::largest_login7) {}

void Channel::feed(tds::ByteView bytes) {
  received_ += 1;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  std::size_t used = 0;
  while (buffer_.size() - used >= tds::packet_header_size) {
    const auto rest = tds::ByteView(buffer_).subspan(used);
    const auto header = tds::decode_packet_header(rest.first(tds::packet_header_size));
    if (!header) throw ConnectionEnded(header.error().text());
    // At once, whatever length it claims: a TLS alert where TLS is over would be waited for otherwise.
    if (!belongs_to_tds(header->type))
      throw ConnectionEnded(fmt::format("a packet of type 0x{:02X}", static_cast<int>(header->type)));
    if (rest.size() < header->length) break;
    take_packet(*header, rest.first(header->length));
    used += header->length;
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used));
  changed_.notify();
}

void Channel::take_packet(const tds::PacketHeader &header, tds::ByteView packet) {
  if (header.type == tds::PacketType::attention) {
    messages_.clear(); // it cancels what was asked and not yet begun, too
    attention_ = true;
    return;
  }
  if (!mid_message_)
    reset_ = static_cast<std::uint8_t>(header.status & (status_reset | status_reset_skip_transaction));
  const bool last = header.status & tds::status_eom;
  mid_message_ = !last;
  reader_.feed(packet);
  auto message = reader_.next();
  if (!message) throw ConnectionEnded(message.error().text());
  // EOM with IGNORE: the client gave its request up half-way (MS-TDS 2.2.3.1.2); an attention follows.
  if (*message && !(header.status & tds::status_ignore))
    messages_.push_back({std::move(**message), reset_ != 0, (reset_ & status_reset_skip_transaction) != 0});
}

shim::Task<> Channel::until_ended() {
  while (!ended_)
    co_await changed_.wait(shim::Millis(0));
}

void Channel::end() {
  ended_ = true;
  changed_.notify();
}

shim::Task<std::optional<Incoming>> Channel::next() {
  while (messages_.empty() && !ended_ && !attention_)
    co_await changed_.wait(shim::Millis(0));
  if (messages_.empty() || attention_) co_return std::nullopt;
  auto incoming = std::move(messages_.front());
  messages_.pop_front();
  co_return incoming;
}

shim::Task<> Channel::send_packet(tds::ByteView packet) {
  if (!sid_) {
    co_await wire_.write(packet);
    co_return;
  }
  while (sent_ >= send_window_ && !ended_)
    co_await changed_.wait(shim::Millis(0));
  if (ended_) throw ConnectionEnded("the client ended the MARS session");
  told_ = received_;
  const auto frame = encode_smp(
      {.flags = SmpHeader::data, .sid = *sid_, .sequence = ++sent_, .window = received_ + smp_window},
      packet);
  co_await wire_.write(frame);
}

shim::Task<> Channel::acknowledge() {
  if (!sid_ || received_ - told_ < smp_window / 2) co_return;
  told_ = received_;
  co_await wire_.write(encode_smp(
      {.flags = SmpHeader::ack, .sid = *sid_, .sequence = sent_, .window = received_ + smp_window}));
}

shim::Task<> ReplyStream::write(tds::ByteView payload) {
  pending_.insert(pending_.end(), payload.begin(), payload.end());
  std::size_t sent = 0;
  // The last packet is kept back: only finish() knows that nothing follows.
  for (; pending_.size() - sent > room_; sent += room_)
    co_await packet(tds::ByteView(pending_).subspan(sent, room_), false);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(sent));
}

shim::Task<> ReplyStream::finish() {
  co_await packet(pending_, true);
  pending_.clear();
}

shim::Task<> ReplyStream::packet(tds::ByteView payload, bool last) {
  tds::Writer out;
  tds::encode_packet_header(out,
                            {.type = tds::PacketType::reply,
                             .status = last ? tds::status_eom : std::uint8_t{0},
                             .length = static_cast<std::uint16_t>(tds::packet_header_size + payload.size()),
                             .spid = spid_,
                             .packet_id = packet_id_++,
                             .window = 0});
  out.append(payload);
  co_await channel_.send_packet(out.bytes());
}

std::optional<SmpHeader> decode_smp(tds::ByteView bytes) {
  tds::Reader in(bytes, "SMP");
  const auto id = in.u8("SMID");
  const auto flags = in.u8("FLAGS");
  const auto sid = in.u16_le("SID");
  const auto length = in.u32_le("LENGTH");
  const auto sequence = in.u32_le("SEQNUM");
  const auto window = in.u32_le("WNDW");
  if (!window || *id != SmpHeader::id || *length < SmpHeader::size ||
      *length > SmpHeader::size + tds::largest_packet_size)
    return std::nullopt;
  return SmpHeader{*flags, *sid, *length, *sequence, *window};
}

tds::Bytes encode_smp(const SmpHeader &header, tds::ByteView data) {
  tds::Writer out;
  out.u8(SmpHeader::id);
  out.u8(header.flags);
  out.u16_le(header.sid);
  out.u32_le(static_cast<std::uint32_t>(SmpHeader::size + data.size()));
  out.u32_le(header.sequence);
  out.u32_le(header.window);
  out.append(data);
  return std::move(out).bytes();
}

} // namespace lab
