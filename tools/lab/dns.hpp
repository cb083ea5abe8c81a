// A real DNS server on loopback (dnsmasq) that knows the lab's names and nobody else's.
#pragma once

#include "tools/lab/block.hpp"
#include "tools/lab/process.hpp"

namespace lab {

/// Answers for corp.test, addresses' names and what `domain` adds, on `address():port()`, UDP and TCP;
/// asks no other server and reads no hosts file. Records are changed freely; `start()` after a change
/// restarts it with the new ones.
class Dns {
public:
  static constexpr std::uint16_t port_number = 5353;
  static constexpr int ttl = 60; ///< seconds, of every record

  /// `port`: 53 in a network namespace, where resolv.conf leads to it.
  Dns(fs::path folder, const Block &block, std::uint16_t port = port_number);

  /// A and PTR records of one server; replaces those that the name had.
  void host(const std::string &name, const std::string &address);
  /// One more address of a host (an AAAA record beside its A record).
  void also(const std::string &name, const std::string &address) { more_.emplace_back(name, address); }
  /// An A record without PTR; replaces those that the name had.
  void address_only(const std::string &name, const std::string &address);
  /// Another PTR for an IPv4 address than its host's: a reverse record that lies. With every call
  /// the address has one more.
  void ptr(const std::string &address, const std::string &name);
  /// One more domain of which it knows everything: names there that have no record do not exist.
  void domain(const std::string &name) { domains_.push_back(name); }
  /// Replaces what the alias had, but for the PTR of an address.
  void cname(const std::string &alias, const std::string &target);
  /// Whether the name has a record of its own.
  bool knows(const std::string &name) const;
  /// One more SRV record: `target` with a dot is a name as it is.
  void srv(const std::string &name, const std::string &target, std::uint16_t port, int priority, int weight);
  /// Forgets a host or an alias.
  void remove(const std::string &name);

  /// Starts it, or restarts it with the present records.
  void start();
  void stop();

  const std::string &address() const { return address_; }
  std::uint16_t port() const { return port_; }
  std::string server() const; ///< "127.A.B.2:5353"
  Process &process() { return *process_; }

private:
  std::string configuration() const;

  fs::path folder_;
  std::string address_;
  std::uint16_t port_;
  std::map<std::string, std::string> hosts_;              // name to address
  std::map<std::string, std::string> forward_only_;       // name to address
  std::vector<std::pair<std::string, std::string>> more_; // name and a further address
  std::multimap<std::string, std::string> ptrs_;          // address to name
  std::map<std::string, std::string> cnames_;             // alias to target
  std::vector<std::string> srvs_;                         // as dnsmasq writes them
  std::vector<std::string> domains_ = {"corp.test", "127.in-addr.arpa", "ip6.arpa"};
  std::optional<Process> process_;
};

} // namespace lab
