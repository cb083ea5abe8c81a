// What the server says of itself and of its sessions: @@variables, functions without meaning of
// their own, properties, views.
#pragma once

#include "tools/lab/peer/sql/session.hpp"

namespace lab {

/// None for a name that is not known. Names are in lower case.
std::optional<Value> variable(std::string_view name, const Session &session); ///< @@name
std::optional<Value> plain_function(std::string_view name,
                                    const Session &session);                 ///< without arguments: db_name()
std::optional<Value> niladic(std::string_view name, const Session &session); ///< without parentheses
std::optional<Value> server_property(std::string_view name, const Session &session); ///< SERVERPROPERTY
std::optional<Value> connection_property(std::string_view name,
                                         const Session &session); ///< CONNECTIONPROPERTY

/// sys.dm_exec_connections and sys.dm_exec_sessions: one row each, this session's.
Table connections_view(const Session &session);
Table sessions_view(const Session &session);

} // namespace lab
