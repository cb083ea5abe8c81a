// Expressions and conditions, evaluated as they are read: for the rows of a table, read anew for each row.
#pragma once

#include "tools/lab/peer/sql/parameter.hpp"
#include "tools/lab/peer/sql/session.hpp"
#include "tools/lab/peer/sql/words.hpp"

namespace lab {

/// What names of columns mean.
struct Scope {
  const Table *table = nullptr;                    ///< null: there are no columns
  const Row *row = nullptr;                        ///< null: every column is NULL, of its type
  const std::vector<const Row *> *group = nullptr; ///< what COUNT, SUM, MIN and MAX go over
};

class Expressions {
public:
  Expressions(Words &words, const Session &session, Parameters &variables)
      : words_(words), session_(session), variables_(variables) {}

  Value value();
  bool condition();
  /// nvarchar(max), decimal(10, 2)
  Type type();

  Scope scope{};
  std::optional<Refusal> caught{}; ///< of which ERROR_NUMBER() and its like speak

private:
  bool conjunction();
  bool predicate();
  bool comparison();
  bool condition_in_parentheses() const;
  Value product();
  Value operand();
  Value simple_operand();
  Value literal(const std::string &digits) const;
  Value column_value(const std::string &name) const;
  Value call(const std::string &function);
  Value aggregate(const std::string &function);
  Value choice();
  Value error_fact(const std::string &function) const;

  Words &words_;
  const Session &session_;
  Parameters &variables_;
  int depth_ = 0;
};

/// Whether this is one of the functions that go over all rows.
bool is_aggregate(std::string_view function);
/// LIKE, with % and _.
bool like(std::u16string_view text, std::u16string_view pattern);
/// OBJECT_ID of a table.
std::int64_t object_id(std::string_view table);

} // namespace lab
