#include "tests/support/scripted_dns.hpp"

#include "tests/support/scripted_server.hpp"

#include <arpa/inet.h>
#include <atomic>
#include <mutex>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace test {

namespace {

sockaddr_in address_of(const std::string &address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &result.sin_addr);
  return result;
}

// RFC 1035 4.2.2: two bytes of length in front.
tds::Bytes framed(tds::Bytes message) {
  const auto size = message.size();
  message.insert(message.begin(), {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
  return message;
}
tds::Bytes read_framed(Connection &connection) {
  tds::Bytes bytes;
  while (bytes.size() < 2 || bytes.size() < 2u + (bytes[0] << 8 | bytes[1])) {
    const auto some = connection.receive();
    if (some.empty()) return {};
    bytes.insert(bytes.end(), some.begin(), some.end());
  }
  bytes.erase(bytes.begin(), bytes.begin() + 2);
  return bytes;
}

} // namespace

struct ScriptedDns::State {
  std::string address;
  std::string real_address;
  std::uint16_t real_port;
  int socket = -1;
  std::uint16_t port = 0;
  std::mutex mutex;
  Script script;
  std::atomic<int> udp{0}, tcp{0};
  std::optional<ScriptedServer> tcp_server;
  std::thread thread;

  tds::Bytes ask_over_udp(const tds::Bytes &message) const {
    const Connection connection(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto real = address_of(real_address, real_port);
    ::sendto(connection.fd(), message.data(), message.size(), 0, reinterpret_cast<const sockaddr *>(&real),
             sizeof real);
    tds::Bytes reply(65536);
    const auto count = ::recv(connection.fd(), reply.data(), reply.size(), 0);
    reply.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return reply;
  }
  tds::Bytes ask_over_tcp(const tds::Bytes &message) const {
    Connection connection(real_address, real_port);
    connection.send(framed(message));
    return read_framed(connection);
  }
  std::optional<tds::Bytes> answer(const tds::Bytes &message, bool over_tcp) {
    ++(over_tcp ? tcp : udp);
    Script now;
    {
      const std::lock_guard lock(mutex);
      now = script;
    }
    const auto real = [this, message, over_tcp] {
      return over_tcp ? ask_over_tcp(message) : ask_over_udp(message);
    };
    return now ? now({message, over_tcp, real}) : real();
  }
  void serve_udp() {
    for (;;) {
      tds::Bytes message(65536);
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const auto count =
          ::recvfrom(socket, message.data(), message.size(), 0, reinterpret_cast<sockaddr *>(&from), &size);
      if (count <= 0) return; // shut down
      message.resize(static_cast<std::size_t>(count));
      if (const auto reply = answer(message, false))
        ::sendto(socket, reply->data(), reply->size(), 0, reinterpret_cast<const sockaddr *>(&from), size);
    }
  }
};

ScriptedDns::ScriptedDns(const std::string &address, std::string real_address, std::uint16_t real_port)
    : state_(std::make_unique<State>()) {
  state_->address = address;
  state_->real_address = std::move(real_address);
  state_->real_port = real_port;
  const auto serve_tcp = [state = state_.get()](Connection &connection) {
    for (auto message = read_framed(connection); !message.empty(); message = read_framed(connection)) {
      const auto reply = state->answer(message, true);
      if (!reply) return;
      connection.send(framed(*reply));
    }
  };
  // The kernel chooses a port that is free for TCP; for UDP somebody else may have it.
  bool bound = false;
  for (int attempt = 0; attempt < 20 && !bound; ++attempt) {
    if (state_->socket >= 0) ::close(state_->socket);
    state_->tcp_server.emplace(address, std::uint16_t{0}, serve_tcp);
    state_->port = state_->tcp_server->port();
    state_->socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto own = address_of(address, state_->port);
    bound = ::bind(state_->socket, reinterpret_cast<const sockaddr *>(&own), sizeof own) == 0;
  }
  if (!bound) {
    ::close(state_->socket);
    throw std::runtime_error("cannot listen on " + address + " for UDP and TCP");
  }
  state_->thread = std::thread([state = state_.get()] { state->serve_udp(); });
}

ScriptedDns::~ScriptedDns() {
  ::shutdown(state_->socket, SHUT_RDWR);
  state_->thread.join();
  ::close(state_->socket);
}

std::string ScriptedDns::place() const { return state_->address + ":" + std::to_string(state_->port); }
int ScriptedDns::questions() const { return state_->udp; }
int ScriptedDns::questions_over_tcp() const { return state_->tcp; }
void ScriptedDns::set_script(Script script) {
  const std::lock_guard lock(state_->mutex);
  state_->script = std::move(script);
}

} // namespace test
