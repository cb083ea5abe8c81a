#include "tds/secret.hpp"

#include <string.h> // explicit_bzero is not in <cstring>'s std

namespace tds {

void wipe(std::span<std::uint8_t> bytes) noexcept {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
}

// A moved vector hands over its buffer, so nothing stays behind in `other` that could be
// wiped: it only becomes empty.
Secret::Secret(Secret &&other) noexcept : bytes_(std::move(other.bytes_)) { other.wipe(); }

Secret &Secret::operator=(Secret &&other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
    other.wipe();
  }
  return *this;
}

void Secret::wipe() noexcept {
  tds::wipe(bytes_);
  bytes_.clear();
}

std::optional<Secret> to_utf8(const Secret &utf16) {
  const ByteView units = utf16.reveal();
  Bytes out;
  out.reserve(units.size() / 2 * 3); // it never grows: nothing is left behind in memory that was given back
  const auto unit = [&](std::size_t at) { return static_cast<char32_t>(units[at] | units[at + 1] << 8); };
  const auto put = [&](char32_t byte) { out.push_back(static_cast<std::uint8_t>(byte)); };
  const auto is_text = [&] {
    for (std::size_t at = 0; at < units.size(); at += 2) {
      if (units.size() - at < 2) return false;
      char32_t point = unit(at);
      if (point >= 0xD800 && point < 0xE000) {
        if (point >= 0xDC00 || units.size() - at < 4) return false;
        const char32_t low = unit(at += 2);
        if (low < 0xDC00 || low >= 0xE000) return false;
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
      }
      if (point < 0x80) {
        put(point);
        continue;
      }
      if (point < 0x800) {
        put(0xC0 | point >> 6);
      } else {
        if (point < 0x10000) {
          put(0xE0 | point >> 12);
        } else {
          put(0xF0 | point >> 18);
          put(0x80 | (point >> 12 & 0x3F));
        }
        put(0x80 | (point >> 6 & 0x3F));
      }
      put(0x80 | (point & 0x3F));
    }
    return true;
  }();
  Secret made(std::move(out));
  if (!is_text) return std::nullopt;
  return made;
}

} // namespace tds
