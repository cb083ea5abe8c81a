#include "auth/spn.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <utility>

namespace auth {

namespace {

constexpr std::uint16_t default_instance_port = 1433;

constexpr std::string_view srv_prefix = "_kerberos._tcp."; // TCP: the KDC is spoken to in no other way

/// "corp.test" of "sql1.corp.test"; empty for a name without a dot.
std::string_view domain_of(std::string_view name) {
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}
std::string_view first_label(std::string_view name) { return name.substr(0, name.find('.')); }

/// The realm of a computed SPN's host, by the first source of the rules that knows it.
struct Realm {
  std::string name;
  RealmFrom from{};
};
std::optional<Realm> realm_for(const std::string &host, const std::string &canonical,
                               const KerberosConfig &config, const RealmFacts &realms,
                               const SpnRules &rules) {
  for (const RealmFrom from : rules.realms) {
    std::string name;
    switch (from) {
    case RealmFrom::explicit_realm:
      break; // a computed SPN has none, and one that is written is not looked for
    case RealmFrom::domain_realm:
      name = config.realm_of(host);
      if (name.empty()) name = config.realm_of(canonical);
      break;
    case RealmFrom::srv:
      name = realms.srv;
      break;
    case RealmFrom::referral:
      name = realms.identity;
      break;
    case RealmFrom::default_realm:
      name = config.default_realm;
      break;
    }
    if (!name.empty()) return Realm{std::move(name), from};
  }
  return std::nullopt;
}

/// Hosts and endings that one reason stands for: "sql1.corp.test:1433". A pipe has no port: its service is
/// the instance's, or the host's alone (KB811889).
std::vector<std::string> services(Why why, const NameFacts &facts, std::uint16_t port) {
  const auto &target = facts.target;
  const bool pipe = !target.pipe.empty(), named = !target.instance.empty();
  const std::string by_instance = named ? ":" + target.instance : "";
  const std::string ending = pipe ? by_instance : ":" + std::to_string(port);
  switch (why) {
  case Why::explicit_spn:
    return {};
  case Why::port:
    if (pipe) return {};
    return {facts.canonical + ending};
  case Why::instance:
    if (!named) return {};
    return {facts.canonical + by_instance};
  case Why::bare:
    if (named || (!pipe && port != default_instance_port)) return {};
    return {facts.canonical};
  case Why::typed:
    if (target.host.empty()) return {};
    return {plain_name(target.host) + ending};
  case Why::reverse: {
    std::vector<std::string> names;
    for (const ReverseFact &fact : facts.reverse)
      for (const std::string &name : fact.names)
        names.push_back(name + ending);
    return names;
  }
  }
  return {};
}

} // namespace

std::string_view to_string(Why why) { return spelling(why); }
std::optional<Why> find_why(std::string_view text) { return meaning<Why>(text); }
std::string_view to_string(RealmFrom from) { return spelling(from); }
std::optional<RealmFrom> find_realm_from(std::string_view text) { return meaning<RealmFrom>(text); }
std::string_view to_string(Shape shape) { return spelling(shape); }

std::string spn_realm(std::string_view spn) {
  const auto at = spn.rfind('@');
  return at == std::string_view::npos ? std::string() : std::string(spn.substr(at + 1));
}

std::string spn_host(std::string_view spn) {
  spn = spn.substr(0, spn.rfind('@'));
  const auto slash = spn.find('/');
  if (slash == std::string_view::npos) return {};
  std::string_view host = spn.substr(slash + 1);
  host = host.substr(0, host.find('/'));
  // What follows the last colon is a port or an instance, unless all of it is an IPv6 address. "::1:1433" is
  // both: as a candidate of ours always carries its port, the shorter reading wins.
  const auto colon = host.rfind(':');
  if (colon == std::string_view::npos) return std::string(host);
  const std::string_view before = host.substr(0, colon);
  if (before.find(':') == std::string_view::npos || !normal_address(before).empty())
    return std::string(before);
  return std::string(host);
}

std::vector<DnsQuestion> realm_questions(const std::string &host, const KerberosConfig &config,
                                         const SpnRules &rules) {
  constexpr std::size_t most = 4; // each login would ask all of them
  std::vector<DnsQuestion> questions;
  const auto srv = std::ranges::find(rules.realms, RealmFrom::srv);
  const auto known = std::ranges::find(rules.realms, RealmFrom::domain_realm);
  if (srv == rules.realms.end() || !normal_address(host).empty()) return questions;
  if (known < srv && !config.realm_of(host).empty()) return questions;
  for (std::string_view suffix = domain_of(host); suffix.contains('.'); suffix = domain_of(suffix)) {
    std::string name = std::string(srv_prefix) + std::string(suffix);
    if (questions.size() < most && name_fault(name).empty())
      questions.push_back({std::move(name), DnsType::srv});
  }
  return questions;
}

std::string realm_of_srv(const std::vector<DnsAnswer> &answers) {
  for (const DnsAnswer &answer : answers) {
    const bool found =
        answer.outcome == DnsOutcome::ok &&
        std::ranges::find(answer.records, DnsType::srv, &DnsRecord::type) != answer.records.end();
    if (!found || !answer.question.name.starts_with(srv_prefix)) continue;
    return upper(std::string_view(answer.question.name).substr(srv_prefix.size()));
  }
  return {};
}

std::vector<SpnCandidate> spn_candidates(const NameFacts &facts, std::uint16_t port,
                                         const std::string &explicit_spn, const KerberosConfig &config,
                                         const RealmFacts &realms, const SpnRules &rules) {
  std::vector<SpnCandidate> candidates;
  const auto add = [&](std::string spn, const std::string &host, Why why) {
    if (std::ranges::any_of(candidates,
                            [&](const SpnCandidate &one) { return one.spn.starts_with(spn + "@"); }))
      return;
    const auto realm =
        realm_for(host, why == Why::explicit_spn ? host : facts.canonical, config, realms, rules);
    if (realm) candidates.push_back({spn + "@" + realm->name, why, std::string(to_string(realm->from))});
  };
  if (!explicit_spn.empty()) {
    std::string spn = explicit_spn;
    if (spn.ends_with('@')) spn.pop_back();
    if (!spn_realm(spn).empty())
      return {{spn, Why::explicit_spn, std::string(to_string(RealmFrom::explicit_realm))}};
    add(spn, spn_host(spn), Why::explicit_spn);
    return candidates;
  }
  for (const Why why : rules.order)
    for (const std::string &service : services(why, facts, port)) {
      const std::string spn = "MSSQLSvc/" + service;
      add(spn, spn_host(spn), why);
    }
  return candidates;
}

std::optional<SpnCandidate> smb_spn(const NameFacts &facts, const KerberosConfig &config,
                                    const RealmFacts &realms, const SpnRules &rules) {
  const auto realm = realm_for(facts.canonical, facts.canonical, config, realms, rules);
  if (!realm) return std::nullopt;
  return SpnCandidate{"cifs/" + facts.canonical + "@" + realm->name, Why::bare,
                      std::string(to_string(realm->from))};
}

namespace {
constexpr std::string_view ptr_of = "PTR of "; // begins a lookup: "PTR of 10.0.0.5: sql9.corp.test"
}

std::string Oddity::text() const {
  const std::string word(to_string(shape));
  return lookup.empty() ? word : word + " (" + lookup + ")";
}
bool Oddity::came_by_ptr(std::string_view host) const {
  return lookup.starts_with(ptr_of) && lookup.ends_with(": " + std::string(host));
}
std::optional<Oddity> parse_oddity(std::string_view text) {
  const auto open = text.find(" (");
  const auto shape = meaning<Shape>(text.substr(0, open));
  if (!shape) return std::nullopt;
  if (open == text.npos) return Oddity{*shape, ""};
  if (!text.ends_with(')')) return std::nullopt;
  return Oddity{*shape, std::string(text.substr(open + 2, text.size() - open - 3))};
}

std::optional<Oddity> odd(std::string_view spn, const NameFacts &facts) {
  const std::string host = plain_name(spn_host(spn));
  if (host.empty() || facts.chain.empty()) return std::nullopt;

  /// The PTR that gave this host, or the one that should have given a better one.
  const auto ptr_with = [&]() -> const ReverseFact * {
    for (const ReverseFact &fact : facts.reverse)
      if (std::ranges::find(fact.names, host) != fact.names.end()) return &fact;
    return nullptr;
  };
  const auto silent_ptr = [&]() -> std::string {
    if (facts.reverse.empty() || !facts.reverse.front().names.empty()) return {};
    return std::string(ptr_of) + facts.reverse.front().address + ": " +
           std::string(to_string(facts.reverse.front().outcome));
  };
  const auto because = [&](std::string otherwise) {
    auto silent = silent_ptr();
    return silent.empty() ? std::move(otherwise) : std::move(silent);
  };

  if (!normal_address(host).empty())
    return Oddity{Shape::address, because("an address as typed, and no PTR asked")};
  if (!host.contains('.')) {
    if (const auto *ptr = ptr_with())
      return Oddity{Shape::short_name, std::string(ptr_of) + ptr->address + ": " + host};
    return Oddity{Shape::short_name, because("the name as typed")};
  }
  // A name that the forward lookup gave is what it is: only a PTR is held against it.
  const std::string &forward = facts.forward();
  const auto *ptr = ptr_with();
  if (!ptr || host == forward || facts.target.is_address) return std::nullopt;
  const std::string lookup = std::string(ptr_of) + ptr->address + ": " + host;
  if (first_label(host) != first_label(forward)) return Oddity{Shape::other_host, lookup};
  const bool longer = domain_of(host).ends_with("." + std::string(domain_of(forward)));
  return Oddity{longer ? Shape::extra_label : Shape::wrong_domain, lookup};
}

} // namespace auth
