#include "shim/transport/certificate.hpp"

#include "auth/descriptor.hpp"
#include "shim/transport/openssl.hpp"

#include <cstring>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace shim {
namespace {

namespace fs = std::filesystem;
using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using Certificate = Owned<X509, X509_free>;
using Bio = Owned<BIO, BIO_free>;

constexpr long ten_years = 3652L * 24 * 3600;
constexpr long a_day = 24L * 3600; // clocks differ
constexpr std::size_t largest_file = 64 * 1024;

std::unexpected<std::string> system_error(const fs::path &file) {
  return std::unexpected(file.string() + ": " + std::generic_category().message(errno));
}

/// One step of OpenSSL; throws where it fails, which is for want of memory or of random numbers.
template <class T> T must(T result) {
  if (!result) throw std::runtime_error(openssl_error());
  return result;
}

/// Empty: our own folder, which nobody else can write to.
std::string check_folder(const fs::path &folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) == 0) return "";
  if (errno != EEXIST) return system_error(folder).error();
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return system_error(folder).error();
  if (!S_ISDIR(status.st_mode)) return folder.string() + ": not a folder";
  if (status.st_uid != ::geteuid() || (status.st_mode & 0022) != 0)
    return folder.string() + ": belongs to somebody else, or others can write to it; a key is not kept there";
  return "";
}

/// nullopt: there is none. Error: it cannot be read, is not ours, or, for one that is
/// `secret`, others can read it too.
std::expected<std::optional<std::string>, std::string> read_own(const fs::path &file, bool secret) {
  const auth::Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor && errno == ENOENT) return std::nullopt;
  struct stat status {};
  if (!descriptor || ::fstat(descriptor.get(), &status) != 0) return system_error(file);
  if (!S_ISREG(status.st_mode)) return std::unexpected(file.string() + ": not a file");
  if (status.st_uid != ::geteuid() || (status.st_mode & (secret ? 0077 : 0022)) != 0)
    return std::unexpected(
        file.string() +
        ": belongs to somebody else, or others can get at it; remove it, and a new one is made");
  std::string text(largest_file, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    auto count = ::read(descriptor.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(file);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return text;
}

/// All of it or nothing, also where the machine stops in between: written beside it, then renamed.
std::expected<void, std::string> write_private(const fs::path &file, const std::string &text) {
  auto beside = file;
  beside += ".new"; // ours alone: we hold the lock
  ::unlink(beside.c_str());
  const auth::Descriptor descriptor(
      ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!descriptor) return system_error(beside);
  auto failed = [&] {
    auto error = system_error(beside);
    ::unlink(beside.c_str());
    return error;
  };
  for (std::size_t done = 0; done < text.size();) {
    auto count = ::write(descriptor.get(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed();
    done += static_cast<std::size_t>(count);
  }
  if (::fsync(descriptor.get()) != 0 || ::rename(beside.c_str(), file.c_str()) != 0) return failed();
  return {};
}

Bio bytes_of(const std::string &text) {
  return Bio(must(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
}

std::string text_of(BIO *memory) {
  char *data = nullptr;
  auto size = BIO_get_mem_data(memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

int no_password(char *, int, int, void *) { return -1; }

std::string fingerprint_of(X509 *certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  must(X509_digest(certificate, EVP_sha256(), digest, &size));
  std::string hex;
  for (unsigned i = 0; i < size; ++i)
    for (auto nibble : {digest[i] >> 4, digest[i] & 15})
      hex += "0123456789abcdef"[nibble];
  return hex;
}

void add_extension(X509 *certificate, int nid, const std::string &value) {
  Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      must(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str())));
  must(X509_add_ext(certificate, extension.get(), -1));
}

/// What X509V3_EXT_conf_nid would not take for something else.
bool is_plain_name(const std::string &name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
             std::string::npos;
}

std::string host_name() {
  char name[256]{};
  if (::gethostname(name, sizeof name - 1) != 0 || !is_plain_name(name)) return "";
  return name;
}

/// Not a CA: who trusts it trusts this one certificate. RSA, for old Java clients.
Certificate make_certificate(EVP_PKEY *key) {
  Certificate certificate(must(X509_new()));
  auto *raw = certificate.get();
  must(X509_set_version(raw, X509_VERSION_3));
  std::uint64_t serial = 0;
  must(RAND_bytes(reinterpret_cast<unsigned char *>(&serial), sizeof serial) == 1);
  must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(raw), serial));
  must(X509_gmtime_adj(X509_getm_notBefore(raw), -a_day));
  must(X509_gmtime_adj(X509_getm_notAfter(raw), ten_years));
  auto host = host_name();
  auto common_name =
      ("sqlshim on " + (host.empty() ? "localhost" : host)).substr(0, 64); // RFC 5280: no longer
  auto *subject = X509_get_subject_name(raw);
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char *>(common_name.data()),
                                  static_cast<int>(common_name.size()), -1, 0));
  must(X509_set_issuer_name(raw, subject));
  must(X509_set_pubkey(raw, key));
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
  if (!host.empty() && host != "localhost") names += ",DNS:" + host;
  add_extension(raw, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(raw, NID_key_usage, "critical,digitalSignature,keyEncipherment");
  add_extension(raw, NID_ext_key_usage, "serverAuth");
  add_extension(raw, NID_subject_alt_name, names);
  must(X509_sign(raw, key, EVP_sha256()));
  return certificate;
}

/// Why what the two files hold is of no use; empty: it is good, and `found.fingerprint` is set.
std::string examine(const std::optional<std::string> &certificate_text,
                    const std::optional<std::string> &key_text, OwnCertificate &found) {
  if (!certificate_text && !key_text) return "there was none";
  if (!certificate_text || !key_text) return "one of its two files was missing";
  Certificate certificate(PEM_read_bio_X509(bytes_of(*certificate_text).get(), nullptr, nullptr, nullptr));
  Key key(PEM_read_bio_PrivateKey(bytes_of(*key_text).get(), nullptr, no_password, nullptr));
  ERR_clear_error();
  if (!certificate || !key) return "one of its two files could not be read";
  auto fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) return "key and certificate did not fit";
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) <= 0) return "it had expired";
  found.fingerprint = fingerprint_of(certificate.get());
  return "";
}

std::expected<void, std::string> make(OwnCertificate &own) {
  Key key(must(EVP_RSA_gen(2048)));
  auto certificate = make_certificate(key.get());
  Bio key_pem(must(BIO_new(BIO_s_secmem()))), certificate_pem(must(BIO_new(BIO_s_mem())));
  must(PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
  must(PEM_write_bio_X509(certificate_pem.get(), certificate.get()));
  // Stopped in between, they do not fit, and the next call makes new ones.
  auto key_text = text_of(key_pem.get());
  auto written = write_private(own.key, key_text);
  OPENSSL_cleanse(key_text.data(), key_text.size());
  if (written) written = write_private(own.certificate, text_of(certificate_pem.get()));
  if (!written) return written;
  own.made = true;
  own.fingerprint = fingerprint_of(certificate.get());
  return {};
}

} // namespace

std::expected<OwnCertificate, std::string> own_certificate(const fs::path &state_directory) try {
  ERR_clear_error();
  OwnCertificate own;
  own.certificate = state_directory / "listener.pem";
  own.key = state_directory / "listener-key.pem";
  if (auto wrong = check_folder(state_directory); !wrong.empty()) return std::unexpected(wrong);

  auto lock_file = state_directory / "certificate.lock";
  const auth::Descriptor lock(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) return system_error(lock_file);
  while (::flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) return system_error(lock_file);

  auto certificate = read_own(own.certificate, false);
  if (!certificate) return std::unexpected(certificate.error());
  auto key = read_own(own.key, true);
  if (!key) return std::unexpected(key.error());
  own.reason = examine(*certificate, *key, own);
  if (*key) OPENSSL_cleanse((*key)->data(), (*key)->size());
  if (own.reason.empty()) return own;
  if (auto made = make(own); !made) return std::unexpected(made.error());
  return own;
} catch (const std::runtime_error &error) {
  return std::unexpected("the certificate of our own cannot be made: " + std::string(error.what()));
}

} // namespace shim
