// A target: the server as a person types it.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace auth {

/// `typed` is kept as given. `host` is a name, or an IPv4 or IPv6 address without brackets.
/// `port` where one was typed.
struct Target {
  std::string typed;
  std::string host;
  std::string instance; ///< empty: default instance
  std::optional<std::uint16_t> port;
  bool is_address = false;
  std::string pipe = {}; ///< as below \\\\host\\pipe\\: "sql\\query", "MSSQL$INST\\sql\\query"; empty: by TCP

  bool operator==(const Target &) const = default;
};

/// Accepts `sql1`, `sql1,1433`, `sql1:1433`, `tcp:sql1,1433`, `sql1\INST`, `sql1\INST,1433`, `10.0.0.1,1433`,
/// `[::1],1433`, `::1`, `.` and `(local)` (both: localhost); as named pipes `np:sql1`, `np:sql1\INST`,
/// `np:\\sql1\pipe\sql\query` and `\\sql1\pipe\MSSQL$INST\sql\query`, whose instance is the pipe's. Error: a
/// sentence that says what is wrong and what to write instead.
std::expected<Target, std::string> parse_target(std::string_view typed);

} // namespace auth
