#include "shim/names/system_names.hpp"

#include "auth/host_name.hpp"

#include <algorithm>
#include <array>
#include <netdb.h>

namespace shim {
namespace {

auth::DnsOutcome outcome_of(int error) {
  switch (error) {
  case 0:
    return auth::DnsOutcome::ok;
  case EAI_NONAME:
    return auth::DnsOutcome::no_name;
  case EAI_NODATA:
  case EAI_ADDRFAMILY:
    return auth::DnsOutcome::no_data;
  default: // EAI_AGAIN: nobody answered, or not now; EAI_FAIL; EAI_SYSTEM
    return auth::DnsOutcome::server_failure;
  }
}

struct FreeAddresses {
  void operator()(addrinfo *list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses addresses_of(const std::string &host, int flags, int &error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo *list = nullptr;
  error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  return Addresses(error == 0 ? list : nullptr);
}

bool has_zone(const addrinfo &entry) {
  return entry.ai_family == AF_INET6 &&
         reinterpret_cast<const sockaddr_in6 *>(entry.ai_addr)->sin6_scope_id != 0;
}

std::string text_of(const addrinfo &entry) {
  std::array<char, NI_MAXHOST> text{};
  const int error =
      ::getnameinfo(entry.ai_addr, entry.ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? auth::normal_address(text.data()) : std::string();
}

SystemAnswer name_of(const std::string &address) {
  SystemAnswer answer;
  int error = 0;
  const auto numeric = addresses_of(address, AI_NUMERICHOST, error);
  std::array<char, NI_MAXHOST> name{};
  if (numeric)
    error = ::getnameinfo(numeric->ai_addr, numeric->ai_addrlen, name.data(), name.size(), nullptr, 0,
                          NI_NAMEREQD);
  answer.outcome = outcome_of(error);
  answer.name = name.data();
  return answer;
}

auth::DnsType type_of(const std::string &address) {
  return address.contains(':') ? auth::DnsType::aaaa : auth::DnsType::a;
}

} // namespace

SystemAnswer look_up_by_system(const std::string &asked) {
  if (const auto address = auth::reversed_address(asked); !address.empty()) return name_of(address);
  SystemAnswer answer;
  int error = 0;
  const auto list = addresses_of(asked, AI_CANONNAME, error);
  answer.outcome = outcome_of(error);
  if (!list) return answer;
  answer.name = list->ai_canonname ? list->ai_canonname : asked;
  for (const auto *entry = list.get(); entry; entry = entry->ai_next) {
    auto address = has_zone(*entry) ? std::string() : text_of(*entry);
    if (!address.empty() && std::ranges::find(answer.addresses, address) == answer.addresses.end())
      answer.addresses.push_back(std::move(address));
  }
  return answer;
}

bool SystemNames::answers(auth::DnsType type) {
  using enum auth::DnsType;
  return type == a || type == aaaa || type == ptr;
}

Task<auth::DnsAnswer> SystemNames::ask(auth::DnsQuestion question, Millis limit) {
  const auto started = std::chrono::steady_clock::now();
  const auto found = co_await find(question.name, limit);
  auth::DnsAnswer answer;
  answer.question = std::move(question);
  answer.outcome = found ? found->outcome : auth::DnsOutcome::timeout;
  answer.server = answer.via = "system";
  answer.took = std::chrono::microseconds(micros_since(started));
  if (answer.outcome != auth::DnsOutcome::ok) co_return answer;

  const auto &[name, type] = answer.question;
  const auto add = [&](const std::string &owner, auth::DnsType of, std::string data) {
    answer.records.push_back({owner, of, std::move(data), {}});
  };
  if (type == auth::DnsType::ptr) {
    add(name, type, found->name);
    co_return answer;
  }
  const auto canonical = auth::plain_name(found->name);
  if (canonical != auth::plain_name(name)) add(name, auth::DnsType::cname, canonical);
  for (const auto &address : found->addresses)
    if (type_of(address) == type) add(canonical, type, address);
  if (answer.records.empty() || answer.records.back().type == auth::DnsType::cname)
    answer.outcome = auth::DnsOutcome::no_data;
  co_return answer;
}

} // namespace shim
