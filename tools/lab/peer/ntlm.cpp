#include "tools/lab/peer/ntlm.hpp"

#include "tools/lab/files.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

namespace lab {
namespace {

using namespace ntlm;

constexpr std::string_view signature("NTLMSSP\0", 8);
constexpr std::size_t hash_size = 16; // MD4, MD5, and every key here

// ----------------------------------------------------------------------------------------------------
// algorithms

/// MD4 and RC4 are in OpenSSL's legacy provider alone. It is loaded into a library context of its own: TLS in
/// this process shall not get RC4 from it.
OSSL_LIB_CTX *algorithms() {
  struct Library {
    std::unique_ptr<OSSL_LIB_CTX, decltype(&OSSL_LIB_CTX_free)> context{OSSL_LIB_CTX_new(),
                                                                        OSSL_LIB_CTX_free};
    OSSL_PROVIDER *standard = OSSL_PROVIDER_load(context.get(), "default");
    OSSL_PROVIDER *legacy = OSSL_PROVIDER_load(context.get(), "legacy");
    ~Library() {
      if (legacy) OSSL_PROVIDER_unload(legacy);
      if (standard) OSSL_PROVIDER_unload(standard);
    }
  };
  static const Library library;
  if (!library.standard || !library.legacy)
    throw LabError(
        "OpenSSL's legacy provider (legacy.so, package libssl3) cannot be loaded: NTLM needs its MD4 and RC4");
  return library.context.get();
}

tds::Bytes digest(const char *name, tds::ByteView data) {
  tds::Bytes out(hash_size);
  if (!EVP_Q_digest(algorithms(), name, nullptr, data.data(), data.size(), out.data(), nullptr))
    throw LabError(fmt::format("OpenSSL has no {}", name));
  return out;
}

tds::Bytes hmac_md5(tds::ByteView key, std::initializer_list<tds::ByteView> parts) {
  tds::Writer data;
  for (const auto part : parts)
    data.append(part);
  tds::Bytes out(hash_size);
  std::size_t size = 0;
  if (!EVP_Q_mac(algorithms(), "HMAC", nullptr, "MD5", nullptr, key.data(), key.size(), data.bytes().data(),
                 data.size(), out.data(), out.size(), &size))
    throw LabError("OpenSSL has no HMAC-MD5");
  return out;
}

tds::Bytes rc4(tds::ByteView key, tds::ByteView data) {
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher(
      EVP_CIPHER_fetch(algorithms(), "RC4", nullptr), EVP_CIPHER_free);
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                EVP_CIPHER_CTX_free);
  tds::Bytes out(data.size());
  int size = 0;
  if (!cipher || !EVP_EncryptInit_ex2(context.get(), cipher.get(), key.data(), nullptr, nullptr) ||
      !EVP_EncryptUpdate(context.get(), out.data(), &size, data.data(), static_cast<int>(data.size())))
    throw LabError("OpenSSL has no RC4");
  return out;
}

// ----------------------------------------------------------------------------------------------------
// names

/// Of ASCII letters: the lab's accounts have no others. (Windows has a table for all of Unicode.)
std::u16string upper(std::u16string_view text) {
  std::u16string result(text);
  for (auto &unit : result)
    if (unit >= u'a' && unit <= u'z') unit = static_cast<char16_t>(unit - (u'a' - u'A'));
  return result;
}

bool same_name(std::u16string_view sent, std::string_view known) {
  return upper(sent) == upper(tds::to_utf16(known));
}

std::string lower(std::string text) {
  for (auto &letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + ('a' - 'A'));
  return text;
}

tds::Bytes utf16_bytes(std::string_view text) {
  tds::Writer out;
  out.utf16(tds::to_utf16(text));
  return std::move(out).bytes();
}

// ----------------------------------------------------------------------------------------------------
// structures

/// A part of the payload: its length (2 bytes), the same again (what was allocated), its offset from the
/// message's first byte (4).
struct Place {
  std::uint16_t length = 0;
  std::uint32_t offset = 0;
};

Place read_place(tds::Fields &in, std::string_view field) {
  Place place;
  place.length = in.u16_le(field);
  in.u16_le(field);
  place.offset = in.u32_le(field);
  return place;
}

/// The bytes at a place, which must lie behind the first `fixed` ones.
tds::ByteView part(tds::Fields &in, const tds::Reader &reader, tds::ByteView message, Place place,
                   std::size_t fixed, std::string_view field) {
  if (!in.ok() || place.length == 0) return {};
  if (place.offset < fixed)
    in.fail(reader.error(field, fmt::format("begins at {}, inside the fixed part", place.offset)));
  else if (place.offset > message.size() || place.length > message.size() - place.offset)
    in.fail(reader.error(field, fmt::format("points past the end ({} + {} > {})", place.offset, place.length,
                                            message.size())));
  if (!in.ok()) return {};
  return message.subspan(place.offset, place.length);
}

std::u16string text_of(tds::ByteView bytes) {
  tds::Reader reader(bytes, "text");
  return reader.utf16(bytes.size() / 2, "text").value_or(u"");
}

void read_start(tds::Fields &in, std::uint32_t type) {
  const auto start = in.take(signature.size(), "Signature");
  if (in.ok() &&
      !std::ranges::equal(start, signature, {}, {}, [](char c) { return static_cast<std::uint8_t>(c); }))
    in.reject("Signature", "is not NTLMSSP");
  const auto told = in.u32_le("MessageType");
  if (in.ok() && told != type) in.reject("MessageType", fmt::format("is {}, not {}", told, type));
}

/// MS-NLMP 2.2.1.1, NEGOTIATE_MESSAGE. All integers are little-endian. Old clients end it after the flags.
///
///    0  Signature           8  "NTLMSSP\0"
///    8  MessageType         4  1
///   12  NegotiateFlags      4
///   16  DomainNameFields    8  a place; OEM characters; only with DOMAIN_SUPPLIED
///   24  WorkstationFields   8  the same; only with WORKSTATION_SUPPLIED
///   32  Version             8  may be left out
///       payload
///
/// The names are of no use to a server: only the flags are told.
tds::Result<std::uint32_t> decode_negotiate(tds::ByteView message) {
  constexpr std::size_t fixed = 32;
  tds::Reader reader(message, "NEGOTIATE_MESSAGE");
  tds::Fields in(reader);
  read_start(in, 1);
  const auto flags = in.u32_le("NegotiateFlags");
  if (in.ok() && (flags & (domain_supplied | workstation_supplied))) {
    const auto domain = read_place(in, "DomainNameFields");
    const auto workstation = read_place(in, "WorkstationFields");
    if (flags & domain_supplied) part(in, reader, message, domain, fixed, "DomainNameFields");
    if (flags & workstation_supplied) part(in, reader, message, workstation, fixed, "WorkstationFields");
  }
  return in.finish(flags);
}

/// MS-NLMP 2.2.1.3, AUTHENTICATE_MESSAGE.
///
///    0  Signature                        8  "NTLMSSP\0"
///    8  MessageType                      4  3
///   12  LmChallengeResponseFields        8  a place
///   20  NtChallengeResponseFields        8  a place: NTLMv2_RESPONSE
///   28  DomainNameFields                 8  a place
///   36  UserNameFields                   8  a place
///   44  WorkstationFields                8  a place
///   52  EncryptedRandomSessionKeyFields  8  a place: 16 bytes with KEY_EXCH, else none
///   60  NegotiateFlags                   4
///   64  Version                          8  may be left out where there is no MIC
///   72  MIC                             16  only where MsvAvFlags says so
///       payload
struct Authenticate {
  tds::ByteView lm, nt, key;
  std::u16string domain, user, workstation;
  std::uint32_t flags = 0;
  std::size_t payload = 0; ///< the least offset of a part that is not empty; the message's size where all are
};

tds::Result<Authenticate> decode_authenticate(tds::ByteView message) {
  constexpr std::size_t fixed = 64;
  tds::Reader reader(message, "AUTHENTICATE_MESSAGE");
  tds::Fields in(reader);
  read_start(in, 3);
  constexpr std::string_view names[] = {"LmChallengeResponseFields", "NtChallengeResponseFields",
                                        "DomainNameFields",          "UserNameFields",
                                        "WorkstationFields",         "EncryptedRandomSessionKeyFields"};
  Place places[std::size(names)];
  for (std::size_t index = 0; index < std::size(names); ++index)
    places[index] = read_place(in, names[index]);
  Authenticate result;
  result.flags = in.u32_le("NegotiateFlags");
  result.payload = message.size();
  tds::ByteView parts[std::size(names)];
  for (std::size_t index = 0; index < std::size(names); ++index) {
    parts[index] = part(in, reader, message, places[index], fixed, names[index]);
    if (!parts[index].empty()) result.payload = std::min<std::size_t>(result.payload, places[index].offset);
  }
  for (const std::size_t text : {2, 3, 4})
    if (parts[text].size() % 2 != 0) in.fail(reader.error(names[text], "is half a UTF-16 unit too long"));
  if (in.ok() && !(result.flags & unicode)) in.fail(reader.error("NegotiateFlags", "have not UNICODE"));
  result.lm = parts[0];
  result.nt = parts[1];
  result.domain = text_of(parts[2]);
  result.user = text_of(parts[3]);
  result.workstation = text_of(parts[4]);
  result.key = parts[5];
  return in.finish(std::move(result));
}

/// MS-NLMP 2.2.2.1, AV_PAIRs: AvId (2), AvLen (2), Value, …, up to MsvAvEOL. By id.
tds::Result<std::map<std::uint16_t, tds::ByteView>> decode_av_pairs(tds::ByteView bytes) {
  tds::Reader reader(bytes, "AV_PAIR");
  tds::Fields in(reader);
  std::map<std::uint16_t, tds::ByteView> pairs;
  while (in.ok()) {
    const auto id = in.u16_le("AvId");
    const auto length = in.u16_le("AvLen");
    const auto value = in.take(length, "Value");
    if (in.ok() && id == av_end && length != 0) in.reject("AvLen", "of MsvAvEOL is not 0");
    if (!in.ok() || id == av_end) break;
    if (!pairs.try_emplace(id, value).second) in.reject("AvId", fmt::format("0x{:04X} stands twice", id));
  }
  return in.finish(std::move(pairs));
}

/// MS-NLMP 2.2.2.8, NTLMv2_RESPONSE: a proof, and NTLMv2_CLIENT_CHALLENGE (2.2.2.7), which it is over.
///
///    0  NTProofStr           16
///   16  RespType              1  1
///   17  HiRespType            1  1
///   18  Reserved              6
///   24  TimeStamp             8  FILETIME
///   32  ChallengeFromClient   8
///   40  Reserved              4
///   44  AvPairs
struct ResponseV2 {
  tds::ByteView proof, rest;
  std::uint32_t flags = 0; ///< MsvAvFlags
  std::u16string target_name;
  tds::ByteView channel; ///< MsvAvChannelBindings; empty where there is none, or zeros, which say the same
};

tds::Result<ResponseV2> decode_response(tds::ByteView response) {
  tds::Reader reader(response, "NTLMv2_RESPONSE");
  tds::Fields in(reader);
  ResponseV2 result;
  result.proof = in.take(hash_size, "NTProofStr");
  result.rest = reader.rest();
  const auto type = in.u16_le("RespType");
  if (in.ok() && type != 0x0101) in.reject("RespType", "is not 1");
  in.take(6, "Reserved");
  in.u64_le("TimeStamp");
  in.u64_le("ChallengeFromClient");
  in.u32_le("Reserved");
  if (!in.ok()) return in.finish(std::move(result));
  const auto pairs = decode_av_pairs(reader.rest());
  if (!pairs) return std::unexpected(pairs.error());
  const auto sized = [&](std::uint16_t id, std::size_t size) -> tds::ByteView {
    const auto found = pairs->find(id);
    if (found == pairs->end()) return {};
    if (found->second.size() != size)
      in.reject("AvPairs", fmt::format("0x{:04X} has not {} bytes", id, size));
    return found->second;
  };
  if (const auto flags = sized(av_flags, 4); in.ok() && !flags.empty())
    result.flags = tds::Reader(flags, "MsvAvFlags").u32_le("Value").value_or(0);
  result.channel = sized(av_channel_bindings, hash_size);
  if (std::ranges::all_of(result.channel, [](std::uint8_t byte) { return byte == 0; })) result.channel = {};
  if (const auto name = pairs->find(av_target_name); name != pairs->end())
    result.target_name = text_of(name->second);
  return in.finish(std::move(result));
}

} // namespace

tds::Bytes ntowf_v2(std::u16string_view user, std::u16string_view domain, std::string_view password) {
  tds::Writer name;
  name.utf16(upper(user));
  name.utf16(domain);
  return hmac_md5(digest("MD4", utf16_bytes(password)), {name.bytes()});
}

tds::Bytes ntlm_channel_hash(tds::ByteView application_data) {
  // gss_channel_bindings_struct (RFC 2744 3.11): two addresses of type 0 and length 0,
  // then the application's data
  tds::Writer out;
  for (int zero = 0; zero < 4; ++zero)
    out.u32_le(0);
  out.u32_le(static_cast<std::uint32_t>(application_data.size()));
  out.append(application_data);
  return digest("MD5", out.bytes());
}

/// AV_PAIRs of the challenge, in Windows' order.
tds::Bytes NtlmAcceptor::target_info() const {
  const bool alone = options_.domains.empty(); // a server in no domain is its own
  const auto realm = alone ? std::string() : options_.domains.begin()->first;
  const auto domain = alone ? options_.computer : options_.domains.begin()->second;
  const auto dns_domain = lower(realm);
  const auto dns_computer = lower(options_.computer) + (realm.empty() ? "" : "." + dns_domain);
  tds::Writer out;
  const auto pair = [&](std::uint16_t id, tds::ByteView value) {
    out.u16_le(id);
    out.u16_le(static_cast<std::uint16_t>(value.size()));
    out.append(value);
  };
  pair(av_domain, utf16_bytes(domain));
  pair(av_computer, utf16_bytes(options_.computer));
  pair(av_dns_domain, utf16_bytes(dns_domain));
  pair(av_dns_computer, utf16_bytes(dns_computer));
  pair(av_dns_tree, utf16_bytes(dns_domain));
  if (options_.timestamp) { // FILETIME: 100 ns since 1601
    using Ticks = std::chrono::duration<std::int64_t, std::ratio<1, 10'000'000>>;
    constexpr std::chrono::seconds from_1601_to_1970(11'644'473'600);
    // In ticks from the first: as nanoseconds, years since 1601 are more than 64 bits hold.
    const auto now = std::chrono::duration_cast<Ticks>(std::chrono::system_clock::now().time_since_epoch());
    tds::Writer ticks;
    ticks.u64_le(static_cast<std::uint64_t>((now + from_1601_to_1970).count()));
    pair(av_timestamp, ticks.bytes());
  }
  pair(av_end, {});
  return std::move(out).bytes();
}

/// MS-NLMP 2.2.1.2, CHALLENGE_MESSAGE.
///
///    0  Signature         8  "NTLMSSP\0"
///    8  MessageType       4  2
///   12  TargetNameFields  8  a place: the domain
///   20  NegotiateFlags    4
///   24  ServerChallenge   8
///   32  Reserved          8
///   40  TargetInfoFields  8  a place: AV_PAIRs
///   48  Version           8  zeros unless asked for
///   56  payload
NtlmAcceptor::Outcome<tds::Bytes> NtlmAcceptor::challenge(tds::ByteView negotiate) {
  const auto asked = decode_negotiate(negotiate);
  if (!asked) return std::unexpected(asked.error().text());
  if (!(*asked & unicode)) return std::unexpected("The client's NTLM cannot do Unicode.");
  if (!(*asked & ntlm::ntlm)) return std::unexpected("The client's NEGOTIATE_MESSAGE does not ask for NTLM.");
  if (options_.server_challenge.empty()) {
    options_.server_challenge.resize(8);
    if (RAND_bytes(options_.server_challenge.data(), 8) != 1) throw LabError("OpenSSL has no random bytes");
  }
  constexpr std::uint32_t granted_if_asked = unicode | request_target | sign | seal |
                                             extended_session_security | version | key_128 | key_exchange |
                                             key_56;
  auto flags = (*asked & granted_if_asked) | ntlm::ntlm | always_sign | ntlm::target_info;
  tds::Bytes name;
  if (flags & request_target) {
    flags |= target_type_domain;
    name = utf16_bytes(options_.domains.empty() ? options_.computer : options_.domains.begin()->second);
  }
  const auto info = target_info();

  constexpr std::size_t fixed = 56;
  tds::Writer out;
  const auto place = [&](std::size_t size, std::size_t offset) {
    out.u16_le(static_cast<std::uint16_t>(size));
    out.u16_le(static_cast<std::uint16_t>(size));
    out.u32_le(static_cast<std::uint32_t>(offset));
  };
  for (const char letter : signature)
    out.u8(static_cast<std::uint8_t>(letter));
  out.u32_le(2);
  place(name.size(), fixed);
  out.u32_le(flags);
  out.append(options_.server_challenge);
  out.u64_le(0);
  place(info.size(), fixed + name.size());
  // MS-NLMP 2.2.2.10: 10.0, build 20348 (Windows Server 2022), NTLMSSP_REVISION_W2K3
  constexpr std::uint8_t server_2022[] = {0x0A, 0x00, 0x7C, 0x4F, 0x00, 0x00, 0x00, 0x0F};
  flags &version ? out.append(server_2022) : out.u64_le(0);
  out.append(name);
  out.append(info);
  negotiate_.assign(negotiate.begin(), negotiate.end());
  challenge_ = std::move(out).bytes();
  return challenge_;
}

NtlmAcceptor::Outcome<void> NtlmAcceptor::authenticate(tds::ByteView bytes) {
  const auto message = decode_authenticate(bytes);
  if (!message) return std::unexpected(message.error().text());
  client_.user = tds::to_utf8(message->user);
  client_.domain = tds::to_utf8(message->domain);
  client_.workstation = tds::to_utf8(message->workstation);
  client_.flags = message->flags;
  if (message->nt.empty())
    return std::unexpected("The client sent no NTLMv2 response: it is anonymous, or knows LM alone.");
  if (message->nt.size() == 24)
    return std::unexpected("The client's response is NTLMv1, which this server does not take.");
  const auto response = decode_response(message->nt);
  if (!response) return std::unexpected(response.error().text());
  client_.target_name = tds::to_utf8(response->target_name);

  const std::string *password = nullptr;
  for (const auto &[principal, its_password] : options_.accounts) {
    const auto at = principal.rfind('@');
    const auto realm = at == principal.npos ? std::string() : principal.substr(at + 1);
    const auto domain = options_.domains.find(realm);
    const bool its_domain = same_name(message->domain, realm) ||
                            (domain != options_.domains.end() && same_name(message->domain, domain->second));
    const bool fits = message->domain.empty()
                          ? same_name(message->user, principal)
                          : its_domain && same_name(message->user, principal.substr(0, at));
    if (!fits) continue;
    client_.principal = principal;
    password = &its_password;
  }
  if (!password)
    return std::unexpected(fmt::format("There is no account {}\\{}.", client_.domain, client_.user));

  // MS-NLMP 3.3.2 and 3.4.5.1: with NTLMv2 KeyExchangeKey is SessionBaseKey.
  const auto key = ntowf_v2(message->user, message->domain, *password);
  if (!std::ranges::equal(hmac_md5(key, {options_.server_challenge, response->rest}), response->proof))
    return std::unexpected(fmt::format("The proof of {}\\{} does not fit the account's password.",
                                       client_.domain, client_.user));
  session_key_ = hmac_md5(key, {response->proof});
  if (message->flags & key_exchange) {
    if (message->key.size() != hash_size)
      return std::unexpected("The client's session key has not 16 bytes.");
    session_key_ = rc4(session_key_, message->key);
  }

  if (response->flags & av_flag_mic) {
    if (message->payload < mic_offset + mic_size)
      return std::unexpected("The client's MsvAvFlags tell of a MIC, and its place is not free.");
    tds::Bytes without(bytes.begin(), bytes.end());
    const auto place = bytes.subspan(mic_offset, mic_size);
    std::fill_n(without.begin() + mic_offset, mic_size, std::uint8_t{0});
    if (!std::ranges::equal(hmac_md5(session_key_, {negotiate_, challenge_, without}), place))
      return std::unexpected(
          "The client's MIC does not fit the three messages: one of them was changed on its way.");
    client_.mic = true;
  }

  if (options_.bindings.empty() || response->channel.empty()) return {};
  const bool equal = std::ranges::equal(ntlm_channel_hash(options_.bindings), response->channel);
  client_.binding = equal ? Binding::equal : Binding::different;
  if (!equal) return std::unexpected("The client is bound to another channel.");
  return {};
}

} // namespace lab
