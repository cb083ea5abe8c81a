// SMB 2 and 3 as far as a client of named pipes speaks it (MS-SMB2 2.2): headers, requests to write,
// responses to read. Values; every length is checked before anything is taken. All numbers little-endian.
#pragma once

#include "tds/bytes.hpp"

#include <array>

namespace shim::smb {

using tds::Bytes;
using tds::ByteView;
using tds::Result;
using Guid = std::array<std::uint8_t, 16>;
using FileId = std::array<std::uint8_t, 16>;

inline constexpr std::size_t header_size = 64;
inline constexpr std::size_t transform_size = 52;
/// Bytes of one message, either way: no request asks for more than 64 KiB of an answer.
inline constexpr std::size_t largest_message = 128 * 1024;
inline constexpr std::size_t largest_payload = 64 * 1024; ///< of a READ or WRITE: what one credit pays for
inline constexpr std::size_t most_contexts = 16;

enum class Command : std::uint16_t {
  negotiate = 0,
  session_setup = 1,
  logoff = 2,
  tree_connect = 3,
  create = 5,
  close = 6,
  read = 8,
  write = 9,
  ioctl = 11,
  cancel = 12,
};

enum class Dialect : std::uint16_t { v202 = 0x202, v210 = 0x210, v300 = 0x300, v302 = 0x302, v311 = 0x311 };
inline constexpr std::array all_dialects{Dialect::v202, Dialect::v210, Dialect::v300, Dialect::v302,
                                         Dialect::v311};
std::string to_string(Dialect dialect); ///< "3.1.1"

enum class Cipher : std::uint16_t { none, aes128_ccm, aes128_gcm, aes256_ccm, aes256_gcm }; // 2.2.3.1.2
enum class Signer : std::uint16_t { hmac_sha256, aes_cmac, aes_gmac };                      // 2.2.3.1.7
std::string to_string(Cipher cipher); ///< "AES-128-GCM"; none: ""
std::string to_string(Signer signer); ///< "AES-CMAC"

/// Of NTSTATUS (MS-ERREF 2.3.1) what is told apart here.
enum class Status : std::uint32_t {
  success = 0,
  pending = 0x00000103,
  buffer_overflow = 0x80000005,
  invalid_parameter = 0xc000000d,
  end_of_file = 0xc0000011,
  more_processing = 0xc0000016,
  access_denied = 0xc0000022,
  object_name_not_found = 0xc0000034,
  logon_failure = 0xc000006d,
  pipe_not_available = 0xc00000ac,
  pipe_busy = 0xc00000ae,
  pipe_disconnected = 0xc00000b0,
  io_timeout = 0xc00000b5,
  not_supported = 0xc00000bb,
  bad_network_name = 0xc00000cc,
  cancelled = 0xc0000120,
  file_closed = 0xc0000128,
  pipe_broken = 0xc000014b,
  invalid_device_request = 0xc0000010,
  fs_driver_required = 0xc000019c,
  network_session_expired = 0xc000035c,
};
std::string to_string(Status status); ///< "STATUS_LOGON_FAILURE", or "0xc0000123"

inline constexpr std::uint32_t flag_response = 1, flag_async = 2, flag_related = 4, flag_signed = 8;

/// 2.2.1, 64 bytes:
///   0 FE 'S' 'M' 'B' | 4 size=64 | 6 credit charge | 8 status | 12 command | 14 credits | 16 flags | 20 next
///   24 message id | 32 async id, or reserved and 36 tree id | 40 session id | 48 signature
struct Header {
  std::uint16_t charge = 0;
  Status status{};
  Command command{};
  std::uint16_t credits = 0; ///< asked for, or granted
  std::uint32_t flags = 0;
  std::uint32_t next = 0;
  std::uint64_t message_id = 0;
  std::uint64_t async_id = 0; ///< with flag_async, else `tree_id`
  std::uint32_t tree_id = 0;
  std::uint64_t session_id = 0;
  std::array<std::uint8_t, 16> signature{};
};
void encode(tds::Writer &out, const Header &header);
Result<Header> decode_header(ByteView message);

/// 2.2.41, 52 bytes:
///   0 FD 'S' 'M' 'B' | 4 signature | 20 nonce | 36 original size | 40 reserved | 42 flags=1 | 44 session id
struct Transform {
  std::array<std::uint8_t, 16> signature{}, nonce{};
  std::uint32_t size = 0; ///< of what is inside
  std::uint64_t session_id = 0;
};
void encode(tds::Writer &out, const Transform &transform);
/// Fails unless exactly `size` bytes follow.
Result<Transform> decode_transform(ByteView message);

// ---- requests: the bodies behind a header ----

inline constexpr std::uint16_t signing_enabled = 1, signing_required = 2; ///< SecurityMode
inline constexpr std::uint32_t capability_encryption = 0x40;

/// 2.2.3: 36 | dialects | mode | 0 | capabilities | guid | context offset, count, 0 (3.1.1; else 0) |
/// dialects; and with 3.1.1 the contexts of 2.2.3.1: preauthentication (SHA-512, salt), encryption, signing.
struct NegotiateRequest {
  std::vector<Dialect> dialects;
  std::uint16_t mode = signing_enabled | signing_required;
  std::uint32_t capabilities = 0;
  Guid client{};
  Bytes salt; ///< 32 bytes, of 3.1.1
  std::vector<Cipher> ciphers;
  std::vector<Signer> signers;
};
/// 2.2.5: 25 | flags | mode | capabilities | channel | offset, length of the token | previous session
struct SessionSetupRequest {
  std::uint8_t mode = signing_enabled | signing_required;
  Bytes token;
};
/// 2.2.9: 9 | flags | offset, length of the path "\\host\IPC$"
struct TreeConnectRequest {
  std::u16string path;
};
/// 2.2.13: 57 | 0 | oplock | impersonation | … | access | attributes | share | disposition | options |
/// offset, length of the name | of the contexts
struct CreateRequest {
  std::u16string name; ///< "sql\query"
};
/// 2.2.15: 24 | flags | 0 | file
struct CloseRequest {
  FileId file{};
};
/// 2.2.19: 49 | padding | flags | length | offset | file | minimum | channel | remaining | channel info
struct ReadRequest {
  FileId file{};
  std::uint32_t length = 0;
};
/// 2.2.21: 49 | data offset | length | offset | file | channel | remaining | channel info | flags
struct WriteRequest {
  FileId file{};
  ByteView data;
};
inline constexpr std::uint32_t fsctl_pipe_wait = 0x00110018, fsctl_validate_negotiate = 0x00140204;
inline constexpr FileId no_file{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
/// 2.2.31: 57 | 0 | code | file | input offset, count, maximum | output offset, count, maximum | flags=1 | 0
struct IoctlRequest {
  std::uint32_t code = 0;
  FileId file = no_file;
  Bytes input;
  std::uint32_t most_output = 0;
};
void encode(tds::Writer &out, const NegotiateRequest &request);
void encode(tds::Writer &out, const SessionSetupRequest &request);
void encode(tds::Writer &out, const TreeConnectRequest &request);
void encode(tds::Writer &out, const CreateRequest &request);
void encode(tds::Writer &out, const CloseRequest &request);
void encode(tds::Writer &out, const ReadRequest &request);
void encode(tds::Writer &out, const WriteRequest &request);
void encode(tds::Writer &out, const IoctlRequest &request);
/// 2.2.7 LOGOFF and 2.2.30 CANCEL: 4 | 0
void encode_empty(tds::Writer &out);

/// 2.2.31.1: timeout in 100 ns | length of the name | timeout specified | 0 | name
Bytes encode_pipe_wait(std::u16string_view name, std::uint64_t milliseconds);
/// 2.2.31.4: capabilities | guid | mode | dialects. What was asked, told again under a signature.
Bytes encode_validate_negotiate(const NegotiateRequest &request);

// ---- responses: from the whole message, its header included, since offsets count from there ----

/// 2.2.4: 65 | mode | dialect | contexts | guid | capabilities | sizes | times | token | context offset
struct NegotiateResponse {
  std::uint16_t mode = 0;
  Dialect dialect{};
  Guid server{};
  std::uint32_t capabilities = 0;
  std::uint32_t largest_transact = 0, largest_read = 0, largest_write = 0;
  bool preauth_sha512 = false; ///< 3.1.1
  std::optional<Cipher> cipher;
  std::optional<Signer> signer;
};
inline constexpr std::uint16_t session_guest = 1, session_anonymous = 2, session_encrypts = 4;
/// 2.2.6: 9 | flags | offset, length of the token
struct SessionSetupResponse {
  std::uint16_t flags = 0;
  Bytes token;
};
inline constexpr std::uint8_t share_is_pipe = 2;
inline constexpr std::uint32_t share_encrypts = 0x8000;
/// 2.2.10: 16 | type | 0 | flags | capabilities | access
struct TreeConnectResponse {
  std::uint8_t type = 0;
  std::uint32_t flags = 0;
};
/// 2.2.32.6: capabilities | guid | mode | dialect
struct ValidateNegotiateResponse {
  std::uint32_t capabilities = 0;
  Guid server{};
  std::uint16_t mode = 0, dialect = 0;
};
Result<NegotiateResponse> decode_negotiate_response(ByteView message);
Result<SessionSetupResponse> decode_session_setup_response(ByteView message);
Result<TreeConnectResponse> decode_tree_connect_response(ByteView message);
Result<FileId> decode_create_response(ByteView message); ///< 2.2.14: 89 | … | 64 file
Result<ByteView> decode_read_response(ByteView message); ///< 2.2.20: 17 | data offset | 0 | length: the data
Result<std::uint32_t> decode_write_response(ByteView message); ///< 2.2.22: 17 | 0 | count
Result<ByteView> decode_ioctl_response(ByteView message);      ///< 2.2.32: 49 | … : the output
Result<ValidateNegotiateResponse> decode_validate_negotiate_response(ByteView output);

} // namespace shim::smb
