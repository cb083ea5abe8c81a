#include "auth/der.hpp"

#include <algorithm>
#include <string_view>

namespace auth::der {

std::optional<ByteView> Reader::take(std::uint8_t tag) {
  if (rest_.size() < 2 || rest_[0] != tag) return std::nullopt;
  std::size_t header = 2;
  std::size_t length = rest_[1];
  if (length >= 0x80) {
    // Long form: the low bits count the length's own bytes. Four are more than any token;
    // 0x80 (indefinite) is not DER.
    const std::size_t count = length & 0x7f;
    if (count == 0 || count > 4 || rest_.size() < 2 + count) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < count; ++i)
      length = length << 8 | rest_[2 + i];
    header += count;
  }
  if (rest_.size() - header < length) return std::nullopt;
  const ByteView contents = rest_.subspan(header, length);
  rest_ = rest_.subspan(header + length);
  return contents;
}

std::optional<ByteView> take_explicit(Reader &reader, std::uint8_t outer, std::uint8_t inner) {
  const auto wrapped = reader.take(outer);
  if (!wrapped) return std::nullopt;
  Reader inside(*wrapped);
  const auto contents = inside.take(inner);
  return inside.empty() ? contents : std::nullopt;
}

std::optional<std::int32_t> to_integer(ByteView contents) {
  if (contents.empty() || contents.size() > 4) return std::nullopt;
  std::uint32_t value = contents[0] & 0x80 ? ~0u : 0u; // sign extension
  for (const auto byte : contents)
    value = value << 8 | byte;
  return static_cast<std::int32_t>(value);
}

std::optional<Time> to_time(ByteView contents) {
  if (contents.size() != 15 || contents[14] != 'Z') return std::nullopt;
  if (!std::all_of(contents.begin(), contents.end() - 1, [](auto c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (std::size_t i = at; i < at + digits; ++i)
      value = value * 10 + (contents[i] - '0');
    return value;
  };
  using namespace std::chrono;
  const year_month_day date{year{number(0, 4)}, month(static_cast<unsigned>(number(4, 2))),
                            day(static_cast<unsigned>(number(6, 2)))};
  const int hour = number(8, 2), minute = number(10, 2), second = number(12, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  // The system clock counts 64 bits of nanoseconds: a year that they cannot hold is no time of a KDC.
  if (date.year() < year{1970} || date.year() > year{2200}) return std::nullopt;
  return sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
}

} // namespace auth::der
