// The one place where tickets are kept. Never waits.
#pragma once

#include "auth/ticket.hpp"

#include <map>
#include <mutex>

namespace auth {

/// `spn` empty: the identity's TGT, which never leaves the process.
struct TicketKey {
  std::string identity;
  std::string realm;
  std::string spn;
  auto operator<=>(const TicketKey &) const = default;
};

/// Thread-safe: every function takes one mutex for the time of a map operation. Tickets are immutable and
/// shared; a reader keeps its own after `drop` or `put`.
class TicketStore {
public:
  struct Found {
    TicketPtr ticket;   ///< null: nothing usable
    bool renew = false; ///< still good, but past the point where it should be fetched anew (half of its life)
  };
  /// A ticket that is good at `now` for at least `margin` longer. With less than 30 s left GSSAPI would look
  /// for another one itself, and block.
  Found lookup(const TicketKey &key, Time now, std::chrono::seconds margin = std::chrono::seconds(60)) const;
  void put(const TicketKey &key, TicketPtr ticket);
  /// Takes `ticket` out, if it is still the one stored: a ticket that a server rejected must not be
  /// used again, a newer one may.
  void drop(const TicketKey &key, const TicketPtr &ticket);
  void clear();
  std::size_t size() const;

private:
  mutable std::mutex mutex_;
  std::map<TicketKey, TicketPtr> tickets_;
};

} // namespace auth
