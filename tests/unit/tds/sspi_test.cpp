#include "tds/sspi.hpp"

#include "support.hpp"

namespace tds::test {

struct MechanismRow {
  const char *name;
  Bytes token;
  Mechanism mechanism;
};

const MechanismRow mechanisms[] = {
    {"empty", {}, Mechanism::none},
    {"kerberos_short_length", hex("60 0b 0609 2a864886f712010202"), Mechanism::kerberos},
    {"kerberos_two_length_bytes", hex("60 8205d4 0609 2a864886f712010202 0100 6e"), Mechanism::kerberos},
    {"kerberos_one_length_byte", hex("60 81d4 0609 2a864886f712010202 0100"), Mechanism::kerberos},
    {"kerberos_four_length_bytes", hex("60 8400000bd4 0609 2a864886f712010202"), Mechanism::kerberos},
    {"spnego_short_length", hex("60 7f 0606 2b0601050502 a075"), Mechanism::spnego},
    {"spnego_two_length_bytes", hex("60 82057f 0606 2b0601050502 a082"), Mechanism::spnego},
    {"ntlm", hex("4e544c4d53535000 01000000"), Mechanism::ntlm},
    {"ntlm_cut", hex("4e544c4d535350"), Mechanism::unknown},
    {"kerberos_cut_within_the_oid", hex("60 0b 0609 2a864886f7120102"), Mechanism::unknown},
    {"other_oid", hex("60 0b 0609 2a864886f712010203"), Mechanism::unknown},
    {"tag_alone", hex("60"), Mechanism::unknown},
    {"length_cut", hex("60 8205"), Mechanism::unknown},
    {"length_of_five_bytes", hex("60 85000000000b 0609 2a864886f712010202"), Mechanism::unknown},
    {"length_of_127_bytes", hex("60 ff 0609 2a864886f712010202"), Mechanism::unknown},
    {"spnego_answer", hex("a1 16 3014"), Mechanism::unknown},
    {"other_bytes", hex("deadbeef"), Mechanism::unknown},
};

class Recognise : public testing::TestWithParam<MechanismRow> {};
TEST_P(Recognise, tells_by_the_framing) { EXPECT_EQ(recognise(GetParam().token), GetParam().mechanism); }
INSTANTIATE_TEST_SUITE_P(rows, Recognise, testing::ValuesIn(mechanisms), RowName());

TEST(Mechanism, has_a_name) {
  EXPECT_EQ(to_string(Mechanism::none), "none");
  EXPECT_EQ(to_string(Mechanism::kerberos), "kerberos");
  EXPECT_EQ(to_string(Mechanism::spnego), "spnego");
  EXPECT_EQ(to_string(Mechanism::ntlm), "ntlm");
  EXPECT_EQ(to_string(Mechanism::unknown), "unknown");
}

TEST(NtlmChallenge, is_for_a_negotiate_alone) {
  EXPECT_TRUE(is_ntlm_negotiate(hex("4e544c4d53535000 01000000")));
  EXPECT_TRUE(is_ntlm_negotiate(hex("4e544c4d53535000 01000000 07820008")));
  EXPECT_FALSE(is_ntlm_negotiate(hex("4e544c4d53535000 03000000"))); // AUTHENTICATE
  EXPECT_FALSE(is_ntlm_negotiate(hex("4e544c4d53535000 010000")));
  EXPECT_FALSE(is_ntlm_negotiate(hex("60 7f 0606 2b0601050502 a075")));
  EXPECT_FALSE(is_ntlm_negotiate({}));
}

TEST(NtlmChallenge, has_the_layout_of_ms_nlmp) {
  const NtlmChallenge challenge{{1, 2, 3, 4, 5, 6, 7, 8}, 0x01DB'0000'0000'0000};
  // asked: unicode, sign, extended security, 128, key exchange; and OEM, which is not granted
  const auto token = ntlm_challenge(hex("4e544c4d53535000 01000000 13000860"), challenge);
  EXPECT_EQ(prefix(token, 56), hex("4e544c4d53535000 02000000 0e000e0038000000 15828a62 0102030405060708"
                                   "0000000000000000 5800580046000000 0a0039380000000f"));
  EXPECT_EQ(Bytes(token.begin() + 56, token.end()),
            hex("530051004c005300480049004d00"
                "0200 0e00 530051004c005300480049004d00 0100 0e00 530051004c005300480049004d00"
                "0400 0e00 730071006c007300680069006d00 0300 0e00 730071006c007300680069006d00"
                "0700 0800 000000000000db01 00000000"));
}

TEST(NtlmChallenge, takes_a_negotiate_without_flags) {
  const auto token = ntlm_challenge(hex("4e544c4d53535000 01000000 0782"), {});
  EXPECT_EQ(Bytes(token.begin() + 20, token.begin() + 24), hex("05828202"));
}

TEST(SspiMessage, is_the_raw_token) {
  EXPECT_EQ(encode_sspi_message(hex("aabbcc")), hex("11 01 000b 0000 01 00 aabbcc"));
}

TEST(SspiMessage, spans_packets_of_the_login_size) {
  const Bytes token(largest_sspi_token, 0x5A);
  const Bytes wire = encode_sspi_message(token);
  const std::size_t packets = (token.size() + 4087) / 4088;
  EXPECT_EQ(wire.size(), token.size() + 8 * packets);
  EXPECT_EQ(prefix(wire, 8), hex("11 00 1000 0000 01 00"));

  MessageReader reader(largest_sspi_token);
  reader.feed(wire);
  const auto message = reader.next();
  ASSERT_TRUE(message && *message);
  EXPECT_EQ((*message)->type, PacketType::sspi);
  EXPECT_EQ((*message)->payload, token);
}

} // namespace tds::test
