// TLS inside TDS: while they shake hands, both sides wrap their TLS records in PRELOGIN packets; afterwards
// the records stand bare on the wire. Pure.
#pragma once

#include "tds/packet.hpp"

#include <array>
#include <expected>
#include <string>

namespace shim {

/// Payload of the PRELOGIN packets that we send: with its header no packet of the login phase
/// is longer than 4096 bytes.
inline constexpr std::size_t prelogin_payload = tds::login_packet_size - tds::packet_header_size;

/// A flight of records as PRELOGIN packets, each with EOM: that is what SQL Server and
/// its drivers send and expect.
tds::Bytes wrap_in_prelogin(tds::ByteView flight);

/// Finds the payload in a stream of PRELOGIN packets (type 0x12, or 0x04 as some servers send them). Never
/// looks further than it has to: whoever reads asks how many bytes are wanted next, so that nothing behind
/// the last packet is taken from the wire. Holds 8 bytes.
class PreloginUnwrap {
public:
  /// Bytes of the current packet's payload that have not come yet; 0: a header comes next.
  std::size_t payload_left() const { return payload_left_; }
  /// Bytes of a header that are missing; 0 within a payload.
  std::size_t header_missing() const { return payload_left_ ? 0 : tds::packet_header_size - have_; }
  /// Whether a packet has been begun and not ended.
  bool within_packet() const { return payload_left_ != 0 || have_ != 0; }

  /// Takes at most `header_missing()` bytes of a header. Error: what is wrong with it;
  /// nothing may be fed after that.
  std::expected<void, std::string> feed_header(tds::ByteView bytes);
  /// `count` bytes of payload, at most `payload_left()`, have been read.
  void took_payload(std::size_t count) { payload_left_ -= count; }

private:
  std::array<std::uint8_t, tds::packet_header_size> header_{};
  std::size_t have_ = 0;
  std::size_t payload_left_ = 0;
};

} // namespace shim
