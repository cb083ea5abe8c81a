// The TLS contexts of a configuration, one for each set of settings: their files are read at start and at
// SIGHUP, never in a login. Thread-safe.
#pragma once

#include "auth/target.hpp"
#include "config/config.hpp"
#include "shim/transport/tls.hpp"

#include <expected>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace shim {

class TlsContexts {
public:
  using Context = std::expected<TlsContextPtr, std::string>;

  /// Reads the files of every listener and route that uses TLS; makes the listeners' own certificate in the
  /// state directory where one is needed and none is there. `say` is told what a person should know: a
  /// certificate that was made, files that cannot be read.
  explicit TlsContexts(std::shared_ptr<const config::Config> config,
                       std::function<void(std::string)> say = {});

  /// Reads the files again: a certificate that was renewed counts from the next login on. What cannot be read
  /// now is told to `say`, and what was read before stays.
  void reload();

  /// For a listener with tls other than off. Error: a sentence that names the file.
  Context accepting(const config::Listener &listener) const;
  /// For a route with encrypt other than off. Error: a sentence that names the file. A route that is not the
  /// configuration's own (of `explain`) is read at once.
  Context connecting(const config::Route &route) const;

private:
  /// The settings as a text: what is equal shares a context (the system's certificates take megabytes).
  static std::string key_of(const config::Listener &listener);
  static std::string key_of(const config::Route &route);
  Context make(const config::Listener &listener) const;
  static Context make(const config::Route &route);
  void keep(const std::string &key, Context made);
  Context find(const std::string &key) const;

  std::shared_ptr<const config::Config> config_;
  std::function<void(std::string)> say_;
  mutable std::mutex mutex_;
  std::map<std::string, Context> contexts_;
};

/// The names that a server's certificate may be for: `host_name_in_certificate` where the route has one and
/// this is its `own` target, else the name as configured, and for a name without a dot its completions by the
/// configured search list. Never what DNS made of it. Pure.
std::vector<std::string> certificate_names(const config::Route &route, const auth::Target &target,
                                           const std::vector<std::string> &search, bool own);

} // namespace shim
