// PRELOGIN, as either side sends it (tds/prelogin.hpp).
#include "tds/prelogin.hpp"

#include "tds/accept_login.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(prelogin, 65535) {
  // At most 255 options, whose table and list grow by doubling; their data is no longer than the payload.
  const auto prelogin =
      fuzz::within(255 * 3 * 64 + 4 * input.size(), [&] { return tds::decode_prelogin(input); });
  if (!prelogin) return;
  const auto again = tds::decode_prelogin(tds::encode_prelogin(*prelogin));
  fuzz::require(again && *again == *prelogin, "decode, encode, decode gives the same options");
  fuzz::require(tds::describe(*prelogin).starts_with("VERSION "), "VERSION is first");
  fuzz::require(prelogin->version().has_value(), "a PRELOGIN has a version");

  auto ours = *prelogin;
  ours.set_version({16, 1, 600, 2});
  ours.set_encryption(tds::Encryption::req);
  ours.set_mars(true);
  fuzz::require(ours.version()->text() == "16.1.600" && ours.encryption() == tds::Encryption::req &&
                    ours.mars(),
                "what is set can be read");

  const auto answer = tds::answer_prelogin(*prelogin, {16, 0, 600, 0}, tds::Encryption::req);
  if (answer.has(tds::PreloginToken::encryption))
    fuzz::require(answer.encryption() == tds::Encryption::req, "ENCRYPTION is answered as we say");
  for (const auto &option : answer.options)
    fuzz::require(prelogin->has(option.token), "only what was asked is answered");
  fuzz::require(!answer.fedauth_required() && (!answer.mars() || prelogin->mars()),
                "nothing is promised unasked");
  const auto read = tds::decode_prelogin(tds::encode_prelogin(answer));
  fuzz::require(read && *read == answer, "a client can read the answer");
  fuzz::require(prelogin->fedauth_required() == (ours.fedauth_required()),
                "setting one option changes no other");
}
