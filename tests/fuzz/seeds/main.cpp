// fuzz_seeds FOLDER: writes every seed to FOLDER/TARGET/NUMBER.
#include "tests/fuzz/seeds/seeds.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

std::filesystem::path folder;
std::map<std::string, int, std::less<>> written;

std::vector<void (*)()> &all() {
  static std::vector<void (*)()> functions;
  return functions;
}

} // namespace

namespace fuzz {

Seeds::Seeds(void (*write)()) { all().push_back(write); }

void seed(std::string_view target, std::string_view input) {
  const std::string name(target);
  std::filesystem::create_directories(folder / name);
  std::ofstream(folder / name / std::to_string(++written[name]), std::ios::binary) << input;
}

void seed(std::string_view target, std::span<const std::uint8_t> input) {
  seed(target, std::string_view(reinterpret_cast<const char *>(input.data()), input.size()));
}

} // namespace fuzz

int main(int count, char **arguments) {
  if (count != 2) {
    std::fputs("usage: fuzz_seeds FOLDER\n", stderr);
    return 2;
  }
  folder = arguments[1];
  for (const auto write : all())
    write();
  for (const auto &[name, number] : written)
    std::printf("%-16s %d seeds\n", name.c_str(), number);
}
