// LOGIN7 (MS-TDS 2.2.6.4). All integers little-endian; 94 bytes fixed, then the variable part:
//
//    0 Length 4       4 TDSVersion 4   8 PacketSize 4  12 ClientProgVer 4  16 ClientPID 4  20 ConnectionID 4
//   24 OptionFlags1  25 OptionFlags2  26 TypeFlags  27 OptionFlags3  28 ClientTimeZone 4  32 ClientLCID 4
//   36 HostName 40 UserName 44 Password 48 AppName 52 ServerName 56 Extension 60 CltIntName 64 Language
//   68 Database (each: ib LE16, cch LE16)  72 ClientID 6  78 ibSSPI 2, cbSSPI 2  82 AtchDBFile
//   86 ChangePassword  90 cbSSPILong 4
//
// Clients before TDS 7.2 send a fixed part of 86 bytes: nothing from 86 on (ChangePassword, cbSSPILong).
#pragma once

#include "tds/secret.hpp"
#include "tds/version.hpp"

#include <array>

namespace tds {

inline constexpr std::size_t largest_login7 = 128 * 1024 - 1; ///< bytes of payload

/// Bits that sqlshim reads or changes.
inline constexpr std::uint8_t option2_odbc = 0x02;
inline constexpr std::uint8_t option2_integrated_security = 0x80;
inline constexpr std::uint8_t type_read_only_intent = 0x20;
inline constexpr std::uint8_t option3_change_password = 0x01;
inline constexpr std::uint8_t option3_extension = 0x10;

enum class FeatureId : std::uint8_t {
  session_recovery = 0x01,
  fedauth = 0x02,
  column_encryption = 0x04,
  global_transactions = 0x05,
  azure_sql_support = 0x08,
  data_classification = 0x09,
  utf8_support = 0x0A,
  azure_dns_caching = 0x0B,
};

/// One FeatureExt entry; unknown ids are kept as bytes, in their order.
struct Feature {
  FeatureId id{};
  Bytes data;
  bool operator==(const Feature &) const = default;
};

/// A LOGIN7 as values. Strings keep every UTF-16 unit as sent. Passwords are held in clear, as Secret
/// (UTF-16LE bytes), and obfuscated only on the wire.
struct Login7 {
  Version tds_version;
  std::uint32_t packet_size = 4096; ///< bytes; 0 (jTDS, TDS 7.0) means the server's default, 4096
  std::uint32_t client_prog_ver = 0;
  std::uint32_t client_pid = 0;
  std::uint32_t connection_id = 0;
  std::uint8_t option_flags1 = 0;
  std::uint8_t option_flags2 = 0;
  std::uint8_t type_flags = 0;
  std::uint8_t option_flags3 = 0;
  std::int32_t client_time_zone = 0; ///< minutes
  std::uint32_t client_lcid = 0;
  std::u16string host_name;
  std::u16string user_name;
  Secret password;
  std::u16string app_name;
  std::u16string server_name;
  std::u16string clt_int_name;
  std::u16string language;
  std::u16string database;
  std::array<std::uint8_t, 6> client_id{};
  Bytes sspi;
  std::u16string attach_db_file;
  Secret change_password;
  bool has_extension = false; ///< fExtension with an Extension field, even where `features` is empty
  std::vector<Feature> features;

  bool integrated_security() const { return option_flags2 & option2_integrated_security; }
  const Feature *find(FeatureId id) const;
  Login7 clone() const; ///< explicit, because of the secrets
};

/// Decodes a whole LOGIN7 payload. The offset of an empty field is not looked at; fields may overlap.
/// Error: Length other than the payload's size, above 128 KiB - 1, the offset of a field that is not empty
/// outside the payload or inside the fixed part, a text longer than MS-TDS allows (128 UTF-16 units;
/// AtchDBFile 260), an Extension field other than one DWORD, a FeatureExt without terminator, a TDSVersion
/// that is not 7.0 to 7.4 or 8.0.
Result<Login7> decode_login7(ByteView payload);
/// The payload, in our own field order (the order of the fixed part, SSPI after ClientID's place, FeatureExt
/// last), all offsets and the inner FeatureExt offset rebuilt. cbSSPI is 0xFFFF and cbSSPILong the length
/// where SSPI has 65535 bytes or more. An empty field points to where it would be; an empty user or password
/// with integrated security to 0, as drivers write it. fExtension is set where there are features. The result
/// holds the password in all but clear: wipe it after use. Error: larger than 128 KiB - 1, a text longer than
/// `decode_login7` takes, an offset that its 16-bit field cannot hold (behind an SSPI token of 64 KiB), or
/// what a login before TDS 7.2 has no place for (ChangePassword, FeatureExt, a long SSPI token).
Result<Bytes> encode_login7(const Login7 &login);

} // namespace tds
