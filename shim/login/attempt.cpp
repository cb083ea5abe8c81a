#include "shim/login/attempt.hpp"

#include "auth/ntlm_initiator.hpp"
#include "config/value.hpp"
#include "shim/credentials/credentials.hpp"
#include "shim/log/render.hpp"
#include "shim/login/cause_of.hpp"
#include "shim/login/redirect.hpp"
#include "shim/login/rewrite.hpp"
#include "shim/login/server_login.hpp"
#include "shim/transport/connect.hpp"

#include <fmt/format.h>

namespace shim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Millis address_stagger{250}; // RFC 8305, 5: "Connection Attempt Delay"
constexpr Millis all_at_once{1};       // as near as connect_first has it: none would mean one after the other

/// The ticket for one attempt, with its events.
Task<std::expected<AcquiredTicket, Failure>> take_ticket(UpstreamRequest &request,
                                                         const LoadedIdentity &identity,
                                                         const auth::NameFacts &facts,
                                                         const auth::SpnCandidate &candidate) {
  FetchContext context{request.resolver,
                       request.resolver.search(),
                       request.route.timeouts.kdc,
                       request.route.timeouts.dns,
                       [&trail = request.trail](Event event) { trail.emit(std::move(event)); },
                       request.trace};
  auto acquired = co_await request.tickets.acquire(identity, candidate.spn, std::move(context));
  SpnTried tried;
  tried.spn = candidate.spn;
  tried.why = auth::to_string(candidate.why);
  tried.realm_from = candidate.realm_from;
  if (const auto oddity = auth::odd(candidate.spn, facts)) tried.odd = oddity->text();
  tried.client = identity.identity->principal();
  if (!acquired) {
    const auto &error = acquired.error();
    tried.outcome = "refused";
    tried.kind = error.cause ? id(*error.cause) : auth::to_string(error.error.kind);
    tried.detail = words_of(error.error);
    if (error.kept)
      tried.detail +=
          "; the KDC's refusal of an earlier login, kept until [kerberos] refusals is over, or SIGHUP";
    request.trail.emit(tried);
    co_return fail(Step::ticket, cause_of_ticket_error(error), tried.detail);
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

/// NTLM with the identity's password, unless a server or a KDC has refused it too often.
Task<std::expected<Ready, Failure>> get_ntlm_ready(UpstreamRequest &request, const Prepared &prepared) {
  const auto &identity = *prepared.identity->identity;
  auto turn = co_await request.tickets.password_turn(*prepared.identity);
  if (!turn) co_return fail(Step::ticket, Cause::password_throttled, words_of(turn.error().error));
  auto account = ntlm_account(identity.principal(), request.config.domains);
  request.trail.emit(CredentialsTaken{"ntlm", account, identity.principal()});
  auto made = auth::make_ntlm_initiator(
      identity, {.account = std::move(account),
                 .service = service_name(prepared.hop.spn, prepared.facts),
                 .wrapping = auth::Wrapping::raw,
                 .require_mic = request.route.unprotected == config::Unprotected::refuse});
  if (!made) co_return fail(Step::ticket, cause_of_context_error(made.error().kind), words_of(made.error()));
  co_return Ready{std::nullopt, std::move(*made), std::move(*turn)};
}

tds::ServerTls server_tls(config::Encrypt encrypt) {
  switch (encrypt) {
  case config::Encrypt::off:
    return tds::ServerTls::off;
  case config::Encrypt::login:
    return tds::ServerTls::login;
  case config::Encrypt::require:
    return tds::ServerTls::require;
  case config::Encrypt::strict:
    break;
  }
  return tds::ServerTls::strict;
}

/// How TLS with this server is made. Error: the CA file cannot be read.
std::expected<TlsHandshake, Failure> make_handshake(const UpstreamRequest &request, const Hop &hop) {
  TlsHandshake handshake;
  if (request.route.encrypt == config::Encrypt::off) return handshake;
  auto context = request.tls.connecting(request.route);
  if (!context) return fail(Step::connect, Cause::certificate_untrusted, context.error());
  handshake.context = std::move(*context);
  // host_name_in_certificate is the target's alone: a partner is checked by its own name, as
  // is where a redirect led to.
  const int hops = hop.number + (hop.partner ? 1 : 0);
  handshake.names = certificate_names(request.route, hop.target, request.resolver.search().search, hops);
  if (!hop.target.is_address) handshake.server_name = handshake.names.front();
  return handshake;
}

/// What protects less than it could is told in every login.
void warn_of_settings(UpstreamRequest &request) {
  const auto &route = request.route;
  if (route.encrypt == config::Encrypt::off) return;
  if (route.trust_server_certificate)
    request.trail.emit(Warned{"route " + route.name +
                              ": trust_server_certificate: whoever answers is taken for the server"});
  if (route.tls_min == config::TlsMin::tls_1_0)
    request.trail.emit(
        Warned{"route " + route.name + ": tls_min = \"1.0\": old TLS and weak keys are accepted"});
}

} // namespace

Task<std::expected<Ready, Failure>> get_ready(UpstreamRequest &request, const Prepared &prepared,
                                              const Attempt &attempt, Step &step) {
  step = Step::ticket;
  Ready ready;
  if (attempt.kind == config::AttemptKind::tcp_sql) co_return std::move(ready);
  if (attempt.kind == config::AttemptKind::tcp_ntlm) co_return co_await get_ntlm_ready(request, prepared);
  if (!attempt.spn)
    co_return fail(step, Cause::realm_unknown, "no Kerberos realm is known for " + prepared.facts.canonical);
  auto acquired = co_await take_ticket(request, *prepared.identity, prepared.facts, *attempt.spn);
  if (!acquired) co_return std::unexpected(std::move(acquired.error()));
  ready.ticket = std::move(*acquired);
  auto made = auth::make_initiator(ready.ticket->ticket, {});
  if (!made) co_return fail(step, cause_of_context_error(made.error().kind), words_of(made.error()));
  ready.initiator = std::move(*made);
  co_return std::move(ready);
}

Task<Outcome> try_attempt(UpstreamRequest &request, const Prepared &prepared, std::size_t index, Step &step) {
  const auto &attempt = prepared.plan[index];
  auto ready = co_await get_ready(request, prepared, attempt, step);
  if (!ready) co_return Failed{std::move(ready.error())};

  step = Step::connect;
  auto handshake = make_handshake(request, prepared.hop);
  if (!handshake) co_return Failed{std::move(handshake.error())};
  auto started = Clock::now();
  auto connected = co_await connect_first(endpoints_of(prepared.facts),
                                          request.route.multi_subnet ? all_at_once : address_stagger,
                                          request.route.timeouts.connect);
  if (!connected)
    co_return Failed{{Step::connect,
                      connected.error().out_of_descriptors ? Cause::limit
                      : connected.error().refused          ? Cause::connection_refused
                                                           : Cause::connection_timeout,
                      connected.error().detail}};
  request.trail.emit(ServerConnected{to_text(connected->endpoint), number_of(index), micros_since(started)});
  warn_of_settings(request);

  step = Step::server_login;
  Stream stream(std::move(connected->socket));
  const bool integrated = attempt.kind != config::AttemptKind::tcp_sql;
  handshake->bound = attempt.kind == config::AttemptKind::tcp_ntlm;
  const auto &asked_login = request.asked.login;
  if (integrated && sends_password(request.route) && asked_login.sspi.empty())
    if (auto ignored =
            ignored_credentials(asked_login, attempt.kind, takes_clients_password(request.identity));
        !ignored.empty())
      request.trail.emit(CredentialsIgnored{std::move(ignored)});
  tds::ConnectLogin machine({server_prelogin(request.asked, prepared.facts.target),
                             rewrite(request.asked.login, attempt.kind, request.route.encrypt), integrated,
                             server_tls(request.route.encrypt)});
  auto asked = tds::describe(machine.asked());
  ServerLogin login{request.route,         request.trail,      stream,
                    std::move(*handshake), std::move(machine), std::move(ready->initiator),
                    attempt.kind,          std::move(asked)};
  auto reply = co_await login.run();
  if (reply && login.ntlm()) request.tickets.password_good(*prepared.identity);
  if (reply) co_return Upstream{std::move(stream), std::move(*reply)};
  if (auto *failure = std::get_if<Failure>(&reply.error())) {
    if (ready->ticket && login.ticket_rejected) request.tickets.rejected(*ready->ticket);
    if (failure->cause == Cause::ntlm_untrusted) request.tickets.password_refused(*prepared.identity);
    if (login.wrong_instance)
      failure->detail += fmt::format(" Another instance than {} listens at {}.",
                                     prepared.facts.target.instance, to_text(connected->endpoint));
    co_return Failed{std::move(*failure), login.ticket_rejected, login.wrong_instance};
  }
  auto &refusal = std::get<tds::ConnectRefused>(reply.error());
  co_return Redirect{std::move(*refusal.routing), login.server_proven(),
                     attempt.kind != config::AttemptKind::tcp_kerberos};
}

} // namespace shim
