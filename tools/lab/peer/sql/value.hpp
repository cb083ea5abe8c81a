// One SQL value: its type, and its bytes as TDS carries them. What changes type goes by way of text.
#pragma once

#include "tools/lab/peer/sql/sql_type.hpp"

namespace lab {

struct Value {
  Type type{};
  Data data{}; ///< none is NULL

  Value() = default;                 ///< NULL, as an INT
  Value(std::int64_t number);        ///< INT, or BIGINT where it needs that
  Value(const std::u16string &text); ///< NVARCHAR(4000), or (max) where it needs that
  Value(Type type, Data data) : type(std::move(type)), data(std::move(data)) {}

  bool null() const { return !data; }
};

/// As SQL Server converts it to NVARCHAR, dates in ISO 8601 and binary as 0x…; NULL is an empty string.
std::u16string text_of(const Value &value);
/// Of whole numbers, and of text that says one; else none.
std::optional<std::int64_t> number_of(const Value &value);
/// Of every kind of number, and of text that says one; else none.
std::optional<double> real_of(const Value &value);
/// Numbers by what they are, all else by its text. NULLs are equal, and before everything.
std::weak_ordering compare(const Value &a, const Value &b);

/// Throws Refusal 8114 where the text says no value of that type, 8152 where it is too long, 8115
/// where the number is too large.
Value convert(const Value &value, const Type &type);
/// As a client of that version can read it.
Value value_for(const Value &value, tds::Version version);

} // namespace lab
