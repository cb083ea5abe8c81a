// A scripted SMB server for the unit tests: answers what a client of pipes asks, by values alone, and does to
// its answers what a test says. For what no real server does when it is asked to.
#pragma once

#include "shim/smb/pipe.hpp"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <utility>

namespace smb_test {

using namespace shim::smb;

using Messages = std::vector<Bytes>;

inline Bytes operator+(Bytes a, const Bytes &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes text(std::string_view text) { return {text.begin(), text.end()}; }
inline Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

struct PeerOptions {
  Dialect dialect = Dialect::v311;
  Cipher cipher = Cipher::none;
  Signer signer = Signer::aes_cmac;
  std::uint16_t session_flags = 0;
  std::uint16_t mode = 3;
  bool knows_validate = true;
  std::uint16_t credits = 16; ///< granted with each answer
  Bytes key = from_hex("270E1BA896585EEB7AF3472D3B4C75A7");
};

/// What the server got: its command and the part of the body that a test looks at.
struct Seen {
  Header header;
  Bytes body;
};

class Peer {
public:
  explicit Peer(PeerOptions wanted = {}) : options(std::move(wanted)) {}

  PeerOptions options;
  std::vector<Seen> seen;
  /// Instead of the usual answer; nullopt: the usual one.
  std::function<std::optional<Status>(const Header &, ByteView body)> status = {};
  /// What is done to a whole answer on its way: none, one or several messages.
  std::function<Messages(Command, Bytes)> way = {};
  std::vector<Header> reads; ///< READs that are pending
  FileId file{1, 2, 3};

  /// Takes what the client sends; what the server sends.
  Bytes exchange(ByteView sent) {
    input_.insert(input_.end(), sent.begin(), sent.end());
    while (input_.size() >= 4) {
      const std::size_t size = std::size_t{input_[1]} << 16 | std::size_t{input_[2]} << 8 | input_[3];
      if (input_.size() < 4 + size) break;
      take({input_.begin() + 4, input_.begin() + 4 + static_cast<std::ptrdiff_t>(size)});
      input_.erase(input_.begin(), input_.begin() + 4 + static_cast<std::ptrdiff_t>(size));
    }
    return std::exchange(output_, {});
  }
  /// An answer to a READ that is pending.
  Bytes data(const Bytes &bytes, Status status_of = Status::success) {
    EXPECT_FALSE(reads.empty());
    auto header = reads.front();
    reads.erase(reads.begin());
    tds::Writer body;
    body.u16_le(17);
    body.u8(header_size + 16);
    body.u8(0);
    body.u32_le(static_cast<std::uint32_t>(bytes.size()));
    body.u64_le(0);
    body.append(bytes);
    answer(header, status_of, body.bytes(), flag_async);
    return std::exchange(output_, {});
  }
  Bytes no_data(Status status_of) {
    auto header = reads.front();
    reads.erase(reads.begin());
    answer(header, status_of, error_body(), flag_async);
    return std::exchange(output_, {});
  }
  static Bytes error_body() { return {9, 0, 0, 0, 0, 0, 0, 0, 0}; }
  /// Says once more that a READ takes its time.
  Bytes interim(const Header &of) {
    answer(of, Status::pending, error_body(), flag_async);
    return std::exchange(output_, {});
  }
  std::size_t count(Command command) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(seen, [&](const Seen &one) { return one.header.command == command; }));
  }

private:
  void take(Bytes message) {
    if (message[0] == 0xfd) {
      auto opened = open_sealed(message, options.cipher, keys_->seal);
      ASSERT_TRUE(opened) << "what the client encrypts can be read";
      message = std::move(*opened);
    } else if (keys_) {
      EXPECT_TRUE(is_signed_by(message, options.signer, keys_->signing)) << "the client signs everything";
    }
    const auto header = decode_header(message);
    ASSERT_TRUE(header);
    seen.push_back({*header, {message.begin() + header_size, message.end()}});
    const ByteView body = ByteView(message).subspan(header_size);
    if (header->command == Command::negotiate || header->command == Command::session_setup)
      preauth_.add(message);
    if (status)
      if (auto other = status(*header, body)) return answer(*header, *other, error_body());
    respond(*header, body);
  }

  void respond(const Header &header, ByteView body) {
    tds::Writer out;
    switch (header.command) {
    case Command::negotiate:
      return negotiate(header);
    case Command::session_setup:
      return session_setup(header);
    case Command::tree_connect:
      out.append(Bytes{16, 0, 2, 0});
      out.append(Bytes(12));
      return answer(header, Status::success, out.bytes());
    case Command::create:
      out.u16_le(89);
      out.append(Bytes(62));
      out.append(file);
      out.append(Bytes(9));
      return answer(header, Status::success, out.bytes());
    case Command::close:
      return answer(header, Status::success, Bytes{60, 0} + Bytes(58));
    case Command::read:
      reads.push_back(header);
      return answer(header, Status::pending, error_body(), flag_async);
    case Command::write:
      out.append(Bytes{17, 0, 0, 0});
      out.append(body.subspan(4, 4));
      out.append(Bytes(9));
      return answer(header, Status::success, out.bytes());
    case Command::ioctl:
      return ioctl(header, body);
    case Command::cancel:
      if (!reads.empty() && reads.front().message_id == header.message_id)
        output_ = std::exchange(output_, {}) + no_data(Status::cancelled);
      return;
    case Command::logoff:
      break;
    }
  }

  void negotiate(const Header &header) {
    tds::Writer out;
    const bool newest = options.dialect == Dialect::v311;
    out.u16_le(65);
    out.u16_le(options.mode);
    out.u16_le(std::to_underlying(options.dialect));
    out.u16_le(newest ? 3 : 0);
    out.append(Guid{9});
    out.u32_le(capabilities());
    for (int i = 0; i < 3; ++i)
      out.u32_le(65536);
    out.append(Bytes(16));
    out.u16_le(header_size + 64);
    out.u16_le(0);
    out.u32_le(header_size + 64);
    if (newest) {
      out.append(Bytes{1, 0, 8, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0, 0xaa, 0xbb});
      out.append(
          Bytes{2, 0, 4, 0, 0, 0, 0, 0, 1, 0, static_cast<std::uint8_t>(options.cipher), 0, 0, 0, 0, 0});
      out.append(Bytes{8, 0, 4, 0, 0, 0, 0, 0, 1, 0, static_cast<std::uint8_t>(options.signer), 0});
    }
    answer(header, Status::success, out.bytes());
  }
  std::uint32_t capabilities() const { return options.cipher == Cipher::none ? 0 : capability_encryption; }

  void session_setup(const Header &header) {
    const auto setup = [&](std::uint16_t flags, const Bytes &token) {
      return Bytes{9,
                   0,
                   static_cast<std::uint8_t>(flags),
                   0,
                   header_size + 8,
                   0,
                   static_cast<std::uint8_t>(token.size()),
                   0} +
             token;
    };
    if (rounds_++ == 0) return answer(header, Status::more_processing, setup(0, text("challenge")));
    keys_ = make_keys(options.dialect, options.cipher, options.key, preauth_.value());
    answer(header, Status::success, setup(options.session_flags, text("proof")));
    seals_ = options.cipher != Cipher::none;
  }

  void ioctl(const Header &header, ByteView body) {
    tds::Writer out;
    if (body[4] == 0x18) return answer(header, Status::success, Bytes{49, 0} + Bytes(47)); // PIPE_WAIT
    if (!options.knows_validate) return answer(header, Status::file_closed, error_body());
    out.append(Bytes{49, 0} + Bytes(30));
    out.u32_le(header_size + 48);
    out.u32_le(24);
    out.append(Bytes(8));
    out.u32_le(capabilities());
    out.append(Guid{9});
    out.u16_le(options.mode);
    out.u16_le(std::to_underlying(validated.value_or(options.dialect)));
    answer(header, Status::success, out.bytes());
  }

public:
  std::optional<Dialect> validated; ///< what the server says that it has agreed on

private:
  void answer(Header header, Status status_of, const Bytes &body, std::uint32_t flags = 0) {
    const auto asked = header.command;
    header.flags = flag_response | flags;
    header.status = status_of;
    header.credits = options.credits;
    header.session_id = asked == Command::negotiate ? 0 : 0x77;
    header.async_id = 5;
    if (asked == Command::tree_connect) header.tree_id = 4;
    tds::Writer out;
    encode(out, header);
    out.append(body);
    auto message = std::move(out).bytes();
    const bool unfinished = asked == Command::negotiate || status_of == Status::more_processing;
    if (asked == Command::negotiate || (asked == Command::session_setup && unfinished)) preauth_.add(message);
    if (seals_)
      message = seal(message, options.cipher, keys_->open, sealed_++, 0x77);
    else if (keys_)
      sign(message, options.signer, keys_->signing);
    for (const auto &one : way ? way(asked, message) : Messages{message}) {
      tds::Writer frame;
      frame.u32_be(static_cast<std::uint32_t>(one.size()));
      output_ = std::move(output_) + frame.bytes() + one;
    }
  }

  Bytes input_, output_;
  Preauthentication preauth_;
  std::optional<Keys> keys_;
  bool seals_ = false;
  std::uint64_t sealed_ = 0;
  int rounds_ = 0;
};

/// Runs a session against a peer until it stands or has failed.
inline std::optional<Failure> run(Session &session, Peer &peer, int most = 100) {
  for (int i = 0; i < most; ++i) {
    auto action = session.next();
    if (std::holds_alternative<Send>(action)) {
      const Bytes out(session.output().begin(), session.output().end());
      session.sent(out.size());
      const auto back = peer.exchange(out);
      for (const auto byte : back) // however it is cut
        session.receive({&byte, 1});
    } else if (std::holds_alternative<Receive>(action)) {
      session.end_of_stream();
    } else if (auto *need = std::get_if<NeedToken>(&action)) {
      if (need->server_token == text("proof"))
        session.token({}, true, peer.options.key);
      else
        session.token(text("token"), false, {});
    } else if (std::holds_alternative<Stands>(action)) {
      return std::nullopt;
    } else {
      return std::get<Failure>(action);
    }
  }
  return Failure{Fault::closed, "it has no end"};
}

inline SessionRequest request() {
  SessionRequest wanted;
  wanted.host = "sql1.corp.test";
  wanted.salt = Bytes(32, 7);
  return wanted;
}

} // namespace smb_test
