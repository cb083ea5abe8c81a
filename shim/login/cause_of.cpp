#include "shim/login/cause_of.hpp"

namespace shim {

Cause cause_of_ticket_error(const TicketError &error) {
  if (error.cause) return *error.cause;
  return cause_of(error.error.kind).value_or(Cause::kdc_unreachable); // an answer that is none
}

Cause cause_of_context_error(auth::Kind kind) {
  using enum auth::Kind;
  switch (kind) {
  case ticket_expired:
    return Cause::clock_skew; // the server says so of a ticket that is good by our clock and the KDC's
  case clock_skew:
  case key_wrong:
  case key_version_wrong:
  case etype_refused:
  case bad_bindings:
  case mutual_failed:
  case no_mic:
  case mechanism_missing:
  case no_credentials:
    return *cause_of(kind);
  default:
    return Cause::protocol_violation; // a KDC's words have no place here: there was a ticket
  }
}

Cause cause_of_tls_fault(TlsFault fault) {
  switch (fault) {
  case TlsFault::name:
    return Cause::certificate_name;
  case TlsFault::untrusted:
    return Cause::certificate_untrusted;
  case TlsFault::expired:
    return Cause::certificate_expired;
  case TlsFault::self_signed:
    return Cause::certificate_self_signed;
  case TlsFault::weak:
    return Cause::certificate_weak;
  case TlsFault::version:
    return Cause::tls_version_refused;
  case TlsFault::closed:
  case TlsFault::mismatch:
    break;
  }
  return Cause::tls_mismatch;
}

Cause cause_of_server_error(std::uint32_t number) {
  switch (number) {
  case 18452:
    return Cause::login_untrusted;
  case 954: // it is a mirror
  case 955: // a mirror without quorum
  case 976: // a replica that may not be read
  case 983: // a replica that is neither primary nor secondary
  case 4060:
    return Cause::database_denied;
  default:
    return Cause::login_denied; // 18456 and every other refusal after authentication
  }
}

std::string words_of(const auth::Error &error) {
  return error.said.empty() ? error.text : error.text + " (" + error.said + ")";
}

} // namespace shim
