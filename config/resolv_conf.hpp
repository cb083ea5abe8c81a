// What resolv.conf(5) says: the default of [dns].
#pragma once

#include "config/config.hpp"

namespace config {

/// nameserver, search, domain (the last of the two counts) and options ndots. Without a
/// nameserver: 127.0.0.1, as the system's own resolver does. Lines that it does not understand
/// are left out, as everywhere.
Dns parse_resolv_conf(std::string_view text);
/// An unreadable file is like an empty one.
Dns load_resolv_conf(const std::filesystem::path &file);

/// Takes over what of `dns` is resolv.conf's (`from_resolv_conf`).
void follow(Dns &dns, const Dns &resolv_conf);

} // namespace config
