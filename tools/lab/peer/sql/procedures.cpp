#include "tools/lab/peer/sql/procedures.hpp"

#include "tools/lab/peer/sql/catalog.hpp"
#include "tools/lab/peer/sql/sample_types.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"
#include "tools/lab/peer/sql/statements.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace lab {
namespace {

using Procedure = std::int32_t (*)(Reply &, Parameters &, Session &);

// ----------------------------------------------------------------------------------------------------
// the lab's

std::int32_t lab_rows(Reply &reply, Parameters &arguments, Session &) {
  const auto count = argument_number(arguments, 0, 1);
  const auto bytes = argument_number(arguments, 1, 10);
  if (count < 0 || bytes < 0 || bytes > static_cast<std::int64_t>(largest_filler))
    throw Refusal{.text = fmt::format("lab_rows N, BYTES: N from 0 on, BYTES from 0 to {}", largest_filler)};
  reply.generated(GeneratedRows{static_cast<std::uint64_t>(count), static_cast<std::size_t>(bytes)});
  return 0;
}

std::int32_t lab_blob(Reply &reply, Parameters &arguments, Session &) {
  const auto bytes = argument_number(arguments, 0, 1024 * 1024);
  if (bytes < 0 || bytes > INT32_MAX) throw Refusal{.text = "lab_blob BYTES: from 0 to 2147483647"};
  reply.generated(GeneratedChunks{static_cast<std::uint64_t>(bytes)});
  return 0;
}

std::int32_t lab_meet(Reply &reply, Parameters &arguments, Session &) {
  const auto connections = argument_number(arguments, 0, 0);
  if (connections < 1 || connections > 1000) throw Refusal{.text = "lab_meet N: N from 1 to 1000"};
  reply.meet({static_cast<std::size_t>(connections)});
  return 0;
}

std::int32_t lab_error(Reply &reply, Parameters &arguments, Session &) {
  const auto small = [&](std::size_t index, std::int64_t otherwise, std::int64_t most) {
    return std::clamp<std::int64_t>(argument_number(arguments, index, otherwise), 0, most);
  };
  reply.message({.number = static_cast<std::uint32_t>(argument_number(arguments, 0, lab_error_number)),
                 .severity = static_cast<std::uint8_t>(small(1, 16, 25)),
                 .text = arguments.size() > 2 ? argument_text(arguments, 2) : "lab_error",
                 .state = static_cast<std::uint8_t>(small(3, 1, 255)),
                 .line = static_cast<std::uint32_t>(small(4, 1, 65535)),
                 .procedure = arguments.size() > 5 ? argument_text(arguments, 5) : ""});
  reply.end();
  return 0;
}

std::int32_t lab_echo(Reply &reply, Parameters &arguments, Session &) {
  if (arguments.empty()) throw Refusal{.text = "lab_echo needs a parameter to echo"};
  std::vector<Cell> cells;
  for (const auto &argument : arguments)
    cells.push_back({argument.name.empty() ? fmt::format("p{}", cells.size() + 1) : argument.name.substr(1),
                     argument.value});
  reply.rows(row_set(cells));
  return 0;
}

std::int32_t lab_types(Reply &reply, Parameters &arguments, Session &) {
  reply.rows(sample_types(argument_number(arguments, 0, 0) != 0));
  return 0;
}

/// What an OUTPUT parameter becomes: a number twice itself, text and bytes reversed, all else as it is.
Value changed(const Value &value) {
  if (value.null()) return value;
  if (const auto number = number_of(value))
    return value.type.id == TypeId::bitn || value.type.id == TypeId::bit
               ? Value(value.type, tds::Bytes{!*number})
               : convert(Value(*number * 2), value.type);
  if (value.type.text()) {
    auto text = text_of(value);
    std::ranges::reverse(text);
    return convert(text, value.type);
  }
  if (value.type.bytes()) {
    auto bytes = *value.data;
    std::ranges::reverse(bytes);
    return {value.type, bytes};
  }
  return value;
}

std::int32_t lab_output(Reply &, Parameters &arguments, Session &) {
  for (auto &argument : arguments)
    if (argument.output) argument.value = changed(argument.value);
  return static_cast<std::int32_t>(std::ranges::count_if(arguments, &Parameter::output));
}

std::int32_t lab_return(Reply &, Parameters &arguments, Session &) {
  return static_cast<std::int32_t>(argument_number(arguments, 0, 0));
}

// ----------------------------------------------------------------------------------------------------
// prepared statements

std::int32_t run(Reply &reply, const std::string &statement, const std::string &declaration,
                 Parameters &arguments, std::size_t first, Session &session) {
  auto variables = from(arguments, first);
  name_parameters(variables, declaration);
  const bool no_count = session.no_count, format_only = session.format_only;
  answer_statements(statement, variables, session, reply);
  session.no_count = no_count, session.format_only = format_only; // what a procedure sets ends with it
  for (std::size_t index = first; index < arguments.size(); ++index)
    arguments[index].value = std::move(variables[index - first].value);
  return 0;
}

std::int32_t execute_sql(Reply &reply, Parameters &arguments, Session &session) {
  return run(reply, argument_text(arguments, 0), arguments.size() > 1 ? argument_text(arguments, 1) : "",
             arguments, 2, session);
}

void keep(Parameters &arguments, Prepared statement, Session &session) {
  constexpr std::size_t most = 10'000;
  if (session.prepared.size() >= most)
    throw Refusal{.number = 701, .text = "The lab keeps no more prepared statements."};
  session.prepared[++session.last_handle] = std::move(statement);
  arguments.at(0).value = std::int64_t{session.last_handle};
  arguments.at(0).output = true;
}

std::int32_t prepare(Reply &, Parameters &arguments,
                     Session &session) { // handle, declaration, statement, options
  keep(arguments, {argument_text(arguments, 2), argument_text(arguments, 1)}, session);
  return 0;
}

std::int32_t prepare_and_execute(Reply &reply, Parameters &arguments,
                                 Session &session) { // handle, declaration, statement, values
  const Prepared statement{argument_text(arguments, 2), argument_text(arguments, 1)};
  run(reply, statement.statement, statement.declaration, arguments, 3, session);
  keep(arguments, statement, session);
  return 0;
}

std::int32_t execute(Reply &reply, Parameters &arguments, Session &session) { // handle, values
  const auto found = session.prepared.find(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
  if (found == session.prepared.end())
    throw Refusal{.number = 8179, .text = "Could not find prepared statement with that handle."};
  const auto statement = found->second;
  return run(reply, statement.statement, statement.declaration, arguments, 1, session);
}

std::int32_t unprepare(Reply &, Parameters &arguments, Session &session) {
  session.prepared.erase(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
  return 0;
}

std::int32_t reset_connection(Reply &, Parameters &, Session &session) {
  reset(session);
  return 0;
}

const std::map<std::string_view, Procedure> procedures = {
    {"lab_rows", lab_rows},
    {"lab_blob", lab_blob},
    {"lab_meet", lab_meet},
    {"lab_error", lab_error},
    {"lab_echo", lab_echo},
    {"lab_types", lab_types},
    {"lab_output", lab_output},
    {"lab_return", lab_return},
    {"sp_executesql", execute_sql},
    {"sp_prepare", prepare},
    {"sp_prepexec", prepare_and_execute},
    {"sp_execute", execute},
    {"sp_unprepare", unprepare},
    {"sp_reset_connection", reset_connection},
};

} // namespace

std::string_view procedure_name(std::uint16_t id) {
  static constexpr auto names = std::to_array<std::string_view>(
      {"", "sp_cursor", "sp_cursoropen", "sp_cursorprepare", "sp_cursorexecute", "sp_cursorprepexec",
       "sp_cursorunprepare", "sp_cursorfetch", "sp_cursoroption", "sp_cursorclose", "sp_executesql",
       "sp_prepare", "sp_execute", "sp_prepexec", "sp_prepexecrpc", "sp_unprepare"});
  if (id == 0 || id >= names.size())
    throw Refusal{.number = 2812, .text = fmt::format("Could not find stored procedure {}.", id)};
  return names[id];
}

std::int32_t call_procedure(Reply &reply, std::string name, Parameters &arguments, Session &session) {
  name = lower_case(name);
  if (const auto dot = name.rfind('.'); dot != name.npos) name.erase(0, dot + 1);
  if (const auto semicolon = name.find(';'); semicolon != name.npos)
    name.erase(semicolon); // a number of versions: "p;1"
  std::erase_if(name, [](char c) { return c == '[' || c == ']' || c == '"'; });
  if (const auto procedure = procedures.find(name); procedure != procedures.end())
    return procedure->second(reply, arguments, session);
  if (call_cursor_procedure(reply, name, arguments, session)) return 0;
  if (answer_metadata(reply, name, arguments, session)) return 0;
  throw Refusal{
      .number = 2812, .text = fmt::format("Could not find stored procedure '{}'.", name), .state = 62};
}

} // namespace lab
