#include "shim/login/rewrite.hpp"

#include <gmock/gmock.h>

namespace shim_test {
namespace {

using namespace shim;
using config::Encrypt;
using config::Mechanism;

tds::Secret secret(std::string_view text) {
  return tds::Secret(tds::ByteView(reinterpret_cast<const std::uint8_t *>(text.data()), text.size()));
}
tds::Bytes revealed(const tds::Secret &secret) { return {secret.reveal().begin(), secret.reveal().end()}; }

const tds::Bytes spnego_token{0x60, 0x0a, 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02, 0xa0, 0x00};

/// Every field differs from its default, and from every other.
tds::Login7 asked_login() {
  tds::Login7 login;
  login.tds_version = tds::tds_7_3;
  login.packet_size = 8000;
  login.client_prog_ver = 0x07000001;
  login.client_pid = 4711;
  login.connection_id = 42;
  login.option_flags1 = 0xe0;
  login.option_flags2 = tds::option2_odbc | 0x01;
  login.type_flags = tds::type_read_only_intent | 0x01;
  login.option_flags3 = tds::option3_change_password | tds::option3_extension | 0x08;
  login.client_time_zone = -120;
  login.client_lcid = 0x00000409;
  login.host_name = u"pc7";
  login.user_name = u"sa";
  login.password = secret("s3cret");
  login.app_name = u"Excel";
  login.server_name = u"127.0.0.1,14330";
  login.clt_int_name = u"ODBC";
  login.language = u"Deutsch";
  login.database = u"sales";
  login.client_id = {1, 2, 3, 4, 5, 6};
  login.sspi = spnego_token;
  login.attach_db_file = u"C:\\x.mdf";
  login.change_password = secret("n3w");
  login.has_extension = true;
  login.features = {{tds::FeatureId::utf8_support, {1}}, {static_cast<tds::FeatureId>(0x77), {1, 2, 3}}};
  return login;
}

/// Everything that says nothing of how the client authenticates itself.
void expect_rest_unchanged(const tds::Login7 &login, const tds::Login7 &asked) {
  EXPECT_EQ(login.packet_size, asked.packet_size);
  EXPECT_EQ(login.client_prog_ver, asked.client_prog_ver);
  EXPECT_EQ(login.client_pid, asked.client_pid);
  EXPECT_EQ(login.connection_id, asked.connection_id);
  EXPECT_EQ(login.option_flags1, asked.option_flags1);
  EXPECT_EQ(login.option_flags2 & ~tds::option2_integrated_security,
            asked.option_flags2 & ~tds::option2_integrated_security);
  EXPECT_EQ(login.type_flags, asked.type_flags);
  EXPECT_EQ(login.option_flags3 & ~tds::option3_change_password,
            asked.option_flags3 & ~tds::option3_change_password);
  EXPECT_EQ(login.client_time_zone, asked.client_time_zone);
  EXPECT_EQ(login.client_lcid, asked.client_lcid);
  EXPECT_EQ(login.host_name, asked.host_name);
  EXPECT_EQ(login.app_name, asked.app_name);
  EXPECT_EQ(login.server_name, asked.server_name);
  EXPECT_EQ(login.clt_int_name, asked.clt_int_name);
  EXPECT_EQ(login.language, asked.language);
  EXPECT_EQ(login.database, asked.database);
  EXPECT_EQ(login.client_id, asked.client_id);
  EXPECT_EQ(login.attach_db_file, asked.attach_db_file);
  EXPECT_EQ(login.has_extension, asked.has_extension);
  EXPECT_EQ(login.features, asked.features);
}

TEST(Rewrite, KerberosAndNtlmChangeAuthenticationOnly) {
  for (const auto kind : {Mechanism::kerberos, Mechanism::ntlm}) {
    const auto asked = asked_login();
    const auto login = rewrite(asked, kind, Encrypt::require);
    expect_rest_unchanged(login, asked);
    EXPECT_EQ(login.tds_version, asked.tds_version);
    EXPECT_TRUE(login.integrated_security());
    EXPECT_EQ(login.option_flags3 & tds::option3_change_password, 0);
    EXPECT_TRUE(login.user_name.empty());
    EXPECT_TRUE(login.password.empty());
    EXPECT_TRUE(login.change_password.empty());
    EXPECT_TRUE(login.sspi.empty());
  }
}

TEST(Rewrite, PasswordsGoOnAsTheyCame) {
  const auto asked = asked_login();
  const auto login = rewrite(asked, Mechanism::sql, Encrypt::require);
  expect_rest_unchanged(login, asked);
  EXPECT_EQ(login.tds_version, asked.tds_version);
  EXPECT_EQ(login.option_flags2, asked.option_flags2);
  EXPECT_EQ(login.option_flags3, asked.option_flags3);
  EXPECT_EQ(login.user_name, asked.user_name);
  EXPECT_EQ(revealed(login.password), revealed(asked.password));
  EXPECT_EQ(revealed(login.change_password), revealed(asked.change_password));
}

TEST(Rewrite, ClientsOwnTokenNeverGoesToTheServer) {
  for (auto kind : {Mechanism::kerberos, Mechanism::sql})
    EXPECT_TRUE(rewrite(asked_login(), kind, Encrypt::require).sspi.empty());
}

TEST(Rewrite, AskedLoginIsLeftAlone) {
  const auto asked = asked_login();
  (void)rewrite(asked, Mechanism::kerberos, Encrypt::require);
  EXPECT_EQ(asked.sspi, spnego_token);
  EXPECT_EQ(revealed(asked.password), revealed(asked_login().password)) << "a second attempt may need it";
}

TEST(Rewrite, StrictVersionBecomesOneThatTheServerLegSpeaks) {
  const struct {
    tds::Version asked, sent;
  } rows[] = {{tds::tds_8_0, tds::tds_7_4},
              {tds::tds_7_4, tds::tds_7_4},
              {tds::tds_7_2, tds::tds_7_2},
              {tds::tds_7_1, tds::tds_7_1},
              {tds::tds_7_0, tds::tds_7_0}};
  for (const auto &row : rows)
    for (auto kind : {Mechanism::kerberos, Mechanism::sql}) {
      auto asked = asked_login();
      asked.tds_version = row.asked;
      for (auto encrypt : {Encrypt::off, Encrypt::login, Encrypt::require})
        EXPECT_EQ(rewrite(asked, kind, encrypt).tds_version, row.sent) << row.asked.text();
      EXPECT_EQ(rewrite(asked, kind, Encrypt::strict).tds_version, row.asked)
          << "a strict server leg speaks what the client speaks: the results are relayed";
    }
}

// --- the PRELOGIN of the server leg ---

tds::LoginRequest request_with(std::optional<tds::Prelogin> prelogin) {
  return {std::move(prelogin), {}, {}};
}

TEST(ServerPrelogin, CarriesMarsAndTraceid) {
  const tds::Bytes trace(36, 0x5a);
  for (bool mars : {false, true}) {
    tds::Prelogin asked;
    asked.set_version({9, 8, 7, 6});
    asked.set_encryption(tds::Encryption::req);
    asked.set_mars(mars);
    asked.set(tds::PreloginToken::traceid, trace);
    asked.set(tds::PreloginToken::nonce, tds::Bytes(32, 1));
    asked.set(tds::PreloginToken::fedauthrequired, {1});
    const auto prelogin = server_prelogin(request_with(asked), *auth::parse_target("sql1"));
    EXPECT_EQ(prelogin.mars(), mars);
    ASSERT_TRUE(prelogin.find(tds::PreloginToken::traceid));
    EXPECT_EQ(prelogin.find(tds::PreloginToken::traceid)->data, trace);
    EXPECT_EQ(prelogin.encryption(), tds::Encryption::not_sup) << "of our own";
    EXPECT_EQ(prelogin.version(), (tds::ServerVersion{16, 0, 0, 0})) << "of our own";
    EXPECT_FALSE(prelogin.has(tds::PreloginToken::nonce));
    EXPECT_FALSE(prelogin.has(tds::PreloginToken::fedauthrequired));
    EXPECT_TRUE(tds::decode_prelogin(tds::encode_prelogin(prelogin))) << "VERSION stands first";
  }
}

TEST(ServerPrelogin, WithoutAPreloginOfTheClient) {
  const auto prelogin = server_prelogin(request_with({}), *auth::parse_target("sql1"));
  EXPECT_FALSE(prelogin.mars());
  EXPECT_FALSE(prelogin.has(tds::PreloginToken::traceid));
  EXPECT_EQ(prelogin.encryption(), tds::Encryption::not_sup);
}

TEST(ServerPrelogin, InstanceIsTheTargets) {
  const auto instance = [](const char *typed) {
    return server_prelogin(request_with({}), *auth::parse_target(typed))
        .find(tds::PreloginToken::instopt)
        ->data;
  };
  EXPECT_EQ(instance("sql1\\INST,1433"), (tds::Bytes{'I', 'N', 'S', 'T', 0}));
  EXPECT_EQ(instance("sql1"), (tds::Bytes{0}));
}

// --- what is ignored, in words ---

TEST(IgnoredCredentials, Words) {
  const auto nothing = tds::Login7{};
  EXPECT_EQ(ignored_credentials(nothing, Mechanism::kerberos), "");

  tds::Login7 login;
  login.user_name = u"sa";
  EXPECT_EQ(ignored_credentials(login, Mechanism::kerberos), "user and password") << "even an empty password";
  login = {};
  login.password = secret("s3cret");
  EXPECT_EQ(ignored_credentials(login, Mechanism::kerberos), "user and password");
  login = {};
  login.change_password = secret("n3w");
  EXPECT_EQ(ignored_credentials(login, Mechanism::kerberos), "new password");
  login = {};
  login.sspi = spnego_token;
  EXPECT_EQ(ignored_credentials(login, Mechanism::kerberos), "spnego token (12 bytes)");

  const auto all = ignored_credentials(asked_login(), Mechanism::kerberos);
  EXPECT_EQ(all, "user and password, new password, spnego token (12 bytes)");
  EXPECT_THAT(all, testing::Not(testing::HasSubstr("s3cret")));
}

TEST(IgnoredCredentials, WhatTheIdentityIsMadeOfIsNotIgnored) {
  EXPECT_EQ(ignored_credentials(asked_login(), Mechanism::kerberos, true),
            "new password, spnego token (12 bytes)");
  config::Identity identity;
  EXPECT_FALSE(takes_clients_password(nullptr));
  EXPECT_FALSE(takes_clients_password(&identity));
  identity.kind = config::IdentityKind::client;
  EXPECT_TRUE(takes_clients_password(&identity));
}

TEST(IgnoredCredentials, PasswordsThatGoOnAreNotIgnored) {
  EXPECT_EQ(ignored_credentials(asked_login(), Mechanism::sql), "spnego token (12 bytes)");
  auto login = asked_login();
  login.sspi.clear();
  EXPECT_EQ(ignored_credentials(login, Mechanism::sql), "");
}

tds::Bytes reply_with(std::vector<std::u16string> partners) {
  std::vector<tds::Token> tokens{tds::LoginAck{1, tds::tds_7_4, u"Microsoft SQL Server", {16, 0, 3, 232}}};
  for (const auto &partner : partners) {
    tds::Writer data;
    data.u8(static_cast<std::uint8_t>(partner.size()));
    data.utf16(partner);
    data.u8(0);
    tokens.push_back(tds::EnvChange{tds::EnvChangeType::mirroring_partner, std::move(data).bytes()});
  }
  tokens.push_back(tds::EnvChange{tds::EnvChangeType::database, {1, 'x', 0, 0}});
  tokens.push_back(tds::Done{});
  return tds::encode_tokens(tokens, tds::tds_7_4);
}

TEST(MapPartners, TheClientComesBackToUs) {
  const auto map = map_partners(reply_with({u"SQL2"}), tds::tds_7_4, "127.0.0.1,14330");
  EXPECT_EQ(map.tokens, reply_with({u"127.0.0.1,14330"}));
  EXPECT_THAT(map.partners, testing::ElementsAre("SQL2"));
}

TEST(MapPartners, NoAddressNoPartner) {
  const auto map = map_partners(reply_with({u"SQL2", u"SQL3"}), tds::tds_7_4, "");
  EXPECT_EQ(map.tokens, reply_with({}));
  EXPECT_THAT(map.partners, testing::ElementsAre("SQL2", "SQL3"));
}

TEST(MapPartners, WhatNamesNoneStaysAsItIs) {
  const auto reply = reply_with({});
  const auto map = map_partners(reply, tds::tds_7_4, "127.0.0.1,14330");
  EXPECT_EQ(map.tokens, reply);
  EXPECT_THAT(map.partners, testing::IsEmpty());
}

TEST(MapPartners, CutAnywhereItStaysReadableUpToThere) {
  const auto reply = reply_with({u"SQL2"}), mapped = reply_with({u"x"});
  for (std::size_t size = 0; size < reply.size(); ++size) {
    const auto map = map_partners(tds::ByteView(reply).first(size), tds::tds_7_4, "x");
    const auto kept =
        map.partners.empty()
            ? tds::Bytes(reply.begin(), reply.begin() + static_cast<std::ptrdiff_t>(size))
            : tds::Bytes(mapped.begin(), mapped.end() - static_cast<std::ptrdiff_t>(reply.size() - size));
    EXPECT_EQ(map.tokens, kept) << size;
  }
}

TEST(MapPartners, APartnerWithoutANameIsReplacedToo) {
  tds::Bytes reply = tds::encode_tokens({tds::EnvChange{tds::EnvChangeType::mirroring_partner, {}},
                                         tds::EnvChange{tds::EnvChangeType::mirroring_partner, {200, 'x'}}},
                                        tds::tds_7_4);
  const auto map = map_partners(reply, tds::tds_7_4, "");
  EXPECT_THAT(map.tokens, testing::IsEmpty());
  EXPECT_EQ(map.partners.size(), 2u);
}

} // namespace
} // namespace shim_test
