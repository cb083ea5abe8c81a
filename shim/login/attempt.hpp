// One attempt of the plan: ticket, connect, TLS, log in.
#pragma once

#include "auth/initiator.hpp"
#include "shim/login/preparation.hpp"
#include "shim/transport/stream.hpp"
#include "tds/connect_login.hpp"

namespace shim {

/// What an attempt takes along to the server; empty for tcp+sql.
struct Ready {
  std::optional<AcquiredTicket> ticket;
  std::unique_ptr<auth::Initiator> initiator;
  /// Of NTLM: no other login offers a password of the same principal while this lives.
  std::optional<Tickets::Turn> turn = {};
};

/// Before connecting: a wrong SPN costs the server nothing. Number `index` of the plan.
Task<std::expected<Ready, Failure>> get_ready(Login &login, const Prepared &prepared, std::size_t index);

/// A server that has accepted the login; its reply is still to be given to the client.
struct Upstream {
  Stream stream;
  tds::LoginReply reply;
};
/// The server accepts and sends the login elsewhere.
struct Redirect {
  tds::Routing routing;
  bool server_proven = false;
  bool password_goes_on = false;
};
struct Failed {
  Failure failure;
  bool ticket_rejected = false;
  bool wrong_instance = false;
};
/// The login was to go this far and no further (`Until::would_connect`).
struct WouldConnect {};
using Outcome = std::variant<Upstream, Redirect, Failed, WouldConnect>;

/// Number `index` of the plan, with its events; within the route's timeout for connecting, and else without a
/// deadline.
Task<Outcome> try_attempt(Login &login, const Prepared &prepared, std::size_t index);

/// As people and the log count attempts: from 1.
inline int number_of(std::size_t index) { return static_cast<int>(index) + 1; }

} // namespace shim
