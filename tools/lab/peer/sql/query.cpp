#include "tools/lab/peer/sql/query.hpp"

#include "tools/lab/peer/sql/catalog.hpp"
#include "tools/lab/peer/sql/transactions.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lab {
namespace {

/// One column of the list: an expression that is read anew for each row, or all columns of the table.
struct Item {
  std::string name;
  std::size_t place = 0;
  bool star = false;
  Parameter *variable = nullptr; ///< what takes the value
};

struct Order {
  std::size_t place = 0;
  std::optional<std::size_t> position{}; ///< ORDER BY 2
  std::string name{};                    ///< of a column of the result
  bool descending = false;
};

class Select {
public:
  explicit Select(Statement &statement)
      : statement_(statement), words_(statement.words), expressions_(statement.expressions) {}

  std::optional<RowSet> rows() {
    const bool distinct = words_.take("distinct");
    words_.take("all");
    std::optional<std::int64_t> limit;
    if (words_.take("top")) {
      const bool open = words_.take("(");
      limit = number_of(open ? expressions_.value() : Value(number(words_.next().text)));
      if (open) words_.need(")");
    }
    find_source();
    const auto before = std::exchange(expressions_.scope, {.table = table_.get()});
    try {
      auto result = read(distinct, limit);
      expressions_.scope = before;
      return result;
    } catch (const Refusal &) {
      expressions_.scope = before;
      throw;
    }
  }

private:
  std::int64_t number(const std::string &digits) const {
    std::int64_t result = 0;
    for (const char c : digits.substr(0, 9)) {
      if (c < '0' || c > '9') throw words_.unknown();
      result = result * 10 + (c - '0');
    }
    return result;
  }

  /// The table is named behind the columns that it explains.
  void find_source() {
    static constexpr auto others =
        std::to_array<std::string_view>({";", "select", "insert", "update", "delete", "exec", "execute",
                                         "print", "declare", "waitfor", "use"});
    int open = 0;
    for (std::size_t ahead = 0; const auto *word = words_.peek(ahead); ++ahead) {
      open += word->lower == "(" ? 1 : word->lower == ")" ? -1 : 0;
      if (open < 0 || (open == 0 && std::ranges::find(others, word->lower) != others.end())) return;
      if (open > 0 || word->lower != "from") continue;
      const auto here = words_.place();
      words_.go(here + ahead + 1);
      const auto name = words_.qualified_name();
      words_.go(here);
      table_ = table_of(name);
      return;
    }
  }

  std::shared_ptr<const Table> table_of(const std::string &name) {
    if (auto view = system_view(name, statement_.session)) {
      system_view_ = true;
      return std::make_shared<const Table>(std::move(*view));
    }
    if (auto table = find_table(statement_.session, name)) return table;
    if (!statement_.run) return std::make_shared<const Table>(); // of a branch that is not taken
    throw Refusal{.number = 208, .text = fmt::format("Invalid object name '{}'.", name)};
  }

  std::optional<RowSet> read(bool distinct, std::optional<std::int64_t> limit) {
    do
      items_.push_back(item());
    while (words_.take(","));
    std::string into;
    if (words_.take("into")) into = words_.qualified_name();
    if (words_.take("from")) {
      words_.qualified_name();
      words_.take("as");
      if (words_.free_name_follows()) words_.next();
      table_hints();
      if (statement_.run && !system_view_) begin_implicitly(statement_.reply, statement_.session);
    }
    std::vector<std::size_t> found;
    if (table_) {
      found = rows_where(statement_, *table_);
    } else {
      found = {0};
      if (words_.take("where") && !expressions_.condition()) found.clear();
    }
    std::vector<Order> orders;
    if (words_.take("order")) orders = order();
    auto [skip, most] = window();
    if (limit)
      most = std::min<std::size_t>(most, static_cast<std::size_t>(std::max<std::int64_t>(*limit, 0)));
    if (words_.take("for")) throw words_.unknown();
    if (words_.take("option")) words_.need("("), words_.skip_parentheses();
    const auto end = words_.place();
    auto result = evaluate(found, orders);
    words_.go(end);
    if (distinct) {
      std::vector<Row> unique;
      for (auto &row : result.rows)
        if (std::ranges::find(unique, row) == unique.end()) unique.push_back(std::move(row));
      result.rows = std::move(unique);
    }
    result.rows.erase(result.rows.begin(),
                      result.rows.begin() + static_cast<std::ptrdiff_t>(std::min(skip, result.rows.size())));
    if (result.rows.size() > most) result.rows.resize(most);
    if (!statement_.run) return std::nullopt;
    if (std::ranges::any_of(items_, [](const Item &item) { return item.variable; })) {
      assign(result);
      return std::nullopt;
    }
    if (!into.empty()) {
      const auto count = result.rows.size();
      create_table(statement_.session,
                   {.name = into, .columns = std::move(result.columns), .rows = std::move(result.rows)});
      statement_.reply.end(Command::select, count);
      return std::nullopt;
    }
    return result;
  }

  void table_hints() {
    if (words_.take("with"))
      words_.need("("), words_.skip_parentheses();
    else if (words_.is("(") && words_.is("nolock", 1))
      words_.next(), words_.skip_parentheses();
  }

  Item item() {
    Item item;
    if (words_.is("*") || (words_.name_follows() && words_.is(".", 1) && words_.is("*", 2))) {
      while (!words_.take("*"))
        words_.next();
      if (!table_) throw words_.unknown();
      item.star = true;
      return item;
    }
    if (words_.name_follows() && words_.is("=", 1)) { // @variable = …, name = …
      const auto name = words_.next().text;
      words_.next();
      if (name.starts_with('@')) {
        item.variable = find_parameter(statement_.variables, name);
        if (!item.variable)
          throw Refusal{.number = 137,
                        .severity = 15,
                        .text = fmt::format("Must declare the scalar variable \"{}\".", name)};
      } else {
        item.name = name;
      }
    }
    item.place = words_.place();
    const bool column = words_.name_follows();
    expressions_.value();
    // A bare column gives the result its name, as in SQL Server; an expression has none.
    const auto length = words_.place() - item.place;
    if (column && table_ && length % 2 == 1 && item.name.empty()) {
      const auto end = words_.place();
      words_.go(item.place);
      const bool dotted = length == 1 || words_.is(".", 1);
      words_.go(end - 1);
      const auto name = words_.next().text;
      const auto same = [&](const Column &c) { return lower_case(c.name) == lower_case(name); };
      if (dotted && std::ranges::any_of(table_->columns, same)) item.name = name;
    }
    if (words_.take("as"))
      item.name = words_.next().text;
    else if (words_.free_name_follows() || (words_.peek() && words_.peek()->kind == Word::Kind::string))
      item.name = words_.next().text;
    return item;
  }

  std::vector<Order> order() {
    words_.need("by");
    std::vector<Order> orders;
    do {
      Order order{.place = words_.place()};
      if (words_.peek() && words_.peek()->kind == Word::Kind::number && !words_.is("+", 1)) {
        order.position = static_cast<std::size_t>(number(words_.next().text));
      } else if (words_.name_follows() && named(words_.peek()->text)) {
        order.name = words_.next().text;
      } else {
        expressions_.value();
      }
      order.descending = words_.take("desc");
      words_.take("asc");
      orders.push_back(std::move(order));
    } while (words_.take(","));
    return orders;
  }
  bool named(const std::string &name) const {
    return std::ranges::any_of(items_, [&](const Item &i) { return lower_case(i.name) == lower_case(name); });
  }

  std::pair<std::size_t, std::size_t> window() {
    std::size_t skip = 0, most = most_rows;
    const auto count = [&] {
      const auto value = number_of(expressions_.value()).value_or(0);
      if (!words_.take_any({"row", "rows"})) throw words_.unknown();
      return static_cast<std::size_t>(std::clamp<std::int64_t>(value, 0, most_rows));
    };
    if (!words_.take("offset")) return {skip, most};
    skip = count();
    if (words_.take("fetch")) {
      if (!words_.take_any({"next", "first"})) throw words_.unknown();
      most = count();
      words_.need("only");
    }
    return {skip, most};
  }

  // -- evaluation

  bool aggregated() const {
    const auto here = words_.place();
    for (const auto &item : items_) {
      if (item.star) continue;
      words_.go(item.place);
      for (int open = 0; const auto *word = words_.peek(); words_.next()) {
        open += word->lower == "(" ? 1 : word->lower == ")" ? -1 : 0;
        if (open < 0 || (open == 0 && words_.is_any({",", "from", "into", ";"}))) break;
        if (is_aggregate(word->lower) && words_.is("(", 1)) {
          words_.go(here);
          return true;
        }
      }
    }
    words_.go(here);
    return false;
  }

  RowSet evaluate(const std::vector<std::size_t> &found, const std::vector<Order> &orders) {
    std::vector<const Row *> sources;
    for (const auto index : found)
      sources.push_back(table_ ? &table_->rows[index] : nullptr);
    if (aggregated()) {
      expressions_.scope.group = &sources;
      auto result = one_row(nullptr);
      expressions_.scope.group = nullptr;
      return result;
    }
    auto result = one_row(sources.empty() ? nullptr : sources[0]); // the types are those of the first row
    if (sources.empty()) result.rows.clear();
    for (std::size_t index = 1; index < sources.size(); ++index) {
      auto next = one_row(sources[index]);
      for (std::size_t c = 0; c < result.columns.size(); ++c)
        next.rows[0][c] = convert({next.columns[c].type, next.rows[0][c]}, result.columns[c].type).data;
      result.rows.push_back(std::move(next.rows[0]));
    }
    if (!orders.empty()) sort(result, sources, orders);
    return result;
  }

  RowSet one_row(const Row *row) {
    RowSet result{.rows = {Row()}};
    expressions_.scope.row = row;
    for (const auto &item : items_) {
      if (item.star) {
        result.columns.insert(result.columns.end(), table_->columns.begin(), table_->columns.end());
        for (std::size_t c = 0; c < table_->columns.size(); ++c)
          result.rows[0].push_back(row ? (*row)[c] : Data());
        continue;
      }
      words_.go(item.place);
      auto value = expressions_.value();
      Column column{.name = item.name, .type = value.type};
      if (table_ && !item.name.empty()) { // a column keeps what is said of it
        const auto same = std::ranges::find(table_->columns, lower_case(item.name),
                                            [](const Column &c) { return lower_case(c.name); });
        if (same != table_->columns.end() && same->type == value.type)
          column.nullable = same->nullable, column.identity = same->identity;
      }
      result.columns.push_back(std::move(column));
      result.rows[0].push_back(std::move(value.data));
    }
    return result;
  }

  void sort(RowSet &result, const std::vector<const Row *> &sources, const std::vector<Order> &orders) {
    std::vector<std::pair<std::vector<Value>, std::size_t>> keys;
    for (std::size_t index = 0; index < result.rows.size(); ++index) {
      std::vector<Value> key;
      for (const auto &order : orders) {
        auto column = order.position.value_or(0);
        for (std::size_t c = 0; column == 0 && !order.name.empty() && c < result.columns.size(); ++c)
          if (lower_case(result.columns[c].name) == lower_case(order.name)) column = c + 1;
        if (column > result.columns.size())
          throw Refusal{.number = 108,
                        .text = fmt::format("The ORDER BY position number {} is out of range.", column)};
        if (column > 0) {
          key.emplace_back(result.columns[column - 1].type, result.rows[index][column - 1]);
        } else {
          words_.go(order.place);
          expressions_.scope.row = sources[index];
          key.push_back(expressions_.value());
        }
      }
      keys.emplace_back(std::move(key), index);
    }
    std::ranges::sort(keys, [&](const auto &a, const auto &b) {
      for (std::size_t k = 0; k < orders.size(); ++k)
        if (const auto way = compare(a.first[k], b.first[k]); way != 0)
          return orders[k].descending ? way > 0 : way < 0;
      return a.second < b.second;
    });
    std::vector<Row> sorted;
    for (const auto &[key, index] : keys)
      sorted.push_back(std::move(result.rows[index]));
    result.rows = std::move(sorted);
  }

  void assign(const RowSet &result) {
    if (!result.rows.empty())
      for (std::size_t c = 0; c < items_.size(); ++c)
        if (auto *variable = items_[c].variable)
          variable->value = convert({result.columns[c].type, result.rows.back()[c]}, variable->value.type);
    statement_.reply.end(Command::select, result.rows.size());
  }

  Statement &statement_;
  Words &words_;
  Expressions &expressions_;
  std::shared_ptr<const Table> table_; // null: there is no FROM
  bool system_view_ = false;
  std::vector<Item> items_;
};

} // namespace

std::optional<RowSet> select_rows(Statement &statement) { return Select(statement).rows(); }

std::vector<std::size_t> rows_where(Statement &statement, const Table &table) {
  std::vector<std::size_t> found;
  auto &words = statement.words;
  auto &expressions = statement.expressions;
  const bool filtered = words.take("where");
  const auto place = words.place();
  const auto before = std::exchange(expressions.scope, {.table = &table});
  if (filtered) expressions.condition(); // read at least once: the table may be empty
  const auto end = words.place();
  for (std::size_t index = 0; index < table.rows.size(); ++index) {
    expressions.scope.row = &table.rows[index];
    words.go(place);
    if (!filtered || expressions.condition()) found.push_back(index);
  }
  words.go(end);
  expressions.scope = before;
  return found;
}

} // namespace lab
