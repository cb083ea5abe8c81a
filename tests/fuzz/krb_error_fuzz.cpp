// A server's context token, and the KRB-ERROR or AP-REP in it (auth/error.hpp).
#include "auth/error.hpp"

#include "auth/der.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(krb_error, 65535) {
  // A copy of e-text, nothing else.
  const auto found = fuzz::within(64 + input.size(), [&] { return auth::find_krb_error(input); });
  const bool ap_rep = fuzz::within(0, [&] { return auth::holds_ap_rep(input); });
  fuzz::require(!found || !ap_rep, "a token holds one message");

  const auto bare = auth::decode_krb_error(input);
  if (bare) {
    fuzz::require(found.has_value(), "what is a KRB-ERROR alone is found alone");
    fuzz::require(bare->code == found->code && bare->said == found->said, "and says the same");
  }
  if (found) {
    fuzz::require(found->said.find('\0') == std::string::npos, "a text has no zero");
    const auto kdc = auth::kind_of_kdc_error(found->code), server = auth::kind_of_server_error(found->code);
    fuzz::require(!auth::to_string(kdc).empty() && !auth::to_string(server).empty(),
                  "every code is of some kind");
    using namespace std::chrono_literals;
    fuzz::require(found->server_time >= auth::Time{} &&
                      found->server_time < auth::Time(std::chrono::sys_days(std::chrono::year(2201) / 1 / 1)),
                  "a time that the clock can hold");
  }

  // Elements one behind the other: every one that is taken leaves less.
  auth::der::Reader reader(input);
  while (!reader.empty()) {
    const auto left = reader.rest().size();
    const auto contents = reader.take(reader.peek());
    fuzz::require((reader.rest().size() < left) == contents.has_value(),
                  "what is refused leaves the reader where it was");
    if (!contents) break;
    fuzz::require(contents->size() < left, "contents are within the element");
    auth::der::to_integer(*contents);
    auth::der::to_time(*contents);
  }
}
