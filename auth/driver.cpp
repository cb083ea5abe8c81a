#include "auth/driver.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace auth {
namespace {

constexpr std::uint16_t default_port = 1433;
constexpr std::size_t most_suffixes = 8; // of names whose realm is looked for

/// "sql1.corp.test", "corp.test", "test"
std::vector<std::string> suffixes(std::string_view name) {
  std::vector<std::string> result;
  for (std::string rest = plain_name(name); !rest.empty() && result.size() < most_suffixes;) {
    result.push_back(rest);
    const auto dot = rest.find('.');
    rest = dot == rest.npos ? "" : rest.substr(dot + 1);
  }
  return result;
}

constexpr std::string_view realm_prefix = "_kerberos._udp.";

// ---- What a driver makes of the name ----

/// The host for an SPN, where it is from, and how the driver came to it.
struct Named {
  std::string host;
  NameSource source;
  std::string reason;
};

/// As typed, small letters or capitals: `Target::host` has small letters already.
std::string as_typed(const Target &target) {
  const auto at = lower(target.typed).find(target.host);
  return at == std::string::npos ? target.host : target.typed.substr(at, target.host.size());
}

bool is_loopback(const DriverFacts &facts) {
  const auto &host = facts.target.host;
  return plain_name(host) == "localhost" ||
         (facts.target.is_address && (host.starts_with("127.") || host == "::1"));
}

Named typed(const DriverFacts &facts, std::string reason = "as typed") {
  return {as_typed(facts.target), facts.target.is_address ? NameSource::address : NameSource::typed,
          std::move(reason)};
}

/// getaddrinfo's canonical name: the search list, then the CNAMEs.
Named forward(const DriverFacts &facts) {
  if (facts.target.is_address) return typed(facts, "an address is its own canonical name");
  const auto &end = facts.chain.back();
  if (facts.alias()) return {end, NameSource::cname, "the end of the CNAME chain"};
  if (end != plain_name(facts.target.host)) return {end, NameSource::search, "completed by the search list"};
  return {end, NameSource::typed, "it is no alias"};
}

std::string no_ptr(const DriverFacts &facts) {
  return facts.addresses.front() + " has no PTR: " + facts.ptr_fault;
}

/// The name of the address; `otherwise` where it has none.
Named reverse(const DriverFacts &facts, Named otherwise) {
  if (!facts.ptr.empty()) return {facts.ptr, NameSource::ptr, "PTR of " + facts.addresses.front()};
  otherwise.reason += "; " + no_ptr(facts);
  return otherwise;
}

/// InetAddress.getCanonicalHostName(): the PTR, if that name leads back to the address; else
/// the address itself, as text.
Named java_canonical(const DriverFacts &facts) {
  const auto &address = facts.addresses.front();
  if (facts.ptr.empty()) return {address, NameSource::address, "the address as text: " + no_ptr(facts)};
  if (!facts.ptr_confirmed)
    return {address, NameSource::address,
            "the address as text: its PTR says " + facts.ptr + ", and that name does not lead back to it"};
  return {facts.ptr, NameSource::ptr, "PTR of " + address};
}

/// The KB's article: forward, then reverse.
Named windows(const DriverFacts &facts) { return reverse(facts, forward(facts)); }

/// Dns.GetHostEntry: of a name its canonical name, of an address its PTR.
Named dotnet(const DriverFacts &facts) {
  if (facts.target.is_address) return reverse(facts, typed(facts));
  return forward(facts);
}

/// net.LookupCNAME of the name in small letters; loopback is this machine's own name,
/// which no DNS fact tells.
Named go(const DriverFacts &facts) {
  if (facts.target.is_address) return typed(facts, "an address has no CNAME");
  auto named = forward(facts);
  named.host = lower(named.host);
  return named;
}

/// Only a name without a dot is looked up.
Named freetds(const DriverFacts &facts) {
  if (facts.target.host.find('.') != std::string::npos)
    return typed(facts, "as typed: a name with a dot is not looked up");
  auto named = forward(facts);
  // The resolver keeps the capitals of a name that it completes, and FreeTDS has no libkrb5 in
  // between that would lower them.
  if (named.source == NameSource::search)
    named.host.replace(0, facts.target.host.size(), as_typed(facts.target));
  return named;
}

Named rust(const DriverFacts &facts) {
  if (is_loopback(facts)) return typed(facts, "loopback as typed");
  if (facts.target.is_address) return reverse(facts, typed(facts));
  if (facts.target.host.find('.') != std::string::npos)
    return typed(facts, "as typed: a name with a dot is full");
  return reverse(facts, forward(facts));
}

// ---- What libkrb5 makes of a host-based name (lib/krb5/os/sn2princ.c) ----

/// Each name that is asked for, in order. What the driver looked up already leads to the same end: a PTR's
/// name counts as canonical.
std::vector<Named> mit_names(const DriverFacts &facts, Named given, const MitNaming &mit) {
  const auto qualified = [&](Named named) {
    named.host = plain_name(named.host);
    const bool is_short = named.host.find('.') == std::string::npos && normal_address(named.host).empty();
    if (is_short && plain_name(named.host) != "localhost" && !facts.policy.search.empty()) {
      named.host += "." + plain_name(facts.policy.search.front());
      named.source = NameSource::search;
      named.reason += "; libkrb5 completes it by the first search suffix";
    }
    return named;
  };
  const auto canonical = [&] {
    auto named = given.source == NameSource::ptr ? given : forward(facts);
    if (mit.rdns) named = reverse(facts, std::move(named));
    named.reason = "libkrb5 canonicalises: " + named.reason;
    return qualified(std::move(named));
  };
  std::vector<Named> names;
  if (mit.canonicalise != MitNaming::Canonicalise::always) names.push_back(qualified(given));
  if (mit.canonicalise != MitNaming::Canonicalise::never) {
    auto second = canonical();
    if (names.empty() || names.back().host != second.host) names.push_back(std::move(second));
  }
  return names;
}

// ---- The profiles ----

/// What follows the host in an SPN.
enum class Suffix {
  port,             ///< of an instance SQL Browser's
  windows,          ///< the same; this driver speaks pipes
  instance_or_port, ///< the instance where one was typed, else the port
  dotnet,           ///< port where typed or the instance's; neither: none, then 1433
  dotnet_instance,  ///< the same, but the instance where one was typed without a port
  none
};
enum class Layer { exact, default_realm, mit };

struct Profile {
  Driver driver;
  Named (*name)(const DriverFacts &);
  Suffix suffix;
  Layer layer;
  std::optional<MitNaming> mit = {}; ///< of the profile itself instead of krb5.conf's
};

constexpr auto always = MitNaming::Canonicalise::always;
constexpr auto fallback = MitNaming::Canonicalise::fallback;
constexpr auto never = MitNaming::Canonicalise::never;
Named plainly(const DriverFacts &facts) { return typed(facts); }

constexpr auto profiles = std::to_array<Profile>({
    {{"msodbcsql", "on Linux: as typed, then libkrb5 by krb5.conf (documentation)"},
     plainly,
     Suffix::port,
     Layer::mit},
    {{"windows-sni", "forward and reverse lookup (KB811889)"}, windows, Suffix::windows, Layer::exact},
    {{"sqlclient", "GetHostEntry, then libkrb5 by krb5.conf"}, dotnet, Suffix::dotnet, Layer::mit},
    {{"sqlclient-before-4180", "the same; a named instance by its name"},
     dotnet,
     Suffix::dotnet_instance,
     Layer::mit},
    {{"mssql-jdbc", "as typed, unless only the PTR lies in a realm with SRV records"},
     plainly,
     Suffix::port,
     Layer::exact},
    {{"go-mssqldb", "LookupCNAME"}, go, Suffix::instance_or_port, Layer::exact},
    // As version 1.3 does, whose tsql the KDC's log shows; newer sources ask for the
    // instance where one was typed.
    {{"freetds", "canonical name of a name without a dot, else as typed"},
     freetds,
     Suffix::port,
     Layer::default_realm},
    {{"pytds", "as typed, then libkrb5 by krb5.conf"}, plainly, Suffix::port, Layer::mit},
    {{"tiberius", "as typed"}, plainly, Suffix::port, Layer::default_realm},
    {{"jtds", "getCanonicalHostName: the PTR; always in the default realm"},
     java_canonical,
     Suffix::port,
     Layer::default_realm},
    {{"mssql-rs", "short names forward and reverse, then libkrb5 by krb5.conf; no port"},
     rust,
     Suffix::none,
     Layer::mit},
    {{"mit-canon-rdns", "host-based, dns_canonicalize_hostname = true, rdns = true"},
     plainly,
     Suffix::port,
     Layer::mit,
     MitNaming{always, true}},
    {{"mit-canon", "host-based, dns_canonicalize_hostname = true, rdns = false"},
     plainly,
     Suffix::port,
     Layer::mit,
     MitNaming{always, false}},
    {{"mit-fallback-rdns", "host-based, dns_canonicalize_hostname = fallback, rdns = true"},
     plainly,
     Suffix::port,
     Layer::mit,
     MitNaming{fallback, true}},
    {{"mit-fallback", "host-based, dns_canonicalize_hostname = fallback, rdns = false"},
     plainly,
     Suffix::port,
     Layer::mit,
     MitNaming{fallback, false}},
    {{"mit-as-typed", "host-based, dns_canonicalize_hostname = false"},
     plainly,
     Suffix::port,
     Layer::mit,
     MitNaming{never, false}},
});

constexpr auto just_drivers = [] {
  std::array<Driver, profiles.size()> result;
  std::ranges::transform(profiles, result.begin(), &Profile::driver);
  return result;
}();

bool has_pipes(Suffix suffix) {
  return suffix == Suffix::windows || suffix == Suffix::dotnet || suffix == Suffix::dotnet_instance;
}

/// ":1433", "" or ":INST", in the order they are tried. Empty: the port is SQL Browser's to tell, and it was
/// not asked; or the target is a pipe, and the driver has none.
std::vector<std::string> suffixes_of(Suffix suffix, const DriverFacts &facts) {
  const auto &target = facts.target;
  const bool named = !target.instance.empty();
  const auto by_instance = ":" + target.instance;
  if (!target.pipe.empty()) {
    if (!has_pipes(suffix)) return {};
    return {named ? by_instance : ""};
  }
  const auto port = target.port ? target.port : named ? facts.browser_port : std::optional(default_port);
  const auto by_port = [&]() -> std::vector<std::string> {
    if (!port) return {};
    return {":" + std::to_string(*port)};
  };
  switch (suffix) {
  case Suffix::none:
    return {""};
  case Suffix::instance_or_port:
    return named ? std::vector{by_instance} : by_port();
  case Suffix::dotnet:
  case Suffix::dotnet_instance:
    if (target.port) return by_port();
    if (!named) return {"", ":" + std::to_string(default_port)};
    return suffix == Suffix::dotnet && port ? by_port() : std::vector{by_instance};
  case Suffix::port:
  case Suffix::windows:
    break;
  }
  return by_port();
}

/// mssql-jdbc looks for a suffix with SRV records: in the typed name, then in the canonical one, which
/// counts only where it has one.
Named jdbc_name(const DriverFacts &facts, std::string &realm) {
  const auto realm_in = [&](std::string_view name) {
    for (const auto &suffix : suffixes(name))
      if (std::ranges::find(facts.realms, suffix) != facts.realms.end()) return suffix;
    return std::string();
  };
  auto found = facts.target.is_address ? std::string() : realm_in(facts.target.host);
  realm = upper(found);
  if (!found.empty() && facts.target.host.ends_with('.'))
    realm += '.'; // it is what follows in the name, dot and all
  if (!found.empty()) return typed(facts, "as typed: " + found + " has a _kerberos._udp SRV record");
  auto canonical = java_canonical(facts);
  if (canonical.source == NameSource::ptr) found = realm_in(canonical.host);
  realm = upper(found);
  if (!found.empty()) {
    canonical.reason +=
        ", for " + found + " has a _kerberos._udp SRV record and the typed name lies in no such domain";
    return canonical;
  }
  return typed(facts, "as typed: no suffix has a _kerberos._udp SRV record");
}

} // namespace

std::span<const Driver> drivers() { return just_drivers; }

const Driver *find_driver(std::string_view id) {
  const auto found = std::ranges::find(just_drivers, id, &Driver::id);
  return found == just_drivers.end() ? nullptr : &*found;
}

// ---- The questions ----

DriverQuestions::DriverQuestions(Target target, SearchPolicy policy) : forward_(target, policy) {
  facts_.target = std::move(target);
  facts_.policy = std::move(policy);
}

std::variant<AskDns, DriverFacts> DriverQuestions::next() {
  if (stage_ == Stage::forward) {
    auto step = forward_.next();
    if (auto *ask = std::get_if<AskDns>(&step)) return std::move(*ask);
    if (auto *known = std::get_if<NameFacts>(&step)) {
      facts_.chain = known->chain;
      facts_.addresses = known->addresses;
    } else {
      facts_.forward_fault = std::get<NameError>(step).detail;
    }
    stage_ = Stage::reverse;
  }
  while (stage_ != Stage::done) {
    waiting_ = true;
    if (auto list = questions(); !list.empty()) return AskDns{std::move(list)};
    stage_ = static_cast<Stage>(static_cast<int>(stage_) + 1);
  }
  return facts_;
}

std::vector<DnsQuestion> DriverQuestions::questions() const {
  std::vector<DnsQuestion> list;
  const auto of_typed = facts_.target.is_address ? std::vector<std::string>() : suffixes(facts_.target.host);
  const auto ask_realm = [&](const std::string &suffix) {
    if (const DnsQuestion srv{std::string(realm_prefix) + suffix, DnsType::srv}; name_fault(srv.name).empty())
      list.push_back(srv);
  };
  if (stage_ == Stage::reverse) {
    if (!facts_.addresses.empty()) list.push_back({reverse_name(facts_.addresses.front()), DnsType::ptr});
    std::ranges::for_each(of_typed, ask_realm);
  } else if (stage_ == Stage::confirm && !facts_.ptr.empty() && !facts_.ptr_confirmed) {
    list = {{facts_.ptr, DnsType::a}, {facts_.ptr, DnsType::aaaa}};
    for (const auto &suffix : suffixes(facts_.ptr))
      if (std::ranges::find(of_typed, suffix) == of_typed.end()) ask_realm(suffix);
  }
  return list;
}

void DriverQuestions::answer(std::vector<DnsAnswer> answers) {
  if (stage_ == Stage::forward) return forward_.answer(std::move(answers));
  if (!std::exchange(waiting_, false) || stage_ == Stage::done) return;
  for (const auto &answer : answers) {
    const auto &asked = answer.question;
    const auto has = [&](DnsType type) {
      return std::ranges::find(answer.records, type, &DnsRecord::type) != answer.records.end();
    };
    if (asked.type == DnsType::ptr) {
      const auto record = std::ranges::find(answer.records, DnsType::ptr, &DnsRecord::type);
      const bool named = record != answer.records.end() && name_fault(plain_name(record->data)).empty();
      if (named)
        facts_.ptr = plain_name(record->data);
      else if (!facts_.addresses.empty() &&
               (facts_.addresses[0] == "127.0.0.1" || facts_.addresses[0] == "::1"))
        facts_.ptr = "localhost", facts_.ptr_confirmed = true; // in the hosts file of every machine
      else
        facts_.ptr_fault =
            to_string(answer.outcome == DnsOutcome::ok ? DnsOutcome::malformed : answer.outcome);
    } else if (asked.type == DnsType::srv && has(DnsType::srv)) {
      if (auto realm = asked.name.substr(realm_prefix.size());
          std::ranges::find(facts_.realms, realm) == facts_.realms.end())
        facts_.realms.push_back(std::move(realm));
    } else {
      for (const auto &record : answer.records)
        if (!facts_.addresses.empty() && normal_address(record.data) == facts_.addresses.front())
          facts_.ptr_confirmed = true;
    }
  }
  stage_ = static_cast<Stage>(static_cast<int>(stage_) + 1);
}

// ---- The answer ----

std::string_view to_string(NameSource source) {
  constexpr std::string_view names[] = {"typed", "search", "cname", "ptr", "address"};
  return names[static_cast<std::size_t>(source)];
}

Prediction predict(const Driver &driver, const DriverFacts &facts, const MitNaming &mit) {
  const auto &profile =
      *std::ranges::find(profiles, driver.id, [](const Profile &one) { return one.driver.id; });
  if (facts.addresses.empty()) // each connects first
    return {.driver = profile.driver.id,
            .name = as_typed(facts.target),
            .spns = {},
            .default_realm = false,
            .reason = "it has no address to connect to: " + facts.forward_fault};
  std::string realm;
  auto first = driver.id == "mssql-jdbc" ? jdbc_name(facts, realm) : profile.name(facts);
  const auto names = profile.layer == Layer::mit
                         ? mit_names(facts, std::move(first), profile.mit.value_or(mit))
                         : std::vector{std::move(first)};
  Prediction result;
  result.driver = profile.driver.id;
  result.name = names.front().host;
  result.default_realm = profile.layer == Layer::default_realm;
  result.reason = names.front().reason;
  for (std::size_t i = 1; i < names.size(); ++i)
    result.reason += "; then " + names[i].reason;
  const auto tails = suffixes_of(profile.suffix, facts);
  if (tails.empty())
    result.reason += facts.target.pipe.empty() ? "; the port of the instance is SQL Browser's to tell"
                                               : "; it does not speak named pipes";
  for (const auto &tail : tails)
    for (const auto &named : names)
      result.spns.push_back(
          {"MSSQLSvc/" + named.host + tail + (realm.empty() ? "" : "@" + realm), named.source});
  return result;
}

std::string suspicion(const PredictedSpn &spn, const DriverFacts &facts) {
  auto host = spn.spn.substr(spn.spn.find('/') + 1);
  host = host.substr(0, host.find_first_of(":@"));
  switch (spn.source) {
  case NameSource::ptr:
    return "PTR: " + facts.addresses.front() + " is " + facts.ptr + " in DNS" +
           (facts.ptr_confirmed ? "" : ", which does not lead back to it");
  case NameSource::address:
    if (facts.target.is_address) return "address: it was typed, and SPNs hold names";
    return facts.ptr.empty() ? "PTR: " + no_ptr(facts) + ", so the SPN holds an address"
                             : "PTR: " + facts.addresses.front() + " is " + facts.ptr +
                                   " in DNS, which does not lead back to it, so the SPN holds the address";
  case NameSource::cname:
    return "CNAME: " + facts.chain.front() + " leads to " + facts.chain.back();
  case NameSource::search:
    return "search list: the short name became " + host;
  case NameSource::typed:
    break;
  }
  if (facts.alias())
    return "CNAME: " + host + " is an alias of " + facts.chain.back() + ", and the driver does not follow it";
  if (host.find('.') == std::string::npos) return "short name: the driver does not complete it";
  return "the name as typed has no such SPN";
}

} // namespace auth
