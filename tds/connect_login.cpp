#include "tds/connect_login.hpp"

#include "tds/secret.hpp"

#include <charconv>

namespace tds {

namespace {

constexpr std::size_t largest_prelogin_answer = login_packet_size - packet_header_size; // bytes of payload
constexpr std::uint8_t token_error = 0xAA;
constexpr std::uint8_t token_fedauthinfo = 0xEE;
constexpr std::uint8_t harmless_severity = 10; // up to this class a message only informs

// MS-TDS 2.2.7.9: the new packet size as decimal text. nullopt where it is none, or not one that TDS allows.
std::optional<std::uint32_t> packet_size_of(const EnvChange &change) {
  const std::string text = to_utf8(change.new_text());
  std::uint32_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (size < 512 || size > largest_packet_size) return std::nullopt;
  return size;
}

bool is_routing(const EnvChange &change) {
  return change.type == EnvChangeType::routing || change.type == EnvChangeType::enhanced_routing;
}

// What the client must not see: tokens of our own authentication, and where to go past us.
bool is_hidden(const Token &token) {
  const auto *change = std::get_if<EnvChange>(&token);
  return std::holds_alternative<SspiToken>(token) || (change && is_routing(*change));
}

Encryption asked_for(ServerTls tls) {
  switch (tls) {
  case ServerTls::login:
    return Encryption::off;
  case ServerTls::require:
    return Encryption::on;
  case ServerTls::off:
  case ServerTls::strict:
    break;
  }
  return Encryption::not_sup;
}

std::string numbers_of(const ServerMessage &message) {
  return "error " + std::to_string(message.number) + ", state " + std::to_string(message.state) + ", class " +
         std::to_string(message.severity);
}

} // namespace

ConnectLogin::ConnectLogin(ConnectRequest request)
    : request_(std::move(request)), reader_(largest_prelogin_answer) {
  result_.version = request_.login.tds_version;
  if (request_.login.packet_size != 0) result_.packet_size = request_.login.packet_size;
  request_.prelogin.set_encryption(asked_for(request_.tls));
  if (request_.tls == ServerTls::strict) state_ = State::start_tls;
}

void ConnectLogin::receive(ByteView bytes) { reader_.feed(bytes); }

void ConnectLogin::end_of_stream() { ended_ = true; }

void ConnectLogin::tls_established() {
  if (state_ != State::start_tls || reader_.unread() != 0)
    return; // asked again, on_start_tls refuses what was fed
  state_ = request_.tls == ServerTls::strict ? State::prelogin : before_login();
}

void ConnectLogin::token(Bytes token, bool complete) {
  if (state_ != State::token) return;
  token_ = std::move(token);
  complete_ = complete;
  server_token_.clear();
  state_ = reading_ ? State::reply
                    : State::login; // the first token comes before LOGIN7, the others within a reply
}

ConnectAction ConnectLogin::next() {
  switch (state_) {
  case State::start_tls:
    return on_start_tls();
  case State::prelogin:
    state_ = State::prelogin_answer;
    return Send{encode_message(PacketType::prelogin, encode_prelogin(request_.prelogin))};
  case State::prelogin_answer:
    return on_prelogin_answer();
  case State::token:
    return NeedToken{server_token_};
  case State::login:
    return send_login();
  case State::stop_tls:
    state_ = login_rest_.empty() ? State::reply : State::login_rest;
    return StopTls{};
  case State::login_rest:
    state_ = State::reply;
    return Send{std::exchange(login_rest_, {})};
  case State::reply:
    return on_reply();
  case State::finished:
    break;
  }
  return refuse(ConnectFault::closed, "The login has ended before.");
}

ConnectAction ConnectLogin::on_start_tls() {
  if (reader_.unread() != 0)
    return violation("There is plaintext before TLS: the server did not wait for it.");
  if (ended_)
    return refuse(ConnectFault::closed, "The server closed the connection during the TLS handshake.");
  return StartTls{request_.tls == ServerTls::strict ? TlsFraming::bare : TlsFraming::prelogin, {}};
}

ConnectAction ConnectLogin::on_prelogin_answer() {
  if (auto action = take_message("PRELOGIN")) return *std::move(action);
  const bool tls_follows = request_.tls == ServerTls::login || request_.tls == ServerTls::require;
  if (tls_follows && reader_.unread() > 0)
    return violation("There is plaintext before TLS: bytes came after the PRELOGIN answer.");
  if (reader_.unread() > 0) return violation("Bytes came after the PRELOGIN answer, before LOGIN7.");
  // A server that is full refuses at once. No PRELOGIN begins like an ERROR token:
  // VERSION (0) is its first option.
  if (!reply_.payload.empty() && reply_.payload.front() == token_error) return refused_before_login();
  auto answer = decode_prelogin(reply_.payload);
  if (!answer) return violation(answer.error().text());
  answered_ = *std::move(answer);
  return after_prelogin();
}

ConnectAction ConnectLogin::refused_before_login() {
  const auto tokens = decode_tokens(reply_.payload, request_.login.tds_version);
  if (!tokens) return violation(tokens.error().text());
  for (const auto &token : *tokens)
    if (const auto *message = std::get_if<ServerMessage>(&token)) on_token(*message);
  return server_error_ ? refused_by_server()
                       : violation("The server answers PRELOGIN with a message that is no error.");
}

ConnectAction ConnectLogin::after_prelogin() {
  if (auto refused = agree_on_tls()) return *std::move(refused);
  const auto *instance = answered_->find(PreloginToken::instopt);
  if (instance && !instance->data.empty() && instance->data.front() != 0)
    return refuse(ConnectFault::wrong_instance, "The server's PRELOGIN answer says: instance name refused.");
  if (request_.prelogin.mars() && !answered_->mars())
    return refuse(ConnectFault::mars_refused, "MARS was asked for, and the server has none.");

  reader_.limit(largest_login_reply);
  state_ = tls_ == Tls::none ? before_login() : State::start_tls;
  return next();
}

std::optional<ConnectAction> ConnectLogin::agree_on_tls() {
  if (request_.tls == ServerTls::strict)
    return std::nullopt; // all is in TLS already, whatever the answer says
  const auto encryption = answered_->encryption();
  const bool unknown = !encryption && answered_->has(PreloginToken::encryption);
  if (unknown || (!encryption && request_.tls == ServerTls::off))
    return violation("The PRELOGIN answer has no ENCRYPTION that MS-TDS knows.");

  const bool wants_tls = encryption == Encryption::on || encryption == Encryption::req;
  if (request_.tls == ServerTls::off) {
    if (!wants_tls) return std::nullopt;
    return refuse(ConnectFault::server_requires_tls,
                  "The server answers ENCRYPTION " + to_string(*encryption) +
                      ": it takes no login without TLS; set encrypt = \"require\" on the route.");
  }
  if (wants_tls)
    tls_ = Tls::full;
  else if (request_.tls == ServerTls::login && encryption == Encryption::off)
    tls_ = Tls::login_only;
  else
    return refuse(
        ConnectFault::server_without_tls,
        "The server answers " +
            (encryption ? "ENCRYPTION " + to_string(*encryption) : std::string("no ENCRYPTION")) +
            " where we ask for " + to_string(asked_for(request_.tls)) +
            ": it has no TLS, or somebody between takes it away; only encrypt = \"off\" goes on without.");
  return std::nullopt;
}

ConnectAction ConnectLogin::send_login() {
  if (request_.integrated) request_.login.sspi = std::exchange(token_, {});
  auto payload = encode_login7(request_.login);
  request_.login.password.wipe();
  request_.login.change_password.wipe();
  if (!payload) return violation("Our LOGIN7 cannot be written: " + payload.error().text());

  Send login{encode_message(PacketType::login7, *payload)};
  wipe(*payload);
  token_sent_ = !request_.login.sspi.empty();
  state_ = State::reply;
  if (tls_ == Tls::login_only) {
    const auto first = login.bytes.begin() + decode_packet_header(login.bytes)->length;
    login_rest_.assign(first, login.bytes.end());
    wipe(std::span(first, login.bytes.end()));
    login.bytes.erase(first, login.bytes.end());
    state_ = State::stop_tls;
  }
  return login;
}

ConnectAction ConnectLogin::on_reply() {
  while (true) {
    if (!reading_) {
      if (auto action = take_message("LOGIN7")) return *std::move(action);
      received_ +=
          packet_header_size + reply_.payload.size(); // the header counts, so that empty messages end too
      if (received_ > largest_login_reply) return violation("The login reply is too long.");
      reader_.limit(largest_login_reply - received_);
      read_ = 0;
      reading_ = true;
      sspi_in_message_ = false;
    }
    if (auto action = read_tokens()) return *std::move(action);
    reading_ = false;
    if (auto action = after_message()) return *std::move(action);
  }
}

std::optional<ConnectAction> ConnectLogin::read_tokens() {
  while (read_ < reply_.payload.size()) {
    const ByteView rest = ByteView(reply_.payload).subspan(read_);
    Reader reader(rest, "login reply");
    const auto token = decode_token(reader, result_.version);
    if (!token) return violation(token.error().text());
    const ByteView raw = rest.first(reader.offset());
    read_ += raw.size();
    if (!is_hidden(*token)) result_.tokens.insert(result_.tokens.end(), raw.begin(), raw.end());
    if (auto action = std::visit([this](const auto &value) { return on_token(value); }, *token))
      return action;
  }
  return std::nullopt;
}

std::optional<ConnectAction> ConnectLogin::on_token(const SspiToken &token) {
  if (!request_.integrated) return violation("The server sends an SSPI token though none was sent to it.");
  if (token.data.empty()) return violation("The server's SSPI token is empty.");
  if (sspi_in_message_) return violation("The server sends two SSPI tokens in one message.");
  if (++rounds_ > most_sspi_rounds) return violation("The server sends SSPI tokens without end.");
  sspi_in_message_ = true;
  server_token_ = token.data;
  state_ = State::token;
  return NeedToken{server_token_};
}

std::optional<ConnectAction> ConnectLogin::on_token(const LoginAck &ack) {
  if (acknowledged_) return violation("The server sends LOGINACK twice.");
  if (!ack.version.known())
    return violation("LOGINACK grants an unknown TDS version (" + ack.version.text() + ").");
  if (request_.integrated && !complete_)
    return refuse(ConnectFault::context_incomplete,
                  "The server accepts the login before it has proven who it is (mutual authentication).");
  acknowledged_ = true;
  result_.version = ack.version;
  return std::nullopt;
}

std::optional<ConnectAction> ConnectLogin::on_token(const EnvChange &change) {
  if (is_routing(change)) {
    auto routing = decode_routing(change);
    if (!routing) return violation(routing.error().text());
    if (routing_) return violation("The server sends the client to two places at once.");
    routing_ = *std::move(routing);
  } else if (change.type == EnvChangeType::database) {
    result_.database = change.new_text();
  } else if (change.type == EnvChangeType::packet_size) {
    const auto size = packet_size_of(change);
    if (!size) return violation("The server sets a packet size that TDS does not allow.");
    result_.packet_size = *size;
  }
  return std::nullopt;
}

std::optional<ConnectAction> ConnectLogin::on_token(const ServerMessage &message) {
  if (messages_.size() < most_kept_messages) messages_.push_back(message);
  if (message.error && message.severity > harmless_severity && !server_error_) server_error_ = message;
  return std::nullopt;
}

std::optional<ConnectAction> ConnectLogin::on_token(const OpaqueToken &token) {
  if (token.type == token_fedauthinfo)
    return violation("The server sends FEDAUTHINFO though no FEDAUTH was asked for.");
  return std::nullopt;
}

std::optional<ConnectAction> ConnectLogin::after_message() {
  if (routing_) return redirect();
  if (acknowledged_) {
    if (reader_.unread() > 0) return violation("Bytes came after the login reply.");
    result_.spid = reply_.spid;
    state_ = State::finished;
    return std::move(result_);
  }
  if (server_error_) return refused_by_server();
  // The caller's answer to an SSPI token goes out when the server has finished its message. An empty one
  // means that the context needs nothing more: then LOGINACK comes by itself, in a message of its own.
  if (token_.empty()) return std::nullopt;
  token_sent_ = true;
  return Send{encode_sspi_message(std::exchange(token_, {}))};
}

std::optional<ConnectAction> ConnectLogin::take_message(std::string_view awaited) {
  const auto first = reader_.first_byte();
  if (first && *first != static_cast<std::uint8_t>(PacketType::reply))
    return violation("A packet of type " + std::to_string(*first) + " came where the " +
                     std::string(awaited) + " answer is due.");
  auto message = reader_.next();
  if (!message) return violation(message.error().text());
  if (!*message) {
    if (!ended_) return Receive{};
    return refuse(ConnectFault::closed, "The server closed the connection before its " +
                                            std::string(awaited) + " answer was whole.");
  }
  reply_ = **std::move(message);
  return std::nullopt;
}

ConnectAction ConnectLogin::refused_by_server() {
  return refuse(ConnectFault::refused_by_server,
                "The server refuses the login: " + numbers_of(*server_error_) + ".", server_error_);
}

ConnectAction ConnectLogin::redirect() {
  state_ = State::finished;
  std::string where = to_utf8(routing_->server) + "," + std::to_string(routing_->port);
  return ConnectRefused{ConnectFault::redirect, std::move(where), std::nullopt, std::move(routing_),
                        acknowledged_};
}

ConnectAction ConnectLogin::refuse(ConnectFault fault, std::string detail,
                                   std::optional<ServerMessage> error) {
  state_ = State::finished;
  return ConnectRefused{fault, std::move(detail), std::move(error)};
}

} // namespace tds
