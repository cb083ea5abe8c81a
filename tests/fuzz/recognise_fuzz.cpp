// Which mechanism a token is of (tds/sspi.hpp).
#include "tds/sspi.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

FUZZ_TARGET(recognise, 4096) {
  const auto mechanism = fuzz::within(0, [&] { return tds::recognise(input); });
  fuzz::require((mechanism == tds::Mechanism::none) == input.empty(), "only nothing is of no mechanism");
  const std::string name = tds::to_string(mechanism);
  fuzz::require(!name.empty(), "every mechanism has a name");

  tds::Bytes longer(input.begin(), input.end());
  longer.push_back(0);
  if (mechanism != tds::Mechanism::none && mechanism != tds::Mechanism::unknown)
    fuzz::require(tds::recognise(longer) == mechanism, "the framing alone tells");
  // The wire may cut a token anywhere: it is the same mechanism or unknown, never another.
  for (std::size_t size = 1; size < std::min<std::size_t>(input.size(), 32); ++size) {
    const auto cut = tds::recognise(input.first(size));
    fuzz::require(cut == mechanism || cut == tds::Mechanism::unknown,
                  "a part of a token is of no other mechanism");
  }
  tds::encode_sspi_message(input);

  const bool negotiate = tds::is_ntlm_negotiate(input);
  fuzz::require(!negotiate || mechanism == tds::Mechanism::ntlm, "a NEGOTIATE is NTLM's");
  tds::NtlmChallenge ours{.nonce = {1, 2, 3, 4, 5, 6, 7, 8}, .time = 9};
  const auto challenge = fuzz::within(2048, [&] { return tds::ntlm_challenge(input, ours); });
  fuzz::require(tds::recognise(challenge) == tds::Mechanism::ntlm && !tds::is_ntlm_negotiate(challenge),
                "a CHALLENGE is NTLM's, and no NEGOTIATE");
  fuzz::require(challenge.size() < 256 && std::ranges::equal(std::span(challenge).subspan(24, 8), ours.nonce),
                "whatever came, it is short, and its nonce is ours");
}
