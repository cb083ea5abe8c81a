// SELECT: from one table, from none, or from a view of the system.
#pragma once

#include "tools/lab/peer/sql/expression.hpp"
#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

/// What a statement is read from and what it works on.
struct Statement {
  Words &words;
  Expressions &expressions;
  Parameters &variables;
  Session &session;
  Reply &reply;
  bool run = true; ///< else the statement is only read: it is in the branch of an IF that is not taken
};

/// From behind SELECT to the end of the statement. None where it gave its values to variables.
///   SELECT [DISTINCT] [TOP n] expression [AS name] | * , … [INTO table] [FROM table [alias]]
///     [WHERE condition] [ORDER BY column [DESC], …] [OFFSET n ROWS [FETCH NEXT m ROWS ONLY]]
std::optional<RowSet> select_rows(Statement &statement);

/// The rows of `table` for which WHERE holds, by index; reads on behind the condition. All of
/// them where there is no WHERE.
std::vector<std::size_t> rows_where(Statement &statement, const Table &table);

} // namespace lab
