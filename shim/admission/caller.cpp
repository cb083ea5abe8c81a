#include "shim/admission/caller.hpp"

#include "auth/descriptor.hpp"

#include <cstring>
#include <fstream>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <unistd.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;

/// True when `uid` stands for "some user outside of this user namespace".
bool is_overflow_uid(uid_t uid) {
  uid_t overflow = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> overflow;
  if (uid != overflow) return false;
  // In the initial namespace everybody is mapped, and the number is an ordinary user ("nobody").
  std::uint64_t inside = 0, outside = 0, count = 0;
  std::ifstream("/proc/self/uid_map") >> inside >> outside >> count;
  return !(inside == 0 && count >= 4294967295u);
}

Tcp::endpoint to_tcp(const asio::generic::stream_protocol::endpoint &endpoint) {
  Tcp::endpoint tcp;
  std::memcpy(tcp.data(), endpoint.data(), std::min(endpoint.size(), tcp.capacity()));
  tcp.resize(std::min(endpoint.size(), tcp.capacity()));
  return tcp;
}

/// Asks the kernel for the socket whose local end is `client` and whose remote end is `ours`.
std::expected<inet_diag_msg, std::string> diagnose_socket(const Tcp::endpoint &client,
                                                          const Tcp::endpoint &ours) {
  const auth::Descriptor netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return std::unexpected(std::string("sock_diag socket: ") + std::strerror(errno));

  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  auto &id = question.request.id;
  question.request.sdiag_family = client.address().is_v4() ? AF_INET : AF_INET6;
  question.request.sdiag_protocol = IPPROTO_TCP;
  question.request.idiag_states = ~0u;
  id.idiag_sport = htons(client.port());
  id.idiag_dport = htons(ours.port());
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (client.address().is_v4()) {
    id.idiag_src[0] = htonl(client.address().to_v4().to_uint());
    id.idiag_dst[0] = htonl(ours.address().to_v4().to_uint());
  } else {
    auto source = client.address().to_v6().to_bytes(), destination = ours.address().to_v6().to_bytes();
    std::memcpy(id.idiag_src, source.data(), 16);
    std::memcpy(id.idiag_dst, destination.data(), 16);
  }
  if (::send(netlink.get(), &question, sizeof question, 0) != static_cast<ssize_t>(sizeof question))
    return std::unexpected(std::string("sock_diag send: ") + std::strerror(errno));

  alignas(nlmsghdr) char buffer[4096];
  auto received = ::recv(netlink.get(), buffer, sizeof buffer, 0);
  auto *header = reinterpret_cast<nlmsghdr *>(buffer);
  if (received < static_cast<ssize_t>(sizeof(nlmsghdr)) ||
      !NLMSG_OK(header, static_cast<std::size_t>(received)))
    return std::unexpected("sock_diag gave no answer");
  if (header->nlmsg_type == NLMSG_ERROR) {
    auto *failure = static_cast<nlmsgerr *>(NLMSG_DATA(header));
    return std::unexpected(failure->error == -ENOENT
                               ? "the client's socket is gone"
                               : std::string("sock_diag: ") + std::strerror(-failure->error));
  }
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
    return std::unexpected("sock_diag answered in short");
  inet_diag_msg found;
  std::memcpy(&found, NLMSG_DATA(header), sizeof found);
  return found;
}

} // namespace

std::expected<uid_t, std::string> owner_of(int state, std::uint32_t inode, uid_t uid) {
  // A socket that its owner has closed lives on without an inode, and its uid then
  // reads as 0: it proves nothing.
  if (state != TCP_ESTABLISHED) return std::unexpected("the client has closed its connection already");
  if (inode == 0) return std::unexpected("the client's socket has no owner any more");
  return uid;
}

std::expected<uid_t, std::string> prove_uid(Socket &socket) {
  boost::system::error_code error;
  auto local = socket.local_endpoint(error);
  if (error) return std::unexpected("the connection is gone: " + error.message());
  uid_t uid;
  if (local.protocol().family() == AF_UNIX) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        size != sizeof peer)
      return std::unexpected(std::string("SO_PEERCRED: ") + std::strerror(errno));
    uid = peer.uid;
  } else {
    auto remote = socket.remote_endpoint(error);
    if (error) return std::unexpected("the connection is gone: " + error.message());
    auto client = to_tcp(remote), ours = to_tcp(local);
    if (!client.address().is_loopback()) return std::unexpected("the client is not on this machine");
    auto found = diagnose_socket(client, ours);
    if (!found) return std::unexpected(found.error());
    auto owner = owner_of(found->idiag_state, found->idiag_inode, found->idiag_uid);
    if (!owner) return owner;
    uid = *owner;
  }
  if (uid == static_cast<uid_t>(-1) || is_overflow_uid(uid))
    return std::unexpected("the client's user is outside of this user namespace");
  return uid;
}

Caller look_up_user(uid_t uid) {
  Caller caller;
  caller.uid = uid;
  caller.user = std::to_string(uid);
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd *found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found) return caller;
  caller.user = found->pw_name;

  int count = 64;
  std::vector<gid_t> groups(count);
  while (::getgrouplist(found->pw_name, found->pw_gid, groups.data(), &count) < 0 &&
         count > static_cast<int>(groups.size()))
    groups.resize(count);
  groups.resize(std::max(count, 0));
  for (auto gid : groups) {
    caller.groups.push_back(gid);
    std::vector<char> space(65536);
    group group_entry{};
    group *group_found = nullptr;
    bool known =
        ::getgrgid_r(gid, &group_entry, space.data(), space.size(), &group_found) == 0 && group_found;
    caller.group_names.push_back(known ? group_found->gr_name : std::to_string(gid));
  }
  return caller;
}

} // namespace shim
