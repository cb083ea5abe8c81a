#include "config/place_of_trust.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

namespace config {
namespace {

namespace fs = std::filesystem;

std::string fault_of(const fs::path &path, uid_t self) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return {};
  const std::string name = path.string();
  if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) return {}; // a device
  if (about.st_uid != 0 && about.st_uid != self)
    return fmt::format("{} belongs to uid {}, who could put anything there; run chown {} {}", name,
                       about.st_uid, self, name);
  const bool sticky = S_ISDIR(about.st_mode) && (about.st_mode & S_ISVTX) != 0;
  if (sticky) return {};
  if ((about.st_mode & S_IWOTH) != 0)
    return fmt::format("{} can be written by everybody on this machine; run chmod go-w {}", name, name);
  if ((about.st_mode & S_IWGRP) != 0 && about.st_gid != 0 && about.st_gid != about.st_uid)
    return fmt::format("{} can be written by gid {}; run chmod g-w {}", name, about.st_gid, name);
  return {};
}

} // namespace

std::string fault_of_place(const fs::path &file, uid_t self) {
  std::error_code error;
  const fs::path written = fs::absolute(file, error).lexically_normal();
  const fs::path real = fs::canonical(file, error); // where links lead
  if (error) return {};
  for (const fs::path &path : {written, real}) {
    fs::path way;
    for (const fs::path &part : path) {
      way /= part;
      if (auto fault = fault_of(way, self); !fault.empty()) return fault;
    }
  }
  return {};
}

} // namespace config
