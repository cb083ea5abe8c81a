#include "tds/version.hpp"

namespace tds {

int Version::generation() const {
  // LOGINACK of SQL Server 7.0 and of 2000 before its first service pack (MS-TDS 2.2.7.14).
  if (wire == 0x07000000) return 70;
  if (wire == 0x07010000) return 71;
  switch (wire >> 24) {
  case 0x70:
    return 70;
  case 0x71:
    return 71;
  case 0x72:
    return 72;
  case 0x73:
    return 73;
  case 0x74:
    return 74;
  case 0x08:
    return 80;
  default:
    return 0;
  }
}

std::string Version::text() const {
  if (known()) return std::to_string(generation() / 10) + "." + std::to_string(generation() % 10);
  constexpr char digits[] = "0123456789ABCDEF";
  std::string hex = "0x";
  for (int shift = 28; shift >= 0; shift -= 4)
    hex.push_back(digits[wire >> shift & 0xF]);
  return hex;
}

} // namespace tds
