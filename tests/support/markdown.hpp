// Tables of the README, for tests that hold it to what the program does.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// The parts of `text` before, between and behind each `between`; one at least.
std::vector<std::string> split(std::string_view text, std::string_view between);

/// The first table of `file` whose first line begins with `heading`: for each of the names in a row's first
/// cell ("a, b") the row's other cells. Empty: there is none.
std::map<std::string, std::vector<std::string>> markdown_table(const std::filesystem::path &file,
                                                               std::string_view heading);

} // namespace test
