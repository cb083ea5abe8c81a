// Which cause it is: what the failing step says, sharpened by what came before.
#pragma once

#include "auth/error.hpp"
#include "shim/diagnosis/failure.hpp"
#include "shim/diagnosis/story.hpp"

#include <optional>

namespace shim {

/// What a refusal of this kind means. nullopt: it is no refusal (ok, preauth-required), or no cause says it
/// better than the step's own.
std::optional<Cause> cause_of(auth::Kind kind);

/// The cause may be sharpened by what came before:
/// - a server that closes after our first token, without a word, could not use the ticket:
///   spn-wrong-account, not server-closed;
/// - a server's last word before it says no names the cause: 4060 and 4064 database-denied, 18452
///   login-untrusted, 18456 login-denied, or anonymous-logon where it names that account;
/// - 18452 to a token that no channel binding went with (no TLS, or TLS 1.3) is channel-binding-refused;
/// - a KDC that answers 37 and is not followed by a ticket is clock-skew, whatever the step made of it;
/// - a ticket that was refused for a reason that spn.tried tells;
/// - an SPN that is unknown because its host is an address, a PTR's, an alias that was taken as typed, or a
///   short name completed by a suffix of no known realm: address-without-spn, ptr-wrong,
///   alias-not-canonical, suffix-wrong;
/// - a computed SPN that is unknown where SQL Browser tells another port of the instance than before
///   (`port_before`) is port-changed.
Cause sharpen(const Story &story, const Failure &failure);

} // namespace shim
