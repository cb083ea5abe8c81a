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
}
