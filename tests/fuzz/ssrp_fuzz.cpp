// SQL Browser's datagrams (tds/ssrp.hpp): anybody may send them.
#include "tds/ssrp.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(ssrp, 2000) {
  if (const auto asked = fuzz::within(1024 + input.size(), [&] { return tds::decode_ssrp_question(input); }))
    if (const auto *one = std::get_if<tds::AskInstance>(&*asked)) {
      const auto again = tds::encode_ssrp_question(one->instance);
      fuzz::require(again && tds::decode_ssrp_question(*again) == *asked, "a question comes back as it was");
    }
  const auto answer =
      fuzz::within(4096 + 4 * input.size(), [&] { return tds::decode_ssrp_answer(input, "INST"); });
  if (!answer) return;
  fuzz::require(answer->port != 0, "no port is 0");
  const auto again = tds::decode_ssrp_answer(tds::encode_ssrp_answer({*answer}), "INST");
  fuzz::require(!again || *again == *answer,
                "an answer comes back as it was"); // it may be longer than the protocol allows
}
