#include "shim/smb/channel.hpp"

#include <algorithm>

namespace shim::smb {
namespace {

constexpr std::size_t frame_header = 4; ///< 2.1: 0, then the length in three bytes, big-endian
constexpr std::uint16_t credits_wanted = 64;

std::unexpected<Failure> violation(std::string detail) {
  return std::unexpected(Failure{Fault::protocol_violation, std::move(detail)});
}
std::unexpected<Failure> changed(std::string detail) {
  return std::unexpected(Failure{Fault::signing_refused, std::move(detail)});
}

} // namespace

Header Channel::next_header(Command command) const {
  Header header;
  header.command = command;
  header.charge = next_id_ == 0 ? 0 : 1; // NEGOTIATE is asked before there is a dialect that knows charges
  header.credits = credits_wanted;
  header.message_id = next_id_;
  header.tree_id = tree_id;
  header.session_id = session_id;
  return header;
}

std::uint64_t Channel::request(Command command) {
  tds::Writer out;
  encode(out, next_header(command));
  encode_empty(out);
  return post(std::move(out).bytes());
}

std::uint64_t Channel::post(Bytes message) {
  const auto id = next_id_++;
  credits_ -= credits_ > 0 ? 1 : 0;
  asked_[id] = {Command{static_cast<std::uint16_t>(message[12] | message[13] << 8)}};
  put_out(std::move(message));
  return id;
}

void Channel::put_out(Bytes message) {
  if (keys_ && sealed_)
    message = seal(message, cipher_, keys_->seal, seal_counter_++, session_id);
  else if (keys_)
    sign(message, signer_, keys_->signing);
  tds::Writer frame;
  frame.u32_be(static_cast<std::uint32_t>(message.size()));
  output_.insert(output_.end(), frame.bytes().begin(), frame.bytes().end());
  output_.insert(output_.end(), message.begin(), message.end());
  if (keys_)
    last_request_.clear();
  else
    last_request_ = std::move(message);
}

void Channel::cancel(std::uint64_t id) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return;
  auto header = next_header(Command::cancel);
  header.charge = header.credits = 0;
  header.message_id = id;
  if (found->second.interims > 0) {
    header.flags = flag_async;
    header.async_id = found->second.async_id;
  }
  tds::Writer out;
  encode(out, header);
  encode_empty(out);
  put_out(std::move(out).bytes());
}

bool Channel::is_pending(std::uint64_t id) const {
  const auto found = asked_.find(id);
  return found != asked_.end() && found->second.interims > 0;
}

void Channel::protect(Keys keys, Signer signer, Cipher cipher) {
  keys_ = std::move(keys);
  signer_ = signer;
  cipher_ = cipher;
}

bool Channel::is_signed(const Reply &reply) const {
  return keys_ && (reply.header.flags & flag_signed) && is_signed_by(reply.message, signer_, keys_->signing);
}

void Channel::sent(std::size_t count) {
  sent_ += count;
  if (sent_ < output_.size()) return;
  output_.clear();
  sent_ = 0;
  if (output_.capacity() > largest_payload) Bytes().swap(output_); // an idle pipe owns no buffer
}

Expected<std::optional<Reply>> Channel::next_reply() {
  for (;;) {
    const auto left = ByteView(input_).subspan(used_);
    if (left.size() < frame_header) break;
    const std::size_t size = std::size_t{left[1]} << 16 | std::size_t{left[2]} << 8 | left[3];
    if (left[0] != 0) return violation("a frame that is none of SMB over TCP");
    if (size > largest_message) return violation("a message of " + std::to_string(size) + " bytes");
    if (left.size() < frame_header + size) break;
    const auto frame = left.subspan(frame_header, size);
    auto opened = unwrap({frame.begin(), frame.end()});
    used_ += frame_header + size;
    if (!opened) return std::unexpected(std::move(opened.error()));
    auto reply = take(std::move(*opened));
    if (!reply || *reply) return reply;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  if (input_.empty()) Bytes().swap(input_);
  return std::nullopt;
}

Expected<Bytes> Channel::unwrap(Bytes message) const {
  const bool is_sealed = !message.empty() && message[0] == 0xfd;
  if (!is_sealed) {
    if (sealed_) return changed("a message in clear where everything is encrypted");
    return message;
  }
  if (!keys_ || cipher_ == Cipher::none) return violation("an encrypted message where no key is known");
  const auto transform = decode_transform(message);
  if (!transform) return violation(transform.error().text());
  if (transform->session_id != session_id) return violation("an encrypted message of another session");
  auto opened = open_sealed(message, cipher_, keys_->open);
  if (!opened) return changed("an encrypted message that was changed on its way");
  return std::move(*opened);
}

Expected<void> Channel::check_signature(const Header &header, ByteView message) const {
  if (!keys_ || sealed_) return {};
  if (header.flags & flag_signed) {
    if (is_signed_by(message, signer_, keys_->signing)) return {};
    return changed("a message whose signature is wrong");
  }
  // What says no more than "later" need not be signed (3.2.5.1.3).
  if (header.status == Status::pending && (header.flags & flag_async)) return {};
  return changed("a message that is not signed");
}

Expected<std::optional<Reply>> Channel::take(Bytes message) {
  const auto header = decode_header(message);
  if (!header) return violation(header.error().text());
  if (auto good = check_signature(*header, message); !good) return std::unexpected(good.error());
  if (!(header->flags & flag_response)) return violation("a request where an answer is due");
  if (header->next != 0) return violation("several answers in one message");
  const auto asked = asked_.find(header->message_id);
  if (asked == asked_.end()) return changed("an answer to nothing that was asked, or a second one");
  if (asked->second.command != header->command) return violation("an answer to another command");
  if (session_id != 0 && header->session_id != session_id) return violation("an answer of another session");
  credits_ = std::min(credits_ + header->credits, most_credits);
  if (header->status == Status::pending) {
    if (!(header->flags & flag_async))
      return violation("an answer that is pending and names nothing to cancel");
    if (++asked->second.interims > most_interims) return violation("an answer that is put off for ever");
    asked->second.async_id = header->async_id;
    return std::nullopt;
  }
  asked_.erase(asked);
  return Reply{*header, std::move(message)};
}

} // namespace shim::smb
