#include "tools/lab/netns.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <linux/capability.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lab {
namespace {

[[noreturn]] void fail(const std::string &what) {
  throw LabError(fmt::format("--netns: {}: {}", what, std::strerror(errno)));
}

/// For files of /proc, which take their text in one write and refuse it there.
void tell_kernel(const char *path, const std::string &text) {
  std::ofstream out(path);
  if (!(out << text << std::flush)) fail(path);
}

/// Up, and with one address beside 127.0.0.1 and one beside ::1 (where the kernel has IPv6): getaddrinfo with
/// AI_ADDRCONFIG finds no name's addresses of a family of which the machine has loopback addresses alone.
void raise_loopback() {
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq loopback{}, documentation{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  std::strcpy(documentation.ifr_name, "lo:1");
  auto &address = reinterpret_cast<sockaddr_in &>(documentation.ifr_addr);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0xC0000201); // 192.0.2.1, RFC 5737
  const bool up = any >= 0 && ::ioctl(any, SIOCSIFFLAGS, &loopback) == 0 &&
                  ::ioctl(any, SIOCSIFADDR, &documentation) == 0;
  ::close(any);
  if (!up) fail("the loopback interface");
  in6_ifreq documentation6{};
  ::inet_pton(AF_INET6, "2001:db8::1", &documentation6.ifr6_addr); // RFC 3849
  documentation6.ifr6_prefixlen = 128;
  documentation6.ifr6_ifindex = static_cast<int>(::if_nametoindex("lo"));
  if (const int six = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); six >= 0) {
    ::ioctl(six, SIOCSIFADDR, &documentation6);
    ::close(six);
  }
}

/// The DNS server needs port 53, and a program that is not root keeps no capability across execve but an
/// ambient one. (The sysctl that would open the port to all is read-only in most containers.)
void keep_low_ports() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) fail("capget");
  data[0].inheritable |= 1u << CAP_NET_BIND_SERVICE;
  if (::syscall(SYS_capset, &header, data) != 0) fail("capset");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) != 0) fail("PR_CAP_AMBIENT");
}

/// What is mounted on a symbolic link is mounted on the file that it leads to: a link into nowhere (an absent
/// systemd-resolved) cannot be served.
void mount_over(const fs::path &file, const char *place) {
  if (::mount(file.c_str(), place, nullptr, MS_BIND, nullptr) != 0) fail(place);
}

} // namespace

void enter_netns() {
  program_folder(); // while it can be found
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0)
    fail(
        "this kernel or container gives no user, network and mount namespaces (kernel.unprivileged_userns_clone, "
        "user.max_user_namespaces, seccomp)");
  tell_kernel("/proc/self/setgroups", "deny"); // before gid_map, or the kernel refuses that
  tell_kernel("/proc/self/uid_map", fmt::format("{0} {0} 1", user));
  tell_kernel("/proc/self/gid_map", fmt::format("{0} {0} 1", group));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail("mounts of its own");
  raise_loopback();
  keep_low_ports();
}

void resolve_by(const fs::path &folder, const std::string &dns, const std::string &domain) {
  fs::create_directories(folder);
  const auto put = [&](const char *name, const std::string &text) {
    write_file(folder / name, text, 0644);
    mount_over(folder / name, (std::string("/etc/") + name).c_str());
  };
  put("nsswitch.conf", with_dns_hosts(read_file("/etc/nsswitch.conf")));
  put("resolv.conf", fmt::format("nameserver {}\nsearch {}\n", dns, domain));
  put("hosts", "127.0.0.1 localhost\n::1 localhost\n");
}

std::string with_dns_hosts(const std::string &nsswitch) {
  std::string text;
  std::istringstream lines(nsswitch);
  for (std::string line; std::getline(lines, line);)
    if (!line.substr(0, line.find(':')).ends_with("hosts")) text += line + "\n";
  return text + "hosts: files dns\n";
}

} // namespace lab
