// The programme of FreeTDS's db-lib, whose steps are also tests of it: what it brings is asserted. See
// programme.hpp for what it is told and what it prints. SQL_MODE: "VERSION ENCRYPTION".
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sybdb.h>
#include <sybfront.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

std::string told(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

std::string step() {
  std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  std::ranges::replace(name, '_', '-');
  return name;
}
void say(const std::string &text) { std::cout << "step " << step() << ": " << text << std::endl; }

std::vector<std::string> messages; ///< of the server and of the library, since the last login
int on_message(DBPROCESS *, DBINT number, int state, int severity, char *text, char *server, char *procedure,
               int line) {
  if (number == 5701 || number == 5703) return 0; // database and language
  std::ostringstream words;
  words << "message " << number << " " << state << " " << severity << " " << text << " " << server << " "
        << procedure << " " << line;
  messages.push_back(words.str());
  return 0;
}
int on_error(DBPROCESS *, int severity, int number, int os_error, char *text, char *) {
  std::ostringstream words;
  words << "error " << number << " " << severity << " " << os_error << " " << text;
  messages.push_back(words.str());
  return INT_CANCEL;
}
void say_messages() {
  for (const auto &message : messages)
    say(message);
  messages.clear();
}

/// The text of a column, as db-lib converts it.
std::string text_of(DBPROCESS *db, int column) {
  if (!dbdata(db, column)) return "NULL";
  std::string text(static_cast<std::size_t>(dbdatlen(db, column)) * 2 + 64, '\0');
  const auto size = dbconvert(db, dbcoltype(db, column), dbdata(db, column), dbdatlen(db, column), SYBCHAR,
                              reinterpret_cast<BYTE *>(text.data()), static_cast<DBINT>(text.size()));
  return size < 0 ? "no text" : text.substr(0, static_cast<std::size_t>(size));
}

class Dblib : public testing::Test {
protected:
  static void SetUpTestSuite() {
    ::alarm(120); // whatever hangs, hangs no longer
    dbinit();
    dbmsghandle(on_message);
    dberrhandle(on_error);
    dbsetlogintime(30);
    std::istringstream mode(told("SQL_MODE"));
    std::string version, encryption;
    mode >> version >> encryption;
    configuration_ = testing::TempDir() + "interop-dblib-" + std::to_string(::getpid()) + ".conf";
    std::ofstream(configuration_) << "[server]\n  host = " << told("SQL_HOST")
                                  << "\n  port = " << told("SQL_PORT") << "\n  tds version = " << version
                                  << "\n  encryption = " << encryption
                                  << "\n  client charset = UTF-8\n  spn = " << told("SQL_SPN") << "\n";
    ::setenv("FREETDSCONF", configuration_.c_str(), 1);
  }
  static void TearDownTestSuite() {
    dbexit();
    std::filesystem::remove(configuration_);
  }

  static DBPROCESS *open() {
    messages.clear();
    auto *login = dblogin();
    if (told("SQL_AUTH") == "kerberos") {
      DBSETLNETWORKAUTH(login, TRUE);
    } else {
      DBSETLUSER(login, ((told("SQL_AUTH") == "ntlm" ? "CORP\\" : "") + told("SQL_USER")).c_str());
      DBSETLPWD(login, told("SQL_PASSWORD").c_str());
    }
    DBSETLAPP(login, (told("SQL_APP") + "+" + step()).c_str());
    DBSETLDBNAME(login, "reports");
    BCP_SETL(login, TRUE);
    auto *db = dbopen(login, "server");
    dbloginfree(login);
    return db;
  }
  static void connect(DBPROCESS *&db) {
    db = open();
    if (!db) say_messages();
    ASSERT_NE(db, nullptr);
  }

  /// Sends a batch and says its rows; how many there were.
  static int ask(DBPROCESS *db, const std::string &sql, bool quiet = false) {
    dbcmd(db, sql.c_str());
    EXPECT_EQ(dbsqlexec(db), SUCCEED) << sql;
    return say_results(db, quiet);
  }
  static int say_results(DBPROCESS *db, bool quiet = false) {
    int rows = 0;
    while (dbresults(db) == SUCCEED) {
      while (dbnextrow(db) == REG_ROW) {
        ++rows;
        std::string row;
        for (int column = 1; column <= dbnumcols(db); ++column)
          row += std::string(column > 1 ? ", " : "") + dbcolname(db, column) + "=" + text_of(db, column);
        if (!quiet) say(row);
      }
    }
    return rows;
  }
  static void alive(DBPROCESS *db) { EXPECT_EQ(ask(db, "select 'alive' as a"), 1); }

  inline static std::string configuration_;
};

TEST_F(Dblib, connect) {
  DBPROCESS *db = nullptr;
  connect(db);
  EXPECT_EQ(
      ask(db,
          "select app_name() as app, host_name() as host, @@language as language, db_name() as db from sys.dm_exec_sessions where session_id=@@spid"),
      1);
  EXPECT_EQ(ask(db, "select net_packet_size from sys.dm_exec_connections where session_id=@@spid"), 1);
  dbcmd(db, "select host_process_id from sys.dm_exec_sessions where session_id=@@spid");
  EXPECT_EQ(dbsqlexec(db), SUCCEED);
  while (dbresults(db) == SUCCEED)
    while (dbnextrow(db) == REG_ROW) {
      EXPECT_EQ(text_of(db, 1), std::to_string(::getpid()));
      say("process id: own");
    }
  dbclose(db);
}

TEST_F(Dblib, results) {
  DBPROCESS *db = nullptr;
  connect(db);
  EXPECT_EQ(ask(db, "select 1 as a, 'one' as b select 'two' as c"), 2);
  dbclose(db);
}

/// Each column is read, and its bytes sent back as a parameter of its type.
TEST_F(Dblib, types) {
  DBPROCESS *db = nullptr;
  connect(db);
  for (const auto *call : {"exec lab_types", "exec lab_types 1"}) {
    struct Value {
      int type;
      std::vector<BYTE> bytes;
      bool null;
    };
    std::vector<Value> values;
    dbcmd(db, call);
    EXPECT_EQ(dbsqlexec(db), SUCCEED);
    while (dbresults(db) == SUCCEED)
      while (dbnextrow(db) == REG_ROW)
        for (int column = 1; column <= dbnumcols(db); ++column) {
          say(std::string(dbcolname(db, column)) + " " + std::to_string(dbcoltype(db, column)) + " " +
              text_of(db, column));
          const auto *data = dbdata(db, column);
          values.push_back({dbcoltype(db, column), {}, !data});
          if (data) values.back().bytes.assign(data, data + dbdatlen(db, column));
        }
    EXPECT_GE(values.size(), 40u);
    int number = 0;
    for (auto &value : values) {
      ++number;
      const auto size = static_cast<DBINT>(value.bytes.size());
      messages.clear();
      if (dbrpcinit(db, "lab_echo", 0) != SUCCEED ||
          dbrpcparam(db, nullptr, 0, value.type, -1, value.null ? 0 : size,
                     value.null ? nullptr : value.bytes.data()) != SUCCEED ||
          dbrpcsend(db) != SUCCEED || dbsqlok(db) != SUCCEED) {
        say("sent " + std::to_string(number) + " refused");
        say_messages();
        dbclose(db); // it keeps parts of a call that it did not send
        connect(db);
        continue;
      }
      while (dbresults(db) == SUCCEED)
        while (dbnextrow(db) == REG_ROW)
          say("sent " + std::to_string(number) + " " + std::to_string(dbcoltype(db, 1)) + " " +
              text_of(db, 1));
      say_messages();
    }
  }
  dbclose(db);
}

TEST_F(Dblib, parameters) {
  DBPROCESS *db = nullptr;
  connect(db);
  DBINT number = 42;
  const std::string text = "some text";
  ASSERT_EQ(dbrpcinit(db, "lab_echo", 0), SUCCEED);
  dbrpcparam(db, "@a", 0, SYBINT4, -1, -1, reinterpret_cast<BYTE *>(&number));
  dbrpcparam(db, "@b", 0, SYBVARCHAR, -1, static_cast<DBINT>(text.size()),
             reinterpret_cast<BYTE *>(const_cast<char *>(text.data())));
  dbrpcparam(db, "@c", 0, SYBVARCHAR, -1, 0, nullptr);
  ASSERT_EQ(dbrpcsend(db), SUCCEED);
  ASSERT_EQ(dbsqlok(db), SUCCEED);
  EXPECT_EQ(say_results(db), 1);
  dbclose(db);
}

void transaction(DBPROCESS *db, int (*ask)(DBPROCESS *, const std::string &, bool), const std::string &end) {
  ask(db, "create table #t (i int, s varchar(20))", false);
  ask(db, "begin tran insert into #t values (1, 'one')", false);
  ask(db, "select count(*) as n from #t", false);
  ask(db, end, false);
  ask(db, "select count(*) as n from #t", false);
  ask(db, "select @@trancount as n", false);
  EXPECT_TRUE(messages.empty());
  say_messages();
}

TEST_F(Dblib, transaction) {
  DBPROCESS *db = nullptr;
  connect(db);
  transaction(db, ask, "commit");
  dbclose(db);
}

TEST_F(Dblib, rollback) {
  DBPROCESS *db = nullptr;
  connect(db);
  transaction(db, ask, "rollback");
  dbclose(db);
}

TEST_F(Dblib, error) {
  DBPROCESS *db = nullptr;
  connect(db);
  dbcmd(db, "exec lab_error 50123, 16, 'what the server says'");
  dbsqlexec(db);
  say_results(db);
  EXPECT_FALSE(messages.empty());
  say_messages();
  alive(db);
  dbclose(db);
}

TEST_F(Dblib, warning) {
  DBPROCESS *db = nullptr;
  connect(db);
  ask(db, "print 'a word of warning'");
  EXPECT_EQ(messages.size(), 1u);
  say_messages();
  dbclose(db);
}

TEST_F(Dblib, large_result) {
  DBPROCESS *db = nullptr;
  connect(db);
  dbcmd(db, "exec lab_rows 2600, 8000");
  ASSERT_EQ(dbsqlexec(db), SUCCEED);
  int rows = 0;
  std::size_t sum = 0;
  while (dbresults(db) == SUCCEED)
    while (dbnextrow(db) == REG_ROW) {
      ++rows;
      sum = std::hash<std::string_view>()(
                {reinterpret_cast<const char *>(dbdata(db, 2)), static_cast<std::size_t>(dbdatlen(db, 2))}) ^
            (sum << 1 | sum >> 63);
    }
  EXPECT_EQ(rows, 2600);
  say(std::to_string(rows) + " rows, " + std::to_string(sum));
  dbclose(db);
}

TEST_F(Dblib, cancel) {
  DBPROCESS *db = nullptr;
  connect(db);
  dbcmd(db, "exec lab_rows 200000, 8000");
  ASSERT_EQ(dbsqlexec(db), SUCCEED);
  ASSERT_EQ(dbresults(db), SUCCEED);
  for (int row = 0; row < 10; ++row)
    EXPECT_EQ(dbnextrow(db), REG_ROW);
  EXPECT_EQ(dbcancel(db), SUCCEED);
  say("cancelled");
  alive(db);
  dbclose(db);
}

/// Bulk copy: rows go in from our variables and are read back.
TEST_F(Dblib, bulk_copy) {
  DBPROCESS *db = nullptr;
  connect(db);
  ask(db, "create table #b (i int, s varchar(20))");
  ASSERT_EQ(bcp_init(db, "#b", nullptr, nullptr, DB_IN), SUCCEED);
  DBINT number = 0;
  char text[] = "row of bulk";
  bcp_bind(db, reinterpret_cast<BYTE *>(&number), 0, -1, nullptr, 0, SYBINT4, 1);
  bcp_bind(db, reinterpret_cast<BYTE *>(text), 0, static_cast<DBINT>(std::strlen(text)), nullptr, 0,
           SYBVARCHAR, 2);
  for (number = 1; number <= 1000; ++number)
    ASSERT_EQ(bcp_sendrow(db), SUCCEED);
  EXPECT_EQ(bcp_done(db), 1000);
  ask(db, "select count(*) as n from #b");
  EXPECT_EQ(ask(db, "select i, s from #b", true), 1000);
  say_messages();
  dbclose(db);
}

/// Each in a process of its own: db-lib's logins are one after the other within one. All are
/// connected before the first asks.
TEST_F(Dblib, fifty) {
  constexpr int count = 50;
  int ready[2], go[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(go), 0);
  std::vector<pid_t> children;
  for (int child = 0; child < count; ++child) {
    const auto pid = ::fork();
    if (pid == 0) {
      ::alarm(60);
      ::close(go[1]);
      auto *db = open();
      char byte = db ? 'y' : 'n';
      if (::write(ready[1], &byte, 1) != 1 || !db) ::_exit(1);
      if (::read(go[0], &byte, 1) < 0) ::_exit(1); // until the parent closes it
      dbcmd(db, "select 'one of fifty' as a");
      const bool good = dbsqlexec(db) == SUCCEED && dbresults(db) == SUCCEED && dbnextrow(db) == REG_ROW &&
                        text_of(db, 1) == "one of fifty";
      dbclose(db);
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  ::close(go[0]);
  int connected = 0;
  for (char byte = 0; connected < count && ::read(ready[0], &byte, 1) == 1 && byte == 'y';)
    ++connected;
  EXPECT_EQ(connected, count);
  ::close(go[1]);
  int good = 0;
  for (const auto pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    good += status == 0;
  }
  ::close(ready[0]), ::close(ready[1]);
  EXPECT_EQ(good, count);
  say(std::to_string(connected) + " connected, " + std::to_string(good) + " answered");
}

TEST_F(Dblib, disconnect) {
  DBPROCESS *db = nullptr;
  connect(db);
  dbcmd(db, "exec lab_rows 200000, 8000");
  ASSERT_EQ(dbsqlexec(db), SUCCEED);
  ASSERT_EQ(dbresults(db), SUCCEED);
  EXPECT_EQ(dbnextrow(db), REG_ROW);
  dbclose(db);
  connect(db);
  alive(db);
  dbclose(db);
}

/// What this library has no call for.
TEST_F(Dblib, prepared) { say("- db-lib prepares no statements"); }
TEST_F(Dblib, large_parameter) {
  DBPROCESS *db = nullptr;
  connect(db);
  std::vector<BYTE> sent(5'000'000);
  for (std::size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<BYTE>(i * 7 + i / 251);
  ASSERT_EQ(dbrpcinit(db, "lab_echo", 0), SUCCEED);
  dbrpcparam(db, "@a", 0, SYBIMAGE, -1, static_cast<DBINT>(sent.size()), sent.data());
  ASSERT_EQ(dbrpcsend(db), SUCCEED);
  ASSERT_EQ(dbsqlok(db), SUCCEED);
  while (dbresults(db) == SUCCEED)
    while (dbnextrow(db) == REG_ROW)
      say(std::to_string(dbdatlen(db, 1)) + " bytes, " +
          (static_cast<std::size_t>(dbdatlen(db, 1)) == sent.size() &&
                   !std::memcmp(dbdata(db, 1), sent.data(), sent.size())
               ? "the same"
               : "others"));
  say_messages();
  dbclose(db);
}
TEST_F(Dblib, pool_reset) { say("- db-lib keeps no pool"); }

} // namespace

int main(int argc, char **argv) {
  testing::InitGoogleTest(&argc, argv);
  if (auto only = told("SQL_ONLY"); !only.empty()) {
    std::ranges::replace(only, '-', '_');
    GTEST_FLAG_SET(filter, "*." + only);
  }
  return RUN_ALL_TESTS();
}
