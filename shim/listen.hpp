// Sockets that listen: TCP, and Unix with its file.
#pragma once

#include "auth/descriptor.hpp"
#include "config/config.hpp"

#include <cstdint>
#include <expected>
#include <string>

namespace shim {

/// A listening socket, closed when it goes; a Unix socket's file is removed with it.
class ListeningSocket {
public:
  /// `path`: the file of a Unix socket, which is ours from here on; empty for TCP.
  ListeningSocket(auth::Descriptor fd, int family, std::string path = {})
      : fd_(std::move(fd)), family_(family), path_(std::move(path)) {}
  ListeningSocket(ListeningSocket &&other) noexcept
      : fd_(std::move(other.fd_)), family_(other.family_), path_(std::exchange(other.path_, "")) {}
  ListeningSocket &operator=(ListeningSocket &&) = delete;
  ~ListeningSocket() { close(); }

  void close();
  bool open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  int family() const { return family_; }
  std::string address() const; ///< as it was bound: "127.0.0.1:14330", "unix:/run/…"
  std::uint16_t port() const;  ///< as it was bound; 0 for a Unix socket

private:
  auth::Descriptor fd_;
  int family_;
  std::string path_;
};

/// Binds where the listener says, and listens; nothing waits in it. A Unix socket's file that nobody listens
/// on any more is replaced. Sets the process's umask for a moment: call it while no other thread creates
/// files. Error: a sentence that names the address.
std::expected<ListeningSocket, std::string> listen_on(const config::Listener &listener);

} // namespace shim
