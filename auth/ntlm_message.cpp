#include "auth/ntlm_message.hpp"

#include <algorithm>
#include <array>

namespace auth {

namespace {

constexpr std::array<std::uint8_t, 8> signature{'N', 'T', 'L', 'M', 'S', 'S', 'P', 0};

// MS-NLMP 2.2.2.1
enum AvId : std::uint16_t { av_eol = 0, av_flags = 6, av_timestamp = 7 };
constexpr std::uint32_t flag_mic = 0x2; // of MsvAvFlags

// CHALLENGE_MESSAGE (2.2.1.2): signature 8, type 4, TargetName 8, flags 4, challenge
// 8, reserved 8, TargetInfo 8
constexpr std::size_t challenge_target_info = 40;
// AUTHENTICATE_MESSAGE (2.2.1.3): signature 8, type 4, then eight bytes each: LM and NT response, domain,
// user, workstation, session key; flags 4, version 8, MIC 16
constexpr std::size_t authenticate_nt = 20, authenticate_mic = 72, mic_size = 16;
constexpr std::array<std::size_t, 6> authenticate_fields{12, 20, 28, 36, 44, 52};
// NTLMv2_RESPONSE (2.2.2.8): proof 16; then NTLMv2_CLIENT_CHALLENGE (2.2.2.7): types 2, reserved 6, time 8,
// challenge 8, reserved 4, AV pairs
constexpr std::size_t v2_type = 16, v2_pairs = 44, v1_size = 24;

/// Little endian. Bytes that are not there count as 0.
std::uint32_t number(ByteView bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size && at + i < bytes.size(); ++i)
    value |= static_cast<std::uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}

/// What a field's `length 2, room 2, offset 4` points to. nullopt: out of the message.
std::optional<ByteView> payload(ByteView message, std::size_t field) {
  if (message.size() < field + 8) return std::nullopt;
  const std::size_t size = number(message, field, 2), offset = number(message, field + 4, 4);
  if (offset > message.size() || size > message.size() - offset) return std::nullopt;
  return message.subspan(offset, size);
}

/// The value of an AV pair: `id 2, length 2, value`. nullopt: the list is malformed; empty:
/// there is none of that id.
std::optional<ByteView> find_pair(ByteView pairs, AvId wanted) {
  while (pairs.size() >= 4) {
    const auto id = number(pairs, 0, 2);
    const std::size_t size = number(pairs, 2, 2);
    if (id == av_eol) return ByteView();
    if (size > pairs.size() - 4) return std::nullopt;
    if (id == wanted) return pairs.subspan(4, size);
    pairs = pairs.subspan(4 + size);
  }
  return std::nullopt;
}

} // namespace

ByteView find_ntlm(ByteView token, std::uint32_t type) {
  for (auto rest = token; !rest.empty();) {
    const auto found = std::ranges::search(rest, signature);
    if (found.empty()) break;
    rest = rest.subspan(static_cast<std::size_t>(found.begin() - rest.begin()));
    if (rest.size() >= signature.size() + 4 && number(rest, signature.size(), 4) == type) return rest;
    rest = rest.subspan(signature.size());
  }
  return {};
}

std::optional<bool> tells_time(ByteView challenge) {
  const auto pairs = payload(challenge, challenge_target_info);
  if (!pairs) return std::nullopt;
  if (pairs->empty()) return false;
  const auto time = find_pair(*pairs, av_timestamp);
  if (!time) return std::nullopt;
  return time->size() == 8;
}

NtlmProtection protection_of(ByteView authenticate) {
  NtlmProtection protection;
  const auto answer = payload(authenticate, authenticate_nt);
  if (!answer || answer->size() <= v1_size || (*answer)[v2_type] != 1 || answer->size() < v2_pairs)
    return protection;
  protection.v2 = true;
  const auto flags = find_pair(answer->subspan(v2_pairs), av_flags);
  const bool room = std::ranges::all_of(authenticate_fields, [&](std::size_t field) {
    return number(authenticate, field, 2) == 0 ||
           number(authenticate, field + 4, 4) >= authenticate_mic + mic_size;
  });
  protection.mic =
      flags && flags->size() == 4 && (number(*flags, 0, 4) & flag_mic) && room &&
      authenticate.size() >= authenticate_mic + mic_size &&
      std::ranges::any_of(authenticate.subspan(authenticate_mic, mic_size), [](auto b) { return b != 0; });
  return protection;
}

} // namespace auth
