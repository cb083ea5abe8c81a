// The tables that are for the whole process: [log], [limits], [dns], [kerberos],
// [state], [domains], [aliases].
#pragma once

#include "config/loading.hpp"

namespace config {

void read_log(Section &section, Loading &loading);
void read_limits(Section &section, Loading &loading);
/// Where `section` is not written: what resolv.conf says.
void read_dns(std::optional<Section> section, Loading &loading);
/// Where `section` is not written: what KRB5_CONFIG says.
void read_kerberos(std::optional<Section> section, Loading &loading);
void read_state(std::optional<Section> section, Loading &loading);
/// Both ways: DOMAIN\\user becomes user@REALM, and a server's DOMAIN\\account is found again. So no name and
/// no realm may stand twice.
void read_domains(Section &section, Loading &loading);
void read_aliases(Section &section, Loading &loading);

} // namespace config
