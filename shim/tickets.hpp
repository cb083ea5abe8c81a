// Tickets for logins: what the store does not hold is fetched from a KDC, by one login for all that wait for the same.
#pragma once

#include "auth/exchange.hpp"
#include "auth/spn.hpp"
#include "auth/ticket_store.hpp"
#include "shim/identities.hpp"
#include "shim/log/event.hpp"
#include "shim/net/dns.hpp"
#include "shim/net/kdc.hpp"

#include <functional>
#include <set>

namespace shim {

/// A ticket, or why there is none. `unreachable`: no KDC of the realm could be asked, and `error.text` says what each of them did.
struct TicketError {
  auth::Error error;
  bool unreachable = false;
};
struct AcquiredTicket {
  auth::TicketPtr ticket;
  auth::TicketKey key; ///< to drop it by, should the server reject it
  bool cached = false;
};
using TicketResult = std::expected<AcquiredTicket, TicketError>;

/// What a fetch needs of the thread and the login it runs for.
struct FetchContext {
  Resolver &resolver;
  auth::SearchPolicy search;
  Millis kdc_limit{2000}; ///< for one message to the KDCs of a realm
  Millis dns_limit{2000};
  std::function<void(Event)> emit; ///< kdc.answered, dns.answered, trace
  bool trace = false;              ///< whether libkrb5's own trace is wanted
};

/// Shared by all threads. One request in flight for each key: the others wait for its outcome (also its failure), each under its own deadline.
class Tickets {
public:
  /// `refusals`: how long a KDC's refusal is kept; 0: not at all. `background` takes the events of renewals, which belong to no connection; it is called from
  /// any worker thread.
  Tickets(auth::KerberosConfig kerberos, Millis refusals, std::function<void(Event)> background)
      : kerberos_(std::move(kerberos)), refusals_(refusals), background_(std::move(background)) {}

  const auth::KerberosConfig &kerberos() const { return kerberos_; }

  /// A service ticket of `identity` for `spn` (with realm). From the store where it is good for another minute; past half of its life it is fetched anew in the
  /// background, while the old one goes on serving.
  Task<TicketResult> acquire(LoadedIdentity identity, std::string spn, FetchContext context);
  /// A ticket that a server rejected: out of the store at once. Somebody else's newer one stays.
  void rejected(const AcquiredTicket &ticket) { store_.drop(ticket.key, ticket.ticket); }
  /// Forgets every ticket and every kept refusal (SIGHUP).
  void forget();
  std::size_t size() const { return store_.size(); }

private:
  using Outcome = std::expected<auth::TicketPtr, TicketError>;
  /// One fetch under way, and who waits for it (each on its own thread).
  struct Flight;
  /// `spn` empty: the identity's TGT. `cached` tells whether the store had it.
  Task<Outcome> obtain(LoadedIdentity identity, std::string spn, FetchContext context, bool &cached);
  Task<Outcome> fetch(LoadedIdentity identity, std::string spn, FetchContext context);
  Task<Outcome> run(std::unique_ptr<auth::Exchange> exchange, FetchContext context);
  Task<> renew(LoadedIdentity identity, std::string spn, FetchContext context);
  /// Null: the caller has the claim and must `land`. Else somebody else's flight.
  std::shared_ptr<Flight> join(const auth::TicketKey &key);
  void land(const auth::TicketKey &key, std::optional<Outcome> outcome);
  /// Tickets of other generations of the same identity serve nobody any more: they go when one of this generation comes. (A ccache that is no file has a new
  /// generation at each login.) Under `mutex_`.
  void forget_earlier(const auth::TicketKey &key);
  struct Landing;

  auth::KerberosConfig kerberos_;
  Millis refusals_;
  std::function<void(Event)> background_;
  auth::TicketStore store_;
  std::mutex mutex_; // of the three below
  std::map<auth::TicketKey, std::shared_ptr<Flight>> flights_;
  std::set<auth::TicketKey> stored_;
  struct Refusal {
    TicketError error;
    std::chrono::steady_clock::time_point until;
  };
  std::map<auth::TicketKey, Refusal> refused_;
};

/// The KDCs of a realm as addresses: names are resolved. Unresolvable ones are left out.
Task<std::vector<KdcEndpoint>> find_kdcs(const auth::KerberosConfig &kerberos, const std::string &realm,
                                         FetchContext &context);

/// A DNS answer as the decision log tells it.
DnsAnswered to_event(const auth::DnsAnswer &answer);

} // namespace shim
