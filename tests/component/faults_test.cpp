// What fails around sqlshim while it runs: KDC, DNS server, SQL Server, disk, sqlshim itself. Each time the
// login gets the right cause, a connection that stands goes on, the next login after the repair succeeds, and
// no descriptor is left behind.
#include "tests/component/auth_support.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/scripted_dns.hpp"
#include "tests/support/scripted_server.hpp"
#include "tools/lab/kdc_front.hpp"
#include "tools/lab/lab.hpp"

#include <csignal>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <regex>
#include <sys/resource.h>
#include <thread>

namespace {

using namespace testing;
using namespace std::chrono_literals;
using Manner = lab::KdcFrontOptions::Manner;
namespace fs = std::filesystem;

class Faults : public Test {
protected:
  static void SetUpTestSuite() { lab_ = new lab::Lab({.hosts = {"sql2"}, .serve = false}); }
  static void TearDownTestSuite() {
    delete lab_;
    lab_ = nullptr;
  }

  /// sqlshim between a KDC and a DNS server that we command; route `good` leads to sql1, `bad` to sql2.
  void SetUp() override {
    kdc_.emplace(lab::KdcFrontOptions{.address = lab_->block().address(3),
                                      .kdc_address = lab_->realm().kdc_address(),
                                      .kdc_port = lab_->realm().kdc_port()});
    dns_.emplace(lab_->block().address(4), lab_->dns().address(), lab_->dns().port());
    lab::write_file(folder() / "krb5.conf",
                    fmt::format("[libdefaults]\n default_realm = CORP.TEST\n[realms]\n CORP.TEST = {{\n"
                                "  kdc = {}\n }}\n[domain_realm]\n .corp.test = CORP.TEST\n",
                                kdc_->place()));
    auto toml = fmt::format(
        "[log]\ndecisions = \"decisions.jsonl\"\n[dns]\nservers = [\"{}\"]\nsearch = [\"corp.test\"]\n"
        "[kerberos]\nconfig = \"krb5.conf\"\n[[identity]]\nname = \"reports\"\nkeytab = \"{}\"\n"
        "principal = \"svc-reports@CORP.TEST\"\n",
        dns_->place(), (lab_->folder() / "reports.keytab").string());
    for (const auto &[route, host] : {std::pair{"good", "sql1"}, {"bad", "sql2"}})
      toml += fmt::format(
          "[[listener]]\nname = \"{0}\"\naddress = \"127.0.0.1:0\"\n[[route]]\nname = \"{0}\"\n"
          "match = {{ listener = \"{0}\" }}\ntarget = \"{1}.corp.test,{2}\"\nidentity = \"reports\"\n"
          "encrypt = \"off\"\ntimeouts = {{ dns = \"1s\", kdc = \"1s\", login = \"8s\" }}\n",
          route, host, lab_->sql_port());
    lab::write_file(folder() / "sqlshim.toml", toml);
    start();
  }

  fs::path folder() const { return folder_.path(); }
  void start() {
    serve_.emplace(lab::Command{
        .argv = {lab::program_folder() / "sqlshim", "serve", "--config", folder() / "sqlshim.toml"},
        .output = folder() / "serve.log"});
    for (const auto *route : {"good", "bad"}) {
      const auto place = serve_->wait_for_line(fmt::format("listening {} ", route));
      ports_[route] = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
    }
  }
  std::string decisions() const { return lab::read_file(folder() / "decisions.jsonl"); }
  std::size_t descriptors() const {
    const auto all = fs::directory_iterator(fmt::format("/proc/{}/fd", serve_->pid()));
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  /// What the client reads of a refusal; empty: the login succeeded, and a query too.
  std::string log_in(const std::string &route = "good") {
    test::Connection connection("127.0.0.1", ports_.at(route));
    const auto login = test::log_in(connection);
    if (login.reply) return works(connection) ? "" : "a login without a session";
    return login.error().empty() ? "no answer" : login.error();
  }
  static bool works(test::Connection &connection) {
    return test::says(
        test::query(connection, u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid"),
        u"KERBEROS");
  }
  /// Tickets, DNS answers and what is known of KDCs are asked for anew from here on.
  void forget() {
    const auto reloads = [&] {
      return test::events_of<shim::Reloaded>(test::records_of(decisions())).size();
    };
    const auto before = reloads();
    serve_->signal(SIGHUP);
    ASSERT_TRUE(lab::eventually([&] { return reloads() > before; }));
  }

  /// The whole of one fault. `cause`: of the login that meets it; empty: it succeeds all
  /// the same. The login's trail.
  std::vector<shim::Record> meet(const std::function<void()> &spoil, const std::string &cause,
                                 const std::function<void()> &mend, const std::string &route = "good") {
    // Once round on each worker thread, so that what is opened once is open.
    for (int i = 0; i < 8; ++i) {
      if (i == 4) forget();
      EXPECT_EQ(log_in(), "");
    }
    test::Connection standing("127.0.0.1", ports_.at("good"));
    EXPECT_TRUE(test::log_in(standing).reply && works(standing));
    std::size_t before = 0;
    EXPECT_TRUE(lab::eventually([&] { return quiet(1) && (before = descriptors()) > 0; }));

    spoil();
    forget();
    const auto said = log_in(route);
    if (cause.empty())
      EXPECT_EQ(said, "");
    else
      EXPECT_TRUE(std::regex_search(said, std::regex("^" + cause + ": "))) << said;
    EXPECT_TRUE(works(standing)) << "a connection that stands needs neither KDC nor DNS";
    EXPECT_TRUE(lab::eventually([&] { return quiet(1); }));
    const auto trail = test::last_connection(decisions());
    test::check_trail(trail);

    mend();
    forget();
    EXPECT_EQ(log_in(), "") << "mended";
    EXPECT_TRUE(works(standing));
    EXPECT_TRUE(lab::eventually([&] { return quiet(1) && descriptors() == before; }))
        << before << " descriptors before, " << descriptors() << " after";
    EXPECT_TRUE(serve_->running());
    return trail;
  }
  /// Whether all but `running` of the connections so far are closed, as the log has it.
  bool quiet(std::size_t running) const {
    const auto records = test::records_of(decisions());
    return test::events_of<shim::Accepted>(records).size() ==
           test::events_of<shim::Closed>(records).size() + running;
  }

  static lab::Lab *lab_;
  lab::TemporaryFolder folder_;
  std::optional<lab::KdcFront> kdc_;
  std::optional<test::ScriptedDns> dns_;
  std::optional<lab::Process> serve_;
  std::map<std::string, std::uint16_t> ports_;
};
lab::Lab *Faults::lab_ = nullptr;

// ---- the KDC ----

TEST_F(Faults, KdcStopped) {
  meet([&] { lab_->realm().stop_kdc(); }, "kdc-unreachable", [&] { lab_->realm().start_kdc(); });
}
TEST_F(Faults, KdcHung) {
  meet([&] { kdc_->set_manner(Manner::hangs); }, "kdc-unreachable",
       [&] { kdc_->set_manner(Manner::answers); });
}
TEST_F(Faults, KdcResetInMidReply) {
  meet([&] { kdc_->set_manner(Manner::resets); }, "kdc-unreachable",
       [&] { kdc_->set_manner(Manner::answers); });
}
TEST_F(Faults, KdcHungIsNotNoticedWhileTicketsLast) {
  ASSERT_EQ(log_in(), "");
  kdc_->set_manner(Manner::hangs);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(log_in(), "");
}

// ---- DNS ----

using Question = test::ScriptedDns::Question;

tds::Bytes with_flags(tds::Bytes message, std::uint8_t high, std::uint8_t low) { // RFC 1035 4.1.1
  message[2] = high;
  message[3] = low;
  return message;
}
/// The question of a message, answered by `rest` (resource records, `count` of them).
tds::Bytes answered(const tds::Bytes &question, std::uint8_t count, const tds::Bytes &rest) {
  auto message = with_flags(question, 0x84, 0x00);
  message[7] = count;
  message[11] = 0; // no EDNS
  std::size_t end = 12;
  while (message[end] != 0)
    end += message[end] + 1u;
  message.resize(end + 5);
  message.insert(message.end(), rest.begin(), rest.end());
  return message;
}

struct Lie {
  const char *name;
  const char *cause; ///< empty: the login succeeds all the same
  std::optional<tds::Bytes> (*answer)(const Question &);
};
void PrintTo(const Lie &lie, std::ostream *out) { *out << lie.name; }

const Lie lies[] = {
    {"Silent", "name-not-found", [](const Question &) { return std::optional<tds::Bytes>(); }},
    {"Servfail", "name-not-found",
     [](const Question &q) { return std::optional(with_flags(answered(q.message, 0, {}), 0x81, 0x82)); }},
    {"Garbage", "name-not-found", [](const Question &) { return std::optional(tds::Bytes(300, 0xFF)); }},
    {"HalfAMessage", "name-not-found",
     [](const Question &q) {
       auto real = q.real();
       real.resize(real.size() / 2);
       return std::optional(real);
     }},
    {"OfAnotherId", "name-not-found",
     [](const Question &q) {
       auto real = q.real();
       real[0] ^= 0x55;
       return std::optional(real);
     }},
    {"ToAnotherQuestion", "name-not-found",
     [](const Question &q) {
       auto real = q.real();
       real[13] ^= 0x01; // the first letter of the name that was asked for
       return std::optional(real);
     }},
    {"OfAnotherName", "name-not-found",
     [](const Question &q) { // an address, but not of the name that was asked for
       return std::optional(
           answered(q.message, 1, {4, 'e', 'v', 'i', 'l', 0, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1}));
     }},
    {"CnameToItself", "name-not-found",
     [](const Question &q) {
       return std::optional(answered(q.message, 1, {0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xC0, 12}));
     }},
    {"CompressionLoop", "name-not-found",
     [](const Question &q) {
       auto message = answered(q.message, 1, {});
       const auto here = static_cast<std::uint8_t>(message.size());
       const tds::Bytes record = {0xC0, here, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1};
       message.insert(message.end(), record.begin(), record.end());
       return std::optional(message);
     }},
    {"RecordLongerThanTheMessage", "name-not-found",
     [](const Question &q) {
       return std::optional(
           answered(q.message, 1, {0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0xFF, 0xFF, 127, 0, 0, 1}));
     }},
    {"AddressOfThreeBytes", "name-not-found",
     [](const Question &q) {
       return std::optional(answered(q.message, 1, {0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 3, 127, 0, 1}));
     }},
    {"NumberOfAnswersMadeUp", "name-not-found",
     [](const Question &q) { return std::optional(answered(q.message, 200, {})); }},
    // RFC 7766 5: what was cut is asked for again over TCP.
    {"Truncated", "",
     [](const Question &q) {
       return std::optional(q.tcp ? q.real() : with_flags(answered(q.message, 0, {}), 0x87, 0x80));
     }},
    {"TruncatedOverTcpToo", "name-not-found",
     [](const Question &q) { return std::optional(with_flags(answered(q.message, 0, {}), 0x87, 0x80)); }},
    {"TruncatedAndSilentOverTcp", "name-not-found",
     [](const Question &q) {
       return q.tcp ? std::nullopt : std::optional(with_flags(answered(q.message, 0, {}), 0x87, 0x80));
     }},
};

class DnsFaults : public Faults, public WithParamInterface<Lie> {};

TEST_P(DnsFaults, AreNamedAndSurvived) {
  const auto &lie = GetParam();
  const auto trail = meet([&] { dns_->set_script(lie.answer); }, lie.cause, [&] { dns_->set_script({}); });
  if (*lie.cause) {
    const auto refused = test::events_of<shim::Refused>(trail);
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_EQ(refused[0].fault, shim::Fault::dns);
    EXPECT_TRUE(test::events_of<shim::ServerConnected>(trail).empty()) << "nobody was believed";
  } else {
    EXPECT_GT(dns_->questions_over_tcp(), 0);
  }
}
INSTANTIATE_TEST_SUITE_P(Dns, DnsFaults, ValuesIn(lies),
                         [](const auto &row) { return std::string(row.param.name); });

// ---- the server ----

struct Reset {
  const char *name;
  const char *cause;
  /// What the server does before it resets. `proof`: from a LOGIN7 token to the token that proves it.
  void (*act)(test::TdsServerSide &, const std::function<tds::Bytes(tds::ByteView)> &proof);
};
void PrintTo(const Reset &reset, std::ostream *out) { *out << reset.name; }
using Proof = std::function<tds::Bytes(tds::ByteView)>;

const Reset resets[] = {
    // Whether connect(2) or the first read meets it, is the kernel's affair.
    {"Accepted", "(server-closed|connection-refused)", [](test::TdsServerSide &, const Proof &) {}},
    {"PreloginRead", "server-closed", [](test::TdsServerSide &server, const Proof &) { server.read(); }},
    {"PreloginAnswered", "spn-wrong-account", // it may have read the token: nobody can tell
     [](test::TdsServerSide &server, const Proof &) { server.prelogin(); }},
    {"LoginRead", "spn-wrong-account",
     [](test::TdsServerSide &server, const Proof &) {
       server.prelogin();
       server.login();
     }},
    {"HalfOfTheProofSent", "spn-wrong-account",
     [](test::TdsServerSide &server, const Proof &proof) {
       server.prelogin();
       auto message = tds::encode_message(
           tds::PacketType::reply,
           tds::encode_tokens({tds::SspiToken{proof(server.login().sspi)}}, tds::tds_7_4));
       message.resize(message.size() / 2);
       server.send(message);
     }},
    {"Proven", "server-closed",
     [](test::TdsServerSide &server, const Proof &proof) {
       server.prelogin();
       server.say({tds::SspiToken{proof(server.login().sspi)}});
     }},
    {"HalfOfLoginackSent", "server-closed",
     [](test::TdsServerSide &server, const Proof &proof) {
       server.prelogin();
       server.say({tds::SspiToken{proof(server.login().sspi)}});
       auto message = tds::encode_message(tds::PacketType::reply,
                                          tds::encode_tokens(test::login_accepted(), tds::tds_7_4));
       message.resize(message.size() - 3);
       server.send(message);
     }},
};

class ServerResets : public Faults, public WithParamInterface<Reset> {};

TEST_P(ServerResets, AreNamedAndSurvived) {
  lab_->peer(1).stop();
  {
    test::ScriptedServer server(lab_->block().server(1), lab_->sql_port(), [&](test::Connection &connection) {
      test::TdsServerSide side(connection);
      auth_test::Acceptor acceptor(lab_->folder() / "peer.keytab");
      GetParam().act(side, [&](tds::ByteView token) { return acceptor.accept(token); });
      connection.reset();
    });
    const auto trail = meet([] {}, GetParam().cause, [] {}, "bad");
    EXPECT_EQ(server.connections(), 1);
    EXPECT_EQ(test::events_of<shim::Refused>(trail).size(), 1u);
  }
  lab_->peer(1).start();
  EXPECT_EQ(log_in("bad"), "");
}
INSTANTIATE_TEST_SUITE_P(After, ServerResets, ValuesIn(resets),
                         [](const auto &row) { return std::string(row.param.name); });

// ---- the disk, and sqlshim itself ----

tds::Bytes prelogin() {
  tds::Prelogin prelogin;
  prelogin.set_version({});
  prelogin.set_encryption(tds::Encryption::not_sup);
  return tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin));
}

TEST_F(Faults, DiskFullUnderTheDecisionLog) {
  test::Connection standing("127.0.0.1", ports_.at("good"));
  ASSERT_TRUE(test::log_in(standing).reply && works(standing));
  ASSERT_EQ(log_in(), "");
  ASSERT_TRUE(lab::eventually([&] { return quiet(1); }));
  const auto before = descriptors();

  // A few bytes are left, so that a line is cut in its middle.
  rlimit unlimited{};
  ASSERT_EQ(::prlimit(serve_->pid(), RLIMIT_FSIZE, nullptr, &unlimited), 0);
  const rlimit full{fs::file_size(folder() / "decisions.jsonl") + 700, unlimited.rlim_max};
  ASSERT_EQ(::prlimit(serve_->pid(), RLIMIT_FSIZE, &full, nullptr), 0);
  ASSERT_TRUE(lab::eventually([&] {
    test::Connection next("127.0.0.1", ports_.at("good"));
    next.send(prelogin());
    auto answer = next.receive();
    if (test::says(answer, u"log-unavailable: ")) return true;
    next.shut_down(); // still logged in: the log takes a login's lines, and fills
    return false;
  }));
  EXPECT_TRUE(works(standing));
  EXPECT_EQ(fs::file_size(folder() / "decisions.jsonl"), full.rlim_cur);

  ASSERT_EQ(::prlimit(serve_->pid(), RLIMIT_FSIZE, &unlimited, nullptr), 0);
  ASSERT_TRUE(lab::eventually([&] { return log_in().empty(); }));
  EXPECT_TRUE(works(standing));
  ASSERT_TRUE(lab::eventually([&] { return quiet(1) && descriptors() == before; })) << descriptors();

  // Nothing was lost, also of those that were refused meanwhile: every trail is whole, and the line
  // that was cut is one line.
  std::map<std::string, std::vector<shim::Record>> trails;
  for (const auto &record : test::records_of(decisions()))
    if (!record.conn.empty()) trails[record.conn].push_back(record);
  std::size_t running = 0;
  for (const auto &[conn, trail] : trails)
    if (std::holds_alternative<shim::Closed>(trail.back().event))
      test::check_trail(trail);
    else
      ++running;
  EXPECT_EQ(running, 1u);
}

TEST_F(Faults, KilledWhileLogging) {
  std::vector<std::jthread> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&](const std::stop_token &stop) {
      while (!stop.stop_requested())
        log_in();
    });
  ASSERT_TRUE(lab::eventually([&] { return std::ranges::count(decisions(), '\n') > 500; }));
  serve_->signal(SIGKILL);
  ASSERT_EQ(serve_->wait(lab::milliseconds(10'000)), 128 + SIGKILL);
  clients.clear();

  auto log = decisions();
  const auto whole = log.rfind('\n') + 1;
  EXPECT_GT(test::records_of(log.substr(0, whole)).size(), 500u) << "every line but the last is whole";

  // The next one begins a line of its own, whatever the last one left.
  lab::write_file(folder() / "decisions.jsonl", log + "{\"v\":1,\"at\":\"2026-");
  start();
  EXPECT_EQ(log_in(), "");
  ASSERT_TRUE(
      lab::eventually([&] { return decisions().ends_with("\n") && decisions().size() > log.size() + 1000; }));
  const auto rest = decisions().substr(log.size());
  EXPECT_FALSE(test::records_of(rest.substr(rest.find('\n') + 1)).empty());
  const auto shown =
      lab::run({.argv = {lab::program_folder() / "sqlshim", "log", folder() / "decisions.jsonl"}}).output;
  EXPECT_THAT(shown, HasSubstr("login.answered"));
}

} // namespace
