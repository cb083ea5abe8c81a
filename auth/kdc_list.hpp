// Where the KDCs of a realm are, as sssd and DNS write it down. Pure; krb5.conf's own list
// is in kerberos_config.hpp.
#pragma once

#include "auth/kerberos_config.hpp"
#include "auth/name.hpp"

#include <functional>

namespace auth {

/// More are never considered, whoever lists them.
inline constexpr std::size_t most_kdcs = 16;

/// sssd's `kdcinfo.REALM`: one "address", "address:port", "[v6]:port" or "name:port" a line, best first; '#'
/// begins a comment. Lines that are none of these are left out.
std::vector<KdcAddress> parse_kdcinfo(std::string_view text);

/// The SRV records of an answer in the order in which RFC 2782 wants them tried: by priority, and among
/// equals at random by weight. `random(n)` gives one of 0 … n-1. Records that cannot be read, and the target
/// "." (which says that there is no such service), are left out.
std::vector<KdcAddress> order_srv(const std::vector<DnsRecord> &records,
                                  const std::function<std::uint32_t(std::uint32_t)> &random);

/// The question for them: "_kerberos._tcp.corp.test".
DnsQuestion srv_question(const std::string &realm);

} // namespace auth
