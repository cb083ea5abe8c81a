#include "auth/error.hpp"

#include "auth/der.hpp"

#include <algorithm>

namespace auth {

Kind kind_of_kdc_error(int code) {
  switch (code) {
  case 0:
    return Kind::ok;
  case 6:
    return Kind::client_unknown; // KDC_ERR_C_PRINCIPAL_UNKNOWN
  case 7:                        // KDC_ERR_S_PRINCIPAL_UNKNOWN
  case 27:
    return Kind::service_unknown; // KDC_ERR_MUST_USE_USER2USER: the account may not be a service
  case 8:
    return Kind::service_not_unique; // KDC_ERR_PRINCIPAL_NOT_UNIQUE
  case 12:
    return Kind::policy; // KDC_ERR_POLICY
  case 14:
    return Kind::etype_refused; // KDC_ERR_ETYPE_NOSUPP
  case 1:                       // KDC_ERR_NAME_EXP: the account has ended
  case 18:
    return Kind::client_revoked; // KDC_ERR_CLIENT_REVOKED
  case 23:
    return Kind::key_expired; // KDC_ERR_KEY_EXPIRED
  case 24:                    // KDC_ERR_PREAUTH_FAILED
  case 31:
    return Kind::preauth_failed; // KRB_AP_ERR_BAD_INTEGRITY
  case 25:
    return Kind::preauth_required; // KDC_ERR_PREAUTH_REQUIRED
  case 32:
    return Kind::ticket_expired; // KRB_AP_ERR_TKT_EXPIRED
  case 37:
    return Kind::clock_skew; // KRB_AP_ERR_SKEW
  case 68:
    return Kind::wrong_realm; // KDC_ERR_WRONG_REALM
  default:
    return Kind::other;
  }
}

Kind kind_of_server_error(int code) {
  switch (code) {
  case 0:
    return Kind::ok;
  case 31: // KRB_AP_ERR_BAD_INTEGRITY: MIT, when the ticket does not decrypt
  case 35: // KRB_AP_ERR_NOT_US
  case 41:
    return Kind::key_wrong; // KRB_AP_ERR_MODIFIED: Windows, for the same
  case 44:                  // KRB_AP_ERR_BADKEYVER
  case 45:
    return Kind::key_version_wrong; // KRB_AP_ERR_NOKEY
  case 32:
    return Kind::ticket_expired; // KRB_AP_ERR_TKT_EXPIRED
  case 37:
    return Kind::clock_skew; // KRB_AP_ERR_SKEW
  case 12:
    return Kind::policy; // KDC_ERR_POLICY
  case 14:
    return Kind::etype_refused; // KDC_ERR_ETYPE_NOSUPP
  default:
    return Kind::other;
  }
}

std::optional<KrbError> decode_krb_error(ByteView message) {
  // KRB-ERROR ::= [APPLICATION 30] SEQUENCE { [0] pvno, [1] msg-type, [2] ctime?, [3] cusec?, [4] stime,
  // [5] susec, [6] error-code,
  //               [7] crealm?, [8] cname?, [9] realm, [10] sname, [11] e-text?, [12] e-data? }
  der::Reader outer(message);
  const auto application = outer.take(der::krb_error);
  if (!application || !outer.empty()) return std::nullopt;
  der::Reader wrapper(*application);
  const auto body = wrapper.take(der::sequence);
  if (!body || !wrapper.empty()) return std::nullopt;
  der::Reader fields(*body);

  const auto tag = [](int number) { return static_cast<std::uint8_t>(der::context_0 + number); };
  const auto integer = [&](int number) -> std::optional<std::int32_t> {
    const auto contents = der::take_explicit(fields, tag(number), der::integer);
    return contents ? der::to_integer(*contents) : std::nullopt;
  };
  const auto skip = [&](int number) { return fields.take(tag(number)).has_value(); };

  if (integer(0) != 5 || integer(1) != 30) return std::nullopt;
  skip(2);
  skip(3);
  const auto stime = der::take_explicit(fields, tag(4), der::generalized_time);
  const auto seconds = stime ? der::to_time(*stime) : std::nullopt;
  const auto micros = integer(5);
  const auto code = integer(6);
  if (!seconds || !micros || *micros < 0 || *micros > 999'999 || !code) return std::nullopt;
  skip(7);
  skip(8);
  if (!skip(9) || !skip(10)) return std::nullopt;

  KrbError error{.code = *code, .said = {}, .server_time = *seconds + std::chrono::microseconds(*micros)};
  if (fields.peek() == tag(11)) {
    const auto text = der::take_explicit(fields, tag(11), der::general_string);
    if (!text) return std::nullopt;
    error.said.assign(text->begin(), text->end());
    // MIT counts the terminating zero of its own e-text as a part of it.
    error.said.erase(std::find(error.said.begin(), error.said.end(), '\0'), error.said.end());
  }
  skip(12);
  if (!fields.empty()) return std::nullopt;
  return error;
}

namespace {

/// The Kerberos message with this tag inside a server's context token, however it is wrapped.
std::optional<ByteView> find_message(ByteView token, std::uint8_t tag) {
  if (token.empty()) return std::nullopt;
  if (token[0] == tag) return token;
  der::Reader reader(token);

  // RFC 4121 4.1: 60 len, mechanism OID, two bytes of token id (02 00 AP-REP, 03 00 KRB-ERROR), message.
  if (reader.peek() == der::application_0) {
    const auto framed = reader.take(der::application_0);
    if (!framed || !reader.empty()) return std::nullopt;
    der::Reader inside(*framed);
    if (!inside.take(der::oid)) return std::nullopt;
    const ByteView rest = inside.rest();
    if (rest.size() < 3 || rest[2] != tag) return std::nullopt;
    return rest.subspan(2);
  }

  // RFC 4178 4.2.2: NegTokenResp ::= [1] SEQUENCE { [0] negState?, [1] supportedMech?, [2]
  // responseToken?, [3] mechListMIC? }
  const auto response = reader.take(der::context_0 + 1);
  if (!response || !reader.empty()) return std::nullopt;
  der::Reader wrapper(*response);
  const auto body = wrapper.take(der::sequence);
  if (!body || !wrapper.empty()) return std::nullopt;
  der::Reader fields(*body);
  fields.take(der::context_0);
  fields.take(der::context_0 + 1);
  const auto inner = der::take_explicit(fields, der::context_0 + 2, der::octet_string);
  // One level of SPNEGO only: a token nested in itself must not make us recurse.
  if (!inner || inner->empty() || (*inner)[0] == der::context_0 + 1) return std::nullopt;
  return find_message(*inner, tag);
}

} // namespace

std::optional<KrbError> find_krb_error(ByteView token) {
  const auto message = find_message(token, der::krb_error);
  return message ? decode_krb_error(*message) : std::nullopt;
}

bool holds_ap_rep(ByteView token) { return find_message(token, der::krb_ap_rep).has_value(); }

} // namespace auth
