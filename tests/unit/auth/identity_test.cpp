#include "auth/identity.hpp"

#include "auth/loaded_identity.hpp"
#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace auth_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class IdentityTest : public testing::Test {
protected:
  Result<std::shared_ptr<const Identity>> load(Source source, const std::string &path,
                                               const std::string &principal) const {
    return load_identity({"reports", source, path, principal}, config_);
  }
  std::shared_ptr<const LoadedIdentity> loaded(Source source, const std::string &path,
                                               const std::string &principal) const {
    return std::dynamic_pointer_cast<const LoadedIdentity>(value(load(source, path, principal)));
  }
  Error error(Source source, const std::string &path, const std::string &principal) const {
    const auto result = load(source, path, principal);
    return result ? make_error(Kind::ok, "no error") : result.error();
  }

  Folder folder_;
  std::string config_ = folder_.write("krb5.conf", plain_config);
};

// --- keytabs ---

int entries(const std::string &keytab, const std::string &principal) {
  const Context context = value(make_bare_context());
  Keytab opened(context.get());
  check(krb5_kt_resolve(context.get(), keytab.c_str(), opened.out()), "kt_resolve");
  krb5_kt_cursor cursor{};
  if (krb5_kt_start_seq_get(context.get(), opened.get(), &cursor)) return 0;
  int count = 0;
  krb5_keytab_entry entry{};
  while (krb5_kt_next_entry(context.get(), opened.get(), &entry, &cursor) == 0) {
    EXPECT_EQ(unparse(context.get(), entry.principal), principal);
    krb5_free_keytab_entry_contents(context.get(), &entry);
    ++count;
  }
  krb5_kt_end_seq_get(context.get(), opened.get(), &cursor);
  return count;
}

TEST_F(IdentityTest, KeytabKeysOfThePrincipalAlone) {
  const std::string path = folder_.file("a.keytab");
  write_keytab(path, {{"svc-reports@CORP.TEST", 1}, {"other@CORP.TEST", 1}, {"svc-reports@CORP.TEST", 2}});
  std::string name;
  {
    const auto identity = loaded(Source::keytab, path, "svc-reports");
    EXPECT_EQ(identity->principal(), "svc-reports@CORP.TEST") << "completed by default_realm";
    EXPECT_EQ(identity->realm(), "CORP.TEST");
    EXPECT_EQ(identity->spec().name, "reports");
    EXPECT_TRUE(identity->password().view().empty());
    EXPECT_EQ(identity->tgt(), nullptr);
    name = identity->keytab();
    EXPECT_THAT(name, testing::StartsWith("MEMORY:"));
    EXPECT_EQ(entries(name, "svc-reports@CORP.TEST"), 2);
    EXPECT_NE(loaded(Source::keytab, path, "svc-reports")->keytab(), name) << "a reload has keys of its own";
    EXPECT_EQ(entries(name, "svc-reports@CORP.TEST"), 2);
  }
  EXPECT_EQ(entries(name, "svc-reports@CORP.TEST"), 0) << "the keys go with the identity";
}

TEST_F(IdentityTest, KeytabWithoutThePrincipal) {
  const std::string path = folder_.file("a.keytab");
  write_keytab(path, {{"one@CORP.TEST"}, {"one@CORP.TEST", 2}});
  const Error one = error(Source::keytab, path, "svc-reports");
  EXPECT_EQ(one.kind, Kind::no_credentials);
  EXPECT_EQ(one.text,
            "keytab " + path + " holds no key of svc-reports@CORP.TEST; it holds only one@CORP.TEST");
  write_keytab(path, {{"p2@CORP.TEST"},
                      {"p3@CORP.TEST"},
                      {"p4@CORP.TEST"},
                      {"p5@CORP.TEST"},
                      {"p6@CORP.TEST"},
                      {"p7@CORP.TEST"}});
  EXPECT_THAT(
      error(Source::keytab, path, "svc-reports").text,
      testing::EndsWith(
          "it holds one@CORP.TEST, p2@CORP.TEST, p3@CORP.TEST, p4@CORP.TEST, p5@CORP.TEST and 2 more"));
  EXPECT_EQ(error(Source::keytab, path, "one@OTHER.TEST").kind, Kind::no_credentials) << "the realm counts";
}

TEST_F(IdentityTest, KeytabErrors) {
  struct {
    std::string path;
    std::string principal;
    Kind kind;
    std::string says;
  } rows[] = {
      {folder_.file("absent"), "svc", Kind::no_credentials,
       "keytab " + folder_.file("absent") + " (read as uid " + std::to_string(geteuid()) + "): "},
      {folder_.write("empty", ""), "svc", Kind::malformed, "empty"},
      {folder_.write("text", "hello, keytab"), "svc", Kind::malformed, "text"},
      {folder_.write("header", std::string("\x05\x02", 2)), "svc", Kind::no_credentials,
       "it holds none at all"},
      {folder_.file(""), "svc", Kind::no_credentials, "keytab"},
      {"NOSUCHTYPE:x", "svc", Kind::no_credentials, "Unknown"},
      {folder_.write("header2", std::string("\x05\x02", 2)), "a@b@c", Kind::malformed, "principal a@b@c"},
      {folder_.file("absent"), "", Kind::no_credentials, "identity reports: a keytab needs a principal"},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.path + " " + row.principal);
    const Error got = error(Source::keytab, row.path, row.principal);
    EXPECT_EQ(to_string(got.kind), to_string(row.kind)) << got.text;
    EXPECT_THAT(got.text, HasSubstr(row.says));
  }
}

TEST_F(IdentityTest, KeytabCutShort) {
  const std::string path = folder_.file("a.keytab");
  write_keytab(path, {{"svc@CORP.TEST"}, {"svc@CORP.TEST", 2}});
  const auto size = fs::file_size(path);
  for (std::uintmax_t cut = 0; cut < size; ++cut) {
    const std::string copy = folder_.file("cut");
    fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    fs::resize_file(copy, cut);
    const LeaksOfLibraries of_entries_that_end_early; // krb5 1.20 forgets their key and realm
    const auto result =
        load(Source::keytab, copy, "svc"); // good with the first key alone, or an error; never a crash
    EXPECT_TRUE(cut >= size / 2 || !result) << cut;
  }
}

// --- ccaches ---

TEST_F(IdentityTest, CcacheWithItsTgt) {
  const std::string path = folder_.file("cc");
  write_ccache(
      path, "alice@CORP.TEST",
      {{.server = "MSSQLSvc/sql1@CORP.TEST"}, {}, {.server = "krbtgt/OTHER.TEST@CORP.TEST", .life = 20h}});
  for (const std::string &name : {path, "FILE:" + path})
    for (const std::string principal : {"", "alice", "alice@CORP.TEST"}) {
      SCOPED_TRACE(name + " " + principal);
      const auto identity = loaded(Source::ccache, name, principal);
      EXPECT_EQ(identity->principal(), "alice@CORP.TEST");
      EXPECT_EQ(identity->realm(), "CORP.TEST");
      ASSERT_TRUE(identity->tgt());
      EXPECT_EQ(identity->tgt()->server, "krbtgt/CORP.TEST@CORP.TEST");
      EXPECT_TRUE(identity->keytab().empty());
    }
}

TEST_F(IdentityTest, CcacheInAFolder) {
  fs::create_directory(folder_.file("dir"));
  const Context context = value(make_bare_context());
  OpenCcache ccache(context.get());
  Principal owner(context.get());
  check(krb5_parse_name(context.get(), "alice@CORP.TEST", owner.out()), "parse_name");
  check(krb5_cc_resolve(context.get(), ("DIR:" + folder_.file("dir")).c_str(), ccache.out()), "cc_resolve");
  check(krb5_cc_initialize(context.get(), ccache.get(), owner.get()), "cc_initialize");
  with_credentials({}, [&](krb5_context, krb5_creds &credentials) {
    check(krb5_cc_store_cred(context.get(), ccache.get(), &credentials), "store");
  });
  EXPECT_EQ(loaded(Source::ccache, "DIR:" + folder_.file("dir"), "")->principal(), "alice@CORP.TEST");
}

TEST_F(IdentityTest, OfSeveralTgtsTheOneThatLastsLongest) {
  const std::string path = folder_.file("cc");
  const FakeTicket now;
  write_ccache(path, "alice@CORP.TEST", {{.life = 1h}, {.starts = now.starts, .life = 9h}, {.life = 2h}});
  EXPECT_EQ(loaded(Source::ccache, path, "")->tgt()->expires, now.starts + 9h);
}

TEST_F(IdentityTest, CcacheErrors) {
  const Time now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const std::string uid = "(read as uid " + std::to_string(geteuid()) + ")";
  write_ccache(folder_.file("over"), "alice@CORP.TEST", {{.starts = now - 11h}});
  write_ccache(folder_.file("bare"), "alice@CORP.TEST", {});
  write_ccache(folder_.file("service"), "alice@CORP.TEST", {{.server = "MSSQLSvc/sql1@CORP.TEST"}});
  write_ccache(folder_.file("good"), "alice@CORP.TEST", {{}});
  struct {
    std::string path;
    std::string principal;
    Kind kind;
    std::string says;
  } rows[] = {
      {folder_.file("absent"), "", Kind::no_credentials,
       "credential cache FILE:" + folder_.file("absent") + " " + uid + ": "},
      {folder_.write("empty", ""), "", Kind::malformed, "empty"},
      {folder_.write("text", "hello, ccache"), "", Kind::malformed, "text"},
      {folder_.file("bare"), "", Kind::no_credentials,
       "bare " + uid + " holds no ticket-granting ticket of alice@CORP.TEST"},
      {folder_.file("service"), "", Kind::no_credentials, "holds no ticket-granting ticket"},
      {folder_.file("over"), "", Kind::ticket_expired,
       "the ticket-granting ticket of alice@CORP.TEST ended at " + utc_text(now - 1h)},
      {folder_.file("good"), "bob", Kind::no_credentials, "belongs to alice@CORP.TEST, not to bob@CORP.TEST"},
      {"NOSUCHTYPE:x", "", Kind::no_credentials,
       "credential cache NOSUCHTYPE:x " + uid + ": Unknown credential cache type"},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.path);
    const Error got = error(Source::ccache, row.path, row.principal);
    EXPECT_EQ(to_string(got.kind), to_string(row.kind)) << got.text;
    EXPECT_THAT(got.text, HasSubstr(row.says));
  }
}

TEST_F(IdentityTest, CcacheCutShort) {
  const std::string path = folder_.file("cc");
  write_ccache(path, "alice@CORP.TEST", {{}});
  const auto size = fs::file_size(path);
  for (std::uintmax_t cut = 0; cut < size; ++cut) {
    const std::string copy = folder_.file("cut");
    fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    fs::resize_file(copy, cut);
    EXPECT_FALSE(load(Source::ccache, copy, "")) << cut;
  }
}

// --- password files ---

TEST_F(IdentityTest, PasswordIsTheFirstLine) {
  const std::pair<std::string, std::string> rows[] = {
      {"secret", "secret"},
      {"secret\n", "secret"},
      {"secret\r\n", "secret"},
      {"secret\nsecond line\n", "secret"},
      {" with spaces \n", " with spaces "},
      {"p\xc3\xa4ss\n", "p\xc3\xa4ss"},
      {std::string(4095, 'x') + "\n", std::string(4095, 'x')},
  };
  for (const auto &[text, password] : rows) {
    const auto identity = loaded(Source::password_file, folder_.write("password", text), "alice");
    EXPECT_EQ(identity->password().view(), password);
    EXPECT_STREQ(identity->password().c_str(), password.c_str());
    EXPECT_EQ(identity->principal(), "alice@CORP.TEST");
  }
}

TEST_F(IdentityTest, PasswordFileErrors) {
  struct {
    std::string path;
    Kind kind;
    std::string says;
  } rows[] = {
      {folder_.file("absent"), Kind::no_credentials,
       "password file " + folder_.file("absent") + " (read as uid " + std::to_string(geteuid()) +
           "): No such file"},
      {folder_.write("empty", ""), Kind::no_credentials, "first line, which shall be the password, is empty"},
      {folder_.write("newline", "\nsecret\n"), Kind::no_credentials, "is empty"},
      {folder_.write("zero", std::string("a\0b\n", 4)), Kind::malformed, "zero byte"},
      {folder_.write("long", std::string(4096, 'x') + "\n"), Kind::malformed, "longer than 4095 bytes"},
      {folder_.file(""), Kind::no_credentials, "Is a directory"},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.path);
    const Error got = error(Source::password_file, row.path, "alice");
    EXPECT_EQ(to_string(got.kind), to_string(row.kind)) << got.text;
    EXPECT_THAT(got.text, AllOf(HasSubstr(row.says), Not(HasSubstr("secret"))));
  }
  EXPECT_EQ(error(Source::password_file, folder_.write("p", "secret"), "").text,
            "identity reports: a password-file needs a principal");
}

// --- the password of a client's login ---

TEST_F(IdentityTest, PasswordThatIsGiven) {
  const auto load = [&](std::string_view password, const std::string &principal = "alice@CORP.TEST") {
    return load_identity({"users", Source::client_password, "", principal}, password, config_);
  };
  const auto identity = std::dynamic_pointer_cast<const LoadedIdentity>(value(load("s3cret")));
  EXPECT_EQ(identity->principal(), "alice@CORP.TEST");
  EXPECT_EQ(identity->realm(), "CORP.TEST");
  EXPECT_EQ(identity->password().view(), "s3cret");
  EXPECT_FALSE(identity->expires());
  EXPECT_EQ(value(load("s3cret"))->fingerprint(), identity->fingerprint());
  EXPECT_NE(value(load("other"))->fingerprint(), identity->fingerprint());
  EXPECT_EQ(value(load(std::string(4095, 'x')))->principal(), "alice@CORP.TEST");

  struct {
    std::string password, principal;
    Kind kind;
    std::string text;
  } rows[] = {
      {"", "alice@CORP.TEST", Kind::no_credentials, "the password of the client's login is empty"},
      {std::string("s\0x", 3), "alice@CORP.TEST", Kind::malformed,
       "the password of the client's login holds a zero byte"},
      {std::string(4096, 's'), "alice@CORP.TEST", Kind::malformed,
       "the password of the client's login is longer than 4095 bytes"},
      {"s", "", Kind::no_credentials, "identity users: a client-password needs a principal"},
  };
  for (const auto &row : rows) {
    const auto got = load(row.password, row.principal);
    ASSERT_FALSE(got);
    EXPECT_EQ(to_string(got.error().kind), to_string(row.kind));
    EXPECT_EQ(got.error().text, row.text);
  }
  EXPECT_EQ(to_string(load("s", "a@b@c").error().kind), "malformed");
  EXPECT_EQ(error(Source::client_password, "", "alice").text, "identity reports: no password was given");
}

// --- the ccache of another user ---

class CallerCcache : public IdentityTest {
protected:
  Result<std::shared_ptr<const Identity>> load_of(const std::string &path, uid_t owner = geteuid()) const {
    return load_identity({"users", Source::caller_ccache, path, "", owner}, config_);
  }
  std::string refusal(const std::string &path, uid_t owner = geteuid()) const {
    const auto result = load_of(path, owner);
    if (result) return "loaded";
    EXPECT_EQ(to_string(result.error().kind), "no-credentials");
    return result.error().text;
  }
  std::string good(const std::string &name) const {
    write_ccache(folder_.file(name), "alice@CORP.TEST", {{}});
    return folder_.file(name);
  }
};

TEST_F(CallerCcache, IsTaken) {
  const auto path = good("cc");
  for (const std::string &name : {path, "FILE:" + path}) {
    const auto identity = std::dynamic_pointer_cast<const LoadedIdentity>(value(load_of(name)));
    EXPECT_EQ(identity->principal(), "alice@CORP.TEST");
    ASSERT_TRUE(identity->tgt());
    EXPECT_EQ(identity->tgt()->server, "krbtgt/CORP.TEST@CORP.TEST");
    EXPECT_EQ(identity->fingerprint(), loaded(Source::ccache, path, "")->fingerprint());
    EXPECT_EQ(identity->spec().path, name);
  }
  ASSERT_EQ(chmod(path.c_str(), 0400), 0);
  EXPECT_TRUE(load_of(path));
}

TEST_F(CallerCcache, IsRefusedWhereItCouldBePlanted) {
  const auto said = [&](const std::string &path, const std::string &why) {
    return AllOf(
        HasSubstr("the caller's credential cache " + path + " (read as uid " + std::to_string(geteuid())),
        HasSubstr(why));
  };
  const auto path = good("cc");
  fs::create_symlink(path, folder_.file("symlink"));
  EXPECT_THAT(refusal(folder_.file("symlink")), said(folder_.file("symlink"), "it is a symbolic link"));
  EXPECT_THAT(refusal("FILE:" + folder_.file("symlink")),
              said(folder_.file("symlink"), "it is a symbolic link"));

  EXPECT_THAT(refusal(path, geteuid() + 1), said(path, "it belongs to uid " + std::to_string(geteuid()) +
                                                           ", not to uid " + std::to_string(geteuid() + 1)));
  for (const mode_t mode : {0604u, 0602u, 0640u, 0620u, 0610u, 0601u}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    EXPECT_THAT(refusal(path), said(path, "others than its owner may use it; run chmod 0600")) << mode;
  }
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);

  fs::create_hard_link(path, folder_.file("link"));
  EXPECT_THAT(refusal(path), said(path, "it has 2 links, and must have one"));
  fs::remove(folder_.file("link"));
  EXPECT_EQ(refusal(path), "loaded");

  ASSERT_EQ(mkfifo(folder_.file("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refusal(folder_.file("fifo")), said(folder_.file("fifo"), "it is no regular file"))
      << "and nobody waits for its other end";
  fs::create_directory(folder_.file("folder"));
  fs::permissions(folder_.file("folder"), fs::perms::owner_all);
  EXPECT_THAT(refusal(folder_.file("folder")), said(folder_.file("folder"), "it is no regular file"));
  EXPECT_THAT(refusal(folder_.file("absent")), said(folder_.file("absent"), "No such file"));
}

TEST_F(CallerCcache, IsOfABoundedSize) {
  const auto path = good("cc");
  fs::resize_file(path, largest_ccache + 1);
  EXPECT_THAT(refusal(path), HasSubstr("it is larger than 1048576 bytes"));
  fs::resize_file(path, largest_ccache);
  const auto full = load_of(path); // whatever libkrb5 makes of the zeros
  EXPECT_THAT(full ? "" : full.error().text, Not(HasSubstr("larger")));
}

TEST_F(CallerCcache, OfAnotherUserAsRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  const auto path = good("cc");
  ASSERT_EQ(chown(path.c_str(), 4242, 4242), 0);
  EXPECT_THAT(refusal(path, 0), HasSubstr("it belongs to uid 4242, not to uid 0"));
  EXPECT_EQ(value(load_of(path, 4242))->principal(), "alice@CORP.TEST");
}

TEST_F(CallerCcache, WhatItHoldsIsToldByItsOwnName) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  write_ccache(folder_.file("bare"), "alice@CORP.TEST", {});
  write_ccache(folder_.file("over"), "alice@CORP.TEST", {{.starts = now - 11h}});
  folder_.write("text", "hello, ccache");
  folder_.write("empty", "");
  for (const char *name : {"text", "empty"})
    ASSERT_EQ(chmod(folder_.file(name).c_str(), 0600), 0);
  for (const auto &[name, kind] :
       {std::pair{"bare", Kind::no_credentials}, std::pair{"over", Kind::ticket_expired},
        std::pair{"text", Kind::malformed}, std::pair{"empty", Kind::malformed}}) {
    const auto got = load_of(folder_.file(name));
    ASSERT_FALSE(got) << name;
    EXPECT_EQ(to_string(got.error().kind), to_string(kind)) << got.error().text;
    EXPECT_THAT(got.error().text, AllOf(HasSubstr(folder_.file(name)), Not(HasSubstr("/proc/"))));
  }
}

TEST_F(CallerCcache, LeavesNoDescriptorBehind) {
  const auto path = good("cc");
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  value(load_of(path));
  const auto before = open_files();
  value(load_of(path));
  load_of(path, 1);
  load_of(folder_.file("absent"));
  EXPECT_EQ(open_files(), before);
}

// --- all of them ---

TEST_F(IdentityTest, UnreadableFiles) {
  fs::permissions(folder_.file(""), fs::perms::all);
  write_keytab(folder_.file("keytab"), {{"alice@CORP.TEST"}});
  write_ccache(folder_.file("ccache"), "alice@CORP.TEST", {{}});
  folder_.write("password", "secret");
  for (const auto &[source, name] : {std::pair{Source::keytab, "keytab"}, std::pair{Source::ccache, "ccache"},
                                     std::pair{Source::password_file, "password"}}) {
    ASSERT_EQ(chmod(folder_.file(name).c_str(), 0), 0);
    const uid_t self = geteuid(); // root reads everything, so it becomes nobody for the time of the reading
    if (self == 0) {
      ASSERT_EQ(seteuid(65534), 0);
    }
    const Error got = error(source, folder_.file(name), "alice");
    if (self == 0) {
      ASSERT_EQ(seteuid(0), 0);
    }
    EXPECT_EQ(to_string(got.kind), "no-credentials") << name;
    EXPECT_THAT(got.text, AllOf(HasSubstr(folder_.file(name)), HasSubstr("ermission")));
  }
}

TEST_F(IdentityTest, NoRealmToCompleteANameWith) {
  config_ = folder_.write("no-realm.conf", "");
  const Error got = error(Source::password_file, folder_.write("password", "secret"), "alice");
  EXPECT_EQ(to_string(got.kind), "realm-unknown");
  EXPECT_THAT(got.text, HasSubstr("principal alice: "));
  EXPECT_EQ(loaded(Source::password_file, folder_.file("password"), "alice@CORP.TEST")->realm(), "CORP.TEST");
}

TEST_F(IdentityTest, WithoutKrb5Conf) {
  config_ = folder_.file("absent.conf");
  EXPECT_EQ(error(Source::password_file, folder_.write("password", "secret"), "alice@CORP.TEST").kind,
            Kind::malformed);
}

TEST_F(IdentityTest, LeavesNothingBehind) {
  write_keytab(folder_.file("keytab"), {{"alice@CORP.TEST"}});
  write_ccache(folder_.file("ccache"), "alice@CORP.TEST", {{}});
  EXPECT_LT(left_behind([&] {
              loaded(Source::keytab, folder_.file("keytab"), "alice");
              loaded(Source::ccache, folder_.file("ccache"), "");
              EXPECT_FALSE(load(Source::keytab, folder_.file("keytab"), "bob"));
            }),
            nothing);
}

TEST_F(IdentityTest, Spellings) {
  EXPECT_EQ(to_string(Source::keytab), "keytab");
  EXPECT_EQ(to_string(Source::ccache), "ccache");
  EXPECT_EQ(to_string(Source::password_file), "password-file");
  EXPECT_EQ(to_string(Source::client_password), "client-password");
  EXPECT_EQ(to_string(Source::caller_ccache), "caller-ccache");
}

} // namespace
} // namespace auth_test
