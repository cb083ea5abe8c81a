// An address that neither answers nor refuses: connections to it time out. Needs no firewall and no root.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lab {

/// Listens, and fills its own queue of connections that nobody accepts: the kernel then drops every
/// further SYN. Until destruction.
class BlackHole {
public:
  BlackHole(const std::string &address, std::uint16_t port);
  ~BlackHole();
  BlackHole(const BlackHole &) = delete;
  BlackHole &operator=(const BlackHole &) = delete;

private:
  std::vector<int> sockets_;
};

} // namespace lab
