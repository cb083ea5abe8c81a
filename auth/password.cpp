#include "auth/identity_loader.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace auth {

Result<> IdentityLoader::load_password_file() {
  const std::string what = "password file " + spec().path;
  const auto refuse = [&](Kind kind, int code, const std::string &why) {
    return std::unexpected(make_error(kind, what + " (read as " + uid_text() + "): " + why, code));
  };
  const int file = open(spec().path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return refuse(Kind::no_credentials, errno, std::strerror(errno));
  Wiped &password = made_->password_;
  std::size_t size = 0;
  ssize_t got = 0;
  while (size < Wiped::capacity && (got = read(file, password.room() + size, Wiped::capacity - size)) > 0)
    size += static_cast<std::size_t>(got);
  const int code = got < 0 ? errno : 0;
  close(file);
  if (code) return refuse(Kind::no_credentials, code, std::strerror(code));

  const std::string_view all(password.room(), size);
  const auto end = all.find_first_of("\r\n");
  if (end == std::string_view::npos && size == Wiped::capacity)
    return refuse(Kind::malformed, 0,
                  "its first line is longer than " + std::to_string(Wiped::capacity - 1) + " bytes");
  const std::string_view line = all.substr(0, end);
  if (line.empty())
    return refuse(Kind::no_credentials, 0, "its first line, which shall be the password, is empty");
  if (line.find('\0') != std::string_view::npos)
    return refuse(Kind::malformed, 0, "its first line holds a zero byte");
  password.shrink(line.size());
  mix(password.view());
  return {};
}

Result<> IdentityLoader::take_password(std::string_view password) {
  const auto refuse = [&](Kind kind, const std::string &why) {
    return std::unexpected(make_error(kind, "the password of the client's login " + why));
  };
  if (password.empty()) return refuse(Kind::no_credentials, "is empty");
  if (password.size() >= Wiped::capacity)
    return refuse(Kind::malformed, "is longer than " + std::to_string(Wiped::capacity - 1) + " bytes");
  if (password.find('\0') != std::string_view::npos) return refuse(Kind::malformed, "holds a zero byte");
  std::ranges::copy(password, made_->password_.room());
  made_->password_.shrink(password.size());
  mix(password);
  return {};
}

} // namespace auth
