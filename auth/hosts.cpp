#include "auth/hosts.hpp"

#include "auth/host_name.hpp"

#include <algorithm>

namespace auth {
namespace {

/// The next of `separators`' fields; `rest` loses it. Empty: there is none left.
std::string_view take_field(std::string_view &rest, std::string_view separators) {
  rest.remove_prefix(std::min(rest.find_first_not_of(separators), rest.size()));
  const auto field = rest.substr(0, rest.find_first_of(separators));
  rest.remove_prefix(field.size());
  return field;
}

/// Empty for what no SPN could hold.
std::string usable_name(std::string_view field) {
  std::string name = plain_name(field);
  return name_fault(name).empty() && normal_address(name).empty() ? name : std::string();
}

DnsType type_of(const std::string &address) { return address.contains(':') ? DnsType::aaaa : DnsType::a; }

} // namespace

Hosts::Hosts(std::string_view text, std::string file) : file_(std::move(file)) {
  while (!text.empty()) {
    auto line = take_field(text, "\n");
    line = line.substr(0, line.find('#'));
    constexpr std::string_view blanks = " \t\r\v\f";
    const std::string address = normal_address(take_field(line, blanks));
    const std::string canonical = usable_name(take_field(line, blanks));
    if (address.empty() || canonical.empty()) continue;
    reverse_.try_emplace(reverse_name(address), canonical);
    const auto add = [&](const std::string &name) {
      Known &known = names_.try_emplace(name, Known{canonical, {}}).first->second;
      if (std::ranges::find(known.addresses, address) == known.addresses.end())
        known.addresses.push_back(address);
    };
    add(canonical);
    for (auto alias = take_field(line, blanks); !alias.empty(); alias = take_field(line, blanks))
      if (const std::string name = usable_name(alias); !name.empty()) add(name);
  }
}

bool Hosts::has(std::string_view name) const { return names_.contains(plain_name(name)); }

std::optional<DnsAnswer> Hosts::answer(const DnsQuestion &question) const {
  DnsAnswer answer;
  answer.question = question;
  answer.server = file_;
  answer.via = "hosts";
  const std::string asked = plain_name(question.name);
  const auto add = [&](const std::string &owner, DnsType type, std::string data) {
    answer.records.push_back({owner, type, std::move(data), {}});
  };
  if (question.type == DnsType::ptr) {
    const auto found = reverse_.find(asked);
    if (found == reverse_.end()) return std::nullopt;
    add(asked, DnsType::ptr, found->second);
    return answer;
  }
  const auto found = names_.find(asked);
  if (found == names_.end() || (question.type != DnsType::a && question.type != DnsType::aaaa))
    return std::nullopt;
  const auto &[canonical, addresses] = found->second;
  if (asked != canonical) add(asked, DnsType::cname, canonical);
  for (const auto &address : addresses)
    if (type_of(address) == question.type) add(canonical, question.type, address);
  if (answer.records.empty() || answer.records.back().type == DnsType::cname)
    answer.outcome = DnsOutcome::no_data;
  return answer;
}

} // namespace auth
