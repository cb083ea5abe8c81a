// The login as the client sees it: what sqlshim says to the real SQL Server. A machine, like accept_login.
//
//   PRELOGIN -> answer -> [StartTls] -> [NeedToken] LOGIN7 -> { SSPI token -> NeedToken -> SSPI message }*
//     -> LOGINACK … DONE
//   login-only TLS:   … StartTls -> [NeedToken] LOGIN7's first packet in TLS -> StopTls -> all else in clear
//   strict (TDS 8.0): StartTls -> PRELOGIN -> answer -> [NeedToken] LOGIN7 …, all in TLS
//
// What we ask in ENCRYPTION, and what its answer leads to; - is no such option:
//
//   encrypt   asks      off            on, req                not_sup               -
//   off       not_sup   in clear       server_requires_tls    in clear              protocol_violation
//   login     off       login-only     full                   server_without_tls    server_without_tls
//   require   on        server_without_tls   full             server_without_tls    server_without_tls
//   strict    not_sup   (whatever the answer: everything is in TLS already)
#pragma once

#include "tds/accept_login.hpp"
#include "tds/sspi.hpp"

namespace tds {

inline constexpr std::size_t largest_login_reply = 1024 * 1024; ///< bytes of payload of one reply message
inline constexpr int most_sspi_rounds = 16;
inline constexpr std::size_t most_kept_messages = 100; ///< ERROR and INFO tokens that are kept for the log

/// How much of this leg is to be in TLS.
enum class ServerTls {
  off,     ///< nothing
  login,   ///< the first packet of LOGIN7; more if the server wants it
  require, ///< everything behind PRELOGIN
  strict,  ///< everything (TDS 8.0)
};

struct ConnectRequest {
  Prelogin prelogin;      ///< what to send; its ENCRYPTION is set as `tls` demands
  Login7 login;           ///< what to send; with `integrated`, its `sspi` is filled from the first token
  bool integrated = true; ///< false: the client's own user and password go on, no token is asked for
  ServerTls tls = ServerTls::off;
};

/// A token is needed. `server_token` is empty for the first one, which is asked for when TLS stands, so that
/// it can be bound to its channel. Answer with `token()`.
struct NeedToken {
  Bytes server_token;
};

/// The server accepted the login. With `integrated` never given while the caller's context is
/// incomplete: see `token()`.
struct LoginReply {
  Bytes tokens; ///< the server's own reply, token bytes unchanged, less SSPI and routing tokens
  std::uint16_t spid = 0;
  Version version;
  std::u16string database;
  std::uint32_t packet_size = 4096; ///< bytes, as ENVCHANGE 4 set it, else as asked (0: 4096)
};

enum class ConnectFault {
  closed,              ///< the server went away; `token_sent` tells whether it had our token by then
  server_requires_tls, ///< ENCRYPTION on or req in answer to not_sup
  server_without_tls,  ///< no TLS offered, and `login` or `require` is set
  mars_refused,        ///< MARS asked, answered 0
  refused_by_server,   ///< ERROR tokens and no LOGINACK; `server_error` is the first of class above 10
  redirect, ///< routing; `detail` is "server,port". Comes also without LOGINACK (`acknowledged`): before
            ///< following it, the caller must know that its context is complete
  context_incomplete, ///< LOGINACK while the security context still waits for the server's proof
  wrong_instance,     ///< PRELOGIN's answer says that another instance than the one in INSTOPT listens here
  protocol_violation, ///< also: our LOGIN7 cannot be written
};
struct ConnectRefused {
  ConnectFault fault{};
  std::string detail;
  std::optional<ServerMessage> server_error;
  std::optional<Routing> routing{}; ///< of a redirect: where to
  bool acknowledged = false;        ///< of a redirect: LOGINACK came with it
};

using ConnectAction = std::variant<Send, Receive, StartTls, StopTls, NeedToken, LoginReply, ConnectRefused>;

class ConnectLogin {
public:
  explicit ConnectLogin(ConnectRequest request);

  /// What to do now. LoginReply and ConnectRefused are last.
  ConnectAction next();
  void receive(ByteView bytes);
  void end_of_stream();
  /// Answers StartTls. Bytes that were received before it and after StartTls are
  /// plaintext before TLS: a violation.
  void tls_established();
  /// Answers NeedToken. `token` may be empty when `complete` (the context needs no further round).
  /// `complete` says that the security context is established, mutual authentication included; a LOGINACK
  /// before that is `context_incomplete`.
  void token(Bytes token, bool complete);

  const Prelogin &asked() const { return request_.prelogin; }           ///< our PRELOGIN, as it goes out
  const std::optional<Prelogin> &answered() const { return answered_; } ///< the server's PRELOGIN
  /// The first `most_kept_messages` ERROR and INFO tokens, in order, for the decision log. (The client gets
  /// them all, in LoginReply.)
  const std::vector<ServerMessage> &messages() const { return messages_; }
  bool token_sent() const { return token_sent_; }

private:
  enum class State {
    start_tls,
    prelogin,
    prelogin_answer,
    token,
    login,
    stop_tls,
    login_rest,
    reply,
    finished
  };
  ConnectAction on_start_tls();
  ConnectAction on_prelogin_answer();
  ConnectAction after_prelogin();
  /// What the server's ENCRYPTION forbids, if anything; else `tls_` tells what it leads to.
  std::optional<ConnectAction> agree_on_tls();
  State before_login() const { return request_.integrated ? State::token : State::login; }
  ConnectAction refused_before_login();
  ConnectAction send_login();
  ConnectAction on_reply();
  /// Reads the tokens of `reply_` from `read_` on, until one needs an action or there are no more (nullopt).
  std::optional<ConnectAction> read_tokens();
  std::optional<ConnectAction> on_token(const SspiToken &token);
  std::optional<ConnectAction> on_token(const LoginAck &ack);
  std::optional<ConnectAction> on_token(const EnvChange &change);
  std::optional<ConnectAction> on_token(const ServerMessage &message);
  std::optional<ConnectAction> on_token(const OpaqueToken &token);
  std::optional<ConnectAction> on_token(const FeatureExtAck &) { return std::nullopt; }
  std::optional<ConnectAction> on_token(const Done &) { return std::nullopt; }
  /// All tokens of `reply_` are read: what follows; nullopt where more messages must come.
  std::optional<ConnectAction> after_message();
  /// The next message of the server into `reply_`; else the action that is due instead.
  std::optional<ConnectAction> take_message(std::string_view awaited);
  ConnectAction refused_by_server();
  ConnectAction redirect();
  ConnectAction refuse(ConnectFault fault, std::string detail,
                       std::optional<ServerMessage> error = std::nullopt);
  ConnectAction violation(std::string detail) {
    return refuse(ConnectFault::protocol_violation, std::move(detail));
  }

  ConnectRequest request_;
  State state_ = State::prelogin;
  MessageReader reader_;
  bool ended_ = false;
  std::optional<Prelogin> answered_;
  std::vector<ServerMessage> messages_;
  bool token_sent_ = false;

  enum class Tls { none, login_only, full } tls_ = Tls::none; // behind PRELOGIN
  Bytes login_rest_; // packets of LOGIN7 that go out after login-only TLS

  // The security context, as the caller tells.
  Bytes server_token_; // what NeedToken hands out
  Bytes token_;        // the caller's answer, not sent yet
  bool complete_ = false;
  int rounds_ = 0; // SSPI tokens of the server

  // The reply.
  Message reply_;
  std::size_t read_ = 0; // bytes of reply_ that are decoded
  bool reading_ = false; // reply_ is not at its end
  bool sspi_in_message_ = false;
  std::size_t received_ = 0; // bytes of all reply messages
  LoginReply result_;
  bool acknowledged_ = false; // LOGINACK came
  std::optional<Routing> routing_;
  std::optional<ServerMessage> server_error_; // the first of class above 10
};

} // namespace tds
