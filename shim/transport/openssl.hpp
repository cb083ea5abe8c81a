// OpenSSL as the files of this folder share it: its things with owners, its errors as
// words. Nobody else includes it.
#pragma once

#include "shim/transport/tls.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace shim {

template <auto Free> struct Freed {
  template <class T> void operator()(T *thing) const { Free(thing); }
};
template <class T, auto Free> using Owned = std::unique_ptr<T, Freed<Free>>;

class TlsContext {
public:
  TlsContext(Owned<SSL_CTX, SSL_CTX_free> context, bool accepts, bool verifies, bool lists = false)
      : context_(std::move(context)), accepts_(accepts), verifies_(verifies), lists_(lists) {}
  SSL_CTX *get() const { return context_.get(); }
  bool accepts() const { return accepts_; }   ///< made for the client leg
  bool verifies() const { return verifies_; } ///< the server's certificate has to be good
  /// Who is trusted is written down for this purpose (ca_file), and may be a server itself.
  bool lists_certificates() const { return lists_; }

private:
  Owned<SSL_CTX, SSL_CTX_free> context_;
  bool accepts_, verifies_, lists_;
};

/// OpenSSL's questions in mid-handshake; each finds the session that it is about by
/// itself. (In tls_session.cpp.)
struct TlsQuestions {
  static int is_certificate_good(X509_STORE_CTX *store, void *);
  static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                         const unsigned char *in, unsigned in_size, void *);
};

/// What went wrong first, in OpenSSL's words; its queue of errors is empty afterwards. An
/// alert is told as the peer's.
std::string openssl_error();
/// The same as a fault of a handshake.
TlsError handshake_error();
/// Why a certificate is not good, by X509_V_ERR_…
TlsFault fault_of_verification(int error);

/// "CN=sql1.corp.test,O=Corp" (RFC 2253)
std::string text_of(const X509_NAME *name);
/// Names of a certificate: DNS names and addresses of subjectAltName; without any, the CN. At most 100.
std::vector<std::string> names_of(X509 *certificate);
/// "CN=a, issued by CN=b, valid from 2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z, for x, y"
std::string describe(X509 *certificate);
/// Which names of a certificate count: its CN too (where it has no others), or those of subjectAltName alone.
enum class Names { also_its_cn, alternatives };
/// Whether it is for `name`: a DNS name (a wildcard stands for one whole label) or an address.
bool is_for(X509 *certificate, const std::string &name, Names which);
bool is_address(const std::string &name);

} // namespace shim
