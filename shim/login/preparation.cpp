#include "shim/login/preparation.hpp"

#include "auth/alias.hpp"
#include "shim/credentials/credentials.hpp"
#include "shim/login/cause_of.hpp"
#include "shim/login/fallback.hpp"
#include "shim/login/redirect.hpp"
#include "shim/login/rewrite.hpp"
#include "shim/names/browser.hpp"
#include "shim/transport/connect.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <ranges>

namespace shim {
namespace {

using Tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

/// For the log, and for diagnose, which takes "was" for another port than before.
std::string where_before(const InstancePort &known) {
  return known.before ? fmt::format("{}{}", was_at_port, known.before) : "";
}

/// The place that was typed, or what it is an alias for.
std::expected<Hop, Failure> hop_to(UpstreamRequest &request, const std::string &target, std::string spn) {
  const auto &aliases = request.config.aliases;
  auto typed = auth::parse_target(target);
  if (!typed) return fail(Step::resolve, Cause::name_not_found, typed.error());
  auto meant = auth::replace_aliases(std::move(*typed),
                                     {auth::source_of(aliases.table), auth::source_of(aliases.freetds_conf)});
  if (!meant) return fail(Step::resolve, Cause::name_not_found, meant.error());
  for (auto &[from, to, by] : meant->replacements)
    request.trail.emit(TargetAliased{std::move(from), std::move(to), std::move(by)});
  return Hop{0, std::move(meant->target), std::move(spn)};
}

/// Asks SQL Browser where the instance of `facts` listens, and keeps what it says.
Task<std::expected<std::uint16_t, Failure>> ask_for_port(UpstreamRequest &request,
                                                         const auth::NameFacts &facts, Millis limit) {
  const auto &target = facts.target;
  BrowserAnswered event;
  event.instance = target.instance;
  std::vector<asio::ip::udp::endpoint> servers;
  for (const auto &address : facts.addresses) {
    boost::system::error_code error;
    const auto ip = asio::ip::make_address(address, error);
    if (!error) servers.emplace_back(ip, tds::ssrp_port);
  }
  for (const auto &server : servers | std::views::take(most_browsers))
    event.server +=
        (event.server.empty() ? "" : ", ") + to_text(Tcp::endpoint(server.address(), server.port()));
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
  co_return fail(Step::resolve, Cause::browser_silent, std::move(event.detail));
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

/// What DNS is to be asked for the realm of what will be asked of the KDC: nothing where the SPN has its own,
/// or another source comes first.
std::vector<auth::DnsQuestion> questions_of_realm(const UpstreamRequest &request, const std::string &spn,
                                                  const auth::NameFacts &facts) {
  if (!auth::spn_realm(spn).empty()) return {};
  return auth::realm_questions(spn.empty() ? facts.canonical : auth::spn_host(spn),
                               request.tickets.kerberos(), request.route.spn_rules);
}

/// What this driver would put into its SPN, as we write names. Error: why it cannot tell.
Task<std::expected<std::string, std::string>>
name_of_driver(UpstreamRequest &request, const auth::Driver &driver, const auth::Target &target, Millis limit,
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

/// The route's identity, whosever credentials it is made of. What a client's own password makes serves all of
/// its login, and stays in `request.given`.
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
    if (!request.caller)
      co_return std::unexpected(no_credentials("no caller is known whose ccache could be taken"));
    auto loaded = co_await request.identities.of_caller(wanted, request.caller->uid, limit);
    if (loaded && hop.number == 0)
      request.trail.emit(
          CredentialsTaken{"caller", loaded->identity->spec().path, loaded->identity->principal()});
    co_return std::move(loaded);
  }
  co_return co_await request.identities.get(wanted, limit);
}

} // namespace

std::vector<Tcp::endpoint> endpoints_of(const auth::NameFacts &facts) {
  std::vector<Tcp::endpoint> endpoints;
  for (const auto &text : facts.addresses) {
    boost::system::error_code error;
    auto address = asio::ip::make_address(text, error);
    if (!error) endpoints.push_back({address, port_of(facts.target)});
  }
  return endpoints;
}

std::expected<Hop, Failure> first_hop(UpstreamRequest &request) {
  return hop_to(request, request.route.target, request.route.spn);
}

std::optional<Hop> partner_of(UpstreamRequest &request, const Hop &hop, const Failure &failure) {
  const auto &route = request.route;
  if (route.failover_partner.empty() || hop.partner || hop.number > 0 ||
      entry(failure.cause).onward != config::Onward::partner)
    return std::nullopt;
  request.trail.emit(partner_is_tried(route.name, route.target, failure.cause, route.failover_partner));
  auto partner = hop_to(request, route.failover_partner, "");
  if (!partner) return std::nullopt; // load has refused such a one
  partner->partner = true;
  return std::move(*partner);
}

Task<std::expected<Prepared, Failure>> prepare(UpstreamRequest &request, Hop hop, Step &step) {
  Prepared prepared;
  step = Step::ticket;
  if (request.identity) {
    auto loaded = co_await take_identity(request, hop);
    if (!loaded) co_return fail(step, cause_of_ticket_error({loaded.error(), {}}), words_of(loaded.error()));
    prepared.identity = std::move(*loaded);
  }

  step = Step::resolve;
  const auto started = Clock::now();
  const auto tell = [&](const auth::DnsAnswer &answer) { request.trail.emit(to_event(answer)); };
  auto resolved = co_await canonicalise(request.resolver, hop.target, request.resolver.search(),
                                        request.route.names, request.route.timeouts.dns, tell);
  if (auto *error = std::get_if<auth::NameError>(&resolved))
    co_return fail(step, Cause::name_not_found, error->detail);
  prepared.facts = std::move(std::get<auth::NameFacts>(resolved));
  if (const auto *driver = auth::find_driver(request.route.names.driver)) {
    auto name = co_await name_of_driver(request, *driver, hop.target,
                                        left_of(request.route.timeouts.dns, started), tell);
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

Task<bool> has_moved(UpstreamRequest &request, Prepared &prepared, Cause cause, Step &step) {
  const auto &target = prepared.facts.target;
  const bool kept = prepared.port_from == PortFrom::kept;
  // Who registers an SPN at last does not move the instance by that.
  if (kept || cause != Cause::spn_missing) request.browsers.flush(target.host, target.instance);
  if (!kept) co_return false;
  prepared.port_from = PortFrom::browser; // once in a login
  step = Step::resolve;
  const auto port = co_await ask_for_port(request, prepared.facts, request.route.timeouts.dns);
  const bool elsewhere = port && *port != port_of(target);
  co_return elsewhere;
}

} // namespace shim
