// FreeTDS's tsql, run through the lab's sqlshim as a user would.
#pragma once

#include "tools/lab/lab.hpp"

namespace test {

/// `select auth_scheme` of the own session: what the user asks.
inline constexpr auto which_scheme =
    "select auth_scheme from sys.dm_exec_connections where session_id=@@spid\ngo\n";

struct TsqlOptions {
  std::string batch = which_scheme;
  std::string route = "reports";
  lab::Environment environment = {}; ///< over the lab's: TDSVER, …
  std::vector<std::string> arguments = {"-U", "x", "-P", "y"};
};
/// Output and exit status of one tsql login.
lab::Finished tsql(lab::Lab &lab, TsqlOptions options = {});

} // namespace test
