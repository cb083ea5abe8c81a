#include "tests/unit/auth/support.hpp"

#include <filesystem>

namespace auth_test {
namespace {

TEST(Ticket, FromCredentialsAndBack) {
  const FakeTicket fake{.client = "svc-reports@CORP.TEST",
                        .server = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"};
  const TicketPtr ticket = fake_ticket(fake);
  EXPECT_EQ(ticket->client, fake.client);
  EXPECT_EQ(ticket->server, fake.server);
  EXPECT_EQ(ticket->realm, "CORP.TEST");
  EXPECT_EQ(ticket->etype, 18);
  EXPECT_EQ(ticket->kvno, 3);
  EXPECT_EQ(ticket->starts, fake.starts);
  EXPECT_EQ(ticket->expires, fake.starts + 10h);

  const Context context = value(make_bare_context());
  CredentialsPtr credentials(context.get());
  ASSERT_EQ(unmarshal(context.get(), *ticket, credentials), 0);
  EXPECT_EQ(unparse(context.get(), credentials->server), fake.server);
  EXPECT_EQ(credentials->keyblock.enctype, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
}

TEST(Ticket, PrivateCcacheHoldsItAndNothingElse) {
  const TicketPtr ticket = fake_ticket();
  const Context context = value(make_bare_context());
  std::string name;
  {
    PrivateCcache first(context.get()), second(context.get());
    ASSERT_EQ(make_private_ccache(context.get(), *ticket, first), 0);
    ASSERT_EQ(make_private_ccache(context.get(), *ticket, second), 0);
    name = krb5_cc_get_name(context.get(), first.get());
    EXPECT_NE(name, krb5_cc_get_name(context.get(), second.get()));
    krb5_cc_cursor cursor{};
    ASSERT_EQ(krb5_cc_start_seq_get(context.get(), first.get(), &cursor), 0);
    CredentialsValue entry(context.get());
    EXPECT_EQ(krb5_cc_next_cred(context.get(), first.get(), &cursor, entry.out()), 0);
    EXPECT_EQ(unparse(context.get(), entry.get().server), ticket->server);
    EXPECT_EQ(krb5_cc_next_cred(context.get(), first.get(), &cursor, entry.out()), KRB5_CC_END);
    krb5_cc_end_seq_get(context.get(), first.get(), &cursor);
  }
  PrivateCcache again(context.get());
  ASSERT_EQ(krb5_cc_resolve(context.get(), ("MEMORY:" + name).c_str(), again.out()), 0);
  Principal owner(context.get());
  EXPECT_EQ(krb5_cc_get_principal(context.get(), again.get(), owner.out()), KRB5_FCC_NOFILE)
      << "it is still there";
}

TEST(Ticket, SavedForAnotherProgram) {
  const TicketPtr ticket = fake_ticket();
  auto folder = (std::filesystem::temp_directory_path() / "sqlshim-ticket-XXXXXX").string();
  ASSERT_TRUE(::mkdtemp(folder.data()));
  const auto path = folder + "/ccache";
  ASSERT_TRUE(save_ccache(*ticket, path));
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const Context context = value(make_bare_context());
  OpenCcache ccache(context.get());
  ASSERT_EQ(krb5_cc_resolve(context.get(), ("FILE:" + path).c_str(), ccache.out()), 0);
  krb5_cc_cursor cursor{};
  ASSERT_EQ(krb5_cc_start_seq_get(context.get(), ccache.get(), &cursor), 0);
  CredentialsValue entry(context.get());
  EXPECT_EQ(krb5_cc_next_cred(context.get(), ccache.get(), &cursor, entry.out()), 0);
  EXPECT_EQ(unparse(context.get(), entry.get().server), ticket->server);
  EXPECT_EQ(krb5_cc_next_cred(context.get(), ccache.get(), &cursor, entry.out()), KRB5_CC_END);
  krb5_cc_end_seq_get(context.get(), ccache.get(), &cursor);
  const auto nowhere = save_ccache(*ticket, folder + "/absent/ccache");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().text.find("absent/ccache"), std::string::npos) << nowhere.error().text;
  std::filesystem::remove_all(folder);
}

TEST(Ticket, LeavesNothingBehind) {
  const TicketPtr ticket = fake_ticket();
  EXPECT_LT(left_behind([&] {
              const Context context = value(make_bare_context());
              PrivateCcache ccache(context.get());
              check(make_private_ccache(context.get(), *ticket, ccache), "make_private_ccache");
            }),
            nothing);
}

TEST(Ticket, SpoiledCredentialsAreAnError) {
  const TicketPtr good = fake_ticket();
  const Context context = value(make_bare_context());
  for (std::size_t size = 0; size < good->credentials.size(); ++size) {
    Ticket cut;
    cut.credentials.assign(good->credentials.begin(), good->credentials.begin() + static_cast<long>(size));
    CredentialsPtr credentials(context.get());
    EXPECT_NE(unmarshal(context.get(), cut, credentials), 0) << size;
  }
}

TEST(Ticket, MovesWithoutLeavingSecretsBehind) {
  Ticket from;
  from.server = "a";
  from.etype = 18;
  from.credentials = {1, 2, 3};
  Ticket to;
  to.credentials = {9, 9, 9};
  to = std::move(from);
  EXPECT_EQ(to.server, "a");
  EXPECT_EQ(to.etype, 18);
  EXPECT_EQ(to.credentials, (Bytes{1, 2, 3}));
  EXPECT_TRUE(from.credentials.empty()); // NOLINT(bugprone-use-after-move): that is the question
}

TEST(Ticket, EtypeNames) {
  EXPECT_EQ(etype_name(17), "aes128-cts-hmac-sha1-96");
  EXPECT_EQ(etype_name(18), "aes256-cts-hmac-sha1-96");
  EXPECT_EQ(etype_name(23), "arcfour-hmac");
  EXPECT_EQ(etype_name(9999), "9999");
  EXPECT_EQ(etype_name(-1), "-1");
}

} // namespace
} // namespace auth_test
