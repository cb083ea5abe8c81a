// The configured identities, loaded: at start, and again when their source has changed.
#pragma once

#include "auth/identity.hpp"
#include "config/config.hpp"
#include "shim/net/task.hpp"

#include <map>
#include <mutex>

namespace shim {

/// An identity as loaded. `generation` counts the loads, so that tickets of an earlier content are not used with a later one.
struct LoadedIdentity {
  std::shared_ptr<const auth::Identity> identity;
  std::uint64_t generation = 0;
  /// The name under which its tickets are stored.
  std::string store_name() const;
};

/// Thread-safe. Files are read on `pool` only.
class Identities {
public:
  /// `reread`: how long a cache that is in no file (KEYRING, KCM) is believed to be as it was.
  Identities(asio::thread_pool &pool, std::string krb5_config, Millis reread = Millis(10'000))
      : pool_(pool), krb5_config_(std::move(krb5_config)), reread_(reread) {}

  /// The identity, read again if its file (for a DIR collection: one of the folder's) has another time, size or inode than when it was read, if it could not be loaded
  /// before, or, where no file can be looked at, if it was read longer than `reread` ago or its TGT ends within two minutes. A source that is read again
  /// and holds the same is the same identity, and its tickets stay. Waits at most `limit`.
  Task<auth::Result<LoadedIdentity>> get(const config::Identity &wanted, Millis limit);

private:
  struct Entry {
    auth::Result<LoadedIdentity> loaded = std::unexpected(auth::Error{});
    std::string stamp;
    std::chrono::steady_clock::time_point read;
  };
  auth::Result<LoadedIdentity> load(const config::Identity &wanted); // blocking
  bool is_fresh(const Entry &entry, const std::string &stamp) const;

  asio::thread_pool &pool_;
  std::string krb5_config_;
  Millis reread_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::uint64_t generations_ = 0;
};

} // namespace shim
