// The peer's tables: those of the server, and a session's own (#names). Just enough to give
// back what programs put in.
#pragma once

#include "tools/lab/peer/sql/rowset.hpp"

#include <map>
#include <memory>

namespace lab {

struct Session;

struct Table {
  std::string name{}; ///< as it was created
  std::vector<Column> columns{};
  std::vector<Row> rows{};
  std::int64_t next_identity = 1;

  /// Index of a column, whatever the case of its name. Throws Refusal 207 where there is none.
  std::size_t column(std::string_view name) const;
};
inline constexpr std::size_t most_rows = 1'000'000; ///< of a table
inline constexpr std::size_t most_tables = 1'000;   ///< of a server, and of a session

/// By lower-case name. Shared: a table is copied by the first change that must be able to undo.
using Tables = std::map<std::string, std::shared_ptr<Table>>;

/// What tables were when a transaction or a savepoint began; a null table did not exist.
struct Undo {
  std::string savepoint{}; ///< empty: the transaction
  Tables old{};
};

/// `name` may be qualified, in any case: only its last part counts. Null where there is no such table.
std::shared_ptr<const Table> find_table(const Session &session, std::string_view name);
/// The table, to be changed; what it was is kept as long as a transaction may want it back. Throws
/// Refusal 208 where there is none.
Table &change_table(Session &session, std::string_view name);
/// Throws Refusal 2714 where the name is taken.
void create_table(Session &session, Table table);
/// False where there was none.
bool drop_table(Session &session, std::string_view name);

/// Gives tables back what they were at the savepoint, or at the begin of the transaction (an empty name).
/// False for no such savepoint.
bool undo(Session &session, std::string_view savepoint);

/// Adds a row of these values, which are converted; columns that are not named are NULL, or count on.
/// Gives the identity, if any.
std::optional<std::int64_t> add_row(Table &table, const std::vector<std::size_t> &columns,
                                    const std::vector<Value> &values);

} // namespace lab
