#include "shim/upstream.hpp"

#include "auth/alias.hpp"
#include "auth/ntlm_initiator.hpp"
#include "config/value.hpp"
#include "shim/credentials.hpp"
#include "shim/fallback.hpp"
#include "shim/log/render.hpp"
#include "shim/net/browser.hpp"
#include "shim/net/connect.hpp"
#include "shim/plan.hpp"
#include "shim/redirect.hpp"
#include "shim/rewrite.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr Millis address_stagger{250}; // RFC 8305, 5: "Connection Attempt Delay"
constexpr Millis all_at_once{1};       // as near as connect_first has it: none would mean one after the other

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
  UpstreamRequest &request;
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

  /// Proven by either means: what may be trusted to come from the server that was meant.
  bool server_proven() const { return (context_complete && !ntlm()) || server_verified; }
  bool ntlm() const { return kind == config::AttemptKind::tcp_ntlm; }
  /// Whether a certificate that was verified stands in for the server's token: where the route says so, and always with NTLM, which has no such token.
  bool certificate_stands_in() const {
    return server_verified && (ntlm() || request.route.mutual_auth == config::MutualAuth::or_verified_tls);
  }

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
    event.mechanism = ntlm() ? "ntlm" : "spnego";
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
    const bool stands_in = certificate_stands_in();
    const bool unproven_will_do = ntlm() && request.route.unprotected == config::Unprotected::accept;
    if (step->complete && !step->mutual && !stands_in && !unproven_will_do)
      return Failure{"server-login", Cause::mutual_auth_missing,
                     "the security context is complete, but the server did not prove itself"};
    machine.token(std::move(step->token), step->complete || (stands_in && !ntlm()));
    return std::nullopt;
  }

  Task<std::optional<Failure>> start_tls(const tds::StartTls &start) {
    handshake.within_prelogin = start.framing == tds::TlsFraming::prelogin;
    auto facts = co_await stream.handshake(std::move(handshake));
    if (!facts) {
      const auto cause = cause_of_tls_fault(facts.error().fault);
      // What the certificate holds is told of one that is refused, too: the remedy names it.
      if (!facts.error().names.empty())
        trail.emit(TlsAgreed{"server", "", "", facts.error().names, false, "none", std::string(id(cause))});
      co_return Failure{"server-login", cause, facts.error().detail};
    }
    server_verified = facts->verified;
    const auto binding = channel_binding(*facts);
    TlsAgreed agreed{"server", facts->version, facts->cipher, facts->names, facts->verified, "none", ""};
    if (!initiator)
      agreed.reason = "no-token";
    else if (binding.empty())
      agreed.reason = "tls13";
    else
      agreed.binding = "tls-unique";
    trail.emit(agreed);
    if (initiator && !binding.empty()) initiator->bind(binding);
    machine.tls_established();
    co_return std::nullopt;
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
    case server_without_tls:
      return failure(Cause::server_without_tls, refusal.detail);
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
        if (cause == Cause::login_untrusted && ntlm()) cause = Cause::ntlm_untrusted;
        detail = std::to_string(refusal.server_error->number) + ": " + tds::to_utf8(refusal.server_error->text);
      }
      ticket_rejected = cause == Cause::login_untrusted || cause == Cause::ntlm_untrusted;
      return failure(cause, detail);
    }
    case wrong_instance:
      this->wrong_instance = true;
      break;
    case protocol_violation:
      break;
    }
    return failure(Cause::protocol_violation, "the server: " + refusal.detail);
  }

  /// The server's answer; a redirect comes as the machine's own refusal.
  Task<std::expected<tds::LoginReply, std::variant<Failure, tds::ConnectRefused>>> run() {
    std::vector<std::uint8_t> buffer(8192);
    for (;;) {
      auto action = machine.next();
      tell();
      if (auto *send = std::get_if<tds::Send>(&action)) {
        // An error shows again at the next read, which first yields what the server still said before it closed.
        co_await stream.write(send->bytes);
        co_await stop_if_cancelled();
      } else if (std::holds_alternative<tds::Receive>(action)) {
        auto [error, count] = co_await stream.read_some(asio::buffer(buffer));
        co_await stop_if_cancelled();
        if (error.category() == tls_category())
          co_return std::unexpected(
              Failure{"server-login", Cause::protocol_violation, "the server: " + error.message()});
        if (error)
          machine.end_of_stream();
        else
          machine.receive({buffer.data(), count});
      } else if (auto *start = std::get_if<tds::StartTls>(&action)) {
        if (auto failure = co_await start_tls(*start)) co_return std::unexpected(std::move(*failure));
      } else if (std::holds_alternative<tds::StopTls>(action)) {
        if (stream.pending() > 0)
          co_return std::unexpected(Failure{"server-login", Cause::protocol_violation,
                                            "the server: bytes came under TLS before LOGIN7 was sent"});
        stream.stop_tls();
      } else if (auto *need = std::get_if<tds::NeedToken>(&action)) {
        if (auto failure = give_token(*need)) co_return std::unexpected(std::move(*failure));
      } else if (auto *refusal = std::get_if<tds::ConnectRefused>(&action)) {
        if (refusal->routing) co_return std::unexpected(std::move(*refusal));
        co_return std::unexpected(refused(*refusal));
      } else {
        co_return std::move(std::get<tds::LoginReply>(action));
      }
    }
  }
};

/// The ticket for one attempt, with its events.
Task<std::expected<AcquiredTicket, Failure>> take_ticket(UpstreamRequest &request, const LoadedIdentity &identity,
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
    tried.detail = words_of(error.error) + (error.kept ? "; the KDC's refusal of an earlier login, kept" : "");
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

/// For the log, and for diagnose, which takes "was" for another port than before.
std::string where_before(const InstancePort &known) {
  return known.before ? fmt::format("{}{}", was_at_port, known.before) : "";
}

/// Where a login is being tried: the route's own target, then wherever redirects have led it.
struct Hop {
  int number = 0;
  auth::Target target;
  std::string spn;      ///< the route's explicit one, which holds for its own target alone
  bool partner = false; ///< the route's failover partner, or where it sent us
};

/// Who says at which port an instance is: the configuration (also of what is no named instance), SQL Browser just now, SQL Browser for an earlier login.
enum class PortFrom { configuration, browser, kept };

/// What is known before the first attempt at one place.
struct Prepared {
  Hop hop;
  std::optional<LoadedIdentity> identity;
  auth::NameFacts facts;
  PortFrom port_from = PortFrom::configuration;
  std::vector<Attempt> plan; ///< not empty: policy lets nobody in whom every attempt leaves out
};

/// The place that was typed, or what it is an alias for.
std::expected<Hop, Failure> hop_to(UpstreamRequest &request, const std::string &target, std::string spn) {
  const auto &aliases = request.config.aliases;
  auto typed = auth::parse_target(target);
  if (!typed) return fail("resolve", Cause::name_not_found, typed.error());
  auto meant =
      auth::replace_aliases(std::move(*typed), {auth::source_of(aliases.table), auth::source_of(aliases.freetds_conf)});
  if (!meant) return fail("resolve", Cause::name_not_found, meant.error());
  for (auto &[from, to, by] : meant->replacements)
    request.trail.emit(TargetAliased{std::move(from), std::move(to), std::move(by)});
  return Hop{0, std::move(meant->target), std::move(spn)};
}
std::expected<Hop, Failure> first_hop(UpstreamRequest &request) {
  return hop_to(request, request.route.target, request.route.spn);
}

/// The route's failover partner, where `failure` of its target leads there.
std::optional<Hop> partner_of(UpstreamRequest &request, const Hop &hop, const Failure &failure) {
  const auto &route = request.route;
  if (route.failover_partner.empty() || hop.partner || hop.number > 0 || !leads_to_partner(failure.cause))
    return std::nullopt;
  request.trail.emit(partner_is_tried(route.name, route.target, failure.cause, route.failover_partner));
  auto partner = hop_to(request, route.failover_partner, "");
  if (!partner) return std::nullopt; // load has refused such a one
  partner->partner = true;
  return std::move(*partner);
}

/// Asks SQL Browser where the instance of `facts` listens, and keeps what it says.
Task<std::expected<std::uint16_t, Failure>> ask_for_port(UpstreamRequest &request, const auth::NameFacts &facts,
                                                         Millis limit) {
  constexpr std::size_t most = 64; // as many addresses as SqlClient tries; each is a socket
  const auto &target = facts.target;
  BrowserAnswered event;
  event.instance = target.instance;
  std::vector<asio::ip::udp::endpoint> servers;
  for (const auto &address : facts.addresses) {
    boost::system::error_code error;
    const auto ip = asio::ip::make_address(address, error);
    if (error || servers.size() == most) continue;
    servers.emplace_back(ip, tds::ssrp_port);
    event.server += (event.server.empty() ? "" : ", ") + to_text(Tcp::endpoint(ip, tds::ssrp_port));
  }
  const auto asked = Clock::now();
  auto answer = co_await ask_browser(std::move(servers), target.instance, limit);
  event.us = micros_since(asked);
  if (answer) event.server = to_text(Tcp::endpoint(answer->from.address(), answer->from.port()));
  if (answer && answer->instance.port) {
    const auto known = request.browsers.put(target.host, target.instance, *answer->instance.port);
    event.port = known.port;
    event.detail = where_before(known);
    request.trail.emit(event);
    co_return known.port;
  }
  event.detail = answer ? "the instance does not listen on TCP" : answer.error().detail;
  request.trail.emit(event);
  co_return fail("resolve", Cause::browser_silent, std::move(event.detail));
}

/// Puts the port of the named instance into `prepared`: the one that is kept, else SQL Browser's.
Task<std::optional<Failure>> find_port(UpstreamRequest &request, Prepared &prepared, Millis limit) {
  auto &target = prepared.facts.target;
  if (const auto known = request.browsers.find(target.host, target.instance)) {
    request.trail.emit(BrowserAnswered{target.instance, "", known->port, true, where_before(*known), 0});
    prepared.port_from = PortFrom::kept;
    target.port = known->port;
    co_return std::nullopt;
  }
  const auto port = co_await ask_for_port(request, prepared.facts, limit);
  if (!port) co_return port.error();
  prepared.port_from = PortFrom::browser;
  target.port = *port;
  co_return std::nullopt;
}

/// What DNS is to be asked for the realm of what will be asked of the KDC: nothing where the SPN has its own, or another source comes first.
std::vector<auth::DnsQuestion> questions_of_realm(const UpstreamRequest &request, const std::string &spn,
                                                  const auth::NameFacts &facts) {
  if (!auth::spn_realm(spn).empty()) return {};
  return auth::realm_questions(spn.empty() ? facts.canonical : auth::spn_host(spn), request.tickets.kerberos(),
                               request.route.spn_rules);
}

/// What this driver would put into its SPN, as we write names. Error: why it cannot tell.
Task<std::expected<std::string, std::string>> name_of_driver(UpstreamRequest &request, const auth::Driver &driver,
                                                             const auth::Target &target, Millis limit,
                                                             std::function<void(const auth::DnsAnswer &)> tell) {
  const auto facts =
      co_await learn_for_drivers(request.resolver, target, request.resolver.search(), limit, std::move(tell));
  const auto prediction = auth::predict(driver, facts, request.tickets.kerberos().naming);
  if (prediction.spns.empty())
    co_return std::unexpected(fmt::format("{} cannot tell the name: {}", driver.id, prediction.reason));
  co_return auth::plain_name(prediction.name);
}

auth::Error no_credentials(std::string text) {
  auth::Error error;
  error.kind = auth::Kind::no_credentials;
  error.text = std::move(text);
  return error;
}

/// The route's identity, whosever credentials it is made of. What a client's own password makes serves all of its login, and stays in `request.given`.
Task<auth::Result<LoadedIdentity>> take_identity(UpstreamRequest &request, const Hop &hop) {
  const auto &wanted = *request.identity;
  const auto limit = request.route.timeouts.kdc;
  if (wanted.kind == config::IdentityKind::client) {
    if (request.given) co_return *request.given;
    auto account = client_account(request.asked.login, request.config.domains);
    if (!account) co_return std::unexpected(no_credentials(std::move(account.error())));
    request.trail.emit(CredentialsTaken{"client", account->account, account->principal});
    auto made = co_await request.identities.of_client(wanted, std::move(account->principal),
                                                      request.asked.login.password.clone(), limit);
    if (made) request.given = *made;
    co_return std::move(made);
  }
  if (wanted.kind == config::IdentityKind::caller) {
    if (!request.caller) co_return std::unexpected(no_credentials("no caller is known whose ccache could be taken"));
    auto loaded = co_await request.identities.of_caller(wanted, request.caller->uid, limit);
    if (loaded && hop.number == 0)
      request.trail.emit(CredentialsTaken{"caller", loaded->identity->spec().path, loaded->identity->principal()});
    co_return std::move(loaded);
  }
  co_return co_await request.identities.get(wanted, limit);
}

/// Whatever a client's own password has made is gone when its login ends, however that ends.
struct GivenForOneLogin {
  UpstreamRequest &request;
  ~GivenForOneLogin() {
    if (request.given) request.tickets.discard(*request.given);
    request.given.reset();
  }
};

Task<std::expected<Prepared, Failure>> prepare(UpstreamRequest &request, Hop hop, std::string &step) {
  Prepared prepared;
  step = "ticket";
  if (request.identity) {
    auto loaded = co_await take_identity(request, hop);
    if (!loaded) co_return fail(step, cause_of_ticket_error({loaded.error(), {}}), words_of(loaded.error()));
    prepared.identity = std::move(*loaded);
  }

  step = "resolve";
  const auto started = Clock::now();
  const auto tell = [&](const auth::DnsAnswer &answer) { request.trail.emit(to_event(answer)); };
  auto resolved = co_await canonicalise(request.resolver, hop.target, request.resolver.search(), request.route.names,
                                        request.route.timeouts.dns, tell);
  if (auto *error = std::get_if<auth::NameError>(&resolved)) co_return fail(step, Cause::name_not_found, error->detail);
  prepared.facts = std::move(std::get<auth::NameFacts>(resolved));
  if (const auto *driver = auth::find_driver(request.route.names.driver)) {
    auto name =
        co_await name_of_driver(request, *driver, hop.target, left_of(request.route.timeouts.dns, started), tell);
    if (!name) co_return fail(step, Cause::name_not_found, std::move(name.error()));
    prepared.facts.canonical = std::move(*name);
    prepared.facts.driver = driver->id;
  }
  const auto &facts = prepared.facts;
  auto too_far = leads_too_far(request.route, facts);
  std::optional<Failure> no_port;
  if (!too_far && needs_browser(hop.target)) {
    no_port = co_await find_port(request, prepared, left_of(request.route.timeouts.dns, started));
    hop.target.port = facts.target.port;
  }
  TargetResolved event{facts.target.typed, facts.canonical, 0, facts.via, {}, facts.by_text()};
  if (needs_browser(facts.target)) {
    event.endpoints = facts.addresses; // of an instance whose port nobody knows
  } else {
    event.port = port_of(facts.target);
    for (const auto &endpoint : endpoints_of(facts))
      event.endpoints.push_back(to_text(endpoint));
  }
  request.trail.emit(event);
  if (too_far) co_return fail(step, Cause::canonical_name_foreign, std::move(*too_far));
  if (no_port) co_return std::unexpected(std::move(*no_port));

  auth::RealmFacts realms;
  if (prepared.identity) {
    realms.identity = prepared.identity->identity->realm();
    const auto answers = co_await ask_all(request.resolver, questions_of_realm(request, hop.spn, facts),
                                          left_of(request.route.timeouts.dns, started));
    std::ranges::for_each(answers, tell);
    realms.srv = auth::realm_of_srv(answers);
  }
  prepared.plan = make_plan(request.route, hop.spn, facts, request.tickets.kerberos(), realms,
                            request.asked.login.integrated_security());
  PlanMade made;
  for (const auto &attempt : prepared.plan)
    made.attempts.push_back(attempt.text());
  request.trail.emit(made);
  prepared.hop = std::move(hop);
  co_return std::move(prepared);
}

/// What an attempt takes along to the server; empty for tcp+sql.
struct Ready {
  std::optional<AcquiredTicket> ticket;
  std::unique_ptr<auth::Initiator> initiator;
  std::shared_ptr<void> turn = {}; ///< of NTLM: no other login offers a password of the same principal while this lives
};

/// NTLM with the identity's password, unless a server or a KDC has refused it too often.
Task<std::expected<Ready, Failure>> get_ntlm_ready(UpstreamRequest &request, const Prepared &prepared) {
  const auto &identity = *prepared.identity->identity;
  auto turn = co_await request.tickets.password_turn(*prepared.identity);
  if (!turn) co_return fail("ticket", Cause::password_throttled, words_of(turn.error().error));
  auto account = ntlm_account(identity.principal(), request.config.domains);
  request.trail.emit(CredentialsTaken{"ntlm", account, identity.principal()});
  auto made =
      auth::make_ntlm_initiator(identity, {.account = std::move(account),
                                           .service = service_name(prepared.hop.spn, prepared.facts),
                                           .wrapping = auth::Wrapping::raw,
                                           .require_mic = request.route.unprotected == config::Unprotected::refuse});
  if (!made) co_return fail("ticket", cause_of_context_error(made.error().kind), words_of(made.error()));
  co_return Ready{std::nullopt, std::move(*made), std::move(*turn)};
}

/// Before connecting: a wrong SPN costs the server nothing.
Task<std::expected<Ready, Failure>> get_ready(UpstreamRequest &request, const Prepared &prepared,
                                              const Attempt &attempt, std::string &step) {
  step = "ticket";
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
/// The instance is at another port than was thought.
struct Moved {};
using Tried = std::variant<Upstream, Redirect, Failed, Moved>;

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
  if (!context) return fail("connect", Cause::certificate_untrusted, context.error());
  handshake.context = std::move(*context);
  // host_name_in_certificate is the target's alone: a partner is checked by its own name, as is where a redirect led to.
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
    request.trail.emit(
        Warned{"route " + route.name + ": trust_server_certificate: whoever answers is taken for the server"});
  if (route.tls_min == config::TlsMin::tls_1_0)
    request.trail.emit(Warned{"route " + route.name + ": tls_min = \"1.0\": old TLS and weak keys are accepted"});
}

Task<Tried> try_attempt(UpstreamRequest &request, const Prepared &prepared, std::size_t index, std::string &step) {
  const auto &attempt = prepared.plan[index];
  auto ready = co_await get_ready(request, prepared, attempt, step);
  if (!ready) co_return Failed{std::move(ready.error())};

  step = "connect";
  auto handshake = make_handshake(request, prepared.hop);
  if (!handshake) co_return Failed{std::move(handshake.error())};
  auto started = Clock::now();
  auto connected =
      co_await connect_first(endpoints_of(prepared.facts), request.route.multi_subnet ? all_at_once : address_stagger,
                             request.route.timeouts.connect);
  if (!connected)
    co_return Failed{{"connect",
                      connected.error().out_of_descriptors ? Cause::limit
                      : connected.error().refused          ? Cause::connection_refused
                                                           : Cause::connection_timeout,
                      connected.error().detail}};
  request.trail.emit(ServerConnected{to_text(connected->endpoint), number_of(index), micros_since(started)});
  warn_of_settings(request);

  step = "server-login";
  Stream stream(std::move(connected->socket));
  const bool integrated = attempt.kind != config::AttemptKind::tcp_sql;
  handshake->bound = attempt.kind == config::AttemptKind::tcp_ntlm;
  const auto &asked_login = request.asked.login;
  if (integrated && sends_password(request.route) && asked_login.sspi.empty())
    if (auto ignored = ignored_credentials(asked_login, attempt.kind, takes_clients_password(request.identity));
        !ignored.empty())
      request.trail.emit(CredentialsIgnored{std::move(ignored)});
  tds::ConnectLogin machine({server_prelogin(request.asked, prepared.facts.target),
                             rewrite(request.asked.login, attempt.kind, request.route.encrypt), integrated,
                             server_tls(request.route.encrypt)});
  auto asked = tds::describe(machine.asked());
  LoginAttempt login{
      request,      request.trail,   stream, std::move(*handshake), std::move(machine), std::move(ready->initiator),
      attempt.kind, std::move(asked)};
  auto reply = co_await login.run();
  login.tell();
  if (reply && login.ntlm()) request.tickets.password_good(*prepared.identity);
  if (reply) co_return Upstream{std::move(stream), std::move(*reply)};
  if (auto *failure = std::get_if<Failure>(&reply.error())) {
    if (ready->ticket && login.ticket_rejected) request.tickets.rejected(*ready->ticket);
    if (failure->cause == Cause::ntlm_untrusted) request.tickets.password_refused(*prepared.identity);
    if (login.wrong_instance)
      failure->detail += fmt::format(" Another instance than {} listens at {}.", prepared.facts.target.instance,
                                     to_text(connected->endpoint));
    co_return Failed{std::move(*failure), login.ticket_rejected, login.wrong_instance};
  }
  auto &refusal = std::get<tds::ConnectRefused>(reply.error());
  co_return Redirect{std::move(*refusal.routing), login.server_proven(),
                     attempt.kind != config::AttemptKind::tcp_kerberos};
}

/// The attempt that follows on one that failed, with what is told of it.
std::optional<std::size_t> go_on(UpstreamRequest &request, const std::vector<Attempt> &plan, std::size_t index,
                                 const Failed &failed) {
  const auto diagnosed = diagnose(request.trail.records(), failed.failure).cause;
  const auto onward =
      what_follows(request.route, plan, {index, failed.failure.cause, diagnosed, failed.ticket_rejected});
  if (onward.what == Follows::nothing) return std::nullopt;
  if (onward.what == Follows::another_spn) return onward.next;
  const auto from = plan[index].text(), to = plan[onward.next].text();
  if (onward.what == Follows::withheld) {
    request.trail.emit(FallbackWithheld{from, to, onward.reason});
    return std::nullopt;
  }
  request.trail.emit(FallbackTaken{from, to, onward.reason});
  return onward.next;
}

/// Whether an attempt failed as it would where the instance is at another port by now: nobody listens, or another instance does, or the KDC knows none of the SPNs by that port any more.
bool may_have_moved(const Failed &failed, const std::vector<Attempt> &plan, std::size_t index) {
  const auto cause = failed.failure.cause;
  const bool last_spelling = index + 1 == plan.size() || plan[index + 1].kind != plan[index].kind;
  return failed.wrong_instance || cause == Cause::connection_refused || cause == Cause::connection_timeout ||
         (cause == Cause::spn_missing && last_spelling);
}

/// Forgets the port, and asks SQL Browser again where it was a kept one. Whether the instance is elsewhere.
Task<bool> has_moved(UpstreamRequest &request, Prepared &prepared, Cause cause, std::string &step) {
  const auto &target = prepared.facts.target;
  const bool kept = prepared.port_from == PortFrom::kept;
  // Who registers an SPN at last does not move the instance by that.
  if (kept || cause != Cause::spn_missing) request.browsers.flush(target.host, target.instance);
  if (!kept) co_return false;
  prepared.port_from = PortFrom::browser; // once in a login
  step = "resolve";
  const auto port = co_await ask_for_port(request, prepared.facts, request.route.timeouts.dns);
  const bool elsewhere = port && *port != port_of(target);
  co_return elsewhere;
}

/// The attempts at one place, in the order of the plan.
Task<Tried> log_in_at(UpstreamRequest &request, Prepared &prepared, std::string &step) {
  for (std::size_t i = 0;;) {
    auto outcome = co_await try_attempt(request, prepared, i, step);
    const auto *failed = std::get_if<Failed>(&outcome);
    request.trail.emit(AttemptEnded{number_of(i), failed ? std::string(id(failed->failure.cause))
                                                  : std::holds_alternative<Redirect>(outcome) ? "redirect"
                                                                                              : "ok"});
    // Before anything else follows on the failure: what failed may have been the port alone.
    if (failed && prepared.port_from != PortFrom::configuration && may_have_moved(*failed, prepared.plan, i))
      if (co_await has_moved(request, prepared, failed->failure.cause, step)) co_return Moved{};
    const auto next = failed ? go_on(request, prepared.plan, i, *failed) : std::nullopt;
    if (!next) co_return outcome;
    i = *next;
  }
}

/// What a login came to at one place, wherever that is by now. `where` gets its name and port.
Task<Tried> visit(UpstreamRequest &request, const Hop &hop, std::string &where, std::string &step) {
  where = place(hop.target);
  for (bool again = false;; again = true) {
    auto prepared = co_await prepare(request, hop, step);
    if (!prepared) co_return Failed{std::move(prepared.error())};
    where = place(prepared->hop.target);
    if (again && prepared->port_from == PortFrom::kept) prepared->port_from = PortFrom::browser; // kept a moment ago
    auto outcome = co_await log_in_at(request, *prepared, step);
    if (!std::holds_alternative<Moved>(outcome)) co_return outcome;
  }
}

Task<std::expected<Upstream, Failure>> log_in(UpstreamRequest &request, std::string &step) {
  step = "resolve";
  auto hop = first_hop(request);
  if (!hop) co_return std::unexpected(std::move(hop.error()));
  auto first = hop->target;
  std::vector<std::string> been_to;
  std::string before; // what the target came to, where its partner is tried
  for (;;) {
    step = "resolve";
    if (!hop->target.pipe.empty())
      co_return fail(step, Cause::name_not_found, hop->target.typed + " is a named pipe: " + std::string(no_pipes));
    auto outcome = co_await visit(request, *hop, been_to.emplace_back(), step);
    if (auto *failed = std::get_if<Failed>(&outcome)) {
      if (auto partner = partner_of(request, *hop, failed->failure)) {
        before = fmt::format("; before that, the target {}: {}", request.route.target, id(failed->failure.cause));
        *hop = std::move(*partner);
        first = hop->target;
        continue;
      }
      failed->failure.detail += before;
      co_return std::unexpected(std::move(failed->failure));
    }
    if (auto *upstream = std::get_if<Upstream>(&outcome)) co_return std::move(*upstream);

    const auto &redirect = std::get<Redirect>(outcome);
    auto next = follow_redirect(request.route, first, request.resolver.search().search,
                                {.server = tds::to_utf8(redirect.routing.server),
                                 .port = redirect.routing.port,
                                 .hop = hop->number + 1,
                                 .server_proven = redirect.server_proven,
                                 .password_goes_on = redirect.password_goes_on,
                                 .been_to = been_to});
    if (!next) co_return fail("server-login", Cause::redirect_refused, next.error());
    request.trail.emit(RedirectFollowed{been_to.back(), place(*next), hop->number + 1});
    *hop = Hop{hop->number + 1, std::move(*next), "", hop->partner};
  }
}

/// Sets `rehearsal` at the point where a login would connect or end, and then asks for the rest of the tickets.
Task<bool> ask_for_every_ticket(UpstreamRequest &request, std::optional<Rehearsal> &rehearsal,
                                std::vector<Candidate> &candidates, std::string &step) {
  auto conclude = [&](std::optional<Failure> failure) {
    if (!rehearsal) rehearsal = Rehearsal{std::move(failure), request.trail.records().size(), {}};
  };
  step = "resolve";
  auto hop = first_hop(request);
  if (!hop) {
    conclude(std::move(hop.error()));
    co_return true;
  }
  auto prepared = co_await prepare(request, *hop, step);
  if (!prepared)
    if (auto partner = partner_of(request, *hop, prepared.error()))
      prepared = co_await prepare(request, std::move(*partner), step);
  if (!prepared) {
    conclude(std::move(prepared.error()));
    co_return true;
  }
  // As the login goes, and then the tickets that it would not have come to.
  const auto &plan = prepared->plan;
  std::vector<std::optional<auth::TicketPtr>> asked(plan.size());
  for (std::optional<std::size_t> i = 0; i;) {
    auto ready = co_await get_ready(request, *prepared, plan[*i], step);
    asked[*i] = ready && ready->ticket ? ready->ticket->ticket : nullptr;
    std::optional<std::size_t> next;
    if (ready) {
      conclude(std::nullopt);
    } else {
      request.trail.emit(AttemptEnded{number_of(*i), std::string(id(ready.error().cause))});
      next = go_on(request, plan, *i, {ready.error()});
      if (!next) conclude(std::move(ready.error()));
    }
    i = next;
  }
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (!plan[i].spn) continue;
    if (!asked[i]) {
      auto ready = co_await get_ready(request, *prepared, plan[i], step);
      asked[i] = ready && ready->ticket ? ready->ticket->ticket : nullptr;
    }
    candidates.push_back({plan[i].spn->spn, *asked[i]});
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
  case no_mic:
  case mechanism_missing:
  case no_credentials:
    return *cause_of(kind);
  default:
    return Cause::protocol_violation; // a KDC's words have no place here: there was a ticket
  }
}

Cause cause_of_tls_fault(TlsFault fault) {
  switch (fault) {
  case TlsFault::name:
    return Cause::certificate_name;
  case TlsFault::untrusted:
    return Cause::certificate_untrusted;
  case TlsFault::expired:
    return Cause::certificate_expired;
  case TlsFault::self_signed:
    return Cause::certificate_self_signed;
  case TlsFault::weak:
    return Cause::certificate_weak;
  case TlsFault::version:
    return Cause::tls_version_refused;
  case TlsFault::closed:
  case TlsFault::mismatch:
    break;
  }
  return Cause::tls_mismatch;
}

std::vector<std::uint8_t> channel_binding(const TlsFacts &facts) {
  if (facts.unique.empty()) return {};
  constexpr std::string_view prefix = "tls-unique:";
  std::vector<std::uint8_t> binding(prefix.begin(), prefix.end());
  binding.insert(binding.end(), facts.unique.begin(), facts.unique.end());
  return binding;
}

Cause cause_of_server_error(std::uint32_t number) {
  switch (number) {
  case 18452:
    return Cause::login_untrusted;
  case 954: // it is a mirror
  case 955: // a mirror without quorum
  case 976: // a replica that may not be read
  case 983: // a replica that is neither primary nor secondary
  case 4060:
    return Cause::database_denied;
  default:
    return Cause::login_denied; // 18456 and every other refusal after authentication
  }
}

Task<std::expected<Upstream, Failure>> open_upstream(UpstreamRequest request) {
  const GivenForOneLogin given{request};
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
  const GivenForOneLogin given{request};
  std::string step;
  std::optional<Rehearsal> rehearsal;
  std::vector<Candidate> candidates;
  co_await with_deadline(ask_for_every_ticket(request, rehearsal, candidates, step), request.route.timeouts.login);
  if (!rehearsal) rehearsal = Rehearsal{too_late(request.route, step), request.trail.records().size(), {}};
  rehearsal->candidates = std::move(candidates);
  co_return std::move(*rehearsal);
}

} // namespace shim
