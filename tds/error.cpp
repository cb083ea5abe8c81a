#include "tds/error.hpp"

namespace tds {

std::string Error::text() const {
  std::string text = where;
  if (!field.empty()) text += " " + field;
  return text + " at byte " + std::to_string(offset) + ": " + what;
}

} // namespace tds
