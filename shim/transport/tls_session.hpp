// One TLS session on a wire: OpenSSL, reading and writing through either framing. Never waits.
#pragma once

#include "shim/transport/openssl.hpp"
#include "shim/transport/stream.hpp"
#include "shim/transport/tls_framing.hpp"

namespace shim {

/// The wire below as OpenSSL sees it. Takes from it what OpenSSL asks for and not a byte more.
class TlsBio {
public:
  TlsBio(Wire &below, bool within_prelogin, std::vector<std::uint8_t> received);
  /// OpenSSL's end of it, which this must outlive.
  BIO *make_bio();
  /// The handshake is done: bare records from now on. Error: bytes behind the peer's last flight.
  std::expected<void, std::string> end_handshake();

  bool at_end() const { return at_end_; }
  boost::system::error_code error() const { return error_; }
  const std::string &violation() const { return violation_; } ///< of the framing

private:
  /// As a BIO does: -1 and `retry_`, or a count, 0 at the end.
  int read(char *data, int size);
  int write(const char *data, int size);
  long control(BIO *bio, int command);
  int receive(char *data, std::size_t size);
  int send(const char *data, std::size_t size);
  bool flush();
  int fail(std::string violation);

  friend struct TlsBioCalls;
  Wire &below_;
  bool shaking_ = true;
  bool within_prelogin_;
  std::vector<std::uint8_t> received_; ///< read before the wire
  std::size_t received_used_ = 0;
  PreloginUnwrap unwrap_;
  std::vector<std::uint8_t> flight_;  ///< what has been written since the last flush
  std::vector<std::uint8_t> packets_; ///< on its way to the wire
  std::size_t packets_sent_ = 0;
  bool blocked_ = false; ///< the last call would have waited
  bool at_end_ = false;
  boost::system::error_code error_;
  std::string violation_;
};

class TlsLayer final : public Wire {
public:
  /// `wanted.context` is of the right kind; `below` outlives the session.
  TlsLayer(Wire &below, TlsHandshake wanted);

  /// One step. none: it is done.
  std::expected<Wait, TlsError> handshake();
  TlsFacts facts();
  Moved read(char *data, std::size_t size) override;
  Moved write(const char *data, std::size_t size) override;
  /// close_notify first, then the end of what is below.
  Wait shutdown_send() override;
  std::size_t pending() const;
  void read_ahead();
  /// Bytes that are decrypted, or still to be: a record of them may not be whole.
  bool has_more() const override;

private:
  friend struct TlsQuestions;
  bool certificate_is_good(X509_STORE_CTX *store);
  TlsError why_not();
  std::string alpn() const; ///< as agreed; empty: none
  Moved outcome(int result, std::size_t count);
  /// Wait::none: it is out, or never will be.
  Wait close_notify();

  TlsContextPtr context_;
  bool accept_, within_prelogin_;
  std::vector<std::string> names_;
  bool verified_ = false;
  std::optional<TlsError> refused_; ///< the certificate
  Wire &below_;
  TlsBio bio_;
  Owned<SSL, SSL_free> ssl_;
};

} // namespace shim
