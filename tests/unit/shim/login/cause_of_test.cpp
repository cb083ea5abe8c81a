#include "shim/login/cause_of.hpp"

#include <gtest/gtest.h>

namespace shim_test {
namespace {

using namespace shim;
using auth::Kind;

TicketError ticket_error(Kind kind, std::optional<Cause> cause = {}) {
  TicketError error;
  error.error.kind = kind;
  error.cause = cause;
  return error;
}

TEST(CauseOf, TicketError) {
  const std::pair<Kind, Cause> rows[] = {
      {Kind::service_unknown, Cause::spn_missing},
      {Kind::service_not_unique, Cause::spn_duplicate},
      {Kind::client_unknown, Cause::no_credentials},
      {Kind::preauth_failed, Cause::preauth_failed},
      {Kind::keytab_mismatch, Cause::keytab_mismatch},
      {Kind::client_revoked, Cause::account_revoked},
      {Kind::policy, Cause::account_revoked},
      {Kind::key_expired, Cause::password_expired},
      {Kind::clock_skew, Cause::clock_skew},
      {Kind::ticket_expired, Cause::tgt_expired},
      {Kind::etype_refused, Cause::etype_refused},
      {Kind::wrong_realm, Cause::realm_wrong},
      {Kind::realm_unknown, Cause::realm_unknown},
      {Kind::no_credentials, Cause::no_credentials},
      {Kind::mechanism_missing, Cause::mechanism_missing},
      {Kind::malformed, Cause::protocol_violation},
      {Kind::other, Cause::kdc_unreachable},
  };
  for (const auto &[kind, cause] : rows) {
    EXPECT_EQ(id(cause_of_ticket_error(ticket_error(kind))), id(cause)) << auth::to_string(kind);
    for (const Cause own : {Cause::kdc_unreachable, Cause::kdc_tcp_blocked, Cause::kdc_proxy_unsupported})
      EXPECT_EQ(id(cause_of_ticket_error(ticket_error(kind, own))), id(own)) << auth::to_string(kind);
  }
}

TEST(CauseOf, ContextError) {
  const std::pair<Kind, Cause> rows[] = {
      {Kind::key_wrong, Cause::spn_wrong_account},       {Kind::key_version_wrong, Cause::server_key_old},
      {Kind::ticket_expired, Cause::clock_skew},         {Kind::clock_skew, Cause::clock_skew},
      {Kind::etype_refused, Cause::etype_refused},       {Kind::bad_bindings, Cause::channel_binding_refused},
      {Kind::mutual_failed, Cause::mutual_auth_missing}, {Kind::mechanism_missing, Cause::mechanism_missing},
      {Kind::no_credentials, Cause::no_credentials},     {Kind::malformed, Cause::protocol_violation},
      {Kind::other, Cause::protocol_violation},          {Kind::no_mic, Cause::ntlm_no_mic},
  };
  for (const auto &[kind, cause] : rows)
    EXPECT_EQ(id(cause_of_context_error(kind)), id(cause)) << auth::to_string(kind);
}

TEST(CauseOf, ContextErrorIsNeverAMissingSpn) {
  // There was a ticket: the SPN exists, and no further spelling, mechanism or password may be tried on
  // the ground that it does not.
  for (int kind = 0; kind <= static_cast<int>(Kind::other); ++kind)
    EXPECT_NE(cause_of_context_error(static_cast<Kind>(kind)), Cause::spn_missing) << kind;
}

TEST(CauseOf, TlsFaultsAreCausesOfTheirOwn) {
  const std::pair<TlsFault, Cause> rows[] = {
      {TlsFault::name, Cause::certificate_name},
      {TlsFault::untrusted, Cause::certificate_untrusted},
      {TlsFault::expired, Cause::certificate_expired},
      {TlsFault::self_signed, Cause::certificate_self_signed},
      {TlsFault::weak, Cause::certificate_weak},
      {TlsFault::version, Cause::tls_version_refused},
      {TlsFault::mismatch, Cause::tls_mismatch},
      {TlsFault::closed, Cause::tls_mismatch},
  };
  for (const auto &[fault, cause] : rows)
    EXPECT_EQ(id(cause_of_tls_fault(fault)), id(cause));
}

TEST(CauseOf, ServerError) {
  const std::pair<std::uint32_t, Cause> rows[] = {
      {18452, Cause::login_untrusted},  {18456, Cause::login_denied},  {4060, Cause::database_denied},
      {954, Cause::database_denied},    {955, Cause::database_denied}, {976, Cause::database_denied},
      {983, Cause::database_denied},    {17806, Cause::login_denied},  {0, Cause::login_denied},
      {4294967295, Cause::login_denied}};
  for (const auto &[number, cause] : rows)
    EXPECT_EQ(id(cause_of_server_error(number)), id(cause)) << number;
}

} // namespace
} // namespace shim_test
