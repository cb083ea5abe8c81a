// One login by FreeTDS, directly at the server, with the SPN that it is told: the second opinion of
// `sqlshim explain --control`.
//
//   FREETDSCONF=… KRB5CCNAME=FILE:… sqlshim-control SECTION SPN
//
// SECTION of freetds.conf has host, port, encryption; the credential cache has the ticket. Standard
// output gets one line of JSON:
//   {"accepted":true,"auth_scheme":"KERBEROS","said":[]}
//   {"accepted":false,"auth_scheme":"","said":["18456 (class 14, state 1): Login failed for user …",
//    "db-lib 20002: Adaptive Server connection failed"]}
// Exit status: 0 there is such a line, whatever it says; 2 usage. It asks for mutual authentication, and
// for no password of anybody.

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <sybdb.h>
#include <vector>

namespace {

constexpr int login_limit = 10; // seconds; whoever starts this program has a longer one

std::vector<std::string> said;

std::string text(const char *words) { return words ? words : ""; }

int on_error(DBPROCESS *, int, int number, int system_error, char *words, char *system_words) {
  auto line = "db-lib " + std::to_string(number) + ": " + text(words);
  if (system_error > 0) line += " (" + text(system_words) + ")";
  said.push_back(line);
  return INT_CANCEL;
}

int on_message(DBPROCESS *, DBINT number, int state, int severity, char *words, char *, char *, int) {
  if (severity > 10) // not "changed database context to …"
    said.push_back(std::to_string(number) + " (class " + std::to_string(severity) + ", state " +
                   std::to_string(state) + "): " + text(words));
  return 0;
}

/// What the session says of itself; empty where it does not tell. CONNECTIONPROPERTY needs no permission,
/// unlike sys.dm_exec_connections.
std::string auth_scheme(DBPROCESS *session) {
  dbcmd(session, "select cast(connectionproperty('auth_scheme') as varchar(40))");
  if (dbsqlexec(session) == FAIL || dbresults(session) != SUCCEED || dbnextrow(session) != REG_ROW) return "";
  const auto *data = reinterpret_cast<const char *>(dbdata(session, 1));
  return data ? std::string(data, static_cast<std::size_t>(dbdatlen(session, 1))) : "";
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: sqlshim-control SECTION SPN  (sqlshim explain --connect --control runs it)\n";
    return 2;
  }
  dbinit();
  dberrhandle(on_error);
  dbmsghandle(on_message);
  dbsetlogintime(login_limit);
  dbsettime(login_limit);
  auto *login = dblogin();
  DBSETLAPP(login, "sqlshim explain --control");
  DBSETLSERVERPRINCIPAL(login, argv[2]);
  DBSETLNETWORKAUTH(login, 1);
  DBSETLMUTUALAUTH(login, 1);
  auto *session = dbopen(login, argv[1]);
  const auto scheme = session ? auth_scheme(session) : "";
  std::cout << nlohmann::json{{"accepted", session != nullptr}, {"auth_scheme", scheme}, {"said", said}}.dump(
                   -1, ' ', true, nlohmann::json::error_handler_t::replace)
            << std::endl;
  dbloginfree(login);
  dbexit();
}
