#include "tools/lab/smb_front.hpp"

#include <gmock/gmock.h>

namespace lab {
namespace {

using enum SmbMischief;

/// An SMB2 message of 80 bytes: a header, signed, and a body.
tds::Bytes message(SmbCommand command) {
  tds::Bytes bytes(80, 0x10);
  bytes[0] = 0xfe;
  bytes[12] = static_cast<std::uint8_t>(command);
  bytes[16] = 0x09;
  return bytes;
}

/// Where `b` differs from `a`, which is as long.
std::vector<std::size_t> differences(const tds::Bytes &a, const tds::Bytes &b) {
  std::vector<std::size_t> places;
  for (std::size_t at = 0; at < a.size() && at < b.size(); ++at)
    if (a[at] != b[at]) places.push_back(at);
  return places;
}

TEST(SmbMischief, changes_what_it_says_and_nothing_else) {
  const auto read = message(SmbCommand::read);
  EXPECT_EQ(with_mischief(none, read), (std::vector<tds::Bytes>{read}));
  EXPECT_EQ(with_mischief(replay, read), (std::vector<tds::Bytes>{read, read}));
  EXPECT_EQ(differences(with_mischief(flip_signature, read)[0], read), (std::vector<std::size_t>{48}));
  EXPECT_EQ(differences(with_mischief(flip_payload, read)[0], read), (std::vector<std::size_t>{79}));
  EXPECT_EQ(with_mischief(truncate, read)[0].size(), 79u);
  const auto stripped = with_mischief(strip_signature, read)[0];
  EXPECT_EQ(stripped[16], 0x01) << "a response, not signed";
  EXPECT_EQ(differences(stripped, read).size(), 17u) << "the flag and the signature";
  const auto setup = message(SmbCommand::session_setup);
  EXPECT_EQ(differences(with_mischief(set_guest, setup)[0], setup), (std::vector<std::size_t>{66}));
}

TEST(SmbMischief, knows_where_the_signature_of_an_encrypted_message_is) {
  auto sealed = message(SmbCommand::read);
  sealed[0] = 0xfd;
  EXPECT_EQ(differences(with_mischief(flip_signature, sealed)[0], sealed), (std::vector<std::size_t>{4}));
}

TEST(SmbMischief, offers_nothing_above_2_1) {
  tds::Bytes request(64 + 36, 0);
  request[0] = 0xfe;
  request[66] = 3;
  for (const std::uint16_t dialect : {0x0202, 0x0300, 0x0311}) {
    request.push_back(static_cast<std::uint8_t>(dialect));
    request.push_back(static_cast<std::uint8_t>(dialect >> 8));
  }
  const auto less = with_mischief(downgrade_request, request)[0];
  EXPECT_EQ(tds::Bytes(less.begin() + 100, less.end()), (tds::Bytes{0x02, 0x02, 0x10, 0x02, 0x10, 0x02}));
}

TEST(SmbMischief, leaves_what_is_no_message) {
  EXPECT_EQ(with_mischief(truncate, {1, 2}), (std::vector<tds::Bytes>{{1, 2}}));
}

} // namespace
} // namespace lab
