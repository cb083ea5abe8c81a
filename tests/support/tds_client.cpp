#include "tests/support/tds_client.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace test {

Connection::Connection(int fd) : fd_(fd) {
  const timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Connection::Connection(const std::string &address, std::uint16_t port)
    : Connection(::socket(address.contains(':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in6 six{};
  sockaddr_in four{};
  const bool v6 = ::inet_pton(AF_INET6, address.c_str(), &six.sin6_addr) == 1;
  six.sin6_family = AF_INET6;
  four.sin_family = AF_INET;
  six.sin6_port = four.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &four.sin_addr);
  const auto *peer = v6 ? reinterpret_cast<sockaddr *>(&six) : reinterpret_cast<sockaddr *>(&four);
  if (::connect(fd_, peer, v6 ? sizeof six : sizeof four) != 0) close();
}

Connection::~Connection() { close(); }

void Connection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Connection::shut_down() { ::shutdown(fd_, SHUT_RDWR); }

void Connection::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

std::uint16_t Connection::local_port() const {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(fd_, reinterpret_cast<sockaddr *>(&own), &size);
  return ntohs(own.sin_port);
}

void Connection::send(tds::ByteView bytes) {
  while (!bytes.empty()) {
    auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

tds::Bytes Connection::receive() {
  tds::Bytes bytes(65536);
  auto count = ::recv(fd_, bytes.data(), bytes.size(), 0);
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

tds::Bytes Connection::receive_all() {
  tds::Bytes all;
  for (auto some = receive(); !some.empty(); some = receive())
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

std::string Login::error() const {
  for (const auto &message : messages)
    if (message.error) return tds::to_utf8(message.text);
  return "";
}

tds::Login7 make_login7(const ClientOptions &options) {
  tds::Login7 login;
  login.tds_version = options.version;
  login.option_flags1 = 0xE0;
  login.option_flags2 = 0x03;
  login.client_pid = static_cast<std::uint32_t>(::getpid());
  login.host_name = u"test";
  login.user_name = options.user;
  tds::Writer password;
  password.utf16(options.password);
  login.password = tds::Secret(std::move(password).bytes());
  if (!options.new_password.empty()) {
    tds::Writer new_password;
    new_password.utf16(options.new_password);
    login.change_password = tds::Secret(std::move(new_password).bytes());
    login.option_flags3 |= tds::option3_change_password;
  }
  login.app_name = options.app;
  login.server_name = options.server;
  login.clt_int_name = u"test";
  login.database = options.database;
  login.features = options.features;
  login.has_extension = !options.features.empty();
  if (login.has_extension) login.option_flags3 |= tds::option3_extension;
  if (!options.sspi.empty()) {
    login.option_flags2 |= tds::option2_integrated_security;
    login.sspi = options.sspi;
  }
  return login;
}

Login log_in(Connection &connection, const ClientOptions &options) {
  Login outcome;
  tds::Prelogin prelogin;
  prelogin.set_version({16, 0, 0, 0});
  prelogin.set_encryption(options.encryption);
  prelogin.set(tds::PreloginToken::instopt, {0});
  prelogin.set(tds::PreloginToken::threadid, {0, 0, 0, 1});
  prelogin.set_mars(options.mars);
  // `integrated` is false also with a token of our own: it stands in the LOGIN7 already.
  tds::ConnectLogin machine({std::move(prelogin), make_login7(options), false});
  for (;;) {
    auto action = machine.next();
    outcome.messages = machine.messages();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      connection.send(send->bytes);
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto bytes = connection.receive();
      if (bytes.empty())
        machine.end_of_stream();
      else
        machine.receive(bytes);
    } else if (auto *reply = std::get_if<tds::LoginReply>(&action)) {
      outcome.reply = std::move(*reply);
      return outcome;
    } else if (auto *refused = std::get_if<tds::ConnectRefused>(&action)) {
      outcome.refused = std::move(*refused);
      return outcome;
    }
  }
}

void send_batch(Connection &connection, std::u16string_view batch) {
  tds::Writer out;
  // ALL_HEADERS with the transaction descriptor (MS-TDS 2.2.5.3): required from TDS 7.2 on.
  out.u32_le(22);
  out.u32_le(18);
  out.u16_le(2);
  out.u64_le(0);
  out.u32_le(1);
  out.utf16(batch);
  connection.send(tds::encode_message(tds::PacketType::sql_batch, out.bytes()));
}

tds::Bytes query(Connection &connection, std::u16string_view batch) {
  send_batch(connection, batch);
  tds::MessageReader reader(64 * 1024 * 1024);
  for (;;) {
    auto message = reader.next();
    if (!message) return {};
    if (*message) return std::move((*message)->payload);
    auto bytes = connection.receive();
    if (bytes.empty()) return {};
    reader.feed(bytes);
  }
}

bool says(tds::ByteView reply, std::u16string_view text) {
  tds::Writer wanted;
  wanted.utf16(text);
  return !std::ranges::search(reply, wanted.bytes()).empty();
}

} // namespace test
