// Bulk load: what INSERT BULK announces, and the rows behind it (MS-TDS 2.2.6.1 BulkLoadBCP).
#pragma once

#include "tools/lab/peer/sql/rowset.hpp"

namespace lab {

struct Session;

/// Where the rows of the next bulk message go.
struct BulkTarget {
  std::string table; ///< one that does not exist: the rows are counted and thrown away
  std::vector<std::string> columns{};
};

/// COLMETADATA, ROW or NBCROW, DONE. Throws Refusal for what is no bulk load, and for columns of a
/// type the lab does not know.
RowSet read_bulk(tds::ByteView payload, tds::Version version);

/// Stores the rows in the table that INSERT BULK named; gives how many there were. Throws Refusal.
std::size_t load_bulk(tds::ByteView payload, Session &session);

} // namespace lab
