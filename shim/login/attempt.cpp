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
Task<std::expected<AcquiredTicket, Failure>> take_ticket(Login &login, const LoadedIdentity &identity,
                                                         const auth::NameFacts &facts,
                                                         const auth::SpnCandidate &candidate) {
  auto acquired = co_await login.services.tickets.acquire(identity, candidate.spn, login.fetching());
  SpnTried tried;
  tried.spn = candidate.spn;
  tried.why = candidate.why;
  tried.realm_from = meaning<auth::RealmFrom>(candidate.realm_from);
  tried.odd = auth::odd(candidate.spn, facts);
  tried.client = identity.identity->principal();
  if (!acquired) {
    const auto &error = acquired.error();
    tried.outcome = Tried::refused;
    tried.kind = error.cause ? SpnAnswer(*error.cause) : SpnAnswer(error.error.kind);
    tried.detail = words_of(error.error);
    if (error.kept)
      tried.detail +=
          "; the KDC's refusal of an earlier login, kept until [kerberos] refusals is over, or SIGHUP";
    login.trail.emit(tried);
    co_return login.fail(cause_of_ticket_error(error), tried.detail);
  }
  tried.outcome = Tried::ticket;
  tried.kind = auth::Kind::ok;
  tried.detail = acquired->cached ? "from the store" : "from the KDC";
  login.trail.emit(tried);
  const auto &ticket = *acquired->ticket;
  login.trail.emit(TicketChosen{ticket.server, ticket.client, auth::etype_name(ticket.etype), ticket.kvno,
                                to_iso8601(ticket.expires), acquired->cached,
                                config::windows_account(ticket.client, login.config().domains)});
  co_return std::move(*acquired);
}

/// NTLM with the identity's password, unless a server or a KDC has refused it too often.
Task<std::expected<Ready, Failure>> get_ntlm_ready(Login &login, const Prepared &prepared) {
  const auto &identity = *prepared.identity->identity;
  auto turn = co_await login.services.tickets.password_turn(*prepared.identity);
  if (!turn) co_return login.fail(Cause::password_throttled, words_of(turn.error().error));
  auto account = ntlm_account(identity.principal(), login.config().domains);
  login.trail.emit(CredentialsTaken{CredentialsFrom::ntlm, account, identity.principal()});
  auto made = auth::make_ntlm_initiator(
      identity, {.account = std::move(account),
                 .service = service_name(prepared.place.spn(login.route), prepared.facts),
                 .wrapping = auth::Wrapping::raw,
                 .require_mic = login.route.unprotected == config::Unprotected::refuse});
  if (!made) co_return login.fail(cause_of_context_error(made.error().kind), words_of(made.error()));
  co_return Ready{std::nullopt, std::move(*made), std::move(*turn)};
}

/// How TLS with this server is made. Error: the CA file cannot be read.
std::expected<TlsHandshake, Failure> make_handshake(const Login &login, const Prepared &prepared,
                                                    const Attempt &attempt) {
  TlsHandshake handshake;
  handshake.bound = attempt.kind.mechanism == config::Mechanism::ntlm;
  if (login.route.encrypt == config::Encrypt::off) return handshake;
  auto context = login.settings.tls->connecting(login.route);
  if (!context) return login.fail(Cause::certificate_untrusted, context.error());
  handshake.context = std::move(*context);
  const auto &place = prepared.place;
  handshake.names = certificate_names(login.route, place.target, login.resolver.search().search, place.own());
  if (!place.target.is_address) handshake.server_name = handshake.names.front();
  return handshake;
}

/// What protects less than it could is told in every login.
void warn_of_settings(Login &login) {
  const auto &route = login.route;
  if (route.encrypt == config::Encrypt::off) return;
  if (route.trust_server_certificate)
    login.trail.emit(Warned{"route " + route.name +
                            ": trust_server_certificate: whoever answers is taken for the server"});
  if (route.tls_min == config::TlsMin::tls_1_0)
    login.trail.emit(
        Warned{"route " + route.name + ": tls_min = \"1.0\": old TLS and weak keys are accepted"});
}

/// The ticket of a Kerberos attempt, and the context that it begins.
Task<std::expected<Ready, Failure>> get_kerberos_ready(Login &login, const Prepared &prepared,
                                                       const Attempt &attempt) {
  if (!attempt.spn)
    co_return login.fail(Cause::realm_unknown, "no Kerberos realm is known for " + prepared.facts.canonical);
  auto acquired = co_await take_ticket(login, *prepared.identity, prepared.facts, *attempt.spn);
  if (!acquired) co_return std::unexpected(std::move(acquired.error()));
  Ready ready;
  ready.ticket = std::move(*acquired);
  auto made = auth::make_initiator(ready.ticket->ticket, {});
  if (!made) co_return login.fail(cause_of_context_error(made.error().kind), words_of(made.error()));
  ready.initiator = std::move(*made);
  co_return std::move(ready);
}

/// Remembers what came of an attempt's ticket; nullopt: it is to be asked for anew.
void remember(Login &login, const Prepared &prepared, std::size_t index,
              std::optional<auth::TicketPtr> ticket) {
  if (login.first.get() == &prepared) login.tickets[index] = std::move(ticket);
}

/// The user and password of the client that stay behind where other attempts of the route send them on.
void note_ignored_credentials(Login &login, const Attempt &attempt) {
  const auto &asked = login.asked.login;
  if (attempt.kind.mechanism == config::Mechanism::sql || !sends_password(login.route) || !asked.sspi.empty())
    return;
  auto ignored = ignored_credentials(asked, attempt.kind.mechanism, takes_clients_password(login.identity));
  if (!ignored.empty()) login.trail.emit(CredentialsIgnored{std::move(ignored)});
}

Failure cause_of(const Login &login, const ConnectError &error) {
  return login
      .fail(error.out_of_descriptors ? Cause::limit
            : error.refused          ? Cause::connection_refused
                                     : Cause::connection_timeout,
            error.detail)
      .error();
}

} // namespace

Task<std::expected<Ready, Failure>> get_ready(Login &login, const Prepared &prepared, std::size_t index) {
  login.step = Step::ticket;
  const auto &attempt = prepared.plan[index];
  if (attempt.kind.mechanism == config::Mechanism::sql) co_return Ready{};
  if (attempt.kind.mechanism == config::Mechanism::ntlm) co_return co_await get_ntlm_ready(login, prepared);
  auto ready = co_await get_kerberos_ready(login, prepared, attempt);
  remember(login, prepared, index, ready ? ready->ticket->ticket : nullptr);
  co_return std::move(ready);
}

Task<Outcome> try_attempt(Login &login, const Prepared &prepared, std::size_t index) {
  const auto &attempt = prepared.plan[index];
  auto ready = co_await get_ready(login, prepared, index);
  if (!ready) co_return Failed{std::move(ready.error())};
  if (login.until == Until::would_connect) co_return WouldConnect{};

  login.step = Step::connect;
  auto handshake = make_handshake(login, prepared, attempt);
  if (!handshake) co_return Failed{std::move(handshake.error())};
  const auto started = Clock::now();
  auto connected = co_await connect_first(endpoints_of(prepared.facts),
                                          login.route.multi_subnet ? all_at_once : address_stagger,
                                          login.route.timeouts.connect);
  if (!connected) co_return Failed{cause_of(login, connected.error())};
  login.trail.emit(ServerConnected{to_text(connected->endpoint), number_of(index), micros_since(started)});
  warn_of_settings(login);

  login.step = Step::server_login;
  note_ignored_credentials(login, attempt);
  Stream stream(std::move(connected->socket));
  auto outcome = co_await server_login(login, stream, attempt, prepared.facts.target, std::move(*handshake),
                                       std::move(ready->initiator));
  auto &tickets = login.services.tickets;
  const bool ntlm = attempt.kind.mechanism == config::Mechanism::ntlm;
  if (auto *reply = std::get_if<tds::LoginReply>(&outcome.what)) {
    if (ntlm) tickets.password_good(*prepared.identity);
    co_return Upstream{std::move(stream), std::move(*reply)};
  }
  if (auto *routing = std::get_if<tds::Routing>(&outcome.what))
    co_return Redirect{std::move(*routing), outcome.server_proven,
                       attempt.kind.mechanism != config::Mechanism::kerberos};
  auto &failure = std::get<Failure>(outcome.what);
  if (ready->ticket && outcome.ticket_rejected) {
    tickets.rejected(*ready->ticket);
    remember(login, prepared, index, std::nullopt);
  }
  if (failure.cause == Cause::ntlm_untrusted) tickets.password_refused(*prepared.identity);
  if (outcome.wrong_instance)
    failure.detail += fmt::format(" Another instance than {} listens at {}.", prepared.facts.target.instance,
                                  to_text(connected->endpoint));
  co_return Failed{std::move(failure), outcome.ticket_rejected, outcome.wrong_instance};
}

} // namespace shim
