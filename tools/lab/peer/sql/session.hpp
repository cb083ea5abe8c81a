// One logged-in session of the peer: the facts that its answers are made of.
#pragma once

#include "tools/lab/peer/sql/bulk.hpp"
#include "tools/lab/peer/sql/cursor.hpp"
#include "tools/lab/peer/sql/tables.hpp"

#include "tds/token.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace lab {

/// What sp_prepare keeps.
struct Prepared {
  std::string statement;
  std::string declaration; ///< of its parameters: "@p1 int, @p2 nvarchar(10)"
};

/// The way that a connection came, as sys.dm_exec_connections tells it.
struct Origin {
  std::string transport = "TCP";   ///< or "Named pipe"
  std::string client_address = {}; ///< "<named pipe>" of a pipe
  std::string local_address = {};  ///< of TCP alone, as both ports are
  std::uint16_t client_port = 0;
  std::uint16_t local_port = 0;
};

struct Session {
  tds::Version version;
  std::string login;               ///< SUSER_SNAME(): "CORP\svc-reports", "sa"
  std::string auth_scheme = "SQL"; ///< KERBEROS, NTLM or SQL: what really happened
  std::string host_name;           ///< as the client typed it in LOGIN7
  std::string app_name;
  std::string client_interface;
  std::uint32_t client_pid = 0;
  std::string database = "master";
  std::string server_name = "SQL1";
  Origin origin;
  std::uint16_t spid = 51;
  std::uint32_t packet_size = 4096; ///< bytes
  bool encrypted = false;           ///< the whole session is under TLS, not its login alone

  // What statements change. The sessions of a MARS connection share its temporary tables.
  std::shared_ptr<Tables> tables = std::make_shared<Tables>(); ///< of the server
  std::shared_ptr<Tables> temporary = std::make_shared<Tables>();
  int transactions = 0; ///< @@TRANCOUNT
  std::uint64_t transaction = 0;
  std::vector<Undo> undo; ///< one while a transaction is open, and one more for each savepoint
  std::map<std::int32_t, Prepared> prepared; ///< by the handle that sp_prepare gave
  std::int32_t last_handle = 0;
  std::map<std::int32_t, Cursor> cursors; ///< by the handle that sp_cursoropen gave
  std::optional<BulkTarget> bulk;         ///< between INSERT BULK and its rows
  int nesting = 0;                        ///< EXEC in EXEC
  bool no_count = false;                  ///< SET NOCOUNT ON
  bool implicit_transactions = false;     ///< SET IMPLICIT_TRANSACTIONS ON
  bool format_only = false;               ///< SET FMTONLY ON
  std::int64_t row_count = 0;             ///< @@ROWCOUNT
  std::uint32_t last_error = 0;           ///< @@ERROR
  std::optional<std::int64_t> identity;   ///< SCOPE_IDENTITY()
};

/// What RESETCONNECTION asks for: the session as it was after login. With `keep_transaction`, all
/// but its open transaction.
void reset(Session &session, bool keep_transaction = false);

} // namespace lab
