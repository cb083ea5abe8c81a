// Closed sets and their spelling. An enum whose values are written somewhere (the decision log, a
// configuration, a command line) has one table of its words, beside it:
//
//   enum class Leg { client, server };
//   constexpr auto word_table(std::type_identity<Leg>) {
//     return std::to_array<std::pair<Leg, std::string_view>>({{Leg::client, "client"}, …});
//   }
//
// A spelling is for ever: logs and configurations hold it.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace auth {

/// An enum (or a struct of enums) with such a table, which argument-dependent lookup finds.
template <class E>
concept Spelled = requires {
  word_table(std::type_identity<E>{});
};

/// The table of `E`.
template <Spelled E> inline constexpr auto words = word_table(std::type_identity<E>{});

/// The one spelling of `value`; empty for a value that its table does not hold.
template <Spelled E> constexpr std::string_view spelling(E value) {
  for (const auto &[known, text] : words<E>)
    if (known == value) return text;
  return {};
}

/// The value that is spelled so. nullopt: none is.
template <Spelled E> constexpr std::optional<E> meaning(std::string_view text) {
  for (const auto &[value, known] : words<E>)
    if (known == text) return value;
  return std::nullopt;
}

} // namespace auth
