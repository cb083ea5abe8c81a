#include "tds/prelogin.hpp"

#include "support.hpp"

namespace tds::test {

const Bytes version_9 = hex("09 00 0000 0000");

struct PreloginRow {
  const char *name;
  Prelogin prelogin;
  Bytes bytes;
  const char *description;
};

using enum PreloginToken;

const PreloginRow prelogins[] = {
    {"version_alone", {{{version, version_9}}}, hex("00 0006 0006 ff 090000000000"), "VERSION 9.0.0"},
    {"freetds",
     {{{version, version_9},
       {encryption, {0}},
       {instopt, hex("4d00")},
       {threadid, hex("01020304")},
       {mars, {0}}}},
     hex("00 001a 0006 01 0020 0001 02 0021 0002 03 0023 0004 04 0027 0001 ff 090000000000 00 4d00 01020304 00"),
     "VERSION 9.0.0, ENCRYPTION off, INSTOPT, THREADID, MARS 0"},
    {"server_answer_with_empty_options",
     {{{version, hex("10 00 0258 0000")},
       {encryption, {2}},
       {instopt, {0}},
       {threadid, {}},
       {mars, {1}},
       {traceid, {}}}},
     hex("00 001f 0006 01 0025 0001 02 0026 0001 03 0027 0000 04 0027 0001 05 0028 0000 ff 100002580000 02 00 01"),
     "VERSION 16.0.600, ENCRYPTION not_sup, INSTOPT, THREADID, MARS 1, TRACEID"},
    {"fedauth_and_nonce",
     {{{version, version_9}, {fedauthrequired, {1}}, {nonce, Bytes(32, 7)}}},
     joined({hex("00 0010 0006 06 0016 0001 07 0017 0020 ff 090000000000 01"), Bytes(32, 7)}),
     "VERSION 9.0.0, FEDAUTHREQUIRED 1, NONCE"},
    {"unknown_option",
     {{{version, version_9}, {PreloginToken{0x42}, hex("aabb")}}},
     hex("00 000b 0006 42 0011 0002 ff 090000000000 aabb"),
     "VERSION 9.0.0, OPTION 66"},
    {"unknown_encryption",
     {{{version, version_9}, {encryption, {7}}}},
     hex("00 000b 0006 01 0011 0001 ff 090000000000 07"),
     "VERSION 9.0.0, ENCRYPTION unknown"},
};

class PreloginTest : public testing::TestWithParam<PreloginRow> {};
TEST_P(PreloginTest, decode) {
  const auto prelogin = decode_prelogin(GetParam().bytes);
  ASSERT_TRUE(prelogin) << prelogin.error().text();
  EXPECT_EQ(*prelogin, GetParam().prelogin);
}
TEST_P(PreloginTest, encode) { EXPECT_EQ(encode_prelogin(GetParam().prelogin), GetParam().bytes); }
TEST_P(PreloginTest, is_described_in_one_line) {
  EXPECT_EQ(describe(GetParam().prelogin), GetParam().description);
}
TEST_P(PreloginTest, cut_anywhere_is_an_error) {
  for (std::size_t size = 0; size < GetParam().bytes.size(); ++size)
    EXPECT_FALSE(decode_prelogin(prefix(GetParam().bytes, size))) << size;
}
INSTANTIATE_TEST_SUITE_P(rows, PreloginTest, testing::ValuesIn(prelogins), RowName());

TEST(Prelogin, data_may_stand_in_any_order_and_empty_data_anywhere) {
  const auto prelogin = decode_prelogin(hex("00 0011 0006 01 0010 0001 03 ffff 0000 ff 02 090000000000"));
  ASSERT_TRUE(prelogin) << prelogin.error().text();
  EXPECT_EQ(*prelogin, (Prelogin{{{version, version_9}, {encryption, {2}}, {threadid, {}}}}));
}

struct BadPreloginRow {
  const char *name;
  Bytes bytes;
  const char *complaint;
};

const BadPreloginRow bad_prelogins[] = {
    {"empty", {}, "PRELOGIN option table without its end (0xFF) at byte 0: needs 1 bytes, 0 are left"},
    {"no_options", hex("ff"), "PRELOGIN VERSION at byte 0: is not the first option"},
    {"table_without_end", hex("00 0006 0000"),
     "PRELOGIN option table without its end (0xFF) at byte 5: needs 1 bytes, 0 are left"},
    {"entry_cut", hex("00 0006 00"), "PRELOGIN option length at byte 3: needs 2 bytes, 1 are left"},
    {"version_second", hex("01 000b 0001 00 000c 0006 ff 02 090000000000"),
     "PRELOGIN VERSION at byte 0: is not the first option"},
    {"twice", hex("00 0010 0006 01 0016 0001 01 0016 0001 ff 090000000000 02"),
     "PRELOGIN ENCRYPTION at byte 10: stands there twice"},
    {"unknown_twice", hex("00 0010 0006 42 0016 0001 42 0016 0001 ff 090000000000 02"),
     "PRELOGIN OPTION 66 at byte 10: stands there twice"},
    {"into_the_table", hex("00 0005 0006 ff 090000000000"),
     "PRELOGIN VERSION at byte 0: points into the option table"},
    {"past_the_end", hex("00 0007 0006 ff 090000000000"),
     "PRELOGIN VERSION at byte 0: points past the end (13 > 12)"},
    {"far_past_the_end", hex("00 ffff 0006 ff 090000000000"),
     "PRELOGIN VERSION at byte 0: points past the end (65541 > 12)"},
    {"unknown_past_the_end", hex("00 000b 0006 42 000b ffff ff 090000000000"),
     "PRELOGIN OPTION 66 at byte 5: points past the end (65546 > 17)"},
    {"version_of_5_bytes", hex("00 0006 0005 ff 090000000000"),
     "PRELOGIN VERSION at byte 0: cannot have 5 bytes"},
    {"version_of_0_bytes", hex("00 0006 0000 ff"), "PRELOGIN VERSION at byte 0: cannot have 0 bytes"},
    {"encryption_of_0_bytes", hex("00 000b 0006 01 0011 0000 ff 090000000000"),
     "PRELOGIN ENCRYPTION at byte 5: cannot have 0 bytes"},
    {"encryption_of_2_bytes", hex("00 000b 0006 01 0011 0002 ff 090000000000 0202"),
     "PRELOGIN ENCRYPTION at byte 5: cannot have 2 bytes"},
    {"mars_of_2_bytes", hex("00 000b 0006 04 0011 0002 ff 090000000000 0202"),
     "PRELOGIN MARS at byte 5: cannot have 2 bytes"},
    {"threadid_of_3_bytes", hex("00 000b 0006 03 0011 0003 ff 090000000000 020202"),
     "PRELOGIN THREADID at byte 5: cannot have 3 bytes"},
    {"traceid_of_4_bytes", hex("00 000b 0006 05 0011 0004 ff 090000000000 02020202"),
     "PRELOGIN TRACEID at byte 5: cannot have 4 bytes"},
    {"fedauth_of_0_bytes", hex("00 000b 0006 06 0011 0000 ff 090000000000"),
     "PRELOGIN FEDAUTHREQUIRED at byte 5: cannot have 0 bytes"},
    {"nonce_of_0_bytes", hex("00 000b 0006 07 0011 0000 ff 090000000000"),
     "PRELOGIN NONCE at byte 5: cannot have 0 bytes"},
    {"options_longer_together_than_the_payload",
     joined({hex("00 0015 0006 42 0015 0012 43 0015 0012 44 0015 0012 ff"), Bytes(18, 9)}),
     "PRELOGIN OPTION 67 at byte 10: shares its bytes with other options"},
    {"instopt_of_257_bytes", joined({hex("00 000b 0006 02 0011 0101 ff 090000000000"), Bytes(257)}),
     "PRELOGIN INSTOPT at byte 5: cannot have 257 bytes"},
};

class BadPrelogin : public testing::TestWithParam<BadPreloginRow> {};
TEST_P(BadPrelogin, is_refused) {
  const auto prelogin = decode_prelogin(GetParam().bytes);
  ASSERT_FALSE(prelogin);
  EXPECT_EQ(prelogin.error().text(), GetParam().complaint);
}
INSTANTIATE_TEST_SUITE_P(rows, BadPrelogin, testing::ValuesIn(bad_prelogins), RowName());

TEST(Prelogin, an_instance_name_of_256_bytes_is_taken) {
  EXPECT_TRUE(decode_prelogin(joined({hex("00 000b 0006 02 0011 0100 ff 090000000000"), Bytes(256)})));
}

TEST(Prelogin, version_has_a_big_and_a_little_endian_half) {
  const Prelogin prelogin{{{version, hex("10 01 0258 0300")}}};
  EXPECT_EQ(prelogin.version(), (ServerVersion{16, 1, 600, 3}));
  EXPECT_EQ(prelogin.version()->text(), "16.1.600");

  Prelogin other;
  other.set_encryption(Encryption::off);
  other.set_version({16, 1, 600, 3});
  EXPECT_EQ(other.options.front(), prelogin.options.front()); // VERSION is first also when it is set last
  other.set_version({9, 0, 0, 0});
  EXPECT_EQ(other.options.size(), 2u);
  EXPECT_EQ(other.version()->text(), "9.0.0");
  EXPECT_EQ(Prelogin{}.version(), std::nullopt);
}

TEST(Prelogin, encryption_is_the_low_six_bits) {
  const auto of = [](std::uint8_t byte) {
    return Prelogin{{{PreloginToken::encryption, {byte}}}}.encryption();
  };
  EXPECT_EQ(of(0x00), Encryption::off);
  EXPECT_EQ(of(0x01), Encryption::on);
  EXPECT_EQ(of(0x02), Encryption::not_sup);
  EXPECT_EQ(of(0x03), Encryption::req);
  EXPECT_EQ(of(0x81), Encryption::on);
  EXPECT_EQ(of(0x04), std::nullopt);
  EXPECT_EQ(of(0x3F), std::nullopt);
  EXPECT_EQ(Prelogin{}.encryption(), std::nullopt);
}

TEST(Prelogin, flags_are_set_only_by_1) {
  Prelogin prelogin;
  EXPECT_FALSE(prelogin.mars());
  EXPECT_FALSE(prelogin.fedauth_required());
  prelogin.set_mars(false);
  EXPECT_TRUE(prelogin.has(mars));
  EXPECT_FALSE(prelogin.mars());
  prelogin.set_mars(true);
  EXPECT_TRUE(prelogin.mars());
  EXPECT_EQ(prelogin.options.size(), 1u);
  prelogin.set(fedauthrequired, {1});
  EXPECT_TRUE(prelogin.fedauth_required());
  prelogin.set(fedauthrequired, {2});
  EXPECT_FALSE(prelogin.fedauth_required());
}

TEST(Encryption, has_a_name) {
  EXPECT_EQ(to_string(Encryption::off), "off");
  EXPECT_EQ(to_string(Encryption::on), "on");
  EXPECT_EQ(to_string(Encryption::not_sup), "not_sup");
  EXPECT_EQ(to_string(Encryption::req), "req");
}

} // namespace tds::test
