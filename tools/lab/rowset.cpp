#include "tools/lab/rowset.hpp"

#include <algorithm>

namespace lab {
namespace {

template <class... Cases> struct Match : Cases... {
  using Cases::operator()...;
};

constexpr std::uint8_t type_intn = 0x26;
constexpr std::uint8_t type_varchar = 0xA7;
constexpr std::uint8_t type_nvarchar = 0xE7;
constexpr std::uint8_t token_colmetadata = 0x81;
constexpr std::uint8_t token_row = 0xD1;
constexpr std::size_t largest_nvarchar = 8000; // bytes
constexpr std::uint16_t nullable = 0x0001;

bool fits_int(std::int64_t number) { return number >= INT32_MIN && number <= INT32_MAX; }

void append_collation(tds::Writer &out, tds::Version version) {
  if (version.generation() >= 71) out.append(collation);
}

} // namespace

void append_b_varchar(tds::Writer &out, std::string_view text) {
  const auto units = tds::to_utf16(text).substr(0, 255);
  out.u8(static_cast<std::uint8_t>(units.size()));
  out.utf16(units);
}

void append_user_type(tds::Writer &out, tds::Version version) {
  version.at_least_7_2() ? out.u32_le(0) : out.u16_le(0);
  out.u16_le(nullable);
}

void append_type(tds::Writer &out, const Value &value, tds::Version version) {
  const auto integer = [&](std::uint8_t size) {
    out.u8(type_intn);
    out.u8(size);
  };
  std::visit(Match{
                 [&](std::monostate) { integer(4); },
                 [&](std::int64_t number) { integer(fits_int(number) ? 4 : 8); },
                 [&](const std::u16string &) {
                   out.u8(type_nvarchar);
                   out.u16_le(largest_nvarchar);
                   append_collation(out, version);
                 },
                 [&](const RawValue &raw) { out.append(raw.type); },
             },
             value);
}

void append_value(tds::Writer &out, const Value &value) {
  std::visit(Match{
                 [&](std::monostate) { out.u8(0); },
                 [&](std::int64_t number) {
                   out.u8(fits_int(number) ? 4 : 8);
                   fits_int(number) ? out.u32_le(static_cast<std::uint32_t>(number))
                                    : out.u64_le(static_cast<std::uint64_t>(number));
                 },
                 [&](const std::u16string &text) {
                   const auto cut = std::u16string_view(text).substr(0, largest_nvarchar / 2);
                   out.u16_le(static_cast<std::uint16_t>(cut.size() * 2));
                   out.utf16(cut);
                 },
                 [&](const RawValue &raw) { out.append(raw.value); },
             },
             value);
}

void append_columns(tds::Writer &out, const std::vector<Cell> &cells, tds::Version version) {
  out.u8(token_colmetadata);
  out.u16_le(static_cast<std::uint16_t>(cells.size()));
  for (const auto &cell : cells) {
    append_user_type(out, version);
    append_type(out, cell.value, version);
    append_b_varchar(out, cell.name);
  }
}

void append_row(tds::Writer &out, const std::vector<Cell> &cells) {
  out.u8(token_row);
  for (const auto &cell : cells)
    append_value(out, cell.value);
}

void append_generated_columns(tds::Writer &out, std::size_t bytes, tds::Version version) {
  out.u8(token_colmetadata);
  out.u16_le(2);
  append_user_type(out, version);
  append_type(out, std::int64_t{0}, version);
  append_b_varchar(out, "n");
  append_user_type(out, version);
  out.u8(type_varchar);
  out.u16_le(static_cast<std::uint16_t>(std::clamp<std::size_t>(bytes, 1, largest_filler)));
  append_collation(out, version);
  append_b_varchar(out, "filler");
}

void append_generated_row(tds::Writer &out, std::uint64_t number, std::size_t bytes) {
  out.u8(token_row);
  append_value(out,
               static_cast<std::int64_t>(number & 0x7FFFFFFF)); // always INT: the column was announced with 4 bytes
  out.u16_le(static_cast<std::uint16_t>(bytes));
  out.append(tds::Bytes(bytes, static_cast<std::uint8_t>('a' + number % 26)));
}

std::u16string text_of(const Value &value) {
  return std::visit(
      Match{
          [](std::monostate) { return std::u16string(); },
          [](std::int64_t number) { return tds::to_utf16(std::to_string(number)); },
          [](const std::u16string &text) { return text; },
          [](const RawValue &raw) { return raw.number ? tds::to_utf16(std::to_string(*raw.number)) : raw.text; },
      },
      value);
}

std::optional<std::int64_t> number_of(const Value &value) {
  if (const auto *number = std::get_if<std::int64_t>(&value)) return *number;
  if (const auto *raw = std::get_if<RawValue>(&value)) return raw->number;
  return std::nullopt;
}

} // namespace lab
