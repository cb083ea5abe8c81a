#include "tools/lab/peer/tls.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace lab {
namespace {

constexpr std::string_view tds8 = "\x07tds/8.0"; // with its length, as ALPN writes it

/// OpenSSL's reasons, oldest first; empties its queue.
std::string reasons() {
  std::string text;
  while (const auto code = ERR_get_error()) {
    std::array<char, 256> line;
    ERR_error_string_n(code, line.data(), line.size());
    text += (text.empty() ? "" : "; ") + std::string(line.data());
  }
  return text.empty() ? "no reason given" : text;
}

int version_number(const std::string &name) {
  if (name == "1.0") return TLS1_VERSION;
  if (name == "1.1") return TLS1_1_VERSION;
  if (name == "1.2") return TLS1_2_VERSION;
  if (name == "1.3") return TLS1_3_VERSION;
  throw LabError(fmt::format("TLS version \"{}\": one of 1.0, 1.1, 1.2, 1.3", name));
}

int choose_alpn(SSL *, const unsigned char **chosen, unsigned char *size, const unsigned char *offered,
                unsigned length, void *) {
  unsigned char *found = nullptr;
  const auto *ours = reinterpret_cast<const unsigned char *>(tds8.data());
  if (SSL_select_next_proto(&found, size, ours, static_cast<unsigned>(tds8.size()), offered, length) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL; // RFC 7301 3.2
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

} // namespace

TlsContext::TlsContext(const TlsOptions &options) : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
  auto *context = context_.get();
  ERR_clear_error();
  const bool good = context && SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0") &&
                    SSL_CTX_set_min_proto_version(context, version_number(options.min)) &&
                    SSL_CTX_set_max_proto_version(context, version_number(options.max)) &&
                    SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) == 1 &&
                    SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context) == 1;
  if (!good)
    throw LabError(fmt::format("the peer's TLS with {} and {}: {}", options.certificate.string(),
                               options.key.string(), reasons()));
  // One record for each TDS packet, so no empty fragments; no second handshake on a connection,
  // and none that is cut short.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
}

TlsSession::TlsSession(const TlsContext &context) : ssl_(SSL_new(context.context_.get()), SSL_free) {
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  if (!ssl_ || !in || !out) throw TlsError("TLS: no memory");
  SSL_set_bio(ssl_.get(), in, out); // both are its own from now on
  SSL_set_accept_state(ssl_.get());
}

void TlsSession::feed(tds::ByteView records) {
  BIO_write(SSL_get_rbio(ssl_.get()), records.data(), static_cast<int>(records.size()));
}

bool TlsSession::handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return true;
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return false;
  throw TlsError("TLS handshake: " + reasons());
}

tds::Bytes TlsSession::read() {
  tds::Bytes plain;
  std::array<std::uint8_t, 16 * 1024> some;
  while (true) {
    ERR_clear_error();
    const int size = SSL_read(ssl_.get(), some.data(), static_cast<int>(some.size()));
    if (size > 0) {
      plain.insert(plain.end(), some.begin(), some.begin() + size);
      continue;
    }
    const int why = SSL_get_error(ssl_.get(), size);
    ended_ = why == SSL_ERROR_ZERO_RETURN;
    if (ended_ || why == SSL_ERROR_WANT_READ) return plain;
    throw TlsError("TLS: " + reasons());
  }
}

void TlsSession::write(tds::ByteView plain) {
  ERR_clear_error();
  if (plain.empty()) return;
  const int size = SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  if (size != static_cast<int>(plain.size())) throw TlsError("TLS: " + reasons());
}

void TlsSession::close() { SSL_shutdown(ssl_.get()); }

tds::Bytes TlsSession::output() {
  auto *out = SSL_get_wbio(ssl_.get());
  tds::Bytes bytes(BIO_ctrl_pending(out));
  if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

std::string TlsSession::server_name() const {
  const char *name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
  return name ? name : "";
}

std::string TlsSession::version() const {
  return SSL_is_init_finished(ssl_.get()) ? SSL_get_version(ssl_.get()) : "";
}

std::string TlsSession::cipher() const {
  const auto *cipher = SSL_get_current_cipher(ssl_.get());
  return cipher ? SSL_CIPHER_get_name(cipher) : "";
}

std::string TlsSession::alpn() const {
  const unsigned char *name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char *>(name), size};
}

tds::Bytes TlsSession::client_finished() const {
  if (!SSL_is_init_finished(ssl_.get()) || SSL_version(ssl_.get()) > TLS1_2_VERSION) return {};
  tds::Bytes finished(EVP_MAX_MD_SIZE);
  finished.resize(SSL_get_peer_finished(ssl_.get(), finished.data(), finished.size()));
  return finished;
}

} // namespace lab
