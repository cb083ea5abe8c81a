// The peer's own TLS, on OpenSSL with memory for a wire: bytes go in and come out, nothing here waits. It is
// the server's side only, and no code of it is shared with sqlshim's.
#pragma once

#include "tds/bytes.hpp"
#include "tools/lab/files.hpp"

#include <memory>

struct ssl_ctx_st; // OpenSSL's SSL_CTX and SSL
struct ssl_st;

namespace lab {

/// What ends a TLS session: a broken handshake, a record that is none. The text is OpenSSL's.
struct TlsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TlsOptions {
  fs::path certificate, key; ///< PEM
  std::string min = "1.2";   ///< 1.0 to 1.3
  std::string max = "1.2";
};

/// What the sessions of one server share. It takes whatever key, curve and hash it is given (security level
/// 0): the client shall judge.
class TlsContext {
public:
  /// Throws LabError when the files or the versions are no good.
  explicit TlsContext(const TlsOptions &options);

private:
  friend class TlsSession;
  std::shared_ptr<ssl_ctx_st> context_;
};

/// One session: a full handshake each time, without tickets, resumption or renegotiation. ALPN: tds/8.0 or,
/// where the client offers none, none.
class TlsSession {
public:
  explicit TlsSession(const TlsContext &context);

  /// What the client sent.
  void feed(tds::ByteView records);
  /// Goes as far as the bytes reach. Whether it is complete; throws TlsError, and then
  /// output() holds the alert.
  bool handshake();
  /// What the fed records hold. Throws TlsError.
  tds::Bytes read();
  bool ended() const { return ended_; } ///< the client sent close_notify
  void write(tds::ByteView plain);
  /// close_notify into the output.
  void close();
  /// What is to be sent, and forgets it.
  tds::Bytes output();

  // Facts; empty before the handshake is complete, but for the first.
  std::string server_name() const; ///< as the client asked by SNI
  std::string version() const;     ///< "TLSv1.2"
  std::string cipher() const;
  std::string alpn() const;
  /// The client's first Finished, which is what tls-unique means after a full handshake (RFC 5929 3). Empty
  /// with TLS 1.3, where it is not defined.
  tds::Bytes client_finished() const;

private:
  std::shared_ptr<ssl_st> ssl_;
  bool ended_ = false;
};

} // namespace lab
