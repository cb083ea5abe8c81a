#include "auth/descriptor.hpp"
#include "auth/identity_loader.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace auth {
namespace {

/// Why a file that another user could have put there is not read; empty: it may be.
std::string why_not_taken(const struct stat &about, uid_t owner) {
  constexpr mode_t others = S_IRWXG | S_IRWXO;
  if (!S_ISREG(about.st_mode)) return "it is no regular file";
  if (about.st_uid != owner)
    return "it belongs to uid " + std::to_string(about.st_uid) + ", not to uid " + std::to_string(owner);
  if ((about.st_mode & others) != 0) return "others than its owner may use it; run chmod 0600";
  if (about.st_nlink != 1) return "it has " + std::to_string(about.st_nlink) + " links, and must have one";
  if (about.st_size > static_cast<off_t>(largest_ccache))
    return "it is larger than " + std::to_string(largest_ccache) + " bytes";
  return {};
}

} // namespace

Result<> IdentityLoader::load_caller_ccache() {
  const std::string path = spec().path.starts_with("FILE:") ? spec().path.substr(5) : spec().path;
  const auto refuse = [&](const std::string &why, int code = 0) {
    return std::unexpected(
        make_error(Kind::no_credentials,
                   "the caller's credential cache " + path + " (read as " + uid_text() + "): " + why, code));
  };
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return refuse(errno == ELOOP ? "it is a symbolic link" : std::strerror(errno), errno);
  struct stat about {};
  if (fstat(file.get(), &about) != 0) return refuse(std::strerror(errno), errno);
  if (const std::string why = why_not_taken(about, spec().owner); !why.empty()) return refuse(why);

  // libkrb5 parses files alone: it is given one that has no name and that nobody else can open.
  const Descriptor copy(memfd_create("ccache", MFD_CLOEXEC));
  if (!copy) return refuse(std::strerror(errno), errno);
  std::array<char, 16 * 1024> some{};
  std::size_t size = 0;
  ssize_t got = 0;
  while ((got = read(file.get(), some.data(), some.size())) > 0) {
    size += static_cast<std::size_t>(got);
    if (size > largest_ccache || write(copy.get(), some.data(), static_cast<std::size_t>(got)) != got) break;
  }
  const int code = errno;
  explicit_bzero(some.data(), some.size());
  if (size > largest_ccache) return refuse("it is larger than " + std::to_string(largest_ccache) + " bytes");
  if (got != 0) return refuse(std::strerror(code), code);
  copy_ = "FILE:/proc/self/fd/" + std::to_string(copy.get());
  return load_ccache();
}

} // namespace auth
