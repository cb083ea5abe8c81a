// Files of a lab: whole-file reads and writes, a folder that is gone when its owner is.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lab {

namespace fs = std::filesystem;

/// Something the lab needs is missing or did not do what it must. The text says what,
/// and which package brings it.
struct LabError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Creates or replaces `path` with `text`; `mode` holds from the first moment, whatever
/// the umask. Throws LabError.
void write_file(const fs::path &path, std::string_view text, unsigned mode = 0600);
/// The whole file; empty where there is none.
std::string read_file(const fs::path &path);
/// The last `lines` lines of a log, for an error message.
std::string tail(const fs::path &path, int lines = 15);

/// The folder that holds the running program; its brothers (sqlshim, sqlshim-lab) are started from here.
fs::path program_folder();

/// A fresh folder of mode 0700 in $TMPDIR (else /tmp), deleted with all its content
/// on destruction unless kept.
class TemporaryFolder {
public:
  explicit TemporaryFolder(std::string_view prefix = "sqlshim-lab");
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;

  const fs::path &path() const { return path_; }
  void keep() { keep_ = true; }

private:
  fs::path path_;
  bool keep_ = false;
};

} // namespace lab
