#include "tds/accept_login.hpp"

#include "tds/secret.hpp"

namespace tds {

namespace {

constexpr std::size_t largest_prelogin = login_packet_size - packet_header_size; // bytes of payload

constexpr std::uint8_t first_byte_of(PacketType type) { return static_cast<std::uint8_t>(type); }
constexpr std::uint8_t tls_handshake = 0x16; // the content type of a TLS record

// TDSVersion stands in the same place in every LOGIN7, also in one that is broken further on.
std::optional<Version> version_of(ByteView login7) {
  Reader reader(login7, "LOGIN7");
  Fields in(reader);
  in.u32_le("Length");
  const Version version{in.u32_le("TDSVersion")};
  return in.ok() ? std::optional(version) : std::nullopt;
}

// What a PRELOGIN leads to.
enum class Course { clear, login_only, full, refused };
struct Agreement {
  Encryption answer{};
  Course course{};
};

// The table of the header.
Agreement agree(ClientTls policy, std::optional<Encryption> asked) {
  const bool wants_tls = asked == Encryption::on || asked == Encryption::req;
  if (policy == ClientTls::off) return {Encryption::not_sup, wants_tls ? Course::refused : Course::clear};
  if (wants_tls) return {Encryption::on, Course::full};
  if (policy == ClientTls::required)
    return {Encryption::req, asked == Encryption::off ? Course::full : Course::refused};
  if (asked == Encryption::off) return {Encryption::off, Course::login_only};
  return {Encryption::not_sup, Course::clear};
}

} // namespace

Prelogin answer_prelogin(const Prelogin &asked, ServerVersion shown, Encryption encryption) {
  Prelogin answer;
  for (const auto &option : asked.options) {
    switch (option.token) {
    case PreloginToken::version:
      answer.set_version(shown);
      break;
    case PreloginToken::encryption:
      answer.set_encryption(encryption);
      break;
    case PreloginToken::instopt:
    case PreloginToken::fedauthrequired:
      answer.set(option.token, {0});
      break;
    case PreloginToken::threadid:
      answer.set(option.token, {});
      break;
    case PreloginToken::mars:
      answer.set_mars(asked.mars());
      break;
    case PreloginToken::traceid: // goes on to the server; clients expect nothing
    case PreloginToken::nonce:
      break;
    }
  }
  return answer;
}

AcceptLogin::AcceptLogin(ServerVersion shown, ClientTls tls, const NtlmChallenge &challenge)
    : shown_(shown), policy_(tls), challenge_(challenge), reader_(largest_prelogin) {}

void AcceptLogin::receive(ByteView bytes) { reader_.feed(bytes); }

void AcceptLogin::end_of_stream() { ended_ = true; }

void AcceptLogin::tls_established() {
  if (state_ != State::start_tls || reader_.unread() != 0)
    return; // asked again, on_start_tls refuses what was fed
  in_tls_ = true;
  client_hello_ = {};
  packets_before_tls_ = reader_.packets();
  state_ = tls_ == Tls::first ? State::first_message : State::login;
}

AcceptAction AcceptLogin::next() {
  switch (state_) {
  case State::first_message:
    return on_first_message();
  case State::start_tls:
    return on_start_tls();
  case State::login:
    return on_login_packets();
  case State::ntlm_answer:
    return on_ntlm_answer();
  case State::refused_by_answer:
    if (policy_ == ClientTls::required) return refuse_without_tls(false);
    return refuse(
        AcceptFault::client_requires_tls,
        "The client demands encryption, and this listener's tls is \"off\": set it to \"optional\", or encryption off "
        "in the client's connection string (Encrypt=no, encrypt=false).",
        false);
  case State::finished:
    break;
  }
  return refuse(AcceptFault::closed, "The login has ended before.", false);
}

AcceptAction AcceptLogin::on_first_message() {
  const auto first = reader_.first_byte();
  if (!first) return wait();
  if (in_tls_ && *first != first_byte_of(PacketType::prelogin))
    return refuse(AcceptFault::protocol_violation,
                  "A byte " + std::to_string(*first) + " came in TLS (TDS 8.0) where PRELOGIN is due.");
  switch (*first) {
  case first_byte_of(PacketType::prelogin): {
    auto message = reader_.next();
    if (!message) return refuse(AcceptFault::protocol_violation, message.error().text());
    return *message ? on_prelogin(**message) : wait();
  }
  case first_byte_of(PacketType::login7):
    state_ = State::login;
    return on_login_packets();
  case first_byte_of(PacketType::tds4_login):
    return on_tds4();
  case tls_handshake:
    // Behind a packet without content, which the reader has taken, it is not the first.
    if (reader_.packets() > 0)
      return refuse(AcceptFault::protocol_violation,
                    "A TLS record came behind the first packet of a message.");
    return on_tls_first();
  default:
    return refuse(AcceptFault::protocol_violation,
                  "The client's first byte (" + std::to_string(*first) + ") begins no TDS login.");
  }
}

AcceptAction AcceptLogin::on_tls_first() {
  if (policy_ == ClientTls::off)
    return refuse(
        AcceptFault::client_requires_tls,
        "The client begins with TLS (TDS 8.0, Encrypt=strict), and this listener's tls is \"off\": set it to "
        "\"optional\", or Encrypt=optional or Encrypt=no in the client's connection string.");
  tls_ = Tls::first;
  client_hello_ = reader_.take_behind();
  state_ = State::start_tls;
  return on_start_tls();
}

AcceptAction AcceptLogin::on_prelogin(const Message &message) {
  auto asked = decode_prelogin(message.payload);
  if (!asked) return refuse(AcceptFault::protocol_violation, asked.error().text());
  asked_ = *std::move(asked);
  if (in_tls_) { // ENCRYPTION has no meaning here: not_sup, which every client takes
    answered_ = answer_prelogin(*asked_, shown_);
    state_ = State::login;
    return Send{encode_message(PacketType::reply, encode_prelogin(*answered_))};
  }
  if (asked_->has(PreloginToken::encryption) && !asked_->encryption())
    return refuse(AcceptFault::protocol_violation,
                  "PRELOGIN ENCRYPTION has a value that MS-TDS does not know.");

  const auto [answer, course] = agree(policy_, asked_->encryption());
  answered_ = answer_prelogin(*asked_, shown_, answer);
  if (answer == Encryption::req) answered_->set_encryption(answer); // said also to a client that did not ask
  switch (course) {
  case Course::clear:
    state_ = State::login;
    break;
  case Course::login_only:
  case Course::full:
    tls_ = course == Course::full ? Tls::full : Tls::login_only;
    state_ = State::start_tls;
    break;
  case Course::refused:
    state_ = State::refused_by_answer;
    break;
  }
  return Send{encode_message(PacketType::reply, encode_prelogin(*answered_))};
}

AcceptAction AcceptLogin::on_start_tls() {
  if (reader_.unread() != 0)
    return refuse(AcceptFault::protocol_violation,
                  "There is plaintext before TLS: the client did not wait for it.", false);
  if (ended_) return wait();
  return StartTls{tls_ == Tls::first ? TlsFraming::bare : TlsFraming::prelogin, client_hello_};
}

// The login of TDS 4.2 and 5.0 ends with 567 bytes or more; its header is enough to tell.
AcceptAction AcceptLogin::on_tds4() {
  if (reader_.unread() < packet_header_size) return wait();
  dialect_.tds4 = true;
  return refuse(
      AcceptFault::tds_too_old,
      "The client speaks TDS 4.2 or 5.0; sqlshim speaks 7.0 to 8.0: set its protocol version (FreeTDS: "
      "tds version = 7.4).");
}

AcceptAction AcceptLogin::on_login_packets() {
  if (login_) return on_login(*std::exchange(login_, std::nullopt));
  const auto first = reader_.first_byte();
  if (first && *first != first_byte_of(PacketType::login7)) {
    const bool again = *first == first_byte_of(PacketType::prelogin);
    return refuse(AcceptFault::protocol_violation,
                  again ? "A second PRELOGIN came where LOGIN7 is due."
                        : "A packet of type " + std::to_string(*first) + " came where LOGIN7 is due.");
  }
  reader_.limit(largest_login7);
  auto message = reader_.next();
  if (!message) return refuse(AcceptFault::protocol_violation, message.error().text());
  if (in_tls_ && tls_ == Tls::login_only) return on_login_only_packet(*std::move(message));
  return *message ? on_login(**std::move(message)) : wait();
}

// Login-only TLS ends with the first packet of LOGIN7, be it the only one or not.
AcceptAction AcceptLogin::on_login_only_packet(std::optional<Message> message) {
  const std::size_t packets = reader_.packets() - packets_before_tls_;
  if (packets == 0) return wait();
  if (packets > 1 || reader_.behind() > 0)
    return refuse(AcceptFault::protocol_violation,
                  "Bytes came in TLS behind the first packet of LOGIN7, where login-only TLS ends.");
  in_tls_ = false;
  login_ = std::move(message);
  return StopTls{};
}

AcceptAction AcceptLogin::on_login(Message message) {
  const auto version = version_of(message.payload);
  auto login = decode_login7(message.payload);
  wipe(message.payload); // the password stands in it in all but clear

  if (version && version->known()) dialect_.version = *version;
  if (version && !version->known() && version->wire < tds_7_0.wire)
    return refuse(AcceptFault::tds_too_old,
                  "LOGIN7 asks for TDS " + version->text() + "; sqlshim speaks 7.0 to 8.0.");
  if (!login) return refuse(AcceptFault::protocol_violation, login.error().text());
  if (policy_ == ClientTls::required && tls_ == Tls::none) return refuse_without_tls(true);
  if (reader_.unread() > 0)
    return refuse(AcceptFault::protocol_violation, "Bytes came after LOGIN7, before it was answered.");
  LoginRequest request{asked_, answered_, *std::move(login), tls_ == Tls::none};
  if (is_ntlm_negotiate(request.login.sspi)) return send_challenge(std::move(request));
  state_ = State::finished;
  return request;
}

AcceptAction AcceptLogin::send_challenge(LoginRequest request) {
  state_ = State::ntlm_answer;
  reader_.limit(largest_sspi_token);
  const auto token = SspiToken{ntlm_challenge(request.login.sspi, challenge_)};
  waiting_ = std::move(request);
  return Send{encode_message(PacketType::reply, encode_tokens({token}, dialect_.version))};
}

AcceptAction AcceptLogin::on_ntlm_answer() {
  const auto first = reader_.first_byte();
  if (first && *first != first_byte_of(PacketType::sspi))
    return refuse(AcceptFault::protocol_violation,
                  "A packet of type " + std::to_string(*first) + " came where NTLM's answer is due.");
  auto message = reader_.next();
  if (!message) return refuse(AcceptFault::protocol_violation, message.error().text());
  if (!*message) return wait();
  wipe((*message)->payload); // it proves the client's password, and to nobody here
  if (reader_.unread() > 0)
    return refuse(AcceptFault::protocol_violation, "Bytes came after the login, before it was answered.");
  state_ = State::finished;
  return *std::exchange(waiting_, std::nullopt);
}

AcceptAction AcceptLogin::wait() {
  if (!ended_) return Receive{};
  return refuse(AcceptFault::closed,
                state_ == State::login         ? "The client went away before its LOGIN7 was whole."
                : state_ == State::ntlm_answer ? "The client went away before it answered NTLM's challenge."
                : state_ == State::start_tls   ? "The client went away during the TLS handshake."
                                               : "The client went away before its first message was whole.",
                false);
}

AcceptAction AcceptLogin::refuse_without_tls(bool answer) {
  return refuse(
      AcceptFault::listener_requires_tls,
      "The client has no encryption, and this listener's tls is \"required\": set encryption on in the client's "
      "connection string (Encrypt=yes, encrypt=true; FreeTDS: encryption = require), or the listener's tls to "
      "\"optional\".",
      answer);
}

AcceptAction AcceptLogin::refuse(AcceptFault fault, std::string detail, bool answer) {
  state_ = State::finished;
  return AcceptRefused{fault, std::move(detail), answer};
}

} // namespace tds
