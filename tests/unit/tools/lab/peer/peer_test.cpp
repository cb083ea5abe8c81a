// The peer as a process: real clients (FreeTDS's tsql) and scripted ones against it.
#include "tests/unit/tools/lab/peer/client.hpp"
#include "tools/lab/lab.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

using lab_test::Client;
using lab_test::find;
using lab_test::find_error;
using lab_test::sql_login;
using ::testing::HasSubstr;
using ::testing::Not;

// ----------------------------------------------------------------------------------------------
// without Kerberos or DNS

class PeerTest : public ::testing::Test {
protected:
  Peer start(PeerOptions options = {}) { return Peer(folder.path(), std::move(options)); }
  ~PeerTest() override {
    if (HasFailure()) lab_test::show_peer(folder.path());
  }
  TemporaryFolder folder;
};

tds::Prelogin hello(bool mars = false) {
  tds::Prelogin prelogin;
  prelogin.set_version({9, 0, 0, 0});
  prelogin.set_encryption(tds::Encryption::not_sup);
  prelogin.set_mars(mars);
  return prelogin;
}

TEST_F(PeerTest, answers_a_login_with_all_that_sql_server_sends) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  client.send(tds::PacketType::prelogin, tds::encode_prelogin(hello()));
  const auto answer = tds::decode_prelogin(client.receive().value()).value();
  EXPECT_EQ(tds::describe(answer), "VERSION 16.0.1000, ENCRYPTION not_sup, MARS 0");

  auto login = sql_login();
  login.packet_size = 8000;
  login.database = u"reports";
  login.has_extension = true;
  login.features = {{tds::FeatureId::utf8_support, {0x01}}};
  const auto tokens = client.log_in(login);
  ASSERT_TRUE(find<tds::LoginAck>(tokens));
  EXPECT_EQ(find<tds::LoginAck>(tokens)->version, tds::tds_7_4);
  EXPECT_EQ(find<tds::LoginAck>(tokens)->program, u"Microsoft SQL Server");
  EXPECT_TRUE(find<tds::FeatureExtAck>(tokens));
  std::vector<std::pair<int, std::u16string>> changes;
  for (const auto &token : tokens)
    if (const auto *change = std::get_if<tds::EnvChange>(&token);
        change && change->type != tds::EnvChangeType::collation)
      changes.emplace_back(static_cast<int>(change->type), change->new_text());
  EXPECT_THAT(changes, ::testing::ElementsAre(std::pair(1, u"reports"), std::pair(2, u"us_english"),
                                              std::pair(4, u"8000")));

  const auto record = peer.record(1);
  EXPECT_EQ(record.at("login7").at("host"), "testhost");
  EXPECT_EQ(record.at("login7").at("packet_size"), 8000);
  EXPECT_EQ(record.at("auth_scheme"), "SQL");
  EXPECT_EQ(record.at("server_port"), peer.port());
  EXPECT_TRUE(record.at("client_port").get<int>() > 0);
  EXPECT_THAT(record.dump(), Not(HasSubstr("Passw0rd")));
}

TEST_F(PeerTest, writes_what_came_before_it_answers) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  const auto sent = tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(hello()));
  client.write(sent);
  client.receive();
  EXPECT_EQ(peer.received(1), std::string(sent.begin(), sent.end()));
  EXPECT_EQ(read_file(folder.path() / "peer/0001.wire.bin"), peer.received(1));
  EXPECT_EQ(peer.record(1).at("prelogin").at("asked"), "VERSION 9.0.0, ENCRYPTION not_sup, MARS 0");
}

TEST_F(PeerTest, a_wrong_password_is_18456) {
  auto peer = start();
  for (const auto *user : {u"sa", u"nobody"}) {
    Client client(peer.address(), peer.port());
    const auto tokens = client.log_in(sql_login(user, "wrong"));
    ASSERT_TRUE(find_error(tokens));
    EXPECT_EQ(find_error(tokens)->number, 18456u);
    EXPECT_EQ(find_error(tokens)->severity, 14);
    EXPECT_EQ(find_error(tokens)->state, 1);
    EXPECT_FALSE(find<tds::LoginAck>(tokens));
    EXPECT_EQ(client.receive(), std::nullopt); // and it closes
  }
}

TEST_F(PeerTest, a_database_that_it_does_not_have_is_4060) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  auto login = sql_login();
  login.database = u"nothing";
  const auto tokens = client.log_in(login);
  ASSERT_TRUE(find_error(tokens));
  EXPECT_EQ(find_error(tokens)->number, 4060u);
}

TEST_F(PeerTest, an_attention_ends_a_wait) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  client.log_in(sql_login());
  client.batch("waitfor delay '10:00:00'");
  client.attention();
  tds::Bytes all; // the reply that was cut short, if it had begun, then the acknowledgement
  for (bool acknowledged = false; !acknowledged;) {
    const auto tokens = tds::decode_tokens(client.receive().value(), tds::tds_7_4).value();
    for (const auto &token : tokens)
      if (const auto *done = std::get_if<tds::Done>(&token))
        acknowledged |= (done->status & tds::done_attention) != 0;
  }
  client.batch("print 'still here'");
  const auto tokens = tds::decode_tokens(client.receive().value(), tds::tds_7_4).value();
  ASSERT_TRUE(find<tds::ServerMessage>(tokens));
  EXPECT_EQ(find<tds::ServerMessage>(tokens)->text, u"still here");
}

/// Whether an attention found the batch still waiting: then its reply was cut short, which DONE says.
bool waits(Client &client, std::string_view batch) {
  client.batch(batch);
  client.attention();
  bool cut_short = false;
  while (true) {
    const auto tokens = tds::decode_tokens(client.receive().value(), tds::tds_7_4).value();
    for (const auto &token : tokens) {
      const auto *done = std::get_if<tds::Done>(&token);
      if (!done) continue;
      if (done->status & tds::done_attention) return cut_short;
      cut_short |= (done->status & tds::done_error) != 0;
    }
  }
}

TEST_F(PeerTest, connections_of_one_application_meet) {
  auto peer = start();
  Client one(peer.address(), peer.port()), two(peer.address(), peer.port()),
      other(peer.address(), peer.port());
  one.log_in(sql_login());
  two.log_in(sql_login());
  auto login = sql_login();
  login.app_name = u"another test";
  other.log_in(login);
  EXPECT_FALSE(waits(one, "exec lab_meet 1"));
  EXPECT_TRUE(waits(one, "exec lab_meet 2"));
  EXPECT_TRUE(waits(two, "exec lab_meet 2")) << "the first has gone";
  one.batch("exec lab_meet 2 print 'met'");
  EXPECT_TRUE(waits(other, "exec lab_meet 2")) << "the first is of another application";
  two.batch("exec lab_meet 2 print 'met'");
  for (auto *client : {&one, &two}) {
    const auto tokens = tds::decode_tokens(client->receive().value(), tds::tds_7_4).value();
    ASSERT_TRUE(find<tds::ServerMessage>(tokens));
    EXPECT_EQ(find<tds::ServerMessage>(tokens)->text, u"met");
  }
}

TEST_F(PeerTest, an_attention_stops_rows_in_the_middle) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  client.log_in(sql_login());
  client.batch("exec lab_rows 2000000000, 1000"); // two terabytes, if nobody stops it
  ASSERT_FALSE(client.read().empty());
  client.attention();
  const tds::Bytes acknowledged =
      tds::encode_tokens({tds::Done{tds::DoneKind::done, tds::done_attention, 0, 0}}, tds::tds_7_4);
  tds::Bytes end; // read to the acknowledgement, which is a message of its own: header and DONE
  while (end.size() < acknowledged.size() ||
         !std::equal(acknowledged.rbegin(), acknowledged.rend(), end.rbegin())) {
    const auto some = client.read();
    ASSERT_FALSE(some.empty());
    end.insert(end.end(), some.begin(), some.end());
    if (end.size() > 1024) end.erase(end.begin(), end.end() - 1024);
  }
  client.batch("exec lab_rows 1");
  EXPECT_FALSE(client.read().empty());
}

TEST_F(PeerTest, rows_cross_packets_of_the_agreed_size) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  auto login = sql_login();
  login.packet_size = 512;
  client.log_in(login);
  client.batch("exec lab_rows 100, 900");
  const auto reply = client.receive().value();
  const auto row_size = 1 + 1 + 4 + 2 + 900; // token, INT with its length, VARCHAR with its length
  EXPECT_GT(reply.size(), 100u * row_size);
}

TEST_F(PeerTest, closes_where_it_is_told_to) {
  PeerOptions options;
  options.close_at = Moment::accepted;
  auto peer = start(options);
  EXPECT_EQ(Client(peer.address(), peer.port()).receive(), std::nullopt);

  options.close_at = Moment::prelogin;
  peer.restart(options);
  Client first(peer.address(), peer.port());
  first.send(tds::PacketType::prelogin, tds::encode_prelogin(hello()));
  EXPECT_EQ(first.receive(), std::nullopt);

  options.close_at = Moment::login;
  peer.restart(options);
  Client second(peer.address(), peer.port());
  second.send(tds::PacketType::login7, tds::encode_login7(sql_login()).value());
  EXPECT_EQ(second.receive(), std::nullopt);
}

TEST_F(PeerTest, hangs_where_it_is_told_to) {
  PeerOptions options;
  options.hang_at = Moment::login;
  auto peer = start(options);
  Client client(peer.address(), peer.port());
  client.send(tds::PacketType::login7, tds::encode_login7(sql_login()).value());
  EXPECT_TRUE(eventually([&] { return peer.record(1).value("state", "") == "hanging"; }));
}

TEST_F(PeerTest, shows_each_fault_of_the_login_reply) {
  PeerOptions options;
  options.login_error = LoginError{18470, 2, 14, "The account is disabled."};
  auto peer = start(options);
  EXPECT_EQ(find_error(Client(peer.address(), peer.port()).log_in(sql_login()))->number, 18470u);

  options = {};
  options.unknown_token = true;
  peer.restart(options);
  Client unknown(peer.address(), peer.port());
  unknown.send(tds::PacketType::login7, tds::encode_login7(sql_login()).value());
  EXPECT_FALSE(tds::decode_tokens(unknown.receive().value(), tds::tds_7_4));

  options = {};
  options.route = RouteTo{.server = "sql2.corp.test", .port = 1444};
  peer.restart(options);
  bool routed = false;
  for (const auto &token : Client(peer.address(), peer.port()).log_in(sql_login()))
    if (const auto *change = std::get_if<tds::EnvChange>(&token);
        change && change->type == tds::EnvChangeType::routing) {
      const auto target = tds::decode_routing(*change);
      ASSERT_TRUE(target);
      EXPECT_EQ(target->server, u"sql2.corp.test");
      EXPECT_EQ(target->port, 1444);
      routed = true;
    }
  EXPECT_TRUE(routed);

  options = {};
  options.partner = "SQL2";
  peer.restart(options);
  std::u16string partner;
  for (const auto &token : Client(peer.address(), peer.port()).log_in(sql_login()))
    if (const auto *change = std::get_if<tds::EnvChange>(&token);
        change && change->type == tds::EnvChangeType::mirroring_partner)
      partner = change->new_text();
  EXPECT_EQ(partner, u"SQL2");

  options.route = RouteTo{.server = "sql2\\INST", .port = 1444, .enhanced = true, .database = "reports"};
  peer.restart(options);
  const auto enhanced = Client(peer.address(), peer.port()).log_in(sql_login());
  ASSERT_TRUE(find<tds::LoginAck>(enhanced));
  const auto *change = std::get_if<tds::EnvChange>(&enhanced.at(enhanced.size() - 2));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->type, tds::EnvChangeType::enhanced_routing);
  EXPECT_EQ(tds::decode_routing(*change).value().server, u"sql2\\INST");
  const std::string units("r\0e\0p\0o\0r\0t\0s\0\0\0", 16);
  EXPECT_TRUE(std::string(change->data.begin(), change->data.end())
                  .ends_with(units)); // the database, then no old value

  options.route->without_loginack = true;
  peer.restart(options);
  const auto bare = Client(peer.address(), peer.port()).log_in(sql_login());
  ASSERT_EQ(bare.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<tds::EnvChange>(bare[0]));
  EXPECT_TRUE(std::holds_alternative<tds::Done>(bare[1]));

  options = {};
  options.encryption = tds::Encryption::req;
  options.refuse_mars = true;
  peer.restart(options);
  Client stubborn(peer.address(), peer.port());
  stubborn.send(tds::PacketType::prelogin, tds::encode_prelogin(hello(true)));
  EXPECT_EQ(tds::describe(tds::decode_prelogin(stubborn.receive().value()).value()),
            "VERSION 16.0.1000, ENCRYPTION req, MARS 0");

  options = {};
  options.early_garbage = true;
  peer.restart(options);
  const auto garbage = Client(peer.address(), peer.port()).read();
  EXPECT_TRUE(std::string(garbage.begin(), garbage.end()).starts_with("HTTP/1.1"));
}

TEST_F(PeerTest, serves_mars_sessions_side_by_side) {
  auto peer = start();
  Client client(peer.address(), peer.port());
  client.send(tds::PacketType::prelogin, tds::encode_prelogin(hello(true)));
  EXPECT_TRUE(tds::decode_prelogin(client.receive().value()).value().mars());
  client.log_in(sql_login());
  const auto frame = [](std::uint8_t flags, std::uint8_t sid, std::uint8_t sequence,
                        tds::ByteView data = {}) {
    tds::Writer out;
    out.u8(0x53), out.u8(flags), out.u16_le(sid), out.u32_le(static_cast<std::uint32_t>(16 + data.size())),
        out.u32_le(sequence), out.u32_le(4);
    out.append(data);
    return std::move(out).bytes();
  };
  const auto batch = [](std::string_view sql) {
    tds::Writer out;
    out.u32_le(4);
    out.utf16(tds::to_utf16(sql));
    return tds::encode_message(tds::PacketType::sql_batch, out.bytes());
  };
  client.write(frame(1, 0, 0));
  client.write(frame(1, 1, 0));
  client.write(
      frame(8, 0, 1, batch("waitfor delay '10:00:00'"))); // the first session waits, the second goes on
  client.write(frame(8, 1, 1, batch("print 'second'")));
  const auto reply = client.read();
  ASSERT_GT(reply.size(), 16u + 8u);
  EXPECT_EQ(reply[0], 0x53);
  EXPECT_EQ(reply[1], 8); // DATA
  EXPECT_EQ(reply[2], 1); // of session 1
  EXPECT_EQ(reply[16], 0x04);
}

TEST_F(PeerTest, garbage_from_a_client_ends_that_client_only) {
  auto peer = start();
  Client bad(peer.address(), peer.port());
  bad.write(tds::Bytes{'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', 0, 0, 0});
  Client good(peer.address(), peer.port());
  EXPECT_TRUE(find<tds::LoginAck>(good.log_in(sql_login())));
}

TEST(PeerOptionsJson, survives_the_way_to_the_process_and_back) {
  PeerOptions options;
  options.address = "127.1.2.3";
  options.port = 1433;
  options.keytab = "/a/keytab";
  options.pipe = "/a/np/sql\\query";
  options.principals = std::vector<std::string>{"alice@CORP.TEST"};
  options.close_at = Moment::sspi_answered;
  options.encryption = tds::Encryption::req;
  options.login_error = LoginError{18456, 2, 14, "no"};
  options.route =
      RouteTo{.server = "x", .port = 3, .enhanced = true, .database = "d", .without_loginack = true};
  options.encrypt = "strict";
  options.certificate = "/a/peer.pem";
  options.key = "/a/peer.key";
  options.tls_min = "1.0";
  options.tls_max = "1.1";
  options.epa = "required";
  options.accounts = {{"alice@CORP.TEST", "alicepw"}};
  options.ntlm = options.ntlm_timestamp = false;
  options.hang_at = Moment::tls;
  options.tls_in_replies = options.tls_garbage = true;
  options.login_delay = std::chrono::milliseconds(7);
  const nlohmann::json first = options;
  EXPECT_EQ(nlohmann::json(first.get<PeerOptions>()), first);
  EXPECT_THROW((nlohmann::json{{"no_such_key", 1}}.get<PeerOptions>()), LabError);
}

// ---------------------------------------------------------------------------------------------------
// the lab, no sqlshim

class LabTest : public ::testing::Test {
protected:
  void bring_up(LabOptions options = {}) {
    options.serve = false;
    lab.emplace(std::move(options));
    lab->realm().kinit("alice", "alicepw", lab->folder() / "ccache");
  }
  std::string tsql(const std::string &sql, Environment more = {}, std::vector<std::string> arguments = {}) {
    auto environment = lab->environment();
    environment.merge(more);
    std::vector<std::string> argv{"tsql", "-S", "peer"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run({.argv = argv, .environment = environment}, sql + "\ngo\n").output;
  }
  ~LabTest() override {
    if (!HasFailure() || !lab) return;
    for (const auto *file : {"kdc.log", "peer.log", "peer/0001.json"})
      std::fprintf(stderr, "---- %s\n%s\n", file, tail(lab->folder() / file, 60).c_str());
  }
  std::optional<Lab> lab;
};

constexpr auto ask_scheme =
    "select auth_scheme, net_transport, encrypt_option from sys.dm_exec_connections where session_id=@@spid";

TEST_F(LabTest, tsql_logs_in_directly_with_kerberos_in_every_version) {
  bring_up({.server_encrypt = "off"}); // TDS 7.0 has no PRELOGIN, and so no TLS
  for (const auto *version : {"7.0", "7.1", "7.2", "7.3", "7.4"}) {
    const auto output = tsql(ask_scheme, {{"TDSVER", version}});
    EXPECT_THAT(output, HasSubstr("KERBEROS\tTCP\tFALSE")) << version;
  }
  const auto record = lab->peer().record(5);
  EXPECT_EQ(record.at("initiator"), "alice@CORP.TEST");
  EXPECT_EQ(record.at("spn"), lab->spn());
  EXPECT_EQ(record.at("mechanism"), "kerberos");
  EXPECT_EQ(record.at("login"), "CORP\\alice");
  EXPECT_THAT(lab->realm().log(), HasSubstr("ISSUE"));
}

TEST_F(LabTest, tsql_logs_in_with_a_password) {
  bring_up();
  EXPECT_THAT(tsql("select suser_sname(), auth_scheme from sys.dm_exec_connections", {},
                   {"-U", "sa", "-P", "Lab.Passw0rd"}),
              HasSubstr("sa\tSQL"));
  EXPECT_THAT(tsql("select 1", {}, {"-U", "sa", "-P", "wrong"}), HasSubstr("Login failed for user 'sa'."));
}

TEST_F(LabTest, a_principal_without_login_is_refused_after_its_ticket_was_good) {
  bring_up({.fault = "login-denied",
            .change = [](Plan &plan) { plan.peer.principals = std::vector<std::string>{"bob@CORP.TEST"}; }});
  EXPECT_THAT(tsql("select 1"), HasSubstr("Login failed for user 'CORP\\alice'."));
  EXPECT_EQ(lab->peer().record(1).at("outcome"), "refused");
}

TEST_F(LabTest, a_wrong_key_is_41_on_the_wire) {
  bring_up({.fault = "spn-wrong-account"});
  EXPECT_THAT(tsql("select 1"), HasSubstr("20002"));
  EXPECT_EQ(lab->peer().record(1).at("krb_error"), 41);
}

TEST_F(LabTest, an_old_key_is_44_on_the_wire) {
  bring_up({.fault = "server-key-old"});
  EXPECT_THAT(tsql("select 1"), HasSubstr("20002"));
  EXPECT_EQ(lab->peer().record(1).at("krb_error"), 44);
}

TEST_F(LabTest, a_missing_spn_never_reaches_the_server) {
  bring_up({.fault = "spn-missing"});
  EXPECT_THAT(tsql("select 1"), HasSubstr("20002"));
  EXPECT_THAT(lab->realm().log(), HasSubstr("Server not found in Kerberos database"));
}

TEST_F(LabTest, the_expired_ticket_is_expired) {
  bring_up({.fault = "tgt-expired"});
  auto environment = lab->environment();
  const auto cache = "FILE:" + (lab->folder() / "expired.ccache").string();
  EXPECT_EQ(run({.argv = {"klist", "-c", cache}, .environment = environment}).status, 0);
  EXPECT_EQ(run({.argv = {"klist", "-s", "-c", cache}, .environment = environment}).status,
            1); // -s: says only whether it is usable
}

TEST_F(LabTest, one_more_host_has_its_own_server_and_spn) {
  bring_up({.hosts = {"sql2"}});
  EXPECT_EQ(lab->peer(1).address(), lab->block().server(1));
  auto environment = lab->environment();
  EXPECT_EQ(run({.argv = {"kvno", "MSSQLSvc/sql2.corp.test:" + std::to_string(lab->sql_port())},
                 .environment = environment})
                .status,
            0);
}

TEST_F(LabTest, the_command_has_what_it_needs_and_kadmin_works) {
  bring_up();
  const auto done = run(
      {.argv =
           {"sh", "-c",
            "kadmin.local -p sqlshim/admin -q \"delprinc -force $SQLSHIM_SPN\" && test -f $SQLSHIM_CONFIG && "
            "test $KRB5CCNAME = FILE:$SQLSHIM_LAB/ccache && kill -0 $SQLSHIM_PEER_PID && command -v sqlshim-lab"},
       .environment = lab->environment()});
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_THAT(done.output, HasSubstr("deleted"));
}

TEST_F(LabTest, two_labs_run_side_by_side) {
  bring_up();
  Lab other({.serve = false});
  EXPECT_NE(other.block().text(), lab->block().text());
  EXPECT_THAT(tsql(ask_scheme), HasSubstr("KERBEROS"));
}

TEST_F(LabTest, nothing_of_it_is_left) {
  bring_up();
  const auto folder = lab->folder();
  const auto kdc = lab->realm().kdc().pid(), dns = lab->dns().process().pid(), peer = lab->peer().pid();
  lab.reset();
  EXPECT_FALSE(fs::exists(folder));
  for (const auto pid : {kdc, dns, peer})
    EXPECT_FALSE(fs::exists("/proc/" + std::to_string(pid)));
}

// ----------------------------------------------------------------------------------------------------
// the lab and TLS

TEST_F(LabTest, tsql_finds_the_tls_that_the_lab_was_asked_for) {
  const std::pair<const char *, const char *> modes[] = {
      {"off", "clear"}, {"login", "login"}, {"on", "full"}, {"require", "full"}};
  for (const auto &[encrypt, mode] : modes) {
    bring_up({.server_encrypt = encrypt});
    EXPECT_THAT(tsql(ask_scheme), HasSubstr("KERBEROS\tTCP")) << encrypt;
    EXPECT_EQ(lab->peer().record(1).at("mode"), mode) << encrypt;
    EXPECT_EQ(lab->peer().record(1).contains("bindings"), true);
    const auto config = read_file(lab->folder() / "sqlshim.toml");
    const std::string fitting = std::string(encrypt) == "on" ? "require" : encrypt;
    EXPECT_THAT(config, HasSubstr("encrypt = \"" + fitting + "\"\nca_file = \"ca.pem\"\n")) << encrypt;
    EXPECT_THAT(config, HasSubstr("[state]\ndirectory = \"state\"\n"));
  }
}

TEST_F(LabTest, a_strict_lab_has_strict_routes) {
  bring_up({.server_encrypt = "strict"});
  EXPECT_THAT(read_file(lab->folder() / "sqlshim.toml"), HasSubstr("encrypt = \"strict\""));
  EXPECT_EQ(lab->peer().options().encrypt, "strict");
}

/// What the openssl program says of a peer's certificate, with the lab's authority, for `name`.
std::string verdict(const Lab &lab, const Peer &peer, const std::string &name) {
  return run({.argv = {"openssl", "s_client", "-connect", peer.address() + ":" + std::to_string(peer.port()),
                       "-CAfile", lab.folder() / "ca.pem", "-verify_hostname", name}})
      .output;
}

TEST_F(LabTest, its_certificate_names_every_server) {
  bring_up({.hosts = {"sql2"}, .server_encrypt = "strict"});
  for (const auto *name : {"sql1.corp.test", "sqlalias.corp.test", "sql2.corp.test"})
    EXPECT_THAT(verdict(*lab, lab->peer(1), name), HasSubstr("Verify return code: 0")) << name;
  EXPECT_THAT(verdict(*lab, lab->peer(), "sql3.corp.test"), Not(HasSubstr("Verify return code: 0")));
}

TEST_F(LabTest, each_fault_of_a_certificate_is_that_one) {
  const std::pair<const char *, const char *> faults[] = {
      {"certificate-name", "ostname mismatch"},
      {"certificate-untrusted", "unable to get local issuer"},
      {"certificate-expired", "certificate has expired"},
      {"certificate-self-signed", "self-signed certificate"},
      {"certificate-weak", "key too"}};
  for (const auto &[fault, text] : faults) {
    bring_up({.fault = fault, .server_encrypt = "strict"});
    EXPECT_THAT(verdict(*lab, lab->peer(), sql1), HasSubstr(text)) << fault;
    EXPECT_THAT(read_file(lab->folder() / "sqlshim.toml"), HasSubstr("encrypt = \"strict\"")) << fault;
  }
}

TEST_F(LabTest, faults_of_tls_hold_whatever_the_server_was_asked_to_do) {
  const auto peer_of = [&](const char *fault, const char *encrypt) {
    bring_up({.fault = fault, .server_encrypt = encrypt});
    return lab->peer().options();
  };
  const auto toml = [&] { return read_file(lab->folder() / "sqlshim.toml"); };
  EXPECT_EQ(peer_of("server-requires-tls", "on").encrypt, "require");
  EXPECT_THAT(toml(), HasSubstr("encrypt = \"off\""));
  EXPECT_EQ(peer_of("server-without-tls", "on").encrypt, "off");
  EXPECT_THAT(toml(), HasSubstr("encrypt = \"require\""));
  EXPECT_EQ(peer_of("tls-version-refused", "off").tls_max, "1.1");
  EXPECT_EQ(lab->peer().options().encrypt, "on");
  EXPECT_THAT(toml(), HasSubstr("encrypt = \"require\""));
  EXPECT_TRUE(peer_of("tls-mismatch", "on").tls_garbage);
  EXPECT_EQ(peer_of("channel-binding-refused", "on").epa, "required");
  EXPECT_THAT(toml(), HasSubstr("encrypt = \"strict\""));
  peer_of("listener-requires-tls", "on");
  EXPECT_THAT(toml(), HasSubstr("tls = \"required\""));
  peer_of("client-requires-tls", "on");
  EXPECT_THAT(toml(), HasSubstr("tls = \"off\""));
  EXPECT_EQ(peer_of("redirect-refused", "on").route.value().server, "sql1.evil.test");
}

TEST_F(LabTest, a_server_that_demands_bindings_refuses_tsql_which_sends_none) {
  bring_up({.epa = "required"});
  EXPECT_THAT(tsql("select 1"), HasSubstr("untrusted domain"));
  EXPECT_EQ(lab->peer().record(1).at("epa"), "unbound");
  EXPECT_EQ(lab->peer().record(1).at("outcome"), "refused");
}

TEST_F(LabTest, every_server_may_route_for_itself) {
  bring_up({.hosts = {"sql2", "sql3"}, .change = [](Plan &plan) {
              plan.peer.route = RouteTo{.server = "sql2.corp.test"}; // sql1 alone
              plan.hosts["sql2.corp.test"] = [](PeerOptions &peer) {
                peer.route = RouteTo{.server = "sql1.corp.test", .port = 99};
                peer.login_delay = std::chrono::milliseconds(1);
              };
            }});
  EXPECT_EQ(lab->peer(0).options().route.value().server, "sql2.corp.test");
  EXPECT_EQ(lab->peer(0).options().route.value().port, lab->sql_port());
  EXPECT_EQ(lab->peer(1).options().route.value().port, 99);
  EXPECT_FALSE(lab->peer(2).options().route);
}

class EveryFault : public ::testing::TestWithParam<std::string_view> {};
TEST_P(EveryFault, comes_up) {
  const auto id = GetParam();
  EXPECT_NO_THROW(Lab({.fault = std::string(id), .serve = false})) << id;
}
std::vector<std::string_view> fault_ids() {
  std::vector<std::string_view> ids;
  for (const auto &fault : all_faults())
    ids.push_back(fault.id);
  return ids;
}
INSTANTIATE_TEST_SUITE_P(all, EveryFault, ::testing::ValuesIn(fault_ids()), [](const auto &info) {
  std::string name(info.param);
  std::ranges::replace(name, '-', '_');
  return name;
});

// ----------------------------------------------------------------------------------------------------
// the program

Finished sqlshim_lab(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program_folder() / "sqlshim-lab");
  return run({.argv = std::move(arguments)});
}

TEST(LabProgram, its_help_lists_every_fault) {
  const auto help = sqlshim_lab({"lab", "--help"});
  EXPECT_EQ(help.status, 0);
  for (const auto &fault : all_faults())
    EXPECT_THAT(help.output, HasSubstr(std::string(fault.id)));
}

TEST(LabProgram, wrong_usage_is_status_2) {
  EXPECT_EQ(sqlshim_lab({"lab", "--no-such-option"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"lab", "command-without-dashes"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"lab", "--route", "nowhere", "--", "true"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"--break", "no-such-fault", "--", "true"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"--"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"--server-encrypt", "sometimes", "--", "true"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"--epa", "on", "--", "true"}).status, 2);
  EXPECT_EQ(sqlshim_lab({"peer"}).status, 2);
}

TEST(Faults, an_unknown_one_is_named_with_those_that_exist) {
  try {
    find_fault("no-such-fault");
    FAIL() << "no error";
  } catch (const LabError &error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("no-such-fault"), HasSubstr("spn-missing")));
  }
}

} // namespace
} // namespace lab
