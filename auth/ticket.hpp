// Tickets as immutable values.
#pragma once

#include "auth/error.hpp"

#include <memory>

namespace auth {

/// A ticket with its session key, as marshalled libkrb5 credentials: `credentials` is secret and wiped on
/// destruction. Share it as `shared_ptr<const Ticket>`; it never changes.
struct Ticket {
  std::string client; ///< "svc-reports@CORP.TEST"
  std::string server; ///< "MSSQLSvc/sql1.corp.test:1433@CORP.TEST", or krbtgt/…
  std::string realm;  ///< of the KDC that issued it
  int etype = 0;      ///< of the ticket's encrypted part
  int kvno = 0;       ///< of the service's key
  Time starts{};
  Time expires{};
  Bytes credentials;

  Ticket() = default;
  Ticket(Ticket &&) = default;
  Ticket &operator=(Ticket &&other) noexcept; ///< wipes what it replaces
  ~Ticket();
};
using TicketPtr = std::shared_ptr<const Ticket>;

/// Writes the ticket alone into a new file of a credential cache (mode 0600), for another program:
/// KRB5CCNAME=FILE:path. Error: libkrb5's, about the file.
Result<void> save_ccache(const Ticket &ticket, const std::string &path);

/// "aes256-cts-hmac-sha1-96" for 18, …; the number where unknown.
std::string etype_name(int etype);

} // namespace auth
