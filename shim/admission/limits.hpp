// How much may be under way at once: what a local user, or many clients together, cannot go beyond.
#pragma once

#include "config/config.hpp"

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <mutex>
#include <optional>
#include <sys/types.h>
#include <unordered_map>
#include <utility>

namespace shim {

/// So many places for each key, and no more. Thread-safe. Must outlive its places.
class Quota {
public:
  explicit Quota(std::size_t limit) : limit_(limit) {}

  /// A place, given back when it goes: on whatever path, on whatever thread. A default one is nobody's.
  class Place {
  public:
    Place() = default;
    Place(Place &&other) noexcept : owner_(std::exchange(other.owner_, nullptr)), key_(other.key_) {}
    Place &operator=(Place &&other) noexcept;
    ~Place() { give_back(); }
    void give_back();
    explicit operator bool() const { return owner_ != nullptr; }

  private:
    friend class Quota;
    Place(Quota &owner, std::uint64_t key) : owner_(&owner), key_(key) {}
    Quota *owner_ = nullptr;
    std::uint64_t key_ = 0;
  };

  /// Nobody's place (false) when all of the key are taken.
  Place take(std::uint64_t key = 0);
  std::size_t taken(std::uint64_t key = 0) const;
  std::size_t limit() const { return limit_; }

private:
  std::size_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::size_t> taken_; // no entry: none
};

/// What a connection holds from accept on, or why it gets nothing but a refusal.
struct Admission {
  Quota::Place connection; ///< as long as it is open
  Quota::Place handshake;  ///< until its login is answered
  Quota::Place farewell;   ///< only where it is refused: until the client has read why
  std::string refused;     ///< the limit that is reached, as a sentence; empty: admitted
};

/// The limits of a process. Thread-safe.
class Limits {
public:
  explicit Limits(const config::Limits &configured)
      : connections_(configured.connections), handshakes_(configured.handshakes),
        handshakes_per_uid_(configured.handshakes_per_uid), farewells_(most_farewells) {}

  /// For a connection that was accepted now, before anything is known of it. nullopt: not even a refusal may
  /// be spent on it, close it.
  std::optional<Admission> admit(std::uint64_t listener, const std::string &name);
  /// The same for one that is to be refused, for the reason given.
  std::optional<Admission> turn_down(std::string reason);
  /// A place among the logins of a user. Error: the limit that is reached, as a sentence.
  std::expected<Quota::Place, std::string> admit_user(uid_t uid);
  /// For whoever is refused later: nobody's place when too many refused clients are still being waited for.
  Quota::Place farewell() { return farewells_.take(); }

  /// Counts a connection that was closed without a word. `tell` is called for the first one since the count
  /// was last taken, on the thread that counts.
  void turned_away();
  std::uint64_t take_turned_away() { return turned_away_.exchange(0); }
  void on_turned_away(std::function<void()> tell) { tell_ = std::move(tell); }

  /// Refused connections that wait for their client to read why, each for a moment. More than these are
  /// closed without a word: whoever makes so many does not read, and descriptors are for logins.
  static constexpr std::size_t most_farewells = 64;

private:
  Quota connections_, handshakes_, handshakes_per_uid_, farewells_;
  std::atomic<std::uint64_t> turned_away_{0};
  std::function<void()> tell_;
};

/// Holds 8 MiB back, which `operator new` gets when there is nothing else: for logins that are under way and
/// for refusing others. Asio cannot do without: it ends the process where it has no memory to wait for two
/// things at once. Once in a process, before any thread.
void keep_memory_in_reserve();
/// Whether there is memory for one more login: 16 MiB can be had (asked of the kernel and given back), and
/// the reserve, if it was used, is whole again. Never waits.
bool has_memory();

/// How many connections so many descriptors allow: two each, and some for all else (log, listeners, DNS,
/// KDCs, credentials, refusals). At least 1.
std::size_t connections_for(std::uint64_t descriptors);

} // namespace shim
