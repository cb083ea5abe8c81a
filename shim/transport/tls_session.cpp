#include "shim/transport/tls_session.hpp"

#include <algorithm>
#include <array>

namespace shim {
namespace {

/// A flight of ours is never that long: a certificate with its issuers.
constexpr std::size_t largest_flight = 256 * 1024;

constexpr std::array<unsigned char, 8> alpn_tds8{7, 't', 'd', 's', '/', '8', '.', '0'};

/// What OpenSSL says after the handshake, as an error code: for a log.
class TlsCategory final : public boost::system::error_category {
public:
  const char *name() const noexcept override { return "tls"; }
  std::string message(int value) const override {
    const char *reason = ERR_reason_error_string(static_cast<unsigned>(value));
    return std::string("TLS: ") + (reason ? reason : "error");
  }
};

} // namespace

// ---- what OpenSSL reads and writes ----

/// OpenSSL's calls of a BIO. No exception may pass through OpenSSL: without memory the call fails.
struct TlsBioCalls {
  static TlsBio &of(BIO *bio) { return *static_cast<TlsBio *>(BIO_get_data(bio)); }

  static int read(BIO *bio, char *data, int size) {
    BIO_clear_retry_flags(bio);
    auto &ours = of(bio);
    try {
      auto count = ours.read(data, size);
      if (count < 0 && ours.blocked_) BIO_set_retry_read(bio);
      return count;
    } catch (const std::bad_alloc &) {
      return ours.fail("out of memory");
    }
  }
  static int write(BIO *bio, const char *data, int size) {
    BIO_clear_retry_flags(bio);
    auto &ours = of(bio);
    try {
      auto count = ours.write(data, size);
      if (count < 0 && ours.blocked_) BIO_set_retry_write(bio);
      return count;
    } catch (const std::bad_alloc &) {
      return ours.fail("out of memory");
    }
  }
  static long control(BIO *bio, int command, long, void *) {
    try {
      return of(bio).control(bio, command);
    } catch (const std::bad_alloc &) {
      return of(bio).fail("out of memory");
    }
  }
  static BIO_METHOD *method() {
    static BIO_METHOD *made = [] {
      auto *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sqlshim wire");
      if (!method) throw std::bad_alloc();
      BIO_meth_set_read(method, read);
      BIO_meth_set_write(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

TlsBio::TlsBio(Wire &below, bool within_prelogin, std::vector<std::uint8_t> received)
    : below_(below), within_prelogin_(within_prelogin), received_(std::move(received)) {}

BIO *TlsBio::make_bio() {
  auto *bio = BIO_new(TlsBioCalls::method());
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  return bio;
}

std::expected<void, std::string> TlsBio::end_handshake() {
  if (received_used_ < received_.size() || unwrap_.within_packet())
    return std::unexpected("bytes in clear behind the end of the TLS handshake");
  shaking_ = within_prelogin_ = false;
  std::vector<std::uint8_t>().swap(received_);
  received_used_ = 0;
  std::vector<std::uint8_t>().swap(flight_);
  std::vector<std::uint8_t>().swap(packets_);
  packets_sent_ = 0;
  return {};
}

int TlsBio::fail(std::string violation) {
  blocked_ = false;
  violation_ = std::move(violation);
  return -1;
}

int TlsBio::receive(char *data, std::size_t size) {
  blocked_ = false;
  if (received_used_ < received_.size()) {
    auto count = std::min(size, received_.size() - received_used_);
    std::copy_n(received_.begin() + static_cast<std::ptrdiff_t>(received_used_), count, data);
    received_used_ += count;
    return static_cast<int>(count);
  }
  const auto moved = below_.read(data, size);
  if (moved.error == asio::error::eof) {
    at_end_ = true;
    return 0;
  }
  if (moved.count > 0) return static_cast<int>(moved.count);
  blocked_ = moved.wait != Wait::none;
  if (!blocked_) error_ = moved.error;
  return -1;
}

int TlsBio::read(char *data, int size) {
  auto wanted = static_cast<std::size_t>(size);
  if (!within_prelogin_) return receive(data, wanted);
  while (auto missing = unwrap_.header_missing()) {
    std::array<char, tds::packet_header_size> header;
    auto count = receive(header.data(), missing);
    if (count <= 0) return count;
    auto fed = unwrap_.feed_header(
        {reinterpret_cast<std::uint8_t *>(header.data()), static_cast<std::size_t>(count)});
    if (!fed) return fail(std::move(fed.error()));
  }
  auto count = receive(data, std::min(wanted, unwrap_.payload_left()));
  if (count > 0) unwrap_.took_payload(static_cast<std::size_t>(count));
  return count;
}

int TlsBio::send(const char *data, std::size_t size) {
  blocked_ = false;
  const auto moved = below_.write(data, size);
  if (moved.count > 0) return static_cast<int>(moved.count);
  blocked_ = moved.wait != Wait::none;
  if (blocked_) return -1;
  // While they shake hands, the peer may have said why it went: the next read tells,
  // or shows the error again.
  if (shaking_) return static_cast<int>(size);
  error_ = moved.error;
  return -1;
}

int TlsBio::write(const char *data, int size) {
  auto count = static_cast<std::size_t>(size);
  if (!within_prelogin_) return send(data, count);
  if (flight_.size() + count > largest_flight) return fail("our own part of the TLS handshake is too long");
  flight_.insert(flight_.end(), data, data + size);
  blocked_ = false;
  return size;
}

bool TlsBio::flush() {
  blocked_ = false;
  if (!flight_.empty()) {
    auto more = wrap_in_prelogin(flight_);
    packets_.insert(packets_.end(), more.begin(), more.end());
    flight_.clear();
  }
  while (packets_sent_ < packets_.size()) {
    auto count = send(reinterpret_cast<const char *>(packets_.data()) + packets_sent_,
                      packets_.size() - packets_sent_);
    if (count < 0) return false;
    packets_sent_ += static_cast<std::size_t>(count);
  }
  packets_.clear();
  packets_sent_ = 0;
  return true;
}

long TlsBio::control(BIO *bio, int command) {
  switch (command) {
  case BIO_CTRL_FLUSH:
    BIO_clear_retry_flags(bio);
    if (flush()) return 1;
    if (blocked_) BIO_set_retry_write(bio);
    return -1;
  case BIO_CTRL_EOF:
    return at_end_;
  case BIO_CTRL_WPENDING:
    return static_cast<long>(packets_.size() - packets_sent_ + flight_.size());
  }
  return 0;
}

// ---- the session ----

TlsLayer::TlsLayer(Wire &below, TlsHandshake wanted)
    : context_(std::move(wanted.context)), accept_(wanted.accept), within_prelogin_(wanted.within_prelogin),
      names_(std::move(wanted.names)), below_(below),
      bio_(below, wanted.within_prelogin, std::move(wanted.received)), ssl_(SSL_new(context_->get())) {
  auto *ssl = ssl_.get();
  if (!ssl) throw std::bad_alloc();
  SSL_set_app_data(ssl, this);
  auto *bio = bio_.make_bio();
  SSL_set_bio(ssl, bio, bio);
  // Within PRELOGIN clients hang on TLS 1.3: what it sends after the handshake they take
  // for PRELOGIN packets still.
  if (within_prelogin_ || wanted.bound) SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
  if (accept_) {
    SSL_set_accept_state(ssl);
    return;
  }
  SSL_set_verify(ssl, context_->verifies() ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!within_prelogin_) SSL_set_alpn_protos(ssl, alpn_tds8.data(), alpn_tds8.size());
  if (!wanted.server_name.empty() && !is_address(wanted.server_name))
    SSL_set_tlsext_host_name(ssl, wanted.server_name.c_str());
  SSL_set_connect_state(ssl);
}

int TlsQuestions::select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                              const unsigned char *in, unsigned in_size, void *) {
  if (static_cast<TlsLayer *>(SSL_get_app_data(ssl))->within_prelogin_) return SSL_TLSEXT_ERR_NOACK;
  unsigned char *selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, alpn_tds8.data(), alpn_tds8.size(), in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

int TlsQuestions::is_certificate_good(X509_STORE_CTX *store, void *) {
  auto *ssl = static_cast<SSL *>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  try {
    return static_cast<TlsLayer *>(SSL_get_app_data(ssl))->certificate_is_good(store) ? 1 : 0;
  } catch (const std::bad_alloc &) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
    return 0;
  }
}

bool TlsLayer::certificate_is_good(X509_STORE_CTX *store) {
  if (!context_->verifies()) return true;
  auto *certificate = X509_STORE_CTX_get0_cert(store);
  if (X509_verify_cert(store) != 1) {
    auto error = X509_STORE_CTX_get_error(store);
    if (error == X509_V_OK) X509_STORE_CTX_set_error(store, error = X509_V_ERR_UNSPECIFIED);
    auto *culprit = X509_STORE_CTX_get_current_cert(store);
    refused_ = {fault_of_verification(error),
                std::string(X509_verify_cert_error_string(error)) + ": " +
                    describe(culprit ? culprit : certificate),
                names_of(certificate)};
    return false;
  }
  // An authority writes any person's name into a CN. A certificate that ca_file lists itself is meant.
  const bool listed = context_->lists_certificates() && sk_X509_num(X509_STORE_CTX_get0_chain(store)) == 1;
  const auto which = listed ? Names::also_its_cn : Names::alternatives;
  for (const auto &name : names_)
    if (is_for(certificate, name, which)) return verified_ = true;
  const bool by_cn = std::ranges::any_of(
      names_, [&](const auto &name) { return is_for(certificate, name, Names::also_its_cn); });
  std::string wanted;
  for (const auto &name : names_)
    wanted += (wanted.empty() ? "" : " or ") + name;
  X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
  refused_ = {TlsFault::name,
              "not for " + (wanted.empty() ? "a name that is asked for" : wanted) + ": " +
                  describe(certificate) +
                  (by_cn ? "; it has the name as CN alone (no subjectAltName), which counts only in a "
                           "certificate that ca_file lists itself"
                         : ""),
              names_of(certificate)};
  return false;
}

std::expected<Wait, TlsError> TlsLayer::handshake() {
  ERR_clear_error();
  auto result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Wait::readable;
    case SSL_ERROR_WANT_WRITE:
      return Wait::writable;
    }
    return std::unexpected(why_not());
  }
  if (SSL_session_reused(ssl_.get()))
    return std::unexpected(TlsError{TlsFault::mismatch, "a resumed TLS session"});
  if (!accept_ && context_->verifies() && !verified_)
    return std::unexpected(TlsError{TlsFault::untrusted, "the server has shown no certificate"});
  if (!accept_ && !within_prelogin_ && alpn() != "tds/8.0")
    return std::unexpected(TlsError{TlsFault::mismatch,
                                    "the server's TLS is for something else: it does not agree on TDS 8.0 "
                                    "(ALPN tds/8.0)"});
  auto ended = bio_.end_handshake();
  if (!ended) return std::unexpected(TlsError{TlsFault::mismatch, std::move(ended.error())});
  return Wait::none;
}

TlsError TlsLayer::why_not() {
  if (refused_) {
    ERR_clear_error();
    return std::move(*refused_);
  }
  if (!bio_.violation().empty()) {
    ERR_clear_error();
    return {TlsFault::mismatch, bio_.violation()};
  }
  if (bio_.error()) {
    ERR_clear_error();
    return {TlsFault::closed, "while TLS was being set up: " + bio_.error().message()};
  }
  if (bio_.at_end()) {
    ERR_clear_error();
    return {TlsFault::closed, "the peer closed while TLS was being set up"};
  }
  return handshake_error();
}

TlsFacts TlsLayer::facts() {
  auto *ssl = ssl_.get();
  TlsFacts facts;
  facts.version = SSL_get_version(ssl);
  facts.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
  if (auto *certificate = accept_ ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl))
    facts.names = names_of(certificate);
  facts.verified = verified_;
  if (SSL_version(ssl) <= TLS1_2_VERSION) {
    facts.unique.resize(EVP_MAX_MD_SIZE);
    facts.unique.resize(accept_ ? SSL_get_peer_finished(ssl, facts.unique.data(), facts.unique.size())
                                : SSL_get_finished(ssl, facts.unique.data(), facts.unique.size()));
  }
  facts.alpn = alpn();
  return facts;
}

std::string TlsLayer::alpn() const {
  const unsigned char *name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return name ? std::string(reinterpret_cast<const char *>(name), size) : "";
}

const boost::system::error_category &tls_category() {
  static const TlsCategory category;
  return category;
}

Moved TlsLayer::outcome(int result, std::size_t count) {
  if (result == 1) return {count, {}, Wait::none};
  switch (SSL_get_error(ssl_.get(), result)) {
  case SSL_ERROR_WANT_READ:
    return {0, {}, Wait::readable};
  case SSL_ERROR_WANT_WRITE:
    return {0, {}, Wait::writable};
  case SSL_ERROR_ZERO_RETURN:
    return {0, asio::error::eof, Wait::none};
  }
  auto code = ERR_peek_error();
  ERR_clear_error();
  if (bio_.error()) return {0, bio_.error(), Wait::none};
  if (code) return {0, {static_cast<int>(code), tls_category()}, Wait::none};
  return {0, asio::error::eof, Wait::none};
}

Moved TlsLayer::read(char *data, std::size_t size) {
  ERR_clear_error();
  std::size_t count = 0;
  auto result = SSL_read_ex(ssl_.get(), data, size, &count);
  return outcome(result, count);
}

Moved TlsLayer::write(const char *data, std::size_t size) {
  ERR_clear_error();
  std::size_t count = 0;
  auto result = SSL_write_ex(ssl_.get(), data, size, &count);
  return outcome(result, count);
}

Wait TlsLayer::close_notify() {
  ERR_clear_error();
  auto result = SSL_shutdown(ssl_.get());
  auto wait =
      result < 0 && SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_WRITE ? Wait::writable : Wait::none;
  ERR_clear_error();
  return wait;
}

Wait TlsLayer::shutdown_send() {
  return close_notify() == Wait::writable ? Wait::writable : below_.shutdown_send();
}

std::size_t TlsLayer::pending() const { return static_cast<std::size_t>(SSL_pending(ssl_.get())); }

void TlsLayer::read_ahead() {
  constexpr std::size_t at_once =
      64 * 1024; // bytes; OpenSSL holds them while it reads, and not on an idle connection
  SSL_set_default_read_buffer_len(ssl_.get(), at_once);
  SSL_set_read_ahead(ssl_.get(), 1);
}

bool TlsLayer::has_more() const { return SSL_has_pending(ssl_.get()) == 1; }

} // namespace shim
