// Proofs of a password or key that a KDC refused, counted, so that a wrong password never locks an account.
#pragma once

#include "auth/identity.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace shim {

/// Thread-safe. A KDC cannot tell a stale keytab from a wrong password: both count alike.
class Throttle {
public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t most = 2; ///< refusals of one principal …
  static constexpr std::chrono::hours within{1};

  explicit Throttle(std::function<Clock::time_point()> now = Clock::now) : now_(std::move(now)) {}

  /// How long no KDC may be asked to believe this identity; nullopt: it may. Refusals that an earlier content
  /// of the same identity's source met are forgotten, but not where the source is a client's login: whoever
  /// may log in could try password after password.
  std::optional<std::chrono::seconds> shut(const auth::Identity &identity);
  /// A KDC refused the proof that was made from this identity.
  void refused(const auth::Identity &identity);
  /// Somebody who can tell has believed this identity: as long as it stays so, its proofs need
  /// not be made one at a time.
  void good(const auth::Identity &identity);
  bool is_good(const auth::Identity &identity);
  /// The operator says that things are mended (SIGHUP).
  void forget();

private:
  struct Refusal {
    Clock::time_point at;
    std::string identity;
    std::size_t fingerprint;
  };

  std::function<Clock::time_point()> now_;
  std::mutex mutex_;
  std::map<std::string, std::vector<Refusal>> refusals_; // by principal, the oldest first
  std::map<std::string, std::size_t> good_; // by principal: fingerprint of the last proof that was believed
};

} // namespace shim
