// What the application reads.
#pragma once

#include "shim/diagnosis/diagnose.hpp"

namespace shim {

/// Every refusal of ours has this number, class 14, state 1 (but see `Answer::number`).
inline constexpr unsigned refusal_number = 50811;
inline constexpr unsigned char refusal_class = 14;

/// What the client reads: "spn-missing: … SPN: … The KDC said: "…". Remedy: … (sqlshim connection 7f3a01c2)".
/// One line, at most 2,000 characters, and the remedy and the connection id are always in it.
std::string client_text(const Diagnosis &diagnosis, std::string_view conn);

} // namespace shim
