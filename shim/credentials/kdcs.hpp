// The KDCs of a realm: who lists them, where they are, and which of them answered lately.
#pragma once

#include "auth/kdc_list.hpp"
#include "shim/credentials/kdc.hpp"
#include "shim/log/event.hpp"
#include "shim/names/dns.hpp"

#include <filesystem>
#include <functional>
#include <mutex>

namespace shim {

/// What a fetch needs of the thread and the login it runs for.
struct FetchContext {
  Resolver &resolver;
  auth::SearchPolicy search;
  Millis kdc_limit{2000}; ///< for one message to the KDCs of a realm
  Millis dns_limit{2000};
  std::function<void(Event)> emit; ///< kdc.answered, dns.answered, trace
  bool trace = false;              ///< whether libkrb5's own trace is wanted
};

/// Where sssd writes what it knows of KDCs.
inline const std::filesystem::path sssd_folder = "/var/lib/sss/pubconf";

/// Thread-safe.
class Kdcs {
public:
  using Clock = std::chrono::steady_clock;

  explicit Kdcs(auth::KerberosConfig kerberos, std::filesystem::path kdcinfo = sssd_folder)
      : kerberos_(std::move(kerberos)), kdcinfo_(std::move(kdcinfo)) {}

  const auth::KerberosConfig &kerberos() const { return kerberos_; }

  struct Found {
    std::string source; ///< who lists them: "sssd", "krb5.conf", "dns"; empty: nobody lists any
    std::vector<KdcEndpoint> endpoints; ///< in the order to try them
    std::size_t trusted = 0;            ///< so many of them, from the front, have not failed lately
    /// Those that cannot be tried, and why: "kdc3.corp.test:88" has no address, a URL is a KDC proxy.
    std::vector<std::pair<std::string, std::string>> untried;
    bool proxies_only = false; ///< whoever is listed is a KDC proxy
    std::string why_none;      ///< where nobody lists any: who was asked
  };
  /// As libkrb5 looks for them, the first who lists any is believed alone: sssd's kdcinfo.REALM, then
  /// krb5.conf, then (unless dns_lookup_kdc is false) the SRV records of _kerberos._tcp.REALM. Names become
  /// addresses, at most `auth::most_kdcs` in all, within the context's dns_limit. For a minute the KDC that
  /// answered last stands first, and those that failed stand last.
  Task<Found> find(const std::string &realm, FetchContext &context);

  void answered(const std::string &realm, const asio::ip::tcp::endpoint &kdc);
  void failed(const asio::ip::tcp::endpoint &kdc);
  /// Forgets who answered and who failed (SIGHUP).
  void forget();

  static constexpr std::chrono::seconds kept{60};

private:
  std::vector<auth::KdcAddress> listed_by_sssd(const std::string &realm) const;
  void order(const std::string &realm, Found &found);

  auth::KerberosConfig kerberos_;
  std::filesystem::path kdcinfo_;
  std::mutex mutex_; // of the two below
  std::map<std::string, std::pair<asio::ip::tcp::endpoint, Clock::time_point>> preferred_;
  std::map<asio::ip::tcp::endpoint, Clock::time_point> failed_;
};

/// A DNS answer as the decision log tells it.
DnsAnswered to_event(const auth::DnsAnswer &answer);

} // namespace shim
