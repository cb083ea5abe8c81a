// Names as people type them and as a redirect names them: target, host, address, SPN (auth/target.hpp,
// auth/host_name.hpp, auth/spn.hpp).
#include "auth/target.hpp"

#include "auth/host_name.hpp"
#include "auth/spn.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(target, 2048) {
  const auto typed = fuzz::text_of(input);
  const auto target = fuzz::within(2048 + 8 * typed.size(), [&] { return auth::parse_target(typed); });
  if (!target) {
    fuzz::require(!target.error().empty(), "a refusal says what to write");
  } else {
    fuzz::require(target->typed == typed && !target->host.empty() && target->port != 0,
                  "a target has a host");
    fuzz::require(target->is_address || auth::name_fault(target->host).empty(),
                  "its host is a name or an address");
    fuzz::require(!target->is_address || auth::normal_address(target->host) == target->host,
                  "in one spelling");
    fuzz::require(target->host.find_first_of("/@") == std::string::npos, "it can be put into an SPN");
    // What it says can be typed again.
    std::string again = target->host.find(':') != std::string::npos ? "[" + target->host + "]" : target->host;
    if (!target->instance.empty()) again += "\\" + target->instance;
    if (target->port) again += "," + std::to_string(*target->port);
    if (!target->pipe.empty()) again = "\\\\" + target->host + "\\pipe\\" + target->pipe;
    const auto same = auth::parse_target(again);
    fuzz::require(same && same->host == target->host && same->instance == target->instance &&
                      same->port == target->port && same->pipe == target->pipe,
                  "host, instance, port and pipe, typed again, are the same target");
    fuzz::require(target->pipe.empty() || !target->port, "a pipe has no port");
  }
  if (auth::name_fault(typed).empty())
    fuzz::require(auth::name_fault(auth::lower(typed)).empty(), "a name stays one in lower case");
  const auto small = auth::lower(typed), capitals = auth::upper(typed);
  fuzz::require(auth::lower(capitals) == small && auth::upper(small) == capitals,
                "case is lost, and nothing else");
  fuzz::require(typed.empty() || (auth::is_below(capitals, small) && auth::is_below("a." + small, capitals) &&
                                  !auth::is_below("a" + small, capitals)),
                "a name is below itself and above its labels, in whatever case");
  if (const auto address = auth::normal_address(typed); !address.empty())
    fuzz::require(auth::normal_address(address) == address, "an address has one spelling");
  fuzz::require(auth::spn_host(typed).size() <= typed.size() && auth::spn_realm(typed).size() <= typed.size(),
                "parts of an SPN are parts of it");
}
