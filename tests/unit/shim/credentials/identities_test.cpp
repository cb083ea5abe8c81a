#include "shim/credentials/identities.hpp"

#include "tests/unit/auth/support.hpp"
#include "tests/unit/shim/support.hpp"

#include <future>
#include <sys/stat.h>
#include <unistd.h>

namespace shim_test {
namespace {

using auth_test::FakeTicket;
using auth_test::Folder;
using testing::HasSubstr;

class IdentitiesTest : public testing::Test {
protected:
  config::Identity identity(config::IdentityKind kind, const std::string &source,
                            const std::string &principal = "svc-reports@CORP.TEST") {
    config::Identity wanted;
    wanted.name = "reports";
    wanted.kind = kind;
    wanted.source = source;
    wanted.principal = principal;
    return wanted;
  }
  auth::Result<LoadedIdentity> get(const config::Identity &wanted, Millis limit = Millis(20'000)) {
    return loop_.run(identities_.get(wanted, limit));
  }
  static std::string error_of(const auth::Result<LoadedIdentity> &result) {
    return result ? "none" : std::string(auth::to_string(result.error().kind)) + ": " + result.error().text;
  }

  Folder folder_;
  std::string krb5_config_ = folder_.write("krb5.conf", auth_test::plain_config);
  Loop loop_;
  asio::thread_pool pool_{1};
  Identities identities_{pool_, krb5_config_};
};

TEST_F(IdentitiesTest, KindsOfSources) {
  auth_test::write_keytab(folder_.file("a.keytab"), {{"svc-reports@CORP.TEST"}});
  auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST", {{}});
  folder_.write("password", "s3cret\n");
  const struct {
    config::Identity wanted;
    const char *principal;
  } rows[] = {
      {identity(config::IdentityKind::keytab, folder_.file("a.keytab")), "svc-reports@CORP.TEST"},
      {identity(config::IdentityKind::ccache, folder_.file("ccache"), ""), "alice@CORP.TEST"},
      {identity(config::IdentityKind::ccache, "FILE:" + folder_.file("ccache"), ""), "alice@CORP.TEST"},
      {identity(config::IdentityKind::password_file, folder_.file("password")), "svc-reports@CORP.TEST"},
  };
  for (const auto &row : rows) {
    const auto loaded = get(row.wanted);
    ASSERT_TRUE(loaded) << row.wanted.source << ": " << loaded.error().text;
    EXPECT_EQ(loaded->identity->principal(), row.principal);
    EXPECT_EQ(loaded->identity->spec().name, "reports");
  }
}

TEST_F(IdentitiesTest, ReadOnceWhileItsFileStaysTheSame) {
  for (const std::string prefix : {"", "FILE:"}) {
    auth_test::write_ccache(folder_.file("ccache"), "alice@CORP.TEST", {{}});
    const auto wanted = identity(config::IdentityKind::ccache, prefix + folder_.file("ccache"), "");
    const auto first = get(wanted), second = get(wanted);
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->identity, second->identity) << prefix;
    EXPECT_EQ(first->store_name(), second->store_name()) << prefix;
  }
}

TEST_F(IdentitiesTest, ReadAgainWhenItsFileHasChanged) {
  const auto path = folder_.file("a.keytab");
  const auto wanted = identity(config::IdentityKind::keytab, path);
  auth_test::write_keytab(path, {{"svc-reports@CORP.TEST", 1}});
  const auto first = get(wanted);
  ASSERT_TRUE(first);

  // One more key in the same file, and nothing but its size tells.
  const auto written = std::filesystem::last_write_time(path);
  auth_test::write_keytab(path, {{"svc-reports@CORP.TEST", 2}});
  std::filesystem::last_write_time(path, written);
  const auto grown = get(wanted);
  ASSERT_TRUE(grown);
  EXPECT_NE(grown->identity, first->identity);
  EXPECT_NE(grown->store_name(), first->store_name())
      << "tickets of the earlier key are not used with the later";

  // A file of the same size and time in its place, as a deployment puts it there: its inode tells.
  auth_test::write_keytab(folder_.file("new.keytab"),
                          {{"svc-reports@CORP.TEST", 1}, {"svc-reports@CORP.TEST", 3}});
  std::filesystem::last_write_time(folder_.file("new.keytab"), written);
  ASSERT_EQ(std::filesystem::file_size(folder_.file("new.keytab")), std::filesystem::file_size(path));
  std::filesystem::rename(folder_.file("new.keytab"), path);
  const auto replaced = get(wanted);
  ASSERT_TRUE(replaced);
  EXPECT_NE(replaced->store_name(), grown->store_name());
}

TEST_F(IdentitiesTest, ReadAgainButTheSame) {
  const auto path = folder_.file("a.keytab");
  const auto wanted = identity(config::IdentityKind::keytab, path);
  auth_test::write_keytab(path, {{"svc-reports@CORP.TEST", 1}});
  const auto first = get(wanted);
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - 1s);
  const auto touched = get(wanted);
  ASSERT_TRUE(first && touched);
  EXPECT_EQ(touched->store_name(), first->store_name()) << "its tickets stay in use";
}

TEST_F(IdentitiesTest, FolderOfCachesIsReadAgainWhenOneOfThemChanges) {
  std::filesystem::create_directory(folder_.file("dir"));
  auth_test::write_ccache(folder_.file("dir/tkt"), "alice@CORP.TEST", {{}});
  const auto wanted = identity(config::IdentityKind::ccache, "DIR:" + folder_.file("dir"), "alice@CORP.TEST");
  const auto first = get(wanted), second = get(wanted);
  ASSERT_TRUE(first) << first.error().text;
  ASSERT_TRUE(second);
  EXPECT_EQ(first->identity, second->identity);
  auth_test::write_ccache(folder_.file("dir/tktlater"), "alice@CORP.TEST", {{.life = 20h}});
  const auto later = get(wanted);
  ASSERT_TRUE(later);
  EXPECT_NE(later->store_name(), first->store_name());
  EXPECT_GT(later->identity->expires(), first->identity->expires()) << "the one that lasts longest";
  EXPECT_FALSE(std::filesystem::exists(folder_.file("dir/primary"))) << "nothing is written";
}

TEST_F(IdentitiesTest, CcacheInNoFileIsBelievedForAWhile) {
  const auto wanted =
      identity(config::IdentityKind::ccache, "MEMORY:sqlshim-identities-test", "alice@CORP.TEST");
  auth_test::write_ccache("MEMORY:sqlshim-identities-test", "alice@CORP.TEST", {{}});
  Identities now(pool_, krb5_config_, Millis(0));
  const auto load = [&](Identities &identities) { return loop_.run(identities.get(wanted, Millis(20'000))); };
  const auto believed = load(identities_), read = load(now);
  ASSERT_TRUE(believed) << believed.error().text;
  ASSERT_TRUE(read);
  EXPECT_EQ(load(now)->store_name(), read->store_name()) << "read again, and the same";
  auth_test::write_ccache("MEMORY:sqlshim-identities-test", "alice@CORP.TEST", {{.life = 20h}});
  EXPECT_NE(load(now)->store_name(), read->store_name());
  EXPECT_EQ(load(identities_)->store_name(), believed->store_name());

  // Nearly over: it is looked at each time.
  auth_test::write_ccache("MEMORY:sqlshim-identities-test", "alice@CORP.TEST",
                          {{.starts = FakeTicket{}.starts - 1h, .life = 1h + 60s}});
  Identities careful(pool_, krb5_config_, Millis(20'000));
  const auto ending = load(careful);
  ASSERT_TRUE(ending) << ending.error().text;
  auth_test::write_ccache("MEMORY:sqlshim-identities-test", "alice@CORP.TEST", {{.life = 20h}});
  EXPECT_NE(load(careful)->store_name(), ending->store_name());
}

TEST_F(IdentitiesTest, ErrorThenSuccessWhenTheFileAppears) {
  const auto path = folder_.file("a.keytab");
  const auto wanted = identity(config::IdentityKind::keytab, path);
  EXPECT_THAT(error_of(get(wanted)), testing::AllOf(HasSubstr("no-credentials: "), HasSubstr(path)));
  auth_test::write_keytab(path, {{"svc-reports@CORP.TEST"}});
  EXPECT_EQ(error_of(get(wanted)), "none");
}

TEST_F(IdentitiesTest, ErrorIsNotKept) {
  // The principal is missing; the file is repaired without a change that a stamp would show.
  const auto path = folder_.file("a.keytab");
  auth_test::write_keytab(path, {{"svc-reportz@CORP.TEST"}});
  auto wanted = identity(config::IdentityKind::keytab, path);
  EXPECT_THAT(error_of(get(wanted)), HasSubstr("no-credentials"));
  wanted.principal = "svc-reportz@CORP.TEST";
  EXPECT_EQ(error_of(get(wanted)), "none");
}

TEST_F(IdentitiesTest, SuccessThenErrorWhenTheFileGoes) {
  const auto path = folder_.file("a.keytab");
  const auto wanted = identity(config::IdentityKind::keytab, path);
  auth_test::write_keytab(path, {{"svc-reports@CORP.TEST"}});
  const auto loaded = get(wanted);
  ASSERT_TRUE(loaded);
  std::filesystem::remove(path);
  EXPECT_THAT(error_of(get(wanted)), HasSubstr("no-credentials"));
  EXPECT_EQ(loaded->identity->principal(), "svc-reports@CORP.TEST") << "who has it keeps it";
}

TEST_F(IdentitiesTest, GenerationsDifferBetweenIdentitiesToo) {
  auth_test::write_keytab(folder_.file("a.keytab"), {{"svc-reports@CORP.TEST"}});
  auto one = identity(config::IdentityKind::keytab, folder_.file("a.keytab")), two = one;
  two.name = "other";
  const auto first = get(one), second = get(two);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->store_name(), second->store_name());
  EXPECT_THAT(first->store_name(), testing::StartsWith("reports#"));
  EXPECT_THAT(second->store_name(), testing::StartsWith("other#"));
  EXPECT_EQ(get(one)->store_name(), first->store_name()) << "one does not push the other out";
}

TEST_F(IdentitiesTest, SlowFileIsAnErrorAtTheLimit) {
  auth_test::write_keytab(folder_.file("a.keytab"), {{"svc-reports@CORP.TEST"}});
  const auto wanted = identity(config::IdentityKind::keytab, folder_.file("a.keytab"));
  std::promise<void> go_on;
  asio::post(pool_,
             [released = go_on.get_future().share()] { released.wait(); }); // a disk that does not answer
  const auto late = get(wanted, Millis(20));
  EXPECT_EQ(error_of(late), "no-credentials: " + wanted.source + " could not be read within 20 ms");
  go_on.set_value();
  EXPECT_EQ(error_of(get(wanted)), "none");
}

// --- credentials of others ---

tds::Secret utf16(std::string_view text) {
  tds::Bytes units;
  for (const char c : text) {
    units.push_back(static_cast<std::uint8_t>(c));
    units.push_back(0);
  }
  return tds::Secret(std::move(units));
}

TEST_F(IdentitiesTest, OfAClientIsMadeForOneLogin) {
  const auto wanted = identity(config::IdentityKind::client, "", "");
  const auto make = [&](std::string_view password, Millis limit = Millis(20'000)) {
    return loop_.run(identities_.of_client(wanted, "alice@CORP.TEST", utf16(password), limit));
  };
  const auto one = make("s3cret"), two = make("s3cret");
  ASSERT_TRUE(one && two) << error_of(one);
  EXPECT_EQ(one->identity->principal(), "alice@CORP.TEST");
  EXPECT_EQ(one->identity->spec().name, "reports");
  EXPECT_TRUE(one->one_login);
  EXPECT_NE(one->identity, two->identity);
  const auto name = [](const LoadedIdentity &made) {
    return made.store_name().substr(0, made.store_name().rfind('#'));
  };
  EXPECT_NE(name(*one), name(*two)) << "the tickets of one login do not push out another's";
  EXPECT_EQ(std::weak_ptr(one->identity).use_count(), 1) << "nobody else keeps it";
  EXPECT_EQ(error_of(make("")), "no-credentials: the password of the client's login is empty");
  EXPECT_THAT(error_of(make(std::string(4096, 'x'))),
              HasSubstr("malformed: the password of the client's login is longer"));
  EXPECT_EQ(error_of(loop_.run(identities_.of_client(wanted, "alice@CORP.TEST",
                                                     tds::Secret(tds::Bytes{0, 0xD8}), Millis(20'000)))),
            "no-credentials: the password of the client's login is no text");
}

TEST_F(IdentitiesTest, OfCallersEachHasItsOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  const auto wanted = identity(config::IdentityKind::caller, folder_.file("cc_%{uid}"), "");
  const auto of = [&](uid_t caller) {
    return loop_.run(identities_.of_caller(wanted, caller, Millis(20'000)));
  };
  for (const auto &[uid, user] :
       {std::pair<uid_t, const char *>{4242, "alice@CORP.TEST"}, {4243, "bob@CORP.TEST"}}) {
    const auto path = folder_.file("cc_" + std::to_string(uid));
    auth_test::write_ccache(path, user, {{}});
    ASSERT_EQ(::chown(path.c_str(), uid, 0), 0);
  }
  const auto alice = of(4242), bob = of(4243), again = of(4242);
  ASSERT_TRUE(alice && bob && again) << error_of(alice) << error_of(bob);
  EXPECT_EQ(alice->identity->principal(), "alice@CORP.TEST");
  EXPECT_EQ(bob->identity->principal(), "bob@CORP.TEST");
  EXPECT_EQ(alice->identity, again->identity) << "read once while it stays the same";
  EXPECT_THAT(alice->store_name(), testing::StartsWith("reports/uid 4242#"));
  EXPECT_FALSE(alice->one_login);

  // Not its content has changed, but whether it may be taken.
  ASSERT_EQ(::chmod(folder_.file("cc_4242").c_str(), 0644), 0);
  EXPECT_THAT(error_of(of(4242)), HasSubstr("others than its owner may use it"));
  ASSERT_EQ(::chmod(folder_.file("cc_4242").c_str(), 0600), 0);
  EXPECT_TRUE(of(4242)) << "mended";
  std::filesystem::rename(folder_.file("cc_4242"), folder_.file("moved"));
  std::filesystem::create_symlink(folder_.file("moved"), folder_.file("cc_4242"));
  EXPECT_THAT(error_of(of(4242)), HasSubstr("it is a symbolic link"));
  EXPECT_THAT(error_of(of(4244)), testing::AllOf(HasSubstr("no-credentials: "), HasSubstr("cc_4244")));
}

TEST_F(IdentitiesTest, OfACallerWhoseCcacheIsNoFile) {
  const auto wanted = identity(config::IdentityKind::caller, "KCM:", "");
  EXPECT_THAT(error_of(loop_.run(identities_.of_caller(wanted, ::geteuid() + 1, Millis(20'000)))),
              HasSubstr("no-credentials: KCM: opens for its own user alone"));
}

TEST_F(IdentitiesTest, ManyAtOnce) {
  auth_test::write_keytab(folder_.file("a.keytab"), {{"svc-reports@CORP.TEST"}});
  const auto wanted = identity(config::IdentityKind::keytab, folder_.file("a.keytab"));
  asio::thread_pool pool(4);
  Identities identities(pool, krb5_config_);
  int done = 0;
  auto one = [&]() -> Task<> {
    auto loaded = co_await identities.get(wanted, Millis(0));
    EXPECT_TRUE(loaded);
    ++done;
  };
  for (int i = 0; i < 50; ++i)
    loop_.spawn(one());
  EXPECT_TRUE(loop_.until([&] { return done == 50; }));
  pool.join();
}

} // namespace
} // namespace shim_test
