// How a route finds the canonical name and the SPNs: its keys `names`, `map`, `canonical_within`,
// `spn_order`, `realm_order`.
#pragma once

#include "config/section.hpp"

namespace config {

void read_names(Section &section, Route &route);
/// `names` and `spn` are read before.
void read_spn_rules(Section &section, Route &route);
/// A list of DNS domains.
void read_domain_list(Section &section, std::string_view key, std::vector<std::string> &domains);

} // namespace config
