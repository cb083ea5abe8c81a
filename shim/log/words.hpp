// The closed sets that events speak in. Each value has one spelling, which is what stands in the log.
#pragma once

#include "auth/words.hpp"
#include "config/causes.hpp"

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

} // namespace shim
