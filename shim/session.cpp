#include "shim/session.hpp"

#include "shim/admission/policy.hpp"
#include "shim/client_login.hpp"
#include "shim/connection.hpp"
#include "shim/login/rewrite.hpp"
#include "shim/login/upstream.hpp"
#include "shim/transport/connect.hpp"

#include <array>
#include <cstring>

namespace shim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Millis caller_lookup_limit{1000};
constexpr Millis log_room_limit{1000};
constexpr Millis farewell_limit{2000};
constexpr std::size_t farewell_bytes = 1024 * 1024;

/// A connection while it logs in. Freed before the relay starts.
struct Session {
  std::shared_ptr<Connection> connection;
  const config::Listener &listener;
  WorkerParts parts;
  Stream client;
  ClientLogin client_login;
  Admission admission;        ///< less the place of the connection itself
  Quota::Place place_of_user; ///< until the login is answered
  std::expected<uid_t, std::string> uid = std::unexpected("not asked");
  bool stopped = false; ///< the process is shutting down

  Session(std::shared_ptr<Connection> whose, WorkerParts worker, Admission admitted, Socket socket)
      : connection(std::move(whose)), listener(connection->listener->settings), parts(worker),
        client(std::move(socket)),
        client_login(listener, *connection->settings->tls, connection->trail, client),
        admission(std::move(admitted)) {
    connection->entry.on_stop([this](const std::string &) {
      stopped = true;
      client.interrupt();
    });
  }
  ~Session() { connection->entry.on_stop(nullptr); }
  Session(const Session &) = delete;

  Trail &trail() { return connection->trail; }
  void at(Step step) { connection->step = step; }
  std::unexpected<Ended> fail(Cause cause, std::string detail) const {
    return std::unexpected<Ended>(Failure{connection->step, cause, std::move(detail)});
  }
  /// The login has its answer, which goes out next: whoever logs in once the client has read it finds the
  /// places free, and a client that takes its time to read holds up nobody else's.
  void answered() {
    admission.handshake.give_back();
    place_of_user.give_back();
  }
};

/// Before anything else is spent on the connection: who it is, and a place among that user's logins. False:
/// it is to be closed without a word.
bool prove_caller(Session &session) {
  if (!session.admission.refused.empty()) return true;
  auto &common = session.parts.common;
  session.uid = common.prove_uid(*session.client.socket());
  if (!session.uid) return true;
  session.connection->uid = *session.uid;
  auto place = common.limits.admit_user(*session.uid);
  if (place) {
    session.place_of_user = std::move(*place);
    return true;
  }
  session.admission.farewell = common.limits.farewell();
  session.admission.refused = place.error();
  return static_cast<bool>(session.admission.farewell);
}

/// Waits until the log has room for a whole login: an accepted login never has a gap.
Task<bool> log_has_room(const Sink &log) {
  const auto until = Clock::now() + log_room_limit;
  Signal pause(co_await asio::this_coro::executor);
  while (!log.has_room()) {
    if (Clock::now() >= until) co_return false;
    co_await pause.wait(Millis(20));
  }
  co_return true;
}

/// What the system's databases say of the proven user.
Task<Caller> look_up(Session &session, uid_t uid) {
  const auto asked = Clock::now();
  auto caller = co_await session.parts.common.users.find(uid, caller_lookup_limit);
  if (!caller) {
    // The uid is proven all the same, and rules that name it still hold; rules by group do not.
    caller = Caller{};
    caller->uid = uid;
    caller->user = std::to_string(uid);
    caller->groups_known = false;
  }
  caller->how = session.listener.unix_path ? "peercred" : "sock_diag";
  session.connection->user = caller->user;
  session.trail().emit(
      CallerProven{caller->uid, caller->user, caller->group_names, caller->how, micros_since(asked)});
  co_return std::move(*caller);
}

/// Whether the connection may log in at all: limits, log, listener.
Task<std::expected<Caller, Ended>> let_in(Session &session) {
  auto &common = session.parts.common;
  if (!session.admission.refused.empty()) co_return session.fail(Cause::limit, session.admission.refused);
  if (!co_await log_has_room(common.log))
    co_return session.fail(Cause::log_unavailable, "the decision log takes no more lines");
  session.at(Step::caller);
  if (!session.uid) co_return session.fail(Cause::caller_unknown, session.uid.error());
  auto caller = co_await look_up(session, *session.uid);
  const auto admitted = admit(session.listener, caller, common.self);
  if (admitted.denied) co_return session.fail(*admitted.denied, admitted.reason);
  co_return std::move(caller);
}

Task<std::expected<tds::LoginRequest, Ended>> ask_client(Session &session) {
  session.at(Step::client_login);
  const auto &connection = *session.connection;
  auto asked =
      co_await session.client_login.run(connection.settings->config->limits.client_login, connection.since);
  if (asked) session.trail().emit(to_event(asked->login));
  co_return asked;
}

std::expected<Decision, Ended> choose_route(Session &session, const Caller &caller,
                                            const tds::LoginRequest &asked) {
  session.at(Step::policy);
  auto decision = decide(*session.connection->settings->config, session.listener,
                         make_request(session.listener.name, caller, asked.login), session.parts.common.self);
  session.trail().emit(PolicyDecided{decision.rule,
                                     decision.denied ? PolicyOutcome::deny : PolicyOutcome::allow,
                                     decision.route ? decision.route->name : "",
                                     decision.identity ? decision.identity->name : "", decision.reason});
  if (decision.denied) return session.fail(*decision.denied, decision.reason);
  session.connection->route = decision.route;
  // Where a password may go on, the attempt that leaves it behind tells so when it is made.
  const auto kind = sends_password(*decision.route) ? config::Mechanism::sql : config::Mechanism::kerberos;
  if (auto ignored = ignored_credentials(asked.login, kind, takes_clients_password(decision.identity));
      !ignored.empty())
    session.trail().emit(CredentialsIgnored{ignored});
  return decision;
}

/// The server leg, while an eye is kept on the client.
Task<std::expected<Upstream, Ended>> reach_server(Session &session, const Decision &decision,
                                                  const Caller &caller, const tds::LoginRequest &asked) {
  auto &common = session.parts.common;
  const Services services{common.tickets, common.identities, common.browsers, common.trace};
  Login login{services,
              *session.connection->settings,
              session.parts.resolver,
              *decision.route,
              decision.identity,
              &caller,
              asked,
              session.trail()};
  auto outcome = co_await first_of(open_upstream(login), watch(session.client));
  if (auto *left = std::get_if<Ended>(&outcome)) co_return std::unexpected(std::move(*left));
  auto &opened = std::get<0>(outcome);
  if (!opened) co_return std::unexpected(std::move(opened.error()));
  co_return std::move(*opened);
}

/// Where the client has connected to, as it would type it: "127.0.0.1,14330". Empty for a Unix socket,
/// which no client can type.
std::string own_address(const Socket &client) {
  boost::system::error_code error;
  const auto local = client.local_endpoint(error);
  const int family = local.protocol().family();
  if (error || (family != AF_INET && family != AF_INET6)) return {};
  asio::ip::tcp::endpoint endpoint;
  endpoint.resize(local.size());
  std::memcpy(endpoint.data(), local.data(), local.size());
  return endpoint.address().to_string() + "," + std::to_string(endpoint.port());
}

/// Gives the client the server's own answer. nullopt: it has it.
Task<std::optional<ClientLeft>> answer_client(Session &session, const tds::LoginReply &answer) {
  const auto own = own_address(*session.client.socket());
  const auto mapped = map_partners(answer.tokens, answer.version, own);
  for (const auto &partner : mapped.partners)
    session.trail().emit(PartnerMapped{partner, own});
  const auto reply =
      tds::encode_message(tds::PacketType::reply, mapped.tokens, tds::login_packet_size, answer.spid);
  session.answered();
  const auto sent = co_await with_deadline(session.client.write(reply), farewell_limit);
  if (!sent) co_return ClientLeft{"the client does not read the answer to its login", "us"};
  if (*sent) co_return ClientLeft{sent->message()};
  co_return std::nullopt;
}

/// The story, up to where nothing but bytes is left to be moved. Each line is a step; whatever ends one ends
/// the login.
Task<std::expected<Upstream, Ended>> log_in(Session &session) {
  const auto caller = co_await let_in(session);
  if (!caller) co_return std::unexpected(caller.error());
  const auto asked = co_await ask_client(session);
  if (!asked) co_return std::unexpected(asked.error());
  const auto decision = choose_route(session, *caller, *asked);
  if (!decision) co_return std::unexpected(decision.error());
  auto upstream = co_await reach_server(session, *decision, *caller, *asked);
  if (!upstream) co_return std::unexpected(std::move(upstream.error()));
  if (auto left = co_await answer_client(session, upstream->reply))
    co_return std::unexpected(std::move(*left));
  co_return std::move(*upstream);
}

/// After our last word: lets the client read it before the connection goes. Closing with unread input would
/// reset the connection and take our answer with it.
Task<bool> send_and_linger(Stream &client, const tds::Bytes &bytes) {
  if (co_await client.write(bytes)) co_return false;
  client.shutdown_send();
  std::array<char, 4096> discarded;
  for (std::size_t total = 0; total < farewell_bytes;) {
    auto [error, count] = co_await client.read_some(asio::buffer(discarded));
    if (error) break;
    total += count;
  }
  co_return true;
}

/// Says why, to the log and to the client.
Task<> refuse(Session &session, const Failure &failure) {
  const auto diagnosis = diagnose(session.trail().records(), failure);
  session.trail().emit(refused(diagnosis, failure));
  session.answered();
  auto &farewell = session.admission.farewell;
  if (!farewell) farewell = session.parts.common.limits.farewell();
  tds::Bytes bytes;
  if (const auto &answer = session.client_login.answer(); answer.possible)
    bytes = refusal_bytes(diagnosis, session.trail().id(), answer, session.listener.version, failure.errors);
  if (farewell)
    co_await with_deadline(send_and_linger(session.client, bytes), farewell_limit);
  else // what the socket takes without waiting: there is no room to wait for this client
    session.client.try_write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

/// The one place where a login ends that did not come through.
Task<> end(Session &session, const Ended &ended) {
  if (const auto *failure = std::get_if<Failure>(&ended)) {
    co_await refuse(session, *failure);
    session.connection->closed("us", "refused");
  } else if (session.stopped) {
    session.connection->closed("us", "shutdown");
  } else {
    const auto &left = std::get<ClientLeft>(ended);
    session.connection->closed(left.by, left.reason);
  }
}

/// One login ends for want of memory; the others, and the process, go on.
Task<> end_for_memory(Session &session) {
  try {
    co_await refuse(session, {session.connection->step, Cause::limit, "sqlshim is out of memory"});
  } catch (const std::bad_alloc &) { // not even for that: the connection is closed
  }
  session.connection->closed("us", "refused");
}

/// From here on nothing is left of the login.
void hand_over(std::unique_ptr<Session> session, Stream server) {
  auto connection = session->connection;
  auto client = std::move(session->client);
  session.reset();
  start_relay(std::move(connection), std::move(client), std::move(server));
}

} // namespace

Task<> serve_client(WorkerParts parts, SettingsPtr settings, Arrival arrival, std::shared_ptr<void> alive,
                    Socket client) {
  const auto connection = std::make_shared<Connection>(std::move(arrival.listener), std::move(settings),
                                                       std::move(arrival.admission.connection),
                                                       std::move(alive), parts.common.log, parts.connections);
  auto session =
      std::make_unique<Session>(connection, parts, std::move(arrival.admission), std::move(client));
  try {
    if (!prove_caller(*session)) co_return parts.common.limits.turned_away();
    connection->trail.emit(Accepted{session->listener.name, session->client.peer(), session->client.local()});
    auto upstream = co_await log_in(*session);
    if (upstream) co_return hand_over(std::move(session), std::move(upstream->stream));
    co_return co_await end(*session, upstream.error());
  } catch (const std::bad_alloc &) { // nothing may be waited for in here
  }
  if (session)
    co_await end_for_memory(*session);
  else
    connection->closed("us", "out of memory"); // while handing over
}

} // namespace shim
