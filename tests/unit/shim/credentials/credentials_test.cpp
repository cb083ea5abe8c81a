#include "shim/credentials/credentials.hpp"

#include <gmock/gmock.h>

namespace shim_test {
namespace {

using namespace shim;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// --- the client's user ---

tds::Login7 login_of(std::u16string user, bool password = true) {
  tds::Login7 login;
  login.user_name = std::move(user);
  if (password) login.password = tds::Secret(tds::Bytes{'s', 0, '3', 0});
  return login;
}
const std::map<std::string, std::string> domains{{"CORP", "CORP.TEST"}};

TEST(ClientAccount, IsAPrincipal) {
  const std::pair<std::u16string, std::string> rows[] = {{u"alice@CORP.TEST", "alice@CORP.TEST"},
                                                         {u"CORP\\alice", "alice@CORP.TEST"},
                                                         {u"corp\\alice", "alice@CORP.TEST"},
                                                         {u"alice@elsewhere.test", "alice@elsewhere.test"},
                                                         {u"j\u00f6rg@CORP.TEST", "j\xC3\xB6rg@CORP.TEST"}};
  for (const auto &[typed, principal] : rows) {
    const auto found = client_account(login_of(typed), domains);
    ASSERT_TRUE(found) << found.error();
    EXPECT_EQ(found->principal, principal);
    EXPECT_EQ(found->account, tds::to_utf8(typed));
  }
}

TEST(ClientAccount, OrTheLoginSaysWhatItLacks) {
  auto integrated = login_of(u"alice@CORP.TEST");
  integrated.option_flags2 |= tds::option2_integrated_security;
  const struct {
    tds::Login7 login;
    const char *says;
  } rows[] = {
      {std::move(integrated), "the application sent no user and password (it asks for integrated login)"},
      {login_of(u""), "the application sent no user and password, and"},
      {login_of(u"alice@CORP.TEST", false), "an empty password for alice@CORP.TEST"},
      {login_of(u"sa"), "\"sa\" has no realm; let it log in as user@REALM or DOMAIN\\user"},
      {login_of(u"OTHER\\alice"), "OTHER = \"REALM\" below [domains]"},
      {login_of(u"@CORP.TEST"), "is no account of Kerberos; let it log in as"},
      {login_of(u"al ice@CORP.TEST"), "is no account of Kerberos"},
      {login_of(u"CORP\\"), "is no account of Kerberos"},
      {login_of(u"corp.test\\alice"), "is no account of Kerberos"},
      {login_of(u"CORP\\alice@CORP.TEST"), "is no account of Kerberos"},
  };
  for (const auto &row : rows) {
    const auto found = client_account(row.login, domains);
    ASSERT_FALSE(found) << row.says;
    EXPECT_THAT(found.error(), AllOf(HasSubstr(row.says), Not(HasSubstr("s3"))));
  }
}

// --- the caller's ccache ---

config::Identity of_callers(std::string source) {
  config::Identity identity;
  identity.name = "users";
  identity.kind = config::IdentityKind::caller;
  identity.source = std::move(source);
  return identity;
}

TEST(CallerCcache, BelongsToTheCaller) {
  for (const auto &[source, path] :
       {std::pair<std::string, std::string>{"/tmp/krb5cc_%{uid}", "/tmp/krb5cc_1000"},
        {"FILE:/run/user/%{uid}/cc_%{uid}", "FILE:/run/user/1000/cc_1000"}}) {
    const auto spec = caller_ccache(of_callers(source), 1000, 0);
    ASSERT_TRUE(spec) << spec.error();
    EXPECT_EQ(spec->path, path);
    EXPECT_EQ(spec->source, auth::Source::caller_ccache);
    EXPECT_EQ(spec->owner, 1000u);
    EXPECT_EQ(spec->name, "users");
    EXPECT_EQ(spec->principal, "");
  }
}

TEST(CallerCcache, WhatIsNoFileOpensForItsUserAlone) {
  for (const std::string source : {"KCM:", "KEYRING:persistent:%{uid}", "DIR:/run/user/%{uid}/cc"}) {
    const auto own = caller_ccache(of_callers(source), 1000, 1000);
    ASSERT_TRUE(own) << own.error();
    EXPECT_EQ(own->source, auth::Source::ccache);
    const auto other = caller_ccache(of_callers(source), 1000, 0);
    ASSERT_FALSE(other) << source;
    EXPECT_THAT(other.error(), HasSubstr("the caller is uid 1000, not uid 0"));
  }
}

} // namespace
} // namespace shim_test
