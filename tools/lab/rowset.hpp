// Column metadata and rows as a server sends them (MS-TDS 2.2.7.4 COLMETADATA, 2.2.7.19 ROW), for the few types the peer uses.
#pragma once

#include "tds/bytes.hpp"
#include "tds/version.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace lab {

/// A value whose type and bytes came from a client's parameter: it goes back exactly as it came.
struct RawValue {
  tds::Bytes type;                         ///< TYPE_INFO
  tds::Bytes value;                        ///< TYPE_VARBYTE
  std::u16string text = {};                ///< what it says, where it is text
  std::optional<std::int64_t> number = {}; ///< what it is, where it is an integer
};
using Value = std::variant<std::monostate, std::int64_t, std::u16string, RawValue>;

struct Cell {
  std::string name;
  Value value;
};

/// SQL_Latin1_General_CP1_CI_AS, the default of a US installation: five bytes in every TYPE_INFO of text since TDS 7.1.
inline constexpr std::uint8_t collation[] = {0x09, 0x04, 0xD0, 0x00, 0x34};

/// B_VARCHAR: a length in UTF-16 units in one byte, then the units (cut at 255).
void append_b_varchar(tds::Writer &out, std::string_view text);
/// UserType and Flags, which precede each TYPE_INFO.
void append_user_type(tds::Writer &out, tds::Version version);
void append_type(tds::Writer &out, const Value &value, tds::Version version);
void append_value(tds::Writer &out, const Value &value);

/// COLMETADATA for one row's cells.
void append_columns(tds::Writer &out, const std::vector<Cell> &cells, tds::Version version);
void append_row(tds::Writer &out, const std::vector<Cell> &cells);

/// The row generator's table: n INT, filler VARCHAR(`bytes`).
void append_generated_columns(tds::Writer &out, std::size_t bytes, tds::Version version);
void append_generated_row(tds::Writer &out, std::uint64_t number, std::size_t bytes);
inline constexpr std::size_t largest_filler = 8000; ///< bytes, as VARCHAR allows

/// What a value says, as text; numbers in decimal, NULL as an empty string.
std::u16string text_of(const Value &value);
std::optional<std::int64_t> number_of(const Value &value);

} // namespace lab
