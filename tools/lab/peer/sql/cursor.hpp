// Server cursors (sp_cursoropen and its like): a result that is kept, and a window on it that moves.
#pragma once

#include "tools/lab/peer/sql/rowset.hpp"

namespace lab {

/// All cursors of the lab are static: the rows are those of the moment of opening.
struct Cursor {
  RowSet rows{};
  std::int64_t before = 0; ///< rows before the window
  std::int64_t size = 0;   ///< rows in it

  /// Moves the window as sp_cursorfetch asks (`type`: 1 first, 2 next, 4 previous, 8 last, 0x10 absolute,
  /// 0x20 relative, 0x80 refresh). Absolute positions count from 1, negative ones from the end.
  void fetch(std::int64_t type, std::int64_t row, std::int64_t count);
};

} // namespace lab
