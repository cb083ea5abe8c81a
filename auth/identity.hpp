// An identity's credentials, loaded. Besides krb5.conf (kerberos_config.hpp) these are the only files that
// auth/ reads; it writes none.
#pragma once

#include "auth/error.hpp"

#include <memory>
#include <optional>
#include <sys/types.h>

namespace auth {

/// `client_password`: given by somebody who logs in, in no file. `caller_ccache`: a FILE ccache of another
/// user, who could have planted anything there.
enum class Source { keytab, ccache, password_file, client_password, caller_ccache };
std::string_view to_string(Source source);

struct IdentitySpec {
  std::string name; ///< of the identity in the configuration
  Source source{};
  /// file of the keytab or password; name of the ccache ("FILE:/…", a plain path, "DIR:…", "KEYRING:…",
  /// "KCM:"); of client_password: empty
  std::string path;
  /// "svc-reports@CORP.TEST". For a ccache it may be empty: its own default principal. For a collection of
  /// them (DIR, KEYRING, KCM) it chooses the cache that belongs to it, and of several the one whose TGT lasts
  /// longest; where it is empty it is the collection's primary cache.
  std::string principal;
  uid_t owner = 0; ///< of caller_ccache: whose it must be
};

/// Immutable, shared between threads. Keys live in a MEMORY keytab of its own, a password in wiped memory, a
/// ccache's TGTs as marshalled bytes. Nothing of it can be printed.
class Identity {
public:
  virtual ~Identity() = default;
  virtual const IdentitySpec &spec() const = 0;
  /// Full name, "svc-reports@CORP.TEST".
  virtual const std::string &principal() const = 0;
  virtual const std::string &realm() const = 0;
  /// Tells one content of the source from another, within this process. It comes from
  /// secrets and is never shown.
  virtual std::size_t fingerprint() const = 0;
  /// When the TGT of a ccache ends; nullopt for other sources.
  virtual std::optional<Time> expires() const = 0;
};

/// Reads the source (blocking: call it on a worker thread). Error kinds: no_credentials (absent, unreadable,
/// empty, principal not in it; the text names path and reason), ticket_expired (a ccache whose TGT is over),
/// malformed. Nothing is written, but that libkrb5 makes an empty keyring where a KEYRING: collection that is
/// named does not exist. `config_path` is krb5.conf's. A caller_ccache is opened without following a link,
/// and taken only if it is a regular file of `spec.owner` with no permission for anybody else, one link and
/// at most `largest_ccache` bytes; libkrb5 is given what was read, never the path. Else no_credentials.
Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec,
                                                      const std::string &config_path);
inline constexpr std::size_t largest_ccache = 1024 * 1024;

/// An identity of a password that is in no file; `spec.source` is client_password. `password`: UTF-8,
/// copied into memory that is wiped when the identity goes. Reads krb5.conf only (blocking all the
/// same). Errors: no_credentials (it is empty), malformed (longer than 4,095 bytes, or with a zero byte
/// in it; a principal that is none).
Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec, std::string_view password,
                                                      const std::string &config_path);

} // namespace auth
