// SSPI tokens both ways: a server's in token 0xED, ours as a message of its own (tds/sspi.hpp).
#include "tds/sspi.hpp"

#include "tds/token.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

FUZZ_TARGET(sspi, 70000) {
  const auto token = input.first(std::min(input.size(), tds::largest_sspi_token));
  tds::MessageReader reader(tds::largest_sspi_token);
  const auto wire = fuzz::within(1024 + 4 * token.size(), [&] { return tds::encode_sspi_message(token); });
  reader.feed(wire);
  const auto message = reader.next();
  fuzz::require(message && *message && reader.unread() == 0, "an SSPI message is one message");
  fuzz::require((*message)->type == tds::PacketType::sspi && std::ranges::equal((*message)->payload, token),
                "it holds the token and nothing else");

  const auto reply = tds::encode_tokens({tds::SspiToken{{token.begin(), token.end()}}}, tds::tds_7_4);
  const auto read = tds::decode_tokens(reply, tds::tds_7_4);
  fuzz::require(read && read->size() == 1 &&
                    std::ranges::equal(std::get<tds::SspiToken>(read->front()).data, token),
                "a token of the server comes back as it was");
  // What a reply says of the token's length is all that counts: the input as such a token's
  // content and what follows.
  tds::Bytes hostile{0xED};
  hostile.insert(hostile.end(), input.begin(), input.end());
  tds::Reader in(hostile, "login reply");
  if (const auto first =
          fuzz::within(1024 + input.size(), [&] { return tds::decode_token(in, tds::tds_7_4); })) {
    const auto size = std::get<tds::SspiToken>(*first).data.size();
    fuzz::require(size <= tds::largest_sspi_token && size + 3 == in.offset(),
                  "no token is longer than its length says");
  }
  tds::to_string(tds::recognise(token));
  // What answers a client's own NTLM login goes the same way.
  const auto challenge = tds::ntlm_challenge(tds::is_ntlm_negotiate(token) ? token : input.first(0), {});
  const auto told = tds::encode_tokens({tds::SspiToken{challenge}}, tds::tds_7_4);
  fuzz::require(tds::decode_tokens(told, tds::tds_7_4).has_value(),
                "a challenge is a token that can be read");
}
