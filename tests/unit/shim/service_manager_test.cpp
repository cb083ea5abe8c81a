// What a service manager hears of us, as its socket receives it.
#include "shim/service_manager.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace shim {
namespace {

using namespace testing;

/// A socket bound as systemd binds its own; NOTIFY_SOCKET names it for as long as it lives.
class ServiceManager : public Test {
protected:
  void listen_at(const std::string &name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = 0;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    ASSERT_EQ(::bind(fd_, reinterpret_cast<const sockaddr *>(&address), size), 0) << std::strerror(errno);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  std::string heard() {
    char buffer[512];
    const auto size = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    return size < 0 ? "(nothing)" : std::string(buffer, static_cast<std::size_t>(size));
  }
  ~ServiceManager() override {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
    ::unlink(path_.c_str());
  }

  const std::string path_ =
      std::filesystem::temp_directory_path() / ("sqlshim-notify-" + std::to_string(::getpid()));
  int fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
};

TEST_F(ServiceManager, HearsAtAPath) {
  listen_at(path_);
  EXPECT_EQ(tell_service_manager("READY=1\nSTATUS=serving"), "");
  EXPECT_EQ(heard(), "READY=1\nSTATUS=serving");
}

TEST_F(ServiceManager, HearsAtAnAbstractName) {
  listen_at("@sqlshim-test-" + std::to_string(::getpid()));
  EXPECT_EQ(tell_service_manager("STOPPING=1"), "");
  EXPECT_EQ(heard(), "STOPPING=1");
}

TEST_F(ServiceManager, IsNotThere) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(tell_service_manager("READY=1"), "");
  ::setenv("NOTIFY_SOCKET", "", 1);
  EXPECT_EQ(tell_service_manager("READY=1"), "");
}

TEST_F(ServiceManager, CannotBeTold) {
  ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  EXPECT_EQ(tell_service_manager("READY=1"), "NOTIFY_SOCKET " + path_ + ": No such file or directory");
  for (const auto &name : {std::string("run/notify"), "/" + std::string(sizeof sockaddr_un::sun_path, 'x')}) {
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    EXPECT_EQ(tell_service_manager("READY=1"),
              "NOTIFY_SOCKET is neither a path nor an abstract name: " + name);
  }
}

/// A manager that is overrun and reads no more: the service does not hang on it.
TEST_F(ServiceManager, DoesNotListen) {
  listen_at(path_);
  std::string why;
  for (int told = 0; told < 10000 && why.empty(); ++told)
    why = tell_service_manager("STATUS=serving");
  EXPECT_THAT(why, EndsWith("Resource temporarily unavailable"));
}

} // namespace
} // namespace shim
