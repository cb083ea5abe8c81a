// Where a connection came in, and what it holds from there on.
#pragma once

#include "auth/descriptor.hpp"
#include "shim/admission/limits.hpp"

#include <memory>

namespace shim {

/// A listener with the settings of one configuration. A connection holds the one that it came by, so no
/// reload can put it under the settings of another.
struct Listener {
  std::uint64_t id; ///< no other listener of this process has it
  config::Listener settings;
};
using ListenerPtr = std::shared_ptr<const Listener>;

/// A connection as it was accepted, on its way to the thread where it lives.
struct Arrival {
  auth::Descriptor fd;
  int family; ///< AF_INET, AF_INET6, AF_UNIX
  ListenerPtr listener;
  Admission admission;
};

} // namespace shim
