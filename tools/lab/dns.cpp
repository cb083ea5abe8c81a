#include "tools/lab/dns.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sstream>

namespace lab {
namespace {

/// "127.81.3.10" as "10.3.81.127.in-addr.arpa".
std::string reverse_name(const std::string &address) {
  std::string name = "in-addr.arpa";
  std::istringstream parts(address);
  for (std::string part; std::getline(parts, part, '.');)
    name = part + "." + name;
  return name;
}

/// "127.81.3.10" as "7f51030a".
std::string hex_address(const std::string &address) {
  const auto place = socket_address(address, 0);
  const auto number = ntohl(reinterpret_cast<const sockaddr_in &>(place).sin_addr.s_addr);
  return fmt::format("{:08x}", number);
}

} // namespace

Dns::Dns(fs::path folder, const Block &block, std::uint16_t port)
    : folder_(std::move(folder)), address_(block.dns()), port_(port) {
  fs::create_directories(folder_);
}

void Dns::host(const std::string &name, const std::string &address) {
  remove(name);
  hosts_[name] = address;
}

void Dns::address_only(const std::string &name, const std::string &address) {
  remove(name);
  forward_only_[name] = address;
}

void Dns::ptr(const std::string &address, const std::string &name) { ptrs_.emplace(address, name); }

void Dns::cname(const std::string &alias, const std::string &target) {
  remove(alias); // dnsmasq exits on a second record for an alias
  cnames_[alias] = target;
}

bool Dns::knows(const std::string &name) const {
  return hosts_.contains(name) || forward_only_.contains(name) || cnames_.contains(name);
}

void Dns::srv(const std::string &name, const std::string &target, std::uint16_t port, int priority,
              int weight) {
  srvs_.push_back(fmt::format("srv-host={},{},{},{},{}", name, target, port, priority, weight));
}

void Dns::remove(const std::string &name) {
  hosts_.erase(name);
  forward_only_.erase(name);
  cnames_.erase(name);
}

std::string Dns::server() const { return fmt::format("{}:{}", address_, port_); }

void Dns::start() {
  stop();
  const auto file = folder_ / "dnsmasq.conf";
  write_file(file, configuration());
  process_.emplace(
      Command{.argv = {"dnsmasq", "--conf-file=" + file.string()}, .output = folder_ / "dns.log"});
  process_->wait_for_port(address_, port_);
}

void Dns::stop() {
  if (process_) process_->stop();
}

std::string Dns::configuration() const {
  // no-daemon also keeps our uid when we are root: a changed uid would clear the parent-death signal,
  // and dnsmasq could outlive us. no-round-robin: who asks twice, as two drivers do, gets the addresses
  // of a name in the same order.
  auto text =
      fmt::format("no-daemon\nno-resolv\nno-hosts\nno-poll\nno-round-robin\ncache-size=0\nlog-queries\n"
                  "port={}\nlisten-address={}\nbind-interfaces\nlocal-ttl={}\n",
                  port_, address_, ttl);
  for (const auto &domain : domains_)
    text += fmt::format("local=/{}/\n", domain);
  for (const auto &[address, name] : ptrs_)
    text += fmt::format("ptr-record={},{}\n", reverse_name(address), name);
  for (const auto &[name, address] : hosts_)
    text += fmt::format("host-record={},{},{}\n", name, address, ttl);
  // A host-record always brings a PTR. The TXT record is there so that a question for AAAA is answered with
  // no data, not with no such name.
  for (const auto &[name, address] : forward_only_)
    text += fmt::format("dns-rr={0},1,{1}\ntxt-record={0},lab\n", name, hex_address(address));
  for (const auto &[name, address] : more_)
    text += fmt::format("host-record={},{},{}\n", name, address, ttl);
  for (const auto &[alias, target] : cnames_)
    text += fmt::format("cname={},{},{}\n", alias, target, ttl);
  for (const auto &srv : srvs_)
    text += srv + "\n";
  return text;
}

} // namespace lab
