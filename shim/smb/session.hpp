// An SMB session as its client sees it, from NEGOTIATE to IPC$. A machine, like tds/connect_login: it is
// asked for its next action and is fed the answer.
//
//   NEGOTIATE -> { NeedToken -> SESSION_SETUP }* -> TREE_CONNECT \\host\IPC$ -> [VALIDATE_NEGOTIATE]
//
// What it insists on: that everything is signed; that the server's last answer to SESSION_SETUP is, too, so
// it has the session's key; that nobody is a guest; that dialect and capabilities are what the server itself
// would say (3.1.1: the hash of what was said is in the keys; before it: VALIDATE_NEGOTIATE, signed).
#pragma once

#include "shim/smb/channel.hpp"

#include <variant>

namespace shim::smb {

enum class Encrypt {
  off,       ///< never
  automatic, ///< where the server can
  required,
};

inline constexpr int most_rounds = 16; ///< of SESSION_SETUP

struct SessionRequest {
  std::string host; ///< as the tree's path names it: "sql1.corp.test"
  std::vector<Dialect> dialects{all_dialects.begin(), all_dialects.end()};
  Encrypt encrypt = Encrypt::automatic;
  std::vector<Cipher> ciphers{Cipher::aes256_gcm, Cipher::aes128_gcm, Cipher::aes256_ccm, Cipher::aes128_ccm};
  std::vector<Signer> signers{Signer::aes_gmac, Signer::aes_cmac, Signer::hmac_sha256};
  Guid client{}; ///< random, as is the salt
  Bytes salt;    ///< 32 bytes
};

/// Bytes are to be sent: `output()`, then `sent()`.
struct Send {};
struct Receive {};
/// A token is needed; `server_token` is empty for the first. Answer with `token()`.
struct NeedToken {
  Bytes server_token;
};
/// Pipes may be opened.
struct Stands {};
using Action = std::variant<Send, Receive, NeedToken, Stands, Failure>;

/// What was agreed on, for a log.
struct SessionFacts {
  Dialect dialect{};
  Signer signer{};
  Cipher cipher = Cipher::none; ///< none: signed only
  Guid server{};
};

class Session {
public:
  explicit Session(SessionRequest request);

  /// What to do now. Stands and Failure are last.
  Action next();
  void receive(ByteView bytes) { channel_.receive(bytes); }
  void end_of_stream() { ended_ = true; }
  /// Answers NeedToken. `complete`: the security context stands, and `session_key` is its key. That may be
  /// before the server has said its last word, or with it (then `token` is empty).
  void token(Bytes token, bool complete, Bytes session_key);

  ByteView output() const { return channel_.output(); }
  void sent(std::size_t count) { channel_.sent(count); }
  const SessionFacts &facts() const { return facts_; }
  /// For the pipes, once it stands.
  Channel &channel() { return channel_; }

private:
  enum class State { negotiate, token, last_token, tree, validate, stands };
  void send_negotiate();
  void send_tree_connect();
  std::optional<Action> take(const Reply &reply);
  std::optional<Action> on_negotiate(const Reply &reply);
  std::optional<Action> on_session_setup(const Reply &reply);
  std::optional<Action> on_tree_connect(const Reply &reply);
  std::optional<Action> on_validate(const Reply &reply);
  Failure fail(Fault fault, std::string detail);
  /// Keys from the context's; the server's last answer must be signed by them.
  void establish();

  SessionRequest request_;
  NegotiateRequest asked_;
  NegotiateResponse answered_;
  SessionFacts facts_;
  Channel channel_;
  Preauthentication preauth_;
  State state_ = State::negotiate;
  bool waits_for_token_ = false, complete_ = false, ended_ = false, begun_ = false;
  int rounds_ = 0;
  Bytes server_token_, session_key_;
  std::optional<Reply> last_; ///< the server's last answer to SESSION_SETUP
  std::uint16_t session_flags_ = 0;
  std::optional<Failure> failure_;
};

} // namespace shim::smb
