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

/// Why nobody listens at an address.
struct ListenError {
  std::string text; ///< a sentence that names the address
  int number = 0;   ///< errno; EADDRINUSE goes by itself, EADDRNOTAVAIL: this machine has no such address
};

/// Binds to an address of this machine, and listens; nothing waits in it.
std::expected<ListeningSocket, ListenError> listen_on(const config::Address &address);
/// Binds where the listener says, and listens; nothing waits in it. A Unix socket's file that nobody listens
/// on any more is replaced. Sets the process's umask for a moment: call it while no other thread creates
/// files. Never binds the twin of an address.
std::expected<ListeningSocket, ListenError> listen_on(const config::Listener &listener);

} // namespace shim
