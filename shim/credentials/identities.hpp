// The configured identities, loaded: at start, and again when their source has changed.
#pragma once

#include "auth/identity.hpp"
#include "config/config.hpp"
#include "shim/transport/task.hpp"
#include "tds/secret.hpp"

#include <map>
#include <mutex>

namespace shim {

/// An identity as loaded. `generation` counts the loads, so that tickets of an earlier content are
/// not used with a later one.
struct LoadedIdentity {
  std::shared_ptr<const auth::Identity> identity;
  std::uint64_t generation = 0;
  /// Whose it is, where one configured identity is made of many: "uid 1000", "login 17"; else empty.
  std::string of = {};
  bool one_login = false; ///< made of a client's own password: nothing of it outlives the login
  /// The name under which its tickets are stored.
  std::string store_name() const;
};

/// Thread-safe. Files are read on `pool` only.
class Identities {
public:
  /// `reread`: how long a cache that is in no file (KEYRING, KCM) is believed to be as it was.
  Identities(asio::thread_pool &pool, std::string krb5_config, Millis reread = Millis(10'000))
      : pool_(pool), krb5_config_(std::move(krb5_config)), reread_(reread) {}

  /// The identity, read again if its file (for a DIR collection: one of the folder's) has another time, size
  /// or inode than when it was read, if it could not be loaded before, or, where no file can be looked at, if
  /// it was read longer than `reread` ago or its TGT ends within two minutes. A source that is read again and
  /// holds the same is the same identity, and its tickets stay. Waits at most `limit`.
  Task<auth::Result<LoadedIdentity>> get(const config::Identity &wanted, Millis limit);
  /// The same for an identity with from = "caller": that caller's ccache (`caller_ccache`), each caller's by
  /// itself. Its owner, mode and links count as changes, too.
  Task<auth::Result<LoadedIdentity>> of_caller(const config::Identity &wanted, uid_t caller, Millis limit);
  /// For an identity with from = "client": made for one login, and kept nowhere. `password` is what LOGIN7
  /// holds (UTF-16), and is wiped on every way out.
  Task<auth::Result<LoadedIdentity>> of_client(const config::Identity &wanted, std::string principal,
                                               tds::Secret password, Millis limit);

private:
  struct Entry {
    auth::Result<LoadedIdentity> loaded = std::unexpected(auth::Error{});
    std::string stamp;
    std::chrono::steady_clock::time_point read;
  };
  // These block:
  auth::Result<LoadedIdentity> load(const auth::IdentitySpec &spec, const std::string &of);
  auth::Result<LoadedIdentity> make(const auth::IdentitySpec &spec, const tds::Secret &password);
  Task<auth::Result<LoadedIdentity>> get(auth::IdentitySpec spec, std::string of, Millis limit);
  bool is_fresh(const Entry &entry, const std::string &stamp) const;

  asio::thread_pool &pool_;
  std::string krb5_config_;
  Millis reread_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_; // by the identity's name; of callers' with "/" and whose
  std::uint64_t generations_ = 0;        // of all identities: no two have the same
};

} // namespace shim
