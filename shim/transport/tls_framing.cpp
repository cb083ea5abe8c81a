#include "shim/transport/tls_framing.hpp"

#include <algorithm>

namespace shim {

tds::Bytes wrap_in_prelogin(tds::ByteView flight) {
  tds::Writer out;
  for (std::uint8_t packet_id = 0; !flight.empty(); ++packet_id) {
    auto payload = flight.first(std::min(flight.size(), prelogin_payload));
    auto length = static_cast<std::uint16_t>(payload.size() + tds::packet_header_size);
    tds::encode_packet_header(out, {tds::PacketType::prelogin, tds::status_eom, length, 0, packet_id, 0});
    out.append(payload);
    flight = flight.subspan(payload.size());
  }
  return std::move(out).bytes();
}

std::expected<void, std::string> PreloginUnwrap::feed_header(tds::ByteView bytes) {
  std::ranges::copy(bytes, header_.begin() + static_cast<std::ptrdiff_t>(have_));
  have_ += bytes.size();
  if (have_ < tds::packet_header_size) return {};
  have_ = 0;
  auto header = tds::decode_packet_header(header_);
  if (!header) return std::unexpected("a packet header that is none: " + header.error().text());
  if (header->type != tds::PacketType::prelogin && header->type != tds::PacketType::reply)
    return std::unexpected("a packet of type " + std::to_string(static_cast<int>(header->type)) +
                           " instead of PRELOGIN while TLS is being set up");
  if (header->length > tds::largest_packet_size)
    return std::unexpected("a PRELOGIN packet of " + std::to_string(header->length) + " bytes");
  // Nobody sends one, and a peer could go on with them for ever.
  if (header->length == tds::packet_header_size) return std::unexpected("an empty PRELOGIN packet");
  payload_left_ = header->length - tds::packet_header_size;
  return {};
}

} // namespace shim
