// A secret: owned bytes that are wiped when they go, and that cannot be printed,
// compared or logged by accident.
#pragma once

#include "tds/bytes.hpp"

#include <optional>

namespace tds {

/// Overwrites bytes in a way that no optimiser removes.
void wipe(std::span<std::uint8_t> bytes) noexcept;

/// Passwords and what is as good as one. Move-only; the bytes are overwritten (explicit_bzero) on
/// destruction, on assignment and in the moved-from object. There is no operator<<, no operator==, no
/// conversion: `reveal()` is the only way in, so that a search for it lists every place that touches a
/// secret. Tests compare `reveal()` explicitly.
class Secret {
public:
  Secret() = default;
  explicit Secret(ByteView bytes) : bytes_(bytes.begin(), bytes.end()) {}
  /// Takes over `bytes` (no copy is left behind).
  explicit Secret(Bytes &&bytes) : bytes_(std::move(bytes)) {}
  Secret(Secret &&other) noexcept;
  Secret &operator=(Secret &&other) noexcept;
  Secret(const Secret &) = delete;
  Secret &operator=(const Secret &) = delete;
  ~Secret() { wipe(); }

  ByteView reveal() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  std::size_t size() const { return bytes_.size(); }
  /// An explicit copy: there is no implicit one.
  Secret clone() const { return Secret(ByteView(bytes_)); }
  void wipe() noexcept;

private:
  Bytes bytes_;
};

/// The same password in UTF-8; LOGIN7 has it in UTF-16LE. Nothing of it stays behind in memory. nullopt: it
/// is no UTF-16 (half a pair, half a unit).
std::optional<Secret> to_utf8(const Secret &utf16);

} // namespace tds
