#include "auth/name.hpp"

#include "auth/glob.hpp"
#include "auth/host_name.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <utility>

namespace auth {

std::string_view to_string(DnsType type) {
  switch (type) {
  case DnsType::a:
    return "A";
  case DnsType::aaaa:
    return "AAAA";
  case DnsType::cname:
    return "CNAME";
  case DnsType::ptr:
    return "PTR";
  case DnsType::srv:
    return "SRV";
  }
  return "A";
}

std::string_view to_string(DnsOutcome outcome) {
  switch (outcome) {
  case DnsOutcome::ok:
    return "ok";
  case DnsOutcome::no_name:
    return "nxdomain";
  case DnsOutcome::no_data:
    return "nodata";
  case DnsOutcome::server_failure:
    return "servfail";
  case DnsOutcome::refused:
    return "refused";
  case DnsOutcome::timeout:
    return "timeout";
  case DnsOutcome::unreachable:
    return "unreachable";
  case DnsOutcome::malformed:
    return "malformed";
  }
  return "malformed";
}

std::string plain_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return lower(name);
}

namespace {

constexpr std::size_t max_links = 8;

constexpr std::pair<Procedure, std::string_view> spellings[] = {
    {Procedure::as_typed, "as-typed"}, {Procedure::short_only, "short-only"},
    {Procedure::forward, "forward"},   {Procedure::forward_reverse, "forward-reverse"},
    {Procedure::reverse, "reverse"},   {Procedure::map, "map"},
};

bool is_localhost(std::string_view host) {
  const std::string name = plain_name(host);
  return name == "localhost" || name.ends_with(".localhost"); // RFC 6761 6.3
}

/// The answers say that there is nothing; all others say that nobody knows.
bool is_definite(DnsOutcome outcome) {
  return outcome == DnsOutcome::no_name || outcome == DnsOutcome::no_data;
}

/// One question's two answers, judged.
struct Judged {
  DnsOutcome outcome = DnsOutcome::ok;
  std::vector<std::string> chain;
  std::vector<std::string> addresses;
};

/// Follows the CNAMEs that the answers hold, in whatever order their records come. False: a loop, too
/// long, or a name that is none.
bool follow(const std::vector<DnsAnswer> &answers, std::vector<std::string> &chain) {
  while (true) {
    std::optional<std::string> next;
    for (const DnsAnswer &answer : answers)
      for (const DnsRecord &record : answer.records)
        if (!next && record.type == DnsType::cname && plain_name(record.name) == chain.back())
          next = plain_name(record.data);
    if (!next) return true;
    if (chain.size() > max_links || std::ranges::find(chain, *next) != chain.end() ||
        !name_fault(*next).empty())
      return false;
    chain.push_back(std::move(*next));
  }
}

Judged judge(const std::string &asked, const std::vector<DnsAnswer> &answers) {
  Judged result{.outcome = DnsOutcome::ok, .chain = {asked}, .addresses = {}};
  if (!follow(answers, result.chain)) {
    result.outcome = DnsOutcome::malformed;
    return result;
  }
  for (const DnsType type : {DnsType::a, DnsType::aaaa})
    for (const DnsAnswer &answer : answers)
      for (const DnsRecord &record : answer.records) {
        if (record.type != type || plain_name(record.name) != result.chain.back()) continue;
        if (auto address = normal_address(record.data); !address.empty())
          result.addresses.push_back(std::move(address));
      }
  if (!result.addresses.empty()) return result;

  // No address. A failure weighs more than a definite no (the name may exist), and nodata more than
  // nxdomain (it does exist).
  result.outcome = DnsOutcome::no_name;
  for (const DnsAnswer &answer : answers) {
    const DnsOutcome outcome = answer.outcome == DnsOutcome::ok ? DnsOutcome::no_data : answer.outcome;
    if (!is_definite(outcome)) {
      result.outcome = outcome;
      break;
    }
    if (outcome == DnsOutcome::no_data) result.outcome = outcome;
  }
  return result;
}

/// The names that an answer to a PTR question holds. Whose they are is not looked at: a zone that is
/// delegated by CNAME (RFC 2317) has owners of any spelling.
std::vector<std::string> names_in(const DnsAnswer &answer) {
  std::vector<std::string> names;
  if (answer.outcome != DnsOutcome::ok) return names;
  for (const DnsRecord &record : answer.records) {
    std::string name = plain_name(record.data);
    if (record.type != DnsType::ptr || !name_fault(name).empty() || !normal_address(name).empty()) continue;
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

} // namespace

std::string_view to_string(Procedure procedure) {
  const auto found = std::ranges::find(spellings, procedure, &std::pair<Procedure, std::string_view>::first);
  return found == std::end(spellings) ? std::string_view() : found->second;
}

std::optional<Procedure> find_procedure(std::string_view text) {
  const auto found = std::ranges::find(spellings, text, &std::pair<Procedure, std::string_view>::second);
  if (found == std::end(spellings)) return std::nullopt;
  return found->first;
}

std::string NameFacts::by_text() const {
  return driver.empty() ? std::string(to_string(by)) : std::string(driver_prefix) + driver;
}

std::string reverse_name(const std::string &address) {
  std::array<unsigned char, 16> bytes{};
  std::string name;
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) {
    for (std::size_t i = 4; i-- > 0;)
      name += std::to_string(bytes[i]) + ".";
    return name + "in-addr.arpa";
  }
  if (inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return {};
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = bytes.size(); i-- > 0;)
    for (const std::size_t nibble : {bytes[i] % 16U, bytes[i] / 16U})
      (name += digits[nibble]) += '.';
  return name + "ip6.arpa";
}

std::string reversed_address(std::string_view name) {
  const std::string plain = plain_name(name);
  std::string_view rest = plain;
  const bool v4 = rest.ends_with(".in-addr.arpa");
  if (!v4 && !rest.ends_with(".ip6.arpa")) return {};
  rest.remove_suffix(std::string_view(v4 ? "in-addr.arpa" : "ip6.arpa").size());
  std::string address;
  for (std::size_t parts = 0; rest.ends_with('.'); ++parts) { // the last part first
    rest.remove_suffix(1);
    const auto dot = rest.rfind('.');
    const auto part = rest.substr(dot == rest.npos ? 0 : dot + 1);
    if (!address.empty() && (v4 || parts % 4 == 0)) address += v4 ? '.' : ':';
    address += part;
    rest.remove_suffix(part.size());
  }
  address = rest.empty() ? normal_address(address) : std::string();
  return reverse_name(address) == plain ? address : std::string(); // nothing but that spelling
}

Canonicaliser::Canonicaliser(Target target, SearchPolicy policy, Procedures procedures)
    : target_(std::move(target)), procedures_(std::move(procedures)) {
  const std::string host = plain_name(target_.host);
  const auto known = [&](std::string name, std::vector<std::string> addresses, std::string via) {
    facts_ = NameFacts{.target = target_,
                       .canonical = name,
                       .chain = {std::move(name)},
                       .addresses = std::move(addresses),
                       .via = std::move(via),
                       .by = Procedure::as_typed,
                       .reverse = {}};
  };
  if (target_.is_address) known(target_.host, {target_.host}, "address");
  if (is_localhost(host)) known(host, {"127.0.0.1", "::1"}, "localhost");
  if (facts_) return;
  last_ = DnsOutcome::malformed;
  asked_ = host;
  tried_ = name_fault(host);
  if (!tried_.empty()) return;

  const auto dots = std::ranges::count(host, '.');
  const bool typed_first = dots >= policy.ndots;
  const bool absolute = target_.host.ends_with('.') || !policy.complete;
  if (typed_first || absolute) candidates_.push_back(host);
  for (const std::string &suffix : policy.search) {
    std::string name = host + "." + plain_name(suffix.starts_with('.') ? suffix.substr(1) : suffix);
    if (!absolute && name_fault(name).empty() && !name.ends_with('.')) candidates_.push_back(std::move(name));
  }
  if (!typed_first && !absolute) candidates_.push_back(host);
}

std::variant<AskDns, NameFacts, NameError> Canonicaliser::next() { return facts_ ? choose() : search(); }

/// The addresses, by the name as typed and its completions.
std::variant<AskDns, NameFacts, NameError> Canonicaliser::search() {
  if (!answers_.empty()) {
    Judged judged = judge(asked_, answers_);
    std::string via = std::move(answers_.front().via);
    answers_.clear();
    waiting_ = false;
    if (judged.outcome == DnsOutcome::ok) {
      facts_ = NameFacts{.target = target_,
                         .canonical = {},
                         .chain = std::move(judged.chain),
                         .addresses = std::move(judged.addresses),
                         .via = std::move(via),
                         .by = Procedure::as_typed,
                         .reverse = {}};
      return choose();
    }
    last_ = judged.outcome;
    if (!tried_.empty()) tried_ += "; ";
    tried_ += asked_;
    for (std::size_t link = 1; link < judged.chain.size(); ++link)
      tried_ += " -> " + judged.chain[link];
    tried_ += ": " + std::string(to_string(last_));
    // An alias exists even where its end does not, and what nobody answered may exist: no later
    // suffix may win over either.
    if (!is_definite(last_) || judged.chain.size() > 1) candidates_.clear();
  }
  if (!waiting_) {
    if (candidates_.empty()) return NameError{.outcome = last_, .name = asked_, .detail = tried_};
    asked_ = std::move(candidates_.front());
    candidates_.erase(candidates_.begin());
    waiting_ = true;
  }
  return AskDns{{{asked_, DnsType::a}, {asked_, DnsType::aaaa}}};
}

/// The canonical name, by the first procedure that has one. PTRs are asked for when the first procedure
/// that needs them has its turn.
std::variant<AskDns, NameFacts, NameError> Canonicaliser::choose() {
  const std::size_t asked = std::min(facts_->addresses.size(), most_reversed);
  if (waiting_ && !answers_.empty()) {
    waiting_ = false;
    reversed_ = true;
    for (std::size_t i = 0; i < std::min(asked, answers_.size()); ++i) {
      DnsOutcome outcome = answers_[i].outcome;
      auto names = names_in(answers_[i]);
      if (outcome == DnsOutcome::ok && names.empty()) outcome = DnsOutcome::no_data;
      facts_->reverse.push_back({facts_->addresses[i], outcome, std::move(names)});
    }
    answers_.clear();
  }
  for (const Procedure procedure : procedures_.order) {
    const bool asked_for = !target_.is_address && facts_->via != "localhost"; // the name, of whoever knows it
    const bool needs_reverse = procedure == Procedure::reverse           ? target_.is_address
                               : procedure == Procedure::forward_reverse ? asked_for
                                                                         : false;
    if (needs_reverse && !reversed_) {
      waiting_ = true;
      AskDns ask;
      for (std::size_t i = 0; i < asked; ++i)
        ask.questions.push_back({reverse_name(facts_->addresses[i]), DnsType::ptr});
      return ask;
    }
    if (auto name = name_by(procedure)) {
      facts_->canonical = std::move(*name);
      facts_->by = procedure;
      return *facts_;
    }
  }
  facts_->canonical = plain_name(target_.host);
  facts_->by = Procedure::as_typed;
  return *facts_;
}

std::optional<std::string> Canonicaliser::name_by(Procedure procedure) const {
  std::string typed = plain_name(target_.host);
  switch (procedure) {
  case Procedure::as_typed:
    return typed;
  case Procedure::short_only:
    return target_.is_address || typed.contains('.') ? typed : facts_->forward();
  case Procedure::forward:
    if (target_.is_address) return std::nullopt;
    return facts_->forward();
  case Procedure::reverse:
  case Procedure::forward_reverse:
    // An address where a name is wanted, or the other way round: not this procedure's.
    if (target_.is_address != (procedure == Procedure::reverse)) return std::nullopt;
    if (facts_->reverse.empty() || facts_->reverse.front().names.empty()) return std::nullopt;
    return facts_->reverse.front().names.front();
  case Procedure::map:
    for (const MapRule &rule : procedures_.map)
      if (glob_match(rule.from, typed)) return plain_name(rule.to);
    return std::nullopt;
  }
  return std::nullopt;
}

void Canonicaliser::answer(std::vector<DnsAnswer> answers) {
  if (waiting_) answers_ = std::move(answers);
}

} // namespace auth
