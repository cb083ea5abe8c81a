// Packets to messages, with the stream cut at any place (tds/packet.hpp).
#include "tds/packet.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <utility>

namespace {

struct Read {
  std::vector<tds::Message> messages;
  bool failed = false;
  bool operator==(const Read &other) const {
    const auto same = [](const tds::Message &a, const tds::Message &b) {
      return a.type == b.type && a.spid == b.spid && a.payload == b.payload;
    };
    return failed == other.failed &&
           std::equal(messages.begin(), messages.end(), other.messages.begin(), other.messages.end(), same);
  }
};

/// Pieces of `piece` bytes; 0: all at once.
Read read(fuzz::ByteView wire, std::size_t largest, std::size_t piece) {
  Read result;
  tds::MessageReader reader(largest);
  // Fed bytes stand there until the next feed, a message grows by doubling while its packets come.
  const std::size_t bound = 8 * wire.size() + 2048;
  while (!wire.empty() && !result.failed) {
    const auto part = wire.first(piece == 0 ? wire.size() : std::min(piece, wire.size()));
    wire = wire.subspan(part.size());
    fuzz::within(bound, [&] {
      reader.feed(part);
      while (true) {
        auto message = reader.next();
        result.failed = !message;
        if (!message || !*message) return true;
        fuzz::require((*message)->payload.size() <= largest, "no message is longer than the limit");
        result.messages.push_back(std::move(**message));
      }
    });
  }
  return result;
}

} // namespace

FUZZ_TARGET(packet, 65536) {
  fuzz::Cursor in(input);
  const std::size_t largest = in.u16();
  const std::size_t piece = 1 + in.u8();
  const std::size_t packet_size = in.u16();
  const auto wire = in.rest();

  const Read whole = read(wire, largest, 0);
  fuzz::require(whole == read(wire, largest, piece), "where the stream is cut changes nothing");

  for (const auto &message : whole.messages) {
    const tds::Bytes again = tds::encode_message(message.type, message.payload, packet_size, message.spid);
    const Read back = read(again, message.payload.size(), piece);
    fuzz::require(!back.failed && back.messages.size() == 1 && back.messages[0].payload == message.payload &&
                      back.messages[0].type == message.type && back.messages[0].spid == message.spid,
                  "decode, encode, decode gives the same message");
  }
  if (const auto header = tds::decode_packet_header(wire)) {
    tds::Writer out;
    tds::encode_packet_header(out, *header);
    fuzz::require(std::equal(out.bytes().begin(), out.bytes().end(), wire.begin()),
                  "a header has one encoding");
  }
}
