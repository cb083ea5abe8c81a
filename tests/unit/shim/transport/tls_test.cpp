#include "shim/transport/tls.hpp"

#include "tests/unit/shim/transport/tls_support.hpp"

#include <openssl/err.h>

namespace shim_test {
namespace {

using testing::HasSubstr;

TEST(Tls, FilesThatAreNone) {
  Folder folder;
  const auto &good = standard().server;
  const auto other = test_support::write(test_support::self_signed({}), folder.path(), "other");
  const auto noise = folder.path() / "noise";
  std::ofstream(noise) << "-----BEGIN CERTIFICATE-----\nnoise\n-----END CERTIFICATE-----\n";
  const auto missing = folder.path() / "missing";
  struct Row {
    fs::path certificate, key, complaint_about;
  };
  for (const auto &row :
       {Row{missing, good.key, missing}, Row{good.certificate, missing, missing}, Row{noise, good.key, noise},
        Row{good.certificate, noise, noise}, Row{good.certificate, other.key, other.key}}) {
    const auto made = make_accepting_tls({row.certificate, row.key});
    ASSERT_FALSE(made) << row.certificate << row.key;
    EXPECT_THAT(made.error(), HasSubstr(row.complaint_about.string() + ": "));
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
  for (const auto &file : {missing, noise}) {
    const auto made = make_connecting_tls({file, true, false});
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error(), HasSubstr(file.string() + ": "));
  }
  EXPECT_THAT(make_accepting_tls({missing, missing}).error(), HasSubstr("No such file"));
}

TEST(Tls, AKeyWithAPasswordIsAnErrorAndNoQuestion) {
  Folder folder;
  // The same form as `openssl genpkey -aes256`.
  const auto file = folder.path() / "locked.key";
  std::ofstream(file) << "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                         "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
                         "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAAAAAAAAAAAAAAAAAAAAAAEQAAA\n"
                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                         "AAAAAAAAAAAAAAAAAAAAAAAAAA==\n"
                         "-----END ENCRYPTED PRIVATE KEY-----\n";
  const auto made = make_accepting_tls({standard().server.certificate, file});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error(), HasSubstr(file.string() + ": "));
}

TEST(Tls, AWeakCertificateOfOurOwnIsRefusedAtTheStart) {
  Folder folder;
  CertificateWish wish;
  wish.rsa_bits = 1024;
  const auto weak = test_support::write(test_support::self_signed(wish), folder.path(), "weak");
  const auto made = make_accepting_tls({weak.certificate, weak.key});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error(), HasSubstr("key too small"));
}

TEST(Tls, WithoutVerificationNoIssuerIsRead) {
  EXPECT_TRUE(make_connecting_tls({"/nonexistent/ca.pem", false, false}));
}

} // namespace
} // namespace shim_test
