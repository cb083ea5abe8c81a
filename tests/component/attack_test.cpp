// What somebody may try who is no user of ours: on the way to the server, in DNS, or as the server itself.
// Each attack by name, and beside it the honest login that must go on.
#include "tests/component/server_in_process.hpp"
#include "tests/support/scripted_server.hpp"

namespace {

using namespace testing;
using config::Encrypt;
using tds::Bytes;

constexpr std::uint8_t application_data = 0x17; // the first byte of a TLS record that carries what is secret

/// The next message of a side, or nullopt: what comes is no TDS, but TLS itself; or nothing comes any more.
std::optional<tds::Message> next_message(test::Connection &side, tds::MessageReader &reader) {
  for (;;) {
    if (reader.first_byte() == application_data) return std::nullopt;
    auto message = reader.next();
    if (!message) return std::nullopt;
    if (*message) return std::move(**message);
    const auto bytes = side.receive();
    if (bytes.empty()) return std::nullopt;
    reader.feed(bytes);
  }
}

/// Stands between sqlshim and the server: PRELOGIN and the handshake pass, and what comes in TLS (LOGIN7's
/// first packet) is swallowed. From then on everything is in clear, and his.
void let_the_handshake_through(test::Connection &client, const std::string &server, std::uint16_t port) {
  test::Connection peer(server, port);
  tds::MessageReader from_client(1 << 20), from_server(1 << 20);
  while (const auto asked = next_message(client, from_client)) {
    peer.send(tds::encode_message(asked->type, asked->payload));
    const auto answer = next_message(peer, from_server);
    if (!answer) return;
    client.send(tds::encode_message(answer->type, answer->payload));
  }
}

class Attack : public test::ServerInProcess {
protected:
  void bring_up(lab::LabOptions options) {
    options.serve = false;
    lab_ = std::make_unique<lab::Lab>(std::move(options));
  }
  config::Config with(Encrypt encrypt) {
    auto config = configuration(
        *lab_, identity(config::IdentityKind::keytab, (lab_->folder() / "reports.keytab").string()));
    config.routes[0].encrypt = encrypt;
    return config;
  }
  /// The same by way of somebody at that port, who cannot show the server's certificate by himself.
  config::Config by_way_of(std::uint16_t port, Encrypt encrypt) {
    auto config = with(encrypt);
    config.routes[0].target = "127.0.0.1," + std::to_string(port);
    config.routes[0].host_name_in_certificate = "sql1.corp.test";
    config.routes[0].spn = lab_->spn();
    return config;
  }

  std::unique_ptr<lab::Lab> lab_;
};

// --- What TLS proved ends with TLS.

TEST_F(Attack, WhoAnswersInClearBehindLoginOnlyTlsIsNotTheServer) {
  bring_up({.server_encrypt = "login"});
  test::ScriptedServer middle("127.0.0.1", 0, [&](test::Connection &client) {
    let_the_handshake_through(client, lab_->block().server(0), lab_->sql_port());
    test::TdsServerSide(client).say(test::login_accepted());
    client.receive();
  });
  auto config = by_way_of(middle.port(), Encrypt::login);
  config.routes[0].mutual_auth = config::MutualAuth::or_verified_tls; // `check` refuses it
  start(config);
  const auto attacked = log_in();
  EXPECT_FALSE(attacked.accepted);
  EXPECT_EQ(attacked.cause(), "mutual-auth-missing") << attacked.error;
  const auto tls = test::events_of<shim::TlsAgreed>(attacked.trail);
  ASSERT_FALSE(tls.empty());
  EXPECT_TRUE(tls.back().verified) << "the handshake was the server's own";

  start(with(Encrypt::login));
  EXPECT_TRUE(log_in().accepted) << "the honest login";
}

TEST_F(Attack, WhoSendsTheLoginElsewhereBehindLoginOnlyTlsIsNotFollowed) {
  bring_up({.server_encrypt = "login"});
  test::ScriptedServer elsewhere("127.0.0.1", 0, [](test::Connection &) {});
  test::ScriptedServer middle("127.0.0.1", 0, [&](test::Connection &client) {
    let_the_handshake_through(client, lab_->block().server(0), lab_->sql_port());
    test::TdsServerSide(client).say({test::routing(u"sql2.corp.test", elsewhere.port()), test::done()});
    client.receive();
  });
  auto config = by_way_of(middle.port(), Encrypt::login);
  config.routes[0].redirect_within = {"corp.test"};
  start(config);
  const auto attacked = log_in();
  EXPECT_EQ(attacked.cause(), "redirect-refused") << attacked.error;
  EXPECT_THAT(attacked.error, HasSubstr("before it has proven who it is"));
  EXPECT_EQ(elsewhere.connections(), 0);
}

// --- Without a certificate DNS alone says who the server is.

TEST_F(Attack, ForgedDnsDoesNotLeadOutOfTheTargetsDomain) {
  bring_up({.server_encrypt = "off", .cnames = {{"sqlalias.corp.test", "sql9.evil.test"}}});
  auto config = with(Encrypt::off);
  config.routes[0].target = "sqlalias.corp.test," + std::to_string(lab_->sql_port());
  start(config);
  const auto attacked = log_in();
  EXPECT_EQ(attacked.cause(), "canonical-name-foreign") << attacked.error;
  EXPECT_THAT(attacked.kdcs, IsEmpty()) << "nobody is asked for a ticket to his name";
  config.routes[0].canonical_within = {"evil.test"};
  start(config);
  EXPECT_EQ(log_in().cause(), "spn-missing") << "written otherwise, the KDC is asked";
  start(with(Encrypt::off));
  EXPECT_TRUE(log_in().accepted) << "the honest login";
}

TEST_F(Attack, ThousandsOfAddressesAreNotAllTried) {
  bring_up({});
  auto config = with(Encrypt::require);
  std::string hosts;
  for (int i = 0; i < 4000; ++i)
    hosts += fmt::format("127.9.{}.{} sql9.corp.test\n", i / 250, 1 + i % 250);
  config.dns.hosts = folder_.path() / "hosts";
  lab::write_file(config.dns.hosts, hosts);
  config.routes.push_back(config.routes[0]);
  config.routes[0].name = "flood";
  config.routes[0].match.database = "flood";
  config.routes[0].target = "sql9.corp.test," + std::to_string(lab_->sql_port());
  config.routes[0].spn = lab_->spn();
  config.routes[0].multi_subnet = true;
  start(config);
  const auto attacked = log_in({.database = u"flood"});
  EXPECT_EQ(attacked.cause(), "connection-refused") << attacked.error;
  const auto resolved = test::events_of<shim::TargetResolved>(attacked.trail);
  ASSERT_EQ(resolved.size(), 1u);
  EXPECT_EQ(resolved[0].endpoints.size(), 64u);
  const auto warned = test::events_of<shim::Warned>(attacked.trail);
  ASSERT_EQ(warned.size(), 1u);
  EXPECT_EQ(warned[0].what, "sql9.corp.test," + std::to_string(lab_->sql_port()) +
                                " has 4000 addresses, of which 64 are used; [limits] addresses");
  for (const auto &answer : test::events_of<shim::DnsAnswered>(attacked.trail))
    EXPECT_LE(answer.answers.size(), 65u);
  EXPECT_TRUE(log_in().accepted) << "the honest login";
}

// --- The server's own word.

TEST_F(Attack, TheServersOwnRefusalIsTheFirstThatAClientReads) {
  bring_up(
      {.server_encrypt = "off", .change = [](lab::Plan &plan) { plan.server = lab::Plan::Server::absent; }});
  tds::ServerMessage said;
  said.state = 38;
  said.text = u"Login failed for user 'CORP\\svc-reports'. \u00e4\U0001F512";
  said.server = u"SQL1\\INST";
  said.procedure = u"sp_x";
  said.line = 65537;
  test::ScriptedServer server(lab_->block().server(0), lab_->sql_port(), [&](test::Connection &client) {
    test::TdsServerSide side(client);
    side.prelogin();
    side.login();
    side.say({said, test::done(tds::done_error)});
  });
  start(with(Encrypt::off));
  for (const auto &[number, severity] :
       {std::pair{18456, 14}, {18486, 14}, {18487, 14}, {18488, 14}, {18452, 14}, {4060, 11}, {40613, 17}}) {
    SCOPED_TRACE(number);
    said.number = static_cast<std::uint32_t>(number);
    said.severity = static_cast<std::uint8_t>(severity);
    const auto before = server.connections();
    test::Connection connection("127.0.0.1", port_);
    const auto login = test::log_in(connection);
    ASSERT_EQ(login.messages.size(), 2u);
    EXPECT_EQ(login.messages[0], said) << "unchanged";
    const auto &ours = login.messages[1];
    EXPECT_EQ(ours.server, u"sqlshim");
    EXPECT_EQ(ours.number, said.number) << "a driver that goes by the last one does as without us";
    EXPECT_EQ(ours.severity, said.severity);
    EXPECT_THAT(tds::to_utf8(ours.text), AllOf(HasSubstr(": "), HasSubstr("(sqlshim connection ")));
    EXPECT_EQ(server.connections(), before + 1) << "asked once";
  }
}

} // namespace
