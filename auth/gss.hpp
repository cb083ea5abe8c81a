// GSSAPI's objects, owned, and its errors. Internal to auth/.
#pragma once

#include "auth/session_key.hpp"

#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>

namespace auth {

extern gss_OID_desc krb5_oid;   ///< 1.2.840.113554.1.2.2, RFC 4121
extern gss_OID_desc spnego_oid; ///< 1.3.6.1.5.5.2, RFC 4178
extern gss_OID_desc ntlm_oid;   ///< 1.3.6.1.4.1.311.2.2.10, MS-SPNG 3.1.5.2

/// Owns one GSSAPI object.
template <class T, auto Release> class Gss {
public:
  Gss() = default;
  Gss(const Gss &) = delete;
  Gss &operator=(const Gss &) = delete;
  ~Gss() {
    OM_uint32 minor = 0;
    if (object_) Release(&minor, &object_);
  }
  T get() const { return object_; }
  T *out() { return &object_; }

private:
  T object_{};
};

inline OM_uint32 delete_context(OM_uint32 *minor, gss_ctx_id_t *context) {
  return gss_delete_sec_context(minor, context, GSS_C_NO_BUFFER);
}

using GssName = Gss<gss_name_t, gss_release_name>;
using GssCredential = Gss<gss_cred_id_t, gss_release_cred>;
using GssContext = Gss<gss_ctx_id_t, delete_context>;
using GssBufferSet = Gss<gss_buffer_set_t, gss_release_buffer_set>;

class GssBuffer {
public:
  GssBuffer() = default;
  GssBuffer(const GssBuffer &) = delete;
  GssBuffer &operator=(const GssBuffer &) = delete;
  ~GssBuffer() {
    OM_uint32 minor = 0;
    gss_release_buffer(&minor, &buffer_);
  }
  gss_buffer_t out() { return &buffer_; }
  Bytes bytes() const;
  std::string text() const;

private:
  gss_buffer_desc buffer_ = GSS_C_EMPTY_BUFFER;
};

/// Borrows `text` as GSSAPI wants bytes; it writes nothing into them.
gss_buffer_desc borrowed(std::string_view text);
/// The same of a token; an empty one is none.
gss_buffer_desc borrowed(ByteView token);

/// The error behind a major code that GSS_ERROR tells of. The minor code gives a sentence only: the mechanism
/// glue gives codes numbers of its own, so it cannot be compared with anything.
Error gss_error(OM_uint32 major, OM_uint32 minor, gss_OID mechanism);
/// Whom a credential would log in as, as GSSAPI tells it.
Result<std::string> holder_of(const GssCredential &credential, gss_OID mechanism);
/// Of a complete context. As SSPI gives it: for Kerberos the subkey that the acceptor chose, where it did.
Result<SessionKey> session_key_of(const GssContext &context, gss_OID mechanism);
/// Bindings to a TLS channel: `channel` is the application data, and no addresses (RFC
/// 4121 4.1.1.2). Borrows it.
gss_channel_bindings_struct bindings_to(Bytes &channel);

} // namespace auth
