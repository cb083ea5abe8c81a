// Column metadata and rows as a server sends them (MS-TDS 2.2.7.4 COLMETADATA, 2.2.7.19 ROW).
#pragma once

#include "tools/lab/peer/sql/value.hpp"

#include <vector>

namespace lab {

/// A named value: a column of a one-row result.
struct Cell {
  std::string name;
  Value value;
};

struct Column {
  std::string name{};
  Type type{};
  bool nullable = true;
  bool identity = false;
  std::string key = {}; ///< of a primary key's column: "PRIMARY KEY"; else empty
};
using Row = std::vector<Data>; ///< as many as there are columns, of their types
struct RowSet {
  std::vector<Column> columns{};
  std::vector<Row> rows{};
};
RowSet row_set(const std::vector<Cell> &cells);

/// B_VARCHAR: a length in UTF-16 units in one byte, then the units (cut at 255).
void append_b_varchar(tds::Writer &out, std::string_view text);
/// UserType and Flags, which precede each TYPE_INFO.
void append_user_type(tds::Writer &out, tds::Version version, std::uint16_t flags = 0x0001);

/// COLMETADATA, and ROW under it, in what `version` can read. `values` belong to `columns`.
void append_columns(tds::Writer &out, const std::vector<Column> &columns, tds::Version version);
void append_row(tds::Writer &out, const std::vector<Column> &columns, const Row &row, tds::Version version);

/// The row generator's table: n INT, filler VARCHAR(`bytes`).
std::vector<Column> generated_columns(std::size_t bytes);
Row generated_row(std::uint64_t number, std::size_t bytes);
inline constexpr std::size_t largest_filler = 8000; ///< bytes, as VARCHAR allows

} // namespace lab
