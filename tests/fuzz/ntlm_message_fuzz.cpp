// Tokens of a server that says that it speaks NTLM (auth/ntlm_message.hpp).
#include "auth/ntlm_message.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(ntlm_message, 2000) {
  for (const auto type : {auth::ntlm_challenge, auth::ntlm_authenticate}) {
    const auto message = fuzz::within(0, [&] { return auth::find_ntlm(input, type); });
    fuzz::require(message.empty() || (message.size() >= 12 && message.data() >= input.data() &&
                                      message.data() + message.size() == input.data() + input.size()),
                  "a message is the end of its token");
    const auto protection = fuzz::within(0, [&] { return auth::protection_of(message); });
    fuzz::require(!protection.mic || protection.v2, "a MIC goes with NTLMv2 alone");
    fuzz::within(0, [&] { return auth::tells_time(message); });
  }
}
