// Who could put another file in the place of one that we trust: its owner and modes, and those of each folder
// on its way, as sshd looks at them (StrictModes).
#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>

namespace config {

/// What is wrong, with the command that mends it; empty: nothing, or there is no such file (yet). `self` runs
/// sqlshim. A folder that everybody may write is well where it is sticky, as /tmp: nobody renames files of
/// others there. A group that may write is well where it is root's, or its owner's own (the same number).
std::string fault_of_place(const std::filesystem::path &file, uid_t self);

} // namespace config
