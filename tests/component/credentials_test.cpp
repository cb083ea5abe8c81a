// Credentials that are not the configuration's own: the user and password of the client's login, the
// ccache of the proven caller.
#include "tests/component/server_in_process.hpp"

#include <atomic>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace testing;
using enum config::IdentityKind;
namespace fs = std::filesystem;

class Credentials : public test::ServerWithSharedLab {
protected:
  /// A user of this test's own, whose refusals the KDC counts.
  static void add_user(const std::string &name) {
    lab_->realm().add_principal(name, name + "pw", "+requires_preauth");
  }
  static std::size_t refused_by_kdc(const std::string &user) {
    const auto log = lab_->realm().log(), what = "PREAUTH_FAILED: " + user + "@CORP.TEST";
    std::size_t found = 0;
    for (auto at = log.find(what); at != log.npos; at = log.find(what, at + what.size()))
      ++found;
    return found;
  }
  static config::Config of_client() {
    auto config = ServerInProcess::configuration(*lab_, identity(client, "", ""));
    config.domains["CORP"] = "CORP.TEST";
    config.limits.handshakes = config.limits.handshakes_per_uid = 100; // it is not about these
    return config;
  }
  config::Config of_caller() {
    return ServerInProcess::configuration(*lab_, identity(caller, folder_.path() / "cc_%{uid}", ""));
  }
  fs::path ccache_of(uid_t uid) const { return folder_.path() / ("cc_" + std::to_string(uid)); }
  test::LoggedIn log_in_as(std::u16string user, std::u16string password, std::u16string database = {}) {
    return log_in(
        {.user = std::move(user), .password = std::move(password), .database = std::move(database)});
  }
};

// --- the client's ---

TEST_F(Credentials, AClientsUserAndPasswordMakeATicket) {
  start(of_client());
  for (const std::u16string user : {u"alice@CORP.TEST", u"CORP\\alice", u"corp\\alice"}) {
    const auto login = log_in_as(user, u"alicepw");
    EXPECT_TRUE(login.accepted) << login.error;
    EXPECT_EQ(login.client(), "alice@CORP.TEST");
    const auto taken = test::events_of<shim::CredentialsTaken>(login.trail);
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].from, shim::CredentialsFrom::client);
    EXPECT_EQ(taken[0].account, tds::to_utf8(user));
    EXPECT_EQ(taken[0].principal, "alice@CORP.TEST");
    EXPECT_TRUE(test::events_of<shim::CredentialsIgnored>(login.trail).empty()) << "they are used";
    EXPECT_FALSE(login.kdcs.empty()) << "each login makes a TGT of its own";
  }
  test::Connection connection("127.0.0.1", port_);
  const auto login = test::log_in(connection, {.user = u"bob@CORP.TEST", .password = u"bobpw"});
  ASSERT_TRUE(login.reply) << login.error();
  EXPECT_EQ(server_->tickets(), 0u) << "gone before the client has its answer";
  EXPECT_TRUE(test::says(test::query(connection, u"select suser_sname()"), u"CORP\\bob"));
  EXPECT_THAT(decisions(), AllOf(Not(HasSubstr("alicepw")), Not(HasSubstr("bobpw"))));
}

TEST_F(Credentials, NothingStaysOfALoginHoweverItEnds) {
  start(of_client());
  EXPECT_EQ(log_in_as(u"alice@CORP.TEST", u"alicepw", u"absent").cause(), "database-denied");
  EXPECT_EQ(server_->tickets(), 0u);
  auto config = of_client();
  config.routes[0].spn = "MSSQLSvc/absent.corp.test:1433@CORP.TEST";
  start(config);
  for (int i = 0; i < 2; ++i) {
    const auto login = log_in_as(u"alice@CORP.TEST", u"alicepw");
    EXPECT_EQ(login.cause(), "spn-missing");
    EXPECT_FALSE(login.kdcs.empty()) << "nor is a refusal kept for the next";
    EXPECT_EQ(server_->tickets(), 0u) << "the TGT";
  }
  config = of_client();
  config.routes[0].timeouts.login = config::Duration{1};
  start(config);
  EXPECT_EQ(log_in_as(u"alice@CORP.TEST", u"alicepw").cause(), "deadline");
  EXPECT_EQ(server_->tickets(), 0u);
}

TEST_F(Credentials, AWrongPasswordIsTriedTwice) {
  add_user("carol");
  start(of_client());
  for (const std::u16string password : {u"wrong1", u"wrong2"}) {
    const auto login = log_in_as(u"carol@CORP.TEST", password);
    EXPECT_EQ(login.cause(), "preauth-failed");
    EXPECT_THAT(login.error, AllOf(HasSubstr("carol@CORP.TEST"), HasSubstr("application"),
                                   Not(HasSubstr("wrong")), Not(HasSubstr("password_file"))));
  }
  for (const std::u16string password : {u"wrong3", u"carolpw"}) {
    const auto login = log_in_as(u"CORP\\carol", password);
    EXPECT_EQ(login.cause(), "password-throttled") << "another password is no reason to ask again";
    EXPECT_TRUE(login.kdcs.empty()) << "no KDC is asked";
    EXPECT_THAT(login.error,
                AllOf(HasSubstr("carol@CORP.TEST"), HasSubstr("SIGHUP"), Not(HasSubstr("unless"))));
  }
  EXPECT_EQ(refused_by_kdc("carol"), 2u);
  EXPECT_TRUE(log_in_as(u"bob@CORP.TEST", u"bobpw").accepted) << "others are not meant";
  server_->forget();
  EXPECT_TRUE(log_in_as(u"carol@CORP.TEST", u"carolpw").accepted);
  EXPECT_EQ(server_->tickets(), 0u);
}

TEST_F(Credentials, ManyWrongPasswordsAtOnceCostTwoFailures) {
  add_user("dave");
  start(of_client());
  std::atomic<int> failed{0}, throttled{0}, other{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 30; ++i)
    threads.emplace_back([&, i] {
      test::Connection connection("127.0.0.1", port_);
      const auto password = tds::to_utf16("wrong" + std::to_string(i));
      const auto error = test::log_in(connection, {.user = u"dave@CORP.TEST", .password = password}).error();
      ++(error.starts_with("preauth-failed:")       ? failed
         : error.starts_with("password-throttled:") ? throttled
                                                    : other);
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(failed, 2);
  EXPECT_EQ(throttled, 28);
  EXPECT_EQ(other, 0);
  EXPECT_EQ(refused_by_kdc("dave"), 2u) << "however many come at once";
}

TEST_F(Credentials, ManyGoodPasswordsAtOnceAllLogIn) {
  start(of_client());
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i)
    threads.emplace_back([&] {
      test::Connection connection("127.0.0.1", port_);
      accepted +=
          test::log_in(connection, {.user = u"alice@CORP.TEST", .password = u"alicepw"}).reply.has_value();
    });
  for (auto &thread : threads)
    thread.join();
  EXPECT_EQ(accepted, 20);
  EXPECT_EQ(server_->tickets(), 0u);
}

TEST_F(Credentials, ALoginWithoutThemSaysWhatItLacks) {
  start(of_client());
  const auto integrated =
      log_in({.sspi = {0x60, 0x0a, 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02, 0xa0, 0x00}});
  EXPECT_EQ(integrated.cause(), "no-credentials");
  EXPECT_THAT(integrated.error, HasSubstr("the application sent no user and password"));
  const auto bare = log_in_as(u"sa", u"Lab.Passw0rd");
  EXPECT_EQ(bare.cause(), "no-credentials");
  EXPECT_THAT(bare.error, AllOf(HasSubstr("\"sa\" has no realm"), HasSubstr("DOMAIN\\user")));
  EXPECT_EQ(log_in_as(u"OTHER\\alice", u"alicepw").cause(), "no-credentials");
  const auto unknown = log_in_as(u"nobody@CORP.TEST", u"x");
  EXPECT_EQ(unknown.cause(), "no-credentials");
  EXPECT_THAT(unknown.error, HasSubstr("does not know nobody@CORP.TEST"));
}

// --- the caller's ---

TEST_F(Credentials, ACallersCcacheIsTaken) {
  lab_->realm().kinit("alice", "alicepw", ccache_of(::getuid()));
  start(of_caller());
  const auto login = log_in();
  EXPECT_TRUE(login.accepted) << login.error;
  EXPECT_EQ(login.client(), "alice@CORP.TEST");
  const auto taken = test::events_of<shim::CredentialsTaken>(login.trail);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].from, shim::CredentialsFrom::caller);
  EXPECT_EQ(taken[0].account, ccache_of(::getuid()).string());
  EXPECT_EQ(taken[0].principal, "alice@CORP.TEST");
  const auto ignored = test::events_of<shim::CredentialsIgnored>(login.trail);
  ASSERT_EQ(ignored.size(), 1u);
  EXPECT_EQ(ignored[0].what, "user and password");

  lab_->realm().kinit("bob", "bobpw", ccache_of(::getuid()));
  EXPECT_EQ(log_in().client(), "bob@CORP.TEST") << "read again";
  ASSERT_EQ(::chmod(ccache_of(::getuid()).c_str(), 0640), 0);
  const auto refused = log_in();
  EXPECT_EQ(refused.cause(), "no-credentials");
  EXPECT_THAT(refused.error,
              AllOf(HasSubstr(ccache_of(::getuid())), HasSubstr("others than its owner may use it")));
}

TEST_F(Credentials, EachCallerHasItsOwn) {
  if (::getuid() != 0) GTEST_SKIP() << "only root may give files away";
  lab_->realm().kinit("alice", "alicepw", ccache_of(4242));
  lab_->realm().kinit("bob", "bobpw", ccache_of(4243));
  lab_->realm().kinit("alice", "alicepw", ccache_of(4244));
  for (const uid_t uid : {4242u, 4243u})
    ASSERT_EQ(::chown(ccache_of(uid).c_str(), uid, uid), 0);
  auto config = of_caller();
  for (const uid_t uid : {4242u, 4243u, 4244u}) {
    const config::Who who{.text = std::to_string(uid), .self = false, .uid = uid, .gid = {}};
    config.listeners[0].callers.push_back(who);
    if (uid != 4243) config.identities[0].allow.push_back(who);
  }
  std::atomic<uid_t> comes{4242};
  shim::ServerOptions options;
  options.prove_uid = [&comes](auto &) -> std::expected<uid_t, std::string> { return comes.load(); };
  start(config, options);
  EXPECT_EQ(log_in().client(), "alice@CORP.TEST");
  comes = 4243;
  EXPECT_EQ(log_in().cause(), "identity-denied") << "allow has the last word";
  comes = 4244;
  const auto planted = log_in();
  EXPECT_EQ(planted.cause(), "no-credentials");
  EXPECT_THAT(planted.error, HasSubstr("it belongs to uid 0, not to uid 4244"));
  server_.reset();
}

} // namespace
