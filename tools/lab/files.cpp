#include "tools/lab/files.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

namespace lab {

void write_file(const fs::path &path, std::string_view text, unsigned mode) {
  const auto failed = [&] {
    return LabError(fmt::format("cannot write {}: {}", path.string(), std::strerror(errno)));
  };
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) throw failed();
  bool good = ::fchmod(file, mode) == 0;
  while (good && !text.empty()) {
    const auto written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    good = written > 0;
    if (good) text.remove_prefix(static_cast<std::size_t>(written));
  }
  const auto error = failed();
  ::close(file);
  if (!good) throw error;
}

std::string read_file(const fs::path &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string tail(const fs::path &path, int lines) {
  const auto text = read_file(path);
  auto from = text.size();
  for (int left = lines + 1; from > 0 && left > 0; --from)
    if (text[from - 1] == '\n' && from != text.size() && --left == 0) break;
  return text.substr(from);
}

fs::path program_folder() {
  // Found once: where we leave a mount namespace that nobody else is in, the kernel no
  // longer knows the whole path.
  static const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path();
  return folder;
}

TemporaryFolder::TemporaryFolder(std::string_view prefix) {
  const char *where = std::getenv("TMPDIR");
  auto name = fmt::format("{}/{}-XXXXXX", where && *where ? where : "/tmp", prefix);
  if (!::mkdtemp(name.data()))
    throw LabError(fmt::format("cannot create {}: {}", name, std::strerror(errno)));
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!keep_) fs::remove_all(path_, ignored);
}

} // namespace lab
