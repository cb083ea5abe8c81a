#include "tools/lab/peer/sql/sample_types.hpp"

#include <array>

namespace lab {
namespace {

struct Sample {
  std::string_view name;
  std::string_view type;
  std::array<std::string_view, 2> arguments;
  std::u16string_view text; ///< the value, as it is converted from
};

constexpr auto samples = std::to_array<Sample>({
    {"c_bit", "bit", {}, u"1"},
    {"c_tinyint", "tinyint", {}, u"255"},
    {"c_smallint", "smallint", {}, u"-32768"},
    {"c_int", "int", {}, u"2147483647"},
    {"c_bigint", "bigint", {}, u"-9223372036854775808"},
    {"c_real", "real", {}, u"1.5"},
    {"c_float", "float", {}, u"-2.25e100"},
    {"c_smallmoney", "smallmoney", {}, u"-214748.3647"},
    {"c_money", "money", {}, u"922337203685477.5807"},
    {"c_decimal9", "decimal", {"9", "2"}, u"-1234567.89"},
    {"c_decimal19", "decimal", {"19", "4"}, u"123456789012345.6789"},
    {"c_decimal28", "decimal", {"28", "0"}, u"9999999999999999999999999999"},
    {"c_decimal38", "decimal", {"38", "10"}, u"-1234567890123456789012345678.0123456789"},
    {"c_numeric", "numeric", {"18", "18"}, u"0.123456789012345678"},
    {"c_char", "char", {"10"}, u"chars"},
    {"c_varchar", "varchar", {"50"}, u"na\u00EFve caf\u00E9 \u20AC"},
    {"c_varchar_max", "varchar", {"max"}, u"varchar of max size"},
    {"c_text", "text", {}, u"text with a pointer"},
    {"c_nchar", "nchar", {"10"}, u"\u03B1\u03B2\u03B3"},
    {"c_nvarchar", "nvarchar", {"50"}, u"\u65E5\u672C\u8A9E \U0001F600"},
    {"c_nvarchar_max", "nvarchar", {"max"}, u"\u041F\u0440\u0438\u0432\u0435\u0442"},
    {"c_ntext", "ntext", {}, u"\u05E9\u05DC\u05D5\u05DD"},
    {"c_binary", "binary", {"4"}, u"0x00FF10A5"},
    {"c_varbinary", "varbinary", {"16"}, u"0xDEADBEEF00"},
    {"c_varbinary_max", "varbinary", {"max"}, u"0x0102030405060708090A"},
    {"c_image", "image", {}, u"0xCAFEBABE"},
    {"c_uniqueidentifier", "uniqueidentifier", {}, u"6F9619FF-8B86-D011-B42D-00C04FC964FF"},
    {"c_date", "date", {}, u"2024-02-29"},
    {"c_time0", "time", {"0"}, u"23:59:59"},
    {"c_time3", "time", {"3"}, u"12:34:56.789"},
    {"c_time7", "time", {"7"}, u"12:34:56.1234567"},
    {"c_datetime", "datetime", {}, u"1753-01-01 12:34:56.997"},
    {"c_smalldatetime", "smalldatetime", {}, u"2079-06-06 23:59:00"},
    {"c_datetime2_0", "datetime2", {"0"}, u"0001-01-01 00:00:01"},
    {"c_datetime2_7", "datetime2", {"7"}, u"9999-12-31 23:59:59.9999999"},
    {"c_datetimeoffset", "datetimeoffset", {"7"}, u"2024-02-29 12:34:56.1234567 -08:00"},
    {"c_xml", "xml", {}, u"<r a=\"1\">\u00E9</r>"},
    {"c_sql_variant", "sql_variant", {}, u"a variant"},
    {"c_sysname", "sysname", {}, u"name"},
    {"c_rowversion", "rowversion", {}, u"0x00000000000007D1"},
});

} // namespace

RowSet sample_types(bool nulls) {
  RowSet rows{.rows = {Row()}};
  for (const auto &sample : samples) {
    std::vector<std::string> arguments;
    for (const auto argument : sample.arguments)
      if (!argument.empty()) arguments.emplace_back(argument);
    const auto type = declared_type(sample.type, arguments);
    const auto value = convert(Value(std::u16string(sample.text)), type);
    rows.columns.push_back({.name = std::string(sample.name), .type = type});
    rows.rows[0].push_back(nulls ? Data() : value.data);
  }
  return rows;
}

} // namespace lab
