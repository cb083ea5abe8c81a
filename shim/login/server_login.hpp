// One login to the server, over a connection that stands.
#pragma once

#include "auth/initiator.hpp"
#include "shim/login/login.hpp"
#include "shim/transport/stream.hpp"
#include "tds/connect_login.hpp"

#include <variant>

namespace shim {

/// What a login to one server came to.
struct LoginOutcome {
  std::variant<tds::LoginReply, tds::Routing, Failure> what;
  /// Proven by mutual authentication or by its certificate: what may be trusted to come from the server that
  /// was meant.
  bool server_proven = false;
  bool ticket_rejected = false; ///< the server refused the ticket, or closed on it
  bool wrong_instance = false;  ///< another instance than the one that was asked for listens there
};

/// Does what the login machine says: bytes, TLS, tokens; what it learns goes into the trail. `initiator` is
/// null for tcp+sql; `handshake` is used where the machine asks for TLS. Has no deadline of its own, and may
/// be cancelled at any point.
Task<LoginOutcome> server_login(Login &login, Stream &stream, const Attempt &attempt,
                                const auth::Target &target, TlsHandshake handshake,
                                std::unique_ptr<auth::Initiator> initiator);

/// What a channel binding to that TLS session holds ("tls-unique:" and the client's first Finished, RFC 5929
/// 3); empty where it has none (TLS 1.3).
std::vector<std::uint8_t> channel_binding(const TlsFacts &facts);

} // namespace shim
