#include "tools/lab/peer/browser.hpp"

#include "tools/lab/block.hpp"

#include "tds/ssrp.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lab {

BrowserService::BrowserService(const std::string &address, std::string instance,
                               std::function<std::uint16_t()> port, std::string pipe)
    : instance_(std::move(instance)), port_(std::move(port)), pipe_(std::move(pipe)) {
  const auto place = socket_address(address, tds::ssrp_port);
  const auto size = place.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  socket_ = ::socket(place.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  if (socket_ < 0 || stop_ < 0 ||
      ::bind(socket_, reinterpret_cast<const sockaddr *>(&place), static_cast<socklen_t>(size)) != 0) {
    const auto why = fmt::format("SQL Browser cannot listen on UDP port {} of {}: {}", tds::ssrp_port,
                                 address, std::strerror(errno));
    for (const int fd : {socket_, stop_})
      if (fd >= 0) ::close(fd);
    throw LabError(why);
  }
  thread_ = std::thread([this] { run(); });
}

BrowserService::~BrowserService() {
  const std::uint64_t one = 1;
  (void)!::write(stop_, &one, sizeof one);
  thread_.join();
  ::close(socket_);
  ::close(stop_);
}

void BrowserService::run() {
  std::array<std::uint8_t, 64> question;
  for (;;) {
    std::array<pollfd, 2> waits{pollfd{socket_, POLLIN, 0}, pollfd{stop_, POLLIN, 0}};
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (waits[1].revents) return;
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const auto count =
        ::recvfrom(socket_, question.data(), question.size(), 0, reinterpret_cast<sockaddr *>(&from), &size);
    if (count < 0) continue;
    const auto asked =
        tds::decode_ssrp_question(tds::ByteView(question).first(static_cast<std::size_t>(count)));
    if (!asked) continue;
    ++questions_;
    const auto small = [](unsigned char c) { return std::tolower(c); };
    const auto *one = std::get_if<tds::AskInstance>(&*asked);
    if (!answers_ || (one && !std::ranges::equal(one->instance, instance_, {}, small, small))) continue;
    const auto port = port_();
    const auto answer = tds::encode_ssrp_answer({{.server = "SQL1",
                                                  .instance = instance_,
                                                  .version = "16.0.1000.6",
                                                  .clustered = false,
                                                  .port = port ? std::optional(port) : std::nullopt,
                                                  .pipe = pipe_}});
    ::sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr *>(&from), size);
  }
}

} // namespace lab
