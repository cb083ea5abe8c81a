// What the kernel lets this process do.
#pragma once

#include <string_view>

namespace config {

/// Whether a process can read files that only their owner may, by its `/proc/PID/status`: with
/// CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH in its effective set, which root has unless something took it
/// away. A status without that set: no. Pure.
bool may_read_files_of_others(std::string_view proc_status);

} // namespace config
