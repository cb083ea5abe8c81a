// PRELOGIN, the first message of either side (MS-TDS 2.2.6.5). Payload:
//
//   { token 1, offset BE16 (from the payload's start), length BE16 }*  0xFF  data...
#pragma once

#include "tds/bytes.hpp"

#include <array>
#include <optional>
#include <string>

namespace tds {

enum class PreloginToken : std::uint8_t {
  version = 0x00,
  encryption = 0x01,
  instopt = 0x02,
  threadid = 0x03,
  mars = 0x04,
  traceid = 0x05,
  fedauthrequired = 0x06,
  nonce = 0x07,
};

/// The low six bits of ENCRYPTION; 0x80 (client certificate) is kept in the byte and
/// ignored by `encryption()`.
enum class Encryption : std::uint8_t { off = 0x00, on = 0x01, not_sup = 0x02, req = 0x03 };
std::string to_string(Encryption value);

/// major, minor, build (BE16), sub-build (LE16): 6 bytes on the wire.
struct ServerVersion {
  std::uint8_t major = 16;
  std::uint8_t minor = 0;
  std::uint16_t build = 0;
  std::uint16_t sub_build = 0;

  std::string text() const; ///< "16.0.600"
  bool operator==(const ServerVersion &) const = default;
};

struct PreloginOption {
  PreloginToken token{};
  Bytes data;
  bool operator==(const PreloginOption &) const = default;
};

/// The options in the order in which they stand on the wire; unknown ones are kept as bytes.
struct Prelogin {
  std::vector<PreloginOption> options;

  const PreloginOption *find(PreloginToken token) const;
  bool has(PreloginToken token) const { return find(token) != nullptr; }
  void set(PreloginToken token, Bytes data); ///< replaces, or appends

  std::optional<ServerVersion> version() const;
  std::optional<Encryption> encryption() const; ///< nullopt: absent, or not one of the four
  bool mars() const;                            ///< option present and 1
  bool fedauth_required() const;                ///< option present and 1

  void set_version(ServerVersion version);
  void set_encryption(Encryption value);
  void set_mars(bool on);

  bool operator==(const Prelogin &) const = default;
};

/// Error: option table without 0xFF, data outside the payload, an option twice, a length that its option does
/// not allow (VERSION 6, ENCRYPTION 1, MARS 1, …), options that are longer together than the payload, no
/// VERSION first (MS-TDS: VERSION is required, and first).
Result<Prelogin> decode_prelogin(ByteView payload);
/// The payload, without packet header: table, 0xFF, then the data in the order of the table.
Bytes encode_prelogin(const Prelogin &prelogin);

/// One line for a person and for the decision log: "VERSION 9.0.0, ENCRYPTION off,
/// INSTOPT, THREADID, MARS 0".
std::string describe(const Prelogin &prelogin);

} // namespace tds
