// DNS replies as bytes: what c-ares hands on from the network. Pure.
#pragma once

#include "auth/name.hpp"

#include <span>
#include <vector>

namespace shim {

/// Decodes a DNS reply message (RFC 1035 4.1) into the records of its answer section that we know (A, AAAA,
/// CNAME, PTR, SRV). False: malformed.
bool decode_dns_reply(std::span<const unsigned char> message, std::vector<auth::DnsRecord> &records);

} // namespace shim
