// One value of every SQL type, for `exec lab_types`.
#pragma once

#include "tools/lab/peer/sql/rowset.hpp"

namespace lab {

/// One row of 40 columns; with `nulls`, one of NULLs.
RowSet sample_types(bool nulls);

} // namespace lab
