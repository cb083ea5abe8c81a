// Who is behind a client connection, as the kernel proves it: never as the client says.
#pragma once

#include "shim/transport/task.hpp"

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
  std::vector<gid_t> groups; ///< primary group included
  std::vector<std::string> group_names;
  std::string how;          ///< "peercred", "sock_diag"
  bool groups_known = true; ///< false: the user database did not answer in time, and no rule by group holds
};

/// Who owns the client's own socket, as sock_diag describes it (its TCP state, inode, uid): nobody unless it
/// is ESTABLISHED and has an inode. Pure.
std::expected<uid_t, std::string> owner_of(int state, std::uint32_t inode, uid_t uid);

/// The uid behind `socket`. Unix socket: SO_PEERCRED. Loopback TCP: NETLINK_SOCK_DIAG for the client's own
/// socket; the answer counts only for an ESTABLISHED socket with a non-zero inode and a uid of this user
/// namespace: a client that has closed already reads as uid 0 with inode 0. Error: why nobody can be told.
/// Takes microseconds; reads no byte of the connection.
std::expected<uid_t, std::string> prove_uid(Socket &socket);
using UidProver = std::function<std::expected<uid_t, std::string>(Socket &)>;

/// User name and groups of a uid from the system's databases (blocking: LDAP may be behind them).
Caller look_up_user(uid_t uid);

} // namespace shim
