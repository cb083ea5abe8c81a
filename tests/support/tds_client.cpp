#include "tests/support/tds_client.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <ranges>
#include <sys/socket.h>
#include <unistd.h>

namespace test {

/// OpenSSL between two buffers.
struct Connection::Tls {
  explicit Tls(bool strict) : context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free) {
    SSL_CTX_set_max_proto_version(context.get(), strict ? TLS1_3_VERSION : TLS1_2_VERSION);
    ssl.reset(SSL_new(context.get()));
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_connect_state(ssl.get());
    if (strict) {
      constexpr unsigned char alpn[] = {7, 't', 'd', 's', '/', '8', '.', '0'};
      SSL_set_alpn_protos(ssl.get(), alpn, sizeof alpn);
    }
  }
  tds::Bytes take_output() {
    tds::Bytes bytes(static_cast<std::size_t>(BIO_pending(out)));
    if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  void give_input(tds::ByteView bytes) { BIO_write(in, bytes.data(), static_cast<int>(bytes.size())); }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, &SSL_free};
  BIO *in = nullptr, *out = nullptr; // owned by ssl
};

Connection::Connection(int fd) : fd_(fd) {
  const timeval limit{30, 0};
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

bool Connection::start_tls(tds::TlsFraming framing) {
  const bool wrapped = framing == tds::TlsFraming::prelogin;
  tls_ = std::make_unique<Tls>(!wrapped);
  tds::MessageReader reader(1 << 20);
  int flights = 0;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(tls_->ssl.get());
    auto flight = tls_->take_output();
    const bool last = wrapped ? !flight.empty() && ++flights == 2
                              : result == 1; // up to TLS 1.2 the server's Finished follows
    if (wrapped && !flight.empty()) flight = tds::encode_message(tds::PacketType::prelogin, flight);
    // In one write with the last flight, so that both are there at once.
    if (last) flight.insert(flight.end(), injected_.begin(), injected_.end());
    if (!flight.empty()) send_raw(flight);
    if (result == 1) return true;
    if (SSL_get_error(tls_->ssl.get(), result) != SSL_ERROR_WANT_READ) {
      tls_error_ = ERR_reason_error_string(ERR_peek_last_error()) ?: "the handshake failed";
      return false;
    }
    const auto bytes = receive_raw();
    if (bytes.empty()) {
      tls_error_ = "closed in the handshake";
      return false;
    }
    if (!wrapped) {
      tls_->give_input(bytes);
      continue;
    }
    reader.feed(bytes);
    for (auto message = reader.next(); message && *message; message = reader.next())
      tls_->give_input((*message)->payload);
  }
}

void Connection::stop_tls() {
  tds::Bytes rest(static_cast<std::size_t>(BIO_pending(tls_->in)));
  if (!rest.empty()) BIO_read(tls_->in, rest.data(), static_cast<int>(rest.size()));
  ahead_.insert(ahead_.end(), rest.begin(), rest.end());
  tls_.reset();
}

void Connection::send(tds::ByteView bytes) {
  if (!tls_) return send_raw(bytes);
  if (!bytes.empty()) SSL_write(tls_->ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
  send_raw(tls_->take_output());
}

void Connection::send_raw(tds::ByteView bytes) {
  while (!bytes.empty()) {
    auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

tds::Bytes Connection::receive_raw() {
  if (!ahead_.empty()) return std::exchange(ahead_, {});
  const auto count = ::recv(fd_, room_.data(), room_.size(), 0);
  return {room_.begin(), room_.begin() + std::max<ssize_t>(count, 0)};
}

tds::Bytes Connection::receive() {
  if (!tls_) return receive_raw();
  for (;;) {
    const int count = SSL_read(tls_->ssl.get(), room_.data(), static_cast<int>(room_.size()));
    if (count > 0) return {room_.begin(), room_.begin() + count};
    if (SSL_get_error(tls_->ssl.get(), count) != SSL_ERROR_WANT_READ) return {};
    const auto raw = receive_raw();
    if (raw.empty()) return {};
    tls_->give_input(raw);
  }
}

tds::Bytes Connection::receive_all() {
  tds::Bytes all;
  for (auto some = receive(); !some.empty(); some = receive())
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

std::string Login::error() const {
  const tds::ServerMessage *first = nullptr, *ours = nullptr;
  for (const auto &message : messages | std::views::filter(&tds::ServerMessage::error)) {
    if (!first) first = &message;
    if (!ours && message.server == u"sqlshim") ours = &message;
  }
  const auto *refusing = ours ? ours : first;
  return refusing ? tds::to_utf8(refusing->text) : "";
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
  login.clt_int_name = options.library;
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

namespace {

/// LOGIN7 is the first packet, as clients of TDS 7.0 and jTDS begin.
Login log_in_at_once(Connection &connection, const ClientOptions &options) {
  Login outcome;
  connection.send(tds::encode_message(tds::PacketType::login7, *tds::encode_login7(make_login7(options))));
  tds::MessageReader reader(1 << 20);
  for (;;) {
    auto message = reader.next();
    if (!message) return outcome;
    if (*message) {
      const auto tokens = tds::decode_tokens((*message)->payload, options.version);
      if (!tokens) return outcome;
      for (const auto &token : *tokens) {
        if (const auto *said = std::get_if<tds::ServerMessage>(&token)) outcome.messages.push_back(*said);
        if (std::holds_alternative<tds::LoginAck>(token))
          outcome.reply.emplace().tokens = (*message)->payload;
      }
      return outcome;
    }
    auto bytes = connection.receive();
    if (bytes.empty()) return outcome;
    reader.feed(bytes);
  }
}

} // namespace

Login log_in(Connection &connection, const ClientOptions &options) {
  if (!options.prelogin) return log_in_at_once(connection, options);
  Login outcome;
  tds::Prelogin prelogin;
  prelogin.set_version({16, 0, 0, 0});
  prelogin.set_encryption(tds::Encryption::not_sup);
  prelogin.set(tds::PreloginToken::instopt, {0});
  prelogin.set(tds::PreloginToken::threadid, {0, 0, 0, 1});
  prelogin.set_mars(options.mars);
  // Without NTLM `integrated` is false also with a token of our own: it stands in the LOGIN7 already.
  tds::ConnectLogin machine(
      {std::move(prelogin), make_login7(options), tds::is_ntlm_negotiate(options.sspi), options.tls});
  for (;;) {
    auto action = machine.next();
    outcome.messages = machine.messages();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      connection.send(send->bytes);
    } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
      if (!connection.start_tls(start->framing)) return outcome;
      machine.tls_established();
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      connection.stop_tls();
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto bytes = connection.receive();
      if (bytes.empty())
        machine.end_of_stream();
      else
        machine.receive(bytes);
    } else if (auto *need = std::get_if<tds::NeedToken>(&action)) {
      outcome.challenge = need->server_token;
      const bool first = need->server_token.empty();
      machine.token(first ? options.sspi : options.ntlm_answer, !first);
    } else if (auto *reply = std::get_if<tds::LoginReply>(&action)) {
      outcome.reply = std::move(*reply);
      return outcome;
    } else if (auto *refused = std::get_if<tds::ConnectRefused>(&action)) {
      outcome.refused = std::move(*refused);
      return outcome;
    }
  }
}

void send_batch(Connection &connection, std::u16string_view batch, tds::Version version) {
  tds::Writer out;
  if (version.generation() >= 72) {
    // ALL_HEADERS with the transaction descriptor (MS-TDS 2.2.5.3): required from TDS 7.2 on.
    out.u32_le(22);
    out.u32_le(18);
    out.u16_le(2);
    out.u64_le(0);
    out.u32_le(1);
  }
  out.utf16(batch);
  connection.send(tds::encode_message(tds::PacketType::sql_batch, out.bytes()));
}

tds::Bytes query(Connection &connection, std::u16string_view batch, tds::Version version) {
  send_batch(connection, batch, version);
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
