#include "shim/session.hpp"

#include "shim/admission/policy.hpp"
#include "shim/log/render.hpp"
#include "shim/login/rewrite.hpp"
#include "shim/login/upstream.hpp"
#include "shim/transport/connect.hpp"
#include "shim/transport/relay.hpp"
#include "shim/transport/stream.hpp"

#include <array>
#include <cstring>

namespace shim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Millis caller_lookup_limit{1000};
constexpr Millis log_room_limit{1000};
constexpr Millis farewell_limit{2000};
constexpr std::size_t farewell_bytes = 1024 * 1024;
/// unixODBC 2.3.11's SQLDriverConnect never returns from a long message: FreeTDS's of 555 bytes are
/// well, of 612 not. And isql shows 499 bytes, of which FreeTDS's own prefix is 21 and what stands
/// behind the first part 34.
constexpr std::size_t odbc_text = 440;

/// How a refusal reaches the client.
struct Answer {
  bool possible = true;
  tds::Dialect dialect;
  bool unread = false;      ///< nothing of the client has been read: its PRELOGIN is answered unseen
  bool short_texts = false; ///< of a client under unixODBC, see odbc_text
};

/// The connection while it logs in. Freed before the relay starts.
struct Session {
  WorkerParts parts;
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<void> alive;
  Admission admission;
  Quota::Place place_of_user; ///< until the login is answered
  ListenerPtr came_by;
  const config::Listener &listener; ///< its settings
  std::shared_ptr<Stream> client;   ///< shared with the shutdown, which closes it
  Trail trail;
  Connections::Entry entry;
  Clock::time_point started = Clock::now();
  bool stopped = false; ///< the process is shutting down
  std::string by = "us", reason = "refused";
  // For whatever ends the login at any point:
  Step step = Step::accept;
  Answer answer{true, {}, true, false};

  Session(WorkerParts worker, std::shared_ptr<const config::Config> configuration, Arrival arrival,
          std::shared_ptr<void> as_long_as_it_lives, Socket socket)
      : parts(worker), config(std::move(configuration)), alive(std::move(as_long_as_it_lives)),
        admission(std::move(arrival.admission)), came_by(std::move(arrival.listener)),
        listener(came_by->settings), client(std::make_shared<Stream>(std::move(socket))),
        trail(worker.common.log), entry(worker.connections) {}

  /// The login has its answer, which goes out next: whoever logs in once the client has read it finds the
  /// places free, and a client that takes its time to read holds up nobody else's.
  void answered() {
    admission.handshake.give_back();
    place_of_user.give_back();
  }
  std::int64_t lasted_ms() const {
    return std::chrono::duration_cast<Millis>(Clock::now() - started).count();
  }
};

/// The client left, or broke the protocol, while its login was under way.
struct ClientLeft {
  std::string reason;
  bool early_data = false;
};

/// After our last word: lets the client read it before the connection goes. Closing with unread input would
/// reset the connection and take our answer with it.
Task<bool> linger(Stream &client) {
  client.shutdown_send();
  std::array<char, 4096> discarded;
  for (std::size_t total = 0; total < farewell_bytes;) {
    auto [error, count] = co_await client.read_some(asio::buffer(discarded));
    if (error) break;
    total += count;
  }
  co_return true;
}

Task<bool> send_and_linger(Stream &client, tds::Bytes bytes) {
  auto error = co_await client.write(bytes);
  if (!error) co_await linger(client);
  co_return !error;
}

tds::Bytes refusal_bytes(const Diagnosis &diagnosis, const std::string &conn, const Answer &answer,
                         const config::Listener &listener) {
  const auto text = client_text(diagnosis, conn);
  std::vector<tds::ServerMessage> messages;
  auto parts = answer.short_texts ? in_parts(text, odbc_text) : std::vector{text};
  if (parts.size() > 1) parts.front() += " ... (sqlshim connection " + conn + ")"; // all that pyodbc shows
  for (const auto &part : parts) {
    auto &message = messages.emplace_back();
    message.number = refusal_number;
    message.severity = refusal_class;
    message.state = 1;
    message.text = tds::to_utf16(part);
    message.server = u"sqlshim";
  }
  tds::Bytes bytes;
  if (answer.unread) {
    // The client waits for the answer to its PRELOGIN; without one it could not read the ERROR.
    tds::Prelogin told;
    told.set_version(listener.version);
    told.set_encryption(tds::Encryption::not_sup);
    bytes = tds::encode_message(tds::PacketType::reply, tds::encode_prelogin(told));
  }
  auto error = tds::encode_refusal(answer.dialect, messages);
  bytes.insert(bytes.end(), error.begin(), error.end());
  return bytes;
}

/// What the socket takes without waiting: for a client that there is no room to wait for.
void send_at_once(Stream &client, const tds::Bytes &bytes) {
  client.try_write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
}

/// Whether the client may be one under unixODBC: Microsoft's driver says so, FreeTDS's says nothing; every
/// other library has a name.
bool under_odbc(const tds::Login7 &login) {
  return login.clt_int_name.empty() || tds::to_utf8(login.clt_int_name).contains("ODBC");
}

/// The one place where a connection is refused: says why, to the log and to the client.
Task<> refuse(Session &session, Failure failure) {
  auto diagnosis = diagnose(session.trail.records(), failure);
  session.trail.emit(refused(diagnosis, failure));
  session.answered();
  if (!session.admission.farewell) session.admission.farewell = session.parts.common.limits.farewell();
  tds::Bytes bytes;
  if (session.answer.possible)
    bytes = refusal_bytes(diagnosis, session.trail.id(), session.answer, session.listener);
  if (session.admission.farewell)
    co_await with_deadline(send_and_linger(*session.client, std::move(bytes)), farewell_limit);
  else
    send_at_once(*session.client, bytes);
}

/// Waits until the log has room for a whole login: an accepted login never has a gap.
Task<bool> log_has_room(Session &session) {
  auto until = Clock::now() + log_room_limit;
  Signal pause(co_await asio::this_coro::executor);
  while (!session.parts.common.log.has_room()) {
    if (Clock::now() >= until) co_return false;
    co_await pause.wait(Millis(20));
  }
  co_return true;
}

/// What the system's databases say of the proven user.
Task<Caller> look_up(Session &session, uid_t uid) {
  auto asked = Clock::now();
  auto caller = co_await session.parts.common.users.find(uid, caller_lookup_limit);
  if (!caller) {
    // The uid is proven all the same, and rules that name it still hold; rules by group do not.
    caller = Caller{};
    caller->uid = uid;
    caller->user = std::to_string(uid);
    caller->groups_known = false;
  }
  caller->how = session.listener.unix_path ? "peercred" : "sock_diag";
  session.trail.emit(
      CallerProven{caller->uid, caller->user, caller->group_names, caller->how, micros_since(asked)});
  co_return std::move(*caller);
}

/// The client's side of a handshake. nullopt: it stands.
Task<std::optional<Failure>> start_tls(Session &session, const tds::StartTls &start) {
  session.answer.possible = false; // the client waits for a handshake: nothing else can be said to it now
  auto context = session.parts.common.tls.accepting(session.listener);
  if (!context) co_return Failure{session.step, Cause::tls_mismatch, context.error()};
  auto facts =
      co_await session.client->handshake({.context = *context,
                                          .accept = true,
                                          .within_prelogin = start.framing == tds::TlsFraming::prelogin,
                                          .received = start.received,
                                          .names = {},
                                          .server_name = {}});
  if (!facts) co_return Failure{session.step, Cause::tls_mismatch, "the client: " + facts.error().detail};
  session.answer.possible = true;
  session.trail.emit(TlsAgreed{"client", facts->version, facts->cipher, facts->names, false, "", ""});
  co_return std::nullopt;
}

/// The login as the client sends it. `machine` is the caller's, because what it has
/// learned serves the refusal too.
Task<std::expected<tds::LoginRequest, std::variant<tds::AcceptRefused, Failure>>>
accept_login(Session &session, tds::AcceptLogin &machine) {
  std::vector<std::uint8_t> buffer(4096);
  bool told = false;
  for (;;) {
    auto action = machine.next();
    if (!told && machine.answered()) {
      session.trail.emit(
          PreloginAnswered{"client", tds::describe(*machine.asked()), tds::describe(*machine.answered())});
      told = true;
    }
    if (auto *send = std::get_if<tds::Send>(&action)) {
      if (co_await session.client->write(send->bytes)) machine.end_of_stream();
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto [error, count] = co_await session.client->read_some(asio::buffer(buffer));
      if (error.category() == tls_category())
        co_return std::unexpected(
            Failure{session.step, Cause::protocol_violation, "the client: " + error.message()});
      if (error)
        machine.end_of_stream();
      else
        machine.receive({buffer.data(), count});
    } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
      if (auto failure = co_await start_tls(session, *start)) co_return std::unexpected(std::move(*failure));
      machine.tls_established();
    } else if (std::holds_alternative<tds::StopTls>(action)) {
      if (session.client->pending() > 0)
        co_return std::unexpected(Failure{session.step, Cause::protocol_violation,
                                          "Bytes came behind LOGIN7's first packet, under TLS."});
      session.client->stop_tls();
    } else if (auto *asked = std::get_if<tds::LoginRequest>(&action)) {
      tds::wipe(buffer); // a password stands in it
      co_return std::move(*asked);
    } else {
      co_return std::unexpected(std::move(std::get<tds::AcceptRefused>(action)));
    }
  }
}

tds::ClientTls client_tls(config::ListenerTls tls) {
  switch (tls) {
  case config::ListenerTls::off:
    return tds::ClientTls::off;
  case config::ListenerTls::optional:
    return tds::ClientTls::optional;
  case config::ListenerTls::required:
    break;
  }
  return tds::ClientTls::required;
}

Cause cause_of(tds::AcceptFault fault) {
  switch (fault) {
  case tds::AcceptFault::client_requires_tls:
    return Cause::client_requires_tls;
  case tds::AcceptFault::listener_requires_tls:
    return Cause::listener_requires_tls;
  case tds::AcceptFault::tds_too_old:
    return Cause::tds_too_old;
  case tds::AcceptFault::closed:
  case tds::AcceptFault::protocol_violation:
    break;
  }
  return Cause::protocol_violation;
}

/// Until the client does anything at all while its login is under way: nothing that it may do
/// now is allowed but to wait.
Task<ClientLeft> watch(Stream &client) {
  for (;;) {
    char byte;
    const auto moved = client.try_read(&byte, 1);
    if (moved.count > 0) co_return ClientLeft{"bytes after LOGIN7, before its answer", true};
    if (moved.error == asio::error::eof) co_return ClientLeft{"closed before the login was answered"};
    if (moved.error) co_return ClientLeft{moved.error.message()};
    auto [error] = co_await client.socket().async_wait(
        moved.wait == Wait::writable ? Socket::wait_write : Socket::wait_read, as_result);
    co_await stop_if_cancelled();
    if (error) co_return ClientLeft{error.message()};
  }
}

/// The server leg, while an eye is kept on the client.
Task<std::variant<Upstream, Failure, ClientLeft>> reach_server(Session &session, const config::Route &route,
                                                               const config::Identity *identity,
                                                               const Caller &caller,
                                                               const tds::LoginRequest &asked) {
  UpstreamRequest request{*session.config,
                          route,
                          identity,
                          asked,
                          session.trail,
                          session.parts.resolver,
                          session.parts.common.tickets,
                          session.parts.common.identities,
                          session.parts.common.tls,
                          session.parts.common.browsers,
                          session.parts.common.trace,
                          &caller};
  auto outcome = co_await first_of(open_upstream(request), watch(*session.client));
  if (auto *left = std::get_if<ClientLeft>(&outcome)) co_return std::move(*left);
  auto &opened = std::get<0>(outcome);
  if (!opened) co_return std::move(opened.error());
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

/// The server's own answer, then bytes both ways. Returns once the relay runs by itself.
Task<bool> hand_over(std::unique_ptr<Session> &session, Upstream upstream, Millis idle) {
  const auto own = own_address(session->client->socket());
  const auto mapped = map_partners(upstream.reply.tokens, upstream.reply.version, own);
  for (const auto &partner : mapped.partners)
    session->trail.emit(PartnerMapped{partner, own});
  auto reply =
      tds::encode_message(tds::PacketType::reply, mapped.tokens, tds::login_packet_size, upstream.reply.spid);
  session->answered();
  auto sent = co_await with_deadline(session->client->write(reply), farewell_limit);
  if (!sent || *sent) {
    session->by = sent ? "client" : "us";
    session->reason = sent ? sent->message() : "the client does not read the answer to its login";
    co_return false;
  }
  session->trail.forget();

  /// All that is left of a connection once it is logged in.
  struct Rest {
    Trail trail;
    Connections::Entry entry;
    Clock::time_point started;
    std::shared_ptr<const config::Config> config;
    Quota::Place connection;
    std::shared_ptr<void> alive;
  };
  auto rest = std::make_shared<Rest>(std::move(session->trail), std::move(session->entry), session->started,
                                     session->config, std::move(session->admission.connection),
                                     std::move(session->alive));
  auto relay = std::make_shared<Relay>(
      std::move(*session->client), std::move(upstream.stream), idle, [rest](RelayEnd end) {
        auto lasted = std::chrono::duration_cast<Millis>(Clock::now() - rest->started).count();
        rest->trail.emit(Closed{end.by, end.reason, end.up, end.down, lasted});
      });
  rest->entry.on_stop([weak = std::weak_ptr(relay)](const std::string &reason) {
    if (auto running = weak.lock()) running->stop(reason);
  });
  session.reset();
  relay->start();
  co_return true;
}

/// The story. True: the relay has taken over and ends the connection; false: it is to be closed here.
Task<bool> tell(std::unique_ptr<Session> &session, std::expected<uid_t, std::string> uid) {
  auto &common = session->parts.common;
  if (!session->admission.refused.empty()) {
    co_await refuse(*session, {session->step, Cause::limit, session->admission.refused});
    co_return false;
  }
  if (!co_await log_has_room(*session)) {
    co_await refuse(*session,
                    {session->step, Cause::log_unavailable, "the decision log takes no more lines"});
    co_return false;
  }

  session->step = Step::caller;
  if (!uid) {
    co_await refuse(*session, {session->step, Cause::caller_unknown, uid.error()});
    co_return false;
  }
  auto caller = co_await look_up(*session, *uid);
  auto admitted = admit(session->listener, caller, common.self);
  if (admitted.denied) {
    co_await refuse(*session, {session->step, *admitted.denied, admitted.reason});
    co_return false;
  }

  session->step = Step::client_login;
  session->answer = {};
  tds::AcceptLogin machine(session->listener.version, client_tls(session->listener.tls));
  auto limit = session->config->limits.client_login;
  auto asked = co_await with_deadline(accept_login(*session, machine), left_of(limit, session->started));
  session->answer.dialect = machine.dialect();
  if (!asked) {
    co_await refuse(*session, {session->step, Cause::deadline,
                               "no complete login within " + std::to_string(limit.count()) +
                                   " ms; [limits] client_login"});
    co_return false;
  }
  if (!*asked) {
    if (auto *failure = std::get_if<Failure>(&asked->error())) {
      co_await refuse(*session, std::move(*failure));
      co_return false;
    }
    const auto &refusal = std::get<tds::AcceptRefused>(asked->error());
    if (refusal.fault == tds::AcceptFault::closed) {
      session->by = session->stopped ? "us" : "client";
      session->reason = session->stopped ? "shutdown" : refusal.detail;
    } else {
      session->answer.possible = refusal.answer;
      co_await refuse(*session, {session->step, cause_of(refusal.fault), refusal.detail});
    }
    co_return false;
  }
  const auto &login = **asked;
  session->trail.emit(to_event(login.login));
  session->answer.short_texts = under_odbc(login.login);

  session->step = Step::policy;
  auto decision = decide(*session->config, session->listener,
                         make_request(session->listener.name, caller, login.login), common.self);
  session->trail.emit(PolicyDecided{decision.rule, decision.denied ? "deny" : "allow",
                                    decision.route ? decision.route->name : "",
                                    decision.identity ? decision.identity->name : "", decision.reason});
  if (decision.denied) {
    co_await refuse(*session, {session->step, *decision.denied, decision.reason});
    co_return false;
  }
  const auto &route = *decision.route;
  // Where a password may go on, the attempt that leaves it behind tells so when it is made.
  const auto kind = sends_password(route) ? config::AttemptKind::tcp_sql : config::AttemptKind::tcp_kerberos;
  if (auto ignored = ignored_credentials(login.login, kind, takes_clients_password(decision.identity));
      !ignored.empty())
    session->trail.emit(CredentialsIgnored{ignored});

  auto outcome = co_await reach_server(*session, route, decision.identity, caller, login);
  if (auto *left = std::get_if<ClientLeft>(&outcome)) {
    if (left->early_data) {
      co_await refuse(*session,
                      {Step::server_login, Cause::protocol_violation, "the client: " + left->reason});
    } else {
      session->by = session->stopped ? "us" : "client";
      session->reason = session->stopped ? "shutdown" : left->reason;
    }
    co_return false;
  }
  if (auto *failure = std::get_if<Failure>(&outcome)) {
    co_await refuse(*session, std::move(*failure));
    co_return false;
  }
  auto idle = route.timeouts.idle;
  co_return co_await hand_over(session, std::move(std::get<Upstream>(outcome)), idle);
}

/// One login ends for want of memory; the others, and the process, go on.
Task<> refuse_for_memory(Session &session) {
  try {
    co_await refuse(session, {session.step, Cause::limit, "sqlshim is out of memory"});
  } catch (const std::bad_alloc &) { // not even for that: the connection is closed
  }
}

/// The uid behind the connection and its place among that user's logins: before anything else is spent on it.
/// False: it is to be closed without a word.
bool admit_user(Session &session, const std::expected<uid_t, std::string> &uid) {
  auto &limits = session.parts.common.limits;
  if (!uid) return true;
  auto place = limits.admit_user(*uid);
  if (place) {
    session.place_of_user = std::move(*place);
    return true;
  }
  session.admission.farewell = limits.farewell();
  if (!session.admission.farewell) return false;
  session.admission.refused = place.error();
  return true;
}

} // namespace

Task<> serve_client(WorkerParts parts, std::shared_ptr<const config::Config> config, Arrival arrival,
                    std::shared_ptr<void> alive, Socket client) {
  auto session = std::make_unique<Session>(parts, std::move(config), std::move(arrival), std::move(alive),
                                           std::move(client));
  bool out_of_memory = false;
  try {
    std::expected<uid_t, std::string> uid = std::unexpected("not asked");
    if (session->admission.refused.empty()) {
      uid = parts.common.prove_uid(session->client->socket());
      if (!admit_user(*session, uid)) {
        parts.common.limits.turned_away();
        co_return;
      }
    }
    session->trail.emit(Accepted{session->listener.name, peer_text(session->client->socket()),
                                 local_text(session->client->socket())});
    session->entry.on_stop([raw = session.get()](const std::string &) {
      raw->stopped = true;
      boost::system::error_code ignored;
      raw->client->socket().shutdown(Socket::shutdown_both, ignored);
    });
    if (co_await tell(session, std::move(uid))) co_return;
  } catch (const std::bad_alloc &) {
    out_of_memory = true; // nothing may be waited for in here
  }
  if (!session) co_return; // while handing over: the relay has ended it
  if (out_of_memory) co_await refuse_for_memory(*session);
  session->trail.emit(Closed{session->by, session->reason, 0, 0, session->lasted_ms()});
}

} // namespace shim
