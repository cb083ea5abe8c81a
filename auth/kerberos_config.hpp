// What krb5.conf says that sqlshim decides by: realms of domains, KDCs of realms. Read
// once; a value from then on.
#pragma once

#include "auth/error.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct _krb5_context; // <krb5.h>

namespace auth {

/// One `kdc =` entry: host (name or address) and port (default 88).
struct KdcAddress {
  std::string host;
  std::uint16_t port = 88;
  bool https = false;       ///< MS-KKDCP, which we name as unsupported
  std::string path = {};    ///< of https, with its slash
  std::string text() const; ///< "127.0.0.1:18088", "[::1]:88", "https://proxy.corp.test/KdcProxy"
  bool operator==(const KdcAddress &) const = default;
};
/// "host", "host:port", "address", "[v6]:port", "https://host/path", with Heimdal's "tcp/" or "udp/" in front
/// (we speak TCP only). nullopt: none of these. Pure.
std::optional<KdcAddress> parse_kdc(std::string_view text);

/// What libkrb5 is told to do with the host of a host-based name (GSS_C_NT_HOSTBASED_SERVICE), before it asks
/// for a ticket. sqlshim hands it none; drivers do.
struct MitNaming {
  enum class Canonicalise {
    never,
    always,
    fallback
  } canonicalise = Canonicalise::always; ///< dns_canonicalize_hostname
  bool rdns = true;
  bool operator==(const MitNaming &) const = default;
};

struct KerberosConfig {
  std::string path; ///< as given: one file, or several separated by ':'
  std::string default_realm;
  std::map<std::string, std::string>
      domain_realm; ///< ".corp.test" or "host.corp.test" -> "CORP.TEST", keys in lower case
  std::map<std::string, std::vector<KdcAddress>> kdcs; ///< realm -> in the order of the file
  std::chrono::seconds clock_skew{300};
  bool dns_lookup_kdc = true; ///< whether SRV records are asked for a realm without `kdc =`
  MitNaming naming;

  /// The realm of a host as libkrb5 finds it: the exact entry, then from the longest suffix to the shortest
  /// ".suffix" before "suffix". Empty where nothing matches. Pure.
  std::string realm_of(std::string_view host) const;
};

/// Reads the profile at `path` (libkrb5's own parser, includes and all). Error: unreadable or
/// malformed, with libkrb5's text.
Result<KerberosConfig> load_kerberos_config(const std::string &path);

struct ContextDeleter {
  void operator()(_krb5_context *context) const;
};
using Context = std::unique_ptr<_krb5_context, ContextDeleter>;
/// A libkrb5 context for one exchange: the profile at `path` behind settings of our own. Those turn
/// kdc_timesync off (skew must show, not be hidden), lift libkrb5's limit for skew in a reply (Exchange
/// applies KerberosConfig::clock_skew itself and can say by how much), and let libkrb5 ask no DNS. They
/// are a file in memory: nothing on disk is touched. Not thread-safe, as libkrb5's contexts are not;
/// make one where it is used. Error: no file of `path` can be read (one of several suffices, as for
/// libkrb5), or one is malformed.
Result<Context> make_context(const std::string &path);

} // namespace auth
