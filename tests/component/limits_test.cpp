// What a local user, or many clients together, cannot go beyond: logins under way, connections,
// descriptors, memory, time.
#include "shim/admission/limits.hpp"
#include "shim/listen.hpp"
#include "tests/component/server_in_process.hpp"
#include "tests/support/tds_client.hpp"

#include <fmt/format.h>
#include <future>
#include <gmock/gmock.h>
#include <netinet/tcp.h>
#include <set>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace {

using namespace testing;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

tds::Bytes prelogin_bytes() {
  tds::Prelogin prelogin;
  prelogin.set_version({});
  prelogin.set_encryption(tds::Encryption::not_sup);
  return tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin));
}

std::u16string auth_scheme_query() {
  return u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid";
}

std::string ascii_of(const tds::Bytes &bytes) {
  std::string text;
  for (auto byte : bytes)
    if (byte >= ' ' && byte < 0x7F) text += static_cast<char>(byte);
  return text;
}
/// What a client reads that is refused before it has sent its login: all of it, as ASCII.
std::string refused_unread(std::uint16_t port) {
  test::Connection connection("127.0.0.1", port);
  connection.send(prelogin_bytes());
  return ascii_of(connection.receive_all());
}

class Limits : public test::ServerWithSharedLab {
protected:
  /// A connection that begins its login and goes no further; what sqlshim has
  /// answered says that it is counted.
  std::unique_ptr<test::Connection> half_open() const {
    auto connection = std::make_unique<test::Connection>("127.0.0.1", port_);
    connection->send(prelogin_bytes());
    EXPECT_FALSE(connection->receive().empty());
    return connection;
  }
  std::string login_error() const {
    test::Connection connection("127.0.0.1", port_);
    return test::log_in(connection).error();
  }
  /// Logs in, perhaps not at the first time: what somebody else held must have been given back.
  bool logs_in_again() const {
    return lab::eventually([&] {
      test::Connection connection("127.0.0.1", port_);
      return test::log_in(connection).reply.has_value();
    });
  }
  std::vector<std::string> warnings() {
    std::vector<std::string> texts;
    for (const auto &warned : test::events_of<shim::Warned>(test::records_of(decisions())))
      if (!warned.what.contains("made the certificate")) texts.push_back(warned.what);
    return texts;
  }
};

// --- logins under way, connections
// -------------------------------------------------------------------------------------------------

TEST_F(Limits, LoginsUnderWayOfOneUser) {
  auto config = configuration();
  config.limits.handshakes_per_uid = 2;
  start(config);
  auto one = half_open(), two = half_open();
  EXPECT_THAT(refused_unread(port_), AllOf(HasSubstr("limit: "), HasSubstr("[limits] handshakes_per_uid = 2"),
                                           HasSubstr("uid " + std::to_string(::getuid()))));
  EXPECT_EQ(refusal(), "limit");
  one->close();
  EXPECT_TRUE(logs_in_again());
}

TEST_F(Limits, LoginsUnderWayOnOneListener) {
  auto config = configuration();
  config.limits.handshakes = 2;
  config.listeners.push_back(config.listeners[0]);
  config.listeners[1].name = "other";
  start(config);
  auto one = half_open(), two = half_open();
  EXPECT_THAT(refused_unread(port_),
              AllOf(HasSubstr("limit: "), HasSubstr("listener local; [limits] handshakes = 2")));
  const auto &other = server_->listening()[1].address;
  port_ = static_cast<std::uint16_t>(std::stoi(other.substr(other.rfind(':') + 1)));
  EXPECT_EQ(login_error(), "") << "each listener counts for itself";
}

TEST_F(Limits, ALoginThatIsAnsweredIsNoLongerUnderWay) {
  auto config = configuration();
  config.limits.handshakes = config.limits.handshakes_per_uid = 1;
  start(config);
  std::vector<std::unique_ptr<test::Connection>> open;
  for (int i = 0; i < 5; ++i) {
    open.push_back(std::make_unique<test::Connection>("127.0.0.1", port_));
    auto login = test::log_in(*open.back());
    ASSERT_TRUE(login.reply) << login.error();
  }
  for (auto &connection : open)
    EXPECT_TRUE(test::says(test::query(*connection, auth_scheme_query()), u"KERBEROS"));
}

TEST_F(Limits, PlacesComeBackHoweverALoginEnds) {
  auto config = configuration();
  config.limits.handshakes = config.limits.handshakes_per_uid = 1;
  config.limits.client_login = 3s; // enough for an honest login on a busy machine
  config.routes[0].match.database = "re*";
  std::atomic<bool> unknown = false;
  start(config, {.prove_uid = [&](shim::Socket &socket) -> std::expected<uid_t, std::string> {
          if (unknown) return std::unexpected("no such socket");
          return shim::prove_uid(socket);
        }});
  const auto next_gets_in = [&] {
    return lab::eventually([&] {
      test::Connection connection("127.0.0.1", port_);
      return test::log_in(connection, {.database = u"reports"}).reply.has_value();
    });
  };
  half_open();
  EXPECT_TRUE(next_gets_in()) << "the client left";
  {
    auto silent = half_open();
    EXPECT_TRUE(test::says(silent->receive_all(), u"[limits] client_login"));
    EXPECT_TRUE(next_gets_in()) << "it took too long, and is still there";
  }
  {
    test::Connection garbage("127.0.0.1", port_);
    const tds::Bytes bytes(64, 0xEE);
    garbage.send(bytes);
    EXPECT_TRUE(next_gets_in()) << "no TDS";
  }
  {
    test::Connection connection("127.0.0.1", port_);
    EXPECT_THAT(test::log_in(connection, {.database = u"x"}).error(), StartsWith("route-denied"));
    EXPECT_TRUE(next_gets_in()) << "refused, and it lingers";
  }
  unknown = true;
  test::Connection connection("127.0.0.1", port_);
  connection.send(prelogin_bytes());
  EXPECT_TRUE(test::says(connection.receive_all(), u"caller-unknown"));
  unknown = false;
  EXPECT_TRUE(next_gets_in()) << "nobody knows who";
}

TEST_F(Limits, ConnectionsOfTheProcess) {
  auto config = configuration();
  config.limits.connections = 2;
  start(config);
  test::Connection one("127.0.0.1", port_), two("127.0.0.1", port_);
  ASSERT_TRUE(test::log_in(one).reply);
  ASSERT_TRUE(test::log_in(two).reply);
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(refused_unread(port_),
                AllOf(HasSubstr("limit: "), HasSubstr("2 connections are open; [limits] connections = 2")));
  EXPECT_EQ(refusal(), "limit");
  EXPECT_TRUE(test::says(test::query(one, auth_scheme_query()), u"KERBEROS")) << "who is in goes on";
  one.close();
  EXPECT_TRUE(logs_in_again());
}

TEST_F(Limits, WhoOpensHundredsOfConnectionsIsRefusedWithinLimitsAndHoldsUpNobodyElse) {
  auto config = configuration();
  config.limits.handshakes_per_uid = 1;
  std::atomic<uid_t> uid = 54321;
  for (auto *list : {&config.listeners[0].callers, &config.identities[0].allow})
    *list = {{.text = "54321", .self = false, .uid = 54321, .gid = {}},
             {.text = "54322", .self = false, .uid = 54322, .gid = {}}};
  start(config,
        {.prove_uid = [&](shim::Socket &) -> std::expected<uid_t, std::string> { return uid.load(); }});
  auto in = half_open();
  constexpr std::size_t many = 400;
  std::vector<std::unique_ptr<test::Connection>> hostile;
  for (std::size_t i = 0; i < many; ++i) // each asks for nothing, reads nothing and stays
    hostile.push_back(std::make_unique<test::Connection>("127.0.0.1", port_));
  // Beyond the limit they are closed at once: no refusal waits for them.
  std::size_t told = 0, closed = 0;
  EXPECT_TRUE(lab::eventually([&] {
    told = closed = 0;
    for (auto &connection : hostile) {
      char byte;
      const auto seen = ::recv(connection->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      told += seen > 0;
      closed += seen == 0;
    }
    return told + closed == many;
  })) << told
      << " told, " << closed << " closed";
  EXPECT_GE(told, 1u);
  EXPECT_LE(told, 3 * shim::Limits::most_farewells);
  uid = 54322;
  EXPECT_EQ(login_error(), "") << "another user, at once";
  EXPECT_TRUE(lab::eventually([&] { return !warnings().empty(); }));
  EXPECT_THAT(warnings(), Each(HasSubstr("connections were closed without an answer")));
  EXPECT_LE(warnings().size(), 5u);
  auto refused = test::events_of<shim::Refused>(test::records_of(decisions()));
  EXPECT_LE(refused.size(), 3 * shim::Limits::most_farewells) << "never a line for each without bound";
  EXPECT_THAT(refused, Not(IsEmpty()));
}

// --- memory
// ----------------------------------------------------------------------------------------------------

TEST_F(Limits, WithoutMemoryOneLoginIsRefusedAndTheNextGetsIn) {
  std::atomic<bool> spent = true;
  auto config = configuration();
  config.limits.handshakes = config.limits.handshakes_per_uid = 1;
  start(config, {.prove_uid = [&](shim::Socket &socket) {
          if (spent) throw std::bad_alloc();
          return shim::prove_uid(socket);
        }});
  EXPECT_THAT(refused_unread(port_), AllOf(HasSubstr("limit: "), HasSubstr("out of memory")));
  EXPECT_THAT(refused_unread(port_), HasSubstr("limit: "));
  spent = false;
  EXPECT_TRUE(logs_in_again());
  EXPECT_GE(test::events_of<shim::Closed>(test::records_of(decisions())).size(), 2u);
}

// --- a client that is gone without a word
// ---------------------------------------------------------------------------------------------

TEST_F(Limits, TheClientsLegHasKeepAlive) {
  const auto option = [](shim::Socket &socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(socket.native_handle(), level, name, &value, &size), 0);
    return value;
  };
  std::promise<std::array<int, 3>> seen;
  start(configuration(), {.prove_uid = [&](shim::Socket &socket) {
          seen.set_value({option(socket, SOL_SOCKET, SO_KEEPALIVE), option(socket, IPPROTO_TCP, TCP_KEEPIDLE),
                          option(socket, IPPROTO_TCP, TCP_KEEPINTVL)});
          return shim::prove_uid(socket);
        }});
  EXPECT_EQ(login_error(), "");
  EXPECT_THAT(seen.get_future().get(), ElementsAre(1, 30, 1));
}

// --- the user database
// ----------------------------------------------------------------------------------------------------

TEST_F(Limits, AUserDatabaseThatHangsDeniesRulesByGroupAndNoOthers) {
  std::promise<void> answer;
  auto hangs = [released = answer.get_future().share()](uid_t uid) {
    released.wait();
    return shim::look_up_user(uid);
  };
  auto config = configuration();
  start(config, {.look_up_user = hangs});
  auto started = Clock::now();
  EXPECT_EQ(login_error(), "") << "callers and allow say self, which is a uid";
  EXPECT_GE(Clock::now() - started, 900ms) << "it had its time to answer";

  server_.reset();
  config.listeners[0].callers = {{.text = "@mine", .self = false, .uid = {}, .gid = ::getgid()}};
  start(config, {.look_up_user = hangs});
  started = Clock::now();
  EXPECT_THAT(refused_unread(port_),
              AllOf(HasSubstr("caller-denied: "), HasSubstr("did not tell this user's groups in time")));
  EXPECT_LT(Clock::now() - started, 5s);
  EXPECT_EQ(refusal(), "caller-denied");
  answer.set_value();
  EXPECT_TRUE(logs_in_again()) << "it answers again";
}

TEST_F(Limits, AServerEndsWhileTheUserDatabaseHangs) {
  std::promise<void> answer;
  start(configuration(), {.look_up_user = [released = answer.get_future().share()](uid_t uid) {
          released.wait();
          return shim::look_up_user(uid);
        }});
  auto half = half_open();
  const auto started = Clock::now();
  server_.reset();
  EXPECT_LT(Clock::now() - started, 8s);
  answer.set_value();
}

// --- deadlines
// ----------------------------------------------------------------------------------------------------

/// A port on loopback that takes connections (TCP) or datagrams (UDP) and never answers.
class Silent {
public:
  explicit Silent(int type) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr *>(&address), size), 0);
    if (type == SOCK_STREAM) EXPECT_EQ(::listen(fd_, 16), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr *>(&address), &size);
    port = ntohs(address.sin_port);
  }
  ~Silent() { ::close(fd_); }
  Silent(const Silent &) = delete;
  std::uint16_t port = 0;

private:
  int fd_;
};

class Deadlines : public Limits {
protected:
  /// One login; its refusal, which must come within `at_most`.
  shim::Refused refused_within(std::chrono::milliseconds at_least, std::chrono::milliseconds at_most) {
    const auto started = Clock::now();
    EXPECT_NE(login_error(), "");
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started);
    EXPECT_GE(took, at_least);
    EXPECT_LT(took, at_most);
    auto refused = test::events_of<shim::Refused>(closed_trail());
    return refused.empty() ? shim::Refused{} : refused.front();
  }
};

TEST_F(Deadlines, ClientLogin) {
  auto config = configuration();
  config.limits.client_login = 200ms;
  start(config);
  auto silent = half_open();
  EXPECT_TRUE(test::says(silent->receive_all(), u"deadline: "));
  auto refused = test::events_of<shim::Refused>(closed_trail());
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].cause, "deadline");
  EXPECT_EQ(refused[0].step, shim::Step::client_login);
  EXPECT_EQ(refused[0].fault, shim::Fault::client);
  EXPECT_EQ(refused[0].detail, "no complete login within 200 ms; [limits] client_login");
}

TEST_F(Deadlines, Dns) {
  Silent dns(SOCK_DGRAM);
  auto config = configuration();
  config.dns.servers = {{"127.0.0.1", dns.port}};
  config.routes[0].timeouts.dns = 300ms;
  start(config);
  auto refused = refused_within(250ms, 5s);
  EXPECT_EQ(refused.cause, "name-not-found");
  EXPECT_EQ(refused.step, shim::Step::resolve);
  EXPECT_THAT(refused.detail, HasSubstr("timeout"));
}

TEST_F(Deadlines, Kdc) {
  Silent kdc(SOCK_STREAM);
  const auto krb5_conf = folder_.path() / "krb5.conf";
  lab::write_file(
      krb5_conf,
      "[libdefaults]\n  default_realm = CORP.TEST\n[realms]\n  CORP.TEST = {\n    kdc = 127.0.0.1:" +
          std::to_string(kdc.port) + "\n  }\n[domain_realm]\n  .corp.test = CORP.TEST\n");
  auto config = configuration();
  config.kerberos.config = krb5_conf.string();
  config.routes[0].timeouts.kdc = 300ms;
  start(config);
  auto refused = refused_within(250ms, 5s);
  EXPECT_EQ(refused.cause, "kdc-unreachable");
  EXPECT_EQ(refused.step, shim::Step::ticket);
}

TEST_F(Deadlines, Login) {
  Silent server(SOCK_STREAM); // connections stand; PRELOGIN is never answered
  auto config = configuration();
  config.routes[0].target = "127.0.0.1," + std::to_string(server.port);
  config.routes[0].spn = lab_->spn();
  config.routes[0].timeouts.login = 2s;
  start(config);
  auto refused = refused_within(1900ms, 10s);
  EXPECT_EQ(refused.cause, "deadline");
  EXPECT_EQ(refused.step, shim::Step::server_login);
  EXPECT_THAT(refused.detail, HasSubstr("2000 ms"));
}

TEST_F(Deadlines, Idle) {
  auto config = configuration();
  config.routes[0].timeouts.idle = 200ms;
  start(config);
  test::Connection connection("127.0.0.1", port_);
  ASSERT_TRUE(test::log_in(connection).reply);
  EXPECT_TRUE(connection.receive().empty()) << "closed";
  auto closed = test::events_of<shim::Closed>(closed_trail());
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].by, "us");
  EXPECT_EQ(closed[0].reason, "idle");
}

// --- the process
// ----------------------------------------------------------------------------------------------------

/// `sqlshim serve` as a process, with the lab's configuration and `more` before it.
class ServeProcess : public Test {
protected:
  void configure(const std::string &more, const std::string &after = "") {
    const auto file = lab_.folder() / "sqlshim.toml";
    lab::write_file(file, more + lab::read_file(file) + after);
  }
  std::vector<std::string> warnings() const {
    std::vector<std::string> texts;
    for (const auto &warned : test::events_of<shim::Warned>(test::records_of(lab_.decisions())))
      if (!warned.what.contains("made the certificate")) texts.push_back(warned.what);
    return texts;
  }
  lab::Lab lab_{{.serve = false}};
};

TEST_F(ServeProcess, SigtermWaitsAsLongAsTheConfigurationSays) {
  configure("[limits]\ndrain = \"1s\"\n");
  lab_.start_serve();
  test::Connection connection("127.0.0.1", lab_.port());
  ASSERT_TRUE(test::log_in(connection).reply);
  const auto started = Clock::now();
  lab_.serve().signal(SIGTERM);
  EXPECT_EQ(lab_.serve().wait(10s), 0);
  EXPECT_GE(Clock::now() - started, 900ms);
  EXPECT_LT(Clock::now() - started, 8s);
  EXPECT_TRUE(connection.receive().empty());
  const auto records = test::records_of(lab_.decisions());
  const auto drained = test::events_of<shim::Drained>(records);
  ASSERT_EQ(drained.size(), 1u);
  EXPECT_EQ(drained[0].closed, 1u);
  const auto closed = test::events_of<shim::Closed>(records);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].reason, "shutdown");
}

TEST_F(ServeProcess, ItsServiceManagerHearsWhenItIsReadyAndHowLongItsEndMayTake) {
  configure("[limits]\ndrain = \"90s\"\n");
  const auto name = lab_.folder() / "notify";
  const int manager = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(manager, reinterpret_cast<const sockaddr *>(&address), sizeof address), 0);
  const timeval patience{30, 0};
  ASSERT_EQ(::setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  const auto heard = [&] {
    char buffer[512];
    const auto size = ::recv(manager, buffer, sizeof buffer, 0);
    return std::string(buffer, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  };

  lab::Process serve(
      {.argv = {lab::program_folder() / "sqlshim", "serve", "--config", lab_.folder() / "sqlshim.toml"},
       .environment = {{"NOTIFY_SOCKET", name}},
       .output = lab_.folder() / "serve.log"});
  EXPECT_EQ(heard(), "READY=1\nSTATUS=serving");
  const auto place = serve.wait_for_line("listening reports ", 1s); // it has been printed
  test::Connection connection("127.0.0.1",
                              static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1))));
  ASSERT_TRUE(test::log_in(connection).reply);
  serve.signal(SIGTERM);
  EXPECT_EQ(heard(), "STOPPING=1\nSTATUS=waiting for 1 connections\nEXTEND_TIMEOUT_USEC=100000000");
  connection.close();
  EXPECT_EQ(serve.wait(10s), 0);
  ::close(manager);
}

// systemd tries again for this status, and does not for that of a wrong configuration.
TEST_F(ServeProcess, AnAddressThatStaysInUseEndsWithAStatusThatIsTriedAgain) {
  const auto busy = *shim::listen_on(config::Address{"127.0.0.1", 0});
  const auto file = lab_.folder() / "sqlshim.toml";
  auto text = lab::read_file(file);
  const auto key = text.find("address = \"127.0.0.1:");
  ASSERT_NE(key, std::string::npos);
  text.replace(key, text.find('\n', key) - key, "address = \"" + busy.address() + "\"");
  lab::write_file(file, text);
  lab::Process serve({.argv = {lab::program_folder() / "sqlshim", "serve", "--config", file},
                      .output = lab_.folder() / "serve.log"});
  const auto waits = [this](const char *log) {
    return lab::eventually([&] {
      return lab::read_file(lab_.folder() / log).contains("Address already in use; trying again for 10 s");
    });
  };
  EXPECT_TRUE(waits("serve.log"));
  EXPECT_EQ(serve.wait(30s), 75);

  lab::Process stopped({.argv = {lab::program_folder() / "sqlshim", "serve", "--config", file},
                        .output = lab_.folder() / "stopped.log"});
  ASSERT_TRUE(waits("stopped.log"));
  stopped.signal(SIGHUP); // a reload is no end
  stopped.signal(SIGTERM);
  EXPECT_EQ(stopped.wait(5s), 0) << "a signal ends the wait";
}

TEST_F(ServeProcess, WarningsOfTheConfigurationAreInTheDecisionLog) {
  configure(
      "",
      "[[route]]\nname = \"never\"\nmatch = { listener = \"reports\" }\ntarget = \"x\"\nidentity = \"reports\"\n");
  lab_.start_serve();
  EXPECT_TRUE(lab::eventually([&] { return !warnings().empty(); }));
  EXPECT_THAT(warnings(), ElementsAre(AllOf(HasSubstr("sqlshim.toml:"),
                                            HasSubstr("route[3]: warning: is never reached"))));
}

TEST_F(ServeProcess, ConnectionsAreLoweredToWhatTheDescriptorsAllow) {
  lab::Process serve(
      {.argv = {"sh", "-c", "ulimit -S -n 100; ulimit -H -n 300; exec \"$0\" serve --config \"$1\"",
                lab::program_folder() / "sqlshim", lab_.folder() / "sqlshim.toml"},
       .output = lab_.folder() / "serve.log"});
  serve.wait_for_line("listening reports ");
  EXPECT_TRUE(lab::eventually([&] { return !warnings().empty(); }));
  // The soft limit was raised to the hard one.
  EXPECT_THAT(warnings(),
              ElementsAre(AllOf(HasSubstr("[limits] connections = 4096"), HasSubstr("300 open files"),
                                HasSubstr("suffice for " + std::to_string(shim::connections_for(300))))));
  rlimit files{};
  ASSERT_EQ(::prlimit(serve.pid(), RLIMIT_NOFILE, nullptr, &files), 0);
  EXPECT_EQ(files.rlim_cur, 300u);
}

// Its memory holds passwords and keys. The kernel gives the /proc of a process that
// nobody may look into to root.
TEST_F(ServeProcess, LeavesNoCoreAndLetsNobodyLookIntoItsMemory) {
  const lab::TemporaryFolder
      folder; // with all that a user needs who is not root, and may read nothing of ours
  fs::permissions(folder.path(), fs::perms(0755));
  fs::copy_file(lab::program_folder() / "sqlshim", folder.path() / "sqlshim");
  lab::write_file(folder.path() / "sqlshim.toml", R"(
[log]
decisions = "-"
[[listener]]
name = "reports"
address = "127.0.0.1:0"
tls = "off"
[[identity]]
name = "reports"
ccache = "none"
[[route]]
name = "reports"
target = "127.0.0.1,1"
identity = "reports"
)");
  fs::permissions(folder.path() / "sqlshim.toml", fs::perms(0644));
  std::vector<std::string> argv = {folder.path() / "sqlshim", "serve", "--config",
                                   folder.path() / "sqlshim.toml"};
  const bool root = ::geteuid() == 0;
  const uid_t user = root ? 65534 : ::geteuid();
  if (root) argv.insert(argv.begin(), {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
  lab::Process serve({.argv = argv, .output = lab_.folder() / "serve.log"});
  serve.wait_for_line("listening reports ");
  struct stat about {};
  const auto process = "/proc/" + std::to_string(serve.pid());
  EXPECT_THAT(lab::read_file(process + "/limits"), ContainsRegex("Max core file size +0 +0 "));
  ASSERT_EQ(::stat((process + "/mem").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 0u);
  EXPECT_THAT(lab::read_file(process + "/status"), HasSubstr(fmt::format("Uid:\t{0}\t{0}\t", user)));
}

TEST_F(ServeProcess, WithoutDescriptorsNewOnesAreRefusedAndRunningOnesGoOn) {
  lab_.start_serve();
  test::Connection running("127.0.0.1", lab_.port());
  ASSERT_TRUE(test::log_in(running).reply);
  // No descriptor beyond those that are open now.
  const pid_t pid = lab_.serve().pid();
  std::set<int> open;
  for (const auto &entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
    open.insert(std::stoi(entry.path().filename()));
  int lowest_free = 0;
  while (open.contains(lowest_free))
    ++lowest_free;
  rlimit before{};
  ASSERT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &before), 0);
  rlimit spent{static_cast<rlim_t>(lowest_free), before.rlim_max};
  ASSERT_EQ(::prlimit(pid, RLIMIT_NOFILE, &spent, nullptr), 0);

  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(refused_unread(lab_.port()), AllOf(HasSubstr("limit: "), HasSubstr("descriptor"))) << i;
  }
  EXPECT_TRUE(test::says(test::query(running, auth_scheme_query()), u"KERBEROS"));
  ASSERT_EQ(::prlimit(pid, RLIMIT_NOFILE, &before, nullptr), 0);
  EXPECT_TRUE(lab::eventually([&] {
    test::Connection next("127.0.0.1", lab_.port());
    return test::log_in(next).reply.has_value();
  }));
  EXPECT_TRUE(test::says(test::query(running, auth_scheme_query()), u"KERBEROS"));
  EXPECT_TRUE(lab_.serve().running());
}

TEST_F(ServeProcess, WithoutMemoryNewOnesAreRefusedAndRunningOnesGoOn) {
  const char *chosen = std::getenv("SQLSHIM_SERVE");
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  if (!chosen)
    GTEST_SKIP() << "a sanitizer needs terabytes of address space; SQLSHIM_SERVE names another program";
#endif
#endif
  configure("[limits]\nhandshakes_per_uid = 64\n");
  lab::Process serve({.argv = {chosen ? fs::path(chosen) : lab::program_folder() / "sqlshim", "serve",
                               "--config", lab_.folder() / "sqlshim.toml"},
                      .output = lab_.folder() / "serve.log"});
  const auto address = serve.wait_for_line("listening reports ");
  const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  test::Connection running("127.0.0.1", port);
  ASSERT_TRUE(test::log_in(running).reply);

  std::istringstream statm(lab::read_file("/proc/" + std::to_string(serve.pid()) + "/statm"));
  std::size_t pages = 0;
  ASSERT_TRUE(statm >> pages);
  rlimit before{};
  ASSERT_EQ(::prlimit(serve.pid(), RLIMIT_AS, nullptr, &before), 0);
  // KiB, from none: somewhere in between each allocation fails for the first time.
  for (std::size_t more : {0, 64, 256, 1024, 4096}) {
    rlimit spent{pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + more * 1024, before.rlim_max};
    ASSERT_EQ(::prlimit(serve.pid(), RLIMIT_AS, &spent, nullptr), 0);
    std::vector<std::unique_ptr<test::Connection>> at_once;
    for (int i = 0; i < 20; ++i)
      at_once.push_back(std::make_unique<test::Connection>("127.0.0.1", port));
    for (auto &connection : at_once) {
      connection->send(prelogin_bytes());
      EXPECT_THAT(ascii_of(connection->receive_all()),
                  AllOf(HasSubstr("limit: "), HasSubstr("out of memory")))
          << more;
    }
    EXPECT_TRUE(test::says(test::query(running, auth_scheme_query()), u"KERBEROS")) << more;
    ASSERT_TRUE(serve.running()) << more << "\n" << lab::read_file(lab_.folder() / "serve.log");
  }
  ASSERT_EQ(::prlimit(serve.pid(), RLIMIT_AS, &before, nullptr), 0);
  test::Connection next("127.0.0.1", port);
  EXPECT_TRUE(test::log_in(next).reply);
}

TEST_F(ServeProcess, WithoutSpaceForTheLogNewOnesAreRefusedAndRunningOnesGoOn) {
  lab_.start_serve();
  test::Connection running("127.0.0.1", lab_.port());
  ASSERT_TRUE(test::log_in(running).reply);
  // As on a full disk: the log can grow no more.
  const pid_t pid = lab_.serve().pid();
  rlimit before{};
  ASSERT_EQ(::prlimit(pid, RLIMIT_FSIZE, nullptr, &before), 0);
  rlimit full{fs::file_size(lab_.folder() / "decisions.jsonl"), before.rlim_max};
  ASSERT_EQ(::prlimit(pid, RLIMIT_FSIZE, &full, nullptr), 0);
  EXPECT_TRUE(lab::eventually([&] {
    test::Connection next("127.0.0.1", lab_.port());
    next.send(prelogin_bytes());
    return ascii_of(next.receive()).contains("log-unavailable"); // else it is the answer to PRELOGIN alone
  }));
  EXPECT_TRUE(test::says(test::query(running, auth_scheme_query()), u"KERBEROS"));
  ASSERT_EQ(::prlimit(pid, RLIMIT_FSIZE, &before, nullptr), 0);
  EXPECT_TRUE(lab::eventually([&] {
    test::Connection next("127.0.0.1", lab_.port());
    return test::log_in(next).reply.has_value();
  }));
  EXPECT_TRUE(test::says(test::query(running, auth_scheme_query()), u"KERBEROS"));
}

} // namespace
