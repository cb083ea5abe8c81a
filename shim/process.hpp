// The process: what `sqlshim serve` does around a server.
#pragma once

#include "config/config.hpp"

#include <string>
#include <vector>

namespace shim {

/// `sqlshim serve`: prints `listening NAME ADDRESS` for each listener on standard output when ready, obeys
/// SIGHUP, SIGTERM and SIGINT, returns the exit status. Switches off core dumps and ptrace for this process,
/// raises its limit of open files to what the system allows, and sets KRB5_CONFIG to the configured file
/// before any thread exists (GSSAPI's own contexts read it from nowhere else). Lowers `[limits] connections`
/// to what the open files allow. `warnings` are those of the configuration: they go to the decision log.
int serve(config::Config config, std::vector<std::string> warnings = {});

} // namespace shim
