#include "tds/bytes.hpp"

#include "support.hpp"

#include <limits>

namespace tds::test {

TEST(Reader, reads_every_kind_of_number) {
  const Bytes bytes = hex("01 0203 0405 06070809 0a0b0c0d 0102030405060708 ff");
  Reader in(bytes, "X");
  EXPECT_EQ(in.u8("f"), 0x01);
  EXPECT_EQ(in.u16_le("f"), 0x0302);
  EXPECT_EQ(in.u16_be("f"), 0x0405);
  EXPECT_EQ(in.u32_le("f"), 0x09080706u);
  EXPECT_EQ(in.u32_be("f"), 0x0A0B0C0Du);
  EXPECT_EQ(in.u64_le("f"), 0x0807060504030201u);
  EXPECT_EQ(in.offset(), 21u);
  EXPECT_EQ(in.left(), 1u);
  EXPECT_EQ(in.rest().front(), 0xFF);
}

TEST(Reader, a_short_read_names_structure_field_and_offset_and_consumes_nothing) {
  const Bytes bytes = hex("01 02 03 04");
  Reader in(bytes, "LOGIN7");
  ASSERT_TRUE(in.u8("first"));
  const auto value = in.u32_le("Length");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error(), (Error{"LOGIN7", "Length", "needs 4 bytes, 3 are left", 1}));
  EXPECT_EQ(in.offset(), 1u);
  EXPECT_EQ(in.u16_be("next"), 0x0203);
}

TEST(Reader, take_is_a_view_into_the_input) {
  const Bytes bytes = hex("01 02 03");
  Reader in(bytes, "X");
  const auto taken = in.take(2, "f");
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->data(), bytes.data());
  EXPECT_EQ(taken->size(), 2u);
  EXPECT_FALSE(in.take(2, "f"));
  EXPECT_TRUE(in.take(1, "f"));
  EXPECT_TRUE(in.take(0, "f"));
}

TEST(Reader, utf16_keeps_every_unit) {
  const Bytes bytes = hex("4100 00d8 0000 20ac");
  Reader in(bytes, "X");
  EXPECT_EQ(in.utf16(4, "f"), (std::u16string{u'A', 0xD800, u'\0', 0xAC20}));
}

TEST(Reader, utf16_of_more_than_there_is_allocates_nothing) {
  const Bytes bytes = hex("4100 42");
  Reader in(bytes, "X");
  EXPECT_FALSE(in.utf16(2, "f"));
  // A size that wraps when it is doubled.
  EXPECT_FALSE(in.utf16(std::numeric_limits<std::size_t>::max() / 2 + 2, "f"));
  EXPECT_EQ(in.offset(), 0u);
  EXPECT_TRUE(in.utf16(1, "f"));
}

TEST(Fields, the_first_failure_sticks) {
  const Bytes bytes = hex("01 02 03");
  Reader reader(bytes, "X");
  Fields in(reader);
  EXPECT_EQ(in.u8("a"), 1);
  EXPECT_EQ(in.u32_le("b"), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.u8("c"), 0); // there would be a byte
  EXPECT_TRUE(in.take(1, "d").empty());
  EXPECT_TRUE(in.utf16(1, "e").empty());
  in.reject("f", "makes no sense");
  const auto result = in.finish(7);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), (Error{"X", "b", "needs 4 bytes, 2 are left", 1}));
}

TEST(Fields, finish_gives_the_value) {
  const Bytes bytes = hex("01");
  Reader reader(bytes, "X");
  Fields in(reader);
  EXPECT_EQ(in.u8("a"), 1);
  in.expect_end();
  EXPECT_EQ(in.finish(7), 7);
}

TEST(Fields, expect_end_complains_about_what_is_left) {
  const Bytes bytes = hex("01 02 03");
  Reader reader(bytes, "X");
  Fields in(reader);
  in.u8("a");
  in.expect_end();
  EXPECT_EQ(in.finish(0).error(), (Error{"X", "", "2 bytes too many", 1}));
}

TEST(Writer, writes_every_kind_of_number) {
  Writer out;
  out.u8(0x01);
  out.u16_le(0x0203);
  out.u16_be(0x0203);
  out.u32_le(0x04050607);
  out.u32_be(0x04050607);
  out.u64_le(0x0102030405060708);
  out.utf16(u"Aé");
  out.append(hex("aabb"));
  EXPECT_EQ(out.bytes(), hex("01 0302 0203 07060504 04050607 0807060504030201 4100e900 aabb"));
}

TEST(Writer, patches_what_was_written) {
  Writer out;
  out.append(Bytes(8));
  out.patch_u16_le(1, 0x0203);
  out.patch_u32_le(4, 0x04050607);
  EXPECT_EQ(out.bytes(), hex("00 0302 00 07060504"));
}

struct TextRow {
  const char *name;
  std::u16string utf16;
  std::string utf8;
};

const TextRow texts[] = {
    {"empty", u"", ""},
    {"ascii", u"master", "master"},
    {"nul_inside", std::u16string(u"a\0b", 3), std::string("a\0b", 3)},
    {"last_of_one_byte", u"\x7f", "\x7f"},
    {"first_of_two_bytes", u"\x80", "\xc2\x80"},
    {"last_of_two_bytes", u"\x7ff", "\xdf\xbf"},
    {"first_of_three_bytes", u"\x800", "\xe0\xa0\x80"},
    {"last_of_three_bytes", u"\xffff", "\xef\xbf\xbf"},
    {"first_surrogate_pair", u"\xd800\xdc00", "\xf0\x90\x80\x80"},
    {"last_surrogate_pair", u"\xdbff\xdfff", "\xf4\x8f\xbf\xbf"},
};

class Text : public testing::TestWithParam<TextRow> {};
TEST_P(Text, to_utf8) { EXPECT_EQ(to_utf8(GetParam().utf16), GetParam().utf8); }
TEST_P(Text, to_utf16) { EXPECT_EQ(to_utf16(GetParam().utf8), GetParam().utf16); }
INSTANTIATE_TEST_SUITE_P(rows, Text, testing::ValuesIn(texts), RowName());

const std::string bad = "\xef\xbf\xbd"; // U+FFFD

const TextRow unpaired[] = {
    {"high_alone", u"\xd800", bad},
    {"low_alone", u"\xdc00", bad},
    {"high_before_letter", u"\xd800z", bad + "z"},
    {"low_before_high", u"\xdc00\xd800", bad + bad},
    {"high_before_pair", u"\xd800\xd800\xdc00", bad + "\xf0\x90\x80\x80"},
};

class UnpairedSurrogate : public testing::TestWithParam<TextRow> {};
TEST_P(UnpairedSurrogate, is_replaced) { EXPECT_EQ(to_utf8(GetParam().utf16), GetParam().utf8); }
INSTANTIATE_TEST_SUITE_P(rows, UnpairedSurrogate, testing::ValuesIn(unpaired), RowName());

const TextRow not_utf8[] = {
    {"continuation_alone", u"\xfffdz", "\x80z"},
    {"cut_two_bytes", u"\xfffd", "\xc3"},
    {"cut_three_bytes", u"\xfffd\xfffd", "\xe2\x82"},
    {"letter_in_place_of_continuation", u"\xfffd(", "\xc3("},
    {"overlong_two_bytes", u"\xfffd\xfffd", "\xc0\xaf"},
    {"overlong_three_bytes", u"\xfffd\xfffd\xfffd", "\xe0\x80\xaf"},
    {"overlong_four_bytes", u"\xfffd\xfffd\xfffd\xfffd", "\xf0\x80\x80\xaf"},
    {"encoded_surrogate", u"\xfffd\xfffd\xfffd", "\xed\xa0\x80"},
    {"above_the_last_code_point", u"\xfffd\xfffd\xfffd\xfffd", "\xf4\x90\x80\x80"},
    {"never_a_lead_byte", u"\xfffd\xfffdz", "\xff\xf8z"},
};

class InvalidUtf8 : public testing::TestWithParam<TextRow> {};
TEST_P(InvalidUtf8, is_replaced_byte_by_byte) { EXPECT_EQ(to_utf16(GetParam().utf8), GetParam().utf16); }
INSTANTIATE_TEST_SUITE_P(rows, InvalidUtf8, testing::ValuesIn(not_utf8), RowName());

} // namespace tds::test
