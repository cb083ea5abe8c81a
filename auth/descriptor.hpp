// A file descriptor that is closed when it goes.
#pragma once

#include <unistd.h>
#include <utility>

namespace auth {

/// Owns a descriptor, or none (below 0): what open(2), socket(2) and their like return goes in as it is.
class Descriptor {
public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor &&other) noexcept : fd_(other.release()) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Whoever calls this closes it.
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_ = -1;
};

} // namespace auth
