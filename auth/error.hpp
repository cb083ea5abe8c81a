// What Kerberos and GSSAPI said, sorted into kinds that a diagnosis can use. Both texts are kept:
// the library's and the KDC's.
#pragma once

#include "auth/words.hpp"

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace auth {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using Time = std::chrono::system_clock::time_point;

/// What a KRB-ERROR, a libkrb5 or a GSSAPI code means to us. Numbers in comments are
/// RFC 4120 7.5.9 error codes.
enum class Kind {
  ok,
  service_unknown,    ///< 7 S_PRINCIPAL_UNKNOWN, 27 MUST_USE_USER2USER
  service_not_unique, ///< 8
  client_unknown,     ///< 6
  preauth_failed,     ///< 24, 31 from an AS exchange
  preauth_required,   ///< 25: no error, a round of the AS exchange
  client_revoked,     ///< 18
  key_expired,        ///< 23: password expired
  policy,             ///< 12
  clock_skew,         ///< 37, and libkrb5's own KDCREP_SKEW
  ticket_expired,     ///< 32, and an expired TGT found locally
  etype_refused,      ///< 14, and no key of a usable type locally
  wrong_realm,        ///< 68, or a KDC that does not serve the realm
  realm_unknown,      ///< nothing tells which realm, or where its KDC is
  key_wrong,          ///< 41 MODIFIED, 31 BAD_INTEGRITY, 35 NOT_US from the server
  key_version_wrong,  ///< 44 BADKEYVER, 45 NOKEY from the server
  bad_bindings,       ///< GSS_S_BAD_BINDINGS
  no_credentials,     ///< keytab, ccache or password file absent, unreadable or without the principal
  /// the keytab's key is not the KDC's (preauth failed or reply undecryptable with a keytab)
  keytab_mismatch,
  mutual_failed, ///< the server's proof was wrong
  malformed,     ///< a reply that cannot be decoded
  no_mic,        ///< NTLM messages that could be changed on their way
  mechanism_missing,
  other,
};
/// Stable spelling for the decision log.
constexpr auto word_table(std::type_identity<Kind>) {
  return std::to_array<std::pair<Kind, std::string_view>>({
      {Kind::ok, "ok"},
      {Kind::service_unknown, "service-unknown"},
      {Kind::service_not_unique, "service-not-unique"},
      {Kind::client_unknown, "client-unknown"},
      {Kind::preauth_failed, "preauth-failed"},
      {Kind::preauth_required, "preauth-required"},
      {Kind::client_revoked, "client-revoked"},
      {Kind::key_expired, "key-expired"},
      {Kind::policy, "policy"},
      {Kind::clock_skew, "clock-skew"},
      {Kind::ticket_expired, "ticket-expired"},
      {Kind::etype_refused, "etype-refused"},
      {Kind::wrong_realm, "wrong-realm"},
      {Kind::realm_unknown, "realm-unknown"},
      {Kind::key_wrong, "key-wrong"},
      {Kind::key_version_wrong, "key-version-wrong"},
      {Kind::bad_bindings, "bad-bindings"},
      {Kind::no_credentials, "no-credentials"},
      {Kind::keytab_mismatch, "keytab-mismatch"},
      {Kind::mutual_failed, "mutual-failed"},
      {Kind::malformed, "malformed"},
      {Kind::no_mic, "no-mic"},
      {Kind::mechanism_missing, "mechanism-missing"},
      {Kind::other, "other"},
  });
}
constexpr std::string_view to_string(Kind kind) { return spelling(kind); }

/// The error numbers of RFC 4120 7.5.9 and RFC 6113 that we decide by.
namespace krb {
inline constexpr int preauth_failed = 24;   ///< the KDC has counted it
inline constexpr int preauth_required = 25; ///< a round of the AS exchange, no error
inline constexpr int skew = 37;
inline constexpr int more_preauth_data_required = 91; ///< a round of the AS exchange, no error
} // namespace krb

/// `code`: the RFC 4120 number where there is one (7, 37, …), else libkrb5's or GSSAPI's own. `text`: the
/// library's sentence. `said`: the KDC's or server's e-text, empty where none; it came from the network and
/// is untrusted. `server_time`: from the KRB-ERROR.
struct Error {
  Kind kind = Kind::other;
  std::int64_t code = 0;
  std::string text = {};
  std::string said = {};
  std::optional<Time> server_time = {};
};
/// One that no peer has said a word to.
inline Error make_error(Kind kind, std::string text, std::int64_t code = 0) {
  return {.kind = kind, .code = code, .text = std::move(text)};
}

/// Without a type: it only tells whether something went well.
template <class T = void> using Result = std::expected<T, Error>;

/// Kind of an RFC 4120 error number in an answer of the KDC / of the server.
Kind kind_of_kdc_error(int code);
Kind kind_of_server_error(int code);

/// A KRB-ERROR (RFC 4120 5.9.1).
struct KrbError {
  int code = 0;
  std::string said;
  Time server_time{};
};
/// Decodes a KRB-ERROR message as a KDC sends it. nullopt: not a KRB-ERROR, or malformed.
std::optional<KrbError> decode_krb_error(ByteView message);
/// Finds a KRB-ERROR in a server's context token, raw (RFC 4121: OID, 03 00, KRB-ERROR) or inside SPNEGO.
/// Codes from GSSAPI cannot be used for this: the mechanism glue renumbers them. nullopt: there is none.
std::optional<KrbError> find_krb_error(ByteView token);
/// Whether a server's token holds an AP-REP (RFC 4120 5.5.2), wrapped in the same ways: what is wrong with it
/// is then the server's proof.
bool holds_ap_rep(ByteView token);

} // namespace auth
