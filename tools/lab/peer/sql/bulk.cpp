#include "tools/lab/peer/sql/bulk.hpp"

#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/session.hpp"

namespace lab {
namespace {

constexpr std::uint8_t token_colmetadata = 0x81;
constexpr std::uint8_t token_row = 0xD1;
constexpr std::uint8_t token_nbcrow = 0xD2;

std::vector<Column> read_columns(tds::Reader &in, tds::Version version) {
  const auto count = need(in.u16_le("Count"));
  std::vector<Column> columns;
  for (std::size_t index = 0; index < count && count != 0xFFFF; ++index) {
    version.at_least_7_2() ? (void)need(in.u32_le("UserType")) : (void)need(in.u16_le("UserType"));
    need(in.u16_le("Flags"));
    Column column{.type = read_type(in, version)};
    if (column.type.pointed()) need(in.utf16(need(in.u16_le("TableName length")), "TableName"));
    column.name = tds::to_utf8(need(in.utf16(need(in.u8("ColName length")), "ColName")));
    columns.push_back(std::move(column));
  }
  return columns;
}

} // namespace

RowSet read_bulk(tds::ByteView payload, tds::Version version) {
  tds::Reader in(payload, "BulkLoad");
  RowSet result;
  while (in.left() > 0) {
    const auto token = need(in.u8("token"));
    if (token == token_colmetadata) {
      result.columns = read_columns(in, version);
    } else if (token == token_row || token == token_nbcrow) {
      if (result.rows.size() >= most_rows)
        throw Refusal{.text = "the lab takes no bulk load of so many rows"};
      const auto nulls = token == token_nbcrow ? need(in.take((result.columns.size() + 7) / 8, "NullBitmap"))
                                               : tds::ByteView();
      Row row;
      for (std::size_t index = 0; index < result.columns.size(); ++index) {
        const bool null = !nulls.empty() && (nulls[index / 8] >> index % 8 & 1);
        row.push_back(null ? Data() : read_data(in, result.columns[index].type, Place::row));
      }
      result.rows.push_back(std::move(row));
    } else if (token == static_cast<std::uint8_t>(tds::DoneKind::done)) {
      return result;
    } else {
      throw Refusal{.number = 4804,
                    .text = "the lab cannot read this bulk load: a token that has no place in it"};
    }
  }
  return result; // FreeTDS ends a load without rows by an empty message
}

std::size_t load_bulk(tds::ByteView payload, Session &session) {
  const auto target = std::exchange(session.bulk, {});
  const auto loaded = read_bulk(payload, session.version);
  if (!target || !find_table(session, target->table)) return loaded.rows.size();
  auto &table = change_table(session, target->table);
  std::vector<std::size_t> places;
  for (const auto &column : loaded.columns)
    places.push_back(table.column(column.name));
  for (const auto &row : loaded.rows) {
    std::vector<Value> values;
    for (std::size_t index = 0; index < row.size(); ++index)
      values.emplace_back(loaded.columns[index].type, row[index]);
    add_row(table, places, values);
  }
  return loaded.rows.size();
}

} // namespace lab
