// The login as the server sees it: what sqlshim says to an application, up to its LOGIN7. A machine: it never waits and never
// touches a network. The caller asks `next()`, does what it says, and asks again.
//
//   0x12 PRELOGIN -> answer -> 0x10 LOGIN7 -> LoginRequest
//   0x10 LOGIN7 at once (TDS 7.0, jTDS)    -> LoginRequest
//   0x16 TLS first (TDS 8.0), 0x02 (TDS 4.2), ENCRYPTION on or req, anything else -> Refused
#pragma once

#include "tds/login7.hpp"
#include "tds/packet.hpp"
#include "tds/prelogin.hpp"
#include "tds/token.hpp"

#include <optional>
#include <variant>

namespace tds {

/// Actions that both login machines share.
struct Send {
  Bytes bytes; ///< write all of it, then ask again
};
struct Receive {}; ///< read some bytes, `receive()` them (or `end_of_stream()`), then ask again

struct LoginRequest {
  std::optional<Prelogin> prelogin;        ///< as the client sent it; none before TDS 7.1 and from jTDS
  std::optional<Prelogin> prelogin_answer; ///< what it was told
  Login7 login;
};

enum class AcceptFault {
  closed,              ///< the client went away before its login was whole
  client_requires_tls, ///< ENCRYPTION on or req, or TLS first
  tds_too_old,         ///< TDS 4.2 or 5.0 login packet
  protocol_violation,
};
struct AcceptRefused {
  AcceptFault fault{};
  std::string detail; ///< one sentence in our own words
  bool answer = true; ///< false: the client cannot read an ERROR now (it was told by PRELOGIN, or is gone)
};

using AcceptAction = std::variant<Send, Receive, LoginRequest, AcceptRefused>;

class AcceptLogin {
public:
  /// `shown` is the VERSION that the PRELOGIN answer carries.
  explicit AcceptLogin(ServerVersion shown);

  /// What to do now. LoginRequest and AcceptRefused are last: after one of them `next()` must not be called.
  AcceptAction next();
  void receive(ByteView bytes);
  void end_of_stream();

  /// How a refusal must be written for this client as things stand (TDS version as far as known).
  Dialect dialect() const { return dialect_; }
  /// For the decision log: what came and what was answered so far.
  const std::optional<Prelogin> &asked() const { return asked_; }
  const std::optional<Prelogin> &answered() const { return answered_; }

private:
  enum class State { first_message, login, refused_by_answer, finished };
  AcceptAction on_first_message();
  AcceptAction on_prelogin(const Message &message);
  AcceptAction on_tds4();
  AcceptAction on_login_packets();
  AcceptAction on_login(Message message);
  AcceptAction wait();
  AcceptAction refuse(AcceptFault fault, std::string detail, bool answer = true);

  ServerVersion shown_;
  State state_ = State::first_message;
  MessageReader reader_;
  bool ended_ = false;
  Dialect dialect_;
  std::optional<Prelogin> asked_;
  std::optional<Prelogin> answered_;
};

/// The PRELOGIN answer: only the options that the client sent, never TRACEID or NONCE; VERSION `shown`; ENCRYPTION not_sup (no TLS
/// on this leg yet); INSTOPT 0; THREADID empty; MARS as asked; FEDAUTHREQUIRED 0. Pure.
Prelogin answer_prelogin(const Prelogin &asked, ServerVersion shown);

} // namespace tds
