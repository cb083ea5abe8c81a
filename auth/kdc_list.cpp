#include "auth/kdc_list.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <sstream>
#include <tuple>

namespace auth {
namespace {

struct Srv {
  std::uint32_t priority = 0, weight = 0;
  std::size_t place = 0; ///< in the answer
  KdcAddress kdc;
};

std::optional<Srv> parse_srv(const DnsRecord &record) {
  if (record.type != DnsType::srv) return std::nullopt;
  std::istringstream in(record.data);
  Srv srv;
  std::uint32_t port = 0;
  if (!(in >> srv.priority >> srv.weight >> port >> srv.kdc.host)) return std::nullopt;
  constexpr std::uint32_t largest =
      65535; // of all three (RFC 2782); a "-1" is read as far more, and weights are added up
  if (srv.kdc.host.ends_with('.')) srv.kdc.host.pop_back();
  if (srv.priority > largest || srv.weight > largest || port == 0 || port > largest || srv.kdc.host.empty() ||
      !name_fault(srv.kdc.host).empty())
    return std::nullopt;
  srv.kdc.host = lower(srv.kdc.host);
  srv.kdc.port = static_cast<std::uint16_t>(port);
  return srv;
}

} // namespace

std::vector<KdcAddress> parse_kdcinfo(std::string_view text) {
  std::vector<KdcAddress> kdcs;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line) && kdcs.size() < most_kdcs;) {
    line = line.substr(0, line.find('#'));
    const auto from = line.find_first_not_of(" \t\r");
    if (from == std::string::npos) continue;
    const auto kdc = parse_kdc(line.substr(from, line.find_last_not_of(" \t\r") + 1 - from));
    if (kdc && !kdc->https) kdcs.push_back(*kdc);
  }
  return kdcs;
}

std::vector<KdcAddress> order_srv(const std::vector<DnsRecord> &records,
                                  const std::function<std::uint32_t(std::uint32_t)> &random) {
  std::vector<Srv> left;
  for (const auto &record : records)
    if (auto srv = parse_srv(record)) {
      srv->place = left.size();
      left.push_back(std::move(*srv));
    }
  // Weight 0 first: it shall be picked seldom, but not never (RFC 2782, "Weight").
  std::ranges::sort(left, {},
                    [](const Srv &srv) { return std::tuple(srv.priority, srv.weight != 0, srv.place); });

  std::vector<KdcAddress> ordered;
  while (!left.empty() && ordered.size() < most_kdcs) {
    const auto end =
        std::ranges::find_if(left, [&](const Srv &srv) { return srv.priority != left.front().priority; });
    std::uint32_t sum = 0;
    for (auto srv = left.begin(); srv != end; ++srv)
      sum += srv->weight;
    std::uint32_t point = random(sum + 1);
    auto chosen = left.begin();
    while (chosen->weight < point) {
      point -= chosen->weight;
      ++chosen;
    }
    ordered.push_back(std::move(chosen->kdc));
    left.erase(chosen);
  }
  return ordered;
}

DnsQuestion srv_question(const std::string &realm) {
  return {"_kerberos._tcp." + lower(realm), DnsType::srv};
}

} // namespace auth
