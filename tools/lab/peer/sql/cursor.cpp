#include "tools/lab/peer/sql/cursor.hpp"

#include <algorithm>

namespace lab {

void Cursor::fetch(std::int64_t type, std::int64_t row, std::int64_t count) {
  const auto total = static_cast<std::int64_t>(rows.rows.size());
  row = std::clamp(row, -total - 1, total + 1);
  count = std::clamp<std::int64_t>(count, 0, total);
  std::int64_t first = before;
  switch (type & 0xFF) {
  case 0x01:
    first = 0;
    break;
  case 0x02:
    first = before + size;
    break;
  case 0x04:
    first = before - count;
    if (first < 0 && before > 0) first = 0; // as in SQL Server, a window that sticks out is moved in
    break;
  case 0x08:
    first = total - count;
    break;
  case 0x10:
    first = row > 0 ? row - 1 : row < 0 ? total + row : -1;
    break;
  case 0x20:
    first = before + row;
    break;
  default: // a refresh: what is in the window already
    return;
  }
  const auto last = std::clamp(first + count, std::int64_t{0}, total);
  before = std::clamp(first, std::int64_t{0}, total);
  size = first < 0 && type != 0x08 ? 0 : std::max<std::int64_t>(last - before, 0);
  if (type == 0x08) size = last - before;
}

} // namespace lab
