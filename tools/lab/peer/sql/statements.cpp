#include "tools/lab/peer/sql/statements.hpp"

#include "tools/lab/peer/sql/procedures.hpp"
#include "tools/lab/peer/sql/table_statements.hpp"
#include "tools/lab/peer/sql/transactions.hpp"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr int most_nested = 32; // EXEC in EXEC, blocks in blocks

/// "00:00:05" or "00:00:05.250", at most a day.
Wait parse_delay(const std::string &text) {
  int hours = 0, minutes = 0;
  double seconds = 0;
  if (std::sscanf(text.c_str(), "%d:%d:%lf", &hours, &minutes, &seconds) < 2 || hours < 0 || minutes < 0 ||
      !(seconds >= 0 && seconds < 60) || hours > 24 || minutes > 59)
    throw Refusal{.number = 148,
                  .text = fmt::format("Incorrect time syntax in time string '{}' used with WAITFOR.", text)};
  return {std::chrono::milliseconds(hours * 3'600'000LL + minutes * 60'000LL +
                                    static_cast<long long>(seconds * 1000))};
}

/// RAISERROR's %d and %s.
std::string filled(std::string text, const std::vector<Value> &arguments) {
  std::size_t at = 0;
  for (const auto &argument : arguments) {
    at = text.find('%', at);
    if (at == text.npos || at + 1 >= text.size()) break;
    const auto words = tds::to_utf8(text_of(argument));
    text.replace(at, 2, words);
    at += words.size();
  }
  return text;
}

class Batch {
public:
  Batch(std::string_view sql, Parameters &variables, Session &session, Reply &reply)
      : words_(sql), variables_(variables), session_(session), reply_(reply),
        expressions_(words_, session, variables) {}

  std::int32_t answer() {
    try {
      while (!words_.at_end() && !returned_)
        if (!words_.take(";")) statement(true);
    } catch (Refusal &refusal) { // as in SQL Server, an error of this class ends the batch
      if (refusal.line == 0) refusal.line = line_;
      reply_.message(refusal);
      reply_.end();
    }
    return status_;
  }

  std::optional<RowSet> query() {
    if (!words_.take("select")) return std::nullopt;
    auto statement = here(true);
    auto rows = select_rows(statement);
    words_.take(";");
    return words_.at_end() ? std::move(rows) : std::nullopt;
  }

private:
  Statement here(bool run) {
    return {.words = words_,
            .expressions = expressions_,
            .variables = variables_,
            .session = session_,
            .reply = reply_,
            .run = run};
  }

  void statement(bool run) {
    static const std::map<std::string_view, void (Batch::*)(bool)> table = {
        {"select", &Batch::select},
        {"set", &Batch::set},
        {"use", &Batch::use},
        {"begin", &Batch::begin},
        {"commit", &Batch::commit},
        {"rollback", &Batch::rollback},
        {"save", &Batch::save},
        {"if", &Batch::conditional},
        {"while", &Batch::loop},
        {"print", &Batch::print},
        {"raiserror", &Batch::raise},
        {"throw", &Batch::throw_error},
        {"return", &Batch::leave},
        {"declare", &Batch::declare},
        {"waitfor", &Batch::wait},
        {"exec", &Batch::execute},
        {"execute", &Batch::execute},
        {"create", &Batch::on_tables<create_statement>},
        {"drop", &Batch::on_tables<drop_statement>},
        {"truncate", &Batch::on_tables<truncate_statement>},
        {"insert", &Batch::on_tables<insert_statement>},
        {"update", &Batch::on_tables<update_statement>},
        {"delete", &Batch::on_tables<delete_statement>},
    };
    if (++depth_ > most_nested) throw words_.unknown();
    line_ = words_.line();
    run = run && !returned_;
    if (const auto *first = words_.peek(); first) {
      if (const auto known = table.find(first->lower); known != table.end()) {
        words_.next();
        (this->*known->second)(run);
      } else if (words_.place() == 0 && words_.name_follows()) { // a batch may begin with a procedure's name
        execute(run);
      } else {
        throw words_.unknown();
      }
      --depth_;
      return;
    }
    throw words_.unknown();
  }

  template <void (*does)(Statement &)> void on_tables(bool run) {
    auto statement = here(run && !session_.format_only);
    does(statement);
    if (run && session_.format_only) reply_.end();
  }

  void select(bool run) {
    auto statement = here(run);
    if (const auto rows = select_rows(statement)) reply_.rows(*rows);
  }

  // -- SET

  void set(bool run) {
    if (words_.take("transaction")) {
      words_.need("isolation"), words_.need("level");
      if (words_.take("read") || words_.take("repeatable"))
        words_.next();
      else if (!words_.take_any({"snapshot", "serializable"}))
        throw words_.unknown();
    } else if (words_.name_follows() && words_.peek()->text.starts_with('@')) {
      set_variable(run);
    } else if (words_.take("identity_insert")) {
      words_.qualified_name();
      words_.next();
    } else {
      set_options(run);
    }
    if (run) reply_.end();
  }

  void set_variable(bool run) {
    const auto name = words_.next().text;
    words_.need("=");
    auto value = expressions_.value();
    auto *variable = find_parameter(variables_, name);
    if (!variable)
      throw Refusal{.number = 137,
                    .severity = 15,
                    .text = fmt::format("Must declare the scalar variable \"{}\".", name)};
    if (run) variable->value = convert(value, variable->value.type);
  }

  void set_options(bool run) {
    std::vector<std::string> options;
    do
      options.push_back(words_.next().lower);
    while (words_.take(","));
    words_.take("="), words_.take("-"), words_.take("+");
    const bool on = words_.is("on");
    words_.next(); // on, off, a number, a name
    if (!run) return;
    for (const auto &option : options) {
      if (option == "nocount") session_.no_count = on;
      if (option == "implicit_transactions") session_.implicit_transactions = on;
      if (option == "fmtonly") session_.format_only = on;
    }
  }

  void use(bool run) {
    const auto name = words_.next().text;
    if (!run) return;
    const auto old = std::exchange(session_.database, name);
    tds::Writer data;
    append_b_varchar(data, name);
    append_b_varchar(data, old);
    reply_.token(tds::EnvChange{tds::EnvChangeType::database, std::move(data).bytes()});
    reply_.token(
        server_message(session_, 5701, 10, fmt::format("Changed database context to '{}'.", name), 2));
    reply_.end();
  }

  void declare(bool run) {
    do {
      const auto name = words_.next().text;
      if (!name.starts_with('@') || variables_.size() >= 10'000) throw words_.unknown();
      words_.take("as");
      Value value(expressions_.type(), std::nullopt);
      if (words_.take("=")) value = convert(expressions_.value(), value.type);
      if (!run) continue;
      if (auto *known = find_parameter(variables_, name)) // in a loop
        known->value = std::move(value);
      else
        variables_.push_back({name, std::move(value)});
    } while (words_.take(","));
  }

  // -- transactions and blocks

  void begin(bool run) {
    if (words_.take("distributed") || words_.is_any({"tran", "transaction"})) {
      words_.next();
      transaction_name();
      if (!run) return;
      begin_transaction(reply_, session_);
      return reply_.end();
    }
    if (words_.take("try")) return guarded(run);
    while (!words_.take("end"))
      if (!words_.take(";")) statement(run);
  }

  void guarded(bool run) {
    std::optional<Refusal> caught;
    const auto place = words_.place();
    const auto depth = depth_;
    try {
      ++in_try_;
      block(run);
      --in_try_;
    } catch (Refusal &refusal) {
      --in_try_;
      if (refusal.line == 0) refusal.line = line_;
      caught = refusal;
      depth_ = depth;
      session_.last_error = refusal.number;
      words_.go(place);
      skip_block();
    }
    words_.need("begin"), words_.need("catch");
    const auto outer = std::exchange(expressions_.caught, caught);
    block(run && caught);
    words_.need("catch");
    expressions_.caught = outer;
  }
  /// To behind the END of BEGIN TRY or BEGIN CATCH; its last word is the caller's in the second case.
  void block(bool run) {
    while (!words_.take("end"))
      if (!words_.take(";")) statement(run);
    words_.take("try");
  }
  void skip_block() {
    for (int open = 1; open > 0;) {
      const auto &word = words_.next();
      if (word.lower == "case" ||
          (word.lower == "begin" && !words_.is_any({"tran", "transaction", "distributed"})))
        ++open;
      else if (word.lower == "end")
        --open;
    }
    words_.need("try");
  }

  void commit(bool run) {
    transaction_word();
    if (!run) return;
    commit_transaction(reply_, session_);
    reply_.end();
  }
  void rollback(bool run) {
    const auto name = transaction_word();
    if (!run) return;
    roll_back_transaction(reply_, session_, name);
    reply_.end();
  }
  void save(bool run) {
    if (!words_.take_any({"tran", "transaction"})) throw words_.unknown();
    auto name = words_.next().text;
    if (!run) return;
    save_transaction(session_, std::move(name));
    reply_.end();
  }
  std::string transaction_word() {
    if (words_.take_any({"tran", "transaction"})) return transaction_name();
    words_.take("work");
    return {};
  }
  /// A name may follow TRAN, and so may the next statement: names that are statements'
  /// first words are not names.
  std::string transaction_name() { return words_.free_name_follows() ? words_.next().text : std::string(); }

  // -- control

  void conditional(bool run) {
    const bool holds = exists_or_condition(run);
    statement(run && holds);
    if (words_.is(";") && words_.is("else", 1)) words_.next();
    if (words_.take("else")) statement(run && !holds);
    if (run) reply_.end();
  }
  bool exists_or_condition(bool run) {
    const bool negated = words_.is("not") && words_.is("exists", 1) && words_.take("not");
    if (!words_.take("exists")) return expressions_.condition();
    words_.need("("), words_.need("select");
    auto statement = here(run);
    const auto rows = select_rows(statement);
    words_.need(")");
    return (rows && !rows->rows.empty()) != negated;
  }

  void loop(bool run) {
    constexpr int most = 100'000;
    const auto place = words_.place();
    while (true) {
      if (++rounds_ > most) throw Refusal{.text = "the lab goes round no loop so often"};
      words_.go(place);
      const bool holds = expressions_.condition();
      statement(run && holds);
      if (!run || !holds || returned_) break;
    }
    if (run) reply_.end();
  }

  void leave(bool run) {
    const auto *next = words_.peek();
    const bool value =
        next && (next->kind == Word::Kind::number || next->text.starts_with('@') || next->lower == "-");
    const auto status = value ? number_of(expressions_.value()).value_or(0) : 0;
    if (!run) return;
    status_ = static_cast<std::int32_t>(status);
    returned_ = true;
  }

  // -- messages

  void print(bool run) {
    const auto words = tds::to_utf8(text_of(expressions_.value()));
    if (!run) return;
    reply_.message({.number = 0, .severity = 0, .text = words, .line = line_});
    reply_.end();
  }

  void raise(bool run) {
    words_.need("(");
    const auto message = expressions_.value();
    words_.need(",");
    const auto severity = number_of(expressions_.value()).value_or(16);
    words_.need(",");
    const auto state = number_of(expressions_.value()).value_or(1);
    std::vector<Value> arguments;
    while (words_.take(","))
      arguments.push_back(expressions_.value());
    words_.need(")");
    if (words_.take("with")) do
        words_.next(); // nowait, log, seterror
      while (words_.take(","));
    if (!run) return;
    Refusal error{.severity = static_cast<std::uint8_t>(std::clamp<std::int64_t>(severity, 0, 25)),
                  .text = filled(tds::to_utf8(text_of(message)), arguments),
                  .state = static_cast<std::uint8_t>(std::clamp<std::int64_t>(state, 0, 255)),
                  .line = line_};
    if (const auto number = number_of(message))
      error.number = static_cast<std::uint32_t>(*number), error.text = fmt::format("Error {}.", *number);
    if (error.severity > 10 && in_try_ > 0) throw error;
    reply_.message(error); // the statements behind it run
    reply_.end();
  }

  void throw_error(bool run) {
    if (!words_.peek() || words_.is_any({";", "end"})) {
      if (run && expressions_.caught) throw Refusal(*expressions_.caught);
      return;
    }
    const auto number = number_of(expressions_.value()).value_or(lab_error_number);
    words_.need(",");
    const auto text = tds::to_utf8(text_of(expressions_.value()));
    words_.need(",");
    const auto state = number_of(expressions_.value()).value_or(1);
    if (run)
      throw Refusal{.number = static_cast<std::uint32_t>(number),
                    .text = text,
                    .state = static_cast<std::uint8_t>(std::clamp<std::int64_t>(state, 0, 255)),
                    .line = line_};
  }

  void wait(bool run) {
    words_.need("delay");
    const auto delay = parse_delay(tds::to_utf8(text_of(expressions_.value())));
    if (run) reply_.wait(delay);
  }

  // -- EXEC

  void execute(bool run) {
    if (words_.take("(")) { // text
      const auto sql = tds::to_utf8(text_of(expressions_.value()));
      words_.need(")");
      Parameters none;
      if (run) answer_statements(sql, none, session_, reply_);
      return;
    }
    std::string status;
    if (words_.name_follows() && words_.peek()->text.starts_with('@') && words_.is("=", 1))
      status = words_.next().text, words_.next();
    const auto name = words_.qualified_name();
    Parameters arguments;
    std::vector<std::string> variables; // that an OUTPUT argument came from
    while (words_.peek() && !words_.is_any({";", "go", "else", "end"}) && argument_follows()) {
      Parameter argument;
      if (words_.name_follows() && words_.peek()->text.starts_with('@') && words_.is("=", 1))
        argument.name = words_.next().text, words_.next();
      const auto first = words_.next().text;
      words_.go(words_.place() - 1);
      if (!words_.take("default")) argument.value = expressions_.value();
      argument.output = words_.take_any({"output", "out"});
      variables.push_back(first);
      arguments.push_back(std::move(argument));
      if (!words_.take(",")) break;
    }
    if (!run) return;
    const auto result = call_procedure(reply_, name, arguments, session_);
    for (std::size_t index = 0; index < arguments.size(); ++index)
      if (auto *variable = arguments[index].output ? find_parameter(variables_, variables[index]) : nullptr)
        variable->value = convert(arguments[index].value, variable->value.type);
    if (auto *variable = find_parameter(variables_, status); variable && !status.empty())
      variable->value = convert(Value(std::int64_t{result}), variable->value.type);
  }
  /// A procedure without arguments may be followed by the next statement.
  bool argument_follows() const {
    const auto *next = words_.peek();
    return next->kind != Word::Kind::name || words_.free_name_follows() || next->lower == "null";
  }

  Words words_;
  Parameters &variables_;
  Session &session_;
  Reply &reply_;
  Expressions expressions_;
  int depth_ = 0;
  int in_try_ = 0;
  int rounds_ = 0; // of all loops: one in another must end, too
  std::uint32_t line_ = 1;
  bool returned_ = false;
  std::int32_t status_ = 0;
};

/// Counts EXEC in EXEC for as long as it lives.
class Nesting {
public:
  explicit Nesting(Session &session) : session_(session) {
    if (session.nesting >= most_nested)
      throw Refusal{
          .number = 217,
          .text = "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32)."};
    ++session.nesting;
  }
  ~Nesting() { --session_.nesting; }
  Nesting(const Nesting &) = delete;
  Nesting &operator=(const Nesting &) = delete;

private:
  Session &session_;
};

} // namespace

std::int32_t answer_statements(std::string_view sql, Parameters &variables, Session &session, Reply &reply) {
  const Nesting nesting(session);
  return Batch(sql, variables, session, reply).answer();
}

std::optional<RowSet> answer_query(std::string_view sql, Parameters &variables, Session &session,
                                   Reply &reply) {
  return Batch(sql, variables, session, reply).query();
}

} // namespace lab
