#include "auth/nt_hash.hpp"

#include <bit>
#include <cstdint>
#include <string.h>

namespace auth {
namespace {

/// RFC 1320, fed byte by byte.
class Md4 {
public:
  ~Md4() {
    explicit_bzero(words_.data(), sizeof words_);
    explicit_bzero(state_.data(), sizeof state_);
  }
  void add(std::uint8_t byte) {
    words_[length_ / 4 % 16] |= std::uint32_t{byte} << 8 * (length_ % 4);
    if (++length_ % 64 == 0) take_block();
  }
  const std::array<std::uint32_t, 4> &end() {
    const std::uint64_t bits = length_ * 8;
    add(0x80);
    while (length_ % 64 != 56)
      add(0);
    for (int shift = 0; shift < 64; shift += 8)
      add(static_cast<std::uint8_t>(bits >> shift));
    return state_;
  }

private:
  template <class Mix>
  void round(std::array<std::uint32_t, 4> &s, const std::array<int, 16> &order,
             const std::array<int, 4> &shifts, std::uint32_t constant, Mix mix) {
    for (std::size_t i = 0; i < 16; ++i) {
      const auto word = words_[static_cast<std::size_t>(order[i])];
      const auto sum = std::rotl(s[0] + mix(s[1], s[2], s[3]) + word + constant, shifts[i % 4]);
      s = {s[3], sum, s[1], s[2]};
    }
  }
  void take_block() {
    using Word = std::uint32_t;
    auto s = state_;
    round(s, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {3, 7, 11, 19}, 0,
          [](Word x, Word y, Word z) { return (x & y) | (~x & z); });
    round(s, {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}, {3, 5, 9, 13}, 0x5a827999,
          [](Word x, Word y, Word z) { return (x & y) | (x & z) | (y & z); });
    round(s, {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15}, {3, 9, 11, 15}, 0x6ed9eba1,
          [](Word x, Word y, Word z) { return x ^ y ^ z; });
    for (std::size_t i = 0; i < 4; ++i)
      state_[i] += s[i];
    words_ = {};
    explicit_bzero(s.data(), sizeof s);
  }

  std::array<std::uint32_t, 4> state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<std::uint32_t, 16> words_{};
  std::uint64_t length_ = 0;
};

/// The next code point of UTF-8, which it takes off the front; nullopt: there is none.
std::optional<char32_t> next_of(std::string_view &text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t size = first < 0x80       ? 1
                           : first >> 5 == 6  ? 2
                           : first >> 4 == 14 ? 3
                           : first >> 3 == 30 ? 4
                                              : 0;
  if (size == 0 || text.size() < size) return std::nullopt;
  char32_t point = size == 1 ? first : first & (0xffu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >> 6 != 2) return std::nullopt;
    point = point << 6 | (byte & 0x3f);
  }
  constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return std::nullopt;
  text.remove_prefix(size);
  return point;
}

} // namespace

std::optional<NtHash> NtHash::of(std::string_view password) {
  Md4 hash;
  const auto add = [&](char32_t unit) {
    hash.add(static_cast<std::uint8_t>(unit));
    hash.add(static_cast<std::uint8_t>(unit >> 8));
  };
  while (!password.empty()) {
    const auto point = next_of(password);
    if (!point) return std::nullopt;
    if (*point < 0x10000) {
      add(*point);
    } else {
      add(0xd800 + ((*point - 0x10000) >> 10));
      add(0xdc00 + ((*point - 0x10000) & 0x3ff));
    }
  }
  NtHash made;
  std::size_t at = 0;
  for (const auto word : hash.end())
    for (int shift = 0; shift < 32; shift += 8)
      for (const auto digit : {word >> (shift + 4) & 15, word >> shift & 15})
        made.text_[at++] = "0123456789ABCDEF"[digit];
  return made;
}

NtHash::~NtHash() { explicit_bzero(text_.data(), text_.size()); }

} // namespace auth
