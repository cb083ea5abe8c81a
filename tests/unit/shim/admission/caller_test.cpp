#include "shim/admission/caller.hpp"

#include "tests/unit/shim/support.hpp"

#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>

namespace shim_test {
namespace {

using testing::HasSubstr;
using Unix = asio::local::stream_protocol;
using UnixSocket = asio::basic_stream_socket<Unix, Executor>;

constexpr uid_t somebody = 31337; ///< nobody has it

/// A connection whose client side was made by `uid` (root only, unless it is our own).
std::pair<TcpSocket, Socket> connection_of(Loop &loop, uid_t uid, const asio::ip::address &address) {
  TcpAcceptor acceptor(loop.executor(), Tcp::endpoint(address, 0));
  // A socket belongs to the filesystem uid of the thread that makes it.
  ::setfsuid(uid);
  TcpSocket client(loop.executor(), acceptor.local_endpoint().protocol());
  ::setfsuid(::geteuid());
  client.connect(acceptor.local_endpoint());
  Socket server(acceptor.accept());
  return {std::move(client), std::move(server)};
}

class ProveUid : public testing::TestWithParam<const char *> {
protected:
  asio::ip::address address_ = asio::ip::make_address(GetParam());
  Loop loop_;
};
INSTANTIATE_TEST_SUITE_P(Loopback, ProveUid, testing::Values("127.0.0.1", "127.0.0.9", "::1"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::ranges::replace_if(
                               name, [](char c) { return c == '.' || c == ':'; }, '_');
                           return name;
                         });

TEST_P(ProveUid, OwnConnection) {
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  const auto uid = prove_uid(server);
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, ::geteuid());
}

TEST_P(ProveUid, SomebodyElsesConnection) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  auto [client, server] = connection_of(loop_, somebody, address_);
  const auto uid = prove_uid(server);
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, somebody);
}

TEST_P(ProveUid, ReadsNothingOfTheConnection) {
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  asio::write(client, asio::buffer("hello", 5));
  ASSERT_TRUE(prove_uid(server));
  char text[6]{};
  asio::read(server, asio::buffer(text, 5));
  EXPECT_STREQ(text, "hello");
}

TEST_P(ProveUid, ClientThatHasClosedAlready) {
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  client.close();
  const auto uid = prove_uid(server);
  ASSERT_FALSE(uid) << "its socket reads as root's: " << *uid;
  EXPECT_THAT(uid.error(), testing::AnyOf(HasSubstr("closed its connection already"), HasSubstr("gone")));
}

TEST_P(ProveUid, ClientThatHasHalfClosed) {
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  client.shutdown(TcpSocket::shutdown_send);
  EXPECT_FALSE(prove_uid(server));
}

TEST_P(ProveUid, ClientThatHasReset) {
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  reset(client);
  EXPECT_FALSE(prove_uid(server));
}

TEST_P(ProveUid, OurOwnSideHasClosed) {
  // The client's socket is then in CLOSE_WAIT: it has an owner still, but no ESTABLISHED connection.
  auto [client, server] = connection_of(loop_, ::geteuid(), address_);
  server.shutdown(Socket::shutdown_send);
  EXPECT_FALSE(prove_uid(server));
}

TEST(OwnerOf, CountsOnlyEstablishedSocketsWithAnInode) {
  EXPECT_EQ(owner_of(TCP_ESTABLISHED, 7, somebody), somebody);
  EXPECT_FALSE(owner_of(TCP_ESTABLISHED, 0, 0)) << "a socket without an inode reads as root's";
  for (int state : {TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_TIME_WAIT, TCP_CLOSE, TCP_SYN_SENT})
    EXPECT_FALSE(owner_of(state, 7, somebody)) << state;
}

TEST(ProveUidTest, ClosedSocket) {
  Loop loop;
  Socket socket(loop.executor());
  EXPECT_FALSE(prove_uid(socket));
}

/// In a child: becomes root of a user namespace that `somebody` made, as in a rootless
/// container. False: not permitted.
bool become_root_of_a_container() {
  if (::setresuid(somebody, somebody, somebody) != 0 || ::unshare(CLONE_NEWUSER) != 0) return false;
  ::prctl(PR_SET_DUMPABLE, 1); // else its /proc is root's
  const auto map = "0 " + std::to_string(somebody) + " 1";
  const int file = ::open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
  return file >= 0 && ::write(file, map.data(), map.size()) > 0 && ::geteuid() == 0;
}

TEST(ProveUidTest, RootOfAContainerIsTheUserWhoRunsIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  Loop loop;
  TcpAcceptor acceptor(loop.executor(), Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  int told[2];
  ASSERT_EQ(::pipe2(told, O_CLOEXEC), 0);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    TcpSocket client(loop.executor());
    boost::system::error_code error = asio::error::no_permission;
    if (become_root_of_a_container()) client.connect(acceptor.local_endpoint(), error);
    const char connected = !error;
    if (::write(told[1], &connected, 1) == 1) ::pause(); // the connection is to stay
    ::_exit(0);
  }
  char connected = 0;
  EXPECT_EQ(::read(told[0], &connected, 1), 1);
  std::expected<uid_t, std::string> uid = 0;
  if (connected) {
    Socket server(acceptor.accept());
    uid = prove_uid(server);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(told[0]);
  ::close(told[1]);
  if (!connected) {
#if !__has_feature(thread_sanitizer)
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "CI has user namespaces";
#endif
    GTEST_SKIP() << "no user namespaces here, or not for a process with the threads of a sanitizer";
  }
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, somebody);
}

/// Gives the calling thread a network namespace of its own, in which `address` belongs to the loopback
/// interface. False: not permitted.
bool enter_network_with(const char *address) {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  bool done = ::ioctl(any, SIOCSIFFLAGS, &request) == 0;
  std::strcpy(request.ifr_name, "lo:1");
  sockaddr_in extra{};
  extra.sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &extra.sin_addr);
  std::memcpy(&request.ifr_addr, &extra, sizeof extra);
  done = done && ::ioctl(any, SIOCSIFADDR, &request) == 0;
  ::close(any);
  return done;
}

TEST(ProveUidTest, NotOnLoopback) {
  std::expected<uid_t, std::string> uid = 0;
  bool entered = false;
  // A namespace is a thread's own: this one's goes with it.
  std::thread([&] {
    constexpr auto elsewhere = "192.0.2.1"; // TEST-NET-1, RFC 5737
    entered = enter_network_with(elsewhere);
    if (!entered) return;
    Loop loop;
    auto [client, server] = connection_of(loop, ::geteuid(), asio::ip::make_address(elsewhere));
    uid = prove_uid(server);
  }).join();
  if (!entered) {
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "CI runs this as root";
    GTEST_SKIP() << "needs root, to make a network namespace";
  }
  ASSERT_FALSE(uid);
  EXPECT_EQ(uid.error(), "the client is not on this machine");
}

/// A Unix connection whose client side was made by `uid`.
std::pair<UnixSocket, Socket> unix_connection_of(Loop &loop, uid_t uid) {
  const auto path =
      (std::filesystem::temp_directory_path() / ("sqlshim-caller-" + std::to_string(::getpid()) + ".sock"))
          .string();
  std::filesystem::remove(path);
  asio::basic_socket_acceptor<Unix, Executor> acceptor(loop.executor(), Unix::endpoint(path));
  std::filesystem::permissions(path, std::filesystem::perms::all);
  UnixSocket client(loop.executor());
  const auto self = ::geteuid();
  // Of this thread alone: glibc's seteuid would change all of them.
  if (uid != self) ::syscall(SYS_setresuid, -1, uid, -1);
  boost::system::error_code error;
  client.connect(acceptor.local_endpoint(), error);
  if (uid != self) ::syscall(SYS_setresuid, -1, self, -1);
  std::filesystem::remove(path);
  if (error) throw boost::system::system_error(error);
  return {std::move(client), Socket(acceptor.accept())};
}

TEST(ProveUidTest, UnixSocketOwn) {
  Loop loop;
  auto [client, server] = unix_connection_of(loop, ::geteuid());
  const auto uid = prove_uid(server);
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, ::geteuid());
}

TEST(ProveUidTest, UnixSocketOfSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  Loop loop;
  auto [client, server] = unix_connection_of(loop, somebody);
  const auto uid = prove_uid(server);
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, somebody);
}

TEST(ProveUidTest, UnixSocketRemembersWhoConnected) {
  // SO_PEERCRED is taken at connect: a client that is gone is known all the same.
  Loop loop;
  auto [client, server] = unix_connection_of(loop, ::geteuid());
  client.close();
  const auto uid = prove_uid(server);
  ASSERT_TRUE(uid) << uid.error();
  EXPECT_EQ(*uid, ::geteuid());
}

TEST(LookUpUser, Self) {
  const auto *entry = ::getpwuid(::getuid());
  if (!entry) GTEST_SKIP() << "this uid has no entry";
  const std::string name = entry->pw_name;
  const auto primary = entry->pw_gid;
  const auto caller = look_up_user(::getuid());
  EXPECT_EQ(caller.uid, ::getuid());
  EXPECT_EQ(caller.user, name);
  EXPECT_THAT(caller.groups, testing::Contains(primary));
  ASSERT_EQ(caller.groups.size(), caller.group_names.size());
  for (std::size_t i = 0; i < caller.groups.size(); ++i) {
    const auto *group = ::getgrgid(caller.groups[i]);
    EXPECT_EQ(caller.group_names[i], group ? group->gr_name : std::to_string(caller.groups[i]));
  }
}

TEST(LookUpUser, Nobody) {
  if (::getpwuid(somebody)) GTEST_SKIP() << "uid 31337 is somebody here";
  const auto caller = look_up_user(somebody);
  EXPECT_EQ(caller.uid, somebody);
  EXPECT_EQ(caller.user, "31337");
  EXPECT_TRUE(caller.groups.empty());
}

} // namespace
} // namespace shim_test
