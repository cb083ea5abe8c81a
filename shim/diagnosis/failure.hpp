// What a step of a connection that failed says of itself.
#pragma once

#include "shim/log/words.hpp"
#include "tds/token.hpp"

#include <string>
#include <vector>

namespace shim {

/// The cause that a step can tell from where it stands, and its own words.
struct Failure {
  Step step{}; ///< where it was
  Cause cause{};
  std::string detail;
  std::vector<tds::ServerMessage> errors = {}; ///< where the server refused: its own, for the client
};

} // namespace shim
