#include "tests/support/markdown.hpp"

#include <fstream>

namespace test {

std::vector<std::string> split(std::string_view text, std::string_view between) {
  std::vector<std::string> parts;
  for (;;) {
    const auto at = text.find(between);
    parts.emplace_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + between.size());
  }
}

std::map<std::string, std::vector<std::string>> markdown_table(const std::filesystem::path &file,
                                                               std::string_view heading) {
  std::map<std::string, std::vector<std::string>> rows;
  std::ifstream lines(file);
  std::string line;
  while (std::getline(lines, line) && !line.starts_with(heading)) {
  }
  std::getline(lines, line); // |---|
  while (std::getline(lines, line) && line.starts_with("| ")) {
    while (line.ends_with('|') || line.ends_with(' '))
      line.pop_back();
    const auto cells = split(line.substr(2), " | ");
    for (const auto &name : split(cells.front(), ", "))
      rows[name] = {cells.begin() + 1, cells.end()};
  }
  return rows;
}

} // namespace test
