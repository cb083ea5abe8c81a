#include "shim/transport/openssl.hpp"

#include "shim/transport/asio.hpp"

#include <openssl/x509v3.h>

namespace shim {
namespace {

constexpr std::size_t most_names = 100;

/// Never asks on the terminal for the password of a key.
int no_password(char *, int, int, void *) { return -1; }

/// What holds for both legs.
Owned<SSL_CTX, SSL_CTX_free> make_context(const SSL_METHOD *method, int least_version, int security_level) {
  ERR_clear_error();
  Owned<SSL_CTX, SSL_CTX_free> context(SSL_CTX_new(method));
  if (!context) throw std::bad_alloc();
  auto *raw = context.get();
  // Not what openssl.cnf says: the same everywhere.
  SSL_CTX_set_security_level(raw, security_level);
  SSL_CTX_set_min_proto_version(raw, least_version);
  SSL_CTX_set_max_proto_version(raw, 0);
  // No resumption: a channel binding needs the Finished of a full handshake, and the switch to plaintext
  // leaves no ticket under way.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS |
                               SSL_OP_IGNORE_UNEXPECTED_EOF); // TDS tells by itself where a message ends
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One record a call: a peer that sends nothing but key updates gets no more than its turn.
  SSL_CTX_clear_mode(raw, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_default_passwd_cb(raw, no_password);
  return context;
}

/// The system's trusted issuers, from the one file that holds them all: OpenSSL would read a folder
/// of them, in mid-handshake.
void trust_the_system(SSL_CTX *context) {
  const char *named = std::getenv(X509_get_default_cert_file_env());
  for (const char *file : {named, X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
                           "/etc/pki/tls/certs/ca-bundle.crt"})
    if (file && SSL_CTX_load_verify_file(context, file) == 1) break;
  ERR_clear_error(); // with none of them, nobody is trusted
}

std::string time_text(const ASN1_TIME *time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "?";
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string string_text(const ASN1_STRING *string) {
  unsigned char *utf8 = nullptr;
  auto size = ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return "?";
  std::string text(reinterpret_cast<char *>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

std::string address_text(const ASN1_OCTET_STRING *address) {
  const auto *data = ASN1_STRING_get0_data(address);
  auto size = static_cast<std::size_t>(ASN1_STRING_length(address));
  if (asio::ip::address_v4::bytes_type v4; size == v4.size()) {
    std::copy_n(data, size, v4.begin());
    return asio::ip::address_v4(v4).to_string();
  }
  if (asio::ip::address_v6::bytes_type v6; size == v6.size()) {
    std::copy_n(data, size, v6.begin());
    return asio::ip::address_v6(v6).to_string();
  }
  return "?";
}

std::string joined(const std::vector<std::string> &names) {
  std::string text;
  for (const auto &name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text;
}

} // namespace

std::string openssl_error() {
  auto code = ERR_peek_error();
  std::string text = "unknown error";
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET)
    text = std::string("the peer's alert: ") +
           SSL_alert_desc_string_long(ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET);
  else if (ERR_SYSTEM_ERROR(code))
    text = std::system_category().message(ERR_GET_REASON(code));
  else if (const char *reason = ERR_reason_error_string(code))
    text = reason;
  ERR_clear_error();
  return text;
}

TlsError handshake_error() {
  auto code = ERR_peek_error();
  auto fault = TlsFault::mismatch;
  if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
    switch (ERR_GET_REASON(code)) {
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNSUPPORTED_SSL_VERSION:
    case SSL_R_UNKNOWN_SSL_VERSION:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_INAPPROPRIATE_FALLBACK:
      fault = TlsFault::version;
      break;
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK:
      fault = TlsFault::weak;
      break;
    }
  }
  return {fault, openssl_error()};
}

TlsFault fault_of_verification(int error) {
  switch (error) {
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return TlsFault::name;
  case X509_V_ERR_CERT_HAS_EXPIRED:
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return TlsFault::expired;
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    return TlsFault::self_signed;
  case X509_V_ERR_EE_KEY_TOO_SMALL:
  case X509_V_ERR_CA_KEY_TOO_SMALL:
  case X509_V_ERR_CA_MD_TOO_WEAK:
    return TlsFault::weak;
  }
  return TlsFault::untrusted;
}

std::string text_of(const X509_NAME *name) {
  Owned<BIO, BIO_free> memory(BIO_new(BIO_s_mem()));
  if (!memory) throw std::bad_alloc();
  X509_NAME_print_ex(memory.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char *data = nullptr;
  auto size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::vector<std::string> names_of(X509 *certificate) {
  std::vector<std::string> names;
  Owned<GENERAL_NAMES, GENERAL_NAMES_free> alternatives(
      static_cast<GENERAL_NAMES *>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()) && names.size() < most_names; ++i) {
    const auto *one = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (one->type == GEN_DNS) names.push_back(string_text(one->d.dNSName));
    if (one->type == GEN_IPADD) names.push_back(address_text(one->d.iPAddress));
  }
  if (!names.empty()) return names;
  auto *subject = X509_get_subject_name(certificate);
  auto at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) names.push_back(string_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  return names;
}

std::string describe(X509 *certificate) {
  auto names = joined(names_of(certificate));
  return text_of(X509_get_subject_name(certificate)) + ", issued by " +
         text_of(X509_get_issuer_name(certificate)) + ", valid from " +
         time_text(X509_get0_notBefore(certificate)) + " to " + time_text(X509_get0_notAfter(certificate)) +
         ", for " + (names.empty() ? "no name" : names);
}

bool is_address(const std::string &name) {
  boost::system::error_code error;
  asio::ip::make_address(name, error);
  return !error;
}

bool is_for(X509 *certificate, const std::string &name, Names which) {
  if (is_address(name)) return X509_check_ip_asc(certificate, name.c_str(), 0) == 1;
  if (name.empty()) return false;
  const unsigned subject = which == Names::alternatives ? X509_CHECK_FLAG_NEVER_CHECK_SUBJECT : 0;
  return X509_check_host(certificate, name.data(), name.size(),
                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | subject, nullptr) == 1;
}

std::expected<TlsContextPtr, std::string> make_accepting_tls(const ServerTlsOptions &options) {
  auto context = make_context(TLS_server_method(), TLS1_2_VERSION, 2);
  auto wrong = [](const std::filesystem::path &file) {
    return std::unexpected(file.string() + ": " + openssl_error());
  };
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.certificate.c_str()) != 1)
    return wrong(options.certificate);
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return wrong(options.key);
  if (SSL_CTX_check_private_key(context.get()) != 1) return wrong(options.key);
  SSL_CTX_set_alpn_select_cb(context.get(), TlsQuestions::select_alpn, nullptr);
  return std::make_shared<TlsContext>(std::move(context), true, false);
}

std::expected<TlsContextPtr, std::string> make_connecting_tls(const ClientTlsOptions &options) {
  auto context =
      make_context(TLS_client_method(), options.tls10 ? TLS1_VERSION : TLS1_2_VERSION, options.tls10 ? 0 : 2);
  SSL_CTX_set_cert_verify_callback(context.get(), TlsQuestions::is_certificate_good, nullptr);
  if (options.verify && options.ca_file.empty()) trust_the_system(context.get());
  if (options.verify && !options.ca_file.empty()) {
    if (SSL_CTX_load_verify_file(context.get(), options.ca_file.c_str()) != 1)
      return std::unexpected(options.ca_file.string() + ": " + openssl_error());
    // Whoever lists a certificate himself means it, also where it has not issued itself.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
  }
  return std::make_shared<TlsContext>(std::move(context), false, options.verify, !options.ca_file.empty());
}

} // namespace shim
