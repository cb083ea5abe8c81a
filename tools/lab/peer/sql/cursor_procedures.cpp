#include "tools/lab/peer/sql/procedures.hpp"
#include "tools/lab/peer/sql/statements.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr std::int64_t scroll_types = 0x1F; // keyset, dynamic, forward only, static, fast forward
constexpr std::int64_t scroll_static = 0x08;
constexpr std::int64_t auto_fetch = 0x2000; // the first rows come with the answer to opening
constexpr std::int64_t read_only = 0x01;
constexpr std::size_t most_cursors = 1'000;

void give(Parameters &arguments, std::size_t index, std::int64_t value) {
  if (index < arguments.size()) arguments[index].value = convert(Value(value), declared_type("int"));
}

/// The rows of a cursor end with ROWSTAT, which drivers count on: 1, the row is there.
std::vector<Column> with_row_status(std::vector<Column> columns) {
  columns.push_back({.name = "ROWSTAT", .nullable = false});
  return columns;
}

RowSet window(const Cursor &cursor) {
  RowSet shown{.columns = with_row_status(cursor.rows.columns)};
  for (auto index = cursor.before; index < cursor.before + cursor.size; ++index) {
    auto row = cursor.rows.rows[static_cast<std::size_t>(index)];
    row.push_back(Value(1).data);
    shown.rows.push_back(std::move(row));
  }
  return shown;
}

/// Where the OUTPUT parameters of the three ways to open one stand.
struct Places {
  std::size_t cursor, scroll, concurrency, rows;
};

void open(Reply &reply, const Prepared &statement, Parameters &arguments, Places places, std::size_t values,
          Session &session) {
  auto variables = from(arguments, values);
  name_parameters(variables, statement.declaration);
  auto rows = answer_query(statement.statement, variables, session, reply);
  if (!rows) { // as in SQL Server, what has no cursor is run, and its results come as usual
    answer_statements(statement.statement, variables, session, reply);
    give(arguments, places.cursor, 0);
    return;
  }
  if (session.cursors.size() >= most_cursors)
    throw Refusal{.number = 16956, .text = "The lab opens no more cursors."};
  const auto asked = argument_number(arguments, places.scroll, scroll_static);
  const auto fetched = argument_number(arguments, places.rows, 0);
  const auto total = static_cast<std::int64_t>(rows->rows.size());
  auto &cursor = session.cursors[++session.last_handle];
  cursor.rows = std::move(*rows);
  if (asked & auto_fetch) {
    cursor.fetch(0x02, 0, fetched > 0 ? fetched : 20);
    reply.rows(window(cursor));
  } else {
    reply.columns(with_row_status(cursor.rows.columns));
    reply.end(Command::select, 0);
  }
  give(arguments, places.cursor, session.last_handle);
  const auto type = asked & scroll_types & ~0x02; // keyset and dynamic ones become static
  give(arguments, places.scroll, type == 0x04 || type == 0x10 ? type : scroll_static);
  give(arguments, places.concurrency, read_only);
  give(arguments, places.rows, total);
}

Cursor &cursor_of(const Parameters &arguments, Session &session) {
  const auto handle = argument_number(arguments, 0, 0);
  const auto cursor = session.cursors.find(static_cast<std::int32_t>(handle));
  if (cursor == session.cursors.end())
    throw Refusal{.number = 16916,
                  .text = fmt::format("A cursor with the handle {} does not exist.", handle)};
  return cursor->second;
}

void fetch(Reply &reply, Parameters &arguments, Session &session) { // cursor, type, row, count
  constexpr std::int64_t info = 0x100;
  auto &cursor = cursor_of(arguments, session);
  const auto type = argument_number(arguments, 1, 0x02);
  if (type & info) {
    const auto total = static_cast<std::int64_t>(cursor.rows.rows.size());
    give(arguments, 2, cursor.size > 0 ? cursor.before + 1 : cursor.before >= total ? -1 : 0);
    give(arguments, 3, total);
    return;
  }
  const auto number = [&](std::size_t index, std::int64_t otherwise) {
    return index < arguments.size() ? number_of(arguments[index].value).value_or(otherwise) : otherwise;
  };
  cursor.fetch(type, number(2, 0), number(3, 1));
  reply.rows(window(cursor));
}

Prepared prepared_of(const Parameters &arguments, Session &session) {
  const auto found = session.prepared.find(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
  if (found == session.prepared.end())
    throw Refusal{.number = 8179, .text = "Could not find prepared statement with that handle."};
  return found->second;
}

void keep(Parameters &arguments, Prepared statement, Session &session) {
  session.prepared[++session.last_handle] = std::move(statement);
  give(arguments, 0, session.last_handle);
  arguments[0].output = true;
}

} // namespace

bool call_cursor_procedure(Reply &reply, std::string_view name, Parameters &arguments, Session &session) {
  if (name == "sp_cursoropen") { // cursor, statement, scroll, concurrency, rows, declaration, values
    const Prepared statement{argument_text(arguments, 1),
                             arguments.size() > 5 ? argument_text(arguments, 5) : ""};
    open(reply, statement, arguments, {0, 2, 3, 4}, 6, session);
  } else if (name == "sp_cursorprepare") { // handle, declaration, statement, options, scroll, concurrency
    keep(arguments, {argument_text(arguments, 2), argument_text(arguments, 1)}, session);
  } else if (name == "sp_cursorexecute") { // handle, cursor, scroll, concurrency, rows, values
    open(reply, prepared_of(arguments, session), arguments, {1, 2, 3, 4}, 5, session);
  } else if (name ==
             // handle, cursor, declaration, statement, options or scroll, concurrency, rows, values
             "sp_cursorprepexec") {
    const Prepared statement{argument_text(arguments, 3), argument_text(arguments, 2)};
    open(reply, statement, arguments, {1, 4, 5, 6}, 7, session);
    keep(arguments, statement, session);
  } else if (name == "sp_cursorunprepare") {
    session.prepared.erase(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
  } else if (name == "sp_cursorfetch") {
    fetch(reply, arguments, session);
  } else if (name == "sp_cursoroption") { // a name for the cursor, or what it is: neither matters here
    cursor_of(arguments, session);
  } else if (name == "sp_cursorclose") {
    if (session.cursors.erase(static_cast<std::int32_t>(argument_number(arguments, 0, 0))) == 0)
      throw Refusal{.number = 16916, .text = "A cursor with that handle does not exist."};
  } else if (name == "sp_cursor") {
    throw Refusal{.number = 16929, .text = "The cursor is READ ONLY."};
  } else {
    return false;
  }
  return true;
}

} // namespace lab
