// TLS on both legs against the lab's peer: what is verified, bound, sent in clear, followed; and what a
// hostile one of either side does not get.
#include "tests/component/server_in_process.hpp"
#include "tests/support/scripted_server.hpp"

#include <algorithm>

namespace {

using namespace testing;
using config::Encrypt;
using config::ListenerTls;
using lab::Plan;

constexpr auto scheme = u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid";

class Tls : public test::ServerInProcess {
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
  /// A login and one query: the scheme, or the cause that the client was told.
  std::string outcome(const test::ClientOptions &options = {}) {
    std::string result = "nothing";
    {
      test::Connection connection("127.0.0.1", port_);
      auto login = test::log_in(connection, options);
      error_ = login.error();
      if (!error_.empty()) result = error_.substr(0, error_.find(':'));
      if (login.reply)
        result = test::says(test::query(connection, scheme), u"KERBEROS") ? "KERBEROS" : "another scheme";
    }
    trail_ = closed_trail();
    return result;
  }
  shim::TlsAgreed agreed(shim::Side leg) {
    for (const auto &event : test::events_of<shim::TlsAgreed>(trail_))
      if (event.leg == leg) return event;
    ADD_FAILURE() << "no tls.agreed of the " << spelling(leg) << " leg\n" << decisions();
    return {};
  }

  std::unique_ptr<lab::Lab> lab_;
  std::string error_; ///< what the client of the last `outcome` was told
  std::vector<shim::Record> trail_;
};

// --- channel binding
// ----------------------------------------------------------------------------------------------------

TEST_F(Tls, ATokenIsBoundToItsChannelWhereTheServerDemandsIt) {
  bring_up({.server_encrypt = "on", .epa = "required"});
  for (const auto encrypt : {Encrypt::require, Encrypt::login}) {
    SCOPED_TRACE(config::to_string(encrypt));
    start(with(encrypt));
    EXPECT_EQ(outcome(), "KERBEROS") << error_;
    EXPECT_EQ(agreed(shim::Side::server).binding, "tls-unique");
    EXPECT_EQ(agreed(shim::Side::server).version, "TLSv1.2");
    EXPECT_TRUE(agreed(shim::Side::server).verified);
  }
  const auto record = lab_->peer().record(1);
  EXPECT_EQ(record.value("channel_bound", false), true) << record.dump(1);
}

TEST_F(Tls, OnTls13ThereIsNoBindingAndTheRefusalSaysSo) {
  bring_up({.server_encrypt = "strict", .epa = "required"});
  start(with(Encrypt::strict));
  EXPECT_EQ(outcome(), "channel-binding-refused");
  EXPECT_EQ(agreed(shim::Side::server).version, "TLSv1.3");
  EXPECT_EQ(agreed(shim::Side::server).binding, "none");
  EXPECT_EQ(agreed(shim::Side::server).reason, "tls13");
  EXPECT_THAT(error_, HasSubstr("Extended Protection"));
}

TEST_F(Tls, WithoutTlsThereIsNoBindingEither) {
  bring_up({.server_encrypt = "on", .epa = "required"});
  start(with(Encrypt::off));
  EXPECT_EQ(outcome(), "channel-binding-refused");
}

TEST_F(Tls, WhereABindingWasSentTheServersNoMeansSomethingElse) {
  bring_up({.fault = "login-untrusted", .server_encrypt = "on"});
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "login-untrusted");
  EXPECT_THAT(error_, AllOf(HasSubstr("0x80090346"), HasSubstr("0x8009030c")));
}

// --- what a certificate is worth
// ---------------------------------------------------------------------------------------------------

TEST_F(Tls, OnlyTheConfiguredNameCountsAndNeverWhatDnsMadeOfIt) {
  // The alias leads to sql1 by CNAME; the certificate is for sql1 alone.
  bring_up({.change = [](Plan &plan) { plan.certificate = Plan::Wrong::other_name; }});
  auto config = with(Encrypt::require);
  start(config);
  EXPECT_EQ(outcome(), "certificate-name");
  EXPECT_THAT(error_, AllOf(HasSubstr("sql1.corp.test"), HasSubstr("host_name_in_certificate")));
  EXPECT_TRUE(test::events_of<shim::TokenExchanged>(trail_).empty())
      << "a server that is not the right one gets no token";
  const auto names = lab_->peer().record(1);
  EXPECT_EQ(names.value("outcome", ""), "") << names.dump(1);
}

TEST_F(Tls, AnotherNameCanBeConfigured) {
  bring_up({});
  auto config = with(Encrypt::require);
  config.routes[0].host_name_in_certificate = "sqlalias.corp.test";
  start(config);
  EXPECT_EQ(outcome(), "KERBEROS") << error_;
  config.routes[0].host_name_in_certificate = "sql9.corp.test";
  start(config);
  EXPECT_EQ(outcome(), "certificate-name");
}

TEST_F(Tls, AShortTargetIsCompletedByTheSearchList) {
  bring_up({});
  auto config = with(Encrypt::require);
  config.routes[0].target = "sql1," + std::to_string(lab_->sql_port());
  start(config);
  EXPECT_EQ(outcome(), "KERBEROS") << error_;
}

TEST_F(Tls, TrustingWhoeverAnswersIsWarnedOfInEveryLogin) {
  bring_up({.change = [](Plan &plan) { plan.certificate = Plan::Wrong::self_signed; }});
  auto config = with(Encrypt::require);
  start(config);
  EXPECT_EQ(outcome(), "certificate-self-signed");
  config.routes[0].trust_server_certificate = true;
  start(config);
  for (int login = 0; login < 2; ++login) {
    EXPECT_EQ(outcome(), "KERBEROS") << error_;
    EXPECT_FALSE(agreed(shim::Side::server).verified);
    const auto warned = test::events_of<shim::Warned>(trail_);
    ASSERT_EQ(warned.size(), 1u);
    EXPECT_THAT(warned[0].what, HasSubstr("trust_server_certificate"));
  }
}

TEST_F(Tls, AVerifiedCertificateStandsInForTheServersTokenWhereTheRouteSaysSo) {
  bring_up({.fault = "mutual-auth-missing"});
  auto config = with(Encrypt::require);
  start(config);
  EXPECT_EQ(outcome(), "mutual-auth-missing");
  config.routes[0].mutual_auth = config::MutualAuth::or_verified_tls;
  start(config);
  EXPECT_EQ(outcome(), "KERBEROS") << error_;
  config.routes[0].trust_server_certificate = true;
  start(config);
  EXPECT_EQ(outcome(), "mutual-auth-missing") << "a certificate that nobody verified stands in for nothing";
}

TEST_F(Tls, ACaFileThatIsNotThereFailsTheLoginAndIsNamed) {
  bring_up({});
  auto config = with(Encrypt::require);
  config.routes[0].ca_file = lab_->folder() / "absent.pem";
  start(config);
  EXPECT_EQ(outcome(), "certificate-untrusted");
  EXPECT_THAT(error_, HasSubstr("absent.pem"));
  EXPECT_THAT(lab_->peer().record(1), IsEmpty()) << "nothing was connected to";
}

// --- login-only
// ----------------------------------------------------------------------------------------------------

TEST_F(Tls, LoginOnlyHidesTheFirstPacketAndNothingElse) {
  bring_up({.server_encrypt = "login"});
  auto config = with(Encrypt::login);
  start(config);
  test::ClientOptions options;
  options.password = u"never.on.the.wire";
  // LOGIN7 of more than one packet: the features are the client's own, and go on.
  options.features = {{tds::FeatureId::session_recovery, tds::Bytes(6000, 'F')}};
  EXPECT_EQ(outcome(options), "KERBEROS") << error_;
  const auto wire = lab::read_file(lab_->folder() / "peer" / "0001.wire.bin");
  EXPECT_THAT(wire, HasSubstr(std::string(2000, 'F'))) << "the second packet of LOGIN7 goes in clear";
  EXPECT_THAT(wire, Not(HasSubstr(std::string("t\0d\0s\0_\0c\0l\0i\0e\0n\0t\0", 20))))
      << "the first one does not: it holds the application's name";
  EXPECT_THAT(lab::read_file(lab_->folder() / "peer" / "0001.tds.bin"),
              HasSubstr(std::string("t\0d\0s\0_\0c\0l\0i\0e\0n\0t\0", 20)))
      << "the same search finds it under TLS";
  std::string password;
  for (const char16_t letter : options.password)
    password += {static_cast<char>(letter), '\0'};
  EXPECT_THAT(wire, Not(HasSubstr(password)));
  std::string hidden = password;
  for (auto &byte : hidden)
    byte = static_cast<char>((((byte & 0x0F) << 4) | ((byte >> 4) & 0x0F)) ^ 0xA5);
  EXPECT_THAT(wire, Not(HasSubstr(hidden)));
}

TEST_F(Tls, APasswordThatIsSentOnIsInTheEncryptedPacket) {
  bring_up({.server_encrypt = "login"});
  auto config = with(Encrypt::login);
  config.routes[0].attempts = {config::AttemptKind::tcp_sql};
  start(config);
  test::ClientOptions options;
  options.user = u"sa";
  options.password = u"Lab.Passw0rd";
  EXPECT_EQ(outcome(options), "another scheme") << error_;
  std::string hidden;
  for (const char16_t letter : options.password)
    for (const char byte : {static_cast<char>(letter), '\0'})
      hidden += static_cast<char>((((byte & 0x0F) << 4) | ((byte >> 4) & 0x0F)) ^ 0xA5);
  const auto records = lab_->folder() / "peer";
  EXPECT_THAT(lab::read_file(records / "0001.wire.bin"), Not(HasSubstr(hidden)));
  EXPECT_THAT(lab::read_file(records / "0001.tds.bin"), HasSubstr(hidden))
      << "the same search finds it under TLS";
}

// --- the client leg
// ----------------------------------------------------------------------------------------------------

TEST_F(Tls, BytesBehindTheClientsHandshakeInClearEndTheConnection) {
  bring_up({});
  start(with(Encrypt::require));
  for (const auto tls : {tds::ServerTls::login, tds::ServerTls::require, tds::ServerTls::strict}) {
    {
      test::Connection connection("127.0.0.1", port_);
      connection.inject_behind_handshake(tds::encode_message(
          tds::PacketType::login7, *tds::encode_login7(test::make_login7({.user = u"injected"}))));
      auto login = test::log_in(connection, {.tls = tls});
      EXPECT_FALSE(login.reply);
    }
    const auto trail = closed_trail();
    EXPECT_TRUE(test::events_of<shim::LoginReceived>(trail).empty())
        << "nothing that was injected is believed";
    const auto refused = test::events_of<shim::Refused>(trail);
    ASSERT_EQ(refused.size(), 1u) << decisions();
    EXPECT_THAT(refused[0].cause, AnyOf("protocol-violation", "tls-mismatch"));
    EXPECT_EQ(refused[0].fault, shim::Fault::client);
  }
}

TEST_F(Tls, AnOptionalListenerAnswersWhatItIsAskedAndStrictClientsAreNeverTold0) {
  bring_up({});
  start(with(Encrypt::require));
  EXPECT_EQ(outcome({.tls = tds::ServerTls::strict, .version = tds::tds_8_0}), "KERBEROS");
  const auto answered = test::events_of<shim::PreloginAnswered>(trail_);
  ASSERT_FALSE(answered.empty());
  EXPECT_THAT(answered[0].answered, Not(HasSubstr("ENCRYPTION off")));
  EXPECT_EQ(agreed(shim::Side::client).version, "TLSv1.3");
  EXPECT_EQ(outcome({.tls = tds::ServerTls::login}), "KERBEROS");
  EXPECT_EQ(agreed(shim::Side::client).version, "TLSv1.2") << "within PRELOGIN clients hang on 1.3";
}

TEST_F(Tls, ALoginUnderTlsIsRefusedUnderTls) {
  bring_up({.fault = "spn-missing"});
  start(with(Encrypt::require));
  for (const auto tls : {tds::ServerTls::login, tds::ServerTls::require, tds::ServerTls::strict}) {
    EXPECT_EQ(outcome({.tls = tls}), "spn-missing");
    EXPECT_THAT(error_, HasSubstr("MSSQLSvc/sql1.corp.test"));
  }
}

TEST_F(Tls, AHandshakeThatHangsIsOverInTime) {
  bring_up({});
  auto config = with(Encrypt::require);
  config.limits.client_login = config::Duration(300);
  start(config);
  test::Connection connection("127.0.0.1", port_);
  const tds::Bytes client_hello_begins{0x16, 0x03, 0x01};
  connection.send(client_hello_begins);
  EXPECT_EQ(refusal(), "deadline");
}

// --- the server leg, hostile
// ----------------------------------------------------------------------------------------------------

TEST_F(Tls, AServerThatHangsInTheHandshakeIsOverInTime) {
  bring_up({.change = [](Plan &plan) { plan.peer.hang_at = lab::Moment::tls; }});
  auto config = with(Encrypt::require);
  config.routes[0].timeouts.login = config::Duration(500);
  start(config);
  EXPECT_EQ(outcome(), "deadline");
}

TEST_F(Tls, BytesInClearBehindTheServersAgreementToTlsAreNotBelieved) {
  bring_up({.change = [](Plan &plan) { plan.server = Plan::Server::absent; }});
  test::ScriptedServer server(lab_->block().server(0), lab_->sql_port(), [](test::Connection &connection) {
    test::TdsServerSide side(connection);
    side.read();
    tds::Prelogin answer;
    answer.set_version({16, 0, 0, 0});
    answer.set_encryption(tds::Encryption::on);
    auto bytes = tds::encode_message(tds::PacketType::reply, tds::encode_prelogin(answer));
    const auto accepted =
        tds::encode_message(tds::PacketType::reply, tds::encode_tokens(test::login_accepted(), tds::tds_7_4));
    bytes.insert(bytes.end(), accepted.begin(), accepted.end());
    side.send(bytes);
    side.read();
  });
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "protocol-violation");
  EXPECT_TRUE(test::events_of<shim::TokenExchanged>(trail_).empty());
  EXPECT_TRUE(test::events_of<shim::LoginAnswered>(trail_).empty());
}

TEST_F(Tls, FlightsInReplyPacketsAreTaken) {
  bring_up({.change = [](Plan &plan) { plan.peer.tls_in_replies = true; }});
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "KERBEROS") << error_;
}

// --- redirects
// ----------------------------------------------------------------------------------------------------

lab::LabOptions routed(std::map<std::string, lab::RouteTo> routes,
                       std::vector<std::string> hosts = {"sql2", "sql3", "sql4"}) {
  lab::LabOptions options;
  options.hosts = std::move(hosts);
  options.change = [routes = std::move(routes)](Plan &plan) {
    for (const auto &[host, to] : routes)
      plan.hosts[host] = [to](lab::PeerOptions &peer) { peer.route = to; };
  };
  return options;
}

TEST_F(Tls, ARedirectIsFollowedWithNamesSpnCertificateAndBindingAnew) {
  for (const bool enhanced : {false, true})
    for (const bool without_loginack : {false, true}) {
      SCOPED_TRACE(fmt::format("enhanced {}, without LOGINACK {}", enhanced, without_loginack));
      auto options = routed({{"sql1.corp.test",
                              {.server = "sql2.corp.test",
                               .enhanced = enhanced,
                               .database = enhanced ? "reports" : "",
                               .without_loginack = without_loginack}}});
      options.epa = "required";
      bring_up(std::move(options));
      start(with(Encrypt::require));
      test::Connection connection("127.0.0.1", port_);
      auto login = test::log_in(connection);
      ASSERT_TRUE(login.reply) << login.error();
      // No routing token in what the client reads: it would go there past us.
      const auto tokens = *tds::decode_tokens(login.reply->tokens, tds::tds_7_4);
      for (const auto &token : tokens)
        if (const auto *change = std::get_if<tds::EnvChange>(&token)) {
          EXPECT_NE(change->type, tds::EnvChangeType::routing);
          EXPECT_NE(change->type, tds::EnvChangeType::enhanced_routing);
        }
      EXPECT_TRUE(test::says(test::query(connection, scheme), u"KERBEROS"));
      connection.close();
      trail_ = closed_trail();
      const auto followed = test::events_of<shim::RedirectFollowed>(trail_);
      ASSERT_EQ(followed.size(), 1u);
      EXPECT_EQ(followed[0].hop, 1);
      EXPECT_THAT(followed[0].to, StartsWith("sql2.corp.test,"));
      const auto chosen = test::events_of<shim::TicketChosen>(trail_);
      ASSERT_EQ(chosen.size(), 2u);
      EXPECT_THAT(chosen[1].spn, StartsWith("MSSQLSvc/sql2.corp.test:"));
      EXPECT_EQ(test::events_of<shim::TlsAgreed>(trail_).size(), 2u);
      EXPECT_EQ(lab_->peer(1).record(1).value("channel_bound", false), true) << "bound to its own channel";
      EXPECT_EQ(lab_->peer(1).record(1).value("outcome", ""), "accepted");
    }
}

TEST_F(Tls, TwoHopsAreFollowedAndAThirdIsNot) {
  bring_up(routed({{"sql1.corp.test", {.server = "sql2.corp.test"}},
                   {"sql2.corp.test", {.server = "sql3.corp.test\\INST"}}}));
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "KERBEROS") << error_;
  EXPECT_EQ(test::events_of<shim::RedirectFollowed>(trail_).size(), 2u);

  bring_up(routed({{"sql1.corp.test", {.server = "sql2.corp.test"}},
                   {"sql2.corp.test", {.server = "sql3.corp.test"}},
                   {"sql3.corp.test", {.server = "sql4.corp.test"}}}));
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "redirect-refused");
  EXPECT_THAT(error_, HasSubstr("more than the 2"));
  EXPECT_TRUE(lab_->peer(3).record(1).empty()) << "sql4 was never asked";
}

TEST_F(Tls, LoopsForeignDomainsAndUnprovenServersAreNotFollowed) {
  bring_up(routed(
      {{"sql1.corp.test", {.server = "sql2.corp.test"}}, {"sql2.corp.test", {.server = "SQL1.corp.test"}}}));
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "redirect-refused");
  EXPECT_THAT(error_, HasSubstr("been already"));

  bring_up(routed({{"sql1.corp.test", {.server = "sql2.evil.test"}}}));
  auto config = with(Encrypt::require);
  start(config);
  EXPECT_EQ(outcome(), "redirect-refused");
  EXPECT_THAT(error_, AllOf(HasSubstr("sql2.evil.test"), HasSubstr("not below corp.test"),
                            HasSubstr("redirect_within")));
  EXPECT_TRUE(test::events_of<shim::RedirectFollowed>(trail_).empty());

  // A client's own password goes only to what is listed.
  bring_up(routed({{"sql1.corp.test", {.server = "sql2.corp.test"}}}));
  config = with(Encrypt::require);
  config.routes[0].attempts = {config::AttemptKind::tcp_sql};
  start(config);
  EXPECT_EQ(outcome({.user = u"sa", .password = u"Lab.Passw0rd"}), "redirect-refused");
  EXPECT_TRUE(lab_->peer(1).record(1).empty());
  config.routes[0].redirect_within = {"corp.test"};
  start(config);
  EXPECT_EQ(outcome({.user = u"sa", .password = u"Lab.Passw0rd"}), "another scheme") << error_;
  // Nor from a server that nobody has verified.
  config.routes[0].trust_server_certificate = true;
  config.routes[0].unprotected = config::Unprotected::accept;
  start(config);
  EXPECT_EQ(outcome({.user = u"sa", .password = u"Lab.Passw0rd"}), "redirect-refused");
  EXPECT_THAT(error_, HasSubstr("proven"));
}

TEST_F(Tls, ARedirectNeverLowersEncryption) {
  // sql2 offers no TLS: a route that demands it goes no further.
  auto options = routed({{"sql1.corp.test", {.server = "sql2.corp.test"}}});
  auto change = options.change;
  options.change = [change](Plan &plan) {
    change(plan);
    plan.hosts["sql2.corp.test"] = [](lab::PeerOptions &peer) { peer.encrypt = "off"; };
  };
  bring_up(std::move(options));
  start(with(Encrypt::require));
  EXPECT_EQ(outcome(), "server-without-tls");
}

} // namespace
