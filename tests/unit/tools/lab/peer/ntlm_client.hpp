// A client's NTLM for tests: gss-ntlmssp by way of GSSAPI, which the lab's acceptor shares no code with. It
// needs neither a KDC nor a network.
#pragma once

#include "tds/bytes.hpp"

#include <gssapi/gssapi_ext.h>
#include <stdexcept>
#include <string>
#if __has_feature(address_sanitizer)
#include <sanitizer/lsan_interface.h>
#endif

namespace lab_test {

struct NtlmWish {
  std::string name = "CORP\\svc-reports";
  std::string password = "Reports.Passw0rd";
  tds::Bytes bindings = {};           ///< GSSAPI's application data; empty: the login is bound to nothing
  OM_uint32 flags = GSS_C_INTEG_FLAG; ///< without signing gss-ntlmssp sends no MIC
  bool mic = true;                    ///< gss-ntlmssp is asked for one, as MIT's SPNEGO asks it
  std::string target = "MSSQLSvc@sql1.corp.test:1433";
};

class NtlmClient {
public:
  explicit NtlmClient(NtlmWish wish = {}) : wish_(std::move(wish)) {
    gss_name_t user = import(wish_.name, GSS_C_NT_USER_NAME);
    gss_key_value_element_desc element{"password", wish_.password.c_str()};
    const gss_key_value_set_desc store{1, &element};
    gss_OID_set_desc mechanisms{1, mechanism()};
    OM_uint32 minor = 0, ignored = 0;
#if __has_feature(address_sanitizer)
    // gss-ntlmssp 1.2.0 leaks 6 kB of OpenSSL with each password (EVP_MD_fetch for MD4).
    const __lsan::ScopedDisabler not_ours;
#endif
    const auto major = gss_acquire_cred_from(&minor, user, GSS_C_INDEFINITE, &mechanisms, GSS_C_INITIATE,
                                             &store, &credential_, nullptr, nullptr);
    gss_release_name(&ignored, &user);
    if (GSS_ERROR(major)) throw std::runtime_error("no NTLM: the package gss-ntlmssp is missing");
    target_ = import(wish_.target, GSS_C_NT_HOSTBASED_SERVICE);
  }
  ~NtlmClient() {
    OM_uint32 minor = 0;
    gss_delete_sec_context(&minor, &context_, GSS_C_NO_BUFFER);
    gss_release_name(&minor, &target_);
    gss_release_cred(&minor, &credential_);
  }
  NtlmClient(const NtlmClient &) = delete;
  NtlmClient &operator=(const NtlmClient &) = delete;

  /// Takes the server's token (none at first) and gives the next one. Throws when the library refuses it.
  tds::Bytes step(tds::ByteView server = {}) {
    gss_buffer_desc in{server.size(), const_cast<std::uint8_t *>(server.data())}, out{0, nullptr};
    gss_channel_bindings_struct bindings{};
    bindings.application_data = {wish_.bindings.size(), wish_.bindings.data()};
    OM_uint32 minor = 0;
    const auto major =
        gss_init_sec_context(&minor, credential_, &context_, target_, mechanism(), wish_.flags, 0,
                             wish_.bindings.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                             server.empty() ? GSS_C_NO_BUFFER : &in, nullptr, &out, nullptr, nullptr);
    const auto token = taken(out);
    if (GSS_ERROR(major)) throw std::runtime_error("gss-ntlmssp refuses the server's token");
    // 1.3.6.1.4.1.7165.655.1.2: whoever asks between the tokens tells that a MIC is welcome. Without it
    // a raw token never has one.
    if (server.empty() && wish_.mic) inquire("\x2b\x06\x01\x04\x01\xb7\x7d\x85\x0f\x01\x02", 11);
    return token;
  }
  /// What the library exports as its session key.
  tds::Bytes session_key() {
    return inquire(static_cast<const char *>(GSS_C_INQ_SSPI_SESSION_KEY->elements),
                   GSS_C_INQ_SSPI_SESSION_KEY->length);
  }

private:
  static gss_OID mechanism() { // 1.3.6.1.4.1.311.2.2.10
    static gss_OID_desc oid{10, const_cast<char *>("\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a")};
    return &oid;
  }
  static gss_name_t import(std::string text, gss_OID type) {
    gss_buffer_desc buffer{text.size(), text.data()};
    gss_name_t name = GSS_C_NO_NAME;
    OM_uint32 minor = 0;
    if (GSS_ERROR(gss_import_name(&minor, &buffer, type, &name)))
      throw std::runtime_error("gss_import_name failed");
    return name;
  }
  static tds::Bytes taken(gss_buffer_desc &buffer) {
    const auto *bytes = static_cast<const std::uint8_t *>(buffer.value);
    tds::Bytes result(bytes, bytes + buffer.length);
    OM_uint32 minor = 0;
    gss_release_buffer(&minor, &buffer);
    return result;
  }
  tds::Bytes inquire(const char *oid, OM_uint32 size) {
    gss_OID_desc what{size, const_cast<char *>(oid)};
    gss_buffer_set_t answers = GSS_C_NO_BUFFER_SET;
    OM_uint32 minor = 0;
    if (GSS_ERROR(gss_inquire_sec_context_by_oid(&minor, context_, &what, &answers)) || !answers ||
        !answers->count)
      throw std::runtime_error("gss-ntlmssp does not answer the inquiry");
    const auto *bytes = static_cast<const std::uint8_t *>(answers->elements[0].value);
    tds::Bytes result(bytes, bytes + answers->elements[0].length);
    gss_release_buffer_set(&minor, &answers);
    return result;
  }

  NtlmWish wish_;
  gss_cred_id_t credential_ = GSS_C_NO_CREDENTIAL;
  gss_name_t target_ = GSS_C_NO_NAME;
  gss_ctx_id_t context_ = GSS_C_NO_CONTEXT;
};

} // namespace lab_test
