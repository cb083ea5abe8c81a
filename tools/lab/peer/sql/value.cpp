#include "tools/lab/peer/sql/value.hpp"

#include "tools/lab/peer/sql/refusal.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <fmt/format.h>

namespace lab {
namespace {

using Wide = unsigned __int128;

std::uint64_t little(tds::ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t at = std::min<std::size_t>(bytes.size(), 8); at-- > 0;)
    value = value << 8 | bytes[at];
  return value;
}

tds::Bytes little(Wide value, std::size_t size) {
  tds::Bytes bytes(size);
  for (auto &byte : bytes)
    byte = static_cast<std::uint8_t>(value), value >>= 8;
  return bytes;
}

void append(tds::Bytes &to, tds::ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

std::int64_t signed_little(tds::ByteView bytes) {
  if (bytes.empty() || bytes.size() > 8) return 0;
  const auto unused = 64 - 8 * bytes.size();
  return static_cast<std::int64_t>(little(bytes) << unused) >> unused;
}

std::u16string utf16_of(tds::ByteView bytes) {
  std::u16string result;
  result.reserve(bytes.size() / 2);
  for (std::size_t at = 0; at + 1 < bytes.size(); at += 2)
    result.push_back(static_cast<char16_t>(bytes[at] | bytes[at + 1] << 8));
  return result;
}

tds::Bytes bytes_of(std::u16string_view text) {
  tds::Writer out;
  out.utf16(text);
  return std::move(out).bytes();
}

// ----------------------------------------------------------------------------------------------------
// 8-bit text

/// Code page 1252 where it differs from Latin-1.
constexpr std::array<char16_t, 32> page_1252 = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

bool utf8_collation(const Type &type) { return type.collation[3] & 0x04; } // fUTF8 of MS-TDS 2.2.5.1.2

std::u16string narrow_text(const Type &type, tds::ByteView bytes) {
  if (utf8_collation(type))
    return tds::to_utf16({reinterpret_cast<const char *>(bytes.data()), bytes.size()});
  std::u16string text;
  text.reserve(bytes.size());
  for (const auto byte : bytes)
    text.push_back(byte >= 0x80 && byte < 0xA0 ? page_1252[byte - 0x80] : byte);
  return text;
}

tds::Bytes narrow_bytes(const Type &type, std::u16string_view text) {
  if (utf8_collation(type)) {
    const auto utf8 = tds::to_utf8(text);
    return {utf8.begin(), utf8.end()};
  }
  tds::Bytes bytes;
  bytes.reserve(text.size());
  for (const auto unit : text) {
    const auto place = std::ranges::find(page_1252, unit);
    bytes.push_back(place != page_1252.end() ? static_cast<std::uint8_t>(0x80 + (place - page_1252.begin()))
                    : unit < 0x100 && (unit < 0x80 || unit >= 0xA0) ? static_cast<std::uint8_t>(unit)
                                                                    : '?');
  }
  return bytes;
}

// ----------------------------------------------------------------------------------------------------
// decimals

std::string decimal_text(bool negative, Wide magnitude, std::size_t scale) {
  std::string digits;
  for (; magnitude > 0 || digits.size() <= scale; magnitude /= 10)
    digits.push_back(static_cast<char>('0' + static_cast<int>(magnitude % 10)));
  std::ranges::reverse(digits);
  if (scale > 0) digits.insert(digits.size() - scale, ".");
  return (negative ? "-" : "") + digits;
}

struct Decimal {
  bool negative = false;
  Wide magnitude = 0;
};

/// The number that `text` says, times 10^scale, rounded; nullopt where it says none, or
/// one of more than 38 digits.
std::optional<Decimal> parse_decimal(std::string_view text, std::size_t scale) {
  Decimal result;
  if (text.starts_with('-') || text.starts_with('+')) result.negative = text[0] == '-', text.remove_prefix(1);
  if (text.contains('e') || text.contains('E')) {
    double real = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
    real = std::round(real * std::pow(10.0, static_cast<double>(scale)));
    if (error != std::errc() || end != text.data() + text.size() || !(real < 1e38)) return std::nullopt;
    result.magnitude = static_cast<Wide>(real);
    return result;
  }
  std::size_t digits = 0, behind = 0;
  bool point = false, any = false, up = false;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    any = true;
    if (point && behind == scale) { // the first digit too many rounds, the others do not matter
      if (!up && behind++ == scale) up = c >= '5';
      continue;
    }
    if (point && behind > scale) continue;
    result.magnitude = result.magnitude * 10 + static_cast<unsigned>(c - '0');
    digits += result.magnitude > 0;
    behind += point;
    if (digits > 38) return std::nullopt;
  }
  if (!any) return std::nullopt;
  for (; behind<scale; ++behind, digits += result.magnitude> 0) {
    if (digits >= 38) return std::nullopt;
    result.magnitude *= 10;
  }
  result.magnitude += up;
  return result;
}

Wide power_of_ten(std::size_t exponent) {
  Wide power = 1;
  while (exponent-- > 0)
    power *= 10;
  return power;
}

// ----------------------------------------------------------------------------------------------------
// dates

using Ticks = std::int64_t; // 100 ns
constexpr Ticks ticks_per_second = 10'000'000;
constexpr Ticks ticks_per_day = 86'400 * ticks_per_second;
constexpr int days_to_1900 = 693'595; // since 0001-01-01

struct Instant {
  int day = 0;    ///< since 0001-01-01
  Ticks time = 0; ///< of the day
  int offset = 0; ///< minutes from UTC
};

std::chrono::sys_days epoch() {
  using namespace std::chrono;
  return sys_days{January / 1 / year{1}};
}

std::string date_text(int day) {
  const std::chrono::year_month_day date{epoch() + std::chrono::days(day)};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::string time_text(Ticks time, std::size_t scale) {
  const auto seconds = time / ticks_per_second;
  auto text = fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
  if (scale > 0) text += "." + fmt::format("{:07}", time % ticks_per_second).substr(0, scale);
  return text;
}

std::string offset_text(int minutes) {
  return fmt::format("{}{:02}:{:02}", minutes < 0 ? '-' : '+', std::abs(minutes) / 60,
                     std::abs(minutes) % 60);
}

/// "2024-02-29", "20240229", "12:34:56.789", both with a blank or T between them, and an
/// offset or Z behind the time.
std::optional<Instant> parse_instant(std::string_view text) {
  const auto number = [&](std::size_t least, std::size_t most) -> std::optional<int> {
    int value = 0;
    std::size_t count = 0;
    for (; count < most && count < text.size() && text[count] >= '0' && text[count] <= '9'; ++count)
      value = value * 10 + (text[count] - '0');
    if (count < least) return std::nullopt;
    text.remove_prefix(count);
    return value;
  };
  const auto take = [&](char c) { return text.starts_with(c) && (text.remove_prefix(1), true); };
  Instant result{.day = days_to_1900};
  const auto all_digits = text.substr(0, text.find_first_not_of("0123456789"));
  if (all_digits.size() == 4 || all_digits.size() == 8) {
    const auto year = number(4, 4);
    take('-');
    const auto month = number(1, 2);
    take('-');
    const auto day = number(1, 2);
    if (!year || !month || !day) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok() || *year < 1) return std::nullopt;
    result.day = static_cast<int>((std::chrono::sys_days(date) - epoch()).count());
    if (text.empty()) return result;
    if (!take('T') && !take(' ')) return std::nullopt;
  }
  const auto hour = number(1, 2);
  if (!hour || *hour > 23 || !take(':')) return std::nullopt;
  const auto minute = number(2, 2);
  if (!minute || *minute > 59) return std::nullopt;
  int second = 0;
  if (take(':')) second = number(2, 2).value_or(60);
  if (second > 59) return std::nullopt;
  result.time = (*hour * 3600LL + *minute * 60LL + second) * ticks_per_second;
  if (take('.')) {
    Ticks unit = ticks_per_second / 10;
    if (text.empty() || text[0] < '0' || text[0] > '9') return std::nullopt;
    for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1), unit /= 10)
      result.time += (text[0] - '0') * unit;
  }
  take(' ');
  if (take('Z') || text.empty()) return result;
  const bool west = text[0] == '-';
  if (!take('-') && !take('+')) return std::nullopt;
  const auto hours = number(1, 2);
  take(':');
  const auto minutes = number(0, 2);
  if (!hours || *hours > 14 || !text.empty()) return std::nullopt;
  result.offset = (*hours * 60 + minutes.value_or(0)) * (west ? -1 : 1);
  return result;
}

std::size_t time_size(std::size_t scale) { return scale <= 2 ? 3 : scale <= 4 ? 4 : 5; }
Ticks unit_of(std::size_t scale) {
  return static_cast<Ticks>(power_of_ten(7 - std::min<std::size_t>(scale, 7)));
}

std::string instant_text(const Type &type, tds::ByteView data) {
  const bool dated = type.id != TypeId::time;
  const bool zoned = type.id == TypeId::datetimeoffset;
  const std::size_t behind = type.id == TypeId::date ? 0 : data.size() - (dated ? 3 : 0) - (zoned ? 2 : 0);
  if (data.size() < 3 || behind > 5) return "?";
  auto time = static_cast<Ticks>(little(data.first(behind))) * unit_of(type.scale);
  int day = dated ? static_cast<int>(little(data.subspan(behind, 3))) : 0;
  const int offset = zoned ? static_cast<int>(signed_little(data.subspan(behind + 3, 2))) : 0;
  time += offset * 60 * ticks_per_second; // the bytes are UTC
  if (time < 0) time += ticks_per_day, --day;
  if (time >= ticks_per_day) time -= ticks_per_day, ++day;
  std::string text = dated ? date_text(day) : "";
  if (type.id != TypeId::date) text += (dated ? " " : "") + time_text(time, type.scale);
  return zoned ? text + " " + offset_text(offset) : text;
}

std::string old_instant_text(tds::ByteView data) {
  if (data.size() == 4) // SMALLDATETIME: days, minutes
    return date_text(days_to_1900 + static_cast<int>(little(data.first(2)))) + " " +
           time_text(static_cast<Ticks>(little(data.subspan(2, 2))) * 60 * ticks_per_second, 0);
  if (data.size() != 8) return "?"; // DATETIME: days, 300ths of a second
  const auto parts = little(data.subspan(4, 4));
  const auto milliseconds = static_cast<Ticks>((parts * 10 + 1) / 3);
  return date_text(days_to_1900 + static_cast<int>(signed_little(data.first(4)))) + " " +
         time_text(milliseconds * (ticks_per_second / 1000), 3);
}

std::optional<tds::Bytes> instant_bytes(const Type &type, std::string_view text) {
  const auto parsed = parse_instant(text);
  if (!parsed) return std::nullopt;
  auto [day, time, offset] = *parsed;
  const auto too = [&](Ticks unit) { // rounds to what the type can say, into the next day if need be
    time = (time + unit / 2) / unit * unit;
    if (time >= ticks_per_day) time -= ticks_per_day, ++day;
  };
  tds::Bytes bytes;
  const auto put = [&](std::uint64_t value, std::size_t size) { append(bytes, little(Wide{value}, size)); };
  if (type.id == TypeId::smalldatetime || (type.id == TypeId::datetimn && type.size == 4)) {
    too(60 * ticks_per_second);
    if (day < days_to_1900 || day > days_to_1900 + 0xFFFF) return std::nullopt;
    put(static_cast<std::uint64_t>(day - days_to_1900), 2);
    put(static_cast<std::uint64_t>(time / (60 * ticks_per_second)), 2);
    return bytes;
  }
  if (type.id == TypeId::datetime || type.id == TypeId::datetimn) {
    put(static_cast<std::uint32_t>(day - days_to_1900), 4);
    put(static_cast<std::uint64_t>((time * 300 + ticks_per_second / 2) / ticks_per_second), 4);
    return bytes;
  }
  if (type.id != TypeId::date) too(unit_of(type.scale));
  if (type.id == TypeId::datetimeoffset) {
    time -= offset * 60 * ticks_per_second;
    if (time < 0) time += ticks_per_day, --day;
    if (time >= ticks_per_day) time -= ticks_per_day, ++day;
  }
  if (type.id != TypeId::date)
    put(static_cast<std::uint64_t>(time / unit_of(type.scale)), time_size(type.scale));
  if (type.id != TypeId::time) put(static_cast<std::uint64_t>(std::max(day, 0)), 3);
  if (type.id == TypeId::datetimeoffset) put(static_cast<std::uint16_t>(offset), 2);
  return bytes;
}

// ----------------------------------------------------------------------------------------------------
// the other types

std::string hex(tds::ByteView bytes) {
  std::string text = "0x";
  for (const auto byte : bytes)
    text += fmt::format("{:02X}", byte);
  return text;
}

std::optional<tds::Bytes> parse_hex(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  if (text.size() % 2) return std::nullopt;
  tds::Bytes bytes(text.size() / 2);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    const auto *from = text.data() + 2 * at;
    if (std::from_chars(from, from + 2, bytes[at], 16).ptr != from + 2) return std::nullopt;
  }
  return bytes;
}

/// A GUID's first three fields are little-endian on the wire.
constexpr std::array<std::size_t, 16> guid_order = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

std::string guid_text(tds::ByteView bytes) {
  if (bytes.size() != 16) return "?";
  std::string text;
  for (std::size_t at = 0; at < 16; ++at) {
    if (at == 4 || at == 6 || at == 8 || at == 10) text += '-';
    text += fmt::format("{:02X}", bytes[guid_order[at]]);
  }
  return text;
}

std::optional<tds::Bytes> guid_bytes(std::string text) {
  std::erase_if(text, [](char c) { return c == '-' || c == '{' || c == '}'; });
  const auto given = parse_hex(text);
  if (!given || given->size() != 16) return std::nullopt;
  tds::Bytes bytes(16);
  for (std::size_t at = 0; at < 16; ++at)
    bytes[guid_order[at]] = (*given)[at];
  return bytes;
}

std::string real_text(tds::ByteView bytes) {
  if (bytes.size() == 4)
    return fmt::format("{}", std::bit_cast<float>(static_cast<std::uint32_t>(little(bytes))));
  return fmt::format("{}", std::bit_cast<double>(little(bytes)));
}

/// MONEY has its upper half first.
std::int64_t money_of(tds::ByteView bytes) {
  if (bytes.size() == 4) return signed_little(bytes);
  return static_cast<std::int64_t>(little(bytes.first(4)) << 32 | little(bytes.subspan(4)));
}

/// What a SQL_VARIANT holds (MS-TDS 2.2.5.5.4): base type, size of its properties, properties, bytes.
/// NULL where it makes no sense.
Value held_by(tds::ByteView variant) {
  if (variant.size() < 2 || variant.size() < 2u + variant[1]) return {};
  Type type{.id = static_cast<TypeId>(variant[0])};
  const auto properties = variant.subspan(2, variant[1]);
  const auto data = variant.subspan(2 + properties.size());
  type.size = static_cast<std::uint32_t>(data.size());
  if ((type.id == TypeId::decimal || type.id == TypeId::numeric) && properties.size() == 2)
    type.precision = properties[0], type.scale = properties[1];
  else if (properties.size() == 1 && properties[0] <= 7)
    type.scale = properties[0];
  else if (properties.size() == 7)
    std::ranges::copy(properties.first(5), type.collation.begin());
  if (type.id == TypeId::variant) return {};
  return {type, tds::Bytes(data.begin(), data.end())};
}

std::string plain_text(const Type &type, tds::ByteView data) {
  switch (type.id) {
  case TypeId::guid:
    return guid_text(data);
  case TypeId::real:
  case TypeId::float8:
  case TypeId::floatn:
    return real_text(data);
  case TypeId::money:
  case TypeId::smallmoney:
  case TypeId::moneyn: {
    const auto value = money_of(data);
    return decimal_text(value < 0, value < 0 ? Wide{0} - static_cast<Wide>(value) : static_cast<Wide>(value),
                        4);
  }
  case TypeId::decimal:
  case TypeId::numeric: {
    if (data.empty()) return "?";
    Wide magnitude = 0;
    for (std::size_t at = std::min<std::size_t>(data.size(), 17); at-- > 1;)
      magnitude = magnitude << 8 | data[at];
    return decimal_text(data[0] == 0 && magnitude > 0, magnitude, type.scale);
  }
  case TypeId::date:
  case TypeId::time:
  case TypeId::datetime2:
  case TypeId::datetimeoffset:
    return instant_text(type, data);
  case TypeId::datetime:
  case TypeId::smalldatetime:
  case TypeId::datetimn:
    return old_instant_text(data);
  default:
    return hex(data);
  }
}

[[noreturn]] void refuse(const Type &to) {
  throw Refusal{.number = 8114,
                .text = fmt::format("Error converting data type nvarchar to {}.", type_name(to))};
}
[[noreturn]] void overflow(const Type &to) {
  throw Refusal{
      .number = 8115,
      .text = fmt::format("Arithmetic overflow error converting expression to data type {}.", type_name(to))};
}

tds::Bytes whole_bytes(const Type &type, const std::string &text) {
  if (type.id == TypeId::bit || type.id == TypeId::bitn)
    if (text == "true" || text == "false" || text == "True" || text == "False")
      return {static_cast<std::uint8_t>(text[0] == 't' || text[0] == 'T')};
  const auto parsed = parse_decimal(text, 0);
  if (!parsed) refuse(type);
  if (type.id == TypeId::bit || type.id == TypeId::bitn)
    return {static_cast<std::uint8_t>(parsed->magnitude != 0)};
  const auto size = type.size;
  const Wide most = size == 1 ? 255 : (Wide{1} << (8 * size - 1)) - 1;
  if (parsed->magnitude > most + (size > 1 && parsed->negative) ||
      (size == 1 && parsed->negative && parsed->magnitude))
    overflow(type);
  return little(parsed->negative ? Wide{0} - parsed->magnitude : parsed->magnitude, size);
}

tds::Bytes number_bytes(const Type &type, const std::string &text) {
  if (type.id == TypeId::decimal || type.id == TypeId::numeric) {
    const auto parsed = parse_decimal(text, type.scale);
    if (!parsed) refuse(type);
    if (parsed->magnitude >= power_of_ten(type.precision)) overflow(type);
    tds::Bytes bytes{static_cast<std::uint8_t>(!parsed->negative)};
    append(bytes, little(parsed->magnitude, type.size - 1));
    return bytes;
  }
  if (type.id == TypeId::money || type.id == TypeId::smallmoney || type.id == TypeId::moneyn) {
    const auto parsed = parse_decimal(text, 4);
    if (!parsed) refuse(type);
    if (parsed->magnitude > static_cast<Wide>(type.size == 4 ? INT32_MAX : INT64_MAX)) overflow(type);
    auto bytes = little(parsed->negative ? Wide{0} - parsed->magnitude : parsed->magnitude, type.size);
    if (type.size == 8) std::ranges::rotate(bytes, bytes.begin() + 4);
    return bytes;
  }
  double real = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
  if (error != std::errc() || end != text.data() + text.size()) refuse(type);
  return type.size == 4 ? little(std::bit_cast<std::uint32_t>(static_cast<float>(real)), 4)
                        : little(std::bit_cast<std::uint64_t>(real), 8);
}

/// CHAR, NCHAR and BINARY are filled up to their size; what is longer than its type
/// is refused, but for blanks.
tds::Bytes fitted(const Type &type, tds::Bytes bytes) {
  const bool pad = type.id == TypeId::character || type.id == TypeId::nchar || type.id == TypeId::binary;
  if (type.chunked() || type.pointed()) return bytes;
  if (bytes.size() > type.size)
    throw Refusal{.number = 8152, .text = "String or binary data would be truncated."};
  while (pad && bytes.size() < type.size) {
    bytes.push_back(type.bytes() ? 0 : ' ');
    if (type.wide()) bytes.push_back(0);
  }
  return bytes;
}

std::string trimmed(std::string text) {
  text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

} // namespace

Value::Value(std::int64_t number)
    : type{.id = TypeId::intn, .size = number >= INT32_MIN && number <= INT32_MAX ? 4u : 8u},
      data(little(static_cast<Wide>(number), type.size)) {}

Value::Value(const std::u16string &text)
    : type{.id = TypeId::nvarchar, .size = text.size() <= 4000 ? 8000u : max_size}, data(bytes_of(text)) {}

std::u16string text_of(const Value &value) {
  if (!value.data) return {};
  const auto &data = *value.data;
  if (value.type.wide()) return utf16_of(data);
  if (value.type.text()) return narrow_text(value.type, data);
  if (value.type.id == TypeId::variant) return text_of(held_by(data));
  if (const auto number = number_of(value)) return tds::to_utf16(std::to_string(*number));
  return tds::to_utf16(plain_text(value.type, data));
}

std::optional<std::int64_t> number_of(const Value &value) {
  if (!value.data || value.data->empty()) return std::nullopt;
  if (value.type.whole()) {
    if (value.data->size() == 1) return (*value.data)[0]; // TINYINT has no sign
    return signed_little(*value.data);
  }
  if (value.type.id == TypeId::variant) return number_of(held_by(*value.data));
  return std::nullopt;
}

std::optional<double> real_of(const Value &value) {
  if (value.null()) return std::nullopt;
  if (const auto whole = number_of(value)) return static_cast<double>(*whole);
  if (value.type.bytes() || value.type.id == TypeId::xml) return std::nullopt;
  const auto text = trimmed(tds::to_utf8(text_of(value)));
  double real = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return real;
}

std::weak_ordering compare(const Value &a, const Value &b) {
  if (a.null() || b.null()) return !a.null() <=> !b.null();
  if (const auto x = number_of(a), y = number_of(b); x && y) return *x <=> *y;
  if (!a.type.text() || !b.type.text())
    if (const auto x = real_of(a), y = real_of(b); x && y)
      return *x < *y   ? std::weak_ordering::less
             : *x > *y ? std::weak_ordering::greater
                       : std::weak_ordering::equivalent;
  const auto without_trailing_blanks = [](std::u16string text) { // as SQL Server compares
    text.erase(text.find_last_not_of(u' ') + 1);
    return text;
  };
  return without_trailing_blanks(text_of(a)) <=> without_trailing_blanks(text_of(b));
}

Value convert(const Value &value, const Type &type) {
  if (value.null() || value.type == type) return {type, value.data};
  if (type.id == TypeId::variant) {
    // It holds NVARCHAR whatever it came from: collation, then the largest size, are its properties.
    auto text = bytes_of(text_of(value).substr(0, 4000));
    tds::Bytes data{static_cast<std::uint8_t>(TypeId::nvarchar), 7};
    append(data, collation);
    append(data, tds::Bytes{0x40, 0x1F});
    append(data, text);
    return {type, data};
  }
  if (type.bytes()) {
    if (value.type.bytes()) return {type, fitted(type, *value.data)};
    const auto text = tds::to_utf8(text_of(value));
    const auto bytes = text.starts_with("0x") || text.starts_with("0X") ? parse_hex(text) : std::nullopt;
    if (!bytes && value.type.text()) return {type, fitted(type, *value.data)}; // the bytes of the characters
    if (!bytes) return {type, fitted(type, *value.data)};
    return {type, fitted(type, *bytes)};
  }
  const auto words = text_of(value);
  if (type.wide()) return {type, fitted(type, bytes_of(words))};
  if (type.text()) return {type, fitted(type, narrow_bytes(type, words))};
  const auto text = trimmed(tds::to_utf8(words));
  if (type.whole()) {
    if (const auto real = real_of(value); real && !number_of(value) && !value.type.text())
      return {type, whole_bytes(
                        type, fmt::format("{:.0f}", std::trunc(*real)))}; // numbers are cut, as in SQL Server
    return {type, whole_bytes(type, text)};
  }
  switch (type.id) {
  case TypeId::guid:
    if (auto bytes = guid_bytes(text)) return {type, *bytes};
    refuse(type);
  case TypeId::date:
  case TypeId::time:
  case TypeId::datetime2:
  case TypeId::datetimeoffset:
  case TypeId::datetime:
  case TypeId::smalldatetime:
  case TypeId::datetimn:
    if (auto bytes = instant_bytes(type, text)) return {type, *bytes};
    throw Refusal{.number = 241,
                  .text = "Conversion failed when converting date and/or time from character string."};
  default:
    return {type, number_bytes(type, text)};
  }
}

Value value_for(const Value &value, tds::Version version) {
  const auto type = type_for(value.type, version);
  if (type == value.type) return value;
  // (max) to TEXT and its like keep their bytes.
  if (type.pointed()) return {type, value.data};
  return convert(value, type);
}

} // namespace lab
