#include "tools/lab/peer/sql/words.hpp"

#include <algorithm>
#include <array>

namespace lab {

bool Words::is_any(std::initializer_list<std::string_view> choices) const {
  return std::ranges::any_of(choices, [&](auto choice) { return is(choice); });
}

bool Words::take_any(std::initializer_list<std::string_view> choices) {
  return std::ranges::any_of(choices, [&](auto choice) { return take(choice); });
}

const Word &Words::next() {
  if (!peek()) throw unknown();
  return words_[at_++];
}

void Words::need(std::string_view lower) {
  if (!take(lower)) throw unknown();
}

bool Words::name_follows() const {
  return peek() && (peek()->kind == Word::Kind::name || peek()->kind == Word::Kind::quoted_name);
}

bool Words::free_name_follows() const {
  static constexpr auto keywords = std::to_array<std::string_view>(
      {"alter",   "and",   "as",     "asc",    "begin",     "between",    "break",   "by",       "case",
       "catch",   "close", "commit", "create", "cross",     "deallocate", "declare", "delete",   "desc",
       "drop",    "else",  "end",    "exec",   "execute",   "exists",     "fetch",   "for",      "from",
       "go",      "group", "having", "if",     "in",        "inner",      "insert",  "into",     "is",
       "join",    "left",  "like",   "not",    "offset",    "on",         "open",    "option",   "or",
       "order",   "outer", "output", "print",  "raiserror", "return",     "right",   "rollback", "save",
       "select",  "set",   "then",   "throw",  "truncate",  "union",      "update",  "use",      "values",
       "waitfor", "when",  "where",  "while",  "with"});
  if (!name_follows()) return false;
  if (peek()->kind == Word::Kind::quoted_name) return true;
  return std::ranges::find(keywords, peek()->lower) == keywords.end();
}

std::string Words::qualified_name() {
  std::string name;
  while (take(".")) {
  }
  if (!name_follows()) throw unknown();
  name = next().text;
  while (is(".")) {
    while (take(".")) {
    }
    if (!name_follows()) throw unknown();
    name += "." + next().text;
  }
  return name;
}

void Words::skip_parentheses() {
  for (int open = 1; open > 0;) {
    const auto &word = next();
    open += word.lower == "(" ? 1 : word.lower == ")" ? -1 : 0;
  }
}

Refusal Words::unknown() const {
  const auto end = std::min<std::size_t>(sql_.find_last_not_of(" \t\r\n") + 1, 400);
  return {.text = "the lab does not know this batch: " + sql_.substr(0, end)};
}

} // namespace lab
