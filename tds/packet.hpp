// TDS packets and the messages they carry (MS-TDS 2.2.3).
//
//   byte  0      1       2..3          4..5      6         7
//         Type   Status  Length (BE,   SPID(BE)  PacketID  Window (0)
//                        with header)
#pragma once

#include "tds/bytes.hpp"

#include <optional>

namespace tds {

enum class PacketType : std::uint8_t {
  sql_batch = 0x01,
  tds4_login = 0x02,
  rpc = 0x03,
  reply = 0x04,
  attention = 0x06,
  bulk = 0x07,
  fedauth_token = 0x08,
  transaction_manager = 0x0E,
  login7 = 0x10,
  sspi = 0x11,
  prelogin = 0x12,
};

/// Status bits (MS-TDS 2.2.3.1.2).
inline constexpr std::uint8_t status_eom = 0x01;
inline constexpr std::uint8_t status_ignore = 0x02;

inline constexpr std::size_t packet_header_size = 8;
/// No packet of the login phase is longer (MS-TDS 2.2.3.1.3); what we send before login keeps to it.
inline constexpr std::size_t login_packet_size = 4096;
/// What we accept in the login phase: some servers and clients already use the size that they will propose.
inline constexpr std::size_t largest_packet_size = 32767;

struct PacketHeader {
  PacketType type{};
  std::uint8_t status = 0;
  std::uint16_t length = 0; ///< bytes, header included
  std::uint16_t spid = 0;
  std::uint8_t packet_id = 0;
  std::uint8_t window = 0;

  bool operator==(const PacketHeader &) const = default;
};

/// Decodes the 8 bytes of a header. Error: fewer than 8 bytes, Length below 8. Types are not judged here.
Result<PacketHeader> decode_packet_header(ByteView bytes);
void encode_packet_header(Writer &out, const PacketHeader &header);

/// One whole message: the payloads of its packets, joined.
struct Message {
  PacketType type{};
  std::uint16_t spid = 0; ///< of its last packet
  Bytes payload;
};

/// Joins packets into messages. Bounds: a message longer than `max_message` bytes of payload, or a packet
/// longer than `largest_packet_size`, is an Error as soon as its header tells so, before anything is stored
/// for it. All packets of a message have the type of its first. Keeps at most one message, one packet and
/// what the last `feed()` brought, as long as `next()` is asked until it has nothing more before the next
/// `feed()`. Consumed bytes are wiped.
class MessageReader {
public:
  explicit MessageReader(std::size_t max_message) : max_message_(max_message) {}

  /// Adds bytes as they came from the wire, cut anywhere.
  void feed(ByteView bytes);
  /// The next whole message; nullopt when more bytes are needed; Error once the stream is
  /// unusable (and ever after).
  Result<std::optional<Message>> next();
  /// Bytes that were fed and are not part of a message handed out: early data, where nothing may follow.
  std::size_t unread() const { return buffer_.size() - used_ + payload_.size(); }
  /// Whole packets consumed since the beginning, those of a message that is not whole yet included.
  std::size_t packets() const { return packets_; }
  /// Bytes that were fed behind the last whole packet.
  std::size_t behind() const { return buffer_.size() - used_; }
  /// Hands out what `behind()` counts, for somebody else to read. Only between two messages.
  Bytes take_behind();
  /// The first byte fed and not yet consumed, if any: tells PRELOGIN from LOGIN7 from a TLS ClientHello.
  std::optional<std::uint8_t> first_byte() const;
  /// Limits the next message to `max_message` bytes of payload.
  void limit(std::size_t max_message) { max_message_ = max_message; }

private:
  std::optional<Error> judge(const PacketHeader &header) const;

  std::size_t max_message_;
  Bytes buffer_; // as fed
  std::size_t used_ =
      0; // bytes of buffer_ that are consumed; they go with the next feed(), not one message at a time
  std::size_t packets_ = 0;
  Bytes payload_; // of the packets of the message so far
  std::optional<PacketType> type_;
  std::optional<Error> failed_;
};

/// Cuts `payload` into packets of at most `packet_size` bytes (header included; 9 to
/// `largest_packet_size`, else the nearer of the two), the last with EOM, PacketID from 1 counting modulo
/// 256. An empty payload is one packet with EOM.
Bytes encode_message(PacketType type, ByteView payload, std::size_t packet_size = login_packet_size,
                     std::uint16_t spid = 0);

} // namespace tds
