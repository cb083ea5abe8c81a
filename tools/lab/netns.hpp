// A world of the lab's own: user, network and mount namespaces, in which every program resolves
// names by the lab's DNS alone.
#pragma once

#include "tools/lab/files.hpp"

namespace lab {

/// Puts this process, and all that it starts, into fresh user, network and mount namespaces, with the
/// loopback interface up and nothing else. It stays the same user, and whatever it starts may open ports
/// below 1024 there. Call it before any thread exists. Throws LabError where the kernel forbids it.
void enter_netns();

/// After `enter_netns`: /etc/resolv.conf, /etc/hosts and /etc/nsswitch.conf, as seen from in here, are files
/// of `folder` that know the name server `dns`, the search suffix `domain`, localhost, and no other source of
/// host names. Throws LabError.
void resolve_by(const fs::path &folder, const std::string &dns, const std::string &domain);

/// nsswitch.conf with files and DNS alone as sources of host names, all else as it was. Pure.
std::string with_dns_hosts(const std::string &nsswitch);

} // namespace lab
