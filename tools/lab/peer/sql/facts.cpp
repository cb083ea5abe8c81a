#include "tools/lab/peer/sql/facts.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr auto product_version = "16.0.1000.6";

Value text(std::string_view value) { return tds::to_utf16(value); }
Value number(std::int64_t value) { return value; }

/// A pipe has no ports, and its server no address of its own.
Value of_tcp(const Session &session, Value value) {
  if (session.origin.transport != "TCP") value.data = {};
  return value;
}

Value identity(const Session &session) {
  return session.identity ? convert(*session.identity, declared_type("numeric", {"38", "0"})) : Value();
}

/// The clock of this machine, UTC.
Value now(std::string_view type) {
  const auto time = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char words[32];
  const auto size = std::strftime(words, sizeof words, "%Y-%m-%d %H:%M:%S", &parts);
  return convert(text({words, size}), declared_type(type));
}

using Fact = Value (*)(const Session &);
struct NamedFact {
  std::string_view name;
  Fact value;
};

template <std::size_t N>
std::optional<Value> find(const std::array<NamedFact, N> &facts, std::string_view name,
                          const Session &session) {
  const auto found = std::ranges::find(facts, name, &NamedFact::name);
  if (found == facts.end()) return std::nullopt;
  return found->value(session);
}

constexpr auto variables = std::to_array<NamedFact>({
    {"@@version",
     [](const Session &) {
       return text(
           fmt::format("Microsoft SQL Server 2022 - {} (sqlshim lab, no real server)", product_version));
     }},
    {"@@servername", [](const Session &s) { return text(s.server_name); }},
    {"@@servicename", [](const Session &) { return text("MSSQLSERVER"); }},
    {"@@spid", [](const Session &s) { return number(s.spid); }},
    {"@@trancount", [](const Session &s) { return number(s.transactions); }},
    {"@@max_precision", [](const Session &) { return number(38); }},
    {"@@rowcount", [](const Session &s) { return number(s.row_count); }},
    {"@@error", [](const Session &s) { return number(s.last_error); }},
    {"@@identity", [](const Session &s) { return identity(s); }},
    {"@@options", [](const Session &) { return number(5496); }},
    {"@@language", [](const Session &) { return text("us_english"); }},
    {"@@langid", [](const Session &) { return number(0); }},
    {"@@datefirst", [](const Session &) { return number(7); }},
    {"@@lock_timeout", [](const Session &) { return number(-1); }},
    {"@@textsize", [](const Session &) { return number(2147483647); }},
    {"@@microsoftversion", [](const Session &) { return number(0x100003E8); }},
    {"@@dbts", [](const Session &) { return number(2000); }},
});

constexpr auto functions = std::to_array<NamedFact>({
    {"app_name", [](const Session &s) { return text(s.app_name); }},
    {"host_name", [](const Session &s) { return text(s.host_name); }},
    {"suser_sname", [](const Session &s) { return text(s.login); }},
    {"suser_name", [](const Session &s) { return text(s.login); }},
    {"original_login", [](const Session &s) { return text(s.login); }},
    {"user_name", [](const Session &) { return text("dbo"); }},
    {"schema_name", [](const Session &) { return text("dbo"); }},
    {"db_name", [](const Session &s) { return text(s.database); }},
    {"db_id", [](const Session &) { return number(1); }},
    {"xact_state", [](const Session &s) { return number(s.transactions > 0 ? 1 : 0); }},
    {"scope_identity", [](const Session &s) { return identity(s); }},
    {"rowcount_big", [](const Session &s) { return number(s.row_count); }},
    {"getdate", [](const Session &) { return now("datetime"); }},
    {"getutcdate", [](const Session &) { return now("datetime"); }},
    {"sysdatetime", [](const Session &) { return now("datetime2"); }},
    {"sysutcdatetime", [](const Session &) { return now("datetime2"); }},
    {"sysdatetimeoffset", [](const Session &) { return now("datetimeoffset"); }},
});

/// Functions that may be written without parentheses.
constexpr auto niladic_functions = std::to_array<NamedFact>({
    {"system_user", [](const Session &s) { return text(s.login); }},
    {"current_user", [](const Session &) { return text("dbo"); }},
    {"session_user", [](const Session &) { return text("dbo"); }},
    {"user", [](const Session &) { return text("dbo"); }},
    {"null", [](const Session &) { return Value(); }},
    {"current_timestamp", [](const Session &) { return now("datetime"); }},
});

constexpr auto server_properties = std::to_array<NamedFact>({
    {"productversion", [](const Session &) { return text(product_version); }},
    {"productmajorversion", [](const Session &) { return text("16"); }},
    {"productlevel", [](const Session &) { return text("RTM"); }},
    {"edition", [](const Session &) { return text("Developer Edition (64-bit)"); }},
    {"engineedition", [](const Session &) { return number(3); }},
    {"servername", [](const Session &s) { return text(s.server_name); }},
    {"machinename", [](const Session &s) { return text(s.server_name); }},
    {"collation", [](const Session &) { return text("SQL_Latin1_General_CP1_CI_AS"); }},
    {"isclustered", [](const Session &) { return number(0); }},
    {"isintegratedsecurityonly", [](const Session &) { return number(0); }},
});

/// sys.dm_exec_connections, one row: this connection. CONNECTIONPROPERTY() knows the same names.
constexpr auto connection_facts = std::to_array<NamedFact>({
    {"session_id", [](const Session &s) { return number(s.spid); }},
    {"net_transport", [](const Session &s) { return text(s.origin.transport); }},
    {"protocol_type", [](const Session &) { return text("TSQL"); }},
    {"auth_scheme", [](const Session &s) { return text(s.auth_scheme); }},
    {"encrypt_option", [](const Session &s) { return text(s.encrypted ? "TRUE" : "FALSE"); }},
    {"net_packet_size", [](const Session &s) { return number(s.packet_size); }},
    {"client_net_address", [](const Session &s) { return text(s.origin.client_address); }},
    {"client_tcp_port", [](const Session &s) { return of_tcp(s, number(s.origin.client_port)); }},
    {"local_net_address", [](const Session &s) { return of_tcp(s, text(s.origin.local_address)); }},
    {"local_tcp_port", [](const Session &s) { return of_tcp(s, number(s.origin.local_port)); }},
});

/// sys.dm_exec_sessions, one row: this session.
constexpr auto session_facts = std::to_array<NamedFact>({
    {"session_id", [](const Session &s) { return number(s.spid); }},
    {"login_name", [](const Session &s) { return text(s.login); }},
    {"original_login_name", [](const Session &s) { return text(s.login); }},
    {"host_name", [](const Session &s) { return text(s.host_name); }},
    {"program_name", [](const Session &s) { return text(s.app_name); }},
    {"host_process_id", [](const Session &s) { return number(s.client_pid); }},
    {"client_interface_name", [](const Session &s) { return text(s.client_interface); }},
    {"transaction_isolation_level", [](const Session &) { return number(2); }},
});

template <std::size_t N> Table one_row(const std::array<NamedFact, N> &facts, const Session &session) {
  std::vector<Cell> cells;
  for (const auto &fact : facts)
    cells.push_back({std::string(fact.name), fact.value(session)});
  auto rows = row_set(cells);
  return {.columns = std::move(rows.columns), .rows = std::move(rows.rows)};
}

} // namespace

std::optional<Value> variable(std::string_view name, const Session &session) {
  return find(variables, name, session);
}
std::optional<Value> plain_function(std::string_view name, const Session &session) {
  return find(functions, name, session);
}
std::optional<Value> niladic(std::string_view name, const Session &session) {
  return find(niladic_functions, name, session);
}
std::optional<Value> server_property(std::string_view name, const Session &session) {
  return find(server_properties, name, session);
}
std::optional<Value> connection_property(std::string_view name, const Session &session) {
  return find(connection_facts, name, session);
}

Table connections_view(const Session &session) { return one_row(connection_facts, session); }
Table sessions_view(const Session &session) { return one_row(session_facts, session); }

} // namespace lab
