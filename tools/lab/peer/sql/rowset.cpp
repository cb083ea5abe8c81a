#include "tools/lab/peer/sql/rowset.hpp"

#include <algorithm>

namespace lab {
namespace {

constexpr std::uint8_t token_colmetadata = 0x81;
constexpr std::uint8_t token_row = 0xD1;
constexpr std::uint16_t flag_nullable = 0x0001;
constexpr std::uint16_t flag_updatable = 0x0008;
constexpr std::uint16_t flag_identity = 0x0010;

} // namespace

RowSet row_set(const std::vector<Cell> &cells) {
  RowSet rows{.rows = {Row()}};
  for (const auto &cell : cells) {
    rows.columns.push_back({.name = cell.name, .type = cell.value.type});
    rows.rows[0].push_back(cell.value.data);
  }
  return rows;
}

void append_b_varchar(tds::Writer &out, std::string_view text) {
  const auto units = tds::to_utf16(text).substr(0, 255);
  out.u8(static_cast<std::uint8_t>(units.size()));
  out.utf16(units);
}

void append_user_type(tds::Writer &out, tds::Version version, std::uint16_t flags) {
  version.at_least_7_2() ? out.u32_le(0) : out.u16_le(0);
  out.u16_le(flags);
}

void append_columns(tds::Writer &out, const std::vector<Column> &columns, tds::Version version) {
  out.u8(token_colmetadata);
  out.u16_le(static_cast<std::uint16_t>(columns.size()));
  for (const auto &column : columns) {
    const auto type = type_for(column.type, version);
    append_user_type(out, version,
                     static_cast<std::uint16_t>((column.nullable ? flag_nullable : 0) |
                                                (column.identity ? flag_identity : flag_updatable)));
    append_type(out, type, version);
    if (type.pointed()) { // the table's name, in one part
      if (version.at_least_7_2()) out.u8(1);
      out.u16_le(1);
      out.utf16(u"t");
    }
    append_b_varchar(out, column.name);
  }
}

void append_row(tds::Writer &out, const std::vector<Column> &columns, const Row &row, tds::Version version) {
  out.u8(token_row);
  for (std::size_t index = 0; index < columns.size(); ++index) {
    const auto &type = columns[index].type;
    if (const auto shown = type_for(type, version);
        shown == type) { // values may be large: not copied where they need no change
      append_data(out, type, row[index], Place::row);
    } else {
      const auto value = value_for({type, row[index]}, version);
      append_data(out, value.type, value.data, Place::row);
    }
  }
}

std::vector<Column> generated_columns(std::size_t bytes) {
  return {{.name = "n"},
          {.name = "filler",
           .type = {.id = TypeId::varchar,
                    .size = static_cast<std::uint32_t>(std::clamp<std::size_t>(bytes, 1, largest_filler))}}};
}

Row generated_row(std::uint64_t number, std::size_t bytes) {
  // Always INT: the column was announced with 4 bytes.
  const Value n(static_cast<std::int64_t>(number & 0x7FFFFFFF));
  return {n.data, tds::Bytes(bytes, static_cast<std::uint8_t>('a' + number % 26))};
}

} // namespace lab
