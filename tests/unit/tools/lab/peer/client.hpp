// A TDS client for tests: blocking, with a deadline on every wait, and able to do what real clients do not.
#pragma once

#include "tds/login7.hpp"
#include "tds/prelogin.hpp"
#include "tds/token.hpp"
#include "tools/lab/files.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace lab_test {

/// For a test that failed: what a peer in `folder` said, and what it saw of its first connection.
inline void show_peer(const lab::fs::path &folder) {
  std::fprintf(stderr, "---- peer.log\n%s\n---- 0001.json\n%s\n", lab::read_file(folder / "peer.log").c_str(),
               lab::read_file(folder / "peer/0001.json").c_str());
}

/// A LOGIN7 by user and password.
inline tds::Login7 sql_login(std::u16string user = u"sa", std::string_view password = "Lab.Passw0rd") {
  tds::Login7 login;
  login.host_name = u"testhost";
  login.app_name = u"a test";
  login.user_name = std::move(user);
  tds::Writer units;
  units.utf16(tds::to_utf16(password));
  login.password = tds::Secret(std::move(units).bytes());
  login.server_name = u"sql1";
  return login;
}

class Client {
public:
  Client(const std::string &address, std::uint16_t port)
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &place.sin_addr);
    if (::connect(socket_, reinterpret_cast<const sockaddr *>(&place), sizeof place) != 0)
      throw std::runtime_error("cannot connect to the peer");
  }
  explicit Client(int connected) : socket_(connected) {} ///< takes it over
  ~Client() { ::close(socket_); }
  Client(const Client &) = delete;
  Client &operator=(const Client &) = delete;

  void write(tds::ByteView bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("the peer is gone");
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
  }
  void send(tds::PacketType type, tds::ByteView payload, std::size_t packet_size = 4096) {
    write(tds::encode_message(type, payload, packet_size));
  }
  /// Some bytes; empty at the end of the stream. Throws after ten seconds of silence.
  tds::Bytes read() {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 10'000) <= 0) throw std::runtime_error("the peer says nothing");
    tds::Bytes bytes(64 * 1024);
    const auto size = ::recv(socket_, bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }
  /// The payload of the next message; nullopt when the peer closed.
  std::optional<tds::Bytes> receive() {
    while (true) {
      auto message = reader_.next();
      if (!message) throw std::runtime_error(message.error().text());
      if (*message) return std::move((*message)->payload);
      const auto bytes = read();
      if (bytes.empty()) return std::nullopt;
      reader_.feed(bytes);
    }
  }

  std::vector<tds::Token> log_in(const tds::Login7 &login) {
    version_ = login.tds_version;
    send(tds::PacketType::login7, tds::encode_login7(login).value());
    const auto reply = receive();
    if (!reply) throw std::runtime_error("the peer closed instead of answering LOGIN7");
    return tds::decode_tokens(*reply, version_).value();
  }
  void batch(std::string_view sql) {
    tds::Writer out;
    if (version_.at_least_7_2()) { // ALL_HEADERS: one, the transaction descriptor
      out.u32_le(22);
      out.u32_le(18);
      out.u16_le(2);
      out.u64_le(0);
      out.u32_le(1);
    }
    out.utf16(tds::to_utf16(sql));
    send(tds::PacketType::sql_batch, out.bytes());
  }
  void attention() { send(tds::PacketType::attention, {}); }

private:
  int socket_;
  tds::Version version_;
  tds::MessageReader reader_{256 * 1024 * 1024};
};

/// The first token of a kind, if any.
template <class T> const T *find(const std::vector<tds::Token> &tokens) {
  for (const auto &token : tokens)
    if (const auto *found = std::get_if<T>(&token)) return found;
  return nullptr;
}
/// The first ERROR.
inline const tds::ServerMessage *find_error(const std::vector<tds::Token> &tokens) {
  for (const auto &token : tokens)
    if (const auto *found = std::get_if<tds::ServerMessage>(&token); found && found->error) return found;
  return nullptr;
}

} // namespace lab_test
