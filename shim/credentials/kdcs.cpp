#include "shim/credentials/kdcs.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <random>
#include <ranges>

namespace shim {
namespace {

/// A realm may come from a KDC's referral: as a part of a path or of a DNS name it must look like a domain.
bool is_plain(const std::string &realm) { return !realm.empty() && auth::name_fault(realm).empty(); }

std::uint32_t random_below(std::uint32_t n) {
  static thread_local std::minstd_rand engine(std::random_device{}());
  return std::uniform_int_distribution<std::uint32_t>(0, n - 1)(engine);
}

void add(std::vector<KdcEndpoint> &endpoints, const auth::KdcAddress &kdc, const std::string &address) {
  boost::system::error_code error;
  KdcEndpoint endpoint{kdc.text(), {asio::ip::make_address(address, error), kdc.port}};
  auto same = [&](const KdcEndpoint &other) { return other.endpoint == endpoint.endpoint; };
  if (!error && endpoints.size() < auth::most_kdcs && std::ranges::none_of(endpoints, same))
    endpoints.push_back(std::move(endpoint));
}

} // namespace

std::vector<auth::KdcAddress> Kdcs::listed_by_sssd(const std::string &realm) const {
  // A small file on a local disk, as krb5.conf, which libkrb5 looks at in every exchange.
  std::ifstream in(kdcinfo_ / ("kdcinfo." + realm), std::ios::binary);
  std::string text(4096, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return auth::parse_kdcinfo(text);
}

Task<Kdcs::Found> Kdcs::find(const std::string &realm, FetchContext &context) {
  auto started = Clock::now();
  Found found;
  std::vector<auth::KdcAddress> listed;
  if (is_plain(realm)) listed = listed_by_sssd(realm);
  if (!listed.empty()) found.source = "sssd";
  if (auto known = kerberos_.kdcs.find(realm);
      listed.empty() && known != kerberos_.kdcs.end() && !known->second.empty()) {
    listed = known->second;
    found.source = "krb5.conf";
  }
  if (listed.empty()) {
    found.why_none = "krb5.conf names no KDC of realm " + realm;
    if (!kerberos_.dns_lookup_kdc)
      found.why_none += ", and says dns_lookup_kdc = false";
    else if (is_plain(realm)) {
      auto answer = co_await context.resolver.ask(auth::srv_question(realm), context.dns_limit);
      context.emit(to_event(answer));
      listed = auth::order_srv(answer.records, random_below);
      found.source = listed.empty() ? "" : "dns";
      found.why_none += ", and DNS no service " + answer.question.name + " (" +
                        std::string(auth::to_string(answer.outcome)) + ")";
    }
  }
  if (listed.size() > auth::most_kdcs) listed.resize(auth::most_kdcs);

  found.proxies_only = !listed.empty() && std::ranges::all_of(listed, &auth::KdcAddress::https);
  for (const auto &kdc : listed) {
    if (kdc.https) {
      found.untried.emplace_back(kdc.text(), "a KDC proxy (https), which is not supported");
      continue;
    }
    if (auto address = auth::normal_address(kdc.host); !address.empty()) {
      add(found.endpoints, kdc, address);
      continue;
    }
    auto target = auth::parse_target(kdc.host);
    bool late = is_over(context.dns_limit, started);
    if (!target || late) {
      found.untried.emplace_back(kdc.text(),
                                 late ? "there was no time left to find its address" : target.error());
      continue;
    }
    auto emit = [&](const auth::DnsAnswer &answer) { context.emit(to_event(answer)); };
    auto facts = co_await canonicalise(context.resolver, *target, context.search, {},
                                       left_of(context.dns_limit, started), emit);
    if (auto *names = std::get_if<auth::NameFacts>(&facts))
      for (const auto &address : names->addresses)
        add(found.endpoints, kdc, address);
    else
      found.untried.emplace_back(kdc.text(), "its name has no address that could be found");
  }
  order(realm, found);
  co_return found;
}

void Kdcs::order(const std::string &realm, Found &found) {
  auto now = Clock::now();
  std::lock_guard lock(mutex_);
  std::erase_if(failed_, [&](const auto &entry) { return entry.second + kept <= now; });
  std::erase_if(preferred_, [&](const auto &entry) { return entry.second.second + kept <= now; });
  auto preferred = preferred_.find(realm);
  auto rank = [&](const KdcEndpoint &kdc) {
    if (failed_.contains(kdc.endpoint)) return 2;
    return preferred != preferred_.end() && preferred->second.first == kdc.endpoint ? 0 : 1;
  };
  std::vector<KdcEndpoint> ordered;
  for (int wanted : {0, 1, 2}) {
    for (const auto &kdc : found.endpoints)
      if (rank(kdc) == wanted) ordered.push_back(kdc);
    if (wanted == 1) found.trusted = ordered.size();
  }
  found.endpoints = std::move(ordered);
}

void Kdcs::answered(const std::string &realm, const asio::ip::tcp::endpoint &kdc) {
  std::lock_guard lock(mutex_);
  failed_.erase(kdc);
  preferred_[realm] = {kdc, Clock::now()};
}

void Kdcs::failed(const asio::ip::tcp::endpoint &kdc) {
  std::lock_guard lock(mutex_);
  failed_[kdc] = Clock::now();
}

void Kdcs::forget() {
  std::lock_guard lock(mutex_);
  preferred_.clear();
  failed_.clear();
}

DnsAnswered to_event(const auth::DnsAnswer &answer) {
  constexpr std::size_t most_told = 64; // an answer may hold thousands, and each login writes it down
  DnsAnswered event;
  event.question = answer.question.name;
  event.type = auth::to_string(answer.question.type);
  event.rcode = auth::to_string(answer.outcome);
  for (const auto &record : answer.records | std::views::take(most_told)) {
    event.answers.push_back(std::string(auth::to_string(record.type)) + " " + record.data);
    event.ttl = event.answers.size() == 1 ? record.ttl.count()
                                          : std::min<std::int64_t>(event.ttl, record.ttl.count());
  }
  if (answer.records.size() > most_told)
    event.answers.push_back(fmt::format("and {} more", answer.records.size() - most_told));
  event.server = answer.server;
  event.cached = answer.cached;
  event.us = answer.took.count();
  return event;
}

} // namespace shim
