#include "auth/gss.hpp"

namespace auth {

gss_OID_desc krb5_oid{9, const_cast<char *>("\x2a\x86\x48\x86\xf7\x12\x01\x02\x02")};
gss_OID_desc spnego_oid{6, const_cast<char *>("\x2b\x06\x01\x05\x05\x02")};
gss_OID_desc ntlm_oid{10, const_cast<char *>("\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a")};

namespace {

/// GSSAPI's sentences for one code.
std::string status_text(OM_uint32 code, int type, gss_OID mechanism) {
  std::string text;
  OM_uint32 minor = 0, more = 0;
  do {
    GssBuffer line;
    if (GSS_ERROR(gss_display_status(&minor, code, type, mechanism, &more, line.out()))) break;
    text += (text.empty() ? "" : ". ") + line.text();
  } while (more);
  return text;
}

Kind kind_of_major(OM_uint32 major) {
  switch (GSS_ROUTINE_ERROR(major)) {
  case GSS_S_BAD_BINDINGS:
    return Kind::bad_bindings;
  case GSS_S_CREDENTIALS_EXPIRED:
  case GSS_S_CONTEXT_EXPIRED:
    return Kind::ticket_expired;
  case GSS_S_NO_CRED:
    return Kind::no_credentials;
  case GSS_S_BAD_MECH:
  case GSS_S_UNAVAILABLE:
    return Kind::mechanism_missing;
  default:
    return Kind::other;
  }
}

} // namespace

Bytes GssBuffer::bytes() const {
  const auto *begin = static_cast<const std::uint8_t *>(buffer_.value);
  return begin ? Bytes(begin, begin + buffer_.length) : Bytes();
}

std::string GssBuffer::text() const {
  return buffer_.value ? std::string(static_cast<const char *>(buffer_.value), buffer_.length)
                       : std::string();
}

gss_buffer_desc borrowed(std::string_view text) { return {text.size(), const_cast<char *>(text.data())}; }
gss_buffer_desc borrowed(ByteView token) { return {token.size(), const_cast<std::uint8_t *>(token.data())}; }

Error gss_error(OM_uint32 major, OM_uint32 minor, gss_OID mechanism) {
  std::string text = status_text(major, GSS_C_GSS_CODE, mechanism);
  if (minor) text += ": " + status_text(minor, GSS_C_MECH_CODE, mechanism);
  return make_error(kind_of_major(major), std::move(text), major);
}

Result<std::string> holder_of(const GssCredential &credential, gss_OID mechanism) {
  OM_uint32 minor = 0;
  GssName holder;
  GssBuffer text;
  if (const auto major = gss_inquire_cred(&minor, credential.get(), holder.out(), nullptr, nullptr, nullptr);
      GSS_ERROR(major))
    return std::unexpected(gss_error(major, minor, mechanism));
  if (const auto major = gss_display_name(&minor, holder.get(), text.out(), nullptr); GSS_ERROR(major))
    return std::unexpected(gss_error(major, minor, mechanism));
  auto name = text.text();
  if (name.ends_with('\0')) name.pop_back(); // gss-ntlmssp counts the byte that ends a C string
  return name;
}

Result<SessionKey> session_key_of(const GssContext &context, gss_OID mechanism) {
  if (!context.get()) return std::unexpected(make_error(Kind::other, "there is no security context yet"));
  OM_uint32 minor = 0;
  GssBufferSet found;
  if (const auto major =
          gss_inquire_sec_context_by_oid(&minor, context.get(), GSS_C_INQ_SSPI_SESSION_KEY, found.out());
      GSS_ERROR(major))
    return std::unexpected(gss_error(major, minor, mechanism));
  if (!found.get() || found.get()->count == 0 || found.get()->elements[0].length == 0)
    return std::unexpected(make_error(Kind::other, "the mechanism gives no session key away"));
  auto &element = found.get()->elements[0];
  SessionKey key({static_cast<const std::uint8_t *>(element.value), element.length});
  explicit_bzero(element.value, element.length);
  return key;
}

gss_channel_bindings_struct bindings_to(Bytes &channel) {
  gss_channel_bindings_struct bindings{}; // address types and lengths stay zero
  bindings.application_data = {channel.size(), channel.data()};
  return bindings;
}

} // namespace auth
