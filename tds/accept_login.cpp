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

} // namespace

Prelogin answer_prelogin(const Prelogin &asked, ServerVersion shown) {
  Prelogin answer;
  for (const auto &option : asked.options) {
    switch (option.token) {
    case PreloginToken::version:
      answer.set_version(shown);
      break;
    case PreloginToken::encryption:
      answer.set_encryption(Encryption::not_sup);
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

AcceptLogin::AcceptLogin(ServerVersion shown) : shown_(shown), reader_(largest_prelogin) {}

void AcceptLogin::receive(ByteView bytes) { reader_.feed(bytes); }

void AcceptLogin::end_of_stream() { ended_ = true; }

AcceptAction AcceptLogin::next() {
  switch (state_) {
  case State::first_message:
    return on_first_message();
  case State::login:
    return on_login_packets();
  case State::refused_by_answer:
    return refuse(
        AcceptFault::client_requires_tls,
        "The client demands encryption, and this listener has no TLS yet: set encryption off in its connection "
        "string (Encrypt=no, encrypt=false).",
        false);
  case State::finished:
    break;
  }
  return refuse(AcceptFault::closed, "The login has ended before.", false);
}

AcceptAction AcceptLogin::on_first_message() {
  const auto first = reader_.first_byte();
  if (!first) return wait();
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
    return refuse(
        AcceptFault::client_requires_tls,
        "The client begins with TLS (TDS 8.0, Encrypt=strict), which is not supported yet: set Encrypt=optional "
        "or Encrypt=no in its connection string.");
  default:
    return refuse(AcceptFault::protocol_violation,
                  "The client's first byte (" + std::to_string(*first) + ") begins no TDS login.");
  }
}

AcceptAction AcceptLogin::on_prelogin(const Message &message) {
  auto asked = decode_prelogin(message.payload);
  if (!asked) return refuse(AcceptFault::protocol_violation, asked.error().text());
  asked_ = *std::move(asked);
  if (asked_->has(PreloginToken::encryption) && !asked_->encryption())
    return refuse(AcceptFault::protocol_violation, "PRELOGIN ENCRYPTION has a value that MS-TDS does not know.");

  answered_ = answer_prelogin(*asked_, shown_);
  const auto encryption = asked_->encryption();
  const bool wants_tls = encryption == Encryption::on || encryption == Encryption::req;
  state_ = wants_tls ? State::refused_by_answer : State::login;
  return Send{encode_message(PacketType::reply, encode_prelogin(*answered_))};
}

// The login of TDS 4.2 and 5.0 ends with 567 bytes or more; its header is enough to tell.
AcceptAction AcceptLogin::on_tds4() {
  if (reader_.unread() < packet_header_size) return wait();
  dialect_.tds4 = true;
  return refuse(AcceptFault::tds_too_old,
                "The client speaks TDS 4.2 or 5.0; sqlshim speaks 7.0 to 7.4: set its protocol version (FreeTDS: "
                "tds version = 7.4).");
}

AcceptAction AcceptLogin::on_login_packets() {
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
  return *message ? on_login(**std::move(message)) : wait();
}

AcceptAction AcceptLogin::on_login(Message message) {
  const auto version = version_of(message.payload);
  auto login = decode_login7(message.payload);
  wipe(message.payload); // the password stands in it in all but clear

  if (version && version->known()) dialect_.version = *version;
  if (version && !version->known() && version->wire < tds_7_0.wire)
    return refuse(AcceptFault::tds_too_old, "LOGIN7 asks for TDS " + version->text() + "; sqlshim speaks 7.0 to 7.4.");
  if (!login) return refuse(AcceptFault::protocol_violation, login.error().text());
  if (reader_.unread() > 0)
    return refuse(AcceptFault::protocol_violation, "Bytes came after LOGIN7, before it was answered.");
  state_ = State::finished;
  return LoginRequest{asked_, answered_, *std::move(login)};
}

AcceptAction AcceptLogin::wait() {
  if (!ended_) return Receive{};
  return refuse(AcceptFault::closed,
                state_ == State::login ? "The client went away before its LOGIN7 was whole."
                                       : "The client went away before its first message was whole.",
                false);
}

AcceptAction AcceptLogin::refuse(AcceptFault fault, std::string detail, bool answer) {
  state_ = State::finished;
  return AcceptRefused{fault, std::move(detail), answer};
}

} // namespace tds
