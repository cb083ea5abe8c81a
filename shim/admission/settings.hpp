// What was made of one configuration.
#pragma once

#include "config/config.hpp"
#include "shim/transport/tls_contexts.hpp"

#include <memory>

namespace shim {

/// One configuration, and what was read for it. A connection holds those of its accept: whoever makes others
/// (a reload) changes nothing that runs.
struct Settings {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const TlsContexts> tls;
};
using SettingsPtr = std::shared_ptr<const Settings>;

} // namespace shim
