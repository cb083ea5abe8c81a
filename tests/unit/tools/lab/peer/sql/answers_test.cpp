#include "tools/lab/peer/sql/answers.hpp"
#include "tools/lab/peer/sql/rowset.hpp"

#include <gmock/gmock.h>

namespace lab {
namespace {

using ::testing::HasSubstr;

Session session_of(tds::Version version = tds::tds_7_4) {
  Session session;
  session.version = version;
  session.login = "CORP\\svc-reports";
  session.auth_scheme = "KERBEROS";
  session.host_name = "workstation";
  session.app_name = "my app";
  session.spid = 77;
  return session;
}

tds::Bytes request(std::string_view sql, tds::Version version = tds::tds_7_4) {
  tds::Writer out;
  if (version.at_least_7_2()) out.u32_le(4); // ALL_HEADERS without any
  out.utf16(tds::to_utf16(sql));
  return std::move(out).bytes();
}

/// Reads a reply of the few types the peer sends, independently of what writes it. One line per token:
/// "columns a,b", "row x|y", "error 208 …", "info 5701 …", "env 1", "done error count=2".
class Reading {
public:
  Reading(const Answer &answer, tds::Version version) : version_(version) {
    for (const auto &step : answer) {
      if (const auto *bytes = std::get_if<tds::Bytes>(&step)) read(*bytes);
      if (const auto *rows = std::get_if<GeneratedRows>(&step))
        add("rows " + std::to_string(rows->count) + " of " + std::to_string(rows->bytes));
      if (const auto *wait = std::get_if<Wait>(&step)) add("wait " + std::to_string(wait->time.count()));
      if (const auto *meet = std::get_if<Meet>(&step)) add("meet " + std::to_string(meet->connections));
    }
  }
  std::string text() const { return text_; }

private:
  void add(const std::string &line) { text_ += line + "\n"; }
  std::string b_varchar(tds::Reader &in) { return tds::to_utf8(in.utf16(in.u8("").value(), "").value()); }

  void read(const tds::Bytes &bytes) {
    tds::Reader in(bytes, "reply");
    while (in.left() > 0) {
      switch (in.rest()[0]) {
      case 0x81:
        columns(in);
        break;
      case 0xD1:
        row(in);
        break;
      case 0x79:
        (void)in.u8("");
        add("status " + std::to_string(in.u32_le("").value()));
        break;
      case 0xAC:
        returned(in);
        break;
      default:
        token(tds::decode_token(in, version_).value());
      }
    }
  }
  static constexpr std::uint16_t nvarchar_max = 0x1E7;
  std::uint16_t type(tds::Reader &in) {
    version_.at_least_7_2() ? (void)in.u32_le("") : (void)in.u16_le("");
    (void)in.u16_le("");
    std::uint16_t type = in.u8("").value();
    if (type == 0x26) (void)in.u8("");
    if (type == 0xE7 || type == 0xA7) {
      if (in.u16_le("").value() == 0xFFFF) type |= 0x100;
      if (version_.generation() >= 71) (void)in.take(5, "");
    }
    if (type == 0x63) { // NTEXT: the table's name behind it
      (void)in.u32_le("");
      if (version_.generation() >= 71) (void)in.take(5, "");
      if (version_.at_least_7_2()) (void)in.u8("");
      (void)in.utf16(in.u16_le("").value(), "");
    }
    return type;
  }
  std::string value(tds::Reader &in, std::uint16_t type) {
    if (type == 0x26) {
      const auto size = in.u8("").value();
      return size == 0   ? "NULL"
             : size == 4 ? std::to_string(static_cast<std::int32_t>(in.u32_le("").value()))
                         : std::to_string(static_cast<std::int64_t>(in.u64_le("").value()));
    }
    if (type == nvarchar_max) {
      (void)in.u64_le("");
      std::string text;
      while (const auto size = in.u32_le("").value())
        text += tds::to_utf8(in.utf16(size / 2, "").value());
      return text;
    }
    if (type == 0x63) {
      (void)in.take(in.u8("").value() + 8, "");
      return tds::to_utf8(in.utf16(in.u32_le("").value() / 2, "").value());
    }
    if (type != 0xE7) throw std::runtime_error("an unexpected type");
    return tds::to_utf8(in.utf16(in.u16_le("").value() / 2, "").value());
  }
  void columns(tds::Reader &in) {
    (void)in.u8("");
    types_.clear();
    std::string names;
    for (auto left = in.u16_le("").value(); left > 0; --left) {
      types_.push_back(type(in));
      names += (types_.size() == 1 ? "" : ",") + b_varchar(in);
    }
    add("columns " + names);
  }
  void row(tds::Reader &in) {
    (void)in.u8("");
    std::string values;
    for (const auto type : types_)
      values += value(in, type) + "|";
    values.pop_back();
    add("row " + values);
  }
  void returned(tds::Reader &in) {
    (void)in.u8(""), (void)in.u16_le("");
    const auto name = b_varchar(in);
    (void)in.u8("");
    const auto kind = type(in);
    add("returned " + name + "=" + value(in, kind));
  }
  void token(const tds::Token &token) {
    if (const auto *message = std::get_if<tds::ServerMessage>(&token))
      add((message->error ? "error " : "info ") + std::to_string(message->number) + " " +
          tds::to_utf8(message->text));
    if (const auto *change = std::get_if<tds::EnvChange>(&token))
      add("env " + std::to_string(static_cast<int>(change->type)));
    if (const auto *done = std::get_if<tds::Done>(&token)) {
      const char *names[] = {"done", "doneproc", "doneinproc"};
      std::string line = names[static_cast<int>(done->kind) - 0xFD];
      if (done->status & tds::done_more) line += " more";
      if (done->status & tds::done_error) line += " error";
      if (done->status & tds::done_attention) line += " attention";
      if (done->status & tds::done_count) line += " count=" + std::to_string(done->row_count);
      add(line);
    }
  }

  tds::Version version_;
  std::vector<std::uint16_t> types_;
  std::string text_;
};

std::string answer_of(std::string_view sql, Session session = session_of()) {
  const auto answer = answer_batch(request(sql, session.version), session);
  return Reading(answer, session.version).text();
}

struct BatchCase {
  const char *name;
  const char *sql;
  const char *reply;
};
class KnownBatch : public ::testing::TestWithParam<BatchCase> {};

TEST_P(KnownBatch, is_answered_in_every_version) {
  for (const auto version : {tds::tds_7_0, tds::tds_7_1, tds::tds_7_2, tds::tds_7_3, tds::tds_7_4})
    EXPECT_EQ(answer_of(GetParam().sql, session_of(version)), GetParam().reply) << "TDS " << version.text();
}

INSTANTIATE_TEST_SUITE_P(
    all, KnownBatch,
    ::testing::Values(
        BatchCase{"auth_scheme", "select auth_scheme from sys.dm_exec_connections where session_id=@@spid",
                  "columns auth_scheme\nrow KERBEROS\ndone count=1\n"},
        BatchCase{
            "three_columns_any_order",
            "SELECT encrypt_option, [auth_scheme], net_transport FROM [sys].[dm_exec_connections] WHERE "
            "session_id = @@SPID;",
            "columns encrypt_option,auth_scheme,net_transport\nrow FALSE|KERBEROS|TCP\ndone count=1\n"},
        BatchCase{"alias_before_column",
                  "select c.auth_scheme from sys.dm_exec_connections c where c.session_id = @@spid",
                  "columns auth_scheme\nrow KERBEROS\ndone count=1\n"},
        BatchCase{"another_session", "select auth_scheme from sys.dm_exec_connections where session_id = 1",
                  "columns auth_scheme\ndone count=0\n"},
        BatchCase{"session_facts", "select suser_sname(), app_name(), host_name() as host, db_name()",
                  "columns ,,host,\nrow CORP\\svc-reports|my app|workstation|master\ndone count=1\n"},
        BatchCase{"literals", "select 1, N'it''s' as text, -3",
                  "columns ,text,\nrow 1|it's|-3\ndone count=1\n"},
        BatchCase{"one_and_one", "SELECT 1+1 AS result", "columns result\nrow 2\ndone count=1\n"},
        BatchCase{"spid_and_trancount", "select @@spid, @@trancount", "columns ,\nrow 77|0\ndone count=1\n"},
        BatchCase{"server_property", "SELECT SERVERPROPERTY('ProductVersion')",
                  "columns \nrow 16.0.1000.6\ndone count=1\n"},
        BatchCase{"engine_edition", "SELECT CAST(SERVERPROPERTY('EngineEdition') as INT)",
                  "columns \nrow 3\ndone count=1\n"},
        BatchCase{"max_support", "SELECT CAST('test max support' AS NVARCHAR(max))",
                  "columns \nrow test max support\ndone count=1\n"},
        BatchCase{"schema_name", "SELECT schema_name()", "columns \nrow dbo\ndone count=1\n"},
        BatchCase{"jtds_start",
                  "SELECT @@MAX_PRECISION\r\nSET TRANSACTION ISOLATION LEVEL READ COMMITTED\r\nSET "
                  "IMPLICIT_TRANSACTIONS OFF\r\nSET QUOTED_IDENTIFIER ON\r\nSET TEXTSIZE 2147483647",
                  "columns \nrow 38\ndone more count=1\ndone more\ndone more\ndone more\ndone\n"},
        BatchCase{
            "tedious_start",
            "set ansi_nulls on\nset ansi_null_dflt_on on\nset textsize 2147483647\nset transaction isolation "
            "level read committed\nset xact_abort off",
            "done more\ndone more\ndone more\ndone more\ndone\n"},
        BatchCase{"use", "use [reports]", "env 1\ninfo 5701 Changed database context to 'reports'.\ndone\n"},
        BatchCase{"two_results", "select 1 select 2",
                  "columns \nrow 1\ndone more count=1\ncolumns \nrow 2\ndone count=1\n"},
        BatchCase{"comments", "/* why */ select 1 -- because", "columns \nrow 1\ndone count=1\n"},
        BatchCase{"nothing", "  ", "done\n"}, BatchCase{"print", "print 'hello'", "info 0 hello\ndone\n"},
        BatchCase{"no_open_transaction", "IF @@TRANCOUNT > 0 COMMIT TRAN", "done\n"},
        BatchCase{"rows", "exec lab_rows 1000000, 200",
                  "columns n,filler\nrows 1000000 of 200\ndone count=1000000\n"},
        BatchCase{"wait", "waitfor delay '01:00:00'", "wait 3600000\ndone\n"},
        BatchCase{"meet", "exec lab_meet 50 select 1", "meet 50\ndone more\ncolumns \nrow 1\ndone count=1\n"},
        BatchCase{"meet_nobody", "exec lab_meet 0", "error 50000 lab_meet N: N from 1 to 1000\ndone error\n"},
        BatchCase{"error", "exec lab_error 1205, 13, 'deadlock'", "error 1205 deadlock\ndone error\n"},
        BatchCase{"echo", "lab_echo 1, 'two'", "columns p1,p2\nrow 1|two\ndone count=1\n"},
        BatchCase{"unknown_table", "select * from customers",
                  "error 208 Invalid object name 'customers'.\ndone error\n"},
        BatchCase{"unknown_column", "select nonsense from sys.dm_exec_connections",
                  "error 207 Invalid column name 'nonsense'.\ndone error\n"},
        BatchCase{"unknown_procedure", "exec dbo.nothing",
                  "error 2812 Could not find stored procedure 'nothing'.\ndone error\n"},
        BatchCase{"unknown_batch", "grant all to public",
                  "error 50000 the lab does not know this batch: grant all to public\ndone error\n"},
        BatchCase{
            "error_after_a_result", "select 1; nonsense",
            "columns \nrow 1\ndone more count=1\nerror 50000 the lab does not know this batch: select 1; "
            "nonsense\ndone error\n"}),
    [](const auto &info) { return info.param.name; });

TEST(Batch, transactions_change_the_count_and_the_environment) {
  auto session = session_of();
  const auto run = [&](std::string_view sql) {
    return Reading(answer_batch(request(sql), session), session.version).text();
  };
  EXPECT_EQ(run("BEGIN TRAN"), "env 8\ndone\n");
  EXPECT_EQ(run("select @@trancount"), "columns \nrow 1\ndone count=1\n");
  EXPECT_EQ(run("IF @@TRANCOUNT > 0 COMMIT TRAN"), "env 9\ndone more\ndone\n");
  EXPECT_THAT(run("rollback"), HasSubstr("error 3903"));
}

TEST(Batch, survives_every_cut_of_a_long_request) {
  const auto whole = request(
      "select a from sys.dm_exec_connections where session_id=@@spid set textsize 3 exec lab_rows (1+(2)), 'x'");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto session = session_of();
    EXPECT_FALSE(answer_batch(tds::ByteView(whole).first(size), session).empty());
  }
}

TEST(Batch, deep_nesting_is_refused_not_followed) {
  EXPECT_THAT(answer_of("select " + std::string(100000, '(') + "1"), HasSubstr("error 50000"));
}

TEST(Batch, tables_keep_what_was_put_in_and_transactions_take_it_back) {
  auto session = session_of();
  const auto run = [&](std::string_view sql) {
    return Reading(answer_batch(request(sql), session), session.version).text();
  };
  EXPECT_EQ(run("create table #t (id int, name nvarchar(10))"), "done\n");
  EXPECT_EQ(run("insert into #t values (2, 'b'), (1, 'a')"), "done count=2\n");
  EXPECT_EQ(run("select * from #t order by id"), "columns id,name\nrow 1|a\nrow 2|b\ndone count=2\n");
  EXPECT_EQ(
      run("begin tran delete from #t where id = 1 save tran s update #t set name = 'x' rollback tran s"),
      "env 8\ndone more\ndone more count=1\ndone more\ndone more count=1\ndone\n");
  EXPECT_EQ(run("select name from #t"), "columns name\nrow b\ndone count=1\n");
  EXPECT_EQ(run("rollback select count(*) as n from #t"),
            "env 10\ndone more\ncolumns n\nrow 2\ndone count=1\n");
  reset(session);
  EXPECT_THAT(run("select * from #t"), HasSubstr("error 208"));
}

TEST(Batch, implicit_transactions_begin_with_the_first_table) {
  auto session = session_of();
  const auto run = [&](std::string_view sql) {
    return Reading(answer_batch(request(sql), session), session.version).text();
  };
  EXPECT_EQ(run("set implicit_transactions on select 1"), "done more\ncolumns \nrow 1\ndone count=1\n");
  EXPECT_EQ(run("create table t (a int)"), "env 8\ndone\n");
  EXPECT_EQ(run("if @@trancount > 0 rollback tran"), "env 10\ndone more\ndone\n");
  EXPECT_THAT(run("drop table t"), HasSubstr("error 3701"));
}

TEST(Batch, errors_of_a_try_are_caught) {
  EXPECT_EQ(answer_of("begin try select 1/0 end try begin catch select error_number() as n end catch"),
            "columns n\nrow 8134\ndone count=1\n");
}

TEST(Batch, a_procedure_that_calls_itself_ends) {
  EXPECT_THAT(answer_of("declare @s nvarchar(200) = 'exec sp_executesql @s, N''@s nvarchar(200)'', @s' "
                        "exec sp_executesql @s, N'@s nvarchar(200)', @s"),
              HasSubstr("error 217"));
}

/// An RPC request built by hand: sp_executesql and its like.
class Rpc {
public:
  explicit Rpc(std::uint16_t procedure) {
    out_.u32_le(4);
    out_.u16_le(0xFFFF);
    out_.u16_le(procedure);
    out_.u16_le(0);
  }
  Rpc &text(std::u16string_view name, std::u16string_view value) {
    head(name, 0);
    out_.u8(0xE7);
    out_.u16_le(8000);
    out_.append(collation);
    out_.u16_le(static_cast<std::uint16_t>(value.size() * 2));
    out_.utf16(value);
    return *this;
  }
  Rpc &number(std::u16string_view name, std::int32_t value, bool output = false) {
    head(name, output);
    out_.u8(0x26), out_.u8(4), out_.u8(4);
    out_.u32_le(static_cast<std::uint32_t>(value));
    return *this;
  }
  Rpc &next(std::uint16_t procedure) {
    out_.u8(0xFF);
    out_.u16_le(0xFFFF), out_.u16_le(procedure), out_.u16_le(0);
    return *this;
  }
  const tds::Bytes &bytes() const { return out_.bytes(); }

private:
  void head(std::u16string_view name, bool output) {
    out_.u8(static_cast<std::uint8_t>(name.size()));
    out_.utf16(name);
    out_.u8(output);
  }
  tds::Writer out_;
};

std::string answer_of(const Rpc &rpc, Session &session) {
  return Reading(answer_rpc(rpc.bytes(), session), session.version).text();
}

TEST(RpcAnswer, executesql_knows_its_parameters) {
  auto session = session_of();
  EXPECT_EQ(answer_of(Rpc(10)
                          .text(u"", u"select @a, @b as b")
                          .text(u"", u"@a int, @b nvarchar(10)")
                          .number(u"", 42)
                          .text(u"@b", u"text"),
                      session),
            "columns ,b\nrow 42|text\ndoneinproc more count=1\nstatus 0\ndoneproc\n");
}

TEST(RpcAnswer, a_prepared_statement_runs_by_its_handle_until_it_is_dropped) {
  auto session = session_of();
  EXPECT_EQ(
      answer_of(Rpc(11).number(u"@handle", 0, true).text(u"", u"@p int").text(u"", u"select @p"), session),
      "status 0\nreturned @handle=1\ndoneproc\n");
  EXPECT_EQ(answer_of(Rpc(12).number(u"", 1).number(u"", 7), session),
            "columns \nrow 7\ndoneinproc more count=1\nstatus 0\ndoneproc\n");
  EXPECT_EQ(answer_of(Rpc(15).number(u"", 1), session), "status 0\ndoneproc\n");
  EXPECT_THAT(answer_of(Rpc(12).number(u"", 1), session), HasSubstr("error 8179"));
}

TEST(RpcAnswer, several_calls_in_one_message_have_a_reply_each) {
  auto session = session_of();
  EXPECT_EQ(answer_of(Rpc(10).text(u"", u"select 1").next(10).text(u"", u"select 2"), session),
            "columns \nrow 1\ndoneinproc more count=1\nstatus 0\ndoneproc more\n"
            "columns \nrow 2\ndoneinproc more count=1\nstatus 0\ndoneproc\n");
}

TEST(RpcAnswer, survives_every_cut) {
  const auto whole =
      Rpc(13).number(u"@handle", 0, true).text(u"", u"@p int").text(u"", u"select @p").number(u"", 7).bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto session = session_of();
    EXPECT_FALSE(answer_rpc(tds::ByteView(whole).first(size), session).empty());
  }
}

TEST(TransactionRequest, begins_commits_and_rolls_back) {
  auto session = session_of();
  const auto run = [&](std::uint16_t type, std::initializer_list<std::uint8_t> rest) {
    tds::Writer out;
    out.u32_le(4);
    out.u16_le(type);
    for (const auto byte : rest)
      out.u8(byte);
    return Reading(answer_transaction(out.bytes(), session), session.version).text();
  };
  EXPECT_EQ(run(5, {2, 0}), "env 8\ndone\n");
  EXPECT_EQ(session.transactions, 1);
  EXPECT_EQ(run(7, {0, 1, 0, 0}), "env 9\nenv 8\ndone\n"); // commit, and begin the next
  EXPECT_EQ(run(8, {0, 0}), "env 10\ndone\n");
  EXPECT_THAT(run(7, {0, 0}), HasSubstr("error 3902"));
}

} // namespace
} // namespace lab
