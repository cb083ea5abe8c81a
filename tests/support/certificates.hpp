// Certificates for tests, made by OpenSSL as each test wants them: an issuer, its leaves, and every way
// in which one can be wrong.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace test_support {

/// What a certificate is to be. Starts valid; a test changes one thing.
struct CertificateWish {
  std::string common_name = "sql1.corp.test";
  std::vector<std::string> names = {
      "sql1.corp.test"};                  ///< subjectAltName: DNS names and IP addresses; empty: none
  int rsa_bits = 0;                       ///< 0: an EC key (P-256), which is made much faster
  std::chrono::seconds valid_from{-3600}; ///< relative to now
  std::chrono::seconds valid_until{86400};
  bool sha1 = false;                ///< signed with SHA-1
  bool issuer = false;              ///< may issue others
  std::string usage = "serverAuth"; ///< extended key usage; empty: none
};

/// PEM texts, and the files that `write` made of them.
struct MadeCertificate {
  std::string certificate;
  std::string key;
};

MadeCertificate self_signed(const CertificateWish &wish);
/// A CA: its own root, `common_name` is all that tells it from another.
MadeCertificate make_issuer(const std::string &common_name = "sqlshim test CA");
MadeCertificate issue(const MadeCertificate &issuer, const CertificateWish &wish);

/// Files of a made certificate: `folder`/`name`.pem and `folder`/`name`.key (0600).
struct CertificateFiles {
  std::filesystem::path certificate, key;
};
CertificateFiles write(const MadeCertificate &made, const std::filesystem::path &folder,
                       const std::string &name);

} // namespace test_support
