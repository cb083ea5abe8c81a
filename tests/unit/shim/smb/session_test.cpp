#include "tests/unit/shim/smb/peer.hpp"

namespace smb_test {
namespace {

struct Agreement {
  Dialect dialect;
  Cipher cipher;
  Signer signer;
};
class SmbSession : public testing::TestWithParam<Agreement> {};
INSTANTIATE_TEST_SUITE_P(Agreements, SmbSession,
                         testing::Values(Agreement{Dialect::v202, Cipher::none, Signer::hmac_sha256},
                                         Agreement{Dialect::v210, Cipher::none, Signer::hmac_sha256},
                                         Agreement{Dialect::v300, Cipher::none, Signer::aes_cmac},
                                         Agreement{Dialect::v302, Cipher::aes128_ccm, Signer::aes_cmac},
                                         Agreement{Dialect::v311, Cipher::none, Signer::aes_gmac},
                                         Agreement{Dialect::v311, Cipher::none, Signer::hmac_sha256},
                                         Agreement{Dialect::v311, Cipher::aes128_gcm, Signer::aes_cmac},
                                         Agreement{Dialect::v311, Cipher::aes256_ccm, Signer::aes_cmac},
                                         Agreement{Dialect::v311, Cipher::aes256_gcm, Signer::aes_gmac}));

TEST_P(SmbSession, Stands) {
  Peer peer({.dialect = GetParam().dialect, .cipher = GetParam().cipher, .signer = GetParam().signer});
  Session session(request());
  const auto failure = run(session, peer);
  EXPECT_FALSE(failure) << failure->detail;
  EXPECT_EQ(session.facts().dialect, GetParam().dialect);
  EXPECT_EQ(session.facts().cipher, GetParam().cipher);
  EXPECT_EQ(session.facts().signer, GetParam().signer);
  EXPECT_EQ(session.channel().sealed(), GetParam().cipher != Cipher::none);
  EXPECT_EQ(peer.count(Command::ioctl), GetParam().dialect == Dialect::v311 ? 0u : 1u);
}

TEST(SmbSessionRefuses, WhoIsAGuestOrNobody) {
  for (const auto flag : {session_guest, session_anonymous}) {
    Peer peer({.session_flags = flag});
    Session session(request());
    const auto failure = run(session, peer);
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->fault, Fault::guest_refused);
    EXPECT_EQ(peer.count(Command::tree_connect), 0u);
  }
}

TEST(SmbSessionRefuses, WhatWasNotAskedFor) {
  auto wanted = request();
  wanted.dialects = {Dialect::v300, Dialect::v311};
  Peer older({.dialect = Dialect::v210, .signer = Signer::hmac_sha256});
  Session session(wanted);
  EXPECT_EQ(run(session, older)->fault, Fault::dialect_refused);

  wanted = request();
  wanted.encrypt = Encrypt::off;
  Peer eager({.cipher = Cipher::aes128_gcm});
  Session plain(wanted);
  EXPECT_EQ(run(plain, eager)->fault, Fault::encryption_refused);

  wanted.encrypt = Encrypt::required;
  Peer unable({.dialect = Dialect::v210, .signer = Signer::hmac_sha256});
  Session strict(wanted);
  EXPECT_EQ(run(strict, unable)->fault, Fault::encryption_refused);

  Peer careless({.mode = 0});
  Session careful(request());
  EXPECT_EQ(run(careful, careless)->fault, Fault::signing_refused);
}

TEST(SmbSessionRefuses, ADowngradeThatTheServerKnowsNothingOf) {
  Peer peer({.dialect = Dialect::v300});
  peer.validated = Dialect::v302;
  Session session(request());
  EXPECT_EQ(run(session, peer)->fault, Fault::dialect_refused);

  Peer silent({.dialect = Dialect::v300, .knows_validate = false});
  Session asking(request());
  EXPECT_EQ(run(asking, silent)->fault, Fault::dialect_refused);

  Peer old({.dialect = Dialect::v210, .signer = Signer::hmac_sha256, .knows_validate = false});
  Session believing(request());
  EXPECT_FALSE(run(believing, old)) << "its word that it does not know the question is signed";
}

/// What is done to the answer to `command`, and what it is called then.
struct Mischief {
  std::string_view name;
  Command command;
  std::function<Messages(Bytes)> way;
  Fault fault;
};

const std::vector<Mischief> &mischiefs() {
  static const std::vector<Mischief> rows{
      {"one bit of NEGOTIATE", Command::negotiate,
       [](Bytes m) {
         m[header_size + 30] ^= 1; // a size
         return Messages{m};
       },
       Fault::signing_refused},
      {"a signature flipped", Command::tree_connect,
       [](Bytes m) {
         m[50] ^= 1;
         return Messages{m};
       },
       Fault::signing_refused},
      {"a signature stripped", Command::tree_connect,
       [](Bytes m) {
         m[16] &= static_cast<std::uint8_t>(~flag_signed);
         std::fill_n(m.begin() + 48, 16, 0);
         return Messages{m};
       },
       Fault::signing_refused},
      {"the last answer of the logon not signed", Command::session_setup,
       [](Bytes m) {
         m[16] &= static_cast<std::uint8_t>(~flag_signed);
         return Messages{m};
       },
       Fault::signing_refused},
      {"an answer of another session", Command::session_setup,
       [](Bytes m) {
         m[40] = 0;
         return Messages{m};
       },
       Fault::protocol_violation},
      {"an answer twice", Command::session_setup,
       [](Bytes m) {
         return Messages{m, m};
       },
       Fault::signing_refused},
      {"cut short", Command::negotiate,
       [](Bytes m) {
         m.resize(m.size() - 40);
         return Messages{m};
       },
       Fault::protocol_violation},
      {"too long", Command::negotiate, [](Bytes) { return Messages{Bytes(largest_message + 1)}; },
       Fault::protocol_violation},
      {"empty", Command::negotiate, [](Bytes) { return Messages{Bytes()}; }, Fault::protocol_violation},
      {"no answer", Command::negotiate, [](Bytes) { return Messages(); }, Fault::closed},
      {"two in one", Command::negotiate,
       [](Bytes m) {
         m[20] = 64;
         return Messages{m};
       },
       Fault::protocol_violation},
      {"no answer but a request", Command::negotiate,
       [](Bytes m) {
         m[16] = 0;
         return Messages{m};
       },
       Fault::protocol_violation},
      {"pending for ever", Command::negotiate,
       [](Bytes m) {
         m[8] = 3;
         m[9] = 1;
         m[16] |= flag_async;
         return Messages(10, m);
       },
       Fault::protocol_violation},
      {"a token that lies about its length", Command::session_setup,
       [](Bytes m) {
         m[header_size + 6] = 0xff;
         return Messages{m};
       },
       Fault::protocol_violation},
  };
  return rows;
}

TEST(SmbSessionRefuses, WhatWasDoneToIt) {
  for (const auto &row : mischiefs()) {
    Peer peer;
    peer.way = [&](Command command, Bytes message) {
      return command == row.command ? row.way(std::move(message)) : Messages{message};
    };
    Session session(request());
    const auto failure = run(session, peer);
    ASSERT_TRUE(failure) << row.name;
    EXPECT_EQ(failure->fault, row.fault) << row.name << ": " << failure->detail;
    EXPECT_LE(peer.count(Command::tree_connect), 1u) << row.name;
  }
}

TEST(SmbSessionRefuses, WhatTheServerRefuses) {
  const std::vector<std::tuple<Command, Status, Fault>> rows{
      {Command::negotiate, Status::not_supported, Fault::dialect_refused},
      {Command::session_setup, Status::logon_failure, Fault::logon_failure},
      {Command::session_setup, Status::access_denied, Fault::access_denied},
      {Command::session_setup, Status{0xc0000234}, Fault::logon_failure}, // locked out
      {Command::tree_connect, Status::access_denied, Fault::access_denied},
      {Command::tree_connect, Status::bad_network_name, Fault::server_error},
  };
  for (const auto &[command, status, fault] : rows) {
    Peer peer;
    peer.status = [&, asked = command, answered = status](const Header &header, ByteView) {
      return header.command == asked ? std::optional(answered) : std::nullopt;
    };
    Session session(request());
    const auto failure = run(session, peer);
    ASSERT_TRUE(failure) << to_string(status);
    EXPECT_EQ(failure->fault, fault) << failure->detail;
    EXPECT_NE(failure->detail.find(to_string(status)),
              fault == Fault::dialect_refused ? 0 : std::string::npos);
  }
}

TEST(SmbSessionRefuses, AClearMessageWhereAllIsEncrypted) {
  Peer peer({.cipher = Cipher::aes128_gcm});
  peer.way = [&](Command command, Bytes message) {
    if (command == Command::tree_connect) message = Bytes{0xfe, 'S', 'M', 'B'} + Bytes(60);
    return Messages{message};
  };
  Session session(request());
  EXPECT_EQ(run(session, peer)->fault, Fault::signing_refused);
}

} // namespace
} // namespace smb_test
