#include "tds/token.hpp"

#include "support.hpp"

namespace tds::test {

struct TokenRow {
  const char *name;
  Version version;
  Token token;
  Bytes bytes;
};

const ServerMessage login_failed{.error = true,
                                 .number = 18456,
                                 .state = 1,
                                 .severity = 14,
                                 .text = u"no",
                                 .server = u"srv",
                                 .procedure = u"p",
                                 .line = 0x0102};

ServerMessage as_info(ServerMessage message) {
  message.error = false;
  return message;
}

const TokenRow token_rows[] = {
    {"error_7_4", tds_7_4, login_failed,
     hex("aa 1a00 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 02010000")},
    {"error_8_0", tds_8_0, login_failed,
     hex("aa 1a00 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 02010000")},
    {"error_7_2", tds_7_2, login_failed,
     hex("aa 1a00 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 02010000")},
    {"error_7_1", tds_7_1, login_failed,
     hex("aa 1800 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 0201")},
    {"error_7_0", tds_7_0, login_failed,
     hex("aa 1800 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 0201")},
    {"info_7_4", tds_7_4, as_info(login_failed),
     hex("ab 1a00 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 02010000")},
    {"info_7_1", tds_7_1, as_info(login_failed),
     hex("ab 1800 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 0201")},
    {"loginack", tds_7_4, LoginAck{1, tds_7_4, u"SQL", {16, 0, 2, 0x58}},
     hex("ad 1000 01 74000004 03 530051004c00 10000258")},
    {"loginack_of_another_version", tds_7_4, LoginAck{0, tds_7_1, u"", {}},
     hex("ad 0a00 00 71000001 00 00000000")},
    {"loginack_8_0", tds_8_0, LoginAck{1, tds_8_0, u"SQL", {16, 0, 2, 0x58}},
     hex("ad 1000 01 08000000 03 530051004c00 10000258")},
    {"envchange_database", tds_7_4, EnvChange{EnvChangeType::database, hex("01 6400 01 6d00")},
     hex("e3 0700 01 01 6400 01 6d00")},
    {"envchange_unknown", tds_7_4, EnvChange{EnvChangeType{0x63}, hex("aabb")}, hex("e3 0300 63 aabb")},
    {"envchange_without_data", tds_7_4, EnvChange{EnvChangeType::collation, {}}, hex("e3 0100 07")},
    {"featureextack", tds_7_4, FeatureExtAck{{{FeatureId::utf8_support, {1}}, {FeatureId{0x77}, {}}}},
     hex("ae 0a 01000000 01 77 00000000 ff")},
    {"featureextack_empty", tds_7_4, FeatureExtAck{}, hex("ae ff")},
    {"sspi", tds_7_4, SspiToken{hex("a181b7")}, hex("ed 0300 a181b7")},
    {"sspi_empty", tds_7_4, SspiToken{}, hex("ed 0000")},
    {"done_7_4", tds_7_4, Done{DoneKind::done, done_error | done_count, 0xC1, 0x0102030405060708},
     hex("fd 1200 c100 0807060504030201")},
    {"done_8_0", tds_8_0, Done{DoneKind::done, done_error | done_count, 0xC1, 0x0102030405060708},
     hex("fd 1200 c100 0807060504030201")},
    {"done_7_1", tds_7_1, Done{DoneKind::done, done_error, 0xC1, 0x01020304}, hex("fd 0200 c100 04030201")},
    {"doneproc_7_4", tds_7_4, Done{DoneKind::doneproc, 0, 0xE0, 0}, hex("fe 0000 e000 0000000000000000")},
    {"doneinproc_7_2", tds_7_2, Done{DoneKind::doneinproc, done_more, 0xC0, 1},
     hex("ff 0100 c000 0100000000000000")},
    {"doneinproc_7_0", tds_7_0, Done{DoneKind::doneinproc, done_more, 0xC0, 1}, hex("ff 0100 c000 01000000")},
    {"sessionstate", tds_7_4, OpaqueToken{0xE4, hex("0100000001")}, hex("e4 05000000 0100000001")},
    {"fedauthinfo", tds_7_4, OpaqueToken{0xEE, hex("aabb")}, hex("ee 02000000 aabb")},
    {"returnstatus", tds_7_4, OpaqueToken{0x79, hex("01000000")}, hex("79 01000000")},
};

class TokenTest : public testing::TestWithParam<TokenRow> {};
TEST_P(TokenTest, decode) {
  Reader in(GetParam().bytes, "login reply");
  const auto token = decode_token(in, GetParam().version);
  ASSERT_TRUE(token) << token.error().text();
  EXPECT_EQ(*token, GetParam().token);
  EXPECT_EQ(in.left(), 0u);
}
TEST_P(TokenTest, encode) {
  Writer out;
  encode_token(out, GetParam().token, GetParam().version);
  EXPECT_EQ(out.bytes(), GetParam().bytes);
}
TEST_P(TokenTest, leaves_what_follows) {
  const Bytes bytes = joined({GetParam().bytes, hex("aabb")});
  Reader in(bytes, "login reply");
  ASSERT_TRUE(decode_token(in, GetParam().version));
  EXPECT_EQ(in.left(), 2u);
}
TEST_P(TokenTest, cut_anywhere_is_an_error) {
  for (std::size_t size = 0; size < GetParam().bytes.size(); ++size) {
    const Bytes cut = prefix(GetParam().bytes, size);
    Reader in(cut, "login reply");
    EXPECT_FALSE(decode_token(in, GetParam().version)) << size;
  }
}
INSTANTIATE_TEST_SUITE_P(rows, TokenTest, testing::ValuesIn(token_rows), RowName());

TEST(Tokens, a_message_is_read_to_its_last_byte) {
  std::vector<Token> tokens;
  Bytes bytes;
  for (const auto &row : token_rows)
    if (row.version == tds_7_4) {
      tokens.push_back(row.token);
      bytes.insert(bytes.end(), row.bytes.begin(), row.bytes.end());
    }
  ASSERT_GT(tokens.size(), 10u);
  EXPECT_EQ(encode_tokens(tokens, tds_7_4), bytes);
  const auto decoded = decode_tokens(bytes, tds_7_4);
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(*decoded, tokens);
  bytes.push_back(0xFD);
  EXPECT_FALSE(decode_tokens(bytes, tds_7_4));
}

TEST(Tokens, an_empty_message_has_none) { EXPECT_EQ(decode_tokens({}, tds_7_4), std::vector<Token>{}); }

struct BadTokenRow {
  const char *name;
  Version version;
  Bytes bytes;
  const char *complaint;
};

const BadTokenRow bad_tokens[] = {
    {"colmetadata", tds_7_4, hex("81 0000"),
     "login reply token at byte 0: a token that has no place in a login reply (129)"},
    {"zero", tds_7_4, hex("00"),
     "login reply token at byte 0: a token that has no place in a login reply (0)"},
    {"second_token_unknown", tds_7_4, hex("aeff d1"),
     "login reply token at byte 2: a token that has no place in a login reply (209)"},
    {"length_past_the_end", tds_7_4, hex("ab ffff 00"),
     "login reply token at byte 3: needs 65535 bytes, 1 are left"},
    {"long_length_past_the_end", tds_7_4, hex("e4 ffffffff 00"),
     "login reply token at byte 5: needs 4294967295 bytes, 1 are left"},
    {"feature_past_the_end", tds_7_4, hex("ae 0a ffffffff 01 ff"),
     "login reply FEATUREEXTACK data at byte 6: needs 4294967295 bytes, 2 are left"},
    {"features_without_end", tds_7_4, hex("ae 0a 01000000 01"),
     "login reply FEATUREEXTACK without its end (0xFF) at byte 7: needs 1 bytes, 0 are left"},
    {"error_without_server", tds_7_4, hex("aa 0e00 00000000 01 0e 0300 6e006f000000"),
     "ERROR ServerName at byte 14: needs 1 bytes, 0 are left"},
    {"error_text_longer_than_the_token", tds_7_4, hex("aa 0c00 00000000 01 0e ffff 6e006f00"),
     "ERROR MsgText at byte 8: needs 65535 UTF-16 units, 4 bytes are left"},
    {"error_with_the_short_line_in_7_4", tds_7_4, hex("aa 0c00 00000000 01 0e 0000 00 00 0000"),
     "ERROR LineNumber at byte 10: needs 4 bytes, 2 are left"},
    {"info_with_the_long_line_in_7_1", tds_7_1, hex("ab 0e00 00000000 01 0e 0000 00 00 00000000"),
     "INFO at byte 12: 2 bytes too many"},
    {"loginack_too_long", tds_7_4, hex("ad 0b00 01 74000004 00 00000000 00"),
     "LOGINACK at byte 10: 1 bytes too many"},
    {"loginack_program_too_long", tds_7_4, hex("ad 0a00 01 74000004 ff 00000000"),
     "LOGINACK ProgName at byte 6: needs 255 UTF-16 units, 4 bytes are left"},
    {"envchange_without_type", tds_7_4, hex("e3 0000"),
     "ENVCHANGE Type at byte 0: needs 1 bytes, 0 are left"},
    {"short_done_in_7_4", tds_7_4, hex("fd 0000 0000 00000000"),
     "login reply DONE RowCount at byte 5: needs 8 bytes, 4 are left"},
};

class BadToken : public testing::TestWithParam<BadTokenRow> {};
TEST_P(BadToken, is_refused) {
  const auto tokens = decode_tokens(GetParam().bytes, GetParam().version);
  ASSERT_FALSE(tokens);
  EXPECT_EQ(tokens.error().text(), GetParam().complaint);
}
INSTANTIATE_TEST_SUITE_P(rows, BadToken, testing::ValuesIn(bad_tokens), RowName());

// --- Texts at their limits.

ServerMessage round_trip(const ServerMessage &message, Version version) {
  const Bytes bytes = encode_tokens({message}, version);
  const auto tokens = decode_tokens(bytes, version);
  EXPECT_TRUE(tokens) << tokens.error().text();
  if (!tokens || tokens->size() != 1) return {};
  return std::get<ServerMessage>(tokens->front());
}

TEST(ServerMessage, the_longest_texts_go_both_ways) {
  ServerMessage message = login_failed;
  message.server = std::u16string(255, u's');
  message.procedure = std::u16string(255, u'p');
  message.text = std::u16string((65535 - 14 - 4 * 255) / 2, u't');
  EXPECT_EQ(round_trip(message, tds_7_4), message);
}

TEST(ServerMessage, longer_texts_are_cut) {
  ServerMessage message = login_failed;
  message.server = std::u16string(300, u's');
  message.procedure = std::u16string(256, u'p');
  message.text = std::u16string(100'000, u't');
  for (const Version version : {tds_7_4, tds_7_1}) {
    const auto cut = round_trip(message, version);
    EXPECT_EQ(cut.server, std::u16string(255, u's'));
    EXPECT_EQ(cut.procedure, std::u16string(255, u'p'));
    const std::size_t others = (version.at_least_7_2() ? 14 : 12) + 4 * 255;
    EXPECT_EQ(cut.text, std::u16string((65535 - others) / 2, u't'));
  }
}

TEST(ServerMessage, a_cut_does_not_split_a_surrogate_pair) {
  ServerMessage message = login_failed;
  message.server = std::u16string(254, u's') + u"\U0001F600";
  EXPECT_EQ(round_trip(message, tds_7_4).server, std::u16string(254, u's'));
  message.server = std::u16string(253, u's') + u"\U0001F600";
  EXPECT_EQ(round_trip(message, tds_7_4).server, message.server);
}

TEST(ServerMessage, a_line_that_does_not_fit_two_bytes_is_the_largest) {
  ServerMessage message = login_failed;
  message.line = 0x10000;
  EXPECT_EQ(round_trip(message, tds_7_1).line, 0xFFFFu);
  EXPECT_EQ(round_trip(message, tds_7_2).line, 0x10000u);
}

TEST(LoginAck, a_program_name_of_more_than_255_units_is_cut) {
  const LoginAck ack{1, tds_7_4, std::u16string(300, u'x'), {}};
  const auto tokens = decode_tokens(encode_tokens({ack}, tds_7_4), tds_7_4);
  ASSERT_TRUE(tokens) << tokens.error().text();
  EXPECT_EQ(std::get<LoginAck>(tokens->front()).program, std::u16string(255, u'x'));
}

TEST(Done, a_row_count_that_does_not_fit_four_bytes_is_the_largest) {
  const auto tokens = decode_tokens(encode_tokens({Done{.row_count = 0x100000000}}, tds_7_1), tds_7_1);
  ASSERT_TRUE(tokens) << tokens.error().text();
  EXPECT_EQ(std::get<Done>(tokens->front()).row_count, 0xFFFFFFFFu);
}

TEST(SspiToken, the_largest_goes_both_ways) {
  const std::vector<Token> tokens{SspiToken{Bytes(65535, 0x5A)}};
  EXPECT_EQ(decode_tokens(encode_tokens(tokens, tds_7_4), tds_7_4), tokens);
}

// --- ENVCHANGE.

struct NewTextRow {
  const char *name;
  EnvChange change;
  std::u16string text;
};

const NewTextRow new_texts[] = {
    {"database", {EnvChangeType::database, hex("02 64006200 01 6d00")}, u"db"},
    {"language", {EnvChangeType::language, hex("02 64006200 00")}, u"db"},
    {"packet_size", {EnvChangeType::packet_size, hex("02 38003000 00")}, u"80"},
    {"collation_is_no_text", {EnvChangeType::collation, hex("02 64006200 00")}, u""},
    {"empty", {EnvChangeType::database, {}}, u""},
    {"cut", {EnvChangeType::database, hex("02 640062")}, u""},
};

class NewText : public testing::TestWithParam<NewTextRow> {};
TEST_P(NewText, is_the_first_value) { EXPECT_EQ(GetParam().change.new_text(), GetParam().text); }
INSTANTIATE_TEST_SUITE_P(rows, NewText, testing::ValuesIn(new_texts), RowName());

TEST(Routing, names_server_and_port) {
  const auto routing = decode_routing({EnvChangeType::routing, hex("0900 00 9905 0200 73003200 0000")});
  ASSERT_TRUE(routing) << routing.error().text();
  EXPECT_EQ(routing->server, u"s2");
  EXPECT_EQ(routing->port, 1433);
  EXPECT_EQ(routing->database, u"");
  EXPECT_FALSE(routing->enhanced);
}

TEST(Routing, the_enhanced_one_has_a_database_too) {
  const auto routing =
      decode_routing({EnvChangeType::enhanced_routing, hex("0d00 00 9905 0200 73003200 0100 6400 0000")});
  ASSERT_TRUE(routing) << routing.error().text();
  EXPECT_EQ(routing->server, u"s2");
  EXPECT_EQ(routing->port, 1433);
  EXPECT_EQ(routing->database, u"d");
  EXPECT_TRUE(routing->enhanced);
}

struct BadRoutingRow {
  const char *name;
  EnvChangeType type;
  Bytes data;
  const char *field;
};

const BadRoutingRow bad_routings[] = {
    {"empty", EnvChangeType::routing, {}, "RoutingDataValueLength"},
    {"no_value", EnvChangeType::routing, hex("0000 0000"), "Protocol"},
    {"length_past_the_end", EnvChangeType::routing, hex("0a00 00 9905 0200 73003200"), "RoutingDataValue"},
    {"no_old_value", EnvChangeType::routing, hex("0900 00 9905 0200 73003200"), "OldValue"},
    {"old_value", EnvChangeType::routing, hex("0900 00 9905 0200 73003200 0100"), "OldValue"},
    {"bytes_behind", EnvChangeType::routing, hex("0900 00 9905 0200 73003200 0000 00"), ""},
    {"bytes_within", EnvChangeType::routing, hex("0a00 00 9905 0200 73003200 00 0000"), ""},
    {"protocol_unknown", EnvChangeType::routing, hex("0900 01 9905 0200 73003200 0000"), "Protocol"},
    {"port_0", EnvChangeType::routing, hex("0900 00 0000 0200 73003200 0000"), "ProtocolProperty"},
    {"no_server", EnvChangeType::routing, hex("0500 00 9905 0000 0000"), "AlternateServer"},
    {"server_past_the_value", EnvChangeType::routing, hex("0900 00 9905 0300 73003200 0000"),
     "AlternateServer"},
    {"enhanced_without_database", EnvChangeType::enhanced_routing, hex("0900 00 9905 0200 73003200 0000"),
     "AlternateDatabase"},
    {"plain_with_database", EnvChangeType::routing, hex("0d00 00 9905 0200 73003200 0100 6400 0000"), ""},
};

class BadRouting : public testing::TestWithParam<BadRoutingRow> {};
TEST_P(BadRouting, is_refused) {
  const auto routing = decode_routing({GetParam().type, GetParam().data});
  ASSERT_FALSE(routing);
  EXPECT_EQ(routing.error().field, GetParam().field);
}
INSTANTIATE_TEST_SUITE_P(rows, BadRouting, testing::ValuesIn(bad_routings), RowName());

// --- Refusals.

struct RefusalRow {
  const char *name;
  Dialect dialect;
  Bytes bytes;
};

const RefusalRow refusals[] = {
    {"tds_7_4",
     {false, tds_7_4},
     hex("04 01 0032 0000 01 00"
         "aa 1a00 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 02010000 fd 0200 0000 0000000000000000")},
    {"tds_7_1",
     {false, tds_7_1},
     hex("04 01 002c 0000 01 00"
         "aa 1800 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 0201 fd 0200 0000 00000000")},
    {"tds_7_0",
     {false, tds_7_0},
     hex("04 01 002c 0000 01 00"
         "aa 1800 18480000 01 0e 0200 6e006f00 03 730072007600 01 7000 0201 fd 0200 0000 00000000")},
    {"tds_4_2",
     {true, {}},
     hex("04 01 0026 0000 01 00 aa 1200 18480000 01 0e 0200 6e6f 03 737276 01 70 0201 fd 0200 0000 00000000")},
};

class Refusal : public testing::TestWithParam<RefusalRow> {};
TEST_P(Refusal, is_error_and_done) {
  EXPECT_EQ(encode_refusal(GetParam().dialect, login_failed), GetParam().bytes);
}
TEST_P(Refusal, is_an_error_even_when_made_from_an_info) {
  EXPECT_EQ(encode_refusal(GetParam().dialect, as_info(login_failed)), GetParam().bytes);
}
INSTANTIATE_TEST_SUITE_P(rows, Refusal, testing::ValuesIn(refusals), RowName());

TEST(Refusal, tds_4_texts_have_one_byte_a_character) {
  ServerMessage message;
  message.text = u"Gr\u00fc\u00dfe \u20ac \U0001F600!";
  const Bytes wire = encode_refusal({.tds4 = true}, message);
  // After packet header, token, length, number, state, class and the text's length.
  EXPECT_EQ(std::string(wire.begin() + 19, wire.begin() + 29), "Gr\xfc\xdf"
                                                               "e ? ?!");
}

TEST(Refusal, tds_4_texts_are_cut_to_their_lengths) {
  ServerMessage message = login_failed;
  message.text = std::u16string(100'000, u't');
  message.server = std::u16string(300, u's');
  message.procedure = std::u16string(300, u'p');
  message.line = 0x10000;
  MessageReader reader(100'000);
  reader.feed(encode_refusal({.tds4 = true}, message));
  const auto reply = reader.next();
  ASSERT_TRUE(reply && *reply);
  Reader in((*reply)->payload, "TDS 4.2 error");
  EXPECT_EQ(in.u8("token"), 0xAA);
  const auto length = in.u16_le("length");
  ASSERT_TRUE(length);
  EXPECT_EQ(in.left(), *length + 9u);
  in.take(6, "number, state, class");
  const auto text = in.u16_le("text");
  ASSERT_TRUE(text);
  EXPECT_TRUE(in.take(*text, "text"));
  EXPECT_EQ(in.u8("server"), 255);
  EXPECT_TRUE(in.take(255, "server"));
  EXPECT_EQ(in.u8("procedure"), 255);
  EXPECT_TRUE(in.take(255, "procedure"));
  EXPECT_EQ(in.u16_le("line"), 0xFFFF);
  EXPECT_EQ(in.u8("DONE"), 0xFD);
}

TEST(Refusal, several_errors_in_one) {
  ServerMessage second = login_failed;
  second.text = u"and more";
  const ServerMessage both[] = {login_failed, second};
  MessageReader reader(100'000);
  reader.feed(encode_refusal({.version = tds_7_4}, both));
  const auto reply = reader.next();
  ASSERT_TRUE(reply && *reply);
  EXPECT_EQ(decode_tokens((*reply)->payload, tds_7_4),
            (std::vector<Token>{login_failed, second, Done{.status = done_error}}));
}

TEST(Refusal, a_long_one_spans_packets) {
  ServerMessage message = login_failed;
  message.text = std::u16string(5000, u't');
  MessageReader reader(100'000);
  reader.feed(encode_refusal({.version = tds_7_4}, message));
  const auto reply = reader.next();
  ASSERT_TRUE(reply && *reply);
  EXPECT_EQ((*reply)->type, PacketType::reply);
  EXPECT_EQ(decode_tokens((*reply)->payload, tds_7_4),
            (std::vector<Token>{message, Done{.status = done_error}}));
}

} // namespace tds::test
