// Where named instances were found: what SQL Browser said, kept for all logins of the process.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace shim {

/// What is known of one instance.
struct InstancePort {
  std::uint16_t port = 0;
  std::uint16_t before = 0; ///< the port where it was found before that; 0: nowhere else
};

/// Ports of named instances by host and instance (in any case). Thread-safe; never waits. A port
/// counts for a minute: SQL Server takes another one only when it restarts, and whoever meets nobody
/// there (or the wrong instance) says so and asks again. Holds at most 1,024 instances; then the one
/// that was found longest ago goes.
class Browsers {
public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds life{60};
  static constexpr std::size_t most = 1024;

  /// The port, while it counts.
  std::optional<InstancePort> find(const std::string &host, const std::string &instance,
                                   Clock::time_point now = Clock::now()) const;
  /// SQL Browser has said so. Also gives where the instance was before, which a diagnosis wants to know.
  InstancePort put(const std::string &host, const std::string &instance, std::uint16_t port,
                   Clock::time_point now = Clock::now());
  /// The port was wrong: the next login asks. Where the instance was stays known.
  void flush(const std::string &host, const std::string &instance);
  /// As `flush`, for all of them.
  void forget();
  std::size_t size() const;

private:
  struct Entry {
    InstancePort known;
    Clock::time_point found; ///< also of one that does not count any more
    bool counts = true;
  };
  using Key = std::pair<std::string, std::string>;
  static Key key(const std::string &host, const std::string &instance);

  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
};

} // namespace shim
