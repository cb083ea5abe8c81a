#include "shim/transport/certificate.hpp"

#include "shim/transport/tls.hpp"
#include "tests/unit/shim/transport/tls_support.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace shim_test {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

std::string content(const fs::path &file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}
mode_t mode_of(const fs::path &file) {
  struct stat status {};
  EXPECT_EQ(::lstat(file.c_str(), &status), 0) << file;
  return status.st_mode & 07777;
}
struct Parsed {
  std::unique_ptr<X509, decltype(&X509_free)> certificate{nullptr, X509_free};
  explicit Parsed(const fs::path &file) {
    const auto text = content(file);
    std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
                                                  BIO_free);
    certificate.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  }
};

class OwnCertificateTest : public testing::Test {
protected:
  Folder folder_;
  fs::path state_ = folder_.path() / "state";
};

TEST_F(OwnCertificateTest, MadeOnceAndKept) {
  const auto first = own_certificate(state_);
  ASSERT_TRUE(first) << first.error();
  EXPECT_TRUE(first->made);
  EXPECT_EQ(first->reason, "there was none");
  EXPECT_THAT(first->fingerprint, MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(first->fingerprint.size(), 64u);
  EXPECT_EQ(mode_of(state_), 0700u);
  for (const auto &entry : fs::directory_iterator(state_))
    EXPECT_EQ(mode_of(entry.path()), 0600u) << entry.path();
  const auto key = content(first->key), certificate = content(first->certificate);

  const auto second = own_certificate(state_);
  ASSERT_TRUE(second) << second.error();
  EXPECT_FALSE(second->made);
  EXPECT_EQ(second->reason, "");
  EXPECT_EQ(second->fingerprint, first->fingerprint);
  EXPECT_EQ(content(second->key), key);
  EXPECT_EQ(content(second->certificate), certificate);
}

TEST_F(OwnCertificateTest, WhatItSays) {
  const auto own = own_certificate(state_);
  ASSERT_TRUE(own) << own.error();
  const Parsed parsed(own->certificate);
  auto *certificate = parsed.certificate.get();
  ASSERT_TRUE(certificate);
  char host[256]{};
  ::gethostname(host, sizeof host - 1);
  for (const char *name : {"localhost", static_cast<const char *>(host)})
    EXPECT_EQ(X509_check_host(certificate, name, 0, 0, nullptr), 1) << name;
  for (const char *address : {"127.0.0.1", "::1"})
    EXPECT_EQ(X509_check_ip_asc(certificate, address, 0), 1) << address;
  EXPECT_EQ(X509_check_host(certificate, "other.test", 0, 0, nullptr), 0);
  EXPECT_EQ(EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)), EVP_PKEY_RSA);
  EXPECT_EQ(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)), 2048);
  EXPECT_EQ(X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0), 1);
  EXPECT_EQ(X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0), 0);
  EXPECT_EQ(X509_check_ca(certificate), 0);
  int days = 0, seconds = 0;
  ASSERT_EQ(ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate)), 1);
  EXPECT_THAT(days, testing::AllOf(testing::Gt(3640), testing::Lt(3660)));
  EXPECT_LT(X509_cmp_current_time(X509_get0_notBefore(certificate)), 0);
}

TEST_F(OwnCertificateTest, ServesBothFramings) {
  const auto own = own_certificate(state_);
  ASSERT_TRUE(own) << own.error();
  auto accept = make_accepting_tls({own->certificate, own->key});
  auto connect = make_connecting_tls({own->certificate, true, false});
  ASSERT_TRUE(accept && connect);
  Loop loop;
  for (bool prelogin : {true, false})
    for (const char *name : {"localhost", "127.0.0.1"}) {
      auto [client, server] = stream_pair(loop.executor());
      auto [connected, accepted] = loop.run(
          shake_hands(client, server, connecting(prelogin, *connect, {name}), accepting(prelogin, *accept)));
      EXPECT_TRUE(connected && connected->verified) << text_of(connected);
    }
}

TEST_F(OwnCertificateTest, MadeAgain) {
  struct Row {
    const char *reason;
    std::function<void(const OwnCertificate &)> spoil;
  };
  CertificateWish expired;
  expired.valid_until = -60s;
  const auto put = [](const MadeCertificate &made, const OwnCertificate &own) {
    std::ofstream(own.certificate) << made.certificate;
    std::ofstream(own.key) << made.key;
  };
  for (const auto &row : std::vector<Row>{
           {"it had expired", [&](const auto &own) { put(test_support::self_signed(expired), own); }},
           {"key and certificate did not fit",
            [&](const auto &own) { std::ofstream(own.key) << test_support::self_signed({}).key; }},
           {"one of its two files was missing", [](const auto &own) { fs::remove(own.key); }},
           {"one of its two files was missing", [](const auto &own) { fs::remove(own.certificate); }},
           {"one of its two files could not be read",
            [](const auto &own) { std::ofstream(own.key) << "noise"; }},
           {"one of its two files could not be read",
            [](const auto &own) { fs::resize_file(own.certificate, 100); }}}) {
    SCOPED_TRACE(row.reason);
    auto before = own_certificate(state_);
    ASSERT_TRUE(before) << before.error();
    row.spoil(*before);
    auto after = own_certificate(state_);
    ASSERT_TRUE(after) << after.error();
    EXPECT_TRUE(after->made);
    EXPECT_EQ(after->reason, row.reason);
    EXPECT_NE(after->fingerprint, before->fingerprint);
    EXPECT_TRUE(make_accepting_tls({after->certificate, after->key}));
    EXPECT_FALSE(own_certificate(state_)->made);
  }
}

TEST_F(OwnCertificateTest, Refused) {
  auto own = own_certificate(state_);
  ASSERT_TRUE(own) << own.error();
  ASSERT_EQ(::chmod(own->key.c_str(), 0640), 0);
  auto refused = own_certificate(state_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(),
              HasSubstr(own->key.string() + ": belongs to somebody else, or others can get at it"));
  ASSERT_EQ(::chmod(own->key.c_str(), 0600), 0);
  ASSERT_EQ(::chmod(own->certificate.c_str(), 0644), 0);
  EXPECT_TRUE(own_certificate(state_)) << "a certificate is no secret";
  ASSERT_EQ(::chmod(state_.c_str(), 0770), 0);
  EXPECT_FALSE(own_certificate(state_));
  ASSERT_EQ(::chmod(state_.c_str(), 0700), 0);
  // A link is not followed.
  fs::rename(own->key, state_ / "elsewhere");
  fs::create_symlink(state_ / "elsewhere", own->key);
  EXPECT_FALSE(own_certificate(state_));
  std::ofstream(folder_.path() / "file") << "x";
  EXPECT_THAT(own_certificate(folder_.path() / "file").error(), HasSubstr("not a folder"));
  EXPECT_FALSE(own_certificate("/proc/none/state"));
}

TEST_F(OwnCertificateTest, TwoProcessesAtOnceGetTheSameOne) {
  constexpr int count = 4;
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < count; ++i) {
    auto pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto own = own_certificate(state_);
      if (!own || own->fingerprint.size() != 64) ::_exit(1);
      auto line = (own->made ? "1" : "0") + own->fingerprint;
      ::_exit(::write(pipes[1], line.data(), 65) == 65 ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (auto pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  ::close(pipes[1]);
  std::string all(count * 65 + 1, '\0');
  std::size_t size = 0;
  for (ssize_t got; (got = ::read(pipes[0], all.data() + size, all.size() - size)) > 0;)
    size += static_cast<std::size_t>(got);
  ::close(pipes[0]);
  ASSERT_EQ(size, count * 65u);
  int made = 0;
  for (int i = 0; i < count; ++i) {
    made += all[static_cast<std::size_t>(i) * 65] == '1';
    EXPECT_EQ(all.substr(static_cast<std::size_t>(i) * 65 + 1, 64), all.substr(1, 64));
  }
  EXPECT_EQ(made, 1);
}

} // namespace
} // namespace shim_test
