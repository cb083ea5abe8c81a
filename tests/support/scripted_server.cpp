#include "tests/support/scripted_server.hpp"

#include <arpa/inet.h>
#include <condition_variable>
#include <list>
#include <mutex>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace test {

struct ScriptedServer::State {
  int listener = -1;
  mutable std::mutex mutex; // of what follows
  Script script;
  int connections = 0;
  std::list<Connection> running;
  std::condition_variable ended; // one of `running`
  std::thread acceptor;

  /// Scripts run on threads that nobody joins, since they may be many: each keeps the state alive.
  static void accept_all(const std::shared_ptr<State> &state) {
    for (;;) {
      const int fd = ::accept4(state->listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return; // shut down
      const std::lock_guard lock(state->mutex);
      ++state->connections;
      const auto connection = state->running.emplace(state->running.end(), fd);
      std::thread([state, connection, talk = state->script] {
        if (talk) talk(*connection);
        const std::lock_guard done(state->mutex);
        state->running.erase(connection);
        state->ended.notify_all();
      }).detach();
    }
  }
};

ScriptedServer::ScriptedServer(const std::string &address, std::uint16_t port, Script script)
    : state_(std::make_shared<State>()) {
  state_->script = std::move(script);
  state_->listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(state_->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &own.sin_addr);
  if (::bind(state_->listener, reinterpret_cast<sockaddr *>(&own), sizeof own) != 0 ||
      ::listen(state_->listener, 64) != 0) {
    ::close(state_->listener);
    throw std::runtime_error("cannot listen on " + address + ":" + std::to_string(port));
  }
  state_->acceptor = std::thread([state = state_] { State::accept_all(state); });
}

ScriptedServer::~ScriptedServer() {
  ::shutdown(state_->listener, SHUT_RDWR);
  state_->acceptor.join();
  ::close(state_->listener);
  std::unique_lock lock(state_->mutex);
  for (auto &connection : state_->running)
    connection.shut_down();
  state_->ended.wait(lock, [this] { return state_->running.empty(); });
}

std::uint16_t ScriptedServer::port() const {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(state_->listener, reinterpret_cast<sockaddr *>(&own), &size);
  return ntohs(own.sin_port);
}

int ScriptedServer::connections() const {
  const std::lock_guard lock(state_->mutex);
  return state_->connections;
}

void ScriptedServer::set_script(Script script) {
  const std::lock_guard lock(state_->mutex);
  state_->script = std::move(script);
}

tds::Message TdsServerSide::read() {
  for (;;) {
    auto message = reader_.next();
    if (!message) return {};
    if (*message) return **std::move(message);
    const auto bytes = connection_.receive();
    if (bytes.empty()) return {};
    reader_.feed(bytes);
  }
}

void TdsServerSide::prelogin() {
  read();
  tds::Prelogin answer;
  answer.set_version({16, 0, 0, 0});
  answer.set_encryption(tds::Encryption::not_sup);
  say(tds::encode_prelogin(answer));
}

tds::Login7 TdsServerSide::login() { return tds::decode_login7(read().payload).value_or(tds::Login7{}); }

void TdsServerSide::say(tds::ByteView payload) {
  connection_.send(tds::encode_message(tds::PacketType::reply, payload));
}
void TdsServerSide::say(const std::vector<tds::Token> &tokens) {
  say(tds::encode_tokens(tokens, tds::tds_7_4));
}

std::vector<tds::Token> login_accepted() {
  tds::LoginAck ack;
  ack.version = tds::tds_7_4;
  ack.program = u"Microsoft SQL Server";
  return {ack, done()};
}
tds::Token done(std::uint16_t status) { return tds::Done{tds::DoneKind::done, status, 0, 0}; }

tds::Token routing(std::u16string_view server, std::uint16_t port) {
  tds::Writer data;
  data.u16_le(static_cast<std::uint16_t>(5 + server.size() * 2));
  data.u8(0); // TCP
  data.u16_le(port);
  data.u16_le(static_cast<std::uint16_t>(server.size()));
  data.utf16(server);
  data.u16_le(0);
  return tds::EnvChange{tds::EnvChangeType::routing, std::move(data).bytes()};
}

} // namespace test
