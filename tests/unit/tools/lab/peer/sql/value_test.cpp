#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/sample_types.hpp"

#include <gtest/gtest.h>

namespace lab {
namespace {

std::string there_and_back(std::u16string_view text, const Type &type) {
  return tds::to_utf8(text_of(convert(Value(std::u16string(text)), type)));
}

TEST(Value, text_survives_every_type) {
  EXPECT_EQ(there_and_back(u"-32768", declared_type("smallint")), "-32768");
  EXPECT_EQ(there_and_back(u"-1234567.885", declared_type("decimal", {"9", "2"})), "-1234567.89");
  EXPECT_EQ(there_and_back(u"922337203685477.5807", declared_type("money")), "922337203685477.5807");
  EXPECT_EQ(there_and_back(u"6F9619FF-8B86-D011-B42D-00C04FC964FF", declared_type("uniqueidentifier")),
            "6F9619FF-8B86-D011-B42D-00C04FC964FF");
  EXPECT_EQ(there_and_back(u"2024-02-29 23:59:59.9999999", declared_type("datetime2", {"3"})),
            "2024-03-01 00:00:00.000");
  EXPECT_EQ(there_and_back(u"2024-02-29T12:34:56 -08:00", declared_type("datetimeoffset", {"0"})),
            "2024-02-29 12:34:56 -08:00");
  EXPECT_EQ(there_and_back(u"0xdeadbeef", declared_type("varbinary", {"8"})), "0xDEADBEEF");
  EXPECT_EQ(there_and_back(u"\u20AC", declared_type("varchar", {"10"})), "\u20AC");
}

TEST(Value, what_does_not_fit_is_refused) {
  EXPECT_THROW(convert(Value(256), declared_type("tinyint")), Refusal);
  EXPECT_THROW(convert(Value(100), declared_type("decimal", {"2", "0"})), Refusal);
  EXPECT_THROW(convert(Value(u"four"), declared_type("varchar", {"3"})), Refusal);
  EXPECT_THROW(convert(Value(u"2023-02-29"), declared_type("date")), Refusal);
}

TEST(Value, every_sample_is_read_back_from_what_is_written_in_every_version) {
  const auto samples = sample_types(false);
  EXPECT_EQ(samples.columns.size(), 40u);
  for (const auto version : {tds::tds_7_0, tds::tds_7_1, tds::tds_7_2, tds::tds_7_4})
    for (std::size_t index = 0; index < samples.columns.size(); ++index) {
      const auto shown = value_for({samples.columns[index].type, samples.rows[0][index]}, version);
      for (const auto &data : {shown.data, Data()}) {
        tds::Writer out;
        append_type(out, shown.type, version);
        append_data(out, shown.type, data, Place::row);
        tds::Reader in(out.bytes(), "sample");
        const auto type = read_type(in, version);
        EXPECT_EQ(type, shown.type) << samples.columns[index].name;
        EXPECT_EQ(read_data(in, type, Place::row), data) << samples.columns[index].name;
        EXPECT_EQ(in.left(), 0u);
      }
    }
}

} // namespace
} // namespace lab
