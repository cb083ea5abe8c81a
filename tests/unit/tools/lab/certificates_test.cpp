// The lab's certificates, judged by the openssl program.
#include "tools/lab/certificates.hpp"
#include "tools/lab/process.hpp"

#include <gmock/gmock.h>

namespace lab {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Certificates : public ::testing::Test {
protected:
  Certificates() { write_file(folder.path() / "ca.pem", authority.pem()); }

  /// What `openssl verify` says of a certificate for a host: 0 where it is good.
  Finished verify(const Certificate &certificate, const std::string &host = "sql1.corp.test") {
    certificate.write(folder.path() / "leaf.pem", folder.path() / "leaf.key");
    return run({.argv = {"openssl", "verify", "-CAfile", folder.path() / "ca.pem", "-auth_level", "2",
                         "-purpose", "sslserver", "-verify_hostname", host, folder.path() / "leaf.pem"}});
  }

  TemporaryFolder folder;
  Certificate authority = make_authority("Test authority");
};

TEST_F(Certificates, an_issued_one_is_good_for_its_names_alone) {
  const auto made = issue(authority, {.names = {"sql1.corp.test", "sqlalias.corp.test", "127.1.2.3"}});
  for (const auto *name : {"sql1.corp.test", "sqlalias.corp.test"}) {
    const auto done = verify(made, name);
    EXPECT_EQ(done.status, 0) << done.output;
  }
  EXPECT_THAT(verify(made, "sql2.corp.test").output, HasSubstr("ostname mismatch"));
  const auto address = run({.argv = {"openssl", "verify", "-CAfile", folder.path() / "ca.pem", "-verify_ip",
                                     "127.1.2.3", folder.path() / "leaf.pem"}});
  EXPECT_EQ(address.status, 0) << address.output;
}

TEST_F(Certificates, each_fault_is_the_one_that_was_wished_for) {
  const CertificateWish wish{.names = {"sql1.corp.test"}};
  EXPECT_THAT(verify(issue(make_authority("Another"), wish)).output, HasSubstr("unable to get local issuer"));
  EXPECT_THAT(verify(issue(authority, {.names = wish.names, .valid_from = -48h, .valid_to = -24h})).output,
              HasSubstr("has expired"));
  EXPECT_THAT(verify(self_signed(wish)).output, HasSubstr("self-signed certificate"));
  EXPECT_THAT(verify(issue(authority, {.names = wish.names, .rsa_bits = 1024})).output, HasSubstr("key too"));
}

TEST_F(Certificates, the_key_is_its_owners_alone) {
  const auto key = folder.path() / "a.key";
  issue(authority, {.names = {"sql1.corp.test"}}).write(folder.path() / "a.pem", key);
  EXPECT_EQ(fs::status(key).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_THAT(read_file(key), HasSubstr("PRIVATE KEY"));
}

TEST_F(Certificates, one_without_a_name_is_refused) { EXPECT_THROW(issue(authority, {}), LabError); }

} // namespace
} // namespace lab
