// The closed sets that events speak in. Each value has one spelling, which is what stands in the log.
#pragma once

#include "auth/error.hpp"
#include "auth/spn.hpp"
#include "auth/words.hpp"
#include "config/causes.hpp"

#include <variant>

namespace shim {

using auth::meaning;
using auth::spelling;

// The catalogue of failures, which all of shim speaks of.
using config::all_causes;
using config::Cause;
using config::CauseEntry;
using config::Fault;
using config::find_cause;

/// The steps of a connection, in their order: where it was when it was refused.
enum class Step { accept, caller, client_login, policy, resolve, ticket, connect, server_login };
constexpr auto word_table(std::type_identity<Step>) {
  return std::to_array<std::pair<Step, std::string_view>>({
      {Step::accept, "accept"},
      {Step::caller, "caller"},
      {Step::client_login, "client-login"},
      {Step::policy, "policy"},
      {Step::resolve, "resolve"},
      {Step::ticket, "ticket"},
      {Step::connect, "connect"},
      {Step::server_login, "server-login"},
  });
}

/// Which connection: the application's, or the one to SQL Server.
enum class Side { client, server };
constexpr auto word_table(std::type_identity<Side>) {
  return std::to_array<std::pair<Side, std::string_view>>({
      {Side::client, "client"},
      {Side::server, "server"},
  });
}

enum class PolicyOutcome { allow, deny };
constexpr auto word_table(std::type_identity<PolicyOutcome>) {
  return std::to_array<std::pair<PolicyOutcome, std::string_view>>({
      {PolicyOutcome::allow, "allow"},
      {PolicyOutcome::deny, "deny"},
  });
}

/// What a LOGIN7 asks for: a login by user and password, or an integrated one.
enum class LoginKind { sql, integrated };
constexpr auto word_table(std::type_identity<LoginKind>) {
  return std::to_array<std::pair<LoginKind, std::string_view>>({
      {LoginKind::sql, "sql"},
      {LoginKind::integrated, "integrated"},
  });
}

/// Whose credentials they are, where they are not the configuration's own; ntlm: a password that NTLM takes.
enum class CredentialsFrom { client, caller, ntlm };
constexpr auto word_table(std::type_identity<CredentialsFrom>) {
  return std::to_array<std::pair<CredentialsFrom, std::string_view>>({
      {CredentialsFrom::client, "client"},
      {CredentialsFrom::caller, "caller"},
      {CredentialsFrom::ntlm, "ntlm"},
  });
}

/// What came of asking for a ticket.
enum class Tried { ticket, refused, skipped };
constexpr auto word_table(std::type_identity<Tried>) {
  return std::to_array<std::pair<Tried, std::string_view>>({
      {Tried::ticket, "ticket"},
      {Tried::refused, "refused"},
      {Tried::skipped, "skipped"},
  });
}

/// Why an SPN has no ticket: the kind of what a KDC or a library said, or a cause that they have no word for.
/// Spelled by the one or the other; those words that both have mean the same.
struct SpnAnswer {
  std::variant<std::monostate, auth::Kind, Cause> is;
  SpnAnswer() = default;
  SpnAnswer(auth::Kind kind) : is(kind) {}
  SpnAnswer(Cause cause) : is(cause) {}
};
std::string_view spelled(const SpnAnswer &answer); ///< empty: nothing is said

} // namespace shim
