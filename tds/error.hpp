// What a decoder says when bytes are not what the specification allows.
#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace tds {

/// `where` is the structure ("LOGIN7"), `field` the part of it ("ibUserName"), `what` the complaint in words,
/// `offset` the byte offset in that structure. Holds numbers and our own words, never bytes of the peer.
struct Error {
  std::string where;
  std::string field;
  std::string what;
  std::size_t offset = 0;

  /// "LOGIN7 ibUserName at byte 40: points past the end (300 > 210)"
  std::string text() const;
  bool operator==(const Error &) const = default;
};

template <class T> using Result = std::expected<T, Error>;

} // namespace tds
