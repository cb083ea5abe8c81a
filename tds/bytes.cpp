#include "tds/bytes.hpp"

namespace tds {

namespace {

constexpr char32_t replacement = 0xFFFD;

bool is_high_surrogate(char32_t unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool is_low_surrogate(char32_t unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

// `bytes` holds at least sizeof(T) bytes: the reader has looked.
template <class T> T little_endian(ByteView bytes) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;)
    value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 | bytes[i]);
  return value;
}

template <class T> T big_endian(ByteView bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 | bytes[i]);
  return value;
}

void append_utf8(std::string &out, char32_t point) {
  const auto put = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

struct CodePoint {
  char32_t value = replacement;
  std::size_t bytes = 1; // an invalid byte is replaced alone; the next one gets its own chance
};

// The shortest form only, no surrogates, nothing above U+10FFFF. `text` is not empty.
CodePoint first_code_point(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};

  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {};
  char32_t value = lead & (0xFF >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < smallest[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, size};
}

} // namespace

Error Reader::error(std::string_view field, std::string what) const {
  return {std::string(where_), std::string(field), std::move(what), offset_};
}

Result<ByteView> Reader::take(std::size_t count, std::string_view field) {
  if (count > left())
    return std::unexpected(
        error(field, "needs " + std::to_string(count) + " bytes, " + std::to_string(left()) + " are left"));
  const ByteView taken = bytes_.subspan(offset_, count);
  offset_ += count;
  return taken;
}

namespace {

template <class T> Result<T> number(Result<ByteView> taken, T (*convert)(ByteView)) {
  if (!taken) return std::unexpected(std::move(taken).error());
  return convert(*taken);
}

} // namespace

Result<std::uint8_t> Reader::u8(std::string_view field) {
  return number(take(1, field), little_endian<std::uint8_t>);
}
Result<std::uint16_t> Reader::u16_le(std::string_view field) {
  return number(take(2, field), little_endian<std::uint16_t>);
}
Result<std::uint16_t> Reader::u16_be(std::string_view field) {
  return number(take(2, field), big_endian<std::uint16_t>);
}
Result<std::uint32_t> Reader::u32_le(std::string_view field) {
  return number(take(4, field), little_endian<std::uint32_t>);
}
Result<std::uint32_t> Reader::u32_be(std::string_view field) {
  return number(take(4, field), big_endian<std::uint32_t>);
}
Result<std::uint64_t> Reader::u64_le(std::string_view field) {
  return number(take(8, field), little_endian<std::uint64_t>);
}

Result<std::u16string> Reader::utf16(std::size_t units, std::string_view field) {
  // Compared as units: 2 * units could wrap.
  if (units > left() / 2)
    return std::unexpected(error(field, "needs " + std::to_string(units) + " UTF-16 units, " +
                                            std::to_string(left()) + " bytes are left"));
  const ByteView bytes = bytes_.subspan(offset_, 2 * units);
  offset_ += bytes.size();
  std::u16string text(units, u'\0');
  for (std::size_t i = 0; i < units; ++i)
    text[i] = static_cast<char16_t>(little_endian<std::uint16_t>(bytes.subspan(2 * i)));
  return text;
}

ByteView Fields::take(std::size_t count, std::string_view field) {
  if (failed_) return {};
  auto taken = reader_.take(count, field);
  if (taken) return *taken;
  fail(std::move(taken).error());
  return {};
}

std::u16string Fields::utf16(std::size_t units, std::string_view field) {
  if (failed_) return {};
  auto text = reader_.utf16(units, field);
  if (text) return *std::move(text);
  fail(std::move(text).error());
  return {};
}

void Fields::fail(Error error) {
  if (!failed_) failed_ = std::move(error);
}

void Fields::expect_end() {
  if (!at_end()) reject("", std::to_string(reader_.left()) + " bytes too many");
}

void Writer::u16_le(std::uint16_t value) {
  u8(static_cast<std::uint8_t>(value));
  u8(static_cast<std::uint8_t>(value >> 8));
}

void Writer::u16_be(std::uint16_t value) {
  u8(static_cast<std::uint8_t>(value >> 8));
  u8(static_cast<std::uint8_t>(value));
}

void Writer::u32_le(std::uint32_t value) {
  u16_le(static_cast<std::uint16_t>(value));
  u16_le(static_cast<std::uint16_t>(value >> 16));
}

void Writer::u32_be(std::uint32_t value) {
  u16_be(static_cast<std::uint16_t>(value >> 16));
  u16_be(static_cast<std::uint16_t>(value));
}

void Writer::u64_le(std::uint64_t value) {
  u32_le(static_cast<std::uint32_t>(value));
  u32_le(static_cast<std::uint32_t>(value >> 32));
}

void Writer::utf16(std::u16string_view text) {
  for (const char16_t unit : text)
    u16_le(unit);
}

void Writer::patch_u16_le(std::size_t offset, std::uint16_t value) {
  bytes_[offset] = static_cast<std::uint8_t>(value);
  bytes_[offset + 1] = static_cast<std::uint8_t>(value >> 8);
}

void Writer::patch_u32_le(std::size_t offset, std::uint32_t value) {
  patch_u16_le(offset, static_cast<std::uint16_t>(value));
  patch_u16_le(offset + 2, static_cast<std::uint16_t>(value >> 16));
}

std::string to_utf8(std::u16string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char32_t point = text[i];
    if (is_high_surrogate(point) && i + 1 < text.size() && is_low_surrogate(text[i + 1]))
      point = 0x10000 + ((point - 0xD800) << 10) + (text[++i] - 0xDC00);
    else if (is_high_surrogate(point) || is_low_surrogate(point))
      point = replacement;
    append_utf8(out, point);
  }
  return out;
}

std::u16string to_utf16(std::string_view text) {
  std::u16string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    text.remove_prefix(point.bytes);
    if (point.value < 0x10000) {
      out.push_back(static_cast<char16_t>(point.value));
    } else {
      out.push_back(static_cast<char16_t>(0xD800 + ((point.value - 0x10000) >> 10)));
      out.push_back(static_cast<char16_t>(0xDC00 + ((point.value - 0x10000) & 0x3FF)));
    }
  }
  return out;
}

} // namespace tds
