// Who is behind a client connection, as the kernel proves it: never as the client says.
#pragma once

#include "shim/net/task.hpp"

#include <expected>
#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace shim {

/// The local user behind a client connection.
struct Caller {
  uid_t uid = 0;
  std::string user;          ///< name, or the number where it has none
  std::vector<gid_t> groups; ///< primary group included; empty where they could not be told in time
  std::vector<std::string> group_names;
  std::string how; ///< "peercred", "sock_diag"
};

/// The uid behind `socket`. Unix socket: SO_PEERCRED. Loopback TCP: NETLINK_SOCK_DIAG for the client's own socket; the answer counts only for an ESTABLISHED socket with
/// a non-zero inode and a uid of this user namespace: a client that has closed already reads as uid 0 with inode 0. Error: why nobody can be told. Takes
/// microseconds; reads no byte of the connection.
std::expected<uid_t, std::string> prove_uid(Socket &socket);
using UidProver = std::function<std::expected<uid_t, std::string>(Socket &)>;

/// User name and groups of a uid from the system's databases (blocking: LDAP may be behind them).
Caller look_up_user(uid_t uid);

} // namespace shim
