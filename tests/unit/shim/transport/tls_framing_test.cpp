#include "shim/transport/tls_framing.hpp"

#include <gmock/gmock.h>
#include <memory>

namespace shim_test {
namespace {

using shim::PreloginUnwrap;
using shim::wrap_in_prelogin;
using tds::Bytes;
using testing::HasSubstr;

Bytes packet(std::uint8_t type, std::size_t payload, std::uint8_t status = 1) {
  const auto length = payload + 8;
  Bytes bytes{type, status, static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length), 0, 0,
              0,    0};
  for (std::size_t i = 0; i < payload; ++i)
    bytes.push_back(static_cast<std::uint8_t>(i));
  return bytes;
}
Bytes operator+(Bytes left, const Bytes &right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

struct Unwrapped {
  Bytes payload;
  std::string error;
  bool within_packet = false;
};
/// As the wire reads: never more than is wanted, and at most `piece` bytes at once.
Unwrapped unwrap(const Bytes &stream, std::size_t piece) {
  Unwrapped out;
  PreloginUnwrap unwrap;
  std::size_t at = 0;
  while (at < stream.size()) {
    const auto missing = unwrap.header_missing();
    const auto wanted = missing ? missing : unwrap.payload_left();
    const auto count = std::min({wanted, piece, stream.size() - at});
    if (missing) {
      std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[count]);
      std::copy_n(stream.begin() + static_cast<std::ptrdiff_t>(at), count, exact.get());
      auto fed = unwrap.feed_header({exact.get(), count});
      if (!fed) {
        out.error = fed.error();
        return out;
      }
    } else {
      out.payload.insert(out.payload.end(), stream.begin() + static_cast<std::ptrdiff_t>(at),
                         stream.begin() + static_cast<std::ptrdiff_t>(at + count));
      unwrap.took_payload(count);
    }
    at += count;
  }
  out.within_packet = unwrap.within_packet();
  return out;
}

TEST(TlsFraming, WhatIsWrappedComesOutAgain) {
  for (std::size_t size : {0u, 1u, 4087u, 4088u, 4089u, 8176u, 20'000u}) {
    SCOPED_TRACE(size);
    Bytes flight(size);
    for (std::size_t i = 0; i < size; ++i)
      flight[i] = static_cast<std::uint8_t>(i * 7);
    const auto wrapped = wrap_in_prelogin(flight);
    EXPECT_EQ(wrapped.size(), size + 8 * ((size + 4087) / 4088));
    for (std::size_t piece : {1u, 3u, 100'000u}) {
      const auto out = unwrap(wrapped, piece);
      EXPECT_EQ(out.payload, flight);
      EXPECT_EQ(out.error, "");
      EXPECT_FALSE(out.within_packet);
    }
  }
}

TEST(TlsFraming, EveryPacketIsAPreloginMessageOfItsOwn) {
  const auto wrapped = wrap_in_prelogin(Bytes(5000, 0x16));
  const Bytes first(wrapped.begin(), wrapped.begin() + 8),
      second(wrapped.begin() + 4096, wrapped.begin() + 4104);
  EXPECT_EQ(first, (Bytes{0x12, 1, 0x10, 0x00, 0, 0, 0, 0}));
  EXPECT_EQ(second, (Bytes{0x12, 1, 0x03, 0x98, 0, 0, 1, 0}));
}

TEST(TlsFraming, BothTypesAndAnyStatus) {
  const auto out = unwrap(packet(0x12, 3, 0) + packet(0x04, 2), 1);
  EXPECT_EQ(out.payload, (Bytes{0, 1, 2, 0, 1}));
  EXPECT_EQ(out.error, "");
}

TEST(TlsFraming, NothingBehindTheLastPacketIsAskedFor) {
  PreloginUnwrap unwrap;
  EXPECT_EQ(unwrap.header_missing(), 8u);
  const auto whole = packet(0x12, 5);
  ASSERT_TRUE(unwrap.feed_header({whole.data(), 8}));
  EXPECT_EQ(unwrap.header_missing(), 0u);
  EXPECT_EQ(unwrap.payload_left(), 5u);
  unwrap.took_payload(4);
  EXPECT_TRUE(unwrap.within_packet());
  unwrap.took_payload(1);
  EXPECT_FALSE(unwrap.within_packet());
  EXPECT_EQ(unwrap.header_missing(), 8u);
}

TEST(TlsFraming, CutInTheMiddleIsWithinAPacket) {
  const auto whole = packet(0x12, 5);
  for (std::size_t size = 1; size < whole.size(); ++size)
    EXPECT_TRUE(
        unwrap(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), 2).within_packet)
        << size;
}

struct BadHeader {
  const char *name;
  Bytes bytes;
  const char *error;
};
const std::vector<BadHeader> bad_headers{
    {"LOGIN7 in clear", packet(0x10, 20), "type 16"},
    {"a bare TLS record", {0x16, 3, 3, 0, 100, 1, 0, 0}, "type 22"},
    {"empty", packet(0x12, 0), "empty"},
    {"shorter than its header", {0x12, 1, 0, 7, 0, 0, 0, 0}, "Length"},
    {"longer than any packet", {0x12, 1, 0x80, 0x00, 0, 0, 0, 0}, "32768"},
};

TEST(TlsFraming, BadHeaders) {
  for (const auto &row : bad_headers) {
    SCOPED_TRACE(row.name);
    for (std::size_t piece : {1u, 8u})
      EXPECT_THAT(unwrap(packet(0x12, 1) + row.bytes, piece).error, HasSubstr(row.error));
  }
}

TEST(TlsFraming, LongestPacket) { EXPECT_EQ(unwrap(packet(0x12, 32759), 100'000).payload.size(), 32759u); }

} // namespace
} // namespace shim_test
