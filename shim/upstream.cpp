#include "shim/upstream.hpp"

#include "auth/initiator.hpp"
#include "config/value.hpp"
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

/// As people and the log count attempts: from 1.
int number_of(std::size_t index) { return static_cast<int>(index) + 1; }

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
  bool context_complete = false;

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
    // GSSAPI would take some tokens for a context that stands, and nothing good can be in them.
    if (context_complete)
      return Failure{"server-login", Cause::protocol_violation,
                     "the server: it sends an SSPI token though the security context is complete"};
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
    event.done = context_complete = step->complete;
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
    tried.kind = error.cause ? id(*error.cause) : auth::to_string(error.error.kind);
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
                                  to_iso8601(ticket.expires), acquired->cached,
                                  config::windows_account(ticket.client, request.config.domains)});
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

/// What is known before the first attempt.
struct Prepared {
  std::optional<LoadedIdentity> identity;
  auth::NameFacts facts;
  std::vector<Attempt> plan; ///< never empty
};

Task<std::expected<Prepared, Failure>> prepare(UpstreamRequest &request, std::string &step) {
  Prepared prepared;
  step = "ticket";
  if (request.identity) {
    auto loaded = co_await request.identities.get(*request.identity, request.route.timeouts.kdc);
    if (!loaded) co_return fail(step, cause_of_ticket_error({loaded.error(), {}}), words_of(loaded.error()));
    prepared.identity = std::move(*loaded);
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
  prepared.facts = std::move(std::get<auth::NameFacts>(resolved));
  const auto &facts = prepared.facts;
  TargetResolved event{facts.target.typed, facts.canonical, port_of(facts.target), facts.via, {}};
  for (const auto &endpoint : endpoints_of(facts))
    event.endpoints.push_back(to_text(endpoint));
  request.trail.emit(event);

  prepared.plan = make_plan(request.route, facts, request.tickets.kerberos(),
                            prepared.identity ? prepared.identity->identity->realm() : "",
                            request.asked.login.integrated_security());
  PlanMade made;
  for (const auto &attempt : prepared.plan)
    made.attempts.push_back(attempt.text());
  request.trail.emit(made);
  if (prepared.plan.empty())
    co_return fail(step, Cause::realm_unknown, "no Kerberos realm is known for " + facts.canonical);
  co_return std::move(prepared);
}

/// What an attempt takes along to the server; empty for tcp+sql.
struct Ready {
  std::optional<AcquiredTicket> ticket;
  std::unique_ptr<auth::Initiator> initiator;
};

/// Before connecting: a wrong SPN costs the server nothing.
Task<std::expected<Ready, Failure>> get_ready(UpstreamRequest &request, const Prepared &prepared,
                                              const Attempt &attempt, std::string &step) {
  step = "ticket";
  Ready ready;
  if (!attempt.spn) co_return std::move(ready);
  auto acquired = co_await take_ticket(request, *prepared.identity, *attempt.spn);
  if (!acquired) co_return std::unexpected(std::move(acquired.error()));
  ready.ticket = std::move(*acquired);
  auto made = auth::make_initiator(ready.ticket->ticket, {});
  if (!made) co_return fail(step, cause_of_context_error(made.error().kind), words_of(made.error()));
  ready.initiator = std::move(*made);
  co_return std::move(ready);
}

Task<std::expected<Upstream, Failure>> try_attempt(UpstreamRequest &request, const Prepared &prepared,
                                                   std::size_t index, std::string &step) {
  const auto &attempt = prepared.plan[index];
  auto ready = co_await get_ready(request, prepared, attempt, step);
  if (!ready) co_return std::unexpected(std::move(ready.error()));

  step = "connect";
  auto started = Clock::now();
  auto connected =
      co_await connect_first(endpoints_of(prepared.facts), address_stagger, request.route.timeouts.connect);
  if (!connected)
    co_return fail("connect",
                   connected.error().out_of_descriptors ? Cause::limit
                   : connected.error().refused          ? Cause::connection_refused
                                                        : Cause::connection_timeout,
                   connected.error().detail);
  request.trail.emit(ServerConnected{to_text(connected->endpoint), number_of(index), micros_since(started)});

  step = "server-login";
  auto prelogin = server_prelogin(request.asked, prepared.facts.target);
  auto asked = tds::describe(prelogin);
  LoginAttempt login{request.trail,
                     connected->socket,
                     tds::ConnectLogin({std::move(prelogin), rewrite(request.asked.login, attempt.kind),
                                        attempt.kind == config::AttemptKind::tcp_kerberos}),
                     std::move(ready->initiator),
                     "spnego",
                     false,
                     0,
                     std::move(asked)};
  auto reply = co_await login.run();
  login.tell();
  if (!reply) {
    if (ready->ticket && login.ticket_rejected) request.tickets.rejected(*ready->ticket);
    co_return std::unexpected(std::move(reply.error()));
  }
  co_return Upstream{std::move(connected->socket), std::move(*reply)};
}

/// Another spelling of the same service may be registered; any other failure ends the login, since no policy lists it for falling back yet.
bool goes_on(const std::vector<Attempt> &plan, std::size_t failed, Cause cause) {
  return cause == Cause::spn_missing && failed + 1 < plan.size() && plan[failed + 1].spn &&
         plan[failed + 1].kind == plan[failed].kind;
}

Task<std::expected<Upstream, Failure>> log_in(UpstreamRequest &request, std::string &step) {
  auto prepared = co_await prepare(request, step);
  if (!prepared) co_return std::unexpected(std::move(prepared.error()));
  for (std::size_t i = 0;; ++i) {
    auto outcome = co_await try_attempt(request, *prepared, i, step);
    request.trail.emit(AttemptEnded{number_of(i), outcome ? "ok" : std::string(id(outcome.error().cause))});
    if (outcome || !goes_on(prepared->plan, i, outcome.error().cause)) co_return outcome;
  }
}

/// Sets `rehearsal` at the point where a login would connect or end, and then asks for the rest of the tickets.
Task<bool> ask_for_every_ticket(UpstreamRequest &request, std::optional<Rehearsal> &rehearsal, std::string &step) {
  auto conclude = [&](std::optional<Failure> failure) {
    if (!rehearsal) rehearsal = Rehearsal{std::move(failure), request.trail.records().size()};
  };
  auto prepared = co_await prepare(request, step);
  if (!prepared) {
    conclude(std::move(prepared.error()));
    co_return true;
  }
  for (std::size_t i = 0; i < prepared->plan.size(); ++i) {
    auto ready = co_await get_ready(request, *prepared, prepared->plan[i], step);
    if (!ready && !rehearsal) request.trail.emit(AttemptEnded{number_of(i), std::string(id(ready.error().cause))});
    if (ready)
      conclude(std::nullopt);
    else if (!goes_on(prepared->plan, i, ready.error().cause))
      conclude(std::move(ready.error()));
  }
  co_return true;
}

Failure too_late(const config::Route &route, const std::string &step) {
  return {step, Cause::deadline,
          "the login was not complete within " + std::to_string(route.timeouts.login.count()) + " ms; it was at step " +
              step};
}

} // namespace

Cause cause_of_ticket_error(const TicketError &error) {
  if (error.cause) return *error.cause;
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

Task<std::expected<Upstream, Failure>> open_upstream(UpstreamRequest request) {
  std::string step;
  auto outcome = co_await with_deadline(log_in(request, step), request.route.timeouts.login);
  if (!outcome) co_return std::unexpected(too_late(request.route, step));
  if (*outcome) {
    const auto &reply = (*outcome)->reply;
    request.trail.emit(LoginAnswered{true, reply.version.text(), tds::to_utf8(reply.database), reply.packet_size});
  }
  co_return std::move(*outcome);
}

Task<Rehearsal> rehearse(UpstreamRequest request) {
  std::string step;
  std::optional<Rehearsal> rehearsal;
  co_await with_deadline(ask_for_every_ticket(request, rehearsal, step), request.route.timeouts.login);
  if (!rehearsal) co_return Rehearsal{too_late(request.route, step), request.trail.records().size()};
  co_return std::move(*rehearsal);
}

} // namespace shim
