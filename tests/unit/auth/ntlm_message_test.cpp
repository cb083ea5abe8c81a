#include "auth/ntlm_message.hpp"

#include "tests/unit/auth/support.hpp"

namespace auth_test {
namespace {

Bytes le(std::uint32_t value, int size) {
  Bytes bytes;
  for (int i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}
Bytes head(std::uint32_t type) { return join({bytes(std::string_view("NTLMSSP\0", 8)), le(type, 4)}); }
Bytes pair(std::uint16_t id, const Bytes &value) {
  return join({le(id, 2), le(static_cast<std::uint32_t>(value.size()), 2), value});
}
const Bytes end_of_pairs = pair(0, {});

/// MS-NLMP 2.2.1.2, with its TargetInfo behind the fixed part.
Bytes challenge(const Bytes &pairs) {
  const auto size = static_cast<std::uint32_t>(pairs.size());
  return join({head(2), Bytes(8), le(0, 4), Bytes(8, 7), Bytes(8), le(size, 2), le(size, 2), le(56, 4),
               Bytes(8), pairs});
}

/// MS-NLMP 2.2.1.3: an NTLMv2 answer with these pairs, at `offset`, and a MIC of 16 bytes `mic`.
Bytes authenticate(const Bytes &pairs, std::uint8_t mic, std::uint32_t offset = 88) {
  const Bytes answer = join({Bytes(16, 9), {1, 1}, Bytes(6), Bytes(8), Bytes(8), Bytes(4), pairs});
  const auto size = static_cast<std::uint32_t>(answer.size());
  const Bytes none = join({le(0, 4), le(offset, 4)});
  Bytes message = join({head(3), none, le(size, 2), le(size, 2), le(offset, 4), none, none, none, none,
                        le(0, 4), Bytes(8), Bytes(16, mic)});
  message.resize(offset);
  return join({message, answer});
}
const Bytes with_mic = join({pair(2, Bytes(4, 'a')), pair(6, le(2, 4)), end_of_pairs});

TEST(NtlmMessage, IsFoundRawAndInSpnego) {
  const auto raw = challenge(end_of_pairs);
  EXPECT_EQ(find_ntlm(raw, ntlm_challenge).size(), raw.size());
  const auto wrapped = join({{0xa1, 0x30, 0x04}, raw});
  EXPECT_EQ(find_ntlm(wrapped, ntlm_challenge).data(), wrapped.data() + 3);
  EXPECT_TRUE(find_ntlm(raw, ntlm_authenticate).empty());
  const auto both = join({head(1), authenticate(with_mic, 1)});
  EXPECT_EQ(find_ntlm(both, ntlm_authenticate).data(), both.data() + 12) << "behind one of another type";
  for (std::size_t size = 0; size < 12; ++size)
    EXPECT_TRUE(find_ntlm(ByteView(raw).first(size), ntlm_challenge).empty()) << size;
}

TEST(NtlmMessage, TheTimeOfAChallenge) {
  const auto time = pair(7, Bytes(8, 1));
  EXPECT_EQ(tells_time(challenge(join({pair(2, Bytes(8, 'A')), time, end_of_pairs}))), true);
  EXPECT_EQ(tells_time(challenge(join({pair(2, Bytes(8, 'A')), end_of_pairs}))), false);
  EXPECT_EQ(tells_time(challenge(join({end_of_pairs, time}))), false) << "behind the end of the list";
  EXPECT_EQ(tells_time(challenge(join({pair(7, Bytes(4, 1)), end_of_pairs}))), false)
      << "no time has four bytes";
  EXPECT_EQ(tells_time(challenge({})), false) << "an old server sends none";
}

TEST(NtlmMessage, ChallengesThatAreMalformed) {
  const auto good = challenge(join({pair(7, Bytes(8, 1)), end_of_pairs}));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(tells_time(ByteView(good).first(size)), std::nullopt) << size;
  EXPECT_EQ(tells_time(challenge(pair(2, Bytes(8, 'A')))), std::nullopt) << "a list without an end";
  EXPECT_EQ(tells_time(challenge(join({le(2, 2), le(200, 2), end_of_pairs}))), std::nullopt)
      << "a pair beyond the list";
  auto far = good;
  far[44] = 0xff;
  EXPECT_EQ(tells_time(far), std::nullopt) << "an offset beyond the message";
}

TEST(NtlmMessage, TheProtectionOfAnAnswer) {
  const auto of = [](const Bytes &message) {
    const auto found = protection_of(message);
    return std::pair(found.v2, found.mic);
  };
  EXPECT_EQ(of(authenticate(with_mic, 5)), std::pair(true, true));
  EXPECT_EQ(of(authenticate(with_mic, 0)), std::pair(true, false)) << "an empty MIC is none";
  EXPECT_EQ(of(authenticate(join({pair(6, le(1, 4)), end_of_pairs}), 5)), std::pair(true, false))
      << "not announced";
  EXPECT_EQ(of(authenticate(end_of_pairs, 5)), std::pair(true, false)) << "not announced";
  EXPECT_EQ(of(authenticate(with_mic, 5, 80)), std::pair(true, false)) << "the answer stands in its place";
  auto v1 = authenticate(with_mic, 5);
  v1[20] = v1[22] = 24;
  EXPECT_EQ(of(v1), std::pair(false, false)) << "24 bytes are NTLM's first version";
  auto other = authenticate(with_mic, 5);
  other[88 + 16] = 2;
  EXPECT_EQ(of(other), std::pair(false, false)) << "no other version is known";
  const auto good = authenticate(with_mic, 5);
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(of(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))),
              std::pair(false, false))
        << size;
}

} // namespace
} // namespace auth_test
