// One login from a client: PRELOGIN, TLS if it is agreed, LOGIN7. The twin of login/server_login.
#pragma once

#include "shim/log/log.hpp"
#include "shim/refusal.hpp"
#include "shim/transport/stream.hpp"
#include "shim/transport/tls_contexts.hpp"
#include "tds/accept_login.hpp"

#include <expected>
#include <variant>

namespace shim {

/// The connection is over before its login is answered, and nobody is there to be told why.
struct ClientLeft {
  std::string reason;
  std::string by = "client"; ///< as in event Closed
};
/// How a login ended that did not come through: refused, or left.
using Ended = std::variant<Failure, ClientLeft>;

/// What it refers to outlives it. What it learns goes into the trail as it is learned.
class ClientLogin {
public:
  ClientLogin(const config::Listener &listener, const TlsContexts &tls, Trail &trail, Stream &client);

  /// The login as the client sends it, within a limit that began at `started`. Call it once.
  Task<std::expected<tds::LoginRequest, Ended>> run(Millis limit,
                                                    std::chrono::steady_clock::time_point started);
  /// How a refusal reaches the client as things stand now, `run` called or not.
  const Answer &answer() const { return answer_; }

private:
  Task<std::expected<tds::LoginRequest, Ended>> talk();
  /// nullopt: TLS stands.
  Task<std::optional<Failure>> start_tls(const tds::StartTls &start);
  /// Writes down what was said to the PRELOGIN, once.
  void tell_prelogin();
  Ended ended(const tds::AcceptRefused &refused);

  const config::Listener &listener_;
  const TlsContexts &tls_;
  Trail &trail_;
  Stream &client_;
  tds::AcceptLogin machine_;
  Answer answer_{.unread = true};
  bool prelogin_told_ = false;
};

/// Until the client does anything at all while its login is under way: nothing that it may do now is allowed
/// but to wait.
Task<Ended> watch(Stream &client);

} // namespace shim
