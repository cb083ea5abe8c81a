#include "shim/upstream.hpp"

#include "auth/initiator.hpp"
#include "shim/log/render.hpp"
#include "shim/net/connect.hpp"
#include "shim/plan.hpp"
#include "shim/rewrite.hpp"

#include <array>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr Millis address_stagger{250}; // RFC 8305, 5: "Connection Attempt Delay"

std::string hex(std::uint32_t flags) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", flags);
  return text.data();
}

/// "what the library said (what the KDC said)"
std::string words_of(const auth::Error &error) {
  return error.said.empty() ? error.text : error.text + " (" + error.said + ")";
}

std::unexpected<Failure> fail(std::string step, Cause cause, std::string detail) {
  return std::unexpected(Failure{std::move(step), cause, std::move(detail)});
}

/// One attempt to log in over a connection that stands.
struct LoginAttempt {
  Trail &trail;
  Socket &socket;
  tds::ConnectLogin machine;
  std::unique_ptr<auth::Initiator> initiator; ///< null for tcp+sql
  std::string mechanism;
  bool ticket_rejected = false; ///< the server refused the ticket, or closed on it
  int round = 0;
  std::string prelogin_asked;
  bool prelogin_told = false;
  std::size_t messages_told = 0;

  /// Writes down what the machine has learned since the last call.
  void tell() {
    if (!prelogin_told && machine.answered()) {
      trail.emit(PreloginAnswered{"server", prelogin_asked, tds::describe(*machine.answered())});
      prelogin_told = true;
    }
    for (; messages_told < machine.messages().size(); ++messages_told) {
      const auto &message = machine.messages()[messages_told];
      trail.emit(ServerSaid{message.number, message.state, message.severity, tds::to_utf8(message.text)});
    }
  }

  std::optional<Failure> give_token(const tds::NeedToken &need) {
    auto step = initiator->step(need.server_token);
    TokenExchanged event;
    event.round = ++round;
    event.mechanism = mechanism;
    event.received = need.server_token.size();
    if (!step) {
      trail.emit(event);
      auto cause = cause_of_context_error(step.error().kind);
      ticket_rejected = true;
      return Failure{"server-login", cause, words_of(step.error())};
    }
    event.sent = step->token.size();
    event.flags_asked = hex(step->flags_asked);
    event.flags_granted = hex(step->flags_granted);
    event.done = step->complete;
    trail.emit(event);
    if (step->complete && !step->mutual)
      return Failure{"server-login", Cause::mutual_auth_missing,
                     "the security context is complete, but the server did not prove itself"};
    machine.token(std::move(step->token), step->complete);
    return std::nullopt;
  }

  Failure refused(const tds::ConnectRefused &refusal) {
    using enum tds::ConnectFault;
    auto failure = [](Cause cause, std::string detail) { return Failure{"server-login", cause, std::move(detail)}; };
    switch (refusal.fault) {
    case closed:
      ticket_rejected = machine.token_sent();
      return failure(Cause::server_closed, refusal.detail);
    case server_requires_tls:
      return failure(Cause::server_requires_tls, refusal.detail);
    case mars_refused:
      return failure(Cause::mars_refused, refusal.detail);
    case redirect:
      return failure(Cause::redirect_refused, refusal.detail);
    case context_incomplete:
      return failure(Cause::mutual_auth_missing, refusal.detail);
    case refused_by_server: {
      std::string detail = refusal.detail;
      Cause cause = Cause::login_denied;
      if (refusal.server_error) {
        cause = cause_of_server_error(refusal.server_error->number);
        detail = std::to_string(refusal.server_error->number) + ": " + tds::to_utf8(refusal.server_error->text);
      }
      ticket_rejected = cause == Cause::login_untrusted;
      return failure(cause, detail);
    }
    case protocol_violation:
      break;
    }
    return failure(Cause::protocol_violation, "the server: " + refusal.detail);
  }

  Task<std::expected<tds::LoginReply, Failure>> run() {
    std::vector<std::uint8_t> buffer(8192);
    for (;;) {
      auto action = machine.next();
      tell();
      if (auto *send = std::get_if<tds::Send>(&action)) {
        // An error shows again at the next read, which first yields what the server still said before it closed.
        co_await asio::async_write(socket, asio::buffer(send->bytes), as_result);
      } else if (std::holds_alternative<tds::Receive>(action)) {
        auto [error, count] = co_await socket.async_read_some(asio::buffer(buffer), as_result);
        co_await stop_if_cancelled();
        if (error)
          machine.end_of_stream();
        else
          machine.receive({buffer.data(), count});
      } else if (auto *need = std::get_if<tds::NeedToken>(&action)) {
        if (auto failure = give_token(*need)) co_return std::unexpected(std::move(*failure));
      } else if (auto *refusal = std::get_if<tds::ConnectRefused>(&action)) {
        co_return std::unexpected(refused(*refusal));
      } else {
        co_return std::move(std::get<tds::LoginReply>(action));
      }
    }
  }
};

/// The ticket for one attempt, with its events.
Task<std::expected<AcquiredTicket, Failure>> take_ticket(UpstreamRequest &request, const LoadedIdentity &identity,
                                                         const auth::SpnCandidate &candidate) {
  FetchContext context{request.resolver,
                       {request.config.dns.search, request.config.dns.ndots},
                       request.route.timeouts.kdc,
                       request.route.timeouts.dns,
                       [&trail = request.trail](Event event) { trail.emit(std::move(event)); },
                       request.trace};
  auto acquired = co_await request.tickets.acquire(identity, candidate.spn, std::move(context));
  SpnTried tried;
  tried.spn = candidate.spn;
  tried.why = auth::to_string(candidate.why);
  tried.client = identity.identity->principal();
  if (!acquired) {
    const auto &error = acquired.error();
    tried.outcome = "refused";
    tried.kind = error.unreachable ? "kdc-unreachable" : auth::to_string(error.error.kind);
    tried.detail = words_of(error.error);
    request.trail.emit(tried);
    co_return fail("ticket", cause_of_ticket_error(error), words_of(error.error));
  }
  tried.outcome = "ticket";
  tried.kind = auth::to_string(auth::Kind::ok);
  tried.detail = acquired->cached ? "from the store" : "from the KDC";
  request.trail.emit(tried);
  const auto &ticket = *acquired->ticket;
  request.trail.emit(TicketChosen{ticket.server, ticket.client, auth::etype_name(ticket.etype), ticket.kvno,
                                  to_iso8601(ticket.expires), acquired->cached});
  co_return std::move(*acquired);
}

std::vector<Tcp::endpoint> endpoints_of(const auth::NameFacts &facts) {
  std::vector<Tcp::endpoint> endpoints;
  for (const auto &text : facts.addresses) {
    boost::system::error_code error;
    auto address = asio::ip::make_address(text, error);
    if (!error) endpoints.push_back({address, port_of(facts.target)});
  }
  return endpoints;
}

Task<std::expected<Upstream, Failure>> try_attempt(UpstreamRequest &request, const Attempt &attempt, int number,
                                                   const auth::NameFacts &facts,
                                                   const std::optional<LoadedIdentity> &identity, std::string &step) {
  std::optional<AcquiredTicket> ticket;
  std::unique_ptr<auth::Initiator> initiator;
  if (attempt.spn) {
    // Before connecting: a wrong SPN costs the server nothing.
    step = "ticket";
    auto acquired = co_await take_ticket(request, *identity, *attempt.spn);
    if (!acquired) co_return std::unexpected(std::move(acquired.error()));
    ticket = std::move(*acquired);
    auto made = auth::make_initiator(ticket->ticket, {});
    if (!made) co_return fail("ticket", cause_of_context_error(made.error().kind), words_of(made.error()));
    initiator = std::move(*made);
  }

  step = "connect";
  auto started = Clock::now();
  auto connected = co_await connect_first(endpoints_of(facts), address_stagger, request.route.timeouts.connect);
  if (!connected)
    co_return fail("connect", connected.error().refused ? Cause::connection_refused : Cause::connection_timeout,
                   connected.error().detail);
  request.trail.emit(ServerConnected{to_text(connected->endpoint), number, micros_since(started)});

  step = "server-login";
  auto prelogin = server_prelogin(request.asked, facts.target);
  auto asked = tds::describe(prelogin);
  LoginAttempt login{request.trail,
                     connected->socket,
                     tds::ConnectLogin({std::move(prelogin), rewrite(request.asked.login, attempt.kind),
                                        attempt.kind == config::AttemptKind::tcp_kerberos}),
                     std::move(initiator),
                     "spnego",
                     false,
                     0,
                     std::move(asked)};
  auto reply = co_await login.run();
  login.tell();
  if (!reply) {
    if (ticket && login.ticket_rejected) request.tickets.rejected(*ticket);
    co_return std::unexpected(std::move(reply.error()));
  }
  co_return Upstream{std::move(connected->socket), std::move(*reply)};
}

} // namespace

Cause cause_of_ticket_error(const TicketError &error) {
  if (error.unreachable) return Cause::kdc_unreachable;
  return cause_of(error.error.kind).value_or(Cause::kdc_unreachable); // an answer that is none
}

Cause cause_of_context_error(auth::Kind kind) {
  using enum auth::Kind;
  switch (kind) {
  case ticket_expired:
    return Cause::clock_skew; // the server says so of a ticket that is good by our clock and the KDC's
  case clock_skew:
  case key_wrong:
  case key_version_wrong:
  case etype_refused:
  case bad_bindings:
  case mutual_failed:
  case mechanism_missing:
  case no_credentials:
    return *cause_of(kind);
  default:
    return Cause::protocol_violation; // a KDC's words have no place here: there was a ticket
  }
}

Cause cause_of_server_error(std::uint32_t number) {
  switch (number) {
  case 18452:
    return Cause::login_untrusted;
  case 4060:
    return Cause::database_denied;
  default:
    return Cause::login_denied; // 18456 and every other refusal after authentication
  }
}

Task<std::expected<Upstream, Failure>> open_upstream(UpstreamRequest request, std::string &step) {
  step = "ticket";
  std::optional<LoadedIdentity> identity;
  if (request.identity) {
    auto loaded = co_await request.identities.get(*request.identity, request.route.timeouts.kdc);
    if (!loaded) co_return fail(step, cause_of_ticket_error({loaded.error(), false}), words_of(loaded.error()));
    identity = std::move(*loaded);
  }

  step = "resolve";
  auto target = auth::parse_target(request.route.target);
  if (!target) co_return fail(step, Cause::name_not_found, target.error());
  if (needs_browser(*target))
    co_return fail(step, Cause::name_not_found,
                   request.route.target +
                       " names an instance without a port, and SQL Browser is not asked yet: write host,port");
  auto resolved = co_await canonicalise(
      request.resolver, *target, {request.config.dns.search, request.config.dns.ndots}, request.route.timeouts.dns,
      [&](const auth::DnsAnswer &answer) { request.trail.emit(to_event(answer)); });
  if (auto *error = std::get_if<auth::NameError>(&resolved)) co_return fail(step, Cause::name_not_found, error->detail);
  auto &facts = std::get<auth::NameFacts>(resolved);
  TargetResolved event{facts.target.typed, facts.canonical, port_of(facts.target), facts.via, {}};
  for (const auto &endpoint : endpoints_of(facts))
    event.endpoints.push_back(to_text(endpoint));
  request.trail.emit(event);

  auto plan = make_plan(request.route, facts, request.tickets.kerberos(), identity ? identity->identity->realm() : "",
                        request.asked.login.integrated_security());
  PlanMade made;
  for (const auto &attempt : plan)
    made.attempts.push_back(attempt.text());
  request.trail.emit(made);
  if (plan.empty()) co_return fail(step, Cause::realm_unknown, "no Kerberos realm is known for " + facts.canonical);

  for (std::size_t i = 0;; ++i) {
    auto number = static_cast<int>(i) + 1;
    auto outcome = co_await try_attempt(request, plan[i], number, facts, identity, step);
    request.trail.emit(AttemptEnded{number, outcome ? "ok" : std::string(id(outcome.error().cause))});
    if (outcome) co_return outcome;
    // Another spelling of the same service may be registered; any other failure stops here, since no policy lists it for falling back yet.
    bool next_spelling = outcome.error().cause == Cause::spn_missing && i + 1 < plan.size() && plan[i + 1].spn &&
                         plan[i + 1].kind == plan[i].kind;
    if (!next_spelling) co_return outcome;
  }
}

} // namespace shim
