#include "config/privileges.hpp"

#include <charconv>
#include <cstdint>

namespace config {

bool may_read_files_of_others(std::string_view proc_status) {
  constexpr std::string_view key = "\nCapEff:\t";
  constexpr std::uint64_t dac_override = 1, dac_read_search = 2; // capabilities(7)
  const std::size_t at = proc_status.find(key);
  if (at == std::string_view::npos) return false;
  const std::string_view digits = proc_status.substr(at + key.size());
  std::uint64_t set = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), set, 16).ec != std::errc{}) return false;
  return (set >> dac_override & 1) != 0 || (set >> dac_read_search & 1) != 0;
}

} // namespace config
