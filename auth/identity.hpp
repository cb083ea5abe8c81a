// An identity's credentials, loaded. Besides krb5.conf (kerberos_config.hpp) these are the only files that auth/ reads; it writes none.
#pragma once

#include "auth/error.hpp"

#include <memory>
#include <optional>

namespace auth {

enum class Source { keytab, ccache, password_file };
std::string_view to_string(Source source);

struct IdentitySpec {
  std::string name; ///< of the identity in the configuration
  Source source{};
  std::string
      path; ///< file of the keytab or password; name of the ccache ("FILE:/…", a plain path, "DIR:…", "KEYRING:…", "KCM:")
  /// "svc-reports@CORP.TEST". For a ccache it may be empty: its own default principal. For a collection of them (DIR, KEYRING, KCM) it chooses the cache that belongs
  /// to it, and of several the one whose TGT lasts longest; where it is empty it is the collection's primary cache.
  std::string principal;
};

/// Immutable, shared between threads. Keys live in a MEMORY keytab of its own, a password in wiped memory, a ccache's TGTs as
/// marshalled bytes. Nothing of it can be printed.
class Identity {
public:
  virtual ~Identity() = default;
  virtual const IdentitySpec &spec() const = 0;
  /// Full name, "svc-reports@CORP.TEST".
  virtual const std::string &principal() const = 0;
  virtual const std::string &realm() const = 0;
  /// Tells one content of the source from another, within this process. It comes from secrets and is never shown.
  virtual std::size_t fingerprint() const = 0;
  /// When the TGT of a ccache ends; nullopt for other sources.
  virtual std::optional<Time> expires() const = 0;
};

/// Reads the source (blocking: call it on a worker thread). Error kinds: no_credentials (absent, unreadable, empty, principal not in it; the text
/// names path and reason), ticket_expired (a ccache whose TGT is over), malformed. Nothing is written, but that libkrb5 makes an empty keyring where a KEYRING: collection
/// that is named does not exist. `config_path` is krb5.conf's.
Result<std::shared_ptr<const Identity>> load_identity(const IdentitySpec &spec, const std::string &config_path);

} // namespace auth
