#include "shim/login/rehearsal.hpp"

#include "auth/host_name.hpp"
#include "shim/admission/policy.hpp"
#include "shim/log/log.hpp"
#include "shim/log/render.hpp"
#include "shim/login/rewrite.hpp"
#include "shim/login/upstream.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fmt/format.h>
#include <map>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace shim {
namespace {

/// Where the trail's events go when nobody but the trail is to have them.
class NoLog final : public Sink {
  bool write(const Record &) override { return true; }
};

/// The login of a client that there is not. Integrated: it has no password that a
/// tcp+sql attempt could send on.
tds::LoginRequest test_login(const std::string &target, bool integrated) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  tds::LoginRequest asked;
  auto &login = asked.login;
  login.tds_version = tds::tds_7_4;
  login.option_flags2 = tds::option2_odbc;
  if (integrated) login.option_flags2 |= tds::option2_integrated_security;
  login.client_pid = static_cast<std::uint32_t>(::getpid());
  login.host_name = tds::to_utf16(host.data()).substr(0, 128);
  login.app_name = u"sqlshim explain";
  login.server_name = tds::to_utf16(target).substr(0, 128);
  login.clt_int_name = u"sqlshim";
  return asked;
}

std::string reason_for(const config::Config &config, const config::Route &route) {
  if (route.name.empty()) return "no route has this target: defaults, with the first identity";
  auto configured = std::ranges::find(config.routes, route.name, &config::Route::name);
  return configured != config.routes.end() && configured->target == route.target ? "the route of this target"
                                                                                 : "the route that was named";
}

/// Everything that a login needs, for one only.
struct OneLogin {
  const config::Config &config;
  const config::Route &route;
  NoLog log;
  Trail trail{log};
  asio::thread_pool pool{1};
  Identities identities;
  Tickets tickets;
  std::shared_ptr<const TlsContexts> tls =
      std::make_shared<const TlsContexts>(std::make_shared<const config::Config>());
  Browsers browsers;
  asio::io_context io{1}; // after what its waiting tasks use: they are destroyed with it
  std::shared_ptr<SystemNames> system = std::make_shared<SystemNames>();
  Resolver own = by(config::Resolver::own), by_system = by(config::Resolver::system);
  Resolver &resolver = config.dns.resolver == config::Resolver::own ? own : by_system; ///< the login's

  OneLogin(const config::Config &configuration, const config::Route &chosen, auth::KerberosConfig kerberos)
      : config(configuration), route(chosen), identities(pool, kerberos.path),
        tickets(std::move(kerberos), Millis(0), [this](Event event) { trail.emit(std::move(event)); }) {}
  ~OneLogin() { pool.join(); }

  Resolver by(config::Resolver which) {
    auto dns = config.dns;
    dns.resolver = which;
    return Resolver(io.get_executor(), std::make_shared<NameFiles>(std::move(dns)), system);
  }

  /// Runs a task to its end on this thread.
  template <class T> T run(Task<T> task) {
    std::optional<T> result;
    asio::co_spawn(
        io,
        [](Task<T> inner, std::optional<T> &out) -> Task<> {
          out = co_await std::move(inner);
        }(std::move(task), result),
        [&](std::exception_ptr error) {
          io.stop(); // what still waits (a KDC that lost a race) has nobody to wait for
          if (error) std::rethrow_exception(error);
        });
    io.restart();
    io.run();
    return std::move(*result);
  }
};

/// With the realm that the driver asks in: its own, the default one, else that of the
/// host, where referrals begin.
std::string with_realm(const std::string &spn, const auth::Prediction &prediction,
                       const auth::KerberosConfig &kerberos, const std::string &identity_realm) {
  if (!auth::spn_realm(spn).empty()) return spn;
  auto realm = prediction.default_realm ? kerberos.default_realm : kerberos.realm_of(auth::spn_host(spn));
  if (realm.empty()) realm = identity_realm;
  return spn + "@" + realm;
}

/// `identity` null: no SPN is asked for, and `why_not` says why.
Task<DriverComparison> compare(OneLogin &shop, const config::Identity *identity, std::string why_not,
                               std::span<const auth::Driver> drivers) {
  const auto search = shop.resolver.search();
  const auto &timeouts = shop.route.timeouts;
  DriverComparison comparison;
  comparison.mit = shop.tickets.kerberos().naming;
  const auto target = auth::parse_target(shop.route.target);
  if (!target) co_return comparison;
  comparison.facts = co_await learn_for_drivers(shop.resolver, *target, search, timeouts.dns,
                                                [](const auth::DnsAnswer &) {});
  // Drivers ask SQL Browser as the login did.
  if (const auto known = shop.browsers.find(target->host, target->instance))
    comparison.facts.browser_port = known->port;
  std::optional<LoadedIdentity> loaded;
  if (identity && takes_clients_password(identity)) {
    why_not = "the route takes the client's own user and password";
  } else if (identity) {
    auto got = identity->kind == config::IdentityKind::caller
                   ? co_await shop.identities.of_caller(*identity, ::getuid(), timeouts.kdc)
                   : co_await shop.identities.get(*identity, timeouts.kdc);
    if (got)
      loaded = std::move(*got);
    else
      why_not = std::string(auth::to_string(got.error().kind));
  }
  std::map<std::string, std::string> said; // of each SPN; "ticket" where there is one
  for (const auto &driver : drivers) {
    const auto prediction = auth::predict(driver, comparison.facts, comparison.mit);
    DriverRow row{std::string(driver.id), prediction.name, prediction.reason, {}};
    for (const auto &predicted : prediction.spns) {
      DriverSpn one;
      one.spn = with_realm(predicted.spn, prediction, shop.tickets.kerberos(),
                           loaded ? loaded->identity->realm() : "");
      one.source = predicted.source;
      if (!loaded) {
        one.said = "not asked: " + why_not;
      } else {
        const auto [known, fresh] = said.try_emplace(one.spn);
        if (fresh) {
          auto acquired = co_await shop.tickets.acquire(
              *loaded, one.spn,
              FetchContext{shop.resolver, search, timeouts.kdc, timeouts.dns, [](Event) {}, false});
          if (acquired)
            known->second = "ticket";
          else
            known->second = acquired.error().cause ? id(*acquired.error().cause)
                                                   : auth::to_string(acquired.error().error.kind);
        }
        one.said = known->second;
        one.ticket = one.said == "ticket";
        if (!one.ticket) one.suspicion = auth::suspicion(predicted, comparison.facts);
      }
      row.spns.push_back(std::move(one));
    }
    comparison.rows.push_back(std::move(row));
  }
  co_return comparison;
}

Task<ResolvedName> resolve_by(Resolver &resolver, auth::Target target) {
  auto outcome = co_await canonicalise(resolver, std::move(target), resolver.search(), {}, comparison_limit,
                                       [](const auth::DnsAnswer &) {});
  ResolvedName resolved;
  if (auto *facts = std::get_if<auth::NameFacts>(&outcome)) {
    resolved.canonical = facts->canonical;
    resolved.addresses = std::move(facts->addresses);
    std::ranges::sort(resolved.addresses); // their order is no matter of names
  } else {
    resolved.fault = std::get<auth::NameError>(outcome).detail;
  }
  co_return resolved;
}

/// Of the name that the login began with: the target's, or what that is an alias for.
std::optional<NameComparison> compare_names(OneLogin &shop, const std::vector<Record> &records) {
  std::string typed = shop.route.target;
  for (const auto &record : records)
    if (const auto *aliased = std::get_if<TargetAliased>(&record.event)) typed = aliased->to;
  const auto target = auth::parse_target(typed);
  if (!target) return std::nullopt;
  using namespace asio::experimental::awaitable_operators;
  auto [own, system] = shop.run(resolve_by(shop.own, *target) && resolve_by(shop.by_system, *target));
  return NameComparison{std::move(own), std::move(system)};
}

} // namespace

std::vector<std::string> NameComparison::differences() const {
  std::vector<std::string> differences;
  if (own.canonical != system.canonical) differences.emplace_back("canonical");
  if (own.addresses != system.addresses) differences.emplace_back("addresses");
  return differences;
}

const DriverSpn *DriverRow::first_ticket() const {
  const auto found = std::ranges::find(spns, true, &DriverSpn::ticket);
  return found == spns.end() ? nullptr : &*found;
}

bool same_target(const auth::Target &left, const auth::Target &right) {
  auto port = [](const auth::Target &target) {
    return needs_browser(target) ? std::optional<std::uint16_t>() : port_of(target);
  };
  return auth::lower(left.host) == auth::lower(right.host) &&
         auth::lower(left.instance) == auth::lower(right.instance) &&
         auth::lower(left.pipe) == auth::lower(right.pipe) && port(left) == port(right);
}

std::expected<config::Route, std::string> choose_route(const config::Config &config,
                                                       const std::string &target, const std::string &name) {
  std::optional<auth::Target> wanted;
  if (!target.empty()) {
    auto parsed = auth::parse_target(target);
    if (!parsed) return std::unexpected(target + ": " + parsed.error());
    wanted = std::move(*parsed);
  }
  if (!name.empty()) {
    auto named = std::ranges::find(config.routes, name, &config::Route::name);
    if (named != config.routes.end()) {
      auto route = *named;
      if (wanted) route.target = target;
      return route;
    }
    std::string known;
    for (const auto &route : config.routes)
      known += (known.empty() ? "" : ", ") + route.name;
    return std::unexpected("there is no route \"" + name +
                           "\"; there are: " + (known.empty() ? "none" : known));
  }
  if (!wanted) return std::unexpected("which target? Write sqlshim explain TARGET, or --route NAME");

  for (const auto &route : config.routes) {
    auto its = auth::parse_target(route.target);
    if (!its || !same_target(*its, *wanted)) continue;
    auto chosen = route;
    chosen.target = target;
    return chosen;
  }
  if (config.identities.empty())
    return std::unexpected("no route has the target " + target +
                           ", and there is no [[identity]] to log in with");
  config::Route route;
  route.target = target;
  route.identity = config.identities.front().name;
  return route;
}

std::expected<Explanation, std::string> explain(const config::Config &config, const config::Route &route,
                                                bool connect, bool tickets,
                                                std::span<const auth::Driver> drivers) {
  ::setenv("KRB5_CONFIG", config.kerberos.config.c_str(), 1);
  ::signal(SIGPIPE, SIG_IGN);
  auto kerberos = auth::load_kerberos_config(config.kerberos.config);
  if (!kerberos) return std::unexpected(config.kerberos.config + ": " + kerberos.error().text);

  Explanation told;
  told.target = route.target;
  told.route = route.name;
  told.identity = route.identity;
  told.connect = connect;
  if (const auto *identity = config.find_identity(route.identity)) told.principal = identity->principal;
  if (connect && only_sends_clients_password(route)) {
    told.not_done =
        "the route sends the client's own user and password on, and explain has none: log in through "
        "sqlshim, then read sqlshim log";
    connect = false;
  }

  const bool takes_password = takes_clients_password(config.find_identity(route.identity));
  if (takes_password && told.not_done.empty()) {
    told.not_done =
        "the route's identity is the client's own user and password, and explain has none: log in through "
        "sqlshim, then read sqlshim log";
    connect = false;
  }

  if (const auto target = auth::parse_target(route.target); connect && target && !target->pipe.empty()) {
    told.not_done = "the target is a named pipe: " + std::string(no_pipes);
    connect = false;
  }

  OneLogin shop(config, route, std::move(*kerberos));
  auto &trail = shop.trail;
  auto tell_end = [&](const Failure &failure, std::size_t records) {
    told.diagnosis = diagnose(std::span(trail.records()).first(records), failure);
    trail.emit(refused(*told.diagnosis, failure));
  };

  auto caller = look_up_user(::getuid());
  caller.how = "getuid";
  trail.emit(CallerProven{caller.uid, caller.user, caller.group_names, caller.how, 0});
  auto asked = test_login(route.target, connect);
  trail.emit(to_event(asked.login));
  auto decision = take_route(config, route, caller, caller.uid);
  if (!decision.denied) {
    if (route.name.empty()) decision.rule = "defaults";
    decision.reason = reason_for(config, route);
  }
  trail.emit(PolicyDecided{decision.rule, decision.denied ? PolicyOutcome::deny : PolicyOutcome::allow,
                           route.name, route.identity, decision.reason});
  const Services services{shop.tickets, shop.identities, shop.browsers,
                          config.log.level <= config::Level::debug};
  // The configuration outlives the login: it is the caller's.
  const Settings settings{{std::shared_ptr<void>(), &config}, shop.tls};
  Login login{services, settings, shop.resolver, route, decision.identity, &caller, asked, trail};
  if (decision.denied) {
    tell_end({Step::policy, *decision.denied, decision.reason}, trail.records().size());
  } else if (connect) {
    auto outcome = shop.run(open_upstream(login));
    if (!outcome) tell_end(outcome.error(), trail.records().size());
  } else {
    const auto failure = shop.run(rehearse(login));
    const auto records = trail.records().size(); // what comes now tells of other tickets, and not why
    shop.run(every_candidate(login));
    if (failure && !takes_password) tell_end(*failure, records);
  }
  told.records = trail.records();
  told.names = compare_names(shop, told.records);
  if (!drivers.empty()) {
    const auto *identity = decision.denied ? nullptr : decision.identity;
    const std::string why_not = decision.denied ? decision.reason : "the route uses no identity";
    told.drivers = shop.run(compare(shop, identity, why_not, drivers));
  }
  if (tickets && !decision.denied) told.candidates = shop.run(every_candidate(login));
  return told;
}

namespace {

nlohmann::json json_of(const NameComparison &comparison) {
  const auto json_of = [](const ResolvedName &name) {
    return nlohmann::json{
        {"canonical", name.canonical}, {"addresses", name.addresses}, {"fault", name.fault}};
  };
  return {{"own", json_of(comparison.own)},
          {"system", json_of(comparison.system)},
          {"differ", comparison.differences()}};
}

nlohmann::json json_of(const DriverComparison &comparison) {
  auto rows = nlohmann::json::array();
  for (const auto &row : comparison.rows) {
    auto spns = nlohmann::json::array();
    for (const auto &one : row.spns)
      spns.push_back({{"spn", one.spn},
                      {"source", auth::to_string(one.source)},
                      {"ticket", one.ticket},
                      {"said", one.said},
                      {"suspicion", one.suspicion}});
    rows.push_back({{"driver", row.driver},
                    {"name", row.name},
                    {"reason", row.reason},
                    {"works", row.first_ticket() != nullptr},
                    {"spns", std::move(spns)}});
  }
  const auto &facts = comparison.facts;
  return {{"chain", facts.chain},
          {"addresses", facts.addresses},
          {"ptr", facts.ptr},
          {"ptr_fault", facts.ptr_fault},
          {"rows", std::move(rows)}};
}

} // namespace

std::string to_json(const Explanation &explanation, std::string_view more) {
  // Everything but ASCII is escaped: strings from outside cannot do anything to a terminal.
  const auto quoted = [](const nlohmann::json &value) {
    return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  };
  std::string json =
      fmt::format(R"({{"v":1,"target":{},"route":{},"identity":{},"connect":{},"not_done":{},"records":[)",
                  quoted(explanation.target), quoted(explanation.route), quoted(explanation.identity),
                  explanation.connect, quoted(explanation.not_done));
  const char *separator = "\n";
  for (const auto &record : explanation.records)
    json += std::exchange(separator, ",\n") + to_json(record);
  json += "],\n\"diagnosis\":";
  if (const auto &diagnosis = explanation.diagnosis)
    json +=
        fmt::format(R"({{"cause":{},"fault":{},"spn":{},"said":{},"said_by":{},"sentence":{},"remedy":{}}})",
                    quoted(id(diagnosis->cause)), quoted(to_string(diagnosis->fault)), quoted(diagnosis->spn),
                    quoted(diagnosis->said), quoted(diagnosis->said_by), quoted(diagnosis->sentence),
                    quoted(diagnosis->remedy));
  else
    json += "null";
  const auto member = [&](std::string_view name, const nlohmann::json &value) {
    json += fmt::format(",\n\"{}\":{}", name, quoted(value));
  };
  member("names", explanation.names ? json_of(*explanation.names) : nlohmann::json());
  if (explanation.drivers) member("drivers", json_of(*explanation.drivers));
  if (!more.empty()) json.append(",\n").append(more);
  return json + "}\n";
}

} // namespace shim
