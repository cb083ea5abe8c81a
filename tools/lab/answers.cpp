#include "tools/lab/answers.hpp"

#include "tools/lab/rowset.hpp"
#include "tools/lab/sql_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>
#include <functional>

namespace lab {
namespace {

constexpr std::uint16_t command_select = 0x00C1;
constexpr std::uint32_t lab_error_number = 50000;
constexpr std::uint8_t token_returnstatus = 0x79;
constexpr std::uint8_t token_returnvalue = 0xAC;
constexpr std::uint8_t env_begin = 8;
constexpr std::uint8_t env_commit = 9;
constexpr std::uint8_t env_rollback = 10;

/// Ends the reading of a request; becomes an ERROR of the reply. It never leaves this file.
struct Refusal {
  std::uint32_t number = lab_error_number;
  std::uint8_t severity = 16;
  std::string text;
};

template <class T> T need(tds::Result<T> read) {
  if (!read) throw Refusal{.text = "the lab cannot read this request: " + read.error().text()};
  return std::move(*read);
}

using Parameters = std::vector<Cell>; // name with its @, and value

// ---------------------------------------------------------------------------------------------------------------- reply

/// Collects the steps of a reply and knows how its statements end: DONE in a batch, DONEINPROC inside a procedure.
class Reply {
public:
  Reply(const Session &session, bool in_procedure) : session_(session), in_procedure_(in_procedure) {}

  void token(const tds::Token &token) { tds::encode_token(content(), token, session_.version); }
  void error(const Refusal &refusal) {
    token(server_message(session_, refusal.number, refusal.severity, refusal.text));
    failed_ = true;
  }

  void rows(const std::vector<Cell> &cells, bool any = true) {
    append_columns(content(), cells, session_.version);
    if (any) append_row(out_, cells);
    end(command_select, any ? 1 : 0);
  }
  void generated(GeneratedRows rows) {
    append_generated_columns(content(), rows.bytes, session_.version);
    step(rows);
    end(command_select, rows.count);
  }
  void wait(Wait wait) { step(wait), end(); }
  /// The end of one statement. The last of a batch loses its MORE bit in finish().
  void end(std::uint16_t command = 0, std::optional<std::uint64_t> count = {}) {
    content();
    done_ = tds::Done{in_procedure_ ? tds::DoneKind::doneinproc : tds::DoneKind::done,
                      static_cast<std::uint16_t>(count ? tds::done_count : 0), command, count.value_or(0)};
  }
  /// The end of a procedure that was called by RPC.
  void end_procedure(std::int32_t status, const Parameters &outputs, bool more) {
    content().u8(token_returnstatus);
    out_.u32_le(static_cast<std::uint32_t>(status));
    std::uint16_t ordinal = 0;
    for (const auto &output : outputs) {
      out_.u8(token_returnvalue);
      out_.u16_le(ordinal++);
      append_b_varchar(out_, output.name);
      out_.u8(0x01); // an OUTPUT parameter
      append_user_type(out_, session_.version);
      append_type(out_, output.value, session_.version);
      append_value(out_, output.value);
    }
    done_ = tds::Done{tds::DoneKind::doneproc, 0, 0, 0};
    flush_done(more);
  }
  Answer finish() {
    if (!done_ && steps_.empty() && out_.size() == 0) done_ = tds::Done{};
    if (!done_ && failed_) done_ = tds::Done{};
    flush_done(false);
    flush();
    return std::move(steps_);
  }

private:
  /// Where the next statement writes: what it writes shows that the DONE before it was not the last.
  tds::Writer &content() {
    flush_done(true);
    return out_;
  }
  void step(AnswerStep step) {
    content();
    flush();
    steps_.push_back(std::move(step));
  }
  void flush_done(bool more) {
    if (!done_) return;
    if (more) done_->status |= tds::done_more;
    if (std::exchange(failed_, false)) done_->status |= tds::done_error;
    tds::encode_token(out_, *done_, session_.version);
    done_.reset();
  }
  void flush() {
    if (out_.size() > 0) steps_.push_back(std::exchange(out_, tds::Writer()).bytes());
  }

  const Session &session_;
  bool in_procedure_;
  bool failed_ = false;
  tds::Writer out_;
  std::optional<tds::Done> done_; // kept back until it is known whether more follows
  Answer steps_;
};

// --------------------------------------------------------------------------------------------------------- transactions

void env_transaction(Reply &reply, std::uint8_t type, std::uint64_t fresh, std::uint64_t old) {
  const auto append = [&](tds::Writer &out, std::uint64_t descriptor) {
    out.u8(descriptor ? 8 : 0);
    if (descriptor) out.u64_le(descriptor);
  };
  tds::Writer data;
  append(data, fresh);
  append(data, old);
  reply.token(tds::EnvChange{static_cast<tds::EnvChangeType>(type), std::move(data).bytes()});
}

void begin(Reply &reply, Session &session) {
  if (++session.transactions > 1) return;
  session.transaction = 0x0000003400000000u + session.spid;
  if (session.version.at_least_7_2()) env_transaction(reply, env_begin, session.transaction, 0);
}

void end_transaction(Reply &reply, Session &session, std::uint8_t type) {
  if (session.transactions == 0)
    throw Refusal{.number = type == env_commit ? 3902u : 3903u,
                  .text = fmt::format("The {} TRANSACTION request has no corresponding BEGIN TRANSACTION.",
                                      type == env_commit ? "COMMIT" : "ROLLBACK")};
  session.transactions = type == env_commit ? session.transactions - 1 : 0;
  if (session.transactions > 0) return;
  if (session.version.at_least_7_2()) env_transaction(reply, type, 0, session.transaction);
  session.transaction = 0;
}

// ---------------------------------------------------------------------------------------------------------------- facts

constexpr auto product_version = "16.0.1000.6";

Value text(std::string_view value) { return tds::to_utf16(value); }
Value number(std::int64_t value) { return value; }

using Fact = Value (*)(const Session &);
struct NamedFact {
  std::string_view name;
  Fact value;
};

template <std::size_t N> const NamedFact *find(const std::array<NamedFact, N> &facts, std::string_view name) {
  const auto found = std::ranges::find(facts, name, &NamedFact::name);
  return found == facts.end() ? nullptr : &*found;
}

constexpr auto variables = std::to_array<NamedFact>({
    {"@@version",
     [](const Session &) {
       return text(fmt::format("Microsoft SQL Server 2022 - {} (sqlshim lab, no real server)", product_version));
     }},
    {"@@servername", [](const Session &s) { return text(s.server_name); }},
    {"@@servicename", [](const Session &) { return text("MSSQLSERVER"); }},
    {"@@spid", [](const Session &s) { return number(s.spid); }},
    {"@@trancount", [](const Session &s) { return number(s.transactions); }},
    {"@@max_precision", [](const Session &) { return number(38); }},
    {"@@rowcount", [](const Session &) { return number(1); }},
    {"@@error", [](const Session &) { return number(0); }},
    {"@@identity", [](const Session &) { return Value(); }},
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
    {"scope_identity", [](const Session &) { return Value(); }},
    {"getdate", [](const Session &) { return text("2026-01-01 00:00:00.000"); }},
});

/// Functions that may be written without parentheses.
constexpr auto niladic = std::to_array<NamedFact>({
    {"system_user", [](const Session &s) { return text(s.login); }},
    {"current_user", [](const Session &) { return text("dbo"); }},
    {"session_user", [](const Session &) { return text("dbo"); }},
    {"user", [](const Session &) { return text("dbo"); }},
    {"null", [](const Session &) { return Value(); }},
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
constexpr auto connections_view = std::to_array<NamedFact>({
    {"session_id", [](const Session &s) { return number(s.spid); }},
    {"net_transport", [](const Session &) { return text("TCP"); }},
    {"protocol_type", [](const Session &) { return text("TSQL"); }},
    {"auth_scheme", [](const Session &s) { return text(s.auth_scheme); }},
    {"encrypt_option", [](const Session &) { return text("FALSE"); }},
    {"net_packet_size", [](const Session &s) { return number(s.packet_size); }},
    {"client_net_address", [](const Session &s) { return text(s.client_address); }},
    {"client_tcp_port", [](const Session &s) { return number(s.client_port); }},
    {"local_net_address", [](const Session &s) { return text(s.local_address); }},
    {"local_tcp_port", [](const Session &s) { return number(s.local_port); }},
});

/// sys.dm_exec_sessions, one row: this session.
constexpr auto sessions_view = std::to_array<NamedFact>({
    {"session_id", [](const Session &s) { return number(s.spid); }},
    {"login_name", [](const Session &s) { return text(s.login); }},
    {"original_login_name", [](const Session &s) { return text(s.login); }},
    {"host_name", [](const Session &s) { return text(s.host_name); }},
    {"program_name", [](const Session &s) { return text(s.app_name); }},
    {"host_process_id", [](const Session &s) { return number(s.client_pid); }},
    {"client_interface_name", [](const Session &s) { return text(s.client_interface); }},
    {"transaction_isolation_level", [](const Session &) { return number(2); }},
});

/// "00:00:05" or "00:00:05.250", at most a day.
Wait parse_delay(const std::string &text) {
  int hours = 0, minutes = 0;
  double seconds = 0;
  if (std::sscanf(text.c_str(), "%d:%d:%lf", &hours, &minutes, &seconds) < 2 || hours < 0 || minutes < 0 ||
      seconds < 0 || hours > 24)
    throw Refusal{.number = 148,
                  .text = fmt::format("Incorrect time syntax in time string '{}' used with WAITFOR.", text)};
  return {std::chrono::milliseconds(hours * 3'600'000LL + minutes * 60'000LL + static_cast<long long>(seconds * 1000))};
}

// ----------------------------------------------------------------------------------------------------------- procedures

void call_procedure(Reply &reply, std::string name, const Parameters &arguments, Session &session);

std::int64_t argument_number(const Parameters &arguments, std::size_t index, std::int64_t otherwise) {
  if (index >= arguments.size()) return otherwise;
  const auto value = number_of(arguments[index].value);
  if (!value) throw Refusal{.number = 8114, .text = fmt::format("argument {} must be a whole number", index + 1)};
  return *value;
}

void lab_rows(Reply &reply, const Parameters &arguments) {
  const auto count = argument_number(arguments, 0, 1);
  const auto bytes = argument_number(arguments, 1, 10);
  if (count < 0 || bytes < 0 || bytes > static_cast<std::int64_t>(largest_filler))
    throw Refusal{.text = fmt::format("lab_rows N, BYTES: N from 0 on, BYTES from 0 to {}", largest_filler)};
  reply.generated({static_cast<std::uint64_t>(count), static_cast<std::size_t>(bytes)});
}

void lab_error(Reply &reply, const Parameters &arguments) {
  const auto error_number = static_cast<std::uint32_t>(argument_number(arguments, 0, lab_error_number));
  const auto severity = static_cast<std::uint8_t>(std::clamp<std::int64_t>(argument_number(arguments, 1, 16), 0, 25));
  const auto words = arguments.size() > 2 ? tds::to_utf8(text_of(arguments[2].value)) : std::string("lab_error");
  reply.error({error_number, severity, words});
  reply.end();
}

// --------------------------------------------------------------------------------------------------------------- batches

/// Reads the words of a batch statement by statement and answers each as it goes.
class Batch {
public:
  Batch(std::string_view sql, const Parameters &parameters, Session &session, Reply &reply)
      : sql_(sql), words_(cut(sql)), parameters_(parameters), session_(session), reply_(reply) {}

  void answer() {
    try {
      while (at_ < words_.size())
        if (!take(";")) statement(true);
    } catch (const Refusal &refusal) { // as in SQL Server, an error of this class ends the batch
      reply_.error(refusal);
      reply_.end();
    }
  }

private:
  // -- words
  const Word *peek(std::size_t ahead = 0) const { return at_ + ahead < words_.size() ? &words_[at_ + ahead] : nullptr; }
  bool is(std::string_view lower, std::size_t ahead = 0) const { return peek(ahead) && peek(ahead)->lower == lower; }
  bool take(std::string_view lower) { return is(lower) && ++at_; }
  bool take_any(std::initializer_list<std::string_view> choices) {
    return std::ranges::any_of(choices, [&](auto choice) { return take(choice); });
  }
  const Word &next() {
    if (!peek()) throw unknown();
    return words_[at_++];
  }
  void need(std::string_view lower) {
    if (!take(lower)) throw unknown();
  }
  Refusal unknown() const {
    const auto end = std::min<std::size_t>(sql_.find_last_not_of(" \t\r\n") + 1, 400);
    return {.text = "the lab does not know this batch: " + sql_.substr(0, end)};
  }
  bool name_follows() const {
    return peek() && (peek()->kind == Word::Kind::name || peek()->kind == Word::Kind::quoted_name);
  }
  /// a.b.c, in lower case, without brackets.
  std::string qualified_name() {
    if (!name_follows()) throw unknown();
    std::string name = lower_case(next().text);
    while (is(".")) {
      while (take(".")) {
      }
      if (!name_follows()) throw unknown();
      name += "." + lower_case(next().text);
    }
    return name;
  }

  // -- statements
  void statement(bool run) {
    static const std::map<std::string_view, void (Batch::*)(bool)> table = {
        {"select", &Batch::select},     {"set", &Batch::set},
        {"use", &Batch::use},           {"begin", &Batch::begin_tran},
        {"commit", &Batch::commit},     {"rollback", &Batch::rollback},
        {"save", &Batch::save},         {"if", &Batch::conditional},
        {"while", &Batch::conditional}, {"print", &Batch::print},
        {"waitfor", &Batch::wait},      {"exec", &Batch::execute},
        {"execute", &Batch::execute},   {"insert", &Batch::insert_bulk},
    };
    if (const auto *first = peek(); first) {
      if (const auto known = table.find(first->lower); known != table.end()) {
        ++at_;
        return (this->*known->second)(run);
      }
      if (at_ == 0 && first->kind == Word::Kind::name) return execute(run); // a batch may begin with a procedure's name
    }
    throw unknown();
  }

  void set(bool run) {
    if (take("transaction")) {
      need("isolation"), need("level");
      if (take("read") || take("repeatable"))
        next();
      else if (!take_any({"snapshot", "serializable"}))
        throw unknown();
    } else {
      if (take("identity_insert"))
        qualified_name();
      else
        do
          next();
        while (take(","));
      take("="), take("-"), take("+");
      next(); // on, off, a number, a name
    }
    if (run) reply_.end();
  }

  void use(bool run) {
    const auto name = next().text;
    if (!run) return;
    const auto old = std::exchange(session_.database, name);
    tds::Writer data;
    append_b_varchar(data, name);
    append_b_varchar(data, old);
    reply_.token(tds::EnvChange{tds::EnvChangeType::database, std::move(data).bytes()});
    reply_.token(server_message(session_, 5701, 10, fmt::format("Changed database context to '{}'.", name), 2));
    reply_.end();
  }

  void begin_tran(bool run) {
    if (!take_any({"tran", "transaction"})) throw unknown();
    transaction_name();
    if (!run) return;
    begin(reply_, session_);
    reply_.end();
  }
  void commit(bool run) { finish_tran(run, env_commit); }
  void rollback(bool run) { finish_tran(run, env_rollback); }
  void finish_tran(bool run, std::uint8_t type) {
    if (take_any({"tran", "transaction"}))
      transaction_name();
    else
      take("work");
    if (!run) return;
    end_transaction(reply_, session_, type);
    reply_.end();
  }
  void save(bool run) {
    if (!take_any({"tran", "transaction"})) throw unknown();
    next();
    if (run) reply_.end();
  }
  /// A name may follow TRAN, and so may the next statement: names that are statements' first words are not names.
  void transaction_name() {
    static constexpr std::array<std::string_view, 11> starts = {
        "select", "set", "use", "begin", "commit", "rollback", "if", "while", "exec", "print", "save"};
    if (name_follows() && std::ranges::find(starts, peek()->lower) == starts.end()) next();
  }

  /// IF and WHILE: the lab's statements end what the condition asks for (@@TRANCOUNT > 0), so once is enough.
  void conditional(bool run) {
    const bool holds = condition();
    statement(run && holds);
    if (take("else")) statement(run && !holds);
    if (run) reply_.end();
  }
  bool condition() {
    const auto left = expression();
    bool negated = false;
    char comparison = '=';
    if (take("<"))
      comparison = take(">") ? '!' : '<';
    else if (take(">"))
      comparison = '>';
    else if (take("!"))
      comparison = '!', need("=");
    else if (take("is")) {
      negated = take("not");
      need("null");
      return std::holds_alternative<std::monostate>(left) != negated;
    } else
      need("=");
    const bool or_equal = (comparison == '<' || comparison == '>') && take("=");
    const auto right = expression();
    const auto a = number_of(left), b = number_of(right);
    const auto order = a && b ? *a <=> *b : text_of(left) <=> text_of(right);
    bool holds = comparison == '='   ? order == 0
                 : comparison == '!' ? order != 0
                 : comparison == '<' ? order < 0
                                     : order > 0;
    holds |= or_equal && order == 0;
    return take("and") ? condition() && holds : holds;
  }

  void print(bool run) {
    const auto words = tds::to_utf8(text_of(expression()));
    if (!run) return;
    reply_.token(server_message(session_, 0, 0, words));
    reply_.end();
  }

  void wait(bool run) {
    need("delay");
    const auto delay = parse_delay(next().text);
    if (run) reply_.wait(delay);
  }

  void insert_bulk(bool run) {
    need("bulk");
    at_ = words_.size(); // the column list matters to nobody here: rows are thrown away
    if (run) reply_.end();
  }

  void execute(bool run) {
    auto name = qualified_name();
    Parameters arguments;
    while (peek() && !is(";") && !is("go")) {
      std::string label;
      if (peek()->kind == Word::Kind::name && peek()->text.starts_with('@') && is("=", 1)) label = next().text, next();
      arguments.push_back({label, expression()});
      take_any({"output", "out"});
      if (!take(",")) break;
    }
    if (run) call_procedure(reply_, std::move(name), arguments, session_);
  }

  // -- SELECT
  void select(bool run) {
    const auto first = at_;
    const auto view = view_of_select(first);
    if (take("top")) {
      const bool open = take("(");
      next();
      if (open) need(")");
    }
    columns_ = view;
    std::vector<Cell> cells;
    do
      cells.push_back(column());
    while (take(","));
    bool any = true;
    if (take("from")) {
      qualified_name();
      if (take("as"))
        next();
      else if (name_follows() && !is("where") && !is("order"))
        next();
    }
    if (take("where")) any = condition();
    columns_ = nullptr;
    if (run) reply_.rows(cells, any);
  }

  using View = const NamedFact *(*)(std::string_view);
  /// The columns that names in this SELECT mean: they stand before the FROM that explains them.
  View view_of_select(std::size_t first) const {
    for (auto index = first; index + 1 < words_.size(); ++index) {
      if (words_[index].lower != "from") continue;
      std::string table;
      for (auto part = index + 1; part < words_.size() && part < index + 6; ++part)
        table += lower_case(words_[part].text);
      if (table.contains("dm_exec_connections"))
        return [](std::string_view name) { return find(connections_view, name); };
      if (table.contains("dm_exec_sessions")) return [](std::string_view name) { return find(sessions_view, name); };
      throw Refusal{.number = 208, .text = fmt::format("Invalid object name '{}'.", words_[index + 1].text)};
    }
    return nullptr;
  }

  Cell column() {
    const bool single = name_follows();
    const auto first = at_;
    Cell cell{{}, expression()};
    // A bare column gives the result its name, as in SQL Server; an expression has none.
    if (single && at_ == first + 1 && columns_ && columns_(lower_case(words_[first].text)))
      cell.name = words_[first].text;
    static constexpr std::array<std::string_view, 14> follows = {"from", "where",   "order", "select",   "set",
                                                                 "if",   "commit",  "begin", "rollback", "exec",
                                                                 "use",  "waitfor", "while", "print"};
    if (take("as"))
      cell.name = next().text;
    else if (name_follows() && std::ranges::find(follows, peek()->lower) == follows.end())
      cell.name = next().text;
    return cell;
  }

  // -- expressions
  Value expression() {
    auto value = operand();
    while (is("+") || is("-") || is("*")) {
      const char sign = next().text[0];
      const auto right = operand();
      const auto a = number_of(value), b = number_of(right);
      std::int64_t result = 0;
      if (!a || !b) {
        if (sign != '+') throw unknown();
        value = text_of(value) + text_of(right);
        continue;
      }
      const bool overflow = sign == '+'   ? __builtin_add_overflow(*a, *b, &result)
                            : sign == '-' ? __builtin_sub_overflow(*a, *b, &result)
                                          : __builtin_mul_overflow(*a, *b, &result);
      if (overflow)
        throw Refusal{.number = 8115, .text = "Arithmetic overflow error converting expression to data type bigint."};
      value = result;
    }
    return value;
  }

  Value operand() {
    if (depth_ >= 64) throw unknown(); // nested parentheses come from outside
    ++depth_;
    auto value = simple_operand();
    --depth_;
    return value;
  }

  Value simple_operand() {
    if (take("(")) {
      auto value = expression();
      need(")");
      return value;
    }
    if (take("-")) {
      const auto value = number_of(operand());
      if (!value || *value == INT64_MIN) throw unknown();
      return -*value;
    }
    const Word word = next();
    if (word.kind == Word::Kind::string) return text(word.text);
    if (word.kind == Word::Kind::number) return literal(word.text);
    if (word.kind == Word::Kind::symbol) throw unknown();
    if (is("(") && !word.lower.empty()) return call(word.lower);
    if (word.text.starts_with("@@")) {
      const auto *fact = find(variables, word.lower);
      if (!fact) throw unknown();
      return fact->value(session_);
    }
    if (word.text.starts_with("@")) return parameter(word.text);
    if (columns_ && is(".")) { // an alias before the column: c.auth_scheme
      next();
      return column_value(lower_case(next().text));
    }
    if (const auto *fact = find(niladic, word.lower)) return fact->value(session_);
    return column_value(lower_case(word.text));
  }

  Value literal(const std::string &digits) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) throw unknown();
    return value;
  }

  Value column_value(const std::string &name) const {
    if (!columns_) throw unknown();
    const auto *fact = columns_(name);
    if (!fact) throw Refusal{.number = 207, .text = fmt::format("Invalid column name '{}'.", name)};
    return fact->value(session_);
  }

  Value parameter(const std::string &name) const {
    const auto found =
        std::ranges::find_if(parameters_, [&](const Cell &cell) { return lower_case(cell.name) == lower_case(name); });
    if (found == parameters_.end())
      throw Refusal{
          .number = 137, .severity = 15, .text = fmt::format("Must declare the scalar variable \"{}\".", name)};
    return found->value;
  }

  Value call(const std::string &function) {
    need("(");
    if (function == "cast") {
      auto value = expression();
      need("as");
      value = convert(value, type_name());
      need(")");
      return value;
    }
    if (function == "convert") {
      const auto type = type_name();
      need(",");
      auto value = convert(expression(), type);
      if (take(",")) expression(); // the style, which changes none of the lab's types
      need(")");
      return value;
    }
    std::vector<Value> arguments;
    while (!is(")")) {
      arguments.push_back(expression());
      if (!take(",")) break;
    }
    need(")");
    if (function == "isnull" || function == "coalesce") {
      for (const auto &argument : arguments)
        if (!std::holds_alternative<std::monostate>(argument)) return argument;
      return {};
    }
    if (function == "serverproperty" || function == "connectionproperty") {
      const auto key = arguments.empty() ? std::string() : lower_case(tds::to_utf8(text_of(arguments[0])));
      const auto *fact = function == "serverproperty" ? find(server_properties, key) : find(connections_view, key);
      return fact ? fact->value(session_) : Value(); // an unknown property is NULL, as in SQL Server
    }
    const auto *fact = find(functions, function);
    if (!fact)
      throw Refusal{.number = 195,
                    .severity = 15,
                    .text = fmt::format("'{}' is not a recognized built-in function name.", function)};
    return fact->value(session_);
  }

  /// nvarchar(max), int, decimal(10, 2): the name alone.
  std::string type_name() {
    auto name = lower_case(next().text);
    if (take("(")) {
      while (peek() && !is(")"))
        next();
      need(")");
    }
    return name;
  }
  Value convert(const Value &value, const std::string &type) const {
    if (std::holds_alternative<std::monostate>(value)) return value;
    if (type.contains("int") || type == "bit") {
      if (const auto whole = number_of(value)) return *whole;
      return literal(tds::to_utf8(text_of(value)));
    }
    if (type.contains("char") || type == "sysname") return text_of(value);
    throw unknown();
  }

  std::string sql_;
  std::vector<Word> words_;
  std::size_t at_ = 0;
  int depth_ = 0;
  View columns_ = nullptr;
  const Parameters &parameters_;
  Session &session_;
  Reply &reply_;
};

// ------------------------------------------------------------------------------------------------------------------ RPC

/// ALL_HEADERS (MS-TDS 2.2.5.3), which precede every request since TDS 7.2.
void skip_headers(tds::Reader &in, const Session &session) {
  if (!session.version.at_least_7_2()) return;
  const auto total = need(in.u32_le("TotalLength"));
  if (total < 4)
    throw Refusal{.text = "the lab cannot read this request: ALL_HEADERS is shorter than its own length field"};
  need(in.take(total - 4, "Headers"));
}

/// The chunks of a PLP value (MS-TDS 2.2.5.2.3), joined; nullopt is NULL.
std::optional<tds::Bytes> read_chunks(tds::Reader &in) {
  constexpr std::uint64_t null = ~std::uint64_t{0};
  if (need(in.u64_le("PLP length")) == null) return std::nullopt;
  tds::Bytes joined;
  while (const auto size = need(in.u32_le("PLP chunk length"))) {
    const auto chunk = need(in.take(size, "PLP chunk"));
    joined.insert(joined.end(), chunk.begin(), chunk.end());
  }
  return joined;
}

std::u16string utf16_of(tds::ByteView bytes) {
  std::u16string result;
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2)
    result.push_back(static_cast<char16_t>(bytes[at] | bytes[at + 1] << 8));
  return result;
}

std::u16string text_from(std::uint8_t type, tds::ByteView bytes) {
  const bool wide = type == 0xE7 || type == 0xEF || type == 0x63;
  return wide ? utf16_of(bytes) : tds::to_utf16({reinterpret_cast<const char *>(bytes.data()), bytes.size()});
}

std::int64_t integer_from(tds::ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t at = bytes.size(); at-- > 0;)
    value = value << 8 | bytes[at];
  if (bytes.size() == 1) return static_cast<std::int64_t>(value); // TINYINT has no sign
  const auto unused = 64 - 8 * bytes.size();
  return static_cast<std::int64_t>(value << unused) >> unused;
}

/// How the type of a parameter is written (MS-TDS 2.2.5.4): what follows the type byte, and how a value says its length.
struct TypeShape {
  enum class Length { fixed, one_byte, two_bytes, four_bytes } length{};
  std::size_t size = 0;  ///< of a value of fixed length
  std::size_t extra = 0; ///< bytes after the type byte: size, or precision and scale
  bool text = false;     ///< a collation follows, since TDS 7.1
  bool integer = false;
};

const TypeShape &shape_of(std::uint8_t type) {
  using enum TypeShape::Length;
  static const std::map<std::uint8_t, TypeShape> shapes = {
      {0x1F, {.length = fixed, .size = 0}},                      // NULL
      {0x30, {.length = fixed, .size = 1, .integer = true}},     // TINYINT
      {0x32, {.length = fixed, .size = 1, .integer = true}},     // BIT
      {0x34, {.length = fixed, .size = 2, .integer = true}},     // SMALLINT
      {0x38, {.length = fixed, .size = 4, .integer = true}},     // INT
      {0x7F, {.length = fixed, .size = 8, .integer = true}},     // BIGINT
      {0x3A, {.length = fixed, .size = 4}},                      // SMALLDATETIME
      {0x3B, {.length = fixed, .size = 4}},                      // REAL
      {0x7A, {.length = fixed, .size = 4}},                      // SMALLMONEY
      {0x3C, {.length = fixed, .size = 8}},                      // MONEY
      {0x3D, {.length = fixed, .size = 8}},                      // DATETIME
      {0x3E, {.length = fixed, .size = 8}},                      // FLOAT
      {0x26, {.length = one_byte, .extra = 1, .integer = true}}, // INTN
      {0x68, {.length = one_byte, .extra = 1, .integer = true}}, // BITN
      {0x24, {.length = one_byte, .extra = 1}},                  // GUID
      {0x6D, {.length = one_byte, .extra = 1}},                  // FLTN
      {0x6E, {.length = one_byte, .extra = 1}},                  // MONEYN
      {0x6F, {.length = one_byte, .extra = 1}},                  // DATETIMN
      {0x28, {.length = one_byte, .extra = 0}},                  // DATEN
      {0x29, {.length = one_byte, .extra = 1}},                  // TIMEN
      {0x2A, {.length = one_byte, .extra = 1}},                  // DATETIME2N
      {0x2B, {.length = one_byte, .extra = 1}},                  // DATETIMEOFFSETN
      {0x6A, {.length = one_byte, .extra = 3}},                  // DECIMALN
      {0x6C, {.length = one_byte, .extra = 3}},                  // NUMERICN
      {0xA5, {.length = two_bytes, .extra = 2}},                 // VARBINARY
      {0xAD, {.length = two_bytes, .extra = 2}},                 // BINARY
      {0xA7, {.length = two_bytes, .extra = 2, .text = true}},   // VARCHAR
      {0xAF, {.length = two_bytes, .extra = 2, .text = true}},   // CHAR
      {0xE7, {.length = two_bytes, .extra = 2, .text = true}},   // NVARCHAR
      {0xEF, {.length = two_bytes, .extra = 2, .text = true}},   // NCHAR
      {0x23, {.length = four_bytes, .extra = 4, .text = true}},  // TEXT
      {0x63, {.length = four_bytes, .extra = 4, .text = true}},  // NTEXT
  };
  const auto shape = shapes.find(type);
  if (shape == shapes.end())
    throw Refusal{.text = fmt::format("the lab does not know parameters of type 0x{:02X}", type)};
  return shape->second;
}

/// The bytes of a value, by the length in front of it; nullopt is NULL.
std::optional<tds::Bytes> read_bytes(tds::Reader &in, const TypeShape &shape, bool chunked) {
  const auto taken = [&](std::size_t size) -> tds::Bytes {
    const auto bytes = need(in.take(size, "value"));
    return {bytes.begin(), bytes.end()};
  };
  switch (shape.length) {
  case TypeShape::Length::fixed:
    return taken(shape.size);
  case TypeShape::Length::one_byte: {
    const auto size = need(in.u8("value length"));
    return size ? std::optional(taken(size)) : std::nullopt;
  }
  case TypeShape::Length::two_bytes: {
    if (chunked) return read_chunks(in);
    const auto size = need(in.u16_le("value length"));
    return size != 0xFFFF ? std::optional(taken(size)) : std::nullopt;
  }
  case TypeShape::Length::four_bytes: {
    const auto size = need(in.u32_le("value length"));
    return size != 0xFFFFFFFF ? std::optional(taken(size)) : std::nullopt;
  }
  }
  return std::nullopt;
}

/// TYPE_INFO and value of one parameter (MS-TDS 2.2.5.6, 2.2.5.2).
Value read_value(tds::Reader &in, const Session &session) {
  const auto whole = in.rest();
  const auto start = in.offset();
  const auto type = need(in.u8("TYPE_INFO"));
  const auto &shape = shape_of(type);
  const auto extra = need(in.take(shape.extra, "TYPE_INFO"));
  const bool chunked = shape.length == TypeShape::Length::two_bytes && extra[0] == 0xFF && extra[1] == 0xFF; // (max)
  if (shape.text && session.version.generation() >= 71) need(in.take(sizeof collation, "TYPE_INFO collation"));
  const auto type_end = in.offset() - start;
  const auto bytes = read_bytes(in, shape, chunked);
  const auto value_end = in.offset() - start;

  const auto text = bytes && shape.text ? text_from(type, *bytes) : std::u16string();
  // A row carries TEXT and NTEXT with a text pointer: they go back as NVARCHAR.
  if (shape.length == TypeShape::Length::four_bytes) return bytes ? Value(text) : Value();
  const auto slice = [&](std::size_t from, std::size_t to) {
    const auto view = whole.subspan(from, to - from);
    return tds::Bytes(view.begin(), view.end());
  };
  RawValue raw{slice(0, type_end), slice(type_end, value_end), text};
  if (shape.integer && bytes && !bytes->empty() && bytes->size() <= 8) raw.number = integer_from(*bytes);
  return raw;
}

Cell read_parameter(tds::Reader &in, const Session &session) {
  Cell parameter;
  parameter.name = tds::to_utf8(need(in.utf16(need(in.u8("ParamName length")), "ParamName")));
  need(in.u8("StatusFlags"));
  parameter.value = read_value(in, session);
  return parameter;
}

constexpr std::array<std::string_view, 16> procedure_ids = {"",
                                                            "sp_cursor",
                                                            "sp_cursoropen",
                                                            "sp_cursorprepare",
                                                            "sp_cursorexecute",
                                                            "sp_cursorprepexec",
                                                            "sp_cursorunprepare",
                                                            "sp_cursorfetch",
                                                            "sp_cursoroption",
                                                            "sp_cursorclose",
                                                            "sp_executesql",
                                                            "sp_prepare",
                                                            "sp_execute",
                                                            "sp_prepexec",
                                                            "sp_prepexecrpc",
                                                            "sp_unprepare"};

std::string read_procedure_name(tds::Reader &in) {
  const auto units = need(in.u16_le("NameLength"));
  if (units != 0xFFFF) return lower_case(tds::to_utf8(need(in.utf16(units, "ProcName"))));
  const auto id = need(in.u16_le("ProcID"));
  if (id == 0 || id >= procedure_ids.size())
    throw Refusal{.number = 2812, .text = fmt::format("Could not find stored procedure {}.", id)};
  return std::string(procedure_ids[id]);
}

/// Values passed by position take the names that the declaration ("@p1 int, @p2 nvarchar(10)") gives.
void name_parameters(Parameters &parameters, std::string_view declaration) {
  std::vector<std::string> names;
  for (const auto &word : cut(declaration))
    if (word.kind == Word::Kind::name && word.text.starts_with('@')) names.push_back(word.text);
  for (std::size_t index = 0; index < parameters.size() && index < names.size(); ++index)
    if (parameters[index].name.empty()) parameters[index].name = names[index];
}

std::string as_text(const Parameters &arguments, std::size_t index) {
  if (index >= arguments.size())
    throw Refusal{.number = 201, .text = "Procedure or function expects a parameter which was not supplied."};
  return tds::to_utf8(text_of(arguments[index].value));
}

Parameters from(const Parameters &arguments, std::size_t first) {
  return first < arguments.size() ? Parameters(arguments.begin() + static_cast<std::ptrdiff_t>(first), arguments.end())
                                  : Parameters();
}

/// One RPC: runs it and gives what its OUTPUT parameters become.
Parameters run_rpc(Reply &reply, const std::string &name, const Parameters &arguments, Session &session) {
  const auto run = [&](const std::string &statement, Parameters parameters, const std::string &declaration) {
    name_parameters(parameters, declaration);
    Batch(statement, parameters, session, reply).answer();
  };
  const auto prepare = [&](const std::string &statement) -> Parameters {
    session.prepared[++session.last_handle] = statement;
    return {{arguments.empty() ? "" : arguments[0].name, std::int64_t{session.last_handle}}};
  };
  if (name == "sp_executesql") {
    run(as_text(arguments, 0), from(arguments, 2), arguments.size() > 1 ? as_text(arguments, 1) : "");
  } else if (name == "sp_prepare") { // handle, declaration, statement, options
    return prepare(as_text(arguments, 2));
  } else if (name == "sp_prepexec") { // handle, declaration, statement, values
    run(as_text(arguments, 2), from(arguments, 3), as_text(arguments, 1));
    return prepare(as_text(arguments, 2));
  } else if (name == "sp_execute") { // handle, values
    const auto statement = session.prepared.find(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
    if (statement == session.prepared.end())
      throw Refusal{.number = 8179, .text = "Could not find prepared statement with that handle."};
    run(statement->second, from(arguments, 1), statement->second); // its own names, in the order of their use
  } else if (name == "sp_unprepare") {
    session.prepared.erase(static_cast<std::int32_t>(argument_number(arguments, 0, 0)));
  } else {
    call_procedure(reply, name, arguments, session);
  }
  return {};
}

void call_procedure(Reply &reply, std::string name, const Parameters &arguments, Session &session) {
  if (const auto dot = name.rfind('.'); dot != name.npos) name.erase(0, dot + 1);
  if (name == "lab_rows") return lab_rows(reply, arguments);
  if (name == "lab_error") return lab_error(reply, arguments);
  if (name == "lab_echo") {
    auto cells = arguments;
    for (std::size_t index = 0; index < cells.size(); ++index)
      cells[index].name = cells[index].name.empty() ? fmt::format("p{}", index + 1) : cells[index].name.substr(1);
    if (cells.empty()) throw Refusal{.text = "lab_echo needs a parameter to echo"};
    return reply.rows(cells);
  }
  if (name == "sp_executesql" || name == "sp_execute") {
    run_rpc(reply, name, arguments, session);
    return;
  }
  if (name == "sp_datatype_info_100" ||
      name == "sp_datatype_info") // pyodbc asks at every connection, and lives without an answer
    return reply.rows({{"TYPE_NAME", std::u16string()}, {"DATA_TYPE", std::int64_t{0}}, {"PRECISION", std::int64_t{0}}},
                      false);
  throw Refusal{.number = 2812, .text = fmt::format("Could not find stored procedure '{}'.", name)};
}

} // namespace

tds::ServerMessage server_message(const Session &session, std::uint32_t number, std::uint8_t severity,
                                  std::string_view text, std::uint8_t state) {
  return {.error = severity > 10,
          .number = number,
          .state = state,
          .severity = severity,
          .text = tds::to_utf16(text),
          .server = tds::to_utf16(session.server_name),
          .procedure = {},
          .line = 1};
}

tds::Bytes error_reply(const Session &session, std::uint32_t number, std::uint8_t severity, std::string_view text) {
  return tds::encode_tokens(
      {server_message(session, number, severity, text), tds::Done{tds::DoneKind::done, tds::done_error, 0, 0}},
      session.version);
}

Answer answer_batch(tds::ByteView payload, Session &session) {
  Reply reply(session, false);
  try {
    tds::Reader in(payload, "SQLBatch");
    skip_headers(in, session);
    if (in.left() % 2) throw Refusal{.text = "the lab cannot read this request: the text has half a character"};
    const auto sql = tds::to_utf8(utf16_of(in.rest()));
    Batch(sql, {}, session, reply).answer();
  } catch (const Refusal &refusal) {
    reply.error(refusal);
  }
  return reply.finish();
}

Answer answer_rpc(tds::ByteView payload, Session &session) {
  Reply reply(session, true);
  try {
    tds::Reader in(payload, "RPC");
    skip_headers(in, session);
    const std::uint8_t separator = session.version.at_least_7_2() ? 0xFF : 0x80;
    do { // a message may hold several calls (jTDS executeBatch), and each has its own reply
      const auto name = read_procedure_name(in);
      need(in.u16_le("OptionFlags"));
      Parameters arguments;
      while (in.left() > 0 && in.rest()[0] != separator)
        arguments.push_back(read_parameter(in, session));
      const bool more = in.left() > 0;
      if (more) need(in.u8("BatchFlag"));
      try {
        const auto outputs = run_rpc(reply, name, arguments, session);
        reply.end_procedure(0, outputs, more && in.left() > 0);
      } catch (const Refusal &refusal) {
        reply.error(refusal);
        reply.end_procedure(1, {}, more && in.left() > 0);
      }
    } while (in.left() > 0);
  } catch (const Refusal &refusal) {
    reply.error(refusal);
  }
  return reply.finish();
}

Answer answer_transaction(tds::ByteView payload, Session &session) {
  constexpr std::uint16_t request_begin = 5, request_commit = 7, request_rollback = 8, request_save = 9;
  Reply reply(session, false);
  try {
    tds::Reader in(payload, "TransactionManagerRequest");
    skip_headers(in, session);
    const auto request = need(in.u16_le("RequestType"));
    if (request == request_begin) {
      begin(reply, session);
    } else if (request == request_commit || request == request_rollback) {
      end_transaction(reply, session, request == request_commit ? env_commit : env_rollback);
      const auto name_bytes = need(in.u8("Name length"));
      need(in.take(name_bytes, "Name"));
      if (in.left() > 0 && (need(in.u8("Flags")) & 0x01)) begin(reply, session); // fBeginXact: the next one at once
    } else if (request != request_save) {
      throw Refusal{.text = fmt::format("the lab does not know transaction request {}", request)};
    }
    reply.end();
  } catch (const Refusal &refusal) {
    reply.error(refusal);
  }
  return reply.finish();
}

tds::Bytes answer_bulk(const Session &session) {
  return tds::encode_tokens({tds::Done{tds::DoneKind::done, tds::done_count, 0, 0}}, session.version);
}

tds::Bytes answer_attention(const Session &session) {
  return tds::encode_tokens({tds::Done{tds::DoneKind::done, tds::done_attention, 0, 0}}, session.version);
}

} // namespace lab
