// Stored procedures: those of the lab, and those of SQL Server that drivers call by RPC.
#pragma once

#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

/// The name of a procedure that an RPC calls by number. Throws Refusal 2812.
std::string_view procedure_name(std::uint16_t id);

/// Runs it and gives its return status; OUTPUT parameters are changed in `arguments`. `name` may be
/// qualified. Throws Refusal.
std::int32_t call_procedure(Reply &reply, std::string name, Parameters &arguments, Session &session);

/// sp_cursoropen and its like; false for another procedure. `name` is in lower case.
bool call_cursor_procedure(Reply &reply, std::string_view name, Parameters &arguments, Session &session);

} // namespace lab
