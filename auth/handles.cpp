#include "auth/handles.hpp"

#include <ctime>

namespace auth {

std::string utc_text(Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

std::int64_t rfc_number(krb5_error_code code) {
  // libkrb5's table begins with the protocol's numbers, in order; its own codes follow from 128 on.
  const std::int64_t offset = static_cast<std::int64_t>(code) - ERROR_TABLE_BASE_krb5;
  return offset >= 0 && offset < 128 ? offset : code;
}

Kind kind_of_library_error(krb5_error_code code) {
  switch (code) {
  case 0:
    return Kind::ok;
  case KRB5_KDCREP_SKEW:
    return Kind::clock_skew;
  case KRB5_REALM_UNKNOWN:
  case KRB5_REALM_CANT_RESOLVE:
  case KRB5_CONFIG_NODEFREALM:
  case KRB5_KDC_UNREACH:
    return Kind::realm_unknown;
  case KRB5_CONFIG_ETYPE_NOSUPP:
  case KRB5_PROG_ETYPE_NOSUPP:
    return Kind::etype_refused;
  case KRB5_PREAUTH_FAILED:
    return Kind::preauth_failed;
  case KRB5KRB_AP_ERR_MSG_TYPE: // the reply is no Kerberos message
  case KRB5KRB_AP_ERR_BADVERSION:
  case KRB5_KDCREP_MODIFIED:
  case KRB5_BADMSGTYPE:
    return Kind::malformed;
  case KRB5_FCC_NOFILE:
  case KRB5_CC_NOTFOUND:
  case KRB5_KT_NOTFOUND:
  case KRB5_KT_NAME_TOOLONG:
  case KRB5_CC_UNKNOWN_TYPE:
  case KRB5_KT_UNKNOWN_TYPE:
    return Kind::no_credentials;
  default:
    break;
  }
  if (code >= ERROR_TABLE_BASE_asn1 && code < ERROR_TABLE_BASE_asn1 + 256) return Kind::malformed;
  const std::int64_t number = rfc_number(code);
  return number == code ? Kind::other : kind_of_kdc_error(static_cast<int>(number));
}

std::string library_text(krb5_context context, krb5_error_code code) {
  const char *text = krb5_get_error_message(context, code);
  std::string copy = text ? text : "";
  krb5_free_error_message(context, text);
  return copy;
}

Error library_error(krb5_context context, krb5_error_code code, std::string_view what) {
  return make_error(kind_of_library_error(code), std::string(what) + library_text(context, code),
                    rfc_number(code));
}

std::string unparse(krb5_context context, krb5_const_principal principal) {
  Name name(context);
  if (krb5_unparse_name(context, principal, name.out()) != 0) return {};
  return name.get();
}

} // namespace auth
