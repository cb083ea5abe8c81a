// The login as the server sees it: what sqlshim says to an application, up to its LOGIN7. A machine: it never
// waits and never touches a network. The caller asks `next()`, does what it says, and asks again.
//
//   0x12 PRELOGIN -> answer -> 0x10 LOGIN7                      -> LoginRequest   in clear
//   0x12 PRELOGIN -> answer -> StartTls -> 0x10 LOGIN7 in TLS   -> LoginRequest   full: TLS stays
//   0x12 PRELOGIN -> answer -> StartTls -> LOGIN7's first packet in TLS -> StopTls
//                                       -> its others in clear  -> LoginRequest   login-only: TLS is over
//   0x16 TLS (TDS 8.0) -> StartTls -> PRELOGIN -> answer -> LOGIN7   -> LoginRequest   strict: all in TLS
//   0x10 LOGIN7 at once (TDS 7.0, jTDS)                         -> LoginRequest   in clear
//   0x02 (TDS 4.2), anything else                               -> Refused
//   LOGIN7 with NTLM's NEGOTIATE -> CHALLENGE -> 0x11 SSPI, wiped   -> LoginRequest   as in each of these
//
// What a PRELOGIN with this ENCRYPTION is answered, and what follows; - is no such option:
//
//   listener's tls   off                  on, req              not_sup               -
//   off              not_sup, in clear    not_sup, refused     not_sup, in clear     -, in clear
//   optional         off, login-only      on, full             not_sup, in clear     -, in clear
//   required         req, full            on, full             req, refused          req, refused
//
// With TLS first the answer is always not_sup, never off (mssql-jdbc would drop TLS),
// and everything stays in TLS.
#pragma once

#include "tds/login7.hpp"
#include "tds/packet.hpp"
#include "tds/prelogin.hpp"
#include "tds/sspi.hpp"
#include "tds/token.hpp"

#include <optional>
#include <variant>

namespace tds {

/// Actions that both login machines share.
struct Send {
  Bytes bytes; ///< write all of it, then ask again
};
struct Receive {}; ///< read some bytes, `receive()` them (or `end_of_stream()`), then ask again

enum class TlsFraming {
  prelogin, ///< the flights of the handshake stand in PRELOGIN messages (TDS 7.x)
  bare,     ///< TLS first of all (TDS 8.0)
};
/// Do the handshake, call `tls_established()`, then ask again: from here on the machine sends and
/// receives what is in TLS. If the handshake fails the caller is done (after `end_of_stream()`
/// the machine says closed).
struct StartTls {
  TlsFraming framing{};
  /// bytes already read that belong to the handshake (only `bare`: the beginning of the ClientHello)
  Bytes received;
};
/// From the next byte on, both ways, this connection is in clear again: the session is dropped without
/// close_notify. Bytes that were read behind its last record are in clear: `receive()` them. Then ask again.
struct StopTls {};

/// The listener's policy.
enum class ClientTls { off, optional, required };

struct LoginRequest {
  std::optional<Prelogin> prelogin;        ///< as the client sent it; none before TDS 7.1 and from jTDS
  std::optional<Prelogin> prelogin_answer; ///< what it was told
  Login7 login;
  bool password_in_clear = true; ///< the first packet of LOGIN7, where the password stands, came outside TLS
};

enum class AcceptFault {
  closed,                ///< the client went away before its login was whole
  client_requires_tls,   ///< ENCRYPTION on or req, or TLS first, and the listener's policy is off
  listener_requires_tls, ///< the policy is required, and the client has no TLS
  tds_too_old,           ///< TDS 4.2 or 5.0 login packet
  protocol_violation,
};
struct AcceptRefused {
  AcceptFault fault{};
  std::string detail; ///< one sentence in our own words
  bool answer = true; ///< false: the client cannot read an ERROR now (it was told by PRELOGIN, or is gone)
};

using AcceptAction = std::variant<Send, Receive, StartTls, StopTls, LoginRequest, AcceptRefused>;

class AcceptLogin {
public:
  /// `shown` is the VERSION that the PRELOGIN answer carries. `challenge`: what a client's own NTLM login is
  /// answered with, so that it goes on to what it waits for.
  explicit AcceptLogin(ServerVersion shown, ClientTls tls = ClientTls::off,
                       const NtlmChallenge &challenge = {});

  /// What to do now. LoginRequest and AcceptRefused are last: after one of them `next()` must not be called.
  AcceptAction next();
  void receive(ByteView bytes);
  void end_of_stream();
  /// Answers StartTls. Bytes that were received before it and after StartTls are
  /// plaintext before TLS: a violation.
  void tls_established();

  /// What goes over this leg right now, a refusal too, is to be encrypted: full TLS, or TLS first. Never with
  /// login-only TLS: the server says nothing in it.
  bool encrypted() const { return in_tls_ && tls_ != Tls::login_only; }
  /// How a refusal must be written for this client as things stand (TDS version as far as known).
  Dialect dialect() const { return dialect_; }
  /// For the decision log: what came and what was answered so far.
  const std::optional<Prelogin> &asked() const { return asked_; }
  const std::optional<Prelogin> &answered() const { return answered_; }

private:
  enum class State { first_message, start_tls, login, ntlm_answer, refused_by_answer, finished };
  enum class Tls { none, login_only, full, first };
  AcceptAction on_first_message();
  AcceptAction on_tls_first();
  AcceptAction on_prelogin(const Message &message);
  AcceptAction on_start_tls();
  AcceptAction on_tds4();
  AcceptAction on_login_packets();
  AcceptAction on_login_only_packet(std::optional<Message> message);
  AcceptAction on_login(Message message);
  AcceptAction send_challenge(LoginRequest request);
  AcceptAction on_ntlm_answer();
  AcceptAction wait();
  AcceptAction refuse_without_tls(bool answer);
  AcceptAction refuse(AcceptFault fault, std::string detail, bool answer = true);

  ServerVersion shown_;
  ClientTls policy_;
  NtlmChallenge challenge_;
  State state_ = State::first_message;
  MessageReader reader_;
  bool ended_ = false;
  Tls tls_ = Tls::none;                 // as agreed
  bool in_tls_ = false;                 // established, and not stopped
  Bytes client_hello_;                  // as far as it was read
  std::size_t packets_before_tls_ = 0;  // of reader_
  std::optional<Message> login_;        // whole in its first packet: it waits until TLS is stopped
  std::optional<LoginRequest> waiting_; // for the client's answer to the challenge
  Dialect dialect_;
  std::optional<Prelogin> asked_;
  std::optional<Prelogin> answered_;
};

/// The PRELOGIN answer: only the options that the client sent, never TRACEID or NONCE; VERSION `shown`;
/// ENCRYPTION `encryption`; INSTOPT 0; THREADID empty; MARS as asked; FEDAUTHREQUIRED 0. Pure.
Prelogin answer_prelogin(const Prelogin &asked, ServerVersion shown,
                         Encryption encryption = Encryption::not_sup);

} // namespace tds
