#include "tools/lab/block.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <random>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lab {
namespace {

constexpr int first_a = 64; // 127.0.0.0/10 is left to everybody else
constexpr int blocks = 64 * 256;

/// The folder of lock files, as a descriptor: open to all users like /tmp, and not a
/// symbolic link of somebody's.
int open_locks(const fs::path &path) {
  if (::mkdir(path.c_str(), 01777) == 0) ::chmod(path.c_str(), 01777); // mkdir's mode is subject to the umask
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) throw LabError(fmt::format("cannot use {}: {}", path.string(), std::strerror(errno)));
  return folder;
}

} // namespace

Block::Block(const fs::path &locks) {
  const int folder = open_locks(locks);
  // A random start spreads labs over the range: neighbours in time do not meet each other's
  // connections in TIME_WAIT.
  const int start = static_cast<int>(std::random_device{}() % blocks);
  bool taken = false;
  for (int tried = 0; tried < blocks && !taken; ++tried)
    taken = take(folder, (start + tried) % blocks);
  const int error = errno;
  ::close(folder);
  if (!taken)
    throw LabError(fmt::format("no free block of addresses in {}: {}", locks.string(), std::strerror(error)));
}

Block::~Block() {
  if (lock_ >= 0) ::close(lock_);
}

bool Block::take(int locks, int number) {
  a_ = first_a + number / 256;
  b_ = number % 256;
  const auto name = fmt::format("127.{}.{}", a_, b_);
  // Not O_CREAT at once: the kernel refuses that on another user's file in a sticky folder
  // (fs.protected_regular). Reading is enough for flock.
  int lock = ::openat(locks, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (lock < 0 && errno == ENOENT)
    lock = ::openat(locks, name.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (lock < 0) return false;
  ::fchmod(lock, 0644); // against a narrow umask; fails on another user's, which needs nothing
  struct stat facts {};
  const bool ours = ::fstat(lock, &facts) == 0 && S_ISREG(facts.st_mode) &&
                    ::flock(lock, LOCK_EX | LOCK_NB) == 0 &&
                    port_free(kdc(), 18088); // a lab with another /tmp may be there
  if (!ours) {
    ::close(lock);
    return false;
  }
  lock_ = lock;
  return true;
}

std::string Block::server(int index) const {
  if (index < 0 || index > 200) throw LabError(fmt::format("a lab has no server number {}", index));
  return address(10 + index);
}

std::string Block::address(int last) const { return fmt::format("127.{}.{}.{}", a_, b_, last); }

std::string Block::text() const { return address(0) + "/24"; }

sockaddr_storage socket_address(const std::string &address, std::uint16_t port) {
  sockaddr_storage place{};
  auto &four = reinterpret_cast<sockaddr_in &>(place);
  auto &six = reinterpret_cast<sockaddr_in6 &>(place);
  if (::inet_pton(AF_INET, address.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
  } else if (::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
  } else {
    throw LabError(address + " is no IP address");
  }
  return place;
}

std::uint16_t free_port(const std::string &address) {
  auto place = socket_address(address, 0);
  socklen_t size = sizeof place;
  const int probe = ::socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound = ::bind(probe, reinterpret_cast<const sockaddr *>(&place), size) == 0 &&
                     ::getsockname(probe, reinterpret_cast<sockaddr *>(&place), &size) == 0;
  const auto error = errno;
  ::close(probe);
  if (!bound) throw LabError(fmt::format("no port on {}: {}", address, std::strerror(error)));
  return ntohs(reinterpret_cast<const sockaddr_in6 &>(place).sin6_port); // at the same place in both
}

bool port_free(const std::string &address, std::uint16_t port) {
  const auto place = socket_address(address, port);
  const int probe = ::socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free =
      ::bind(probe, reinterpret_cast<const sockaddr *>(&place), sizeof place) == 0 && ::listen(probe, 1) == 0;
  ::close(probe);
  return free;
}

} // namespace lab
