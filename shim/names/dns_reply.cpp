#include "shim/names/dns_reply.hpp"

#include "auth/host_name.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <optional>

namespace shim {
namespace {

/// The name that fills `data`, all of it.
std::optional<std::string> name_in(const ns_msg &message, std::span<const unsigned char> data) {
  char text[NS_MAXDNAME];
  const int size =
      ns_name_uncompress(ns_msg_base(message), ns_msg_end(message), data.data(), text, sizeof text);
  if (size < 0 || static_cast<std::size_t>(size) != data.size()) return std::nullopt;
  return auth::lower(text);
}

/// False: malformed. A type that we do not know is well-formed, and yields no record.
bool decode_record(const ns_msg &message, const ns_rr &record, std::vector<auth::DnsRecord> &records) {
  auth::DnsRecord out{auth::lower(ns_rr_name(record)), {}, {}, std::chrono::seconds(ns_rr_ttl(record))};
  const std::span data(ns_rr_rdata(record), ns_rr_rdlen(record));
  char text[INET6_ADDRSTRLEN];
  switch (ns_rr_type(record)) {
  case ns_t_a:
    if (data.size() != 4) return false;
    out.type = auth::DnsType::a;
    out.data = inet_ntop(AF_INET, data.data(), text, sizeof text);
    break;
  case ns_t_aaaa:
    if (data.size() != 16) return false;
    out.type = auth::DnsType::aaaa;
    out.data = inet_ntop(AF_INET6, data.data(), text, sizeof text);
    break;
  case ns_t_cname:
  case ns_t_ptr: {
    out.type = ns_rr_type(record) == ns_t_cname ? auth::DnsType::cname : auth::DnsType::ptr;
    auto name = name_in(message, data);
    if (!name) return false;
    out.data = *name;
    break;
  }
  case ns_t_srv: { // priority 2, weight 2, port 2, target (RFC 2782)
    if (data.size() < 7) return false;
    out.type = auth::DnsType::srv;
    auto name = name_in(message, data.subspan(6));
    if (!name) return false;
    out.data = std::to_string(ns_get16(data.data())) + " " + std::to_string(ns_get16(data.data() + 2)) + " " +
               std::to_string(ns_get16(data.data() + 4)) + " " + *name;
    break;
  }
  default:
    return true;
  }
  records.push_back(std::move(out));
  return true;
}

} // namespace

bool decode_dns_reply(std::span<const unsigned char> message, std::vector<auth::DnsRecord> &records) {
  ns_msg parsed;
  if (ns_initparse(message.data(), static_cast<int>(message.size()), &parsed) != 0) return false;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an); ++i) {
    ns_rr record;
    if (ns_parserr(&parsed, ns_s_an, i, &record) != 0) return false;
    if (!decode_record(parsed, record, records)) return false;
  }
  return true;
}

} // namespace shim
