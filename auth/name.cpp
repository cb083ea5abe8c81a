#include "auth/name.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <optional>

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

namespace {

constexpr std::size_t max_links = 8;

std::string plain(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return lower(name);
}

bool is_localhost(std::string_view host) {
  const std::string name = plain(host);
  return name == "localhost" || name.ends_with(".localhost"); // RFC 6761 6.3
}

/// The answers say that there is nothing; all others say that nobody knows.
bool is_definite(DnsOutcome outcome) { return outcome == DnsOutcome::no_name || outcome == DnsOutcome::no_data; }

/// One question's two answers, judged.
struct Judged {
  DnsOutcome outcome = DnsOutcome::ok;
  std::vector<std::string> chain;
  std::vector<std::string> addresses;
};

/// Follows the CNAMEs that the answers hold, in whatever order their records come. False: a loop, too long, or a name that is none.
bool follow(const std::vector<DnsAnswer> &answers, std::vector<std::string> &chain) {
  while (true) {
    std::optional<std::string> next;
    for (const DnsAnswer &answer : answers)
      for (const DnsRecord &record : answer.records)
        if (!next && record.type == DnsType::cname && plain(record.name) == chain.back()) next = plain(record.data);
    if (!next) return true;
    if (chain.size() > max_links || std::ranges::find(chain, *next) != chain.end() || !name_fault(*next).empty())
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
        if (record.type != type || plain(record.name) != result.chain.back()) continue;
        if (auto address = normal_address(record.data); !address.empty())
          result.addresses.push_back(std::move(address));
      }
  if (!result.addresses.empty()) return result;

  // No address. A failure weighs more than a definite no (the name may exist), and nodata more than nxdomain (it does exist).
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

} // namespace

Canonicaliser::Canonicaliser(Target target, SearchPolicy policy) : target_(std::move(target)) {
  const std::string host = plain(target_.host);
  if (target_.is_address || is_localhost(host)) return;
  last_ = DnsOutcome::malformed;
  asked_ = host;
  tried_ = name_fault(host);
  if (!tried_.empty()) return;

  const auto dots = std::ranges::count(host, '.');
  const bool typed_first = dots >= policy.ndots;
  const bool absolute = target_.host.ends_with('.');
  if (typed_first || absolute) candidates_.push_back(host);
  for (const std::string &suffix : policy.search) {
    std::string name = host + "." + plain(suffix.starts_with('.') ? suffix.substr(1) : suffix);
    if (!absolute && name_fault(name).empty() && !name.ends_with('.')) candidates_.push_back(std::move(name));
  }
  if (!typed_first && !absolute) candidates_.push_back(host);
}

std::variant<AskDns, NameFacts, NameError> Canonicaliser::next() {
  if (target_.is_address)
    return NameFacts{.target = target_,
                     .canonical = target_.host,
                     .chain = {target_.host},
                     .addresses = {target_.host},
                     .via = "address"};
  if (const std::string host = plain(target_.host); is_localhost(host))
    return NameFacts{
        .target = target_, .canonical = host, .chain = {host}, .addresses = {"127.0.0.1", "::1"}, .via = "localhost"};

  if (!answers_.empty()) {
    Judged judged = judge(asked_, answers_);
    if (judged.outcome == DnsOutcome::ok)
      return NameFacts{.target = target_,
                       .canonical = judged.chain.back(),
                       .chain = std::move(judged.chain),
                       .addresses = std::move(judged.addresses),
                       .via = "dns"};
    answers_.clear();
    last_ = judged.outcome;
    if (!tried_.empty()) tried_ += "; ";
    tried_ += asked_;
    for (std::size_t link = 1; link < judged.chain.size(); ++link)
      tried_ += " -> " + judged.chain[link];
    tried_ += ": " + std::string(to_string(last_));
    // An alias exists even where its end does not, and what nobody answered may exist: no later suffix may win over either.
    if (!is_definite(last_) || judged.chain.size() > 1) candidates_.clear();
    waiting_ = false;
  }
  if (!waiting_) {
    if (candidates_.empty()) return NameError{.outcome = last_, .name = asked_, .detail = tried_};
    asked_ = std::move(candidates_.front());
    candidates_.erase(candidates_.begin());
    waiting_ = true;
  }
  return AskDns{{{asked_, DnsType::a}, {asked_, DnsType::aaaa}}};
}

void Canonicaliser::answer(std::vector<DnsAnswer> answers) {
  if (waiting_) answers_ = std::move(answers);
}

} // namespace auth
