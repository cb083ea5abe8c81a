#include "tools/lab/peer/sql/tables.hpp"

#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/session.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

std::string key_of(std::string_view name) {
  const auto dot = name.rfind('.');
  return lower_case(dot == name.npos ? name : name.substr(dot + 1));
}

Tables &home_of(const Session &session, const std::string &key) {
  return key.starts_with('#') ? *session.temporary : *session.tables;
}

void remember(Session &session, const std::string &key) {
  const auto &home = home_of(session, key);
  const auto table = home.find(key);
  for (auto &level : session.undo)
    level.old.try_emplace(key, table == home.end() ? nullptr : table->second);
}

void restore(Session &session, const Tables &old) {
  for (const auto &[key, table] : old) {
    auto &home = home_of(session, key);
    if (table)
      home[key] = table;
    else
      home.erase(key);
  }
}

} // namespace

std::size_t Table::column(std::string_view wanted) const {
  const auto found =
      std::ranges::find(columns, lower_case(wanted), [](const Column &c) { return lower_case(c.name); });
  if (found == columns.end())
    throw Refusal{.number = 207, .text = fmt::format("Invalid column name '{}'.", wanted)};
  return static_cast<std::size_t>(found - columns.begin());
}

std::shared_ptr<const Table> find_table(const Session &session, std::string_view name) {
  const auto key = key_of(name);
  const auto &home = home_of(session, key);
  const auto table = home.find(key);
  return table == home.end() ? nullptr : table->second;
}

Table &change_table(Session &session, std::string_view name) {
  const auto key = key_of(name);
  auto &home = home_of(session, key);
  const auto table = home.find(key);
  if (table == home.end())
    throw Refusal{.number = 208, .text = fmt::format("Invalid object name '{}'.", name)};
  remember(session, key);
  if (table->second.use_count() > 1) table->second = std::make_shared<Table>(*table->second);
  return *table->second;
}

void create_table(Session &session, Table table) {
  const auto key = key_of(table.name);
  auto &home = home_of(session, key);
  if (home.contains(key))
    throw Refusal{.number = 2714,
                  .text = fmt::format("There is already an object named '{}' in the database.", table.name)};
  if (home.size() >= most_tables) throw Refusal{.text = "the lab has no room for another table"};
  remember(session, key);
  home[key] = std::make_shared<Table>(std::move(table));
}

bool drop_table(Session &session, std::string_view name) {
  const auto key = key_of(name);
  if (!home_of(session, key).contains(key)) return false;
  remember(session, key);
  home_of(session, key).erase(key);
  return true;
}

bool undo(Session &session, std::string_view savepoint) {
  const auto same = [&](const Undo &level) { return lower_case(level.savepoint) == lower_case(savepoint); };
  const auto level = std::find_if(session.undo.rbegin(), session.undo.rend(), same);
  if (level == session.undo.rend()) return false;
  restore(session, level->old);
  level->old.clear();
  session.undo.erase(level.base(), session.undo.end()); // the savepoints after it
  return true;
}

std::optional<std::int64_t> add_row(Table &table, const std::vector<std::size_t> &columns,
                                    const std::vector<Value> &values) {
  if (columns.size() != values.size())
    throw Refusal{.number = 213,
                  .text = "Column name or number of supplied values does not match table definition."};
  if (table.rows.size() >= most_rows)
    throw Refusal{.text = "the lab's tables hold no more rows than they have"};
  Row row(table.columns.size());
  std::optional<std::int64_t> identity;
  for (std::size_t index = 0; index < columns.size(); ++index)
    row[columns[index]] = convert(values[index], table.columns[columns[index]].type).data;
  for (std::size_t index = 0; index < row.size(); ++index) {
    const auto &column = table.columns[index];
    if (column.identity && !row[index]) {
      identity = table.next_identity++;
      row[index] = convert(Value(*identity), column.type).data;
    }
    if (!row[index] && !column.nullable)
      throw Refusal{
          .number = 515,
          .text = fmt::format("Cannot insert the value NULL into column '{}', table '{}'; column does not "
                              "allow nulls. INSERT fails.",
                              column.name, table.name),
          .state = 2};
    if (column.key.empty()) continue;
    const auto keys = std::ranges::count_if(table.columns, [](const Column &c) { return !c.key.empty(); });
    if (keys == 1 &&
        std::ranges::any_of(table.rows, [&](const Row &other) { return other[index] == row[index]; }))
      throw Refusal{
          .number = 2627,
          .severity = 14,
          .text = fmt::format("Violation of PRIMARY KEY constraint 'PK_{}'. Cannot insert duplicate key in "
                              "object 'dbo.{}'.",
                              table.name, table.name)};
  }
  table.rows.push_back(std::move(row));
  return identity;
}

} // namespace lab
