// The drivers of the interop test, each in the modes in which programs use it.
#pragma once

#include "tools/lab/process.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace interop {

/// How the driver logs in to sqlshim.
enum class Auth { sql, kerberos, ntlm };
std::string_view to_string(Auth auth);

struct Driver {
  std::string name; ///< "mssql-jdbc 12.6.1"
  std::string mode; ///< "encrypt=true": what its programme understands as SQL_MODE
  Auth auth = Auth::sql;
  std::string program; ///< what runs it: "java", "node", "python3", "bash", "dblib"
  bool strict = false; ///< needs a server of TDS 8.0

  /// Without blanks: a part of file names.
  std::string slug() const;
  /// The same however it logs in: a part of APP_NAME().
  std::string app() const;
  /// How it logs in to the peer itself: the same way, but by `sql` where the peer cannot do it. It takes no
  /// NTLM; and jTDS wants what follows its token in one message, where the peer sends two.
  Auth direct_auth() const;
  std::vector<std::string> command() const;
};

/// Every row of the matrix.
const std::vector<Driver> &drivers();
/// The steps of a programme, in their order.
const std::vector<std::string> &step_names();
/// Why this driver cannot run here; empty when it can.
std::string missing(const Driver &driver);

} // namespace interop
