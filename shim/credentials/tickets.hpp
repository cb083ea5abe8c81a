// Tickets for logins: what the store does not hold is fetched from a KDC, by one login for
// all that wait for the same.
#pragma once

#include "auth/exchange.hpp"
#include "auth/spn.hpp"
#include "auth/ticket_store.hpp"
#include "shim/credentials/identities.hpp"
#include "shim/credentials/kdcs.hpp"
#include "shim/credentials/throttle.hpp"
#include "shim/log/words.hpp"
#include "shim/transport/single_flight.hpp"

#include <set>

namespace shim {

/// Why there is no ticket. `cause` stands where it was no KDC that refused: kdc-unreachable,
/// kdc-tcp-blocked, kdc-proxy-unsupported (`error.text` says what each KDC did), password-throttled.
/// nullopt: `error.kind` tells.
struct TicketError {
  auth::Error error;
  std::optional<Cause> cause = {};
  bool kept = false; ///< a KDC said so in an earlier login
};
struct AcquiredTicket {
  auth::TicketPtr ticket;
  auth::TicketKey key; ///< to drop it by, should the server reject it
  bool cached = false;
};
using TicketResult = std::expected<AcquiredTicket, TicketError>;

/// Shared by all threads. One request in flight for each key: the others wait for its outcome (also its
/// failure), each under its own deadline.
class Tickets {
public:
  /// `refusals`: how long a KDC's refusal is kept; 0: not at all. `background` takes the events of renewals,
  /// which belong to no connection; it is called from any worker thread.
  Tickets(auth::KerberosConfig kerberos, Millis refusals, std::function<void(Event)> background,
          std::filesystem::path kdcinfo = sssd_folder)
      : kdcs_(std::move(kerberos), std::move(kdcinfo)), refusals_(refusals),
        background_(std::move(background)) {}

  const auth::KerberosConfig &kerberos() const { return kdcs_.kerberos(); }

  /// A service ticket of `identity` for `spn` (with realm). From the store where it is good for another
  /// minute; past half of its life it is fetched anew in the background, while the old one goes on serving.
  Task<TicketResult> acquire(LoadedIdentity identity, std::string spn, FetchContext context);
  /// A ticket that a server rejected: out of the store at once. Somebody else's newer one stays.
  void rejected(const AcquiredTicket &ticket) { store_.drop(ticket.key, ticket.ticket); }
  /// Forgets whatever is kept of that identity, tickets, TGT and refusals; what is still being fetched for it
  /// is not kept when it comes.
  void discard(const LoadedIdentity &identity);
  /// The right to offer a principal's password: while one login has it, the others wait.
  using Turns = SingleFlight<std::string, std::monostate>;
  using Turn = Turns::Claim;
  /// NTLM offers a password to a server, which asks a domain controller: its refusals count with those of the
  /// KDCs. Waits until no other login offers a password of that principal; hold what comes until the server
  /// has answered, and tell what it said. Where the same password was found good nobody waits, and
  /// nullopt comes. Error: why it is not to be offered at this time.
  Task<std::expected<std::optional<Turn>, TicketError>> password_turn(LoadedIdentity identity);
  void password_good(const LoadedIdentity &identity) { throttle_.good(*identity.identity); }
  void password_refused(const LoadedIdentity &identity) { throttle_.refused(*identity.identity); }
  /// Forgets every ticket, every kept refusal, refused passwords, and which KDC answered or failed (SIGHUP).
  void forget();
  std::size_t size() const { return store_.size(); }

private:
  using Outcome = std::expected<auth::TicketPtr, TicketError>;
  using Flights = SingleFlight<auth::TicketKey, Outcome>;
  /// `spn` empty: the identity's TGT. `cached` tells whether the store had it.
  Task<Outcome> obtain(LoadedIdentity identity, std::string spn, FetchContext context, bool &cached);
  Task<Outcome> fetch(LoadedIdentity identity, std::string spn, FetchContext context);
  std::optional<TicketError> password_shut(const auth::Identity &identity);
  /// The TGT: for a ccache its own, else by an AS exchange, unless the KDC has
  /// refused this identity too often.
  Task<Outcome> fetch_tgt(const LoadedIdentity &identity, FetchContext context, auth::Trace trace);
  Task<Outcome> run(const LoadedIdentity &identity, std::unique_ptr<auth::Exchange> exchange,
                    FetchContext context);
  /// Why no KDC of `realm` could be asked.
  Task<TicketError> unreachable(const std::string &principal, const std::string &realm,
                                const Kdcs::Found &kdcs, const std::vector<KdcSilent> &silent, bool tcp_works,
                                FetchContext &context);
  Task<> renew(LoadedIdentity identity, std::string spn, FetchContext context);
  /// nullopt: somebody else had it, until now.
  Task<std::optional<Turn>> turn_of(std::string principal);
  /// Keeps the outcome, unless it was forgotten meanwhile, and hands it to all who wait.
  void land(Flights::Claim &claim, Outcome outcome);
  /// A refusal that an earlier login met, and that is still kept.
  std::optional<TicketError> kept_refusal(const auth::TicketKey &key);
  /// Tickets of other generations of the same identity serve nobody any more: they go when one of this
  /// generation comes. (A ccache that is no file has a new generation at each login.) Under `mutex_`.
  void forget_earlier(const auth::TicketKey &key);

  Kdcs kdcs_;
  Throttle throttle_;
  Millis refusals_;
  std::function<void(Event)> background_;
  auth::TicketStore store_;
  Flights flights_;
  Turns turns_;      // by principal
  std::mutex mutex_; // of the two below
  std::set<auth::TicketKey> stored_;
  struct Refusal {
    TicketError error;
    std::chrono::steady_clock::time_point until;
  };
  std::map<auth::TicketKey, Refusal> refused_;
};

} // namespace shim
