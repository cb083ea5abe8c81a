// The peer's TLS: FreeTDS (GnuTLS) and the openssl program as real clients, and a scripted one for
// what no real client does.
#include "tests/unit/tools/lab/peer/tls_client.hpp"
#include "tools/lab/certificates.hpp"
#include "tools/lab/peer/peer.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

using lab_test::Client;
using lab_test::find;
using lab_test::find_error;
using lab_test::sql_login;
using lab_test::TlsClient;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view tds8 = "\x07tds/8.0";

class PeerTls : public ::testing::Test {
protected:
  PeerTls() {
    authority.write(folder.path() / "ca.pem", folder.path() / "ca.key");
    issue(authority, {.names = {"sql1.corp.test"}})
        .write(folder.path() / "peer.pem", folder.path() / "peer.key");
  }
  ~PeerTls() override {
    if (HasFailure()) lab_test::show_peer(folder.path());
  }

  PeerOptions with(std::string encrypt) const {
    PeerOptions options;
    options.encrypt = std::move(encrypt);
    options.certificate = folder.path() / "peer.pem";
    options.key = folder.path() / "peer.key";
    return options;
  }
  Peer start(PeerOptions options) { return Peer(folder.path(), std::move(options)); }

  /// FreeTDS's words: off sends NOT_SUP, request OFF, require ON.
  std::string tsql(const Peer &peer, const std::string &encryption) {
    write_file(folder.path() / "freetds.conf",
               fmt::format("[peer]\nhost = {}\nport = {}\ntds version = 7.4\nencryption = {}\nca file = {}\n"
                           "check certificate hostname = no\n",
                           peer.address(), peer.port(), encryption, (folder.path() / "ca.pem").string()));
    return run({.argv = {"tsql", "-S", "peer", "-U", "sa", "-P", "Lab.Passw0rd"},
                .environment = {{"FREETDSCONF", folder.path() / "freetds.conf"}}},
               "print 'a marker'\ngo\n")
        .output;
  }
  /// Whether the peer's files of connection `number` hold this text as TDS writes it.
  bool on_the_wire(int number, std::string_view text) const { return holds(number, "wire", text); }
  bool in_tds(int number, std::string_view text) const { return holds(number, "tds", text); }
  bool holds(int number, const char *kind, std::string_view text) const {
    tds::Writer units;
    units.utf16(tds::to_utf16(text));
    const auto file = read_file(folder.path() / fmt::format("peer/{:04}.{}.bin", number, kind));
    return file.contains(std::string(units.bytes().begin(), units.bytes().end()));
  }

  TemporaryFolder folder;
  Certificate authority = make_authority("Test authority");
};

tds::Bytes prelogin(tds::Encryption encryption) {
  tds::Prelogin prelogin;
  prelogin.set_version({9, 0, 0, 0});
  prelogin.set_encryption(encryption);
  return tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin));
}
tds::Encryption ask(Client &client, tds::Encryption encryption) {
  client.write(prelogin(encryption));
  return tds::decode_prelogin(client.receive().value()).value().encryption().value();
}
tds::Bytes login_message(const tds::Login7 &login = sql_login(), std::size_t packet_size = 4096) {
  return tds::encode_message(tds::PacketType::login7, tds::encode_login7(login).value(), packet_size);
}
std::vector<tds::Token> tokens_of(const std::optional<tds::Bytes> &reply) {
  return tds::decode_tokens(reply.value(), tds::tds_7_4).value();
}

// ----------------------------------------------------------------------------------------------------
// real clients

TEST_F(PeerTls, freetds_finds_every_mode) {
  struct Case {
    const char *server, *client, *mode;
    bool login_hidden, batch_hidden;
  };
  const Case cases[] = {
      {"off", "off", "clear", false, false},      {"off", "request", "clear", false, false},
      {"login", "off", "clear", false, false},    {"login", "request", "login", true, false},
      {"login", "require", "login", true, false}, // FreeTDS does not insist
      {"on", "off", "clear", false, false},       {"on", "request", "login", true, false},
      {"on", "require", "full", true, true},      {"require", "request", "full", true, true},
      {"require", "require", "full", true, true},
  };
  auto peer = start(with("off"));
  int number = 0;
  for (const auto &one : cases) {
    const auto what = fmt::format("server {}, client {}", one.server, one.client);
    if (peer.options().encrypt != one.server) peer.restart(with(one.server));
    const auto output = tsql(peer, one.client);
    ++number;
    EXPECT_THAT(output, HasSubstr("a marker")) << what;
    ASSERT_TRUE(eventually([&] { return peer.record(number).value("state", "") == "closed"; })) << what;
    const auto record = peer.record(number);
    EXPECT_EQ(record.at("mode"), one.mode) << what;
    EXPECT_EQ(record.contains("tls"), one.login_hidden) << what;
    EXPECT_EQ(on_the_wire(number, "TSQL"), !one.login_hidden) << what; // the application's name in LOGIN7
    EXPECT_EQ(on_the_wire(number, "a marker"), !one.batch_hidden) << what;
    EXPECT_TRUE(in_tds(number, "TSQL") && in_tds(number, "a marker")) << what;
    if (!one.login_hidden) continue;
    EXPECT_EQ(record.at("tls").at("version"), "TLSv1.2") << what;
    EXPECT_THAT(record.at("tls").at("cipher").get<std::string>(), HasSubstr("ECDSA")) << what;
  }
}

TEST_F(PeerTls, a_server_that_requires_tls_closes_on_freetds_without_it) {
  auto peer = start(with("require"));
  EXPECT_THAT(tsql(peer, "off"), Not(HasSubstr("a marker")));
  EXPECT_EQ(peer.record(1).at("error"), "no agreement on TLS");
  EXPECT_FALSE(peer.record(1).contains("login7"));
}

TEST_F(PeerTls, freetds_takes_handshakes_in_packets_of_replies) {
  auto options = with("on");
  options.tls_in_replies = true;
  auto peer = start(options);
  EXPECT_THAT(tsql(peer, "require"), HasSubstr("a marker"));
}

TEST_F(PeerTls, freetds_refuses_an_unknown_issuer) {
  issue(make_authority("Another"), {.names = {"sql1.corp.test"}})
      .write(folder.path() / "peer.pem", folder.path() / "peer.key");
  auto peer = start(with("on"));
  EXPECT_THAT(tsql(peer, "require"), Not(HasSubstr("a marker")));
}

TEST_F(PeerTls, openssl_finds_a_strict_server) {
  auto peer = start(with("strict"));
  const auto client = [&](std::vector<std::string> more) {
    std::vector<std::string> argv{"openssl",
                                  "s_client",
                                  "-connect",
                                  fmt::format("{}:{}", peer.address(), peer.port()),
                                  "-servername",
                                  "sql1.corp.test",
                                  "-CAfile",
                                  folder.path() / "ca.pem",
                                  "-verify_hostname",
                                  "sql1.corp.test",
                                  "-verify_return_error"};
    argv.insert(argv.end(), more.begin(), more.end());
    return run({.argv = argv});
  };
  const auto good = client({"-alpn", "tds/8.0"});
  EXPECT_THAT(good.output, ::testing::AllOf(HasSubstr("ALPN protocol: tds/8.0"), HasSubstr("TLSv1.3"),
                                            HasSubstr("Verify return code: 0")));
  const auto facts = peer.record(1);
  EXPECT_EQ(facts.at("mode"), "strict");
  EXPECT_EQ(facts.at("tls").at("alpn"), "tds/8.0");
  EXPECT_EQ(facts.at("tls").at("sni"), "sql1.corp.test");
  EXPECT_EQ(facts.at("tls").at("version"), "TLSv1.3");

  EXPECT_EQ(client({"-alpn", "tds/8.0", "-tls1_2"}).status, 0);
  EXPECT_EQ(peer.record(2).at("tls").at("version"), "TLSv1.2");
  EXPECT_NE(client({"-alpn", "http/1.1"}).status, 0);
  EXPECT_FALSE(peer.record(3).contains("tls"));
  EXPECT_THAT(good.output, Not(HasSubstr("New Session Ticket arrived")));
}

// ----------------------------------------------------------------------------------------------------
// scripted clients

TEST_F(PeerTls, login_only_covers_the_first_packet_alone) {
  auto peer = start(with("login"));
  Client client(peer.address(), peer.port());
  ASSERT_EQ(ask(client, tds::Encryption::off), tds::Encryption::off);
  TlsClient tls(client, true);
  tls.handshake();
  auto login = sql_login();
  login.app_name = std::u16string(100, u'x');
  const auto message = login_message(login, 200);
  ASSERT_GT(message.size(), 200u);
  auto bytes =
      tls.seal(tds::ByteView(message).first(200)); // the second packet follows in clear in the same segment
  bytes.insert(bytes.end(), message.begin() + 200, message.end());
  client.write(bytes);
  EXPECT_TRUE(find<tds::LoginAck>(tokens_of(client.receive())));
  client.batch("print 'in clear'");
  EXPECT_TRUE(client.receive());
  EXPECT_TRUE(on_the_wire(1, "in clear"));
  EXPECT_EQ(tls.flight_type(), 0x12);
  const auto understood = peer.received(1);
  const auto hello = prelogin(tds::Encryption::off);
  EXPECT_TRUE(
      understood.starts_with(std::string(hello.begin(), hello.end()) +
                             std::string(message.begin(), message.end()))); // no handshake between them
}

TEST_F(PeerTls, a_first_packet_may_come_in_pieces_and_records) {
  auto peer = start(with("login"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::off);
  TlsClient tls(client, true);
  tls.handshake();
  const auto message = login_message();
  auto bytes = tls.seal(tds::ByteView(message).first(5)); // half a header
  const auto rest = tls.seal(tds::ByteView(message).subspan(5));
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  for (const auto byte : bytes)
    client.write(tds::Bytes{byte});
  EXPECT_TRUE(find<tds::LoginAck>(tokens_of(client.receive())));
}

TEST_F(PeerTls, a_client_that_keeps_tls_beyond_the_first_packet_is_refused) {
  auto peer = start(with("login"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::off);
  TlsClient tls(client, true);
  tls.handshake();
  tls.write(login_message(sql_login(), 100));
  EXPECT_EQ(client.receive(), std::nullopt);
  EXPECT_EQ(peer.record(1).at("error"), "more than the first packet of LOGIN7 is encrypted");
}

TEST_F(PeerTls, a_close_notify_after_login_only_tls_is_an_error) {
  auto peer = start(with("login"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::off);
  TlsClient tls(client, true);
  tls.handshake();
  tls.write(login_message());
  EXPECT_TRUE(find<tds::LoginAck>(tokens_of(client.receive())));
  client.write(tls.close_notify());
  EXPECT_TRUE(eventually([&] { return peer.record(1).value("error", "") == "a packet of type 0x15"; }));
}

TEST_F(PeerTls, full_tls_ends_properly) {
  auto peer = start(with("on"));
  Client client(peer.address(), peer.port());
  ASSERT_EQ(ask(client, tds::Encryption::on), tds::Encryption::on);
  TlsClient tls(client, true);
  tls.handshake();
  EXPECT_FALSE(tls.resumable());
  tls.write(login_message(sql_login(u"sa", "wrong")));
  EXPECT_EQ(find_error(tokens_of(tls.receive()))->number, 18456u);
  EXPECT_EQ(tls.receive(), std::nullopt);
  EXPECT_TRUE(tls.closed_properly());
  EXPECT_EQ(peer.record(1).at("tls").at("sni"), "sql1.corp.test");
}

TEST_F(PeerTls, its_flights_come_in_replies_when_told_so) {
  auto options = with("on");
  options.tls_in_replies = true;
  auto peer = start(options);
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::on);
  TlsClient tls(client, true);
  tls.handshake();
  EXPECT_EQ(tls.flight_type(), 0x04);
}

TEST_F(PeerTls, clear_bytes_behind_prelogin_end_the_connection) {
  auto peer = start(with("on"));
  Client client(peer.address(), peer.port());
  auto bytes = prelogin(tds::Encryption::on);
  const auto login = login_message();
  bytes.insert(bytes.end(), login.begin(), login.end());
  client.write(bytes);
  EXPECT_EQ(client.receive(), std::nullopt);
  EXPECT_EQ(peer.record(1).at("error"), "clear bytes came behind PRELOGIN, where TLS was due");
}

TEST_F(PeerTls, a_login_in_clear_where_tls_was_agreed_is_refused) {
  auto peer = start(with("on"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::on);
  client.write(login_message());
  EXPECT_EQ(client.receive(), std::nullopt);
  EXPECT_FALSE(peer.record(1).contains("login7"));
}

TEST_F(PeerTls, a_server_that_requires_tls_takes_no_login_without_prelogin) {
  auto peer = start(with("require"));
  Client client(peer.address(), peer.port());
  client.write(login_message());
  EXPECT_EQ(client.receive(), std::nullopt);
  EXPECT_FALSE(peer.record(1).contains("login7"));
}

TEST_F(PeerTls, strict_takes_tds_8_and_tds_7_4) {
  auto peer = start(with("strict"));
  for (const auto version : {tds::tds_8_0, tds::tds_7_4}) {
    Client client(peer.address(), peer.port());
    TlsClient tls(client, false, TLS1_3_VERSION);
    tls.offer_alpn(tds8);
    tls.handshake();
    EXPECT_EQ(tls.version(), "TLSv1.3");
    tls.write(prelogin(tds::Encryption::not_sup));
    EXPECT_EQ(tds::decode_prelogin(tls.receive().value()).value().encryption(), tds::Encryption::not_sup);
    auto login = sql_login();
    login.tds_version = version;
    tls.write(login_message(login));
    const auto tokens = tokens_of(tls.receive());
    ASSERT_TRUE(find<tds::LoginAck>(tokens));
    EXPECT_EQ(find<tds::LoginAck>(tokens)->version, version);
  }
}

TEST_F(PeerTls, tds_8_is_for_strict_connections_alone) {
  auto peer = start(with("on"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::not_sup);
  auto login = sql_login();
  login.tds_version = tds::tds_8_0;
  client.write(login_message(login));
  EXPECT_EQ(client.receive(), std::nullopt);
}

TEST_F(PeerTls, strict_resets_a_plain_prelogin) {
  auto peer = start(with("strict"));
  Client client(peer.address(), peer.port());
  client.write(prelogin(tds::Encryption::on));
  errno = 0;
  EXPECT_TRUE(client.read().empty());
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(PeerTls, an_old_server_speaks_old_tls_alone) {
  auto options = with("on");
  options.tls_min = "1.0";
  options.tls_max = "1.1";
  auto peer = start(options);
  Client old(peer.address(), peer.port());
  ask(old, tds::Encryption::on);
  TlsClient tls(old, true, TLS1_1_VERSION);
  tls.handshake();
  EXPECT_EQ(tls.version(), "TLSv1.1");
  tls.write(login_message());
  EXPECT_TRUE(find<tds::LoginAck>(tokens_of(tls.receive())));
  EXPECT_EQ(peer.record(1).at("tls").at("version"), "TLSv1.1");
}

TEST_F(PeerTls, a_new_server_refuses_old_tls_with_an_alert) {
  auto peer = start(with("on"));
  Client client(peer.address(), peer.port());
  ask(client, tds::Encryption::on);
  TlsClient tls(client, true, TLS1_1_VERSION);
  EXPECT_THROW(tls.handshake(), std::runtime_error);
  EXPECT_EQ(tls.flight_type(), 0x12); // the alert came before the end
  EXPECT_THAT(peer.record(1).at("error").get<std::string>(), HasSubstr("unsupported protocol"));
}

TEST_F(PeerTls, misbehaves_at_client_hello_as_told) {
  auto options = with("on");
  options.tls_garbage = true;
  auto peer = start(options);
  Client garbled(peer.address(), peer.port());
  ask(garbled, tds::Encryption::on);
  TlsClient first(garbled, true);
  EXPECT_THROW(first.handshake(), std::runtime_error);
  EXPECT_EQ(first.flight_type(), 0x12);
  EXPECT_THAT(peer.record(1).at("error").get<std::string>(), HasSubstr("as told"));

  options.tls_garbage = false;
  options.close_at = Moment::tls;
  peer.restart(options);
  Client closed(peer.address(), peer.port());
  ask(closed, tds::Encryption::on);
  TlsClient second(closed, true);
  EXPECT_THROW(second.handshake(), std::runtime_error);
  EXPECT_EQ(second.flight_type(), 0);

  options.close_at = Moment::never;
  options.hang_at = Moment::tls;
  peer.restart(options);
  Client hung(peer.address(), peer.port());
  ask(hung, tds::Encryption::on);
  const auto sent = tds::encode_message(tds::PacketType::prelogin, tds::Bytes{0x16, 0x03, 0x01, 0, 1, 1});
  hung.write(sent);
  EXPECT_TRUE(eventually([&] { return peer.record(3).value("state", "") == "hanging"; }));
}

TEST_F(PeerTls, options_that_cannot_be_are_refused_at_once) {
  const auto fails = [&](PeerOptions options) { EXPECT_THROW(start(std::move(options)), LabError); };
  fails(with("sometimes"));
  auto options = with("on");
  options.key = folder.path() / "ca.key"; // of another certificate
  fails(options);
  options = with("on");
  options.certificate.clear();
  fails(options);
  options = with("on");
  options.tls_max = "2.0";
  fails(options);
  options = with("on");
  options.epa = "maybe";
  fails(options);
}

} // namespace
} // namespace lab
