// Seeds: inputs made of the unit tests' own tables. Each *_seeds.cpp includes one test for its tables and
// writes their rows; nothing is copied.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace fuzz {

/// Writes one input for a target.
void seed(std::string_view target, std::span<const std::uint8_t> input);
void seed(std::string_view target, std::string_view input);

struct Seeds {
  explicit Seeds(void (*write)());
};

} // namespace fuzz

/// SEEDS(prelogin) { … seed("prelogin", …) … }
#define SEEDS(NAME)                                                                                          \
  static void NAME##_seeds();                                                                                \
  static const fuzz::Seeds NAME##_seeds_written(NAME##_seeds);                                               \
  static void NAME##_seeds()
