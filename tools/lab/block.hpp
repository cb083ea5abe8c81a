// Addresses of one lab: 127.A.B.0/24, held against every other lab of this machine by a lock file.
#pragma once

#include "tools/lab/files.hpp"

#include <cstdint>
#include <string>
#include <sys/socket.h>

namespace lab {

/// Holds one block while it lives. The lock is the kernel's (flock), so a killed lab leaves nothing to clean
/// up; the lock files stay, they are empty. Labs of several users share the folder.
///
///   .1 KDC    .2 DNS    .10 and up: servers
class Block {
public:
  /// Takes a free block. `locks` is the folder of lock files, one for all labs of the
  /// machine; tests give their own.
  explicit Block(const fs::path &locks = "/tmp/sqlshim-lab-blocks");
  ~Block();
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;

  std::string kdc() const { return address(1); }
  std::string dns() const { return address(2); }
  std::string server(int index) const; ///< 0 is sql1
  std::string address(int last) const; ///< 127.A.B.`last`
  std::string text() const;            ///< "127.A.B.0/24"

private:
  bool take(int locks, int number);

  int a_ = 0;
  int b_ = 0;
  int lock_ = -1;
};

/// An IPv4 or IPv6 address for the kernel. Throws LabError for one that is none.
sockaddr_storage socket_address(const std::string &address, std::uint16_t port);
/// A port of `address` that nobody has now: for the IPv6 loopback address, which all labs share.
std::uint16_t free_port(const std::string &address);
/// Whether a TCP listener could be opened there now.
bool port_free(const std::string &address, std::uint16_t port);

} // namespace lab
