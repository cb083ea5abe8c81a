// The login as the client sees it: what sqlshim says to the real SQL Server. A machine, like accept_login.
//
//   PRELOGIN -> answer -> [NeedToken] LOGIN7 -> { SSPI token -> NeedToken -> SSPI message }* -> LOGINACK … DONE
#pragma once

#include "tds/accept_login.hpp"
#include "tds/sspi.hpp"

namespace tds {

inline constexpr std::size_t largest_login_reply = 1024 * 1024; ///< bytes of payload of one reply message
inline constexpr int most_sspi_rounds = 16;

struct ConnectRequest {
  Prelogin prelogin;        ///< what to send (ENCRYPTION not_sup until TLS exists on this leg)
  Login7 login;             ///< what to send; with `integrated`, its `sspi` is filled from the first token
  bool integrated = true;   ///< false: the client's own user and password go on, no token is asked for
};

/// A token is needed. `server_token` is empty for the first one. Answer with `token()`.
struct NeedToken {
  Bytes server_token;
};

/// The server accepted the login. Never given while the caller's context is incomplete: see `token()`.
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
  mars_refused,        ///< MARS asked, answered 0
  refused_by_server,   ///< ERROR tokens and no LOGINACK; `server_error` is the first of class above 10
  redirect,            ///< routing; `detail` names where to
  context_incomplete,  ///< LOGINACK while the security context still waits for the server's proof
  protocol_violation,
};
struct ConnectRefused {
  ConnectFault fault{};
  std::string detail;
  std::optional<ServerMessage> server_error;
};

using ConnectAction = std::variant<Send, Receive, NeedToken, LoginReply, ConnectRefused>;

class ConnectLogin {
public:
  explicit ConnectLogin(ConnectRequest request);

  /// What to do now. LoginReply and ConnectRefused are last.
  ConnectAction next();
  void receive(ByteView bytes);
  void end_of_stream();
  /// Answers NeedToken. `token` may be empty when `complete` (the context needs no further round). `complete` says that the
  /// security context is established, mutual authentication included; a LOGINACK before that is `context_incomplete`.
  void token(Bytes token, bool complete);

  const std::optional<Prelogin> &answered() const { return answered_; } ///< the server's PRELOGIN
  /// ERROR and INFO tokens so far, in order, for the decision log.
  const std::vector<ServerMessage> &messages() const { return messages_; }
  bool token_sent() const { return token_sent_; }

private:
  // The implementer chooses states and members.
  ConnectRequest request_;
  MessageReader reader_;
  std::optional<Prelogin> answered_;
  std::vector<ServerMessage> messages_;
  bool token_sent_ = false;
};

} // namespace tds
