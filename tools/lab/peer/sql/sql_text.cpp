#include "tools/lab/peer/sql/sql_text.hpp"

#include <algorithm>
#include <cctype>

namespace lab {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '@' || c == '#' || (c & 0x80);
}
bool continues_name(char c) {
  return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)) || c == '$';
}

} // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::vector<Word> cut(std::string_view sql) {
  std::vector<Word> words;
  std::size_t at = 0;
  const auto next_is = [&](std::string_view text) { return sql.substr(at).starts_with(text); };
  const auto quoted = [&](char close) { // a doubled closing quote stands for itself
    std::string text;
    for (++at; at < sql.size(); ++at) {
      if (sql[at] == close && (at + 1 >= sql.size() || sql[++at] != close)) break;
      text += sql[at];
    }
    if (at < sql.size() && sql[at] == close) ++at;
    return text;
  };
  std::size_t counted = 0; // whose line ends are in `line`
  std::uint32_t line = 1;
  while (at < sql.size()) {
    const char c = sql[at];
    const auto from = at;
    const auto known = words.size();
    line += static_cast<std::uint32_t>(std::ranges::count(sql.substr(counted, from - counted), '\n'));
    counted = from;
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++at;
    } else if (next_is("--")) {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (next_is("/*")) {
      const auto end = sql.find("*/", at + 2);
      at = end == sql.npos ? sql.size() : end + 2;
    } else if (next_is("N'") || next_is("n'")) {
      ++at;
      words.push_back({Word::Kind::string, quoted('\''), {}});
    } else if (c == '\'') {
      words.push_back({Word::Kind::string, quoted('\''), {}});
    } else if (c == '[' || c == '"') {
      words.push_back({Word::Kind::quoted_name, quoted(c == '[' ? ']' : '"'), {}});
    } else if (starts_name(c)) {
      while (at < sql.size() && continues_name(sql[at]))
        ++at;
      words.push_back({Word::Kind::name, std::string(sql.substr(from, at - from)),
                       lower_case(sql.substr(from, at - from))});
    } else if (std::isdigit(static_cast<unsigned char>(c)) ||
               (c == '.' && at + 1 < sql.size() && std::isdigit(static_cast<unsigned char>(sql[at + 1])) &&
                (words.empty() || words.back().kind == Word::Kind::symbol))) {
      // digits, 0x…, 1.5e-3
      while (at < sql.size() &&
             (continues_name(sql[at]) || sql[at] == '.' ||
              ((sql[at] == '-' || sql[at] == '+') && (sql[at - 1] == 'e' || sql[at - 1] == 'E') &&
               !sql.substr(from).starts_with("0x"))))
        ++at;
      words.push_back({Word::Kind::number, std::string(sql.substr(from, at - from)), {}});
    } else {
      ++at;
      words.push_back({Word::Kind::symbol, std::string(1, c), std::string(1, c)});
    }
    if (words.size() > known) words.back().line = line;
  }
  return words;
}

} // namespace lab
