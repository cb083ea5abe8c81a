// What an error of a library, of TLS or of the server means. Pure.
#pragma once

#include "shim/credentials/tickets.hpp"
#include "shim/diagnosis/sharpen.hpp"
#include "shim/transport/tls.hpp"

namespace shim {

/// The cause that an error of the ticket's exchange means, and that an error of the security context with the
/// server means: never spn_missing, since there was a ticket.
Cause cause_of_ticket_error(const TicketError &error);
Cause cause_of_context_error(auth::Kind kind);
/// The cause that a handshake with the server that failed means.
Cause cause_of_tls_fault(TlsFault fault);
/// The cause that the server's own refusal means, by its ERROR number.
Cause cause_of_server_error(std::uint32_t number);

/// "what the library said (what the KDC said)"
std::string words_of(const auth::Error &error);

} // namespace shim
