#include "tests/support/certificates.hpp"

#include <arpa/inet.h>
#include <fstream>
#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdexcept>

namespace test_support {
namespace {

template <auto Free> struct Freed {
  template <class T> void operator()(T *thing) const { Free(thing); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;

/// A step of OpenSSL that has to succeed.
template <class T> T must(T result, const char *what) {
  if (!result) throw std::runtime_error(std::string("OpenSSL: ") + what);
  return result;
}

Key make_key(int rsa_bits) {
  return Key(must(rsa_bits ? EVP_RSA_gen(static_cast<unsigned>(rsa_bits)) : EVP_EC_gen("P-256"), "key"));
}

std::string text_of(BIO *memory) {
  char *data = nullptr;
  auto size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(X509 *certificate) {
  Bio memory(must(BIO_new(BIO_s_mem()), "BIO"));
  must(PEM_write_bio_X509(memory.get(), certificate), "certificate to PEM");
  return text_of(memory.get());
}

std::string pem_of(EVP_PKEY *key) {
  Bio memory(must(BIO_new(BIO_s_mem()), "BIO"));
  must(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr), "key to PEM");
  return text_of(memory.get());
}

Bio bytes_of(const std::string &text) {
  return Bio(must(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), "BIO"));
}

bool is_address(const std::string &name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 || inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

void add_extension(X509 *certificate, int nid, const std::string &value) {
  std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      must(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()), value.c_str()));
  must(X509_add_ext(certificate, extension.get(), -1), "extension");
}

/// `issuer` null: signed with its own key.
MadeCertificate make(const CertificateWish &wish, const MadeCertificate *issuer) {
  auto key = make_key(wish.rsa_bits);
  Certificate certificate(must(X509_new(), "certificate"));
  must(X509_set_version(certificate.get(), X509_VERSION_3), "version");
  std::uint64_t serial = 0;
  must(RAND_bytes(reinterpret_cast<unsigned char *>(&serial), sizeof serial) == 1, "random");
  must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial), "serial");
  must(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), wish.valid_from.count()), "notBefore");
  must(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), wish.valid_until.count()), "notAfter");
  auto *subject = X509_get_subject_name(certificate.get());
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char *>(wish.common_name.data()),
                                  static_cast<int>(wish.common_name.size()), -1, 0),
       "CN");
  must(X509_set_pubkey(certificate.get(), key.get()), "public key");

  add_extension(certificate.get(), NID_basic_constraints,
                wish.issuer ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!wish.usage.empty() && !wish.issuer) add_extension(certificate.get(), NID_ext_key_usage, wish.usage);
  std::string names;
  for (const auto &name : wish.names)
    names += (names.empty() ? "" : ",") + std::string(is_address(name) ? "IP:" : "DNS:") + name;
  if (!names.empty()) add_extension(certificate.get(), NID_subject_alt_name, names);

  const auto *digest = wish.sha1 ? EVP_sha1() : EVP_sha256();
  if (issuer) {
    Certificate by(
        must(PEM_read_bio_X509(bytes_of(issuer->certificate).get(), nullptr, nullptr, nullptr), "issuer"));
    Key with(must(PEM_read_bio_PrivateKey(bytes_of(issuer->key).get(), nullptr, nullptr, nullptr),
                  "issuer's key"));
    must(X509_set_issuer_name(certificate.get(), X509_get_subject_name(by.get())), "issuer's name");
    must(X509_sign(certificate.get(), with.get(), digest), "signature");
  } else {
    must(X509_set_issuer_name(certificate.get(), subject), "issuer's name");
    must(X509_sign(certificate.get(), key.get(), digest), "signature");
  }
  return {pem_of(certificate.get()), pem_of(key.get())};
}

} // namespace

MadeCertificate self_signed(const CertificateWish &wish) { return make(wish, nullptr); }

MadeCertificate make_issuer(const std::string &common_name) {
  CertificateWish wish;
  wish.common_name = common_name;
  wish.names.clear();
  wish.issuer = true;
  return make(wish, nullptr);
}

MadeCertificate issue(const MadeCertificate &issuer, const CertificateWish &wish) {
  return make(wish, &issuer);
}

CertificateFiles write(const MadeCertificate &made, const std::filesystem::path &folder,
                       const std::string &name) {
  CertificateFiles files{folder / (name + ".pem"), folder / (name + ".key")};
  std::ofstream(files.certificate) << made.certificate;
  std::ofstream(files.key) << made.key;
  std::filesystem::permissions(files.key,
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return files;
}

} // namespace test_support
