// The proxy in this process, against a real KDC, DNS server and peer: who may connect, what is
// logged, threads, shutdown.
#include "shim/log/render.hpp"
#include "tests/component/server_in_process.hpp"
#include "tests/support/tds_client.hpp"
#include "tests/support/trace.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>

namespace {

using namespace testing;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Server : public test::ServerWithSharedLab {};

// --- the whole path
// ----------------------------------------------------------------------------------------------------

std::u16string auth_scheme_query() {
  return u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid";
}

TEST_F(Server, OnlyAuthenticationIsChanged) {
  start(configuration());
  auto before = seen_by_peer();
  test::Connection connection("127.0.0.1", port_);
  auto login = test::log_in(
      connection,
      {.user = u"made-up", .database = u"reports", .app = u"The Application", .server = u"typed,name"});
  ASSERT_TRUE(login.reply) << login.error();
  EXPECT_EQ(login.reply->database, u"reports");
  EXPECT_TRUE(test::says(test::query(connection, auth_scheme_query()), u"KERBEROS"));

  auto record = lab_->peer().record(before + 1);
  auto dump = record.dump();
  EXPECT_THAT(dump, AllOf(HasSubstr("The Application"), HasSubstr("typed,name"),
                          HasSubstr("svc-reports@CORP.TEST"), HasSubstr(std::to_string(::getpid()))));
  EXPECT_THAT(dump, Not(HasSubstr("made-up"))) << "the client's user name is not sent on";
  connection.close();
  auto trail = closed_trail();
  auto ignored = test::events_of<shim::CredentialsIgnored>(trail);
  ASSERT_EQ(ignored.size(), 1u);
  EXPECT_EQ(ignored[0].what, "user and password");
  auto closed = test::events_of<shim::Closed>(trail);
  EXPECT_EQ(closed[0].by, "client");
  EXPECT_GT(closed[0].up, 0u);
  EXPECT_GT(closed[0].down, 0u);
}

TEST_F(Server, AClientsOwnTokenIsDroppedAndItsLoginAnswered) {
  start(configuration());
  const std::pair<const char *, tds::Bytes> tokens[] = {
      {"kerberos", {0x60, 0x13, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02}},
      {"spnego", {0x60, 0x10, 0x06, 0x06, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x02}},
      {"ntlm", {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0, 1, 0, 0, 0, 0, 0, 0, 0}}};
  for (auto [mechanism, token] : tokens) {
    auto before = seen_by_peer();
    test::ClientOptions options;
    for (char c : std::string("canary!!")) {
      token.push_back(static_cast<std::uint8_t>(c));
      options.ntlm_answer.push_back(static_cast<std::uint8_t>(c));
    }
    options.sspi = token;
    test::Connection connection("127.0.0.1", port_);
    auto login = test::log_in(connection, options);
    ASSERT_TRUE(login.reply) << mechanism << ": " << login.error();
    EXPECT_EQ(login.challenge.empty(), mechanism != std::string("ntlm"));
    EXPECT_TRUE(test::says(test::query(connection, auth_scheme_query()), u"KERBEROS")) << mechanism;
    EXPECT_THAT(lab_->peer().received(before + 1), Not(HasSubstr("canary"))) << mechanism;
    connection.close();
    auto ignored = test::events_of<shim::CredentialsIgnored>(closed_trail());
    ASSERT_EQ(ignored.size(), 1u) << mechanism;
    EXPECT_THAT(ignored[0].what,
                HasSubstr(std::string(mechanism) + " token (" + std::to_string(token.size())));
  }
}

TEST_F(Server, LoginWithoutPrelogin) {
  start(configuration());
  for (auto version : {tds::tds_7_0, tds::tds_7_1}) {
    test::Connection connection("127.0.0.1", port_);
    connection.send(tds::encode_message(tds::PacketType::login7,
                                        *tds::encode_login7(test::make_login7({.version = version}))));
    tds::MessageReader reader(1 << 20);
    std::optional<tds::Message> reply;
    while (!reply) {
      auto bytes = connection.receive();
      ASSERT_FALSE(bytes.empty()) << decisions();
      reader.feed(bytes);
      reply = *reader.next();
    }
    auto tokens = tds::decode_tokens(reply->payload, version);
    ASSERT_TRUE(tokens) << tokens.error().text();
    EXPECT_TRUE(std::ranges::any_of(*tokens, [&](const tds::Token &token) {
      auto *ack = std::get_if<tds::LoginAck>(&token);
      return ack && ack->version.generation() == version.generation();
    }));
  }
}

/// unixODBC shows 499 bytes of a message, and hangs on one of 612; FreeTDS puts its prefix of 21 in front.
TEST_F(Server, ClientsUnderUnixOdbcReadARefusalInParts) {
  auto config = configuration();
  config.routes[0].spn = "MSSQLSvc/nobody.corp.test:1433";
  config.kerberos.refusals = 0ms; // a kept one has other words
  start(std::move(config));
  const auto texts = [&](const std::u16string &library) {
    test::Connection connection("127.0.0.1", port_);
    std::vector<std::string> texts;
    for (const auto &message : test::log_in(connection, {.library = library}).messages)
      texts.push_back(std::regex_replace(tds::to_utf8(message.text), std::regex("connection [0-9a-f]{8}"),
                                         "connection ID"));
    return texts;
  };
  const auto whole = texts(u"db-lib");
  ASSERT_THAT(whole, ElementsAre(StartsWith("spn-missing: ")));
  for (const auto *library : {u"", u"Microsoft ODBC Driver 18 for SQL Server"}) {
    auto parts = texts(library);
    ASSERT_THAT(parts, SizeIs(2));
    EXPECT_THAT(parts, Each(SizeIs(Le(499u - 21))));
    const std::string more = " ... (sqlshim connection ID)";
    ASSERT_THAT(parts[0], EndsWith(more)) << "it may be all that is shown";
    parts[0].resize(parts[0].size() - more.size());
    EXPECT_EQ(parts[0] + " " + parts[1], whole[0]);
  }
}

TEST_F(Server, EveryKindOfIdentity) {
  lab_->realm().kinit("svc-reports", lab::service_password, lab_->folder() / "reports.ccache");
  auto config = configuration();
  auto &identity = config.identities[0];
  for (auto [kind, source] : {std::pair{config::IdentityKind::keytab, "reports.keytab"},
                              {config::IdentityKind::password_file, "reports.password"},
                              {config::IdentityKind::ccache, "reports.ccache"}}) {
    identity.kind = kind;
    identity.source = (lab_->folder() / source).string();
    start(config);
    test::Connection connection("127.0.0.1", port_);
    auto login = test::log_in(connection);
    ASSERT_TRUE(login.reply) << source << ": " << login.error();
    EXPECT_TRUE(test::says(test::query(connection, u"select suser_sname()"), u"CORP\\svc-reports")) << source;
    connection.close();
    EXPECT_THAT(decisions(), Not(HasSubstr(lab::service_password)));
    server_.reset();
  }
}

TEST_F(Server, AClientsOwnPasswordIsSentOnWhereTheRouteSaysSo) {
  auto config = configuration();
  auto &route = config.routes[0];
  route.attempts = {config::AttemptKind::tcp_sql};
  route.unprotected = config::Unprotected::accept;
  route.identity.clear();
  start(config);
  {
    test::Connection connection("127.0.0.1", port_);
    auto login = test::log_in(connection, {.user = u"sa", .password = u"Lab.Passw0rd"});
    ASSERT_TRUE(login.reply) << login.error();
    EXPECT_TRUE(test::says(test::query(connection, auth_scheme_query()), u"SQL"));
  }
  EXPECT_TRUE(test::events_of<shim::CredentialsIgnored>(closed_trail()).empty());
  test::Connection connection("127.0.0.1", port_);
  auto login = test::log_in(connection, {.user = u"sa", .password = u"Wrong.Canary.1"});
  EXPECT_THAT(login.error(),
              AllOf(StartsWith("login-denied: "), HasSubstr("18456"), Not(HasSubstr("Canary"))));
  connection.close();
  EXPECT_EQ(refusal(), "login-denied");
  EXPECT_THAT(decisions(), AllOf(Not(HasSubstr("Canary")), Not(HasSubstr("Lab.Passw0rd"))));
}

TEST_F(Server, LibkrbsTraceIsInTheConnectionsLogAtDebug) {
  start(configuration(), {}, true);
  test::Connection connection("127.0.0.1", port_);
  ASSERT_TRUE(test::log_in(connection).reply);
  connection.close();
  auto trail = closed_trail();
  EXPECT_THAT(test::events_of<shim::TraceLine>(trail),
              Contains(Field(&shim::TraceLine::text, HasSubstr("svc-reports@CORP.TEST"))));
  auto tokens = test::events_of<shim::TokenExchanged>(trail);
  ASSERT_GE(tokens.size(), 2u);
  EXPECT_GT(tokens.front().sent, 0u);
  EXPECT_TRUE(tokens.back().done);
}

TEST_F(Server, UnixSocket) {
  auto config = configuration();
  auto path = folder_.path() / "sqlshim.sock";
  config.listeners[0].address.reset();
  config.listeners[0].unix_path = path;
  start(config);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
  ASSERT_TRUE(lab::eventually(
      [&] { return !test::events_of<shim::CallerProven>(test::last_connection(decisions())).empty(); }));
  auto caller = test::events_of<shim::CallerProven>(test::last_connection(decisions())).front();
  EXPECT_EQ(caller.how, "peercred");
  EXPECT_EQ(caller.uid, ::getuid());
  ::close(fd);
  server_.reset();
  EXPECT_FALSE(fs::exists(path)) << "the socket's file goes with the listener";
}

// --- who is behind the connection
// --------------------------------------------------------------------------------------------------

tds::Bytes prelogin_bytes() {
  tds::Prelogin prelogin;
  prelogin.set_version({});
  prelogin.set_encryption(tds::Encryption::not_sup);
  return tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin));
}

/// A prover that asks the kernel only after `gone` holds: the lookup comes late, as it may on a busy machine.
shim::UidProver late(std::function<bool()> gone) {
  return [gone = std::move(gone)](shim::Socket &socket) {
    EXPECT_TRUE(lab::eventually(gone));
    return shim::prove_uid(socket);
  };
}

TEST_F(Server, AnotherUsersClientThatHasClosedProvesNothing) {
  if (::getuid() != 0) {
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "CI runs this as root";
    GTEST_SKIP() << "needs root: a child with another uid connects (the three other caller tests run)";
  }
  std::atomic<bool> gone = false;
  start(configuration(), {.prove_uid = late([&] { return gone.load(); })});
  auto before = seen_by_peer();
  // What the child sends is made before the fork: after it, only calls that are safe there.
  auto bytes = prelogin_bytes();
  auto login = tds::encode_message(tds::PacketType::login7, *tds::encode_login7(test::make_login7({})));
  bytes.insert(bytes.end(), login.begin(), login.end());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(54321) != 0 || ::setuid(54321) != 0) ::_exit(1);
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    bool sent = ::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0 &&
                ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
    ::close(fd);
    ::_exit(sent ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  gone = true;
  EXPECT_EQ(refusal(), "caller-unknown");
  EXPECT_EQ(seen_by_peer(), before) << "no server was connected to";
}

TEST_F(Server, OwnClientThatHasClosedProvesNothing) {
  std::atomic<bool> gone = false;
  start(configuration(), {.prove_uid = late([&] { return gone.load(); })});
  auto before = seen_by_peer();
  {
    test::Connection connection("127.0.0.1", port_);
    connection.send(prelogin_bytes());
  }
  gone = true;
  EXPECT_EQ(refusal(), "caller-unknown");
  EXPECT_EQ(seen_by_peer(), before);
}

TEST_F(Server, OwnUserWhoIsNoCaller) {
  auto config = configuration();
  config.listeners[0].callers = {{.text = "54321", .self = false, .uid = 54321, .gid = {}}};
  start(config);
  test::Connection connection("127.0.0.1", port_);
  connection.send(prelogin_bytes());
  EXPECT_TRUE(test::says(connection.receive_all(), u"caller-denied: ")) << "the client reads why";
  EXPECT_EQ(refusal(), "caller-denied");
}

TEST_F(Server, TheProvenUidDecidesAndNothingElse) {
  // The kernel says 54321: neither a caller nor allowed, whatever the client types.
  auto config = configuration();
  config.listeners[0].callers = {{.text = "54321", .self = false, .uid = 54321, .gid = {}}};
  start(config, {.prove_uid = [](shim::Socket &) -> std::expected<uid_t, std::string> { return 54321; }});
  test::Connection connection("127.0.0.1", port_);
  auto login = test::log_in(connection, {.user = u"root", .app = u"self"});
  EXPECT_THAT(login.error(), StartsWith("identity-denied: "));
  auto trail = closed_trail();
  auto caller = test::events_of<shim::CallerProven>(trail);
  ASSERT_EQ(caller.size(), 1u);
  EXPECT_EQ(caller[0].uid, 54321u);
}

// --- tickets, threads
// ----------------------------------------------------------------------------------------------------

/// `count` logins on four threads, each asking which scheme it has; the failures.
std::vector<std::string> logins(std::uint16_t port, int count) {
  std::mutex mutex;
  std::vector<std::string> failures;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker)
    threads.emplace_back([&, worker] {
      for (int i = worker; i < count; i += 4) {
        test::Connection connection("127.0.0.1", port);
        auto login = test::log_in(connection);
        std::string failure;
        if (!login.reply)
          failure = login.error().empty() ? "no answer" : login.error();
        else if (!test::says(test::query(connection, auth_scheme_query()), u"KERBEROS"))
          failure = "not Kerberos";
        if (failure.empty()) continue;
        std::lock_guard lock(mutex);
        failures.push_back(failure);
      }
    });
  for (auto &thread : threads)
    thread.join();
  return failures;
}

TEST_F(Server, LoginsOnFourThreadsWhileTicketsAreFetchedAnew) {
  start(configuration(), {.threads = 4});
  std::atomic<bool> done = false;
  std::atomic<int> forgotten = 0;
  // Forgetting makes the next logins fetch TGT and service ticket again, while others still use the old ones.
  std::thread forgetful([&] {
    while (!done) {
      server_->forget();
      ++forgotten;
      // About 200 lines. To read them all, again and again, would take longer than the logins.
      const auto size = std::filesystem::file_size(log_file_);
      lab::eventually([&] { return done || std::filesystem::file_size(log_file_) > size + 60'000; });
    }
  });
  auto failures = logins(port_, 300); // a thousand of them without a server: ticket_store_test
  done = true;
  forgetful.join();
  EXPECT_THAT(failures, IsEmpty());
  EXPECT_GT(forgotten, 3);
  // One request in flight for each key: far fewer than one a login.
  auto asked = test::events_of<shim::KdcAnswered>(test::records_of(decisions()));
  EXPECT_GE(asked.size(), 3u * 3u);
  EXPECT_LE(asked.size(), 3u * static_cast<unsigned>(forgotten + 1) * 2u);
}

TEST_F(Server, LoginsGoOnWithoutTheKdc) {
  start(configuration(), {.threads = 4});
  // Each worker thread asks DNS once; then nothing is left to ask.
  ASSERT_THAT(logins(port_, 40), IsEmpty());
  lab_->realm().stop_kdc();
  test::mark();
  auto failures = logins(port_, 40);
  test::mark();
  lab_->realm().start_kdc();
  EXPECT_THAT(failures, IsEmpty());
}

TEST(ServerTrace, ALoginConnectsToTheServerAndToNobodyElse) {
  SKIP_WITHOUT_PTRACE();
  auto traced = test::trace("Server.LoginsGoOnWithoutTheKdc", "network");
  // The test's own clients connect to 127.0.0.1; everything else is sqlshim's.
  auto connects = test::matching(traced.between, R"( connect\(\d+, \{sa_family=AF_INET6?, .*)");
  auto to_server = test::matching(
      connects, R"(sin_port=htons\((1433|11433)\), sin_addr=inet_addr\("127\.\d+\.\d+\.10"\))");
  auto to_listener = test::matching(connects, R"(sin_addr=inet_addr\("127\.0\.0\.1"\))");
  EXPECT_EQ(to_server.size(), 40u);
  EXPECT_EQ(to_listener.size(), 40u);
  EXPECT_EQ(connects.size(), 80u) << testing::PrintToString(
      test::matching(connects, R"(sin_addr=inet_addr\("127\.\d+\.\d+\.[12]"\))"));
}

// --- the end of things
// ----------------------------------------------------------------------------------------------------

TEST_F(Server, DrainWaitsForRunningConnectionsAndThenClosesThem) {
  start(configuration());
  test::Connection connection("127.0.0.1", port_);
  ASSERT_TRUE(test::log_in(connection).reply);
  std::size_t closed = 99;
  std::thread draining([&] { closed = server_->drain(30s); });
  // While it waits, nobody new gets in and who is in goes on.
  ASSERT_TRUE(lab::eventually([&] { return !test::Connection("127.0.0.1", port_).open(); }));
  EXPECT_TRUE(test::says(test::query(connection, auth_scheme_query()), u"KERBEROS"));
  connection.close();
  draining.join();
  EXPECT_EQ(closed, 0u);
  EXPECT_EQ(test::events_of<shim::Drained>(test::records_of(decisions())).size(), 1u);
}

TEST_F(Server, HurryEndsTheWait) {
  start(configuration());
  test::Connection connection("127.0.0.1", port_);
  ASSERT_TRUE(test::log_in(connection).reply);
  test::Connection half("127.0.0.1", port_); // in the middle of its login
  ASSERT_TRUE(lab::eventually([&] { return server_->connections() == 2; }));
  std::size_t closed = 0;
  std::thread draining([&] { closed = server_->drain(600s); });
  ASSERT_TRUE(lab::eventually([&] { return !test::Connection("127.0.0.1", port_).open(); }));
  server_->hurry();
  draining.join();
  EXPECT_GE(closed, 2u) << "a probe of the loop above may have got in too";
  EXPECT_TRUE(connection.receive().empty());
  EXPECT_TRUE(half.receive().empty());
  auto ends = test::events_of<shim::Closed>(test::records_of(decisions()));
  std::erase_if(ends, [](const shim::Closed &end) { return end.by != "us" || end.reason != "shutdown"; });
  EXPECT_GE(ends.size(), 2u) << decisions();
}

TEST_F(Server, AClientThatLeavesEndsItsLogin) {
  lab::PeerOptions slow = lab_->peer().options();
  slow.hang_at = lab::Moment::login;
  lab_->peer().restart(slow);
  start(configuration());
  {
    test::Connection connection("127.0.0.1", port_);
    connection.send(prelogin_bytes());
    ASSERT_FALSE(connection.receive().empty());
    connection.send(tds::encode_message(tds::PacketType::login7, *tds::encode_login7(test::make_login7({}))));
    ASSERT_TRUE(lab::eventually(
        [&] { return !test::events_of<shim::ServerConnected>(test::last_connection(decisions())).empty(); }));
  }
  auto trail = closed_trail();
  slow.hang_at = lab::Moment::never;
  lab_->peer().restart(slow);
  EXPECT_TRUE(test::events_of<shim::Refused>(trail).empty()) << decisions();
  EXPECT_TRUE(test::events_of<shim::AttemptEnded>(trail).empty())
      << "the attempt was given up, it did not fail";
  auto closed = test::events_of<shim::Closed>(trail);
  EXPECT_EQ(closed[0].by, "client");
  EXPECT_LT(closed[0].lasted_ms, 10000);
}

TEST_F(Server, BytesWhileTheServerAnswersAreNeverForwarded) {
  lab::PeerOptions slow = lab_->peer().options();
  slow.hang_at = lab::Moment::login;
  lab_->peer().restart(slow);
  auto config = configuration();
  config.routes[0].timeouts.login = 5s;
  start(config);
  const auto before = seen_by_peer();
  test::Connection connection("127.0.0.1", port_);
  connection.send(prelogin_bytes());
  ASSERT_FALSE(connection.receive().empty());
  connection.send(tds::encode_message(tds::PacketType::login7, *tds::encode_login7(test::make_login7({}))));
  ASSERT_TRUE(lab::eventually(
      [&] { return !test::events_of<shim::ServerConnected>(test::last_connection(decisions())).empty(); }));
  connection.send(
      tds::encode_message(tds::PacketType::sql_batch, tds::Bytes{'e', 0, 'a', 0, 'r', 0, 'l', 0, 'y', 0}));
  EXPECT_TRUE(test::says(connection.receive_all(), u"protocol-violation: "));
  connection.close();
  EXPECT_EQ(refusal(), "protocol-violation");
  EXPECT_THAT(lab_->peer().received(before + 1), Not(HasSubstr(std::string("e\0a\0r\0l\0y", 9))));
  slow.hang_at = lab::Moment::never;
  lab_->peer().restart(slow);
}

TEST_F(Server, WithoutADecisionLogNobodyNewLogsIn) {
  log_ = *shim::open_decision_log("/dev/full", false);
  auto started = shim::start_server(std::make_shared<const config::Config>(configuration()), *log_);
  ASSERT_TRUE(started) << started.error();
  ASSERT_TRUE(lab::eventually([&] { return !log_->has_room(); })) << "`started` could not be written";
  auto before = seen_by_peer();
  const auto &address = (*started)->listening().front().address;
  test::Connection connection("127.0.0.1",
                              static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  connection.send(prelogin_bytes());
  EXPECT_TRUE(test::says(connection.receive_all(), u"log-unavailable: "));
  EXPECT_EQ(seen_by_peer(), before);
}

TEST_F(Server, AnAddressInUseIsAnError) {
  start(configuration());
  auto config = configuration();
  config.listeners[0].address->port = port_;
  auto second = shim::start_server(std::make_shared<const config::Config>(config), *log_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(),
              AllOf(HasSubstr("listener local"), HasSubstr(std::to_string(port_)), HasSubstr("in use")));
}

// Whoever gets [::1] of our port would get what applications send to localhost.
TEST_F(Server, LocalhostIsBothItsAddresses) {
  auto config = configuration();
  config.listeners[0].twin = config::Address{"::1", 0};
  start(std::move(config));
  ASSERT_EQ(server_->listening().size(), 2u);
  EXPECT_EQ(server_->listening()[0].address, "127.0.0.1:" + std::to_string(port_));
  EXPECT_EQ(server_->listening()[1].address, "[::1]:" + std::to_string(port_));
  for (const auto &address : {"127.0.0.1", "::1"}) {
    test::Connection connection(address, port_);
    EXPECT_TRUE(test::log_in(connection).reply) << address;
  }
  auto impostor = configuration();
  impostor.listeners[0].address = config::Address{"::1", port_};
  auto second = shim::start_server(std::make_shared<const config::Config>(impostor), *log_);
  ASSERT_FALSE(second) << "the twin was free";
  EXPECT_THAT(second.error(), HasSubstr("in use"));
}

TEST_F(Server, AnAddressInUseIsTriedAgainWhileSomebodyWants) {
  start(configuration());
  auto config = configuration();
  config.listeners[0].address->port = port_;
  int asked = 0;
  shim::ServerOptions options;
  options.address_in_use = [&](const std::string &why) {
    EXPECT_THAT(why, AllOf(HasSubstr(std::to_string(port_)), HasSubstr("in use")));
    if (++asked == 2) server_.reset(); // the process before has ended
    return asked < 3;
  };
  auto second = shim::start_server(std::make_shared<const config::Config>(config), *log_, options);
  EXPECT_TRUE(second) << second.error();
  EXPECT_EQ(asked, 2);
}

} // namespace
