#include "tests/fuzz/seeds/seeds.hpp"

#include "tests/unit/tds/packet_test.cpp"

using namespace tds::test;

SEEDS(packet) {
  // The limit of a message, the piece that the stream is cut into, the size of packets; then the wire.
  const auto with = [](std::uint16_t limit, std::uint8_t piece, const tds::Bytes &wire) {
    const auto high = static_cast<std::uint8_t>(limit >> 8), low = static_cast<std::uint8_t>(limit);
    fuzz::seed("packet", joined({{high, low, piece, 0x02, 0x00}, wire}));
  };
  for (const auto &row : headers)
    with(100, 0, row.bytes);
  for (const auto &row : messages)
    with(100, 3, row.wire);
  for (const auto &row : unusable)
    with(static_cast<std::uint16_t>(row.max_message), 1, row.wire);
  with(100, 7, joined({messages[1].wire, messages[3].wire, messages[0].wire}));
  with(65535, 255, tds::encode_message(tds::PacketType::sql_batch, tds::Bytes(3000), 9));
}
