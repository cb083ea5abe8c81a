#include "shim/diagnosis/sharpen.hpp"

#include "auth/spn.hpp"

#include <utility>

namespace shim {

std::optional<Cause> cause_of(auth::Kind kind) {
  switch (kind) {
  case auth::Kind::service_unknown:
    return Cause::spn_missing;
  case auth::Kind::service_not_unique:
    return Cause::spn_duplicate;
  case auth::Kind::client_unknown:
    return Cause::no_credentials;
  case auth::Kind::preauth_failed:
    return Cause::preauth_failed;
  case auth::Kind::client_revoked:
  case auth::Kind::policy:
    return Cause::account_revoked;
  case auth::Kind::key_expired:
    return Cause::password_expired;
  case auth::Kind::clock_skew:
    return Cause::clock_skew;
  case auth::Kind::ticket_expired:
    return Cause::tgt_expired;
  case auth::Kind::etype_refused:
    return Cause::etype_refused;
  case auth::Kind::wrong_realm:
    return Cause::realm_wrong;
  case auth::Kind::realm_unknown:
    return Cause::realm_unknown;
  case auth::Kind::key_wrong:
    return Cause::spn_wrong_account;
  case auth::Kind::key_version_wrong:
    return Cause::server_key_old;
  case auth::Kind::bad_bindings:
    return Cause::channel_binding_refused;
  case auth::Kind::no_credentials:
    return Cause::no_credentials;
  case auth::Kind::keytab_mismatch:
    return Cause::keytab_mismatch;
  case auth::Kind::mutual_failed:
    return Cause::mutual_auth_missing;
  case auth::Kind::malformed:
    return Cause::protocol_violation;
  case auth::Kind::no_mic:
    return Cause::ntlm_no_mic;
  case auth::Kind::mechanism_missing:
    return Cause::mechanism_missing;
  case auth::Kind::ok:
  case auth::Kind::preauth_required:
  case auth::Kind::other:
    return std::nullopt;
  }
  std::unreachable();
}

namespace {

std::optional<Cause> cause_of_message(const ServerSaid &message, const Story &story) {
  switch (message.number) {
  case 4060:
  case 4064:
    return Cause::database_denied;
  case 18452:
    // A server with Extended Protection says this to a token without a binding, and to one of an
    // account that it does not trust.
    return story.token_sent && !binding_sent(story) ? Cause::channel_binding_refused : Cause::login_untrusted;
  case 18456:
    return message.text.contains("ANONYMOUS LOGON") ? Cause::anonymous_logon : Cause::login_denied;
  default:
    return std::nullopt;
  }
}

std::optional<Cause> cause_of_answer(const SpnAnswer &answer) {
  if (const auto *kind = std::get_if<auth::Kind>(&answer.is)) return cause_of(*kind);
  const auto *cause = std::get_if<Cause>(&answer.is);
  return cause ? std::optional(*cause) : std::nullopt;
}

/// Why the KDC knows no such SPN, where its host is the fault of names. The first candidate is judged: it is
/// the one that should have been right.
std::optional<Cause> cause_of_name(const Story &story) {
  if (!story.spn_refused || !story.target || story.target->by.empty()) return std::nullopt; // an old log
  const SpnTried &tried = *story.spn_refused;
  if (tried.why == auth::Why::explicit_spn) return std::nullopt;
  if (tried.odd && tried.odd->shape == auth::Shape::address) return Cause::address_without_spn;
  if (tried.odd && tried.odd->came_by_ptr(auth::spn_host(tried.spn))) return Cause::ptr_wrong;
  const auto by = auth::find_procedure(story.target->by); // none for a driver's
  if (!story.alias_end.empty() && (by == auth::Procedure::as_typed || by == auth::Procedure::short_only) &&
      story.alias_end != story.target->fqdn)
    return Cause::alias_not_canonical;
  const bool realm_known =
      tried.realm_from == auth::RealmFrom::domain_realm || tried.realm_from == auth::RealmFrom::srv;
  const bool completed = story.typed_short && story.target->fqdn.contains('.') && by != auth::Procedure::map;
  if (completed && !realm_known) return Cause::suffix_wrong;
  return std::nullopt;
}

} // namespace

Cause sharpen(const Story &story, const Failure &failure) {
  switch (failure.cause) {
  case Cause::server_closed:
  case Cause::login_denied:
  case Cause::login_untrusted:
  case Cause::anonymous_logon:
  case Cause::database_denied:
    if (const ServerSaid *message = telling_message(story))
      return cause_of_message(*message, story).value_or(failure.cause);
    if (failure.cause == Cause::server_closed && story.messages.empty() && story.token_sent &&
        !story.token_answered)
      return Cause::spn_wrong_account;
    return failure.cause;
  default:
    break;
  }
  if (failure.step != Step::ticket) return failure.cause;
  if (story.kdc_refusal && story.kdc_refusal->code == auth::krb::skew) return Cause::clock_skew;
  Cause cause = failure.cause;
  if (story.spn_refused && cause != Cause::deadline)
    cause = cause_of_answer(story.spn_refused->kind).value_or(cause);
  if (cause != Cause::spn_missing) return cause;
  if (const auto of_name = cause_of_name(story)) return *of_name;
  // An SPN that is written has its port from nobody but who wrote it.
  const bool computed = !story.spn_refused || story.spn_refused->why != auth::Why::explicit_spn;
  return computed && story.browser && story.browser->port_before != 0 ? Cause::port_changed : cause;
}

} // namespace shim
