// One login to the server, over a connection that stands.
#pragma once

#include "auth/initiator.hpp"
#include "config/config.hpp"
#include "shim/diagnosis/diagnose.hpp"
#include "shim/log/log.hpp"
#include "shim/transport/stream.hpp"
#include "tds/connect_login.hpp"

namespace shim {

/// Does what the login machine says: bytes, TLS, tokens. What it refers to outlives it. What it learns goes
/// into the trail, and into what `run` leaves behind.
struct ServerLogin {
  const config::Route &route;
  Trail &trail;
  Stream &stream;
  TlsHandshake handshake; ///< how the server leg's TLS is made, where the machine asks for it
  tds::ConnectLogin machine;
  std::unique_ptr<auth::Initiator> initiator; ///< null for tcp+sql
  config::AttemptKind kind{};
  std::string prelogin_asked;
  bool ticket_rejected = false; ///< the server refused the ticket, or closed on it
  bool wrong_instance = false;  ///< another instance than the one that was asked for listens there
  int round = 0;
  bool prelogin_told = false;
  std::size_t messages_told = 0;
  bool context_complete = false;
  bool server_verified = false; ///< by its certificate

  /// The server's answer; a redirect comes as the machine's own refusal. Call it once; it has no deadline of
  /// its own, and may be cancelled at any point.
  Task<std::expected<tds::LoginReply, std::variant<Failure, tds::ConnectRefused>>> run();
  bool ntlm() const { return kind == config::AttemptKind::tcp_ntlm; }
  /// Proven by either means: what may be trusted to come from the server that was meant.
  bool server_proven() const { return (context_complete && !ntlm()) || server_verified; }

private:
  /// Writes down what the machine has learned since the last call.
  void tell();
  /// Whether a certificate that was verified stands in for the server's token: where the route says so, and
  /// always with NTLM, which has no such token.
  bool certificate_stands_in() const;
  std::optional<Failure> give_token(const tds::NeedToken &need);
  Task<std::optional<Failure>> start_tls(const tds::StartTls &start);
  Failure refused(const tds::ConnectRefused &refusal);
};

/// What a channel binding to that TLS session holds ("tls-unique:" and the client's first Finished, RFC 5929
/// 3); empty where it has none (TLS 1.3).
std::vector<std::uint8_t> channel_binding(const TlsFacts &facts);

} // namespace shim
