// Certificates made for one lab: an authority of its own, and what it signs. EC P-256 keys,
// which cost nothing to make.
#pragma once

#include "tools/lab/files.hpp"

#include <chrono>
#include <memory>
#include <vector>

struct evp_pkey_st; // OpenSSL's EVP_PKEY and X509
struct x509_st;

namespace lab {

/// What a server's certificate shall say.
struct CertificateWish {
  std::vector<std::string>
      names; ///< host names or addresses, as subjectAltName; the first is the common name, too
  std::chrono::hours valid_from{-24}; ///< both from now on
  std::chrono::hours valid_to{30 * 24};
  int rsa_bits = 0; ///< 0: EC P-256
};

/// A certificate with its key.
class Certificate {
public:
  std::string pem() const;
  std::string key_pem() const;
  /// The certificate of mode 0644, the key of mode 0600.
  void write(const fs::path &certificate, const fs::path &key) const;

private:
  friend Certificate make_authority(const std::string &name);
  friend Certificate issue(const Certificate &authority, const CertificateWish &wish);
  friend Certificate self_signed(const CertificateWish &wish);

  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> certificate_;
};

/// A root that signs. All three throw LabError when OpenSSL fails.
Certificate make_authority(const std::string &name);
Certificate issue(const Certificate &authority, const CertificateWish &wish);
/// Signed with its own key, as SQL Server makes one for itself.
Certificate self_signed(const CertificateWish &wish);

} // namespace lab
