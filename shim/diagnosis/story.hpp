// What matters of the decisions of one connection, gathered in one walk.
#pragma once

#include "shim/log/event.hpp"

#include <span>

namespace shim {

/// Pointers are into the trail; null: did not happen.
struct Story {
  const Accepted *accepted = nullptr;
  const CallerProven *caller = nullptr;
  const LoginReceived *login = nullptr;
  const PolicyDecided *policy = nullptr;
  const DnsAnswered *dns_failure = nullptr;
  const TargetResolved *target = nullptr;
  const BrowserAnswered *browser = nullptr; ///< the last answer that names a port
  const PlanMade *plan = nullptr;
  const KdcAnswered *kdc = nullptr;         ///< the last answer
  const KdcAnswered *kdc_refusal = nullptr; ///< the last error that no ticket followed
  const SpnTried *spn_refused = nullptr;    ///< the first of the candidates refused since the last ticket
  const TicketChosen *ticket = nullptr;
  const CredentialsTaken *credentials = nullptr;
  const ServerConnected *connected = nullptr;
  // Of the last server that was connected to:
  const TlsAgreed *tls = nullptr;
  std::vector<const ServerSaid *> messages;
  bool token_sent = false, token_answered = false;

  std::string alias_end;    ///< where the CNAMEs of the target's name lead, empty without one
  bool typed_short = false; ///< the target is a name without a dot

  std::vector<std::string> silent_kdcs; ///< "127.0.0.1:88 (connection refused)"
  std::string spn;
  std::string client; ///< the identity's principal
};

Story read(std::span<const Record> trail);

/// Whether a token was bound to the TLS of the server leg.
bool binding_sent(const Story &story);
/// The message that says why the server refused; 18456 mostly comes last and says least. nullptr: none does.
const ServerSaid *telling_message(const Story &story);

} // namespace shim
