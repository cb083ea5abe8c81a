// TLS as both legs use it: what is read once (certificates, keys, trusted issuers), what a handshake is asked
// for, what it came to. The session itself lives in a Stream.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace shim {

/// Why there is no TLS. Each but `closed` is a cause of its own.
enum class TlsFault {
  closed,      ///< the peer went away in mid-handshake
  name,        ///< the certificate is for another name
  untrusted,   ///< its issuer is not known here, or it is not made for a server
  expired,     ///< or not valid yet
  self_signed, ///< it is its own issuer, and is not known here
  weak,        ///< a key too short or a digest too old, in it or in what has issued it
  version,     ///< no TLS version in common
  mismatch,    ///< anything else: no cipher in common, an alert, not TLS at all, bytes where none may be
};
struct TlsError {
  TlsFault fault{};
  std::string detail;                  ///< one sentence: which certificate, which alert
  std::vector<std::string> names = {}; ///< of a certificate that is the fault
};

/// What both sides have agreed on.
struct TlsFacts {
  std::string version; ///< "TLSv1.2"
  std::string cipher;
  std::vector<std::string>
      names;             ///< of the server's certificate: subjectAltName (DNS names, addresses), else CN
  bool verified = false; ///< connecting: issuer, validity and name have been checked, and are good
  std::vector<std::uint8_t>
      unique;       ///< tls-unique (RFC 5929 3): the client's first Finished, up to TLS 1.2; empty with 1.3
  std::string alpn; ///< "tds/8.0", or empty
};

/// Certificates and keys, ready for handshakes. Immutable; shared by all threads.
class TlsContext;
using TlsContextPtr = std::shared_ptr<const TlsContext>;

struct ServerTlsOptions {
  std::filesystem::path certificate, key; ///< PEM; the certificate may be followed by its issuers
};
struct ClientTlsOptions {
  std::filesystem::path ca_file; ///< PEM; empty: what the system trusts
  bool verify = true;
  bool tls10 = false; ///< TLS 1.0 and keys and digests of its time, for servers that know nothing better
};
/// For the client leg, where we are the server; for the server leg, where we are the client. Both read files:
/// at start or on a worker, never in a login. Error: which file, and what is wrong with it.
std::expected<TlsContextPtr, std::string> make_accepting_tls(const ServerTlsOptions &options);
std::expected<TlsContextPtr, std::string> make_connecting_tls(const ClientTlsOptions &options);

/// What a handshake is asked for.
struct TlsHandshake {
  TlsContextPtr context;
  bool accept{}; ///< we are the server
  /// TDS 7: the handshake in PRELOGIN packets, TLS 1.2 at most; else bare, with ALPN (TDS 8)
  bool within_prelogin{};
  bool bound{}; ///< TLS 1.2 at most, since 1.3 has no channel binding that a server takes
  std::vector<std::uint8_t> received; ///< bytes of it that were read already
  /// connecting: one of them must be the certificate's; an IP address is checked as an address.
  /// Empty only with verify = false
  std::vector<std::string> names;
  std::string server_name; ///< connecting: SNI; an address is never sent
};

} // namespace shim
