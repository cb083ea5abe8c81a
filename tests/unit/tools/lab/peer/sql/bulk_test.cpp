#include "tools/lab/peer/sql/bulk.hpp"
#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/session.hpp"

#include <gtest/gtest.h>

namespace lab {
namespace {

/// COLMETADATA for id INT, name NVARCHAR; a ROW, a NBCROW without the name; DONE.
tds::Bytes load() {
  tds::Writer out;
  out.u8(0x81), out.u16_le(2);
  out.u32_le(0), out.u16_le(0), out.u8(0x26), out.u8(4), out.u8(2), out.utf16(u"id");
  out.u32_le(0), out.u16_le(1), out.u8(0xE7), out.u16_le(20), out.append(collation), out.u8(4),
      out.utf16(u"name");
  out.u8(0xD1), out.u8(4), out.u32_le(7), out.u16_le(4), out.utf16(u"ab");
  out.u8(0xD2), out.u8(0x02), out.u8(4), out.u32_le(8);
  out.append(tds::encode_tokens({tds::Done{}}, tds::tds_7_4));
  return std::move(out).bytes();
}

Session session_with_table() {
  Session session;
  session.version = tds::tds_7_4;
  create_table(session, {.name = "T",
                         .columns = {{.name = "Name", .type = declared_type("varchar", {"10"})},
                                     {.name = "Id", .type = declared_type("bigint")}}});
  session.bulk = BulkTarget{.table = "dbo.t"};
  return session;
}

TEST(Bulk, rows_reach_the_table_by_the_names_of_their_columns) {
  auto session = session_with_table();
  EXPECT_EQ(load_bulk(load(), session), 2u);
  const auto table = find_table(session, "t");
  ASSERT_EQ(table->rows.size(), 2u);
  EXPECT_EQ(table->rows[0], (Row{tds::Bytes{'a', 'b'}, tds::Bytes{7, 0, 0, 0, 0, 0, 0, 0}}));
  EXPECT_EQ(table->rows[1], (Row{std::nullopt, tds::Bytes{8, 0, 0, 0, 0, 0, 0, 0}}));
}

TEST(Bulk, every_cut_is_refused_or_read) {
  const auto whole = load();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto session = session_with_table();
    try {
      load_bulk(tds::ByteView(whole).first(size), session);
    } catch (const Refusal &) {
    }
  }
}

} // namespace
} // namespace lab
