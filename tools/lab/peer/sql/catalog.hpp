// The server's tables about tables, and the procedures that drivers ask for metadata.
#pragma once

#include "tools/lab/peer/sql/reply.hpp"

namespace lab {

/// sys.columns, information_schema.tables, sys.dm_exec_connections and the like, made for this session; none
/// for another name. `name` is qualified, in any case.
std::optional<Table> system_view(std::string_view name, const Session &session);

/// sp_tables, sp_columns, sp_datatype_info, sp_tablecollations_100, …; false for another
/// procedure. `name` is in lower case.
bool answer_metadata(Reply &reply, std::string_view name, const Parameters &arguments,
                     const Session &session);

} // namespace lab
