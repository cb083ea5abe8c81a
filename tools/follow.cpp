#include "tools/follow.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace commands {

Follower::~Follower() {
  if (fd_ >= 0) ::close(fd_);
}

std::vector<Follower::Line> Follower::lines() {
  std::vector<Line> lines;
  if (fd_ < 0) open();
  if (fd_ < 0) return lines;
  // Asked before reading: what the old file gets until a new one has content is read, and
  // nothing comes after that.
  const bool new_file = replaced();
  read_on(lines);
  if (new_file) {
    give_up_partial(lines);
    open();
    read_on(lines);
  }
  return lines;
}

bool Follower::replaced() const {
  struct stat ours {
  }, theirs{};
  if (::fstat(fd_, &ours) != 0 || ::stat(path_.c_str(), &theirs) != 0) return false;
  return theirs.st_size > 0 && (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev);
}

void Follower::open() {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return; // not there yet, or no longer
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  read_ = 0;
  at_start_ = true;
}

void Follower::read_on(std::vector<Line> &lines) {
  struct stat now {};
  if (::fstat(fd_, &now) == 0 && now.st_size < read_) {
    give_up_partial(lines);
    read_ = 0;
    at_start_ = true;
  }
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t count = ::pread(fd_, buffer.data(), buffer.size(), read_);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    read_ += count;
    std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
    for (auto end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
      hand_out(lines, std::exchange(partial_, {}).append(bytes.substr(0, end)));
      bytes.remove_prefix(end + 1);
    }
    partial_ += bytes;
  }
}

void Follower::hand_out(std::vector<Line> &lines, std::string text) {
  lines.push_back({std::move(text), std::exchange(at_start_, false)});
}

void Follower::give_up_partial(std::vector<Line> &lines) {
  if (!partial_.empty()) hand_out(lines, std::exchange(partial_, {}));
}

} // namespace commands
