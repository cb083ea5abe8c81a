#include "tools/lab/peer/sql/table_statements.hpp"

#include "tools/lab/peer/sql/transactions.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

Refusal no_table(const std::string &name) {
  return {.number = 208, .text = fmt::format("Invalid object name '{}'.", name)};
}

/// What is read of, where the statement does not run and there is no such table.
std::shared_ptr<const Table> table_to_read(const Statement &statement, const std::string &name) {
  if (auto table = find_table(statement.session, name)) return table;
  if (!statement.run) return std::make_shared<const Table>();
  throw no_table(name);
}

Column column_definition(Statement &statement) {
  auto &words = statement.words;
  Column column{.name = words.next().text};
  column.type = statement.expressions.type();
  while (words.peek() && !words.is(",") && !words.is(")")) {
    if (words.take("not")) {
      words.need("null"), column.nullable = false;
    } else if (words.take("identity")) {
      column.identity = true, column.nullable = false;
      if (words.take("(")) words.skip_parentheses();
    } else if (words.take("primary")) {
      words.need("key"), column.key = "PRIMARY KEY", column.nullable = false;
      words.take_any({"clustered", "nonclustered"});
    } else if (words.take("default") || words.take("check")) {
      words.take("(") ? words.skip_parentheses() : (void)statement.expressions.value();
    } else if (words.take_any({"constraint", "collate"})) {
      words.next();
    } else if (!words.take_any({"null", "unique", "sparse"})) {
      throw words.unknown();
    }
  }
  return column;
}

/// PRIMARY KEY (a, b), behind the columns.
void table_constraint(Words &words, Table &table) {
  if (words.take("constraint")) words.next();
  if (!words.take("primary")) {
    while (words.peek() && !words.is(",") && !words.is(")"))
      if (words.next().lower == "(") words.skip_parentheses();
    return;
  }
  words.need("key");
  words.take_any({"clustered", "nonclustered"});
  words.need("(");
  do {
    auto &column = table.columns[table.column(words.next().text)];
    column.key = "PRIMARY KEY", column.nullable = false;
    words.take_any({"asc", "desc"});
  } while (words.take(","));
  words.need(")");
}

void insert_bulk(Statement &statement) {
  auto &words = statement.words;
  BulkTarget target{.table = words.qualified_name()};
  words.need("(");
  do {
    target.columns.push_back(words.next().text);
    for (int open = 0; words.peek() && (open > 0 || (!words.is(",") && !words.is(")")));) {
      const auto &word = words.next();
      open += word.lower == "(" ? 1 : word.lower == ")" ? -1 : 0;
    }
  } while (words.take(","));
  words.need(")");
  if (words.take("with")) words.need("("), words.skip_parentheses();
  if (!statement.run) return;
  statement.session.bulk = std::move(target);
  statement.reply.end();
}

/// (a, b, c) behind the table's name; all that have no values of their own where there is none.
std::vector<std::size_t> column_list(Statement &statement, const Table &table) {
  auto &words = statement.words;
  std::vector<std::size_t> columns;
  if (words.is("(") && !words.is("select", 1)) {
    words.next();
    do {
      const auto name = words.qualified_name();
      columns.push_back(
          statement.run || !table.columns.empty() ? table.column(name.substr(name.rfind('.') + 1)) : 0);
    } while (words.take(","));
    words.need(")");
    return columns;
  }
  for (std::size_t index = 0; index < table.columns.size(); ++index)
    if (!table.columns[index].identity) columns.push_back(index);
  return columns;
}

std::vector<std::vector<Value>> rows_to_insert(Statement &statement, std::size_t columns) {
  auto &words = statement.words;
  std::vector<std::vector<Value>> rows;
  if (words.take("default")) {
    words.need("values");
    rows.emplace_back(columns);
  } else if (words.take("values")) {
    do {
      words.need("(");
      std::vector<Value> row;
      do
        row.push_back(words.take("default") ? Value() : statement.expressions.value());
      while (words.take(","));
      words.need(")");
      rows.push_back(std::move(row));
    } while (words.take(","));
  } else {
    words.need("select");
    const auto selected = select_rows(statement);
    for (const auto &row : selected ? selected->rows : std::vector<Row>()) {
      std::vector<Value> values;
      for (std::size_t index = 0; index < row.size(); ++index)
        values.emplace_back(selected->columns[index].type, row[index]);
      rows.push_back(std::move(values));
    }
  }
  return rows;
}

} // namespace

void create_statement(Statement &statement) {
  auto &words = statement.words;
  words.need("table");
  Table table{.name = words.qualified_name()};
  words.need("(");
  do {
    if (words.is_any({"primary", "constraint", "unique", "foreign", "check"}))
      table_constraint(words, table);
    else
      table.columns.push_back(column_definition(statement));
  } while (words.take(","));
  words.need(")");
  if (words.take("on")) words.next();
  if (table.columns.size() > 1024)
    throw Refusal{.number = 1702, .text = "CREATE TABLE failed: too many columns."};
  if (!statement.run) return;
  begin_implicitly(statement.reply, statement.session);
  create_table(statement.session, std::move(table));
  statement.reply.end();
}

void drop_statement(Statement &statement) {
  auto &words = statement.words;
  words.need("table");
  const bool if_exists = words.take("if");
  if (if_exists) words.need("exists");
  do {
    const auto name = words.qualified_name();
    if (statement.run && !drop_table(statement.session, name) && !if_exists)
      throw Refusal{
          .number = 3701,
          .severity = 11,
          .text = fmt::format(
              "Cannot drop the table '{}', because it does not exist or you do not have permission.", name),
          .state = 5};
  } while (words.take(","));
  if (statement.run) statement.reply.end();
}

void truncate_statement(Statement &statement) {
  statement.words.need("table");
  const auto name = statement.words.qualified_name();
  if (!statement.run) return;
  begin_implicitly(statement.reply, statement.session);
  auto &table = change_table(statement.session, name);
  table.rows.clear();
  table.next_identity = 1;
  statement.reply.end();
}

void insert_statement(Statement &statement) {
  auto &words = statement.words;
  if (words.take("bulk")) return insert_bulk(statement);
  words.take("into");
  const auto name = words.qualified_name();
  if (words.take("with")) words.need("("), words.skip_parentheses();
  const auto before = table_to_read(statement, name);
  const auto columns = column_list(statement, *before);
  std::vector<std::size_t> shown; // by OUTPUT
  if (words.take("output")) do {
      words.need("inserted"), words.need(".");
      if (words.take("*"))
        for (std::size_t index = 0; index < before->columns.size(); ++index)
          shown.push_back(index);
      else
        shown.push_back(before->column(words.next().text));
    } while (words.take(","));
  const auto rows = rows_to_insert(statement, columns.size());
  if (!statement.run) return;
  begin_implicitly(statement.reply, statement.session);
  // All of them or none.
  auto &table = change_table(statement.session, name);
  const auto size = table.rows.size();
  try {
    for (const auto &row : rows)
      if (const auto identity = add_row(table, columns, row)) statement.session.identity = identity;
  } catch (const Refusal &) {
    table.rows.resize(size);
    throw;
  }
  if (shown.empty()) return statement.reply.end(Command::insert, rows.size());
  RowSet output;
  for (const auto index : shown)
    output.columns.push_back(table.columns[index]);
  for (auto index = size; index < table.rows.size(); ++index) {
    Row row;
    for (const auto column : shown)
      row.push_back(table.rows[index][column]);
    output.rows.push_back(std::move(row));
  }
  statement.reply.rows(output);
}

void update_statement(Statement &statement) {
  auto &words = statement.words;
  const auto name = words.qualified_name();
  const auto before = table_to_read(statement, name);
  words.need("set");
  std::vector<std::pair<std::size_t, std::size_t>> changes; // column, place of its expression
  const auto scope = std::exchange(statement.expressions.scope, {.table = before.get()});
  do {
    const auto column = words.qualified_name();
    words.need("=");
    changes.emplace_back(statement.run ? before->column(column.substr(column.rfind('.') + 1)) : 0,
                         words.place());
    statement.expressions.value();
  } while (words.take(","));
  statement.expressions.scope = scope;
  const auto found = rows_where(statement, *before);
  if (!statement.run) return;
  begin_implicitly(statement.reply, statement.session);
  const auto end = words.place();
  std::vector<Row> fresh; // computed before any row changes: an error changes none
  for (const auto index : found) {
    statement.expressions.scope = {.table = before.get(), .row = &before->rows[index]};
    Row row = before->rows[index];
    for (const auto &[column, place] : changes) {
      words.go(place);
      row[column] = convert(statement.expressions.value(), before->columns[column].type).data;
    }
    fresh.push_back(std::move(row));
  }
  statement.expressions.scope = scope;
  words.go(end);
  auto &table = change_table(statement.session, name);
  for (std::size_t index = 0; index < found.size(); ++index)
    table.rows[found[index]] = std::move(fresh[index]);
  statement.reply.end(Command::update, found.size());
}

void delete_statement(Statement &statement) {
  auto &words = statement.words;
  words.take("from");
  const auto name = words.qualified_name();
  const auto before = table_to_read(statement, name);
  const auto found = rows_where(statement, *before);
  if (!statement.run) return;
  begin_implicitly(statement.reply, statement.session);
  auto &table = change_table(statement.session, name);
  std::vector<bool> gone(table.rows.size());
  for (const auto index : found)
    gone[index] = true;
  std::size_t index = 0;
  std::erase_if(table.rows, [&](const Row &) { return gone[index++]; });
  statement.reply.end(Command::del, found.size());
}

} // namespace lab
