// The TDS protocol version, as LOGIN7 asks for it and LOGINACK grants it (MS-TDS 2.2.6.4, 2.2.7.14).
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace tds {

/// `wire` is the number as LOGIN7 carries it (little-endian on the wire there, big-endian in LOGINACK).
/// 0x08000000 (TDS 8.0) is numerically small and yet the newest: always compare `generation()`, never `wire`.
struct Version {
  std::uint32_t wire = 0x74000004;

  /// 70, 71, 72, 73, 74 or 80; 0 for anything else (4.2, 5.0, garbage).
  int generation() const;
  bool at_least_7_2() const { return generation() >= 72; }
  bool known() const { return generation() != 0; }
  /// "7.4", "8.0", or "0x12345678" where unknown.
  std::string text() const;
  bool operator==(const Version &) const = default;
};

inline constexpr Version tds_7_0{0x70000000};
inline constexpr Version tds_7_1{0x71000001};
inline constexpr Version tds_7_2{0x72090002};
inline constexpr Version tds_7_3{0x730B0003};
inline constexpr Version tds_7_4{0x74000004};
inline constexpr Version tds_8_0{0x08000000};

} // namespace tds
