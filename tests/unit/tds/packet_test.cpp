#include "tds/packet.hpp"

#include "support.hpp"

namespace tds::test {

struct HeaderRow {
  const char *name;
  PacketHeader header;
  Bytes bytes;
};

const HeaderRow headers[] = {
    {"prelogin", {PacketType::prelogin, 0x01, 47, 0, 1, 0}, hex("12 01 002f 0000 01 00")},
    {"reply", {PacketType::reply, 0x01, 353, 53, 1, 0}, hex("04 01 0161 0035 01 00")},
    {"every_field", {PacketType::login7, 0x0B, 0x1234, 0x5678, 0x9A, 0xBC}, hex("10 0b 1234 5678 9a bc")},
    {"unknown_type_is_not_judged", {PacketType{0x7F}, 0, 8, 0, 0, 0}, hex("7f 00 0008 0000 00 00")},
    {"shortest", {PacketType::attention, 0x01, 8, 0, 1, 0}, hex("06 01 0008 0000 01 00")},
};

class PacketHeaderTest : public testing::TestWithParam<HeaderRow> {};
TEST_P(PacketHeaderTest, decode) {
  const auto header = decode_packet_header(GetParam().bytes);
  ASSERT_TRUE(header) << header.error().text();
  EXPECT_EQ(*header, GetParam().header);
}
TEST_P(PacketHeaderTest, encode) {
  Writer out;
  encode_packet_header(out, GetParam().header);
  EXPECT_EQ(out.bytes(), GetParam().bytes);
}
INSTANTIATE_TEST_SUITE_P(rows, PacketHeaderTest, testing::ValuesIn(headers), RowName());

TEST(PacketHeader, needs_8_bytes) {
  const Bytes whole = hex("12 01 002f 0000 01 00");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(decode_packet_header(prefix(whole, size))) << size;
}

TEST(PacketHeader, a_length_below_8_is_refused) {
  const auto header = decode_packet_header(hex("12 01 0007 0000 01 00"));
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().text(), "packet header Length at byte 2: is below 8 (7)");
}

struct MessageRow {
  const char *name;
  Bytes payload;
  std::size_t packet_size;
  Bytes wire;
};

const MessageRow messages[] = {
    {"empty", {}, 512, hex("12 01 0008 0035 01 00")},
    {"one_byte", hex("aa"), 512, hex("12 01 0009 0035 01 00 aa")},
    {"just_one_packet", hex("aabbccdd"), 12, hex("12 01 000c 0035 01 00 aabbccdd")},
    {"one_byte_more_than_a_packet", hex("aabbccddee"), 12,
     hex("12 00 000c 0035 01 00 aabbccdd 12 01 0009 0035 02 00 ee")},
    {"two_full_packets", hex("aabb"), 9, hex("12 00 0009 0035 01 00 aa 12 01 0009 0035 02 00 bb")},
    {"a_size_too_small_for_any_payload", hex("aabb"), 0,
     hex("12 00 0009 0035 01 00 aa 12 01 0009 0035 02 00 bb")},
};

class MessageTest : public testing::TestWithParam<MessageRow> {};
TEST_P(MessageTest, encode) {
  EXPECT_EQ(encode_message(PacketType::prelogin, GetParam().payload, GetParam().packet_size, 0x35),
            GetParam().wire);
}
TEST_P(MessageTest, decode) {
  MessageReader reader(100);
  reader.feed(GetParam().wire);
  const auto message = reader.next();
  ASSERT_TRUE(message) << message.error().text();
  ASSERT_TRUE(*message);
  EXPECT_EQ((*message)->type, PacketType::prelogin);
  EXPECT_EQ((*message)->spid, 0x35);
  EXPECT_EQ((*message)->payload, GetParam().payload);
  EXPECT_EQ(reader.unread(), 0u);
}
TEST_P(MessageTest, decode_byte_by_byte) {
  MessageReader reader(100);
  for (std::size_t i = 0; i < GetParam().wire.size(); ++i) {
    const auto early = reader.next();
    ASSERT_TRUE(early && !*early) << "after " << i << " bytes";
    reader.feed(ByteView(GetParam().wire).subspan(i, 1));
  }
  const auto message = reader.next();
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->payload, GetParam().payload);
}
INSTANTIATE_TEST_SUITE_P(rows, MessageTest, testing::ValuesIn(messages), RowName());

TEST(EncodeMessage, packet_ids_count_modulo_256) {
  const Bytes wire = encode_message(PacketType::sql_batch, Bytes(257), 9);
  const auto id_of = [&](std::size_t packet) { return wire[packet * 9 + 6]; };
  EXPECT_EQ(id_of(0), 1);
  EXPECT_EQ(id_of(254), 255);
  EXPECT_EQ(id_of(255), 0);
  EXPECT_EQ(id_of(256), 1);
  EXPECT_EQ(wire[255 * 9 + 1], 0);
  EXPECT_EQ(wire[256 * 9 + 1], status_eom);
}

TEST(EncodeMessage, no_packet_is_longer_than_its_length_field_can_say) {
  MessageReader reader(100'000);
  reader.feed(encode_message(PacketType::sql_batch, Bytes(100'000, 7), 1'000'000));
  const auto message = reader.next();
  ASSERT_TRUE(message) << message.error().text();
  ASSERT_TRUE(*message);
  EXPECT_EQ((*message)->payload, Bytes(100'000, 7));
}

TEST(MessageReader, hands_out_messages_one_by_one) {
  MessageReader reader(100);
  reader.feed(joined({hex("04 01 0009 0000 01 00 aa"), hex("12 01 0009 0000 01 00 bb"), hex("11 01")}));
  EXPECT_EQ(reader.first_byte(), 0x04);
  EXPECT_EQ((*reader.next())->payload, hex("aa"));
  EXPECT_EQ(reader.first_byte(), 0x12);
  EXPECT_EQ(reader.unread(), 11u);
  EXPECT_EQ((*reader.next())->payload, hex("bb"));
  EXPECT_EQ(reader.unread(), 2u);
  EXPECT_EQ(reader.first_byte(), 0x11);
  EXPECT_FALSE(*reader.next());
}

TEST(MessageReader, unread_counts_a_message_that_is_not_whole) {
  MessageReader reader(100);
  EXPECT_EQ(reader.unread(), 0u);
  EXPECT_EQ(reader.first_byte(), std::nullopt);
  reader.feed(hex("04 00 000a 0000 01 00 aabb"));
  EXPECT_FALSE(*reader.next());
  EXPECT_EQ(reader.unread(), 2u);
}

TEST(MessageReader, counts_packets_and_what_is_behind_them) {
  MessageReader reader(100);
  reader.feed(hex("04 01 0009 0000 01 00 aa"));
  EXPECT_EQ(reader.packets(), 0u) << "not consumed yet";
  EXPECT_TRUE(*reader.next());
  EXPECT_EQ(reader.packets(), 1u);
  EXPECT_EQ(reader.behind(), 0u);
  reader.feed(hex("12 00 0009 0000 01 00 bb 12 00"));
  EXPECT_FALSE(*reader.next());
  EXPECT_EQ(reader.packets(), 2u);
  EXPECT_EQ(reader.behind(), 2u);
  EXPECT_EQ(reader.unread(), 3u) << "with the payload that waits";
  reader.feed(hex("0008 0000 02 00 12 01 0008 0000 03 00"));
  EXPECT_TRUE(*reader.next());
  EXPECT_EQ(reader.packets(), 4u);
}

TEST(MessageReader, hands_out_what_is_behind_a_message_and_goes_on) {
  MessageReader reader(100);
  reader.feed(hex("04 01 0009 0000 01 00 aa 1603"));
  ASSERT_TRUE(*reader.next());
  EXPECT_EQ(reader.take_behind(), hex("1603"));
  EXPECT_EQ(reader.unread(), 0u);
  EXPECT_EQ(reader.first_byte(), std::nullopt);
  EXPECT_EQ(reader.take_behind(), Bytes{});
  reader.feed(hex("12 01 0009 0000 01 00 bb"));
  EXPECT_EQ((*reader.next())->payload, hex("bb"));
}

TEST(MessageReader, takes_the_spid_of_the_last_packet) {
  MessageReader reader(100);
  reader.feed(hex("04 00 0009 0001 01 00 aa 04 01 0009 0002 02 00 bb"));
  EXPECT_EQ((*reader.next())->spid, 2);
}

struct UnusableRow {
  const char *name;
  std::size_t max_message;
  Bytes wire;
  const char *complaint;
};

// None of these holds more than the header that tells: the reader must not wait for the rest.
const UnusableRow unusable[] = {
    {"length_below_8", 100, hex("12 01 0000 0000 01 00"), "packet header Length at byte 2: is below 8 (0)"},
    {"message_one_byte_too_long", 4, hex("12 01 000d 0000 01 00"),
     "packet header Length at byte 2: makes the message longer than 4 bytes"},
    {"message_too_long_in_its_second_packet", 4, hex("12 00 000b 0000 01 00 aabbcc 12 01 000a 0000 02 00"),
     "packet header Length at byte 2: makes the message longer than 4 bytes"},
    {"packet_longer_than_tds_allows", 1'000'000, hex("12 01 8000 0000 01 00"),
     "packet header Length at byte 2: is above 32767"},
    {"type_changes", 100, hex("12 00 0009 0000 01 00 aa 10 01 0009 0000 02 00"),
     "packet header Type at byte 0: changes within a message"},
};

class Unusable : public testing::TestWithParam<UnusableRow> {};
TEST_P(Unusable, stream_is_an_error_now_and_ever_after) {
  MessageReader reader(GetParam().max_message);
  reader.feed(GetParam().wire);
  const auto message = reader.next();
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().text(), GetParam().complaint);

  reader.feed(hex("12 01 0008 0000 01 00"));
  EXPECT_EQ(reader.next().error(), message.error());
}
INSTANTIATE_TEST_SUITE_P(rows, Unusable, testing::ValuesIn(unusable), RowName());

TEST(MessageReader, a_message_of_just_the_limit_is_taken) {
  MessageReader reader(4);
  reader.feed(hex("12 00 000b 0000 01 00 aabbcc 12 01 0009 0000 02 00 dd"));
  const auto message = reader.next();
  ASSERT_TRUE(message) << message.error().text();
  EXPECT_EQ((*message)->payload, hex("aabbccdd"));
}

TEST(MessageReader, limit_holds_from_the_next_message_on) {
  MessageReader reader(1);
  reader.limit(2);
  reader.feed(hex("12 01 000a 0000 01 00 aabb"));
  EXPECT_TRUE(reader.next());
  reader.limit(1);
  reader.feed(hex("12 01 000a 0000 01 00 aabb"));
  EXPECT_FALSE(reader.next());
}

TEST(MessageReader, the_largest_packet_is_taken) {
  MessageReader reader(largest_packet_size);
  const Bytes wire =
      encode_message(PacketType::reply, Bytes(largest_packet_size - 8, 7), largest_packet_size);
  EXPECT_EQ(prefix(wire, 4), hex("04 01 7fff"));
  reader.feed(wire);
  EXPECT_EQ((*reader.next())->payload.size(), largest_packet_size - 8);
}

} // namespace tds::test
