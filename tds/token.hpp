// Tokens of a login reply (MS-TDS 2.2.7). Their sizes depend on the TDS version that was agreed: before 7.2,
// ERROR and INFO carry a line number of 2 bytes and DONE is 8 bytes; from 7.2 on 4 and 12.
//
//   0xAA ERROR, 0xAB INFO   LE16 length, Number 4, State 1, Class 1, US_VARCHAR text, B_VARCHAR server,
//                           B_VARCHAR proc, Line 2|4
//   0xAD LOGINACK           LE16 length, Interface 1, TDSVersion BE32, B_VARCHAR program, version 4
//   0xAE FEATUREEXTACK      { id 1, LE32 length, data }* 0xFF
//   0xE3 ENVCHANGE          LE16 length, type 1, data
//   0xE4 SESSIONSTATE       LE32 length, data
//   0xED SSPI               LE16 length, data
//   0xEE FEDAUTHINFO        LE32 length, data
//   0x79 RETURNSTATUS       4
//   0xFD DONE, 0xFE DONEPROC, 0xFF DONEINPROC   Status 2, CurCmd 2, RowCount 4|8
#pragma once

#include "tds/bytes.hpp"
#include "tds/login7.hpp"
#include "tds/packet.hpp"
#include "tds/version.hpp"

#include <variant>

namespace tds {

/// ERROR or INFO.
struct ServerMessage {
  bool error = true;
  std::uint32_t number = 0;
  std::uint8_t state = 0;
  std::uint8_t severity = 0; ///< "Class" in MS-TDS
  std::u16string text{};
  std::u16string server{};
  std::u16string procedure{};
  std::uint32_t line = 0;
  bool operator==(const ServerMessage &) const = default;
};

struct LoginAck {
  std::uint8_t interface = 1;
  Version version;
  std::u16string program;
  std::array<std::uint8_t, 4> program_version{};
  bool operator==(const LoginAck &) const = default;
};

enum class EnvChangeType : std::uint8_t {
  database = 1,
  language = 2,
  packet_size = 4,
  collation = 7,
  mirroring_partner = 13,
  routing = 20,
  enhanced_routing = 21
};

/// `data` is everything after the type byte, as sent.
struct EnvChange {
  EnvChangeType type{};
  Bytes data;
  /// The new value of a B_VARCHAR change (database, language, packet size, mirroring partner);
  /// empty where there is none.
  std::u16string new_text() const;
  bool operator==(const EnvChange &) const = default;
};

/// Where ENVCHANGE 20 or 21 sends the client.
struct Routing {
  std::u16string server;
  std::uint16_t port = 0;
  std::u16string database{}; ///< of the enhanced one (21): what the login asks for there
  bool enhanced = false;
};
Result<Routing> decode_routing(const EnvChange &change);

struct FeatureExtAck {
  std::vector<Feature> features;
  bool operator==(const FeatureExtAck &) const = default;
};

struct SspiToken {
  Bytes data;
  bool operator==(const SspiToken &) const = default;
};

enum class DoneKind : std::uint8_t { done = 0xFD, doneproc = 0xFE, doneinproc = 0xFF };
inline constexpr std::uint16_t done_more = 0x0001;
inline constexpr std::uint16_t done_error = 0x0002;
inline constexpr std::uint16_t done_count = 0x0010;
inline constexpr std::uint16_t done_attention = 0x0020;

struct Done {
  DoneKind kind = DoneKind::done;
  std::uint16_t status = 0;
  std::uint16_t command = 0;
  std::uint64_t row_count = 0;
  bool operator==(const Done &) const = default;
};

/// SESSIONSTATE, FEDAUTHINFO, RETURNSTATUS: known by size, kept as bytes (after the length field).
struct OpaqueToken {
  std::uint8_t type = 0;
  Bytes data;
  bool operator==(const OpaqueToken &) const = default;
};

using Token = std::variant<ServerMessage, LoginAck, EnvChange, FeatureExtAck, SspiToken, Done, OpaqueToken>;

/// Reads one token. Error: a token type that has no place in a login reply, a length that
/// does not fit its content.
Result<Token> decode_token(Reader &in, Version version);
/// Reads a whole message of tokens, to its last byte.
Result<std::vector<Token>> decode_tokens(ByteView payload, Version version);
/// A text that is too long for its length field is cut at a code point. An SSPI token above 65,535
/// bytes is a programming error.
void encode_token(Writer &out, const Token &token, Version version);
Bytes encode_tokens(const std::vector<Token> &tokens, Version version);

/// In which form a client can read an error now.
struct Dialect {
  bool tds4 = false; ///< a TDS 4.2 login came: 8-bit texts
  Version version{};
};

/// A whole reply message (packets included) that refuses a login: ERROR, then DONE with the error bit.
Bytes encode_refusal(const Dialect &dialect, const ServerMessage &message);
/// The same with several ERRORs, one after the other.
Bytes encode_refusal(const Dialect &dialect, std::span<const ServerMessage> messages);

} // namespace tds
