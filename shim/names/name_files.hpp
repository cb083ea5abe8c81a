// The two files that say how names are found, hosts(5) and resolv.conf(5): read again when they change.
#pragma once

#include "auth/hosts.hpp"
#include "config/config.hpp"

#include <functional>
#include <memory>
#include <mutex>

namespace shim {

/// What held for names at one moment.
struct NameRules {
  config::Dns dns; ///< with what resolv.conf says now, where that counts
  auth::Hosts hosts;
};

/// Looks at the files whenever it is asked, and reads one that has changed: small files on a local disk, as
/// every other program reads for each name. Only `most_read` bytes of one are read, and nothing of what is no
/// file. A file that is gone is like an empty one. Thread-safe.
class NameFiles {
public:
  /// `changed` is told, in a sentence, of every change of what holds; from any thread that asks.
  explicit NameFiles(config::Dns dns, std::function<void(std::string)> changed = {});

  /// The same object as long as nothing changes.
  std::shared_ptr<const NameRules> current();

  static constexpr std::size_t most_read = 4 * 1024 * 1024;

private:
  struct Watched {
    std::filesystem::path path;
    std::string stamp;    ///< tells one content from another
    bool settled = false; ///< false: it was written so lately that its next content may have the same stamp
    bool has_changed();
    std::string read() const;
  };
  void reread_hosts();
  void reread_resolv_conf();
  void put(NameRules rules, std::string what);

  std::mutex mutex_;
  Watched hosts_, resolv_conf_;
  bool first_ = true;
  std::shared_ptr<const NameRules> rules_;
  std::function<void(std::string)> changed_;
};

} // namespace shim
