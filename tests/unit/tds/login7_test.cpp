#include "tds/login7.hpp"

#include "support.hpp"

#include <functional>

namespace tds::test {

struct LoginRow {
  const char *name;
  std::function<Login7()> login;
  Bytes bytes;
};

// Every field of one unit, so that a field in a wrong place shows.
Login7 every_field() {
  Login7 login;
  login.tds_version = tds_7_4;
  login.packet_size = 4096;
  login.client_prog_ver = 0x04050607;
  login.client_pid = 0x0102;
  login.connection_id = 0x2A;
  login.option_flags1 = 0xE0;
  login.option_flags2 = option2_odbc | 0x01;
  login.type_flags = type_read_only_intent;
  login.option_flags3 = option3_extension | option3_change_password;
  login.client_time_zone = -60;
  login.client_lcid = 0x0409;
  login.host_name = u"h";
  login.user_name = u"u";
  login.password = secret(u"p");
  login.app_name = u"a";
  login.server_name = u"s";
  login.clt_int_name = u"c";
  login.language = u"l";
  login.database = u"d";
  login.client_id = {1, 2, 3, 4, 5, 6};
  login.sspi = hex("aabbcc");
  login.attach_db_file = u"f";
  login.change_password = secret(u"n");
  login.has_extension = true;
  login.features = {{FeatureId::utf8_support, {1}}};
  return login;
}

const Bytes every_field_bytes = hex( //
    "80000000 04000074 00100000 07060504 02010000 2a000000 e0 03 20 11 c4ffffff 09040000"
    "5e000100 60000100 62000100 64000100 66000100 68000400 6c000100 6e000100 70000100"
    "010203040506 72000300 75000100 77000100 00000000"
    "6800 7500 a2a5 6100 7300 79000000 6300 6c00 6400 aabbcc 6600 43a5 0a 01000000 01 ff");

// As jTDS begins: no PRELOGIN, no packet size, a fixed part of 86 bytes.
Login7 short_form(Version version) {
  Login7 login;
  login.tds_version = version;
  login.packet_size = 0;
  login.host_name = u"h";
  login.user_name = u"u";
  login.password = secret(u"p");
  login.app_name = u"a";
  login.server_name = u"s";
  login.clt_int_name = u"c";
  login.database = u"d";
  return login;
}

Bytes short_form_bytes(std::string_view version) {
  return joined({hex("64000000"), hex(version),
                 hex("00000000 00000000 00000000 00000000 00 00 00 00 00000000 00000000"
                     "56000100 58000100 5a000100 5c000100 5e000100 60000000 60000100 62000000 62000100"
                     "000000000000 64000000 64000000"
                     "6800 7500 a2a5 6100 7300 6300 6400")});
}

Login7 integrated() {
  Login7 login;
  login.option_flags2 = option2_integrated_security;
  login.host_name = u"h";
  login.sspi = hex("60");
  return login;
}

Login7 empty_features() {
  Login7 login;
  login.option_flags3 = option3_extension;
  login.has_extension = true;
  return login;
}

Login7 unknown_features() {
  Login7 login = empty_features();
  login.features = {{FeatureId{0x7E}, {}}, {FeatureId{0x10}, hex("aabb")}, {FeatureId{0x7E}, hex("01")}};
  return login;
}

const LoginRow logins[] = {
    {"every_field", every_field, every_field_bytes},
    {"tds_7_1_has_a_short_fixed_part", [] { return short_form(tds_7_1); }, short_form_bytes("01000071")},
    {"tds_7_0_has_a_short_fixed_part", [] { return short_form(tds_7_0); }, short_form_bytes("00000070")},
    {"empty", [] { return Login7{}; },
     hex("5e000000 04000074 00100000 00000000 00000000 00000000 00 00 00 00 00000000 00000000"
         "5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000"
         "000000000000 5e000000 5e000000 5e000000 00000000")},
    {"integrated_security_has_no_user_and_no_password", integrated,
     hex("61000000 04000074 00100000 00000000 00000000 00000000 00 80 00 00 00000000 00000000"
         "5e000100 00000000 00000000 60000000 60000000 60000000 60000000 60000000 60000000"
         "000000000000 60000100 61000000 61000000 00000000"
         "6800 60")},
    {"extension_without_features", empty_features,
     hex("63000000 04000074 00100000 00000000 00000000 00000000 00 00 00 10 00000000 00000000"
         "5e000000 5e000000 5e000000 5e000000 5e000000 5e000400 62000000 62000000 62000000"
         "000000000000 62000000 62000000 62000000 00000000"
         "62000000 ff")},
    {"unknown_features_keep_bytes_and_order", unknown_features,
     hex("75000000 04000074 00100000 00000000 00000000 00000000 00 00 00 10 00000000 00000000"
         "5e000000 5e000000 5e000000 5e000000 5e000000 5e000400 62000000 62000000 62000000"
         "000000000000 62000000 62000000 62000000 00000000"
         "62000000 7e 00000000 10 02000000 aabb 7e 01000000 01 ff")},
    {"a_name_with_a_nul_and_half_a_pair",
     [] {
       Login7 login;
       login.server_name = std::u16string{u'a', u'\0', 0xD800};
       return login;
     },
     hex("64000000 04000074 00100000 00000000 00000000 00000000 00 00 00 00 00000000 00000000"
         "5e000000 5e000000 5e000000 5e000000 5e000300 64000000 64000000 64000000 64000000"
         "000000000000 64000000 64000000 64000000 00000000"
         "6100 0000 00d8")},
    {"tds_8_0",
     [] {
       Login7 login;
       login.tds_version = tds_8_0;
       return login;
     },
     hex("5e000000 00000008 00100000 00000000 00000000 00000000 00 00 00 00 00000000 00000000"
         "5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000 5e000000"
         "000000000000 5e000000 5e000000 5e000000 00000000")},
};

class Login7Test : public testing::TestWithParam<LoginRow> {};
TEST_P(Login7Test, decode) {
  const auto login = decode_login7(GetParam().bytes);
  ASSERT_TRUE(login) << login.error().text();
  expect_equal(*login, GetParam().login());
}
TEST_P(Login7Test, encode) {
  const auto bytes = encode_login7(GetParam().login());
  ASSERT_TRUE(bytes) << bytes.error().text();
  EXPECT_EQ(*bytes, GetParam().bytes);
}
TEST_P(Login7Test, clone_is_equal) { expect_equal(GetParam().login().clone(), GetParam().login()); }
TEST_P(Login7Test, cut_anywhere_is_an_error) {
  for (std::size_t size = 0; size < GetParam().bytes.size(); ++size) {
    Bytes cut = prefix(GetParam().bytes, size);
    EXPECT_FALSE(decode_login7(cut)) << size;
    // The same with a Length that fits: now a field must be found missing, or an empty one at the
    // end was all that is gone.
    if (size < 4) continue;
    Writer length;
    length.u32_le(static_cast<std::uint32_t>(size));
    std::copy(length.bytes().begin(), length.bytes().end(), cut.begin());
    EXPECT_FALSE(decode_login7(cut)) << size;
  }
}
INSTANTIATE_TEST_SUITE_P(rows, Login7Test, testing::ValuesIn(logins), RowName());

// --- Other layouts than ours.

TEST(Login7, fields_may_stand_in_any_order_and_overlap) {
  Bytes bytes = every_field_bytes;
  bytes[36] = 0x60; // HostName where UserName is
  bytes[40] = 0x5E; // UserName where HostName was
  bytes[48] = 0x5E; // AppName there too
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_EQ(login->host_name, u"u");
  EXPECT_EQ(login->user_name, u"h");
  EXPECT_EQ(login->app_name, u"h");
}

TEST(Login7, the_offset_of_an_empty_field_is_not_looked_at) {
  for (const std::uint8_t high : {0x00, 0xFF}) {
    Bytes bytes = every_field_bytes;
    bytes[40] = 0; // UserName
    bytes[41] = high;
    bytes[42] = 0;
    const auto login = decode_login7(bytes);
    ASSERT_TRUE(login) << login.error().text();
    EXPECT_EQ(login->user_name, u"");
    EXPECT_EQ(login->app_name, u"a");
  }
}

TEST(Login7, an_extension_counts_only_with_its_flag) {
  Bytes bytes = every_field_bytes;
  bytes[27] = 0x01;
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_FALSE(login->has_extension);
  EXPECT_TRUE(login->features.empty());
}

TEST(Login7, the_flag_without_an_extension_is_kept) {
  Bytes bytes = every_field_bytes;
  bytes[58] = 0; // cbExtension
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_FALSE(login->has_extension);
  const auto again = decode_login7(*encode_login7(*login));
  ASSERT_TRUE(again);
  expect_equal(*again, *login);
}

TEST(Login7, before_7_2_the_flag_has_no_meaning) {
  Bytes bytes = short_form_bytes("01000071");
  bytes[27] = 0x10;
  bytes[58] = 4;
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_FALSE(login->has_extension);
}

TEST(Login7, features_set_the_flag) {
  Login7 login;
  login.features = {{FeatureId::utf8_support, {1}}};
  const auto again = decode_login7(*encode_login7(login));
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_TRUE(again->option_flags3 & option3_extension);
  EXPECT_EQ(again->features, login.features);
}

TEST(Login7, find_gives_the_feature_or_nothing) {
  const Login7 login = every_field();
  ASSERT_NE(login.find(FeatureId::utf8_support), nullptr);
  EXPECT_EQ(login.find(FeatureId::utf8_support)->data, Bytes{1});
  EXPECT_EQ(login.find(FeatureId::fedauth), nullptr);
}

TEST(Login7, integrated_security_is_one_bit) {
  Login7 login;
  EXPECT_FALSE(login.integrated_security());
  login.option_flags2 = 0x7F;
  EXPECT_FALSE(login.integrated_security());
  login.option_flags2 = 0x80;
  EXPECT_TRUE(login.integrated_security());
}

TEST(Login7, integrated_security_keeps_a_user_that_is_there) {
  Login7 login = integrated();
  login.user_name = u"u";
  login.password = secret(u"p");
  const auto again = decode_login7(*encode_login7(login));
  ASSERT_TRUE(again) << again.error().text();
  expect_equal(*again, login);
}

TEST(Login7, no_password_stands_in_clear_on_the_wire) {
  Login7 login;
  login.password = secret(u"Passw0rd");
  login.change_password = secret(u"Passw0rd");
  const Bytes bytes = *encode_login7(login);
  const Bytes clear = revealed(login.password);
  EXPECT_EQ(std::search(bytes.begin(), bytes.end(), clear.begin(), clear.end()), bytes.end());
}

// --- Limits.

struct TextLimitRow {
  const char *name;
  std::size_t longest; // units
  std::size_t slot;    // where ib and cch stand
  std::function<void(Login7 &, std::u16string_view)> set;
};

const TextLimitRow text_limits[] = {
    {"HostName", 128, 36, [](Login7 &login, std::u16string_view text) { login.host_name = text; }},
    {"UserName", 128, 40, [](Login7 &login, std::u16string_view text) { login.user_name = text; }},
    {"Password", 128, 44, [](Login7 &login, std::u16string_view text) { login.password = secret(text); }},
    {"AppName", 128, 48, [](Login7 &login, std::u16string_view text) { login.app_name = text; }},
    {"ServerName", 128, 52, [](Login7 &login, std::u16string_view text) { login.server_name = text; }},
    {"CltIntName", 128, 60, [](Login7 &login, std::u16string_view text) { login.clt_int_name = text; }},
    {"Language", 128, 64, [](Login7 &login, std::u16string_view text) { login.language = text; }},
    {"Database", 128, 68, [](Login7 &login, std::u16string_view text) { login.database = text; }},
    {"AtchDBFile", 260, 82, [](Login7 &login, std::u16string_view text) { login.attach_db_file = text; }},
    {"ChangePassword", 128, 86,
     [](Login7 &login, std::u16string_view text) { login.change_password = secret(text); }},
};

class TextLimit : public testing::TestWithParam<TextLimitRow> {};
TEST_P(TextLimit, the_longest_goes_both_ways) {
  Login7 login = every_field();
  GetParam().set(login, std::u16string(GetParam().longest, u'x'));
  const auto bytes = encode_login7(login);
  ASSERT_TRUE(bytes) << bytes.error().text();
  const auto again = decode_login7(*bytes);
  ASSERT_TRUE(again) << again.error().text();
  expect_equal(*again, login);
}
TEST_P(TextLimit, one_unit_more_is_not_encoded) {
  Login7 login = every_field();
  GetParam().set(login, std::u16string(GetParam().longest + 1, u'x'));
  const auto bytes = encode_login7(login);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().field, std::string("cch") + GetParam().name);
}
TEST_P(TextLimit, one_unit_more_is_not_decoded) {
  // A payload that has the room: only the limit can object.
  Login7 login = every_field();
  login.sspi = Bytes(1000);
  Bytes bytes = *encode_login7(login);
  bytes[GetParam().slot] = 0x5E;
  bytes[GetParam().slot + 1] = 0;
  Writer units;
  units.u16_le(static_cast<std::uint16_t>(GetParam().longest + 1));
  std::copy(units.bytes().begin(), units.bytes().end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(GetParam().slot + 2));
  const auto decoded = decode_login7(bytes);
  ASSERT_FALSE(decoded);
  const std::string limit = std::to_string(GetParam().longest);
  EXPECT_EQ(decoded.error(),
            (Error{"LOGIN7", std::string("cch") + GetParam().name,
                   "is too long (" + std::to_string(GetParam().longest + 1) + " > " + limit + ")",
                   GetParam().slot + 2}));
}
TEST_P(TextLimit, an_offset_past_the_end_is_not_decoded) {
  Bytes bytes = every_field_bytes;
  bytes[GetParam().slot] = 0x80; // just behind the last byte
  const auto decoded = decode_login7(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error(), (Error{"LOGIN7", std::string("ib") + GetParam().name,
                                    "points past the end (130 > 128)", GetParam().slot}));
}
TEST_P(TextLimit, an_offset_far_past_the_end_is_not_decoded) {
  Bytes bytes = every_field_bytes;
  bytes[GetParam().slot + 1] = 0xFF;
  const auto decoded = decode_login7(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().field, std::string("ib") + GetParam().name);
}
TEST_P(TextLimit, a_text_that_reaches_past_the_end_is_not_decoded) {
  Bytes bytes = every_field_bytes;
  bytes[GetParam().slot] = 0x7F;
  const auto decoded = decode_login7(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().field, std::string("ib") + GetParam().name);
}
TEST_P(TextLimit, an_offset_into_the_fixed_part_is_not_decoded) {
  Bytes bytes = every_field_bytes;
  bytes[GetParam().slot] = 0x5D;
  const auto decoded = decode_login7(bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error(), (Error{"LOGIN7", std::string("ib") + GetParam().name,
                                    "points into the fixed part (94 > 93)", GetParam().slot}));
}
INSTANTIATE_TEST_SUITE_P(rows, TextLimit, testing::ValuesIn(text_limits), RowName());

struct SspiRow {
  const char *name;
  std::size_t size;
  const char *slot; // cbSSPI
  const char *long_length;
};

const SspiRow sspi_sizes[] = {
    {"one_byte", 1, "0100", "00000000"},
    {"last_short_length", 65534, "feff", "00000000"},
    {"first_long_length", 65535, "ffff", "ffff0000"},
    {"more_than_16_bits", 65536, "ffff", "00000100"},
    {"much_more", 100'000, "ffff", "a0860100"},
};

class SspiSize : public testing::TestWithParam<SspiRow> {};
TEST_P(SspiSize, goes_both_ways) {
  Login7 login = empty_features(); // features behind the token: their offset is 32 bits wide
  login.features = {{FeatureId::utf8_support, {1}}};
  login.sspi = Bytes(GetParam().size, 0x5A);
  const auto bytes = encode_login7(login);
  ASSERT_TRUE(bytes) << bytes.error().text();
  EXPECT_EQ(Bytes(bytes->begin() + 80, bytes->begin() + 82), hex(GetParam().slot));
  EXPECT_EQ(Bytes(bytes->begin() + 90, bytes->begin() + 94), hex(GetParam().long_length));
  const auto again = decode_login7(*bytes);
  ASSERT_TRUE(again) << again.error().text();
  expect_equal(*again, login);
}
INSTANTIATE_TEST_SUITE_P(rows, SspiSize, testing::ValuesIn(sspi_sizes), RowName());

TEST(Login7, no_long_length_means_that_65535_is_the_length) {
  Login7 login;
  login.sspi = Bytes(65535, 0x5A);
  Bytes bytes = *encode_login7(login);
  std::fill(bytes.begin() + 90, bytes.begin() + 94, 0);
  const auto again = decode_login7(bytes);
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(again->sspi, login.sspi);
}

TEST(Login7, a_long_length_beside_a_short_one_is_ignored) {
  Bytes bytes = every_field_bytes;
  bytes[90] = 0x40;
  const auto login = decode_login7(bytes);
  ASSERT_TRUE(login) << login.error().text();
  EXPECT_EQ(login->sspi, hex("aabbcc"));
}

TEST(Login7, a_long_length_past_the_end_is_refused) {
  Bytes bytes = every_field_bytes;
  bytes[80] = bytes[81] = 0xFF;
  bytes[90] = bytes[91] = bytes[92] = bytes[93] = 0xFF;
  const auto login = decode_login7(bytes);
  ASSERT_FALSE(login);
  EXPECT_EQ(login.error().field, "ibSSPI");
}

TEST(Login7, no_field_can_stand_behind_64_kib) {
  Login7 login;
  login.sspi = Bytes(70'000);
  login.attach_db_file = u"f";
  const auto bytes = encode_login7(login);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().field, "ibAtchDBFile");
}

TEST(Login7, the_largest_goes_both_ways_and_one_byte_more_is_refused) {
  Login7 login;
  login.sspi = Bytes(largest_login7 - 94, 0x5A);
  const auto bytes = encode_login7(login);
  ASSERT_TRUE(bytes) << bytes.error().text();
  EXPECT_EQ(bytes->size(), largest_login7);
  EXPECT_TRUE(decode_login7(*bytes));

  login.sspi.push_back(0);
  const auto too_long = encode_login7(login);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().text(), "LOGIN7 Length at byte 0: is too long (131072 > 131071)");

  Bytes wire = *bytes;
  wire.push_back(0);
  Writer length;
  length.u32_le(static_cast<std::uint32_t>(wire.size()));
  std::copy(length.bytes().begin(), length.bytes().end(), wire.begin());
  const auto decoded = decode_login7(wire);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().text(), "LOGIN7 Length at byte 0: is too long (131072 > 131071)");
}

struct NoPlaceRow {
  const char *name;
  std::function<void(Login7 &)> change;
};

const NoPlaceRow no_place[] = {
    {"change_password", [](Login7 &login) { login.change_password = secret(u"n"); }},
    {"features",
     [](Login7 &login) {
       login.features = {{FeatureId::utf8_support, {1}}};
     }},
    {"long_sspi", [](Login7 &login) { login.sspi = Bytes(65535); }},
};

class BeforeTds72 : public testing::TestWithParam<NoPlaceRow> {};
TEST_P(BeforeTds72, there_is_no_place_for) {
  Login7 login = short_form(tds_7_1);
  EXPECT_TRUE(encode_login7(login));
  GetParam().change(login);
  const auto bytes = encode_login7(login);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().field, "TDSVersion");
}
INSTANTIATE_TEST_SUITE_P(rows, BeforeTds72, testing::ValuesIn(no_place), RowName());

TEST(Login7, a_password_of_half_a_unit_is_not_encoded) {
  Login7 login;
  login.password = Secret(hex("700077"));
  EXPECT_FALSE(encode_login7(login));
}

// --- Malformed: `every_field_bytes` with a few bytes replaced.

struct BadLoginRow {
  const char *name;
  std::size_t at;
  Bytes replacement;
  const char *complaint;
};

const BadLoginRow bad_logins[] = {
    {"length_too_small", 0, hex("7f000000"), "LOGIN7 Length at byte 0: says 127 bytes, there are 128"},
    {"length_too_large", 0, hex("81000000"), "LOGIN7 Length at byte 0: says 129 bytes, there are 128"},
    {"length_enormous", 0, hex("ffffffff"), "LOGIN7 Length at byte 0: says 4294967295 bytes, there are 128"},
    {"tds_5_0", 4, hex("00000005"), "LOGIN7 TDSVersion at byte 4: is not 7.0 to 7.4 or 8.0 (0x05000000)"},
    {"tds_version_unknown", 4, hex("78563412"),
     "LOGIN7 TDSVersion at byte 4: is not 7.0 to 7.4 or 8.0 (0x12345678)"},
    {"sspi_past_the_end", 80, hex("0f00"), "LOGIN7 ibSSPI at byte 78: points past the end (129 > 128)"},
    {"sspi_in_the_fixed_part", 78, hex("0000"),
     "LOGIN7 ibSSPI at byte 78: points into the fixed part (94 > 0)"},
    {"text_length_enormous", 38, hex("ffff"), "LOGIN7 cchHostName at byte 38: is too long (65535 > 128)"},
    {"extension_too_short", 58, hex("0300"), "LOGIN7 cbExtension at byte 58: is not 4 (3)"},
    {"extension_too_long", 58, hex("0500"), "LOGIN7 cbExtension at byte 58: is not 4 (5)"},
    {"extension_past_the_end", 56, hex("7d00"),
     "LOGIN7 ibExtension at byte 56: points past the end (129 > 128)"},
    {"features_in_the_fixed_part", 104, hex("5d000000"),
     "LOGIN7 ibFeatureExtLong at byte 104: points outside the variable part (93)"},
    {"features_behind_the_end", 104, hex("80000000"),
     "LOGIN7 ibFeatureExtLong at byte 104: points outside the variable part (128)"},
    {"features_far_behind_the_end", 104, hex("ffffffff"),
     "LOGIN7 ibFeatureExtLong at byte 104: points outside the variable part (4294967295)"},
    {"features_without_end", 127, hex("00"), "LOGIN7 FeatureDataLen at byte 128: needs 4 bytes, 0 are left"},
    {"feature_longer_than_the_payload", 122, hex("03000000"),
     "LOGIN7 FeatureData at byte 126: needs 3 bytes, 2 are left"},
    {"feature_that_swallows_the_end", 122, hex("02000000"),
     "LOGIN7 FeatureExt without its end (0xFF) at byte 128: needs 1 bytes, 0 are left"},
    {"feature_length_enormous", 122, hex("ffffffff"),
     "LOGIN7 FeatureData at byte 126: needs 4294967295 bytes, 2 are left"},
};

class BadLogin7 : public testing::TestWithParam<BadLoginRow> {};
TEST_P(BadLogin7, is_refused) {
  Bytes bytes = every_field_bytes;
  std::copy(GetParam().replacement.begin(), GetParam().replacement.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(GetParam().at));
  const auto login = decode_login7(bytes);
  ASSERT_FALSE(login);
  EXPECT_EQ(login.error().text(), GetParam().complaint);
}
INSTANTIATE_TEST_SUITE_P(rows, BadLogin7, testing::ValuesIn(bad_logins), RowName());

// Whatever is decoded can be encoded, and then says the same.
TEST(Login7, every_single_changed_byte_is_refused_or_survives_a_round_trip) {
  int decoded = 0, refused = 0;
  for (std::size_t at = 0; at < every_field_bytes.size(); ++at)
    for (const int flip : {0x01, 0x80, 0xFF}) {
      Bytes bytes = every_field_bytes;
      bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ flip);
      const auto login = decode_login7(bytes);
      login ? ++decoded : ++refused;
      if (!login) continue;
      // A version before 7.2 makes the rest of the fixed part look like the variable part:
      // fields may still be there.
      const auto encoded = encode_login7(*login);
      ASSERT_TRUE(encoded) << "byte " << at << ": " << encoded.error().text();
      const auto again = decode_login7(*encoded);
      ASSERT_TRUE(again) << "byte " << at << ": " << again.error().text();
      expect_equal(*again, *login);
    }
  EXPECT_GT(decoded, 50);
  EXPECT_GT(refused, 50);
}

} // namespace tds::test
