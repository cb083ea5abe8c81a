#include "tools/lab/certificates.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

namespace lab {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;

void need(bool good, const char *what) {
  if (!good) throw LabError(fmt::format("OpenSSL: {} failed", what));
}

Key make_key(int rsa_bits) {
  Key key(rsa_bits > 0 ? EVP_RSA_gen(static_cast<unsigned>(rsa_bits)) : EVP_EC_gen("P-256"), EVP_PKEY_free);
  need(key != nullptr, "making a key");
  return key;
}

void extend(X509 *certificate, X509 *issuer, int kind, const std::string &value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()), X509_EXTENSION_free);
  need(extension && X509_add_ext(certificate, extension.get(), -1), OBJ_nid2sn(kind));
}

/// All of a certificate but its extensions and its signature; its issuer is itself until another one is set.
std::shared_ptr<X509> draft(EVP_PKEY *key, const std::string &name, std::chrono::seconds from,
                            std::chrono::seconds to) {
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  need(certificate != nullptr, "X509_new");
  std::uint64_t serial = 0;
  need(RAND_bytes(reinterpret_cast<unsigned char *>(&serial), sizeof serial) == 1, "RAND_bytes");
  auto *subject = X509_get_subject_name(certificate.get());
  const bool good = X509_set_version(certificate.get(), X509_VERSION_3) &&
                    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1 | 1) &&
                    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from.count()) &&
                    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to.count()) &&
                    X509_set_pubkey(certificate.get(), key) &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                               reinterpret_cast<const unsigned char *>(name.data()),
                                               static_cast<int>(name.size()), -1, 0) &&
                    X509_set_issuer_name(certificate.get(), subject);
  need(good, "drafting a certificate");
  return certificate;
}

std::string alternative_names(const std::vector<std::string> &names) {
  std::string text;
  for (const auto &name : names) {
    const bool address = name.find_first_not_of("0123456789.") == name.npos || name.contains(':');
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", address ? "IP" : "DNS", name);
  }
  return text;
}

std::shared_ptr<X509> draft_server(EVP_PKEY *key, const CertificateWish &wish) {
  if (wish.names.empty()) throw LabError("a server's certificate needs a name");
  return draft(key, wish.names.front(), wish.valid_from, wish.valid_to);
}

void extend_server(X509 *certificate, X509 *issuer, const CertificateWish &wish) {
  extend(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
  extend(certificate, issuer, NID_ext_key_usage, "serverAuth");
  extend(certificate, issuer, NID_subject_alt_name, alternative_names(wish.names));
}

template <class Write> std::string pem_of(Write &&write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  need(out && write(out.get()), "writing PEM");
  const char *text = nullptr;
  const auto size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

} // namespace

std::string Certificate::pem() const {
  return pem_of([&](BIO *out) { return PEM_write_bio_X509(out, certificate_.get()); });
}

std::string Certificate::key_pem() const {
  return pem_of([&](BIO *out) {
    return PEM_write_bio_PrivateKey(out, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void Certificate::write(const fs::path &certificate, const fs::path &key) const {
  write_file(certificate, pem(), 0644);
  write_file(key, key_pem(), 0600);
}

Certificate make_authority(const std::string &name) {
  using namespace std::chrono_literals;
  Certificate made;
  made.key_ = make_key(0);
  made.certificate_ = draft(made.key_.get(), name, -48h, 31 * 24h);
  auto *certificate = made.certificate_.get();
  extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(certificate, certificate, NID_subject_key_identifier, "hash");
  need(X509_sign(certificate, made.key_.get(), EVP_sha256()) > 0, "signing a certificate");
  return made;
}

Certificate issue(const Certificate &authority, const CertificateWish &wish) {
  Certificate made;
  made.key_ = make_key(wish.rsa_bits);
  made.certificate_ = draft_server(made.key_.get(), wish);
  auto *certificate = made.certificate_.get(), *issuer = authority.certificate_.get();
  need(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)), "naming the issuer");
  extend_server(certificate, issuer, wish);
  extend(certificate, issuer, NID_authority_key_identifier, "keyid:always");
  need(X509_sign(certificate, authority.key_.get(), EVP_sha256()) > 0, "signing a certificate");
  return made;
}

Certificate self_signed(const CertificateWish &wish) {
  Certificate made;
  made.key_ = make_key(wish.rsa_bits);
  made.certificate_ = draft_server(made.key_.get(), wish);
  extend_server(made.certificate_.get(), made.certificate_.get(), wish);
  need(X509_sign(made.certificate_.get(), made.key_.get(), EVP_sha256()) > 0, "signing a certificate");
  return made;
}

} // namespace lab
