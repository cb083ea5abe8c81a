#include "config/fallback.hpp"

#include <algorithm>
#include <array>

namespace config {

namespace {

constexpr std::string_view no_attempt_yet = "it ends a login before any attempt is made";
constexpr std::string_view same_account = "the next attempt is for the same account, and could lock it";
constexpr std::string_view rejected = "the server had a ticket and rejected it, which is no missing SPN";
constexpr std::string_view unproven = "whoever answers is not proven to be the server";
constexpr std::string_view answered = "the server has answered, and would answer the next attempt too";
constexpr std::string_view same_protection = "the next attempt has no other protection";
constexpr std::string_view ours = "it is about the application's login, not about the server's";

constexpr auto rules = std::to_array<FallbackRule>({
    {"spn-missing", ""},
    {"alias-not-canonical", ""},
    {"ptr-wrong", ""},
    {"address-without-spn", ""},
    {"suffix-wrong", ""},
    {"spn-duplicate", ""},
    {"etype-refused", ""},
    {"realm-unknown", ""},
    {"realm-wrong", ""},
    {"kdc-unreachable", ""},
    {"kdc-tcp-blocked", ""},
    {"kdc-proxy-unsupported", ""},
    {"clock-skew", ""},
    {"no-credentials", ""},
    {"tgt-expired", ""},
    {"mechanism-missing", ""},
    {"connection-refused", ""},
    {"connection-timeout", ""},
    {"port-changed", ""},

    {"name-not-found", no_attempt_yet},
    {"canonical-name-foreign", no_attempt_yet},
    {"browser-silent", no_attempt_yet},
    {"keytab-mismatch", same_account},
    {"preauth-failed", same_account},
    {"password-throttled", same_account},
    {"account-revoked", same_account},
    {"password-expired", same_account},
    {"spn-wrong-account", rejected},
    {"server-key-old", rejected},
    {"mutual-auth-missing", unproven},
    {"certificate-name", unproven},
    {"certificate-untrusted", unproven},
    {"certificate-expired", unproven},
    {"certificate-self-signed", unproven},
    {"certificate-weak", unproven},
    {"redirect-refused", unproven},
    {"ntlm-no-mic", unproven},
    {"ntlm-untrusted", same_account},
    {"login-untrusted", answered},
    {"login-denied", answered},
    {"anonymous-logon", answered},
    {"database-denied", answered},
    {"server-closed", answered},
    {"protocol-violation", answered},
    {"mars-refused", answered},
    {"tls-mismatch", same_protection},
    {"tls-version-refused", same_protection},
    {"server-requires-tls", same_protection},
    {"server-without-tls", same_protection},
    {"channel-binding-refused", same_protection},
    {"client-requires-tls", ours},
    {"listener-requires-tls", ours},
    {"tds-too-old", ours},
    {"fedauth-not-supported", ours},
    {"caller-unknown", ours},
    {"caller-denied", ours},
    {"client-auth-refused", ours},
    {"route-denied", ours},
    {"identity-denied", ours},
    {"limit", "nothing is left to make another attempt with"},
    {"log-unavailable", "no attempt is made that cannot be logged"},
    {"deadline", "no time is left for another attempt"},
});

} // namespace

std::span<const FallbackRule> fallback_rules() { return rules; }

const FallbackRule *find_fallback_rule(std::string_view cause) {
  const auto found = std::ranges::find(rules, cause, &FallbackRule::cause);
  return found == rules.end() ? nullptr : &*found;
}

} // namespace config
