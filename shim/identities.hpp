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
  Identities(asio::thread_pool &pool, std::string krb5_config) : pool_(pool), krb5_config_(std::move(krb5_config)) {}

  /// The identity, read again if its file has another time, size or inode than when it was read (a keytab or password file that was replaced, a ccache after kinit), or
  /// if it could not be loaded before, or if it is a ccache that is no file. Waits at most `limit`.
  Task<auth::Result<LoadedIdentity>> get(const config::Identity &wanted, Millis limit);

private:
  struct Entry {
    auth::Result<LoadedIdentity> loaded = std::unexpected(auth::Error{});
    std::string stamp;
  };
  auth::Result<LoadedIdentity> load(const config::Identity &wanted); // blocking

  asio::thread_pool &pool_;
  std::string krb5_config_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::uint64_t generations_ = 0;
};

} // namespace shim
