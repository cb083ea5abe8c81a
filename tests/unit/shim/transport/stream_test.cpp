#include "shim/transport/stream.hpp"

#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/transport/tls_partner.hpp"
#include "tests/unit/shim/transport/tls_support.hpp"

#include <netinet/tcp.h>
#include <random>

namespace shim_test {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class StreamTest : public testing::Test {
protected:
  Loop loop_;

  /// Both outcomes of a handshake over `wire`.
  std::pair<Outcome, Outcome> shake_over(Wire &wire, TlsHandshake connect, TlsHandshake accept) {
    wire.run();
    return loop_.run(shake_hands(*wire.client, *wire.server, std::move(connect), std::move(accept)));
  }
  /// Two streams with TLS between them.
  std::pair<Stream, Stream> encrypted_pair(bool within_prelogin) {
    auto [client, server] = stream_pair(loop_.executor());
    auto [connected, accepted] =
        loop_.run(shake_hands(client, server, connecting(within_prelogin), accepting(within_prelogin)));
    if (!connected || !accepted) throw std::runtime_error(text_of(connected) + "; " + text_of(accepted));
    return {std::move(client), std::move(server)};
  }
  void expect_talk(Stream &client, Stream &server) {
    for (std::size_t size : {std::size_t(1), std::size_t(16'384), std::size_t(100'000)}) {
      std::string text(size, 'x');
      for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(i * 31 >> 4);
      for (auto [from, to] : {std::pair(&client, &server), std::pair(&server, &client)}) {
        auto [sent, came] = loop_.run(both(send(*from, text), read(*to, size)));
        EXPECT_TRUE(sent);
        EXPECT_TRUE(came == text) << came.size() << " of " << size;
      }
    }
  }
};

TEST_F(StreamTest, InClear) {
  auto [client, server] = stream_pair(loop_.executor());
  EXPECT_FALSE(client.encrypted());
  expect_talk(client, server);
  EXPECT_EQ(client.shutdown_send(), Wait::none);
  EXPECT_EQ(loop_.run(read_error(server)), asio::error::eof);
  EXPECT_TRUE(client.open());
  client.close();
  EXPECT_FALSE(client.open());
}

TEST_F(StreamTest, WithinPrelogin) {
  Wire wire(loop_.executor());
  auto [connected, accepted] = shake_over(wire, connecting(true), accepting(true));
  ASSERT_TRUE(connected) << text_of(connected);
  ASSERT_TRUE(accepted) << text_of(accepted);
  EXPECT_EQ(connected->version, "TLSv1.2");
  EXPECT_EQ(accepted->version, "TLSv1.2");
  EXPECT_NE(connected->cipher, "");
  EXPECT_EQ(connected->cipher, accepted->cipher);
  EXPECT_THAT(connected->names, ElementsAre("sql1.corp.test"));
  EXPECT_THAT(accepted->names, ElementsAre("sql1.corp.test"));
  EXPECT_TRUE(connected->verified);
  EXPECT_EQ(connected->unique.size(), 12u);
  EXPECT_EQ(connected->unique, accepted->unique);
  EXPECT_EQ(connected->alpn, "");
  EXPECT_TRUE(wire.client->encrypted());
  // Every byte of the handshake stands in PRELOGIN packets, and none after it.
  for (const auto *way : {&wire.up(), &wire.down()}) {
    std::size_t at = 0, packets = 0;
    while (at + 8 <= way->seen.size()) {
      EXPECT_EQ(way->seen.substr(at, 2), std::string("\x12\x01", 2));
      const auto length = static_cast<std::size_t>(static_cast<std::uint8_t>(way->seen[at + 2]) << 8 |
                                                   static_cast<std::uint8_t>(way->seen[at + 3]));
      EXPECT_LE(length, 4096u);
      at += length;
      ++packets;
    }
    EXPECT_EQ(at, way->seen.size());
    EXPECT_EQ(packets, 2u) << "one for each flight";
  }
  const auto before = wire.up().seen.size();
  auto [sent, came] = loop_.run(both(send(*wire.client, "hello"), read(*wire.server, 5)));
  EXPECT_EQ(came, "hello");
  EXPECT_THAT(wire.up().seen.substr(before), StartsWith("\x17\x03\x03"));
  expect_talk(*wire.client, *wire.server);
}

TEST_F(StreamTest, Bare) {
  Wire wire(loop_.executor());
  auto [connected, accepted] = shake_over(wire, connecting(false), accepting(false));
  ASSERT_TRUE(connected) << text_of(connected);
  ASSERT_TRUE(accepted) << text_of(accepted);
  EXPECT_EQ(connected->version, "TLSv1.3");
  EXPECT_EQ(connected->alpn, "tds/8.0");
  EXPECT_EQ(accepted->alpn, "tds/8.0");
  EXPECT_TRUE(connected->unique.empty());
  EXPECT_TRUE(accepted->unique.empty());
  EXPECT_TRUE(connected->verified);
  EXPECT_EQ(wire.up().seen.front(), '\x16');
  EXPECT_THAT(wire.up().seen, HasSubstr("sql1.corp.test")) << "SNI";
  expect_talk(*wire.client, *wire.server);
}

TEST_F(StreamTest, AFlightOfManyPackets) {
  // Names enough for a certificate longer than a PRELOGIN packet.
  CertificateWish wish;
  for (int i = 0; i < 300; ++i)
    wish.names.push_back("a-rather-long-name-of-a-server-" + std::to_string(i) + ".corp.test");
  Folder folder;
  auto files = test_support::write(test_support::issue(standard().issuer, wish), folder.path(), "long");
  Wire wire(loop_.executor());
  auto [connected, accepted] = shake_over(
      wire, connecting(true), accepting(true, *make_accepting_tls({files.certificate, files.key})));
  ASSERT_TRUE(connected) << text_of(connected);
  EXPECT_GT(wire.down().seen.size(), 8192u);
  EXPECT_EQ(connected->names.size(), 100u) << "no more are kept";
  expect_talk(*wire.client, *wire.server);
}

TEST_F(StreamTest, ByteByByte) {
  for (bool prelogin : {true, false}) {
    SCOPED_TRACE(prelogin);
    Wire wire(loop_.executor());
    wire.up().piece = wire.down().piece = 1;
    auto [connected, accepted] = shake_over(wire, connecting(prelogin), accepting(prelogin));
    ASSERT_TRUE(connected) << text_of(connected);
    ASSERT_TRUE(accepted) << text_of(accepted);
    auto [sent, came] = loop_.run(both(send(*wire.client, "hello"), read(*wire.server, 5)));
    EXPECT_EQ(came, "hello");
  }
}

TEST_F(StreamTest, BytesThatWereReadBeforeAreReadFirst) {
  for (bool prelogin : {true, false})
    for (std::size_t size : {1u, 7u, 8u, 30u, 100'000u}) {
      SCOPED_TRACE((prelogin ? "prelogin " : "bare ") + std::to_string(size));
      auto [client, server] = stream_pair(loop_.executor());
      auto accept = [&](Stream &stream) -> Task<Outcome> {
        std::vector<std::uint8_t> first(size);
        auto [error, count] = co_await stream.read_some(asio::buffer(first));
        first.resize(count);
        auto wanted = accepting(prelogin);
        wanted.received = std::move(first);
        co_return co_await shake(stream, std::move(wanted));
      };
      auto [connected, accepted] = loop_.run(both(shake(client, connecting(prelogin)), accept(server)));
      EXPECT_TRUE(accepted) << text_of(accepted);
      EXPECT_TRUE(connected) << text_of(connected);
    }
}

// ---- certificates ----

struct CertificateRow {
  const char *name;
  std::function<void(CertificateWish &)> change;
  std::vector<std::string> wanted;
  std::optional<TlsFault> fault;
  std::string detail;
  enum Issuer { known, unknown, itself } issuer = known;
};

TEST_F(StreamTest, Certificates) {
  using W = CertificateWish;
  const auto none = [](W &) {};
  const std::vector<CertificateRow> rows{
      {"good", none, {"sql1.corp.test"}, {}, ""},
      {"upper case", none, {"SQL1.Corp.Test"}, {}, ""},
      {"one of two names", none, {"sql1", "sql1.corp.test"}, {}, ""},
      {"wildcard", [](W &w) { w.names = {"*.corp.test"}; }, {"sql1.corp.test"}, {}, ""},
      {"address", [](W &w) { w.names = {"127.0.0.1"}; }, {"127.0.0.1"}, {}, ""},
      {"address of version 6", [](W &w) { w.names = {"::1"}; }, {"::1"}, {}, ""},
      {"only a CN",
       [](W &w) { w.names.clear(); },
       {"sql1.corp.test"},
       TlsFault::name,
       "CN alone (no subjectAltName), which counts only in a certificate that ca_file lists itself"},
      {"another name", none, {"sql2.corp.test"}, TlsFault::name, "not for sql2.corp.test: CN=sql1.corp.test"},
      {"a part of the name", none, {"sql1"}, TlsFault::name, "not for sql1:"},
      {"CN counts only without other names",
       [](W &w) { w.names = {"other.test"}; },
       {"sql1.corp.test"},
       TlsFault::name,
       "for other.test"},
      {"wildcard over two labels",
       [](W &w) { w.names = {"*.test"}; },
       {"sql1.corp.test"},
       TlsFault::name,
       "*.test"},
      {"part of a label", [](W &w) { w.names = {"sql*.corp.test"}; }, {"sql1.corp.test"}, TlsFault::name, ""},
      {"an address as a name",
       [](W &w) {
         w.names = {"x.test"};
         w.common_name = "127.0.0.1";
       },
       {"127.0.0.1"},
       TlsFault::name,
       ""},
      {"no name asked for", none, {}, TlsFault::name, ""},
      {"expired",
       [](W &w) {
         w.valid_from = -2h;
         w.valid_until = -1h;
       },
       {"sql1.corp.test"},
       TlsFault::expired,
       "expired: CN=sql1.corp.test, issued by CN=sqlshim test CA, valid from 20"},
      {"not yet valid",
       [](W &w) { w.valid_from = 1h; },
       {"sql1.corp.test"},
       TlsFault::expired,
       "not yet valid"},
      {"self-signed",
       none,
       {"sql1.corp.test"},
       TlsFault::self_signed,
       "issued by CN=sql1.corp.test",
       CertificateRow::itself},
      {"unknown issuer",
       none,
       {"sql1.corp.test"},
       TlsFault::untrusted,
       "issued by CN=another CA",
       CertificateRow::unknown},
      {"for clients",
       [](W &w) { w.usage = "clientAuth"; },
       {"sql1.corp.test"},
       TlsFault::untrusted,
       "purpose"},
      {"1024 bits", [](W &w) { w.rsa_bits = 1024; }, {"sql1.corp.test"}, TlsFault::weak, "too weak"},
      {"SHA-1", [](W &w) { w.sha1 = true; }, {"sql1.corp.test"}, TlsFault::weak, "weak"},
  };
  Folder folder;
  const auto stranger = test_support::make_issuer("another CA");
  for (const auto &row : rows)
    for (bool prelogin : {true, false}) {
      SCOPED_TRACE(std::string(row.name) + (prelogin ? ", prelogin" : ", bare"));
      CertificateWish wish;
      row.change(wish);
      auto made = row.issuer == CertificateRow::itself  ? test_support::self_signed(wish)
                  : row.issuer == CertificateRow::known ? test_support::issue(standard().issuer, wish)
                                                        : test_support::issue(stranger, wish);
      // The issuer goes with it: a root that nobody here knows stays unknown.
      if (row.issuer == CertificateRow::unknown) made.certificate += stranger.certificate;
      auto files = test_support::write(made, folder.path(), "row");
      auto [connected, accepted] = [&]() -> std::pair<Outcome, Outcome> {
        if (wish.rsa_bits != 1024 && !wish.sha1) {
          auto [client, server] = stream_pair(loop_.executor());
          return loop_.run(
              shake_hands(client, server, connecting(prelogin, standard().connecting, row.wanted),
                          accepting(prelogin, *make_accepting_tls({files.certificate, files.key}))));
        }
        // We would not show such a certificate ourselves.
        auto [ours, theirs] = tcp_pair(loop_.executor());
        Partner partner(std::move(theirs), {files.certificate, files.key}, [](SSL *, bool) {});
        Stream client{Socket(std::move(ours))};
        auto outcome = loop_.run(shake(client, connecting(false, standard().connecting, row.wanted)));
        return {outcome, outcome};
      }();
      if (!row.fault) {
        EXPECT_TRUE(connected) << text_of(connected);
        EXPECT_TRUE(connected && connected->verified);
        continue;
      }
      ASSERT_FALSE(connected);
      EXPECT_EQ(connected.error().fault, *row.fault) << text_of(connected);
      EXPECT_THAT(connected.error().detail, HasSubstr(row.detail));
      EXPECT_FALSE(accepted) << "the server learns of it";
    }
}

TEST_F(StreamTest, TrustedAnyway) {
  // trust_server_certificate: everything goes, and nobody says that it was verified.
  Folder folder;
  CertificateWish wish;
  wish.rsa_bits = 1024;
  wish.sha1 = true;
  wish.valid_until = -60s;
  auto files = test_support::write(test_support::self_signed(wish), folder.path(), "bad");
  auto [ours, theirs] = tcp_pair(loop_.executor());
  Partner partner(std::move(theirs), {files.certificate, files.key}, [](SSL *ssl, bool done) {
    EXPECT_TRUE(done);
    EXPECT_EQ(Partner::read(ssl, 5), "hello");
  });
  Stream client{Socket(std::move(ours))};
  auto connected = loop_.run(shake(client, connecting(false, *make_connecting_tls({{}, false, false}), {})));
  ASSERT_TRUE(connected) << text_of(connected);
  EXPECT_FALSE(connected->verified);
  EXPECT_TRUE(loop_.run(send(client, "hello")));
}

TEST_F(StreamTest, ACertificateThatTheUserNamesIsTrusted) {
  Folder folder;
  for (const auto &[self, by_cn] : {std::pair{true, false}, {false, false}, {true, true}, {false, true}}) {
    CertificateWish wish;
    if (by_cn) wish.names.clear(); // as SQL Server's own
    auto made = self ? test_support::self_signed(wish) : test_support::issue(standard().issuer, wish);
    auto files = test_support::write(made, folder.path(), "pinned");
    auto [client, server] = stream_pair(loop_.executor());
    auto [connected, accepted] = loop_.run(
        shake_hands(client, server, connecting(true, *make_connecting_tls({files.certificate, true, false})),
                    accepting(true, *make_accepting_tls({files.certificate, files.key}))));
    EXPECT_TRUE(connected && connected->verified) << text_of(connected);
  }
}

TEST_F(StreamTest, TheSystemDoesNotKnowOurIssuer) {
  auto [client, server] = stream_pair(loop_.executor());
  auto [connected, accepted] =
      loop_.run(shake_hands(client, server, connecting(true, *make_connecting_tls({})), accepting(true)));
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().fault, TlsFault::untrusted);
}

// ---- versions, ALPN, resumption ----

TEST_F(StreamTest, AnOldServer) {
  for (bool tls10 : {false, true}) {
    auto [ours, theirs] = tcp_pair(loop_.executor());
    PartnerWish wish{standard().server.certificate, standard().server.key};
    wish.most = TLS1_VERSION;
    Partner partner(std::move(theirs), wish, [&](SSL *ssl, bool done) {
      EXPECT_EQ(done, tls10);
      if (done) EXPECT_EQ(Partner::read(ssl, 5), "hello");
    });
    Stream client{Socket(std::move(ours))};
    auto connected = loop_.run(
        shake(client, connecting(false, *make_connecting_tls({standard().ca.certificate, true, tls10}))));
    if (tls10) {
      ASSERT_TRUE(connected) << text_of(connected);
      EXPECT_EQ(connected->version, "TLSv1");
      EXPECT_EQ(connected->unique.size(), 12u);
      EXPECT_TRUE(loop_.run(send(client, "hello")));
    } else {
      ASSERT_FALSE(connected);
      EXPECT_EQ(connected.error().fault, TlsFault::version) << text_of(connected);
    }
  }
}

TEST_F(StreamTest, AnOldClientIsRefused) {
  auto [theirs, ours] = tcp_pair(loop_.executor());
  PartnerWish wish;
  wish.most = TLS1_1_VERSION;
  Partner partner(std::move(theirs), wish, [](SSL *, bool done) { EXPECT_FALSE(done); });
  Stream server{Socket(std::move(ours))};
  auto accepted = loop_.run(shake(server, accepting(false)));
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().fault, TlsFault::version) << text_of(accepted);
}

TEST_F(StreamTest, Alpn) {
  struct Row {
    std::string offered;
    std::optional<std::string> selected;
  };
  for (const auto &row :
       {Row{"", ""}, Row{std::string("\x07tds/8.0", 8), "tds/8.0"},
        Row{std::string("\x02h2\x07tds/8.0", 11), "tds/8.0"}, Row{std::string("\x02h2", 3), {}}}) {
    SCOPED_TRACE(row.offered);
    auto [theirs, ours] = tcp_pair(loop_.executor());
    PartnerWish wish;
    wish.alpn = row.offered;
    Partner partner(std::move(theirs), wish, [&](SSL *ssl, bool done) {
      EXPECT_EQ(done, row.selected.has_value());
      if (done) EXPECT_EQ(Partner::read(ssl, 2), "hi");
    });
    Stream server{Socket(std::move(ours))};
    auto accepted = loop_.run(shake(server, accepting(false)));
    ASSERT_EQ(accepted.has_value(), row.selected.has_value()) << text_of(accepted);
    if (!accepted) {
      EXPECT_EQ(accepted.error().fault, TlsFault::mismatch);
      EXPECT_THAT(accepted.error().detail, HasSubstr("application protocol"));
    } else {
      EXPECT_EQ(accepted->alpn, *row.selected);
      loop_.run(send(server, "hi"));
    }
  }
}

TEST_F(StreamTest, AServerThatDoesNotAgreeOnTds8IsRefused) {
  for (const auto &answer : {std::string(), std::string("\x08http/1.1")}) {
    auto [ours, theirs] = tcp_pair(loop_.executor());
    PartnerWish wish{standard().server.certificate, standard().server.key};
    wish.alpn = answer;
    Partner partner(std::move(theirs), wish, [](SSL *, bool) {});
    Stream client{Socket(std::move(ours))};
    auto connected = loop_.run(shake(client, connecting(false)));
    ASSERT_FALSE(connected) << answer;
    EXPECT_EQ(connected.error().fault, TlsFault::mismatch);
    if (answer.empty()) EXPECT_THAT(connected.error().detail, HasSubstr("ALPN tds/8.0"));
  }
}

TEST_F(StreamTest, NoSessionIsResumed) {
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(nullptr, SSL_SESSION_free);
    for (int round = 0; round < 2; ++round) {
      auto [theirs, ours] = tcp_pair(loop_.executor());
      PartnerWish wish;
      wish.most = version;
      wish.session = session.get();
      Partner partner(std::move(theirs), wish, [&](SSL *ssl, bool done) {
        EXPECT_TRUE(done);
        EXPECT_EQ(Partner::read(ssl, 2), "hi"); // tickets, if any, come with it
        EXPECT_FALSE(SSL_session_reused(ssl));
        session.reset(SSL_get1_session(ssl));
        EXPECT_FALSE(SSL_SESSION_has_ticket(session.get()));
        unsigned size = 0;
        SSL_SESSION_get_id(session.get(), &size);
        if (version == TLS1_2_VERSION) EXPECT_EQ(size, 0u) << "nothing to come back with";
      });
      Stream server{Socket(std::move(ours))};
      auto accepted = loop_.run(shake(server, accepting(false)));
      ASSERT_TRUE(accepted) << text_of(accepted);
      loop_.run(send(server, "hi"));
      partner.join();
    }
  }
}

TEST_F(StreamTest, TheSameContextsGoHigherWhenBare) {
  for (bool prelogin : {true, false}) {
    auto [client, server] = stream_pair(loop_.executor());
    auto [connected, accepted] =
        loop_.run(shake_hands(client, server, connecting(prelogin), accepting(prelogin)));
    ASSERT_TRUE(accepted) << text_of(accepted);
    EXPECT_EQ(accepted->version, prelogin ? "TLSv1.2" : "TLSv1.3");
  }
}

TEST_F(StreamTest, KeyUpdate) {
  auto [ours, theirs] = tcp_pair(loop_.executor());
  const std::string text(50'000, 'x');
  Partner partner(std::move(theirs), {standard().server.certificate, standard().server.key},
                  [&](SSL *ssl, bool done) {
                    ASSERT_TRUE(done);
                    for (int round = 0; round < 20; ++round) {
                      EXPECT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
                      EXPECT_TRUE(Partner::write(ssl, text));
                      EXPECT_TRUE(Partner::read(ssl, text.size()) == text);
                    }
                  });
  Stream client{Socket(std::move(ours))};
  auto connected = loop_.run(shake(client, connecting(false)));
  ASSERT_TRUE(connected) << text_of(connected);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(loop_.run(read(client, text.size())) == text) << round;
    ASSERT_TRUE(loop_.run(send(client, text))) << round;
  }
}

TEST_F(StreamTest, NoRenegotiation) {
  auto [theirs, ours] = tcp_pair(loop_.executor());
  PartnerWish wish;
  wish.most = TLS1_2_VERSION;
  Partner partner(std::move(theirs), wish, [](SSL *ssl, bool done) {
    ASSERT_TRUE(done);
    EXPECT_EQ(SSL_renegotiate(ssl), 1);
    EXPECT_NE(SSL_do_handshake(ssl), 1);
  });
  Stream server{Socket(std::move(ours))};
  ASSERT_TRUE(loop_.run(shake(server, accepting(false))));
  EXPECT_TRUE(loop_.run(read_error(server)));
}

// ---- the switch back to clear ----

TEST_F(StreamTest, StopTlsLeavesWhatFollowsAndSaysNothing) {
  Wire wire(loop_.executor());
  auto [connected, accepted] = shake_over(wire, connecting(true), accepting(true));
  ASSERT_TRUE(connected && accepted);
  // All of it is on the way before the other side reads a byte.
  const std::string first(300, 'L'), rest("the second packet, in clear");
  const auto handshake = wire.up().seen.size();
  ASSERT_TRUE(loop_.run(send(*wire.client, first)));
  loop_.until([&] { return wire.up().seen.size() > handshake + first.size(); });
  const auto encrypted = wire.up().seen.size();
  wire.client->stop_tls();
  EXPECT_FALSE(wire.client->encrypted());
  ASSERT_TRUE(loop_.run(send(*wire.client, rest)));
  ASSERT_TRUE(loop_.until([&] { return wire.up().seen.size() >= encrypted + rest.size(); }));
  EXPECT_EQ(loop_.run(read(*wire.server, first.size())), first);
  EXPECT_EQ(wire.server->pending(), 0u);
  wire.server->stop_tls();
  EXPECT_EQ(loop_.run(read(*wire.server, rest.size())), rest);
  EXPECT_EQ(wire.up().seen.substr(encrypted), rest) << "no close_notify";
  const auto down = wire.down().seen.size();
  ASSERT_TRUE(loop_.run(send(*wire.server, "answer")));
  EXPECT_EQ(loop_.run(read(*wire.client, 6)), "answer");
  EXPECT_EQ(wire.down().seen.substr(down), "answer");
}

TEST_F(StreamTest, PendingTellsWhatWasSentTooMuch) {
  auto [client, server] = encrypted_pair(true);
  ASSERT_TRUE(loop_.run(send(client, "firstsecond")));
  EXPECT_EQ(loop_.run(read(server, 5)), "first");
  EXPECT_EQ(server.pending(), 6u);
}

// ---- hostile peers ----

/// The payload of one PRELOGIN packet, with more behind it and the length right.
std::string with_more_payload(std::string packet, const std::string &more) {
  packet += more;
  packet[2] = static_cast<char>(packet.size() >> 8);
  packet[3] = static_cast<char>(packet.size());
  return packet;
}

TEST_F(StreamTest, ClearBytesWithinTheLastPacketAreRefused) {
  const std::string login("\x10\x01\x00\x0c\x00\x00\x01\x00evil", 12);
  for (bool upwards : {true, false}) {
    SCOPED_TRACE(upwards ? "client's last flight" : "server's last flight");
    Wire wire(loop_.executor());
    (upwards ? wire.up() : wire.down()).change = [&](std::string piece, int number) {
      return number == 2 ? with_more_payload(piece, login) : piece;
    };
    auto [connected, accepted] = shake_over(wire, connecting(true), accepting(true));
    const auto &victim = upwards ? accepted : connected;
    ASSERT_FALSE(victim);
    EXPECT_EQ(victim.error().fault, TlsFault::mismatch);
    EXPECT_THAT(victim.error().detail, HasSubstr("in clear"));
  }
}

TEST_F(StreamTest, ClearBytesBehindTheLastPacketEndTheStream) {
  for (bool wrapped : {true, false})
    for (bool upwards : {true, false}) {
      SCOPED_TRACE(std::string(wrapped ? "PRELOGIN packet" : "LOGIN7") +
                   (upwards ? " to the server" : " to the client"));
      std::string clear("\x10\x01\x00\x0c\x00\x00\x01\x00evil", 12);
      if (wrapped) clear[0] = '\x12';
      Wire wire(loop_.executor());
      (upwards ? wire.up() : wire.down()).change = [&](std::string piece, int number) {
        return number == 2 ? piece + clear : piece;
      };
      auto [connected, accepted] = shake_over(wire, connecting(true), accepting(true));
      auto &victim = upwards ? *wire.server : *wire.client;
      ASSERT_TRUE(upwards ? accepted : connected);
      auto error = loop_.run(read_error(victim));
      EXPECT_THAT(error.message(), StartsWith("TLS: "));
    }
}

TEST_F(StreamTest, SomethingElseThanAHandshake) {
  struct Row {
    const char *name;
    std::string sent;
    bool prelogin;
    const char *detail;
  };
  const std::string hello("\x16\x03\x01\x00\x05hello", 10);
  for (const auto &row :
       {Row{"LOGIN7 in clear", std::string("\x10\x01\x00\x0c\x00\x00\x01\x00xxxx", 12), true, "type 16"},
        Row{"no TLS within PRELOGIN", std::string("\x12\x01\x00\x0e\x00\x00\x01\x00xxxxxx", 14), true, ""},
        Row{"bare TLS", hello, true, "type 22"},
        Row{"an empty packet", std::string("\x12\x01\x00\x08\x00\x00\x00\x00", 8), true, "empty"},
        Row{"HTTP", "GET / HTTP/1.0\r\n\r\n", false, "http"},
        Row{"PRELOGIN", std::string("\x12\x01\x00\x0c\x00\x00\x01\x00xxxx", 12), false, ""},
        Row{"a bad hello", hello, false, ""}})
    for (bool accept : {true, false}) {
      SCOPED_TRACE(std::string(row.name) + (accept ? ", accepting" : ", connecting"));
      auto [far, near] = tcp_pair(loop_.executor());
      asio::write(far, asio::buffer(row.sent));
      Stream stream{Socket(std::move(near))};
      auto outcome = loop_.run(shake(stream, accept ? accepting(row.prelogin) : connecting(row.prelogin)));
      ASSERT_FALSE(outcome);
      EXPECT_EQ(outcome.error().fault, TlsFault::mismatch) << text_of(outcome);
      if (accept || row.prelogin) EXPECT_THAT(outcome.error().detail, HasSubstr(row.detail));
      EXPECT_FALSE(stream.encrypted());
    }
}

TEST_F(StreamTest, NoiseNeverThrows) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    Wire wire(loop_.executor());
    const bool prelogin = random() % 2;
    auto spoil = [&](std::string piece, int) {
      if (random() % 3 == 0) piece[random() % piece.size()] ^= static_cast<char>(1 << random() % 8);
      if (random() % 20 == 0) piece.resize(random() % piece.size());
      return piece;
    };
    wire.up().change = wire.down().change = spoil;
    wire.run();
    auto outcome = loop_.run(with_deadline(
        shake_hands(*wire.client, *wire.server, connecting(prelogin), accepting(prelogin)), Millis(200)));
    if (!outcome) continue; // a piece was lost: both wait
    for (const auto *one : {&outcome->first, &outcome->second})
      if (!*one) EXPECT_NE((*one).error().detail, "");
  }
}

TEST_F(StreamTest, PeersThatVanish) {
  for (bool prelogin : {true, false}) {
    std::size_t up = 0, down = 0; // bytes of a whole handshake
    {
      Wire wire(loop_.executor());
      auto [connected, accepted] = shake_over(wire, connecting(prelogin), accepting(prelogin));
      ASSERT_TRUE(connected && accepted);
      up = wire.up().seen.size(), down = wire.down().seen.size();
    }
    for (bool upwards : {true, false})
      for (std::size_t after = 1; after + 20 < (upwards ? up : down); after += 41) {
        SCOPED_TRACE((prelogin ? "prelogin" : "bare") + std::string(upwards ? ", up " : ", down ") +
                     std::to_string(after));
        Wire wire(loop_.executor());
        (upwards ? wire.up() : wire.down()).cut_after = after;
        auto [connected, accepted] = shake_over(wire, connecting(prelogin), accepting(prelogin));
        const auto &victim = upwards ? accepted : connected;
        ASSERT_FALSE(victim);
        EXPECT_EQ(victim.error().fault, TlsFault::closed) << text_of(victim);
      }
  }
}

TEST_F(StreamTest, AResetIsClosed) {
  auto [far, near] = tcp_pair(loop_.executor());
  Stream stream{Socket(std::move(near))};
  loop_.spawn([](TcpSocket &socket) -> Task<> {
    char byte;
    co_await socket.async_read_some(asio::buffer(&byte, 1), as_result);
    reset(socket);
  }(far));
  auto outcome = loop_.run(shake(stream, connecting(true)));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().fault, TlsFault::closed);
  EXPECT_THAT(outcome.error().detail, HasSubstr("reset"));
}

TEST_F(StreamTest, DeadlinesCancelCleanly) {
  for (bool accept : {true, false}) {
    auto [far, near] = tcp_pair(loop_.executor());
    Stream stream{Socket(std::move(near))};
    const auto before = open_descriptors();
    auto outcome =
        loop_.run(with_deadline(stream.handshake(accept ? accepting(true) : connecting(true)), Millis(30)));
    EXPECT_FALSE(outcome) << "silence";
    EXPECT_FALSE(stream.encrypted());
    EXPECT_EQ(open_descriptors(), before);
    stream.close();
    loop_.drain();
    EXPECT_TRUE(loop_.io.stopped()) << "nothing waits any more";
  }
  auto [client, server] = encrypted_pair(false);
  EXPECT_FALSE(loop_.run(with_deadline(read_error(server), Millis(30))));
  expect_talk(client, server); // a read that was cancelled has taken nothing
}

TEST_F(StreamTest, AskedForWrongly) {
  auto [client, server] = stream_pair(loop_.executor());
  auto wrong = connecting(true, standard().accepting);
  EXPECT_FALSE(loop_.run(client.handshake(wrong)));
  EXPECT_FALSE(loop_.run(client.handshake({})));
}

// ---- the end of a stream ----

TEST_F(StreamTest, HalfClose) {
  for (bool prelogin : {true, false}) {
    auto [client, server] = encrypted_pair(prelogin);
    ASSERT_TRUE(loop_.run(send(client, "query")));
    EXPECT_EQ(client.shutdown_send(), Wait::none);
    EXPECT_EQ(loop_.run(read(server, 5)), "query");
    EXPECT_EQ(loop_.run(read_error(server)), asio::error::eof);
    const std::string rows(200'000, 'r');
    auto [sent, came] = loop_.run(both(send(server, rows), read(client, rows.size())));
    EXPECT_TRUE(came == rows);
    server.shutdown_send();
    EXPECT_EQ(loop_.run(read_error(client)), asio::error::eof);
  }
}

TEST_F(StreamTest, TheEndWithoutTlssWordForIt) {
  auto [client, server] = encrypted_pair(false);
  ASSERT_TRUE(loop_.run(send(client, "query")));
  boost::system::error_code ignored;
  client.socket()->shutdown(Socket::shutdown_send, ignored);
  EXPECT_EQ(loop_.run(read(server, 5)), "query");
  EXPECT_EQ(loop_.run(read_error(server)), asio::error::eof);
  ASSERT_TRUE(loop_.run(send(server, "answer"))) << "the other way is open";
  EXPECT_EQ(loop_.run(read(client, 6)), "answer");
}

TEST_F(StreamTest, WritingToAPeerThatIsGone) {
  auto [client, server] = encrypted_pair(true);
  server.close();
  const std::string text(1'000'000, 'x');
  EXPECT_FALSE(loop_.run(send(client, text))) << "and no SIGPIPE";
}

TEST_F(StreamTest, ShutdownOfAFullSocketWaits) {
  auto [client, server] = encrypted_pair(true);
  const std::string block(16'384, 'x');
  std::size_t sent = 0;
  for (Moved moved; moved.wait == Wait::none; sent += moved.count) {
    moved = client.try_write(block.data(), block.size());
    ASSERT_FALSE(moved.error) << moved.error.message();
  }
  // The record that did not fit whole goes first.
  EXPECT_EQ(client.try_write(block.data(), block.size()).wait, Wait::writable);
  auto drain = [](Stream &from, std::size_t size) -> Task<std::string> {
    co_return co_await read(from, size);
  };
  auto finish = [&](Stream &to) -> Task<bool> {
    for (;;) {
      auto moved = to.try_write(block.data(), block.size());
      if (moved.error) co_return false;
      if (moved.wait == Wait::none) break;
      co_await to.ready(Wait::writable);
    }
    while (to.shutdown_send() == Wait::writable)
      co_await to.ready(Wait::writable);
    co_return true;
  };
  auto [came, finished] = loop_.run(both(drain(server, sent + block.size() + 1), finish(client)));
  EXPECT_TRUE(finished);
  EXPECT_EQ(came.size(), sent + block.size());
}

TEST_F(StreamTest, ItsMemoryIsGivenBack) {
  // OpenSSL's and ours.
  { auto warm_up = encrypted_pair(true); }
  loop_.drain();
  const auto before = auth_test::allocated_bytes();
  for (int round = 0; round < 10; ++round)
    auto pair = encrypted_pair(true);
  loop_.drain();
  EXPECT_LT(static_cast<double>(auth_test::allocated_bytes()) - static_cast<double>(before), 4096);
}

} // namespace
} // namespace shim_test
