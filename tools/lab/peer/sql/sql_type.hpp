// A column's or parameter's type as TDS writes it (MS-TDS 2.2.5.4, 2.2.5.6 TYPE_INFO), and the
// bytes of its values (2.2.5.2).
#pragma once

#include "tds/bytes.hpp"
#include "tds/version.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lab {

/// SQL_Latin1_General_CP1_CI_AS, the default of a US installation: five bytes in every
/// TYPE_INFO of text since TDS 7.1.
inline constexpr std::array<std::uint8_t, 5> collation = {0x09, 0x04, 0xD0, 0x00, 0x34};

enum class TypeId : std::uint8_t {
  null = 0x1F,
  image = 0x22,
  text = 0x23,
  guid = 0x24,
  old_varbinary = 0x25,
  intn = 0x26,
  old_varchar = 0x27,
  date = 0x28,
  time = 0x29,
  datetime2 = 0x2A,
  datetimeoffset = 0x2B,
  old_binary = 0x2D,
  old_char = 0x2F,
  int1 = 0x30,
  bit = 0x32,
  int2 = 0x34,
  int4 = 0x38,
  smalldatetime = 0x3A,
  real = 0x3B,
  money = 0x3C,
  datetime = 0x3D,
  float8 = 0x3E,
  variant = 0x62,
  ntext = 0x63,
  bitn = 0x68,
  decimal = 0x6A,
  numeric = 0x6C,
  floatn = 0x6D,
  moneyn = 0x6E,
  datetimn = 0x6F,
  smallmoney = 0x7A,
  int8 = 0x7F,
  varbinary = 0xA5,
  varchar = 0xA7,
  binary = 0xAD,
  character = 0xAF,
  nvarchar = 0xE7,
  nchar = 0xEF,
  udt = 0xF0,
  xml = 0xF1,
};

struct Type {
  TypeId id = TypeId::intn;
  std::uint32_t size = 4; ///< bytes of the largest value, as TYPE_INFO says it; `max_size` of the (max) types
  std::uint8_t precision = 0;
  std::uint8_t scale = 0;
  std::array<std::uint8_t, 5> collation = lab::collation;
  tds::Bytes names{}; ///< of an XML schema or a CLR type: sent back as they came

  bool operator==(const Type &) const = default;
  bool text() const;  ///< of characters, XML not among them
  bool wide() const;  ///< its characters are UTF-16
  bool bytes() const; ///< BINARY and the like
  bool whole() const; ///< integers and BIT
  /// In chunks (PLP) rather than behind one length.
  bool chunked() const;
  /// TEXT, NTEXT, IMAGE: a text pointer goes before a value in a row, the table's name
  /// behind the type in COLMETADATA.
  bool pointed() const;
};
inline constexpr std::uint32_t max_size = 0xFFFF;
inline constexpr std::uint32_t pointed_size = 0x7FFFFFFF;

using Data = std::optional<tds::Bytes>; ///< a value without its length; none is NULL

/// Throws Refusal for what cannot be read and for types that the lab does not know (a
/// table-valued parameter).
Type read_type(tds::Reader &in, tds::Version version);
void append_type(tds::Writer &out, const Type &type, tds::Version version);

/// A parameter and a row differ in TEXT, NTEXT and IMAGE, which in a row have a text pointer.
enum class Place { parameter, row };
Data read_data(tds::Reader &in, const Type &type, Place place);
void append_data(tds::Writer &out, const Type &type, const Data &data, Place place);

/// The type of a declaration: "decimal" with {"10", "2"}, "nvarchar" with {"max"}. Throws Refusal 2715
/// for a name that is no type.
Type declared_type(std::string_view name, const std::vector<std::string> &arguments = {});
/// As a declaration says it: "decimal(10,2)".
std::string type_name(const Type &type);

/// What a server shows a client of an older version instead: text for dates before 7.3, TEXT and its like for
/// (max) and XML before 7.2.
Type type_for(const Type &type, tds::Version version);

} // namespace lab
