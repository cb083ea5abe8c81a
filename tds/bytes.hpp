// Bytes in and out: a bounds-checked reader and an appending writer. Nothing else in
// tds/ counts bytes by hand.
#pragma once

#include "tds/error.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tds {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// Reads a byte string from front to back. Every read is checked against what is left; a short read is
/// an Error that names `where` (the structure being decoded) and the field. Never reads past the view,
/// never allocates more than the view holds. Does not own the bytes: they must outlive the reader and
/// every view taken from it.
class Reader {
public:
  Reader(ByteView bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  Result<std::uint8_t> u8(std::string_view field);
  Result<std::uint16_t> u16_le(std::string_view field);
  Result<std::uint16_t> u16_be(std::string_view field);
  Result<std::uint32_t> u32_le(std::string_view field);
  Result<std::uint32_t> u32_be(std::string_view field);
  Result<std::uint64_t> u64_le(std::string_view field);
  /// The next `count` bytes, as a view into the input.
  Result<ByteView> take(std::size_t count, std::string_view field);
  /// `units` UTF-16LE code units (2 bytes each). Unpaired surrogates are kept as they are.
  Result<std::u16string> utf16(std::size_t units, std::string_view field);

  std::size_t offset() const { return offset_; }
  std::size_t left() const { return bytes_.size() - offset_; }
  ByteView rest() const { return bytes_.subspan(offset_); }
  /// An Error at the current offset, for a value that was read but makes no sense.
  Error error(std::string_view field, std::string what) const;

private:
  ByteView bytes_;
  std::string_view where_;
  std::size_t offset_ = 0;
};

/// Reads many fields in a row from a Reader: the first failure sticks, and everything after it reads as zero
/// or empty and consumes nothing. So a decoder is straight-line code that asks once, at its end. A loop must
/// ask `ok()` in each round.
class Fields {
public:
  explicit Fields(Reader &reader) : reader_(reader) {}

  std::uint8_t u8(std::string_view field) { return keep(&Reader::u8, field); }
  std::uint16_t u16_le(std::string_view field) { return keep(&Reader::u16_le, field); }
  std::uint16_t u16_be(std::string_view field) { return keep(&Reader::u16_be, field); }
  std::uint32_t u32_le(std::string_view field) { return keep(&Reader::u32_le, field); }
  std::uint32_t u32_be(std::string_view field) { return keep(&Reader::u32_be, field); }
  std::uint64_t u64_le(std::string_view field) { return keep(&Reader::u64_le, field); }
  ByteView take(std::size_t count, std::string_view field);
  std::u16string utf16(std::size_t units, std::string_view field);

  /// Fails at the current offset, unless something failed before.
  void reject(std::string_view field, std::string what) { fail(reader_.error(field, std::move(what))); }
  void fail(Error error);
  /// Fails where bytes are left over.
  void expect_end();

  bool ok() const { return !failed_; }
  bool at_end() const { return reader_.left() == 0; }
  /// `value`, or the first failure.
  template <class T> Result<T> finish(T value) const {
    if (failed_) return std::unexpected(*failed_);
    return value;
  }

private:
  template <class T> T keep(Result<T> (Reader::*read)(std::string_view), std::string_view field) {
    if (failed_) return T{};
    auto value = (reader_.*read)(field);
    if (value) return *value;
    fail(std::move(value).error());
    return T{};
  }

  Reader &reader_;
  std::optional<Error> failed_;
};

/// Appends to a byte string that it owns.
class Writer {
public:
  void u8(std::uint8_t value) { bytes_.push_back(value); }
  void u16_le(std::uint16_t value);
  void u16_be(std::uint16_t value);
  void u32_le(std::uint32_t value);
  void u32_be(std::uint32_t value);
  void u64_le(std::uint64_t value);
  void append(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void utf16(std::u16string_view text);
  /// Overwrites two bytes already written at `offset`: for a length that is known only afterwards.
  void patch_u16_le(std::size_t offset, std::uint16_t value);
  void patch_u32_le(std::size_t offset, std::uint32_t value);

  std::size_t size() const { return bytes_.size(); }
  const Bytes &bytes() const & { return bytes_; }
  Bytes bytes() && { return std::move(bytes_); }

private:
  Bytes bytes_;
};

/// UTF-16 to UTF-8; an unpaired surrogate becomes U+FFFD. For people and for names, never for a round trip.
std::string to_utf8(std::u16string_view text);
/// UTF-8 to UTF-16; an invalid byte becomes U+FFFD.
std::u16string to_utf16(std::string_view text);

} // namespace tds
