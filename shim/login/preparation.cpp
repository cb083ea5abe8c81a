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

/// For people; the event has the number too.
std::string where_before(const InstancePort &known) {
  return known.before ? fmt::format("was at port {}", known.before) : "";
}

/// The place that was typed, or what it is an alias for.
std::expected<Place, Failure> place_of(Login &login, const std::string &target, bool partner) {
  const auto &aliases = login.config().aliases;
  auto typed = auth::parse_target(target);
  if (!typed) return login.fail(Cause::name_not_found, typed.error());
  auto meant = auth::replace_aliases(std::move(*typed),
                                     {auth::source_of(aliases.table), auth::source_of(aliases.freetds_conf)});
  if (!meant) return login.fail(Cause::name_not_found, meant.error());
  for (auto &[from, to, by] : meant->replacements)
    login.trail.emit(TargetAliased{std::move(from), std::move(to), std::move(by)});
  return Place{.target = std::move(meant->target), .partner = partner};
}

/// Asks SQL Browser where the instance of `facts` listens, and keeps what it says.
Task<std::expected<std::uint16_t, Failure>> ask_for_port(Login &login, const auth::NameFacts &facts,
                                                         Millis limit) {
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
    const auto known = login.services.browsers.put(target.host, target.instance, *answer->instance.port);
    event.port = known.port;
    event.detail = where_before(known);
    event.port_before = known.before;
    login.trail.emit(event);
    co_return known.port;
  }
  event.detail = answer ? "the instance does not listen on TCP" : answer.error().detail;
  login.trail.emit(event);
  co_return login.fail(Cause::browser_silent, std::move(event.detail));
}

struct Port {
  std::uint16_t number = 0;
  PortFrom from{};
};

/// The port of the named instance: the one that is kept, else SQL Browser's.
Task<std::expected<Port, Failure>> find_port(Login &login, const auth::NameFacts &facts, Browsed browsed,
                                             Millis limit) {
  const auto &target = facts.target;
  if (const auto known = login.services.browsers.find(target.host, target.instance)) {
    login.trail.emit(
        BrowserAnswered{target.instance, "", known->port, true, where_before(*known), 0, known->before});
    co_return Port{known->port, browsed == Browsed::already ? PortFrom::browser : PortFrom::kept};
  }
  const auto port = co_await ask_for_port(login, facts, limit);
  if (!port) co_return std::unexpected(port.error());
  co_return Port{*port, PortFrom::browser};
}

/// What DNS is to be asked for the realm of what will be asked of the KDC: nothing where the SPN has its own,
/// or another source comes first.
std::vector<auth::DnsQuestion> questions_of_realm(const Login &login, const std::string &spn,
                                                  const auth::NameFacts &facts) {
  if (!auth::spn_realm(spn).empty()) return {};
  return auth::realm_questions(spn.empty() ? facts.canonical : auth::spn_host(spn),
                               login.services.tickets.kerberos(), login.route.spn_rules);
}

/// What this driver would put into its SPN, as we write names. Error: why it cannot tell.
Task<std::expected<std::string, std::string>>
name_of_driver(Login &login, const auth::Driver &driver, const auth::Target &target, Millis limit,
               std::function<void(const auth::DnsAnswer &)> tell) {
  const auto facts =
      co_await learn_for_drivers(login.resolver, target, login.resolver.search(), limit, std::move(tell));
  const auto prediction = auth::predict(driver, facts, login.services.tickets.kerberos().naming);
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
/// its login, and stays in `login.given`.
Task<auth::Result<LoadedIdentity>> take_identity(Login &login, const Place &place) {
  const auto &wanted = *login.identity;
  const auto limit = login.route.timeouts.kdc;
  if (wanted.kind == config::IdentityKind::client) {
    if (login.given.loaded) co_return *login.given.loaded;
    auto account = client_account(login.asked.login, login.config().domains);
    if (!account) co_return std::unexpected(no_credentials(std::move(account.error())));
    login.trail.emit(CredentialsTaken{CredentialsFrom::client, account->account, account->principal});
    auto made = co_await login.services.identities.of_client(wanted, std::move(account->principal),
                                                             login.asked.login.password.clone(), limit);
    if (made) login.given.loaded = *made;
    co_return std::move(made);
  }
  if (wanted.kind == config::IdentityKind::caller) {
    if (!login.caller)
      co_return std::unexpected(no_credentials("no caller is known whose ccache could be taken"));
    auto loaded = co_await login.services.identities.of_caller(wanted, login.caller->uid, limit);
    if (loaded && place.redirects == 0)
      login.trail.emit(CredentialsTaken{CredentialsFrom::caller, loaded->identity->spec().path,
                                        loaded->identity->principal()});
    co_return std::move(loaded);
  }
  co_return co_await login.services.identities.get(wanted, limit);
}

/// Name and addresses of the target, within the route's limit for DNS, which began at `started`.
Task<std::expected<auth::NameFacts, Failure>> learn(Login &login, const auth::Target &target,
                                                    Clock::time_point started) {
  const auto &route = login.route;
  const auto emit = [&](const auth::DnsAnswer &answer) { login.trail.emit(to_event(answer)); };
  auto resolved = co_await canonicalise(login.resolver, target, login.resolver.search(), route.names,
                                        route.timeouts.dns, emit);
  if (auto *error = std::get_if<auth::NameError>(&resolved))
    co_return login.fail(Cause::name_not_found, error->detail);
  auto facts = std::move(std::get<auth::NameFacts>(resolved));
  const auto found = facts.addresses.size(), most = login.config().limits.addresses;
  facts.addresses = first_addresses(std::move(facts.addresses), most);
  if (found > most)
    login.trail.emit(Warned{fmt::format("{} has {} addresses, of which {} are used; [limits] addresses",
                                        facts.target.typed, found, most)});
  if (const auto *driver = auth::find_driver(route.names.driver)) {
    auto name = co_await name_of_driver(login, *driver, target, left_of(route.timeouts.dns, started), emit);
    if (!name) co_return login.fail(Cause::name_not_found, std::move(name.error()));
    facts.canonical = std::move(*name);
    facts.driver = driver->id;
  }
  co_return std::move(facts);
}

TargetResolved resolved_event(const auth::NameFacts &facts) {
  TargetResolved event{facts.target.typed, facts.canonical, 0, facts.via, {}, facts.by_text()};
  if (needs_browser(facts.target)) {
    event.endpoints = facts.addresses; // of an instance whose port nobody knows
  } else {
    event.port = port_of(facts.target);
    for (const auto &endpoint : endpoints_of(facts))
      event.endpoints.push_back(to_text(endpoint));
  }
  return event;
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

std::expected<Place, Failure> first_place(Login &login) {
  login.step = Step::resolve;
  return place_of(login, login.route.target, false);
}

std::optional<Place> partner_of(Login &login, const Place &place, const Failure &failure) {
  const auto &route = login.route;
  if (route.failover_partner.empty() || !place.own() ||
      entry(failure.cause).onward != config::Onward::partner)
    return std::nullopt;
  login.trail.emit(
      PartnerTried{route.name, route.target, std::string(id(failure.cause)), route.failover_partner});
  auto partner = place_of(login, route.failover_partner, true);
  if (!partner) return std::nullopt; // load has refused such a one
  return std::move(*partner);
}

Task<std::expected<Prepared, Failure>> prepare(Login &login, Place place, Browsed browsed) {
  Prepared prepared;
  login.step = Step::ticket;
  if (login.identity) {
    auto loaded = co_await take_identity(login, place);
    if (!loaded) co_return login.fail(cause_of_ticket_error({loaded.error(), {}}), words_of(loaded.error()));
    prepared.identity = std::move(*loaded);
  }

  login.step = Step::resolve;
  const auto &route = login.route;
  const auto started = Clock::now();
  auto learned = co_await learn(login, place.target, started);
  if (!learned) co_return std::unexpected(std::move(learned.error()));
  auto &facts = prepared.facts = std::move(*learned);
  auto too_far = leads_too_far(route, facts);
  std::optional<Failure> no_port;
  if (!too_far && needs_browser(facts.target)) {
    const auto port = co_await find_port(login, facts, browsed, left_of(route.timeouts.dns, started));
    if (port) {
      facts.target.port = port->number;
      prepared.port_from = port->from;
    } else {
      no_port = port.error();
    }
  }
  login.trail.emit(resolved_event(facts));
  if (too_far) co_return login.fail(Cause::canonical_name_foreign, std::move(*too_far));
  if (no_port) co_return std::unexpected(std::move(*no_port));

  const auto &spn = place.spn(route);
  auth::RealmFacts realms;
  if (prepared.identity) {
    realms.identity = prepared.identity->identity->realm();
    const auto answers = co_await ask_all(login.resolver, questions_of_realm(login, spn, facts),
                                          left_of(route.timeouts.dns, started));
    for (const auto &answer : answers)
      login.trail.emit(to_event(answer));
    realms.srv = auth::realm_of_srv(answers);
  }
  prepared.plan = make_plan(route, spn, facts, login.services.tickets.kerberos(), realms,
                            login.asked.login.integrated_security());
  PlanMade made;
  for (const auto &attempt : prepared.plan)
    made.attempts.push_back(attempt.text());
  login.trail.emit(made);
  prepared.place = std::move(place);
  co_return std::move(prepared);
}

Task<bool> is_elsewhere(Login &login, const Prepared &prepared) {
  login.step = Step::resolve;
  const auto port = co_await ask_for_port(login, prepared.facts, login.route.timeouts.dns);
  co_return port &&*port != port_of(prepared.facts.target);
}

} // namespace shim
