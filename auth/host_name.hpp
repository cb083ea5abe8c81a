// What a host name may look like, and how names are compared. Pure.
#pragma once

#include <string>
#include <string_view>

namespace auth {

/// ASCII lower case, and capitals, as of realms; other bytes stay.
std::string lower(std::string_view text);
std::string upper(std::string_view text);
/// "" for a name of letters, digits, '-', '_' and '.' with labels of 1 to 63 and at most 253 characters in
/// all (RFC 1035 2.3.4; '_' is in use in Windows domains; one trailing dot is allowed); else a sentence that
/// says what is wrong. Such a name can be put into an SPN as it is: it holds neither '/' nor '@'.
std::string name_fault(std::string_view name);
/// Whether `name` is `domain` or lies below it, label by label: not "xcorp.test" below "corp.test". Both
/// without a trailing dot; ASCII case is ignored. Nothing lies below the empty one.
bool is_below(std::string_view name, std::string_view domain);
/// Numeric address in inet_ntop's spelling; empty: not one.
std::string normal_address(std::string_view text);

} // namespace auth
