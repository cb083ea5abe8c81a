#include "tds/packet.hpp"

#include "tds/secret.hpp"

#include <algorithm>

namespace tds {

Result<PacketHeader> decode_packet_header(ByteView bytes) {
  Reader reader(bytes, "packet header");
  Fields in(reader);
  PacketHeader header;
  header.type = static_cast<PacketType>(in.u8("Type"));
  header.status = in.u8("Status");
  header.length = in.u16_be("Length");
  header.spid = in.u16_be("SPID");
  header.packet_id = in.u8("PacketID");
  header.window = in.u8("Window");
  if (in.ok() && header.length < packet_header_size)
    in.fail({"packet header", "Length", "is below 8 (" + std::to_string(header.length) + ")", 2});
  return in.finish(header);
}

void encode_packet_header(Writer &out, const PacketHeader &header) {
  out.u8(static_cast<std::uint8_t>(header.type));
  out.u8(header.status);
  out.u16_be(header.length);
  out.u16_be(header.spid);
  out.u8(header.packet_id);
  out.u8(header.window);
}

void MessageReader::feed(ByteView bytes) {
  if (failed_) return;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<Message>> MessageReader::next() {
  if (failed_) return std::unexpected(*failed_);
  std::optional<Message> message;
  while (!message && buffer_.size() - used_ >= packet_header_size) {
    const auto rest = std::span(buffer_).subspan(used_);
    const auto header = decode_packet_header(rest.first(packet_header_size));
    failed_ = header ? judge(*header) : header.error();
    if (failed_ || rest.size() < header->length) break;

    type_ = header->type;
    const auto payload = rest.first(header->length).subspan(packet_header_size);
    payload_.insert(payload_.end(), payload.begin(), payload.end());
    used_ += header->length;
    ++packets_;
    wipe(payload); // a LOGIN7 holds a password that is as good as clear
    if (header->status & status_eom) {
      message = Message{header->type, header->spid, std::exchange(payload_, {})};
      type_.reset();
    }
  }
  if (failed_) return std::unexpected(*failed_);
  return message;
}

std::optional<Error> MessageReader::judge(const PacketHeader &header) const {
  const auto complain = [](std::string field, std::string what, std::size_t offset) {
    return Error{"packet header", std::move(field), std::move(what), offset};
  };
  if (type_ && header.type != *type_) return complain("Type", "changes within a message", 0);
  if (header.length > largest_packet_size)
    return complain("Length", "is above " + std::to_string(largest_packet_size), 2);
  if (payload_.size() + (header.length - packet_header_size) > max_message_)
    return complain("Length", "makes the message longer than " + std::to_string(max_message_) + " bytes", 2);
  return std::nullopt;
}

Bytes MessageReader::take_behind() {
  Bytes bytes(buffer_.begin() + static_cast<std::ptrdiff_t>(used_), buffer_.end());
  used_ = buffer_.size();
  return bytes;
}

std::optional<std::uint8_t> MessageReader::first_byte() const {
  if (used_ == buffer_.size()) return std::nullopt;
  return buffer_[used_];
}

Bytes encode_message(PacketType type, ByteView payload, std::size_t packet_size, std::uint16_t spid) {
  const std::size_t room = std::clamp(packet_size, packet_header_size + 1, largest_packet_size) -
                           packet_header_size; // payload of one packet
  Writer out;
  std::uint8_t packet_id = 1;
  do {
    const ByteView part = payload.first(std::min(room, payload.size()));
    payload = payload.subspan(part.size());
    encode_packet_header(out, {.type = type,
                               .status = payload.empty() ? status_eom : std::uint8_t{0},
                               .length = static_cast<std::uint16_t>(packet_header_size + part.size()),
                               .spid = spid,
                               .packet_id = packet_id++,
                               .window = 0});
    out.append(part);
  } while (!payload.empty());
  return std::move(out).bytes();
}

} // namespace tds
