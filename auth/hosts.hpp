// hosts(5): the names and addresses that this machine knows without asking anybody. Pure.
#pragma once

#include "auth/name.hpp"

#include <map>

namespace auth {

/// What a hosts file says, as answers to DNS questions: so a name that stands there goes
/// the way of every other one.
class Hosts {
public:
  Hosts() = default;
  /// Any text will do. A line is an address, its canonical name, aliases; what follows '#' is a comment.
  /// Left out: a line whose address is none, or has an IPv6 zone (an interface of this machine), or
  /// whose first name is no host name; such an alias. A name that stands in several lines has the
  /// addresses of all and the canonical name of the first, as getaddrinfo tells; of an address the first
  /// line counts. `file` is who answers.
  Hosts(std::string_view text, std::string file);

  /// The answer to A, AAAA or PTR: an alias as a CNAME record of its canonical name, TTL 0; "nodata" where
  /// the name has addresses of the other family only. nullopt: the file does not say, and DNS is to be asked.
  std::optional<DnsAnswer> answer(const DnsQuestion &question) const;
  bool has(std::string_view name) const;
  std::size_t names() const { return names_.size(); }
  bool operator==(const Hosts &) const = default;

private:
  struct Known {
    std::string canonical;
    std::vector<std::string> addresses;
    bool operator==(const Known &) const = default;
  };
  std::string file_;
  std::map<std::string, Known, std::less<>> names_;
  std::map<std::string, std::string> reverse_; ///< the name of the PTR record, to the canonical name
};

} // namespace auth
