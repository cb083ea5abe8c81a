// A place in the words of a batch, from which they are read one by one.
#pragma once

#include "tools/lab/peer/sql/refusal.hpp"
#include "tools/lab/peer/sql/sql_text.hpp"

namespace lab {

class Words {
public:
  explicit Words(std::string_view sql) : sql_(sql), words_(cut(sql)) {}

  const Word *peek(std::size_t ahead = 0) const {
    return at_ + ahead < words_.size() ? &words_[at_ + ahead] : nullptr;
  }
  bool is(std::string_view lower, std::size_t ahead = 0) const {
    return peek(ahead) && peek(ahead)->lower == lower;
  }
  bool is_any(std::initializer_list<std::string_view> choices) const;
  bool take(std::string_view lower) { return is(lower) && ++at_; }
  bool take_any(std::initializer_list<std::string_view> choices);
  /// The next word. Throws unknown() at the end.
  const Word &next();
  /// Throws unknown() where the next word is another.
  void need(std::string_view lower);
  bool name_follows() const;
  /// A name that is no keyword: what may stand for a column, a table or an alias.
  bool free_name_follows() const;
  /// a.b.c, as typed, without brackets.
  std::string qualified_name();
  /// From behind an opening parenthesis to behind the one that closes it.
  void skip_parentheses();

  /// Where an expression begins that is evaluated for each row.
  std::size_t place() const { return at_; }
  void go(std::size_t place) { at_ = place; }
  bool at_end() const { return at_ >= words_.size(); }
  std::uint32_t line() const {
    return at_ < words_.size() ? words_[at_].line : words_.empty() ? 1 : words_.back().line;
  }

  /// What the lab says of statements that it does not know: it quotes the batch.
  Refusal unknown() const;

private:
  std::string sql_;
  std::vector<Word> words_;
  std::size_t at_ = 0;
};

} // namespace lab
