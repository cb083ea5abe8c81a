// Whose credentials: every kind of source for real, wrong passwords against a KDC that counts them, renewal.
#include "tests/component/server_in_process.hpp"

#include "shim/credentials/identities.hpp"

#include <atomic>
#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace testing;
using namespace std::chrono_literals;
using enum config::IdentityKind;

std::size_t count(const std::string &text, const std::string &what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size()))
    ++found;
  return found;
}

// --- wrong passwords ---

class Throttling : public test::ServerInProcess, public WithParamInterface<config::IdentityKind> {
protected:
  Throttling() {
    lab_.realm().kadmin("addpol -maxfailure 3 lockout\nmodprinc -policy lockout svc-reports\n");
    auto config = configuration(lab_, identity(GetParam(), source_));
    config.limits.handshakes = config.limits.handshakes_per_uid = 100; // it is not about these
    start(config);
  }
  /// A file with another password or key than the KDC's.
  static std::string make_wrong(lab::Lab &lab, const std::filesystem::path &folder) {
    if (GetParam() == password_file) {
      lab::write_file(folder / "secret", "not.the.password\n");
    } else {
      lab.realm().kadmin("cpw -randkey svc-reports\nktadd -norandkey -k " + (folder / "secret").string() +
                         " svc-reports\n");
      lab.realm().kadmin("cpw -pw Reports.Passw0rd svc-reports\n");
    }
    return folder / "secret";
  }
  void mend() {
    std::filesystem::remove(source_);
    if (GetParam() == password_file)
      lab::write_file(source_, std::string(lab::service_password) + "\n");
    else
      lab_.realm().ktadd(source_, "svc-reports");
  }
  std::size_t refused_by_kdc() { return count(lab_.realm().log(), "PREAUTH_FAILED: svc-reports@CORP.TEST"); }

  lab::Lab lab_{{.serve = false}};
  std::string source_ = make_wrong(lab_, folder_.path());
  std::string own_cause_ = GetParam() == password_file ? "preauth-failed" : "keytab-mismatch";
};
INSTANTIATE_TEST_SUITE_P(Sources, Throttling, Values(password_file, keytab),
                         [](const auto &row) { return row.param == keytab ? "Keytab" : "PasswordFile"; });

TEST_P(Throttling, AHundredLoginsCostTheAccountTwoFailures) {
  std::vector<std::thread> threads;
  std::atomic<int> own{0}, throttled{0}, other{0};
  for (int i = 0; i < 50; ++i)
    threads.emplace_back([&] {
      test::Connection connection("127.0.0.1", port_);
      const auto error = test::log_in(connection).error();
      ++(error.starts_with(own_cause_ + ":")        ? own
         : error.starts_with("password-throttled:") ? throttled
                                                    : other);
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(other, 0);
  EXPECT_GT(own, 0) << "whoever waited for the same answer of the KDC has it";
  log_in(); // the second try, if all of them shared the first
  for (int i = 0; i < 50; ++i) {
    test::Connection connection("127.0.0.1", port_);
    ASSERT_THAT(test::log_in(connection).error(), StartsWith("password-throttled:"));
  }
  EXPECT_EQ(refused_by_kdc(), 2u) << lab_.realm().log();

  auto last = log_in();
  EXPECT_EQ(last.cause(), "password-throttled");
  EXPECT_TRUE(last.kdcs.empty()) << "no KDC is asked";
  EXPECT_THAT(last.error, AllOf(HasSubstr("svc-reports@CORP.TEST"), HasSubstr("it is not tried again for 3"),
                                HasSubstr(source_), HasSubstr("SIGHUP")));

  mend();
  auto mended = log_in();
  EXPECT_TRUE(mended.accepted) << mended.error << ": a third failure would have locked the account";
}

TEST_P(Throttling, TheOperatorsHupAllowsAnotherTry) {
  for (int i = 0; i < 3; ++i)
    log_in();
  ASSERT_EQ(refused_by_kdc(), 2u);
  server_->forget();
  EXPECT_EQ(log_in().cause(), own_cause_);
  EXPECT_EQ(refused_by_kdc(), 3u);
}

TEST_P(Throttling, TheSameContentWrittenAgainIsNoNewPassword) {
  for (int i = 0; i < 2; ++i)
    log_in();
  const auto content = lab::read_file(source_);
  std::filesystem::remove(source_);
  lab::write_file(source_, content);
  EXPECT_EQ(log_in().cause(), "password-throttled");
  EXPECT_EQ(refused_by_kdc(), 2u);
}

// --- caches ---

/// One identity read anew each time, without a proxy: its name in the ticket store, or what is wrong with it.
class Loader {
public:
  explicit Loader(const std::string &krb5_conf) : identities_(pool_, krb5_conf, 0ms) {}
  std::string load(const config::Identity &wanted, std::chrono::milliseconds limit = 5000ms) {
    std::string name;
    asio::co_spawn(
        io_,
        [&]() -> shim::Task<> {
          auto loaded = co_await identities_.get(wanted, limit);
          name = loaded ? loaded->store_name() : loaded.error().text;
        },
        asio::detached);
    io_.restart();
    io_.run();
    return name;
  }

private:
  asio::io_context io_;
  asio::thread_pool pool_{1};
  shim::Identities identities_;
};

class Caches : public test::ServerWithSharedLab {
protected:
  /// Into the collection, as a user's shell has it: a cache of its own for each principal, and
  /// the last one is the primary.
  static void kinit(const std::string &collection, const std::string &user,
                    const std::string &krb5_conf = {}) {
    auto environment = lab_->realm().environment();
    if (!krb5_conf.empty()) environment["KRB5_CONFIG"] = krb5_conf;
    environment["KRB5CCNAME"] = collection;
    const auto done = lab::run({.argv = {"kinit", user}, .environment = environment}, user + "pw\n");
    ASSERT_EQ(done.status, 0) << done.output;
  }
  std::string client_of(const std::string &ccache, const std::string &principal,
                        const std::string &krb5_conf = {}) {
    start(configuration(*lab_, identity(config::IdentityKind::ccache, ccache, principal), krb5_conf));
    auto login = log_in();
    return login.accepted ? login.client() : login.error;
  }
  void expect_choice(const std::string &collection, const std::string &krb5_conf = {}) {
    kinit(collection, "alice", krb5_conf);
    EXPECT_EQ(client_of(collection, "", krb5_conf), "alice@CORP.TEST");
    kinit(collection, "bob", krb5_conf);
    EXPECT_EQ(client_of(collection, "", krb5_conf), "bob@CORP.TEST") << "the primary one";
    EXPECT_EQ(client_of(collection, "alice@CORP.TEST", krb5_conf), "alice@CORP.TEST");
    EXPECT_EQ(client_of(collection, "bob@CORP.TEST", krb5_conf), "bob@CORP.TEST");
    EXPECT_THAT(client_of(collection, "carol@CORP.TEST", krb5_conf),
                AllOf(StartsWith("no-credentials:"), HasSubstr(collection),
                      HasSubstr("holds no cache of carol@CORP.TEST"), HasSubstr("alice@CORP.TEST"),
                      HasSubstr("bob@CORP.TEST")));
  }
};

TEST_F(Caches, File) {
  kinit("FILE:" + (folder_.path() / "cc").string(), "alice");
  EXPECT_EQ(client_of("FILE:" + (folder_.path() / "cc").string(), ""), "alice@CORP.TEST");
  EXPECT_EQ(client_of((folder_.path() / "cc").string(), "alice@CORP.TEST"), "alice@CORP.TEST");
  EXPECT_THAT(
      client_of((folder_.path() / "cc").string(), "bob@CORP.TEST"),
      AllOf(StartsWith("no-credentials:"), HasSubstr("belongs to alice@CORP.TEST, not to bob@CORP.TEST")));
}

TEST_F(Caches, Dir) {
  const auto folder = folder_.path() / "caches";
  std::filesystem::create_directory(folder);
  expect_choice("DIR:" + folder.string());
  std::filesystem::remove(folder / "primary");
  EXPECT_EQ(client_of("DIR:" + folder.string(), "alice@CORP.TEST"), "alice@CORP.TEST");
  client_of("DIR:" + folder.string(), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "primary")) << "nothing of the user's is written";
  client_of("DIR:" + (folder_.path() / "absent").string(), "");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "absent"));
}

TEST_F(Caches, DirIsReadAgainWhenItChanges) {
  const auto folder = folder_.path() / "caches";
  std::filesystem::create_directory(folder);
  kinit("DIR:" + folder.string(), "alice");
  EXPECT_EQ(client_of("DIR:" + folder.string(), ""), "alice@CORP.TEST");
  kinit("DIR:" + folder.string(), "bob");
  EXPECT_EQ(log_in().client(), "bob@CORP.TEST") << "without a restart";
}

TEST_F(Caches, Keyring) {
  // A session keyring of the test's own; the KDC's child processes and the proxy's threads have it, too.
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0)
    GTEST_SKIP() << "this kernel refuses keyrings: " << std::strerror(errno);
  const std::string collection = "KEYRING:session:sqlshim-test";
  expect_choice(collection);

  // Nothing tells that a keyring has changed: it is read again, and what is the same stays the same.
  Loader loader(lab_->realm().krb5_conf());
  const auto wanted = identity(config::IdentityKind::ccache, collection, "alice@CORP.TEST");
  EXPECT_EQ(loader.load(wanted), "reports#1");
  EXPECT_EQ(loader.load(wanted), "reports#1") << "its tickets stay in use";
  kinit(collection, "alice");
  EXPECT_EQ(loader.load(wanted), "reports#2");
}

/// Heimdal's KCM service. Its socket and its pid file are in /run, whatever --socket-path says: it is started
/// with a folder of ours in that place, in a mount namespace of its own.
class Kcm : public Caches {
protected:
  void SetUp() override {
    std::filesystem::create_directory(run_);
    auto text = lab::read_file(lab_->realm().krb5_conf());
    text.insert(text.find('\n') + 1, "  kcm_socket = " + socket_ + "\n");
    lab::write_file(krb5_conf_, text);
  }
  lab::Command in_namespace(std::vector<std::string> program) const {
    std::vector<std::string> argv = {"unshare", "--mount"};
    if (::getuid() != 0) argv.insert(argv.end(), {"--user", "--map-root-user"});
    argv.insert(argv.end(), {"sh", "-c", R"(mount --bind "$0" /run && exec "$@")", run_});
    argv.insert(argv.end(), program.begin(), program.end());
    return {.argv = std::move(argv),
            .environment = lab_->realm().environment(),
            .output = folder_.path() / "kcm.log"};
  }
  void start_kcm() {
    std::filesystem::remove(socket_); // of one that was killed
    kcm_.emplace(in_namespace({"/usr/sbin/kcm", "--config-file=" + lab_->realm().krb5_conf().string()}));
    // The socket can be used when everybody may: it binds, listens, and changes the mode.
    kcm_->wait_until("the KCM service's socket", [&] {
      std::error_code none;
      return (std::filesystem::status(socket_, none).permissions() & std::filesystem::perms::all) ==
             std::filesystem::perms(0666);
    });
  }
  config::Identity cache(const std::string &principal) const {
    return identity(config::IdentityKind::ccache, "KCM:", principal);
  }
  static auto says_that_nobody_answers(const std::string &socket) {
    return AllOf(HasSubstr("KCM:"), HasSubstr("does not answer on " + socket), HasSubstr("sssd-kcm.socket"));
  }

  const std::string run_ = folder_.path() / "run";
  const std::string socket_ = run_ + "/.heim_org.h5l.kcm-socket";
  const std::string krb5_conf_ = folder_.path() / "krb5.conf";
  std::optional<lab::Process> kcm_;
};

#define SKIP_WITHOUT_NAMESPACES()                                                                            \
  if (const auto tried = lab::run(in_namespace({"true"})); tried.status != 0) {                              \
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "CI must allow mount namespaces: " << tried.output;          \
    GTEST_SKIP() << "no mount namespace for a KCM service: " << tried.output;                                \
  }

TEST_F(Kcm, TheCollectionsCacheIsChosen) {
  SKIP_WITHOUT_NAMESPACES();
  start_kcm();
  for (const std::string principal : {"", "alice@CORP.TEST"})
    EXPECT_THAT(client_of("KCM:", principal, krb5_conf_),
                AllOf(StartsWith("no-credentials:"), HasSubstr("answers on " + socket_ + ": kinit as uid")));
  expect_choice("KCM:", krb5_conf_);
}

TEST_F(Kcm, ItIsReadAgainAndItsEndIsNoticed) {
  SKIP_WITHOUT_NAMESPACES();
  start_kcm();
  kinit("KCM:", "alice", krb5_conf_);
  Loader loader(krb5_conf_);
  for (const std::string principal : {"", "alice@CORP.TEST"}) {
    const auto first = loader.load(cache(principal));
    EXPECT_THAT(first, StartsWith("reports#"));
    EXPECT_EQ(loader.load(cache(principal)), first) << "its tickets stay in use";
    kinit("KCM:", "alice", krb5_conf_);
    EXPECT_THAT(loader.load(cache(principal)), AllOf(StartsWith("reports#"), Ne(first)));
  }

  kcm_->signal(SIGSTOP);
  EXPECT_EQ(loader.load(cache("alice@CORP.TEST"), 200ms), "KCM: could not be read within 200 ms");
  kcm_->signal(SIGKILL);
  for (const std::string principal : {"", "alice@CORP.TEST"})
    EXPECT_THAT(loader.load(cache(principal)), says_that_nobody_answers(socket_));
  EXPECT_THAT(client_of("KCM:", "", krb5_conf_), StartsWith("no-credentials:"));

  start_kcm(); // it has forgotten everything
  kinit("KCM:", "alice", krb5_conf_);
  EXPECT_THAT(loader.load(cache("")), StartsWith("reports#"));
  EXPECT_EQ(log_in().client(), "alice@CORP.TEST") << "without a restart";
}

TEST_F(Kcm, ThatIsNotThere) {
  for (const std::string principal : {"", "alice@CORP.TEST"}) {
    start(configuration(*lab_, cache(principal), krb5_conf_));
    auto login = log_in();
    EXPECT_EQ(login.cause(), "no-credentials");
    auto refused = test::events_of<shim::Refused>(login.trail);
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_THAT(refused[0].detail, says_that_nobody_answers(socket_));
  }
}

// --- a domain account ---

TEST_F(Caches, DomainAccountIsSaidToBeAPrincipal) {
  auto account = identity(password_file, (lab_->folder() / "reports.password").string());
  account.account = "CORP\\svc-reports";
  auto config = configuration(*lab_, account);
  config.domains = {{"CORP", "CORP.TEST"}};
  start(config);
  const auto login = log_in();
  EXPECT_EQ(login.client(), "svc-reports@CORP.TEST");
  const auto chosen = test::events_of<shim::TicketChosen>(login.trail);
  ASSERT_EQ(chosen.size(), 1u);
  EXPECT_EQ(chosen[0].account, "CORP\\svc-reports");
  auto started = test::events_of<shim::Started>(test::records_of(decisions()));
  ASSERT_EQ(started.size(), 1u);
  EXPECT_THAT(
      started[0].identities,
      ElementsAre(
          "reports: password file of CORP\\svc-reports, which is svc-reports@CORP.TEST by [domains]"));
}

// --- renewal ---

class Renewal : public test::ServerInProcess {
protected:
  Renewal() { start(configuration(lab_, identity(keytab, (lab_.folder() / "reports.keytab").string()))); }
  /// Logs in again and again until `enough`; every login must be accepted. How many there were.
  int log_in_until(const std::function<bool()> &enough) {
    int logins = 0;
    const auto give_up = std::chrono::steady_clock::now() + 30s;
    while (!enough()) {
      if (std::chrono::steady_clock::now() > give_up) {
        ADD_FAILURE() << "it never happens\n" << decisions();
        break;
      }
      test::Connection connection("127.0.0.1", port_);
      auto login = test::log_in(connection);
      EXPECT_TRUE(login.reply) << "login " << logins << ": " << login.error() << "\n" << decisions();
      if (!login.reply) break;
      ++logins;
    }
    return logins;
  }
  /// Answers of KDCs that belong to no connection: those of renewals.
  std::size_t renewals() {
    std::size_t found = 0;
    for (const auto &record : test::records_of(decisions()))
      if (auto *answer = std::get_if<shim::KdcAnswered>(&record.event);
          answer && record.conn.empty() && answer->code == 0)
        ++found;
    return found;
  }
  // Tickets of three minutes, and a KDC whose clock is behind: they are 88 s old when they are issued, past
  // half of their life two seconds later, and too near to their end for a login half a minute after that.
  lab::Lab lab_{{.serve = false, .change = [](lab::Plan &plan) {
                   plan.realm.max_life = "3m";
                   plan.realm.kdc_clock = "-88";
                 }}};
};

TEST_F(Renewal, NoLoginWaitsWhileTicketsAreRenewed) {
  EXPECT_GT(log_in_until([&] { return renewals() >= 4; }), 4);
  bool first = true;
  for (const auto &record : test::records_of(decisions())) {
    if (record.conn.empty()) continue;
    if (auto *chosen = std::get_if<shim::TicketChosen>(&record.event)) {
      EXPECT_EQ(chosen->cached, !first) << record.conn;
      first = false;
    }
    if (!first)
      EXPECT_FALSE(std::holds_alternative<shim::KdcAnswered>(record.event))
          << record.conn << " waited for a KDC";
  }
}

TEST_F(Renewal, ThatFailsLeavesTheOldTicket) {
  log_in();
  lab_.realm().stop_kdc();
  log_in_until([&] { return decisions().find("renewal of ") != std::string::npos; });
  auto warned = test::events_of<shim::Warned>(test::records_of(decisions()));
  std::erase_if(warned, [](const auto &event) { return event.what.contains("made the certificate"); });
  ASSERT_FALSE(warned.empty());
  EXPECT_THAT(warned[0].what,
              AllOf(HasSubstr("renewal of "), HasSubstr("the old ticket serves until it expires"),
                    HasSubstr("Connection refused")));
}

} // namespace
