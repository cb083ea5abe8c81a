// The matrix that the interop test prints: driver x mode x step.
#pragma once

#include "tests/interop/comparison.hpp"

namespace interop {

struct Row {
  std::string driver; ///< with mode
  std::map<std::string, std::string>
      cells; ///< step to "equal", "-" where the driver has no such thing, "DIFFERS", "FAILED"
  Compared compared;
  double seconds = 0;
};
std::string table(const std::vector<Row> &rows, const std::vector<std::string> &steps);

} // namespace interop
