#include "tools/lab/peer/sql/catalog.hpp"

#include "tools/lab/peer/sql/expression.hpp"
#include "tools/lab/peer/sql/facts.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace lab {
namespace {

Value text(std::string_view words) { return tds::to_utf16(words); }
Value number(std::int64_t value) { return value; }

/// A table written row by row; its columns are those of the first row that a template gives.
Table table_like(const std::vector<Cell> &row) {
  Table table{.columns = row_set(row).columns};
  for (auto &column : table.columns)
    column.type = column.type.text() ? declared_type("sysname") : column.type;
  return table;
}
void add(Table &table, const std::vector<Cell> &row) {
  Row values;
  for (std::size_t index = 0; index < row.size(); ++index)
    values.push_back(convert(row[index].value, table.columns[index].type).data);
  table.rows.push_back(std::move(values));
}

constexpr auto collation_name = "SQL_Latin1_General_CP1_CI_AS";

/// Tables of the server and of the session, by name.
std::vector<std::shared_ptr<const Table>> all_tables(const Session &session) {
  std::vector<std::shared_ptr<const Table>> all;
  for (const auto *home : {session.tables.get(), session.temporary.get()})
    for (const auto &[key, table] : *home)
      all.push_back(table);
  return all;
}

/// ODBC's number of a type, which sp_columns and sp_datatype_info speak of.
std::int64_t odbc_type(const Type &type) {
  switch (type.id) {
  case TypeId::bitn:
    return -7;
  case TypeId::intn:
    return type.size == 1 ? -6 : type.size == 2 ? 5 : type.size == 4 ? 4 : -5;
  case TypeId::floatn:
    return type.size == 4 ? 7 : 6;
  case TypeId::moneyn:
  case TypeId::decimal:
    return 3;
  case TypeId::numeric:
    return 2;
  case TypeId::character:
    return 1;
  case TypeId::varchar:
    return 12;
  case TypeId::nchar:
    return -8;
  case TypeId::nvarchar:
    return -9;
  case TypeId::text:
    return -1;
  case TypeId::ntext:
    return -10;
  case TypeId::image:
    return -4;
  case TypeId::binary:
    return -2;
  case TypeId::varbinary:
    return -3;
  case TypeId::guid:
    return -11;
  case TypeId::date:
    return 91;
  case TypeId::time:
    return -154;
  case TypeId::datetimn:
  case TypeId::datetime2:
    return 93;
  case TypeId::datetimeoffset:
    return -155;
  case TypeId::xml:
    return -152;
  default:
    return -150;
  }
}

std::int64_t shown_precision(const Type &type) {
  if (type.precision > 0) return type.precision;
  if (type.whole()) return type.size == 1 ? 3 : type.size == 2 ? 5 : type.size == 4 ? 10 : 19;
  if (type.id == TypeId::floatn) return type.size == 4 ? 24 : 53;
  if (type.id == TypeId::moneyn) return type.size == 4 ? 10 : 19;
  if (type.id == TypeId::datetimn) return type.size == 4 ? 16 : 23;
  if (type.id == TypeId::date) return 10;
  if (type.scale > 0) return 27;
  return type.wide() ? type.size / 2 : type.size;
}

std::string base_name(const Type &type) {
  const auto name = type_name(type);
  return name.substr(0, name.find('('));
}

// ----------------------------------------------------------------------------------------------------
// views

std::vector<Cell> sys_table_row(const Table &table) {
  return {{"name", text(table.name)},  {"object_id", number(object_id(table.name))},
          {"schema_id", number(1)},    {"parent_object_id", number(0)},
          {"type", text("U ")},        {"type_desc", text("USER_TABLE")},
          {"is_ms_shipped", number(0)}};
}

std::vector<Cell> sys_column_row(const Table &table, std::size_t index) {
  const auto &column = table.columns[index];
  const auto length = column.type.chunked() ? -1 : static_cast<std::int64_t>(column.type.size);
  return {{"object_id", number(object_id(table.name))},
          {"name", text(column.name)},
          {"column_id", number(static_cast<std::int64_t>(index + 1))},
          {"system_type_id", number(static_cast<std::int64_t>(column.type.id))},
          {"user_type_id", number(static_cast<std::int64_t>(column.type.id))},
          {"max_length", number(length)},
          {"precision", number(shown_precision(column.type))},
          {"scale", number(column.type.scale)},
          {"collation_name",
           column.type.text() ? text(collation_name) : convert(Value(), declared_type("sysname"))},
          {"is_nullable", number(column.nullable)},
          {"is_identity", number(column.identity)},
          {"is_computed", number(0)},
          {"encryption_type", number(0)},
          {"is_hidden", number(0)}};
}

std::vector<Cell> schema_table_row(const Table &table, const Session &session) {
  return {{"TABLE_CATALOG", text(session.database)},
          {"TABLE_SCHEMA", text("dbo")},
          {"TABLE_NAME", text(table.name)},
          {"TABLE_TYPE", text("BASE TABLE")}};
}

std::vector<Cell> schema_column_row(const Table &table, std::size_t index, const Session &session) {
  const auto &column = table.columns[index];
  const auto length = column.type.chunked()                       ? number(-1)
                      : column.type.text() || column.type.bytes() ? number(shown_precision(column.type))
                                                                  : Value();
  return {{"TABLE_CATALOG", text(session.database)},
          {"TABLE_SCHEMA", text("dbo")},
          {"TABLE_NAME", text(table.name)},
          {"COLUMN_NAME", text(column.name)},
          {"ORDINAL_POSITION", number(static_cast<std::int64_t>(index + 1))},
          {"COLUMN_DEFAULT", convert(Value(), declared_type("sysname"))},
          {"IS_NULLABLE", text(column.nullable ? "YES" : "NO")},
          {"DATA_TYPE", text(base_name(column.type))},
          {"CHARACTER_MAXIMUM_LENGTH", length},
          {"NUMERIC_PRECISION", number(shown_precision(column.type))},
          {"NUMERIC_SCALE", number(column.type.scale)},
          {"COLLATION_NAME",
           column.type.text() ? text(collation_name) : convert(Value(), declared_type("sysname"))}};
}

/// What views show columns of where there is no table: none of its rows are added.
const Table &example() {
  static const Table table{.name = "example", .columns = {{.name = "c"}}};
  return table;
}

// ----------------------------------------------------------------------------------------------------
// procedures

/// A pattern as the procedures of ODBC take it; empty stands for everything.
std::string pattern(const Parameters &arguments, std::string_view name, std::size_t index) {
  for (const auto &argument : arguments)
    if (lower_case(argument.name) == name) return tds::to_utf8(text_of(argument.value));
  const bool positional = index < arguments.size() && arguments[index].name.empty();
  return positional ? tds::to_utf8(text_of(arguments[index].value)) : "";
}

bool shown(const Table &table, std::string wanted) {
  std::erase(wanted, '\\'); // an escaped _
  std::erase_if(wanted, [](char c) { return c == '[' || c == ']'; });
  return wanted.empty() || like(tds::to_utf16(lower_case(table.name)), tds::to_utf16(lower_case(wanted)));
}

std::vector<Cell> tables_row(const Table &table, const Session &session) {
  return {{"TABLE_QUALIFIER", text(session.database)},
          {"TABLE_OWNER", text("dbo")},
          {"TABLE_NAME", text(table.name)},
          {"TABLE_TYPE", text("TABLE")},
          {"REMARKS", convert(Value(), declared_type("sysname"))}};
}

std::vector<Cell> columns_row(const Table &table, std::size_t index, const Session &session) {
  const auto &column = table.columns[index];
  const auto none = convert(Value(), declared_type("sysname"));
  const auto size = static_cast<std::int64_t>(column.type.size);
  return {{"TABLE_QUALIFIER", text(session.database)},
          {"TABLE_OWNER", text("dbo")},
          {"TABLE_NAME", text(table.name)},
          {"COLUMN_NAME", text(column.name)},
          {"DATA_TYPE", number(odbc_type(column.type))},
          {"TYPE_NAME", text(base_name(column.type) + (column.identity ? " identity" : ""))},
          {"PRECISION", number(shown_precision(column.type))},
          {"LENGTH", number(size)},
          {"SCALE", number(column.type.scale)},
          {"RADIX", number(10)},
          {"NULLABLE", number(column.nullable)},
          {"REMARKS", none},
          {"COLUMN_DEF", none},
          {"SQL_DATA_TYPE", number(odbc_type(column.type))},
          {"SQL_DATETIME_SUB", number(0)},
          {"CHAR_OCTET_LENGTH", number(size)},
          {"ORDINAL_POSITION", number(static_cast<std::int64_t>(index + 1))},
          {"IS_NULLABLE", text(column.nullable ? "YES" : "NO")},
          {"SS_DATA_TYPE", number(static_cast<std::int64_t>(column.type.id))}};
}

std::vector<Cell> keys_row(const Table &table, const std::string &column, std::int64_t sequence,
                           const Session &session) {
  return {{"TABLE_QUALIFIER", text(session.database)},
          {"TABLE_OWNER", text("dbo")},
          {"TABLE_NAME", text(table.name)},
          {"COLUMN_NAME", text(column)},
          {"KEY_SEQ", number(sequence)},
          {"PK_NAME", text("PK_" + table.name)}};
}

std::vector<Cell> type_row(std::string_view name, const Type &type) {
  const auto none = convert(Value(), declared_type("sysname"));
  const bool quoted =
      !type.whole() && type.precision == 0 && type.id != TypeId::floatn && type.id != TypeId::moneyn;
  return {{"TYPE_NAME", text(name)},
          {"DATA_TYPE", number(odbc_type(type))},
          {"PRECISION", number(shown_precision(type))},
          {"LITERAL_PREFIX", type.bytes() ? text("0x")
                             : quoted     ? text("'")
                                          : none},
          {"LITERAL_SUFFIX", quoted && !type.bytes() ? text("'") : none},
          {"CREATE_PARAMS", type.text() || type.bytes() ? text("max length") : none},
          {"NULLABLE", number(1)},
          {"CASE_SENSITIVE", number(0)},
          {"SEARCHABLE", number(3)},
          {"UNSIGNED_ATTRIBUTE", number(0)},
          {"MONEY", number(type.id == TypeId::moneyn)},
          {"AUTO_INCREMENT", number(0)},
          {"LOCAL_TYPE_NAME", text(name)},
          {"MINIMUM_SCALE", number(0)},
          {"MAXIMUM_SCALE", number(type.scale)},
          {"SQL_DATA_TYPE", number(odbc_type(type))},
          {"SQL_DATETIME_SUB", number(0)},
          {"NUM_PREC_RADIX", number(10)},
          {"INTERVAL_PRECISION", number(0)},
          {"USERTYPE", number(0)}};
}

Table data_types(std::int64_t wanted) {
  static const std::vector<std::pair<std::string_view, std::vector<std::string>>> types = {
      {"bit", {}},
      {"tinyint", {}},
      {"smallint", {}},
      {"int", {}},
      {"bigint", {}},
      {"real", {}},
      {"float", {}},
      {"decimal", {"38", "0"}},
      {"numeric", {"38"}},
      {"money", {}},
      {"char", {"8000"}},
      {"varchar", {"8000"}},
      {"text", {}},
      {"nchar", {"4000"}},
      {"nvarchar", {"4000"}},
      {"ntext", {}},
      {"binary", {"8000"}},
      {"image", {}},
      {"varbinary", {"8000"}},
      {"uniqueidentifier", {}},
      {"date", {}},
      {"time", {"7"}},
      {"datetime", {}},
      {"datetime2", {"7"}},
      {"datetimeoffset", {}},
      {"xml", {}},
      {"sql_variant", {}}};
  auto table = table_like(type_row("int", declared_type("int")));
  for (const auto &[name, arguments] : types)
    if (const auto type = declared_type(name, arguments); wanted == 0 || odbc_type(type) == wanted)
      add(table, type_row(name, type));
  return table;
}

/// Procedures whose answer is an empty table: the lab has no foreign keys, statistics
/// or procedures of anybody.
const std::map<std::string_view, std::vector<std::string_view>> empty_tables = {
    {"sp_fkeys",
     {"PKTABLE_QUALIFIER", "PKTABLE_OWNER", "PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_QUALIFIER",
      "FKTABLE_OWNER", "FKTABLE_NAME", "FKCOLUMN_NAME", "KEY_SEQ", "UPDATE_RULE", "DELETE_RULE", "FK_NAME",
      "PK_NAME", "DEFERRABILITY"}},
    {"sp_statistics",
     {"TABLE_QUALIFIER", "TABLE_OWNER", "TABLE_NAME", "NON_UNIQUE", "INDEX_QUALIFIER", "INDEX_NAME", "TYPE",
      "SEQ_IN_INDEX", "COLUMN_NAME", "COLLATION", "CARDINALITY", "PAGES", "FILTER_CONDITION"}},
    {"sp_special_columns",
     {"SCOPE", "COLUMN_NAME", "DATA_TYPE", "TYPE_NAME", "PRECISION", "LENGTH", "SCALE", "PSEUDO_COLUMN"}},
    {"sp_stored_procedures",
     {"PROCEDURE_QUALIFIER", "PROCEDURE_OWNER", "PROCEDURE_NAME", "NUM_INPUT_PARAMS", "NUM_OUTPUT_PARAMS",
      "NUM_RESULT_SETS", "REMARKS", "PROCEDURE_TYPE"}},
    {"sp_sproc_columns",
     {"PROCEDURE_QUALIFIER",
      "PROCEDURE_OWNER",
      "PROCEDURE_NAME",
      "COLUMN_NAME",
      "COLUMN_TYPE",
      "DATA_TYPE",
      "TYPE_NAME",
      "PRECISION",
      "LENGTH",
      "SCALE",
      "RADIX",
      "NULLABLE",
      "REMARKS",
      "COLUMN_DEF",
      "SQL_DATA_TYPE",
      "SQL_DATETIME_SUB",
      "CHAR_OCTET_LENGTH",
      "ORDINAL_POSITION",
      "IS_NULLABLE",
      "SS_DATA_TYPE"}},
};

} // namespace

std::optional<Table> system_view(std::string_view qualified, const Session &session) {
  auto name = lower_case(qualified);
  if (const auto last = name.rfind('.'); last != name.npos && last > 0) // the last two parts say which
    if (const auto before = name.rfind('.', last - 1); before != name.npos) name.erase(0, before + 1);
  if (name.ends_with("dm_exec_connections")) return connections_view(session);
  if (name.ends_with("dm_exec_sessions")) return sessions_view(session);
  const auto of_tables = [&](auto row) {
    auto view = table_like(row(example()));
    for (const auto &table : all_tables(session))
      add(view, row(*table));
    return view;
  };
  const auto of_columns = [&](auto row) {
    auto view = table_like(row(example(), 0));
    for (const auto &table : all_tables(session))
      for (std::size_t index = 0; index < table->columns.size(); ++index)
        add(view, row(*table, index));
    return view;
  };
  if (name == "sys.tables" || name == "sys.objects" || name == "sys.all_objects")
    return of_tables(sys_table_row);
  if (name == "sys.columns" || name == "sys.all_columns") return of_columns(sys_column_row);
  if (name == "information_schema.tables")
    return of_tables([&](const Table &table) { return schema_table_row(table, session); });
  if (name == "information_schema.columns")
    return of_columns(
        [&](const Table &table, std::size_t index) { return schema_column_row(table, index, session); });
  if (name == "sys.databases") {
    auto view = table_like({{"name", text("")}, {"database_id", number(0)}, {"state_desc", text("")}});
    for (std::int64_t id = 0; const auto *database : {"master", "tempdb", "reports"})
      add(view, {{"name", text(database)}, {"database_id", number(++id)}, {"state_desc", text("ONLINE")}});
    return view;
  }
  if (name == "sys.schemas") {
    auto view = table_like({{"name", text("")}, {"schema_id", number(0)}});
    add(view, {{"name", text("dbo")}, {"schema_id", number(1)}});
    return view;
  }
  if (name == "sys.system_views" || name == "sys.views" || name == "sys.procedures")
    return table_like({{"name", text("")}, {"object_id", number(0)}, {"schema_id", number(0)}});
  return std::nullopt;
}

bool answer_metadata(Reply &reply, std::string_view name, const Parameters &arguments,
                     const Session &session) {
  const auto answer = [&](Table table) {
    reply.rows({std::move(table.columns), std::move(table.rows)});
    return true;
  };
  const auto base = name.ends_with("_100") || name.ends_with("_90") ? name.substr(0, name.rfind('_')) : name;
  const auto wanted = pattern(arguments, "@table_name", 0);
  if (base == "sp_tables") {
    auto table = table_like(tables_row(example(), session));
    for (const auto &known : all_tables(session))
      if (shown(*known, wanted)) add(table, tables_row(*known, session));
    return answer(std::move(table));
  }
  if (base == "sp_columns") {
    auto table = table_like(columns_row(example(), 0, session));
    for (const auto &known : all_tables(session))
      for (std::size_t index = 0; shown(*known, wanted) && index < known->columns.size(); ++index)
        add(table, columns_row(*known, index, session));
    return answer(std::move(table));
  }
  if (base == "sp_pkeys") {
    auto table = table_like(keys_row(example(), "c", 1, session));
    for (const auto &known : all_tables(session))
      for (std::int64_t sequence = 0; const auto &column : known->columns)
        if (shown(*known, wanted) && !column.key.empty())
          add(table, keys_row(*known, column.name, ++sequence, session));
    return answer(std::move(table));
  }
  if (base == "sp_tablecollations") {
    auto table = table_like(
        {{"colid", number(0)}, {"name", text("")}, {"tds_collation", text("")}, {"collation", text("")}});
    table.columns[2].type = declared_type("binary", {"5"});
    auto dotted = wanted; // ".[t]", "[dbo].[t]"
    std::erase_if(dotted, [](char c) { return c == '[' || c == ']'; });
    const auto known = find_table(session, dotted);
    for (std::size_t index = 0; known && index < known->columns.size(); ++index) {
      const auto &column = known->columns[index];
      const bool collated = column.type.text();
      add(table,
          {{"colid", number(static_cast<std::int64_t>(index + 1))},
           {"name", text(column.name)},
           {"tds_collation", Value(table.columns[2].type,
                                   collated ? Data(tds::Bytes(collation.begin(), collation.end())) : Data())},
           {"collation", collated ? text(collation_name) : convert(Value(), declared_type("sysname"))}});
    }
    return answer(std::move(table));
  }
  if (base == "sp_datatype_info") {
    const auto type = pattern(arguments, "@data_type", 0);
    return answer(
        data_types(type.empty() ? 0 : number_of(convert(text(type), declared_type("int"))).value_or(0)));
  }
  if (const auto empty = empty_tables.find(base); empty != empty_tables.end()) {
    std::vector<Cell> row;
    for (const auto column : empty->second)
      row.push_back({std::string(column), text("")});
    return answer(table_like(row));
  }
  if (name.starts_with("sp_describe_"))
    throw Refusal{.number = 11512, .text = fmt::format("the lab does not analyse statements: {}", name)};
  return false;
}

} // namespace lab
