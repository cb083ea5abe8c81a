#include "tds/secret.hpp"

#include <string.h> // explicit_bzero is not in <cstring>'s std

namespace tds {

void wipe(std::span<std::uint8_t> bytes) noexcept {
  if (!bytes.empty()) explicit_bzero(bytes.data(), bytes.size());
}

// A moved vector hands over its buffer, so nothing stays behind in `other` that could be wiped: it only becomes empty.
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

} // namespace tds
