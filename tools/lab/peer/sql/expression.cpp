#include "tools/lab/peer/sql/expression.hpp"

#include "tools/lab/peer/sql/catalog.hpp"
#include "tools/lab/peer/sql/facts.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

namespace lab {
namespace {

constexpr std::size_t largest_text = 64 * 1024 * 1024; // bytes: loops can double a text again and again

/// Counts nested parentheses, which come from outside, also where an error leaves them.
class Deeper {
public:
  explicit Deeper(int &depth) : depth_(++depth) {}
  ~Deeper() { --depth_; }
  Deeper(const Deeper &) = delete;
  Deeper &operator=(const Deeper &) = delete;

private:
  int &depth_;
};

Value null_like(const Value &value) { return {value.type, std::nullopt}; }

/// `+ - * / %`. Whole numbers stay whole, all other numbers become FLOAT; `+` also joins text.
Value calculate(const Value &left, char sign, const Value &right, const Words &words) {
  if (left.null() || right.null()) return null_like(left.null() ? right : left);
  const bool texts = left.type.text() && right.type.text();
  const auto a = texts ? std::nullopt : number_of(left), b = texts ? std::nullopt : number_of(right);
  constexpr auto zero = "Divide by zero error encountered.";
  if (a && b) {
    if ((sign == '/' || sign == '%') && *b == 0) throw Refusal{.number = 8134, .text = zero};
    if ((sign == '/' || sign == '%') && *b == -1)
      return sign == '%' ? Value(0) : calculate(Value(0), '-', left, words);
    std::int64_t result = sign == '/' ? *a / *b : sign == '%' ? *a % *b : 0;
    const bool overflow = sign == '+'   ? __builtin_add_overflow(*a, *b, &result)
                          : sign == '-' ? __builtin_sub_overflow(*a, *b, &result)
                          : sign == '*' ? __builtin_mul_overflow(*a, *b, &result)
                                        : false;
    if (overflow)
      throw Refusal{.number = 8115,
                    .text = "Arithmetic overflow error converting expression to data type bigint."};
    return result;
  }
  const auto x = texts ? std::nullopt : real_of(left), y = texts ? std::nullopt : real_of(right);
  if (!x || !y) {
    if (sign != '+') throw words.unknown();
    if (left.data->size() + right.data->size() > largest_text)
      throw Refusal{.text = "the lab joins no texts of that size"};
    return text_of(left) + text_of(right);
  }
  if (sign == '/' && *y == 0) throw Refusal{.number = 8134, .text = zero};
  const double result = sign == '+'   ? *x + *y
                        : sign == '-' ? *x - *y
                        : sign == '*' ? *x * *y
                        : sign == '/' ? *x / *y
                                      : std::fmod(*x, *y);
  return convert(tds::to_utf16(fmt::format("{}", result)), declared_type("float"));
}

Value change_case(const Value &value, bool upper) {
  if (value.null()) return value;
  auto text = text_of(value);
  for (auto &unit : text)
    if (upper ? unit >= u'a' && unit <= u'z' : unit >= u'A' && unit <= u'Z') unit ^= 0x20;
  return text;
}

Value replicated(const Value &what, std::int64_t times) {
  constexpr auto most = largest_text;
  if (what.null() || times < 0) return null_like(what);
  if (what.data->size() * static_cast<std::size_t>(std::min<std::int64_t>(times, most)) > most)
    throw Refusal{.text = "the lab replicates no text of that size"};
  const auto source = what.type.text() ? what : Value(text_of(what));
  tds::Bytes bytes;
  for (; times > 0; --times)
    bytes.insert(bytes.end(), source.data->begin(), source.data->end());
  auto type = source.type;
  if (!type.chunked() && bytes.size() > 8000)
    bytes.resize(8000); // as in SQL Server, where no (max) was asked for
  if (!type.chunked()) type.size = 8000;
  return {type, bytes};
}

Value newid() {
  static std::uint64_t count = 0;
  tds::Writer bytes;
  bytes.u64_le(0x4B1D0000C0FFEE00 + ++count);
  bytes.u64_le(0x9E3779B97F4A7C15 * count);
  return {declared_type("uniqueidentifier"), std::move(bytes).bytes()};
}

} // namespace

bool like(std::u16string_view text, std::u16string_view pattern) {
  std::size_t t = 0, p = 0, star = pattern.npos, after = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == u'%') {
      star = p++, after = t;
    } else if (p < pattern.size() && (pattern[p] == u'_' || pattern[p] == text[t])) {
      ++p, ++t;
    } else if (star != pattern.npos) {
      p = star + 1, t = ++after;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of(u'%', p) == pattern.npos;
}

bool is_aggregate(std::string_view function) {
  return function == "count" || function == "count_big" || function == "sum" || function == "min" ||
         function == "max";
}

std::int64_t object_id(std::string_view table) {
  return static_cast<std::int64_t>(std::hash<std::string>()(lower_case(table)) & 0x7FFFFFFF) | 1;
}

// ----------------------------------------------------------------------------------------------------
// conditions

bool Expressions::condition() {
  bool holds = conjunction();
  while (words_.take("or"))
    holds = conjunction() || holds;
  return holds;
}

bool Expressions::conjunction() {
  bool holds = predicate();
  while (words_.take("and"))
    holds = predicate() && holds;
  return holds;
}

bool Expressions::predicate() {
  if (depth_ >= 64) throw words_.unknown();
  const Deeper deeper(depth_);
  if (words_.take("not")) return !predicate();
  if (!words_.is("(") || !condition_in_parentheses()) return comparison();
  words_.next();
  const bool holds = condition();
  words_.need(")");
  return holds;
}

/// Whether this parenthesis holds a condition, and not a value.
bool Expressions::condition_in_parentheses() const {
  int open = 0;
  for (std::size_t ahead = 0; words_.peek(ahead); ++ahead) {
    const auto &word = *words_.peek(ahead);
    open += word.lower == "(" ? 1 : word.lower == ")" ? -1 : 0;
    if (open == 0) return false;
    static constexpr auto signs = std::to_array<std::string_view>(
        {"=", "<", ">", "!", "is", "like", "in", "and", "or", "not", "between"});
    if (std::ranges::find(signs, word.lower) != signs.end()) return true;
  }
  return false;
}

bool Expressions::comparison() {
  const auto left = value();
  if (words_.take("is")) {
    const bool negated = words_.take("not");
    words_.need("null");
    return left.null() != negated;
  }
  const bool negated = words_.take("not");
  if (words_.take("like")) return like(text_of(left), text_of(value())) != negated && !left.null();
  if (words_.take("between")) {
    const auto low = value();
    words_.need("and");
    const auto high = value();
    return (compare(left, low) >= 0 && compare(left, high) <= 0) != negated && !left.null();
  }
  if (words_.take("in")) {
    words_.need("(");
    bool holds = false;
    do
      holds |= compare(left, value()) == 0;
    while (words_.take(","));
    words_.need(")");
    return holds != negated && !left.null();
  }
  if (negated) throw words_.unknown();
  char sign = '=';
  if (words_.take("<"))
    sign = words_.take(">") ? '!' : '<';
  else if (words_.take(">"))
    sign = '>';
  else if (words_.take("!"))
    sign = '!', words_.need("=");
  else
    words_.need("=");
  const bool or_equal = (sign == '<' || sign == '>') && words_.take("=");
  const auto right = value();
  if (left.null() || right.null()) return false;
  const auto order = compare(left, right);
  const bool holds = sign == '='   ? order == 0
                     : sign == '!' ? order != 0
                     : sign == '<' ? order < 0
                                   : order > 0;
  return holds || (or_equal && order == 0);
}

// ----------------------------------------------------------------------------------------------------
// values

Value Expressions::value() {
  auto result = product();
  while (words_.is_any({"+", "-"})) {
    const char sign = words_.next().text[0];
    result = calculate(result, sign, product(), words_);
  }
  return result;
}

Value Expressions::product() {
  auto result = operand();
  while (words_.is_any({"*", "/", "%"})) {
    const char sign = words_.next().text[0];
    result = calculate(result, sign, operand(), words_);
  }
  return result;
}

Value Expressions::operand() {
  if (depth_ >= 64) throw words_.unknown();
  const Deeper deeper(depth_);
  auto result = simple_operand();
  if (words_.take("collate")) words_.next();
  return result;
}

Value Expressions::simple_operand() {
  if (words_.take("(")) {
    auto result = value();
    words_.need(")");
    return result;
  }
  if (words_.take("+")) return operand();
  if (words_.is("-") && words_.peek(1) &&
      words_.peek(1)->kind == Word::Kind::number) { // also the smallest BIGINT
    words_.next();
    return literal("-" + words_.next().text);
  }
  if (words_.take("-")) return calculate(Value(0), '-', operand(), words_);
  const Word word = words_.next();
  if (word.kind == Word::Kind::string) return tds::to_utf16(word.text);
  if (word.kind == Word::Kind::number) return literal(word.text);
  if (word.kind == Word::Kind::symbol) throw words_.unknown();
  if (word.lower == "case") return choice();
  if (words_.is("(") && !word.lower.empty()) return call(word.lower);
  if (word.text.starts_with("@@")) {
    if (const auto fact = variable(word.lower, session_)) return *fact;
    throw words_.unknown();
  }
  if (word.text.starts_with("@")) {
    if (const auto *variable = find_parameter(variables_, word.text)) return variable->value;
    throw Refusal{.number = 137,
                  .severity = 15,
                  .text = fmt::format("Must declare the scalar variable \"{}\".", word.text)};
  }
  std::string name = word.text;
  while (scope.table && words_.take(".")) // an alias before the column: c.auth_scheme
    name = words_.next().text;
  if (name == word.text)
    if (const auto fact = niladic(word.lower, session_)) return *fact;
  return column_value(name);
}

Value Expressions::literal(const std::string &digits) const {
  std::int64_t whole = 0;
  const auto *end = digits.data() + digits.size();
  if (const auto read = std::from_chars(digits.data(), end, whole); read.ec == std::errc() && read.ptr == end)
    return whole;
  if (digits.starts_with("0x") || digits.starts_with("0X"))
    return convert(tds::to_utf16(digits),
                   declared_type("varbinary", {digits.size() > 16000 ? "max" : "8000"}));
  if (digits.find_first_of("eE") != digits.npos)
    return convert(tds::to_utf16(digits), declared_type("float"));
  const auto point = digits.find('.');
  const auto scale = point == digits.npos ? 0 : digits.size() - point - 1;
  const auto precision = std::ranges::count_if(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (digits.find_first_not_of("0123456789.-") != digits.npos || precision > 38) throw words_.unknown();
  return convert(tds::to_utf16(digits),
                 declared_type("numeric", {std::to_string(precision), std::to_string(scale)}));
}

Value Expressions::column_value(const std::string &name) const {
  if (!scope.table) throw words_.unknown();
  const auto index = scope.table->column(name);
  return {scope.table->columns[index].type, scope.row ? (*scope.row)[index] : Data()};
}

Value Expressions::choice() {
  std::optional<Value> subject, chosen;
  if (!words_.is("when")) subject = value();
  Value first;
  bool any = false;
  while (words_.take("when")) {
    const bool holds = subject ? compare(*subject, value()) == 0 : condition();
    words_.need("then");
    auto result = value();
    if (!std::exchange(any, true)) first = result;
    if (holds && !chosen) chosen = std::move(result);
  }
  auto otherwise = words_.take("else") ? value() : null_like(first);
  words_.need("end");
  return chosen.value_or(std::move(otherwise));
}

Type Expressions::type() {
  auto name = words_.next().text;
  if (words_.take(".")) name = words_.next().text; // sys.int
  std::vector<std::string> arguments;
  if (words_.take("(")) {
    do
      arguments.push_back(words_.next().text);
    while (words_.take(","));
    words_.need(")");
  }
  return declared_type(name, arguments);
}

Value Expressions::aggregate(const std::string &function) {
  if (function.starts_with("count") && words_.take("*")) {
    words_.need(")");
    return scope.group ? Value(static_cast<std::int64_t>(scope.group->size())) : Value(0);
  }
  words_.take("distinct");
  const auto place = words_.place();
  const auto whole = std::exchange(scope.group, nullptr);
  const auto one = std::exchange(scope.row, nullptr);
  auto result = value(); // NULL, and the end of the argument
  const auto end = words_.place();
  std::int64_t count = 0;
  for (const auto *row : whole ? *whole : std::vector<const Row *>()) {
    scope.row = row;
    words_.go(place);
    const auto next = value();
    if (next.null()) continue;
    ++count;
    if (result.null())
      result = next;
    else if (function == "sum")
      result = calculate(result, '+', next, words_);
    else if (function == "min" ? compare(next, result) < 0 : compare(next, result) > 0)
      result = next;
  }
  words_.go(end);
  scope.group = whole, scope.row = one;
  words_.need(")");
  return function.starts_with("count") ? Value(count) : result;
}

Value Expressions::error_fact(const std::string &function) const {
  if (!caught) return {};
  if (function == "error_number") return std::int64_t{caught->number};
  if (function == "error_severity") return std::int64_t{caught->severity};
  if (function == "error_state") return std::int64_t{caught->state};
  if (function == "error_line") return std::int64_t{caught->line};
  if (function == "error_message") return tds::to_utf16(caught->text);
  return caught->procedure.empty() ? Value() : Value(tds::to_utf16(caught->procedure));
}

Value Expressions::call(const std::string &function) {
  words_.need("(");
  if (function == "cast" || function == "try_cast") {
    const auto what = value();
    words_.need("as");
    const auto to = type();
    words_.need(")");
    return convert(what, to);
  }
  if (function == "convert") {
    const auto to = type();
    words_.need(",");
    const auto what = value();
    if (words_.take(",")) value(); // the style: dates are always ISO 8601 here
    words_.need(")");
    return convert(what, to);
  }
  if (is_aggregate(function)) return aggregate(function);
  std::vector<Value> given;
  while (!words_.is(")")) {
    given.push_back(value());
    if (!words_.take(",")) break;
  }
  words_.need(")");
  const auto argument = [&](std::size_t index) -> const Value & {
    if (index < given.size()) return given[index];
    throw Refusal{.number = 174,
                  .severity = 15,
                  .text = fmt::format("The {} function needs more arguments.", function)};
  };
  const auto text = [&](std::size_t index) { return text_of(argument(index)); };
  if (function == "isnull" || function == "coalesce") {
    const auto found = std::ranges::find_if(given, [](const Value &v) { return !v.null(); });
    return found == given.end() ? Value() : *found;
  }
  if (function == "nullif")
    return compare(argument(0), argument(1)) == 0 ? null_like(argument(0)) : argument(0);
  if (function == "serverproperty" || function == "connectionproperty") {
    const auto key = lower_case(tds::to_utf8(text(0)));
    const auto fact =
        function == "serverproperty" ? server_property(key, session_) : connection_property(key, session_);
    return fact.value_or(Value()); // an unknown property is NULL, as in SQL Server
  }
  if (function == "len" || function == "datalength") {
    if (argument(0).null()) return {};
    if (function == "datalength") return static_cast<std::int64_t>(given[0].data->size());
    if (given[0].type.bytes()) return static_cast<std::int64_t>(given[0].data->size());
    auto words = text(0);
    return static_cast<std::int64_t>(words.find_last_not_of(u' ') + 1);
  }
  if (function == "upper" || function == "lower") return change_case(argument(0), function == "upper");
  if (function == "replicate") return replicated(argument(0), number_of(argument(1)).value_or(-1));
  if (function == "concat") {
    std::u16string joined;
    for (const auto &each : given)
      joined += text_of(each);
    return joined;
  }
  if (function == "left" || function == "right" || function == "substring") {
    const auto all = text(0);
    const auto size = static_cast<std::int64_t>(all.size());
    const auto count = std::clamp<std::int64_t>(number_of(given.back()).value_or(0), 0, size);
    const auto start = function == "left" ? 0
                       : function == "right"
                           ? size - count
                           : std::clamp<std::int64_t>(number_of(argument(1)).value_or(1) - 1, 0, size);
    return all.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(count));
  }
  if (function == "abs") {
    const auto number = number_of(argument(0));
    return number && *number < 0 ? calculate(Value(0), '-', given[0], words_) : given[0];
  }
  if (function == "newid") return newid();
  if (function == "object_id") {
    const auto table = find_table(session_, tds::to_utf8(text(0)));
    return table ? Value(object_id(table->name)) : Value();
  }
  if (function.starts_with("error_")) return error_fact(function);
  if (const auto fact = plain_function(function, session_)) return *fact;
  throw Refusal{.number = 195,
                .severity = 15,
                .text = fmt::format("'{}' is not a recognized built-in function name.", function)};
}

} // namespace lab
