// A file that a test writes, and writes again.
#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <stdlib.h>

namespace shim_test {

/// In a folder of its own, which goes with it. Absent before the first `write`.
class WrittenFile {
public:
  explicit WrittenFile(const std::string &name) {
    auto pattern = (std::filesystem::temp_directory_path() / "sqlshim-file-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    path_ = folder_ / name;
  }
  ~WrittenFile() { std::filesystem::remove_all(folder_); }
  WrittenFile(const WrittenFile &) = delete;
  const std::filesystem::path &path() const { return path_; }
  void write(const std::string &text) const { std::ofstream(path_) << text; }
  void remove() const { std::filesystem::remove(path_); }

private:
  std::filesystem::path folder_, path_;
};

} // namespace shim_test
