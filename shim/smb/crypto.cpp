#include "shim/smb/crypto.hpp"

#include <algorithm>
#include <new>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdexcept>

namespace shim::smb {
namespace {

template <auto Free> struct Freed {
  template <class T> void operator()(T *thing) const { Free(thing); }
};
template <class T, auto Free> using Owned = std::unique_ptr<T, Freed<Free>>;
using Context = Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;
using Tag = std::array<std::uint8_t, 16>;

constexpr std::size_t at_signature = 48, at_flags = 16, at_command = 12, at_message_id = 24;
constexpr std::size_t authenticated_from = 20; ///< of TRANSFORM_HEADER: from its nonce on

void must(bool done) {
  if (!done) throw std::runtime_error("OpenSSL refuses a cipher of SMB");
}
int length_of(ByteView bytes) { return static_cast<int>(bytes.size()); }

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

std::array<std::uint8_t, 32> hmac(ByteView key, ByteView message) {
  std::array<std::uint8_t, 32> out{};
  unsigned size = 0;
  must(HMAC(EVP_sha256(), key.data(), length_of(key), message.data(), message.size(), out.data(), &size));
  return out;
}

Tag cmac(ByteView key, ByteView message) {
  static const Owned<EVP_MAC, EVP_MAC_free> algorithm(EVP_MAC_fetch(nullptr, "CMAC", nullptr));
  must(algorithm != nullptr);
  const Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> context(EVP_MAC_CTX_new(algorithm.get()));
  if (!context) throw std::bad_alloc();
  std::array<char, 12> cipher{"AES-128-CBC"};
  const std::array parameters{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher.data(), 0),
                              OSSL_PARAM_construct_end()};
  Tag tag{};
  std::size_t size = 0;
  must(EVP_MAC_init(context.get(), key.data(), key.size(), parameters.data()) == 1 &&
       EVP_MAC_update(context.get(), message.data(), message.size()) == 1 &&
       EVP_MAC_final(context.get(), tag.data(), &size, tag.size()) == 1);
  return tag;
}

/// 3.1.4.1: the message id, whether a server says it, whether it is a CANCEL.
Tag gmac(ByteView key, ByteView message) {
  std::array<std::uint8_t, 12> nonce{};
  std::copy_n(message.begin() + at_message_id, 8, nonce.begin());
  nonce[8] = static_cast<std::uint8_t>((message[at_flags] & flag_response) |
                                       (message[at_command] == 12 && message[at_command + 1] == 0 ? 2 : 0));
  const Context context(EVP_CIPHER_CTX_new());
  if (!context) throw std::bad_alloc();
  int written = 0;
  Tag tag{};
  must(EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
       EVP_EncryptUpdate(context.get(), nullptr, &written, message.data(), length_of(message)) == 1 &&
       EVP_EncryptFinal_ex(context.get(), tag.data(), &written) == 1 &&
       EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, tag.data()) == 1);
  return tag;
}

/// Of a message whose signature is zeros.
Tag signature_of(ByteView message, Signer signer, ByteView key) {
  switch (signer) {
  case Signer::aes_cmac:
    return cmac(key, message);
  case Signer::aes_gmac:
    return gmac(key, message);
  case Signer::hmac_sha256:
    break;
  }
  Tag tag{};
  std::ranges::copy_n(hmac(key, message).begin(), 16, tag.begin());
  return tag;
}

const EVP_CIPHER *algorithm_of(Cipher cipher) {
  switch (cipher) {
  case Cipher::aes128_ccm:
    return EVP_aes_128_ccm();
  case Cipher::aes128_gcm:
    return EVP_aes_128_gcm();
  case Cipher::aes256_ccm:
    return EVP_aes_256_ccm();
  case Cipher::aes256_gcm:
    return EVP_aes_256_gcm();
  case Cipher::none:
    break;
  }
  throw std::logic_error("SMB: nothing is sealed without a cipher");
}
bool is_ccm(Cipher cipher) { return cipher == Cipher::aes128_ccm || cipher == Cipher::aes256_ccm; }
bool is_256(Cipher cipher) { return cipher == Cipher::aes256_ccm || cipher == Cipher::aes256_gcm; }

/// One AEAD operation; `tag` is what sealing gives and opening expects. False: the tag is wrong.
bool crypt(bool sealing, Cipher cipher, ByteView key, const std::uint8_t *nonce, ByteView authenticated,
           ByteView input, std::uint8_t *output, Tag &tag) {
  const Context context(EVP_CIPHER_CTX_new());
  if (!context) throw std::bad_alloc();
  auto *raw = context.get();
  const int ours = sealing ? 1 : 0;
  int written = 0;
  must(EVP_CipherInit_ex(raw, algorithm_of(cipher), nullptr, nullptr, nullptr, ours) == 1);
  must(EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_SET_IVLEN, is_ccm(cipher) ? 11 : 12, nullptr) == 1);
  if (!sealing || is_ccm(cipher))
    must(EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_SET_TAG, 16, sealing ? nullptr : tag.data()) == 1);
  must(EVP_CipherInit_ex(raw, nullptr, nullptr, key.data(), nonce, ours) == 1);
  if (is_ccm(cipher)) must(EVP_CipherUpdate(raw, nullptr, &written, nullptr, length_of(input)) == 1);
  must(EVP_CipherUpdate(raw, nullptr, &written, authenticated.data(), length_of(authenticated)) == 1);
  const bool done = EVP_CipherUpdate(raw, output, &written, input.data(), length_of(input)) == 1;
  if (is_ccm(cipher) && !sealing) return done; // CCM tells at once
  must(done);
  int last = 0;
  if (EVP_CipherFinal_ex(raw, output + written, &last) != 1) return false;
  if (sealing) must(EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_GET_TAG, 16, tag.data()) == 1);
  return true;
}

} // namespace

void Preauthentication::add(ByteView message) {
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  must(EVP_DigestInit_ex(context.get(), EVP_sha512(), nullptr) == 1 &&
       EVP_DigestUpdate(context.get(), value_.data(), value_.size()) == 1 &&
       EVP_DigestUpdate(context.get(), message.data(), message.size()) == 1 &&
       EVP_DigestFinal_ex(context.get(), value_.data(), nullptr) == 1);
}

Bytes derive_key(ByteView key, std::string_view label, ByteView context, std::size_t bits) {
  tds::Writer input;
  input.u32_be(1); // the one block that is needed: HMAC-SHA256 gives 256 bits
  input.append(bytes_of(label));
  input.u8(0);
  input.append(context);
  input.u32_be(static_cast<std::uint32_t>(bits));
  auto block = hmac(key, input.bytes());
  Bytes derived(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(bits / 8));
  OPENSSL_cleanse(block.data(), block.size());
  return derived;
}

Keys::~Keys() {
  for (auto *key : {&signing, &seal, &open})
    OPENSSL_cleanse(key->data(), key->size());
}

Keys make_keys(Dialect dialect, Cipher cipher, ByteView session_key, const Hash &preauthentication) {
  using namespace std::string_view_literals;
  Bytes first(session_key.begin(), session_key.begin() + static_cast<std::ptrdiff_t>(
                                                             std::min<std::size_t>(16, session_key.size())));
  first.resize(16);
  Keys keys;
  const bool newest = dialect == Dialect::v311;
  if (dialect < Dialect::v300)
    keys.signing = first;
  else if (newest)
    keys.signing = derive_key(first, "SMBSigningKey\0"sv, preauthentication, 128);
  else
    keys.signing = derive_key(first, "SMB2AESCMAC\0"sv, bytes_of("SmbSign\0"sv), 128);
  if (cipher != Cipher::none) {
    const std::size_t bits = is_256(cipher) ? 256 : 128;
    const ByteView from = is_256(cipher) ? session_key : ByteView(first);
    keys.seal = newest ? derive_key(from, "SMBC2SCipherKey\0"sv, preauthentication, bits)
                       : derive_key(from, "SMB2AESCCM\0"sv, bytes_of("ServerIn \0"sv), bits);
    keys.open = newest ? derive_key(from, "SMBS2CCipherKey\0"sv, preauthentication, bits)
                       : derive_key(from, "SMB2AESCCM\0"sv, bytes_of("ServerOut\0"sv), bits);
  }
  OPENSSL_cleanse(first.data(), first.size());
  return keys;
}

void sign(Bytes &message, Signer signer, ByteView key) {
  message[at_flags] |= flag_signed;
  std::fill_n(message.begin() + at_signature, 16, 0);
  const auto tag = signature_of(message, signer, key);
  std::ranges::copy(tag, message.begin() + at_signature);
}

bool is_signed_by(ByteView message, Signer signer, ByteView key) {
  if (message.size() < header_size) return false;
  Bytes unsigned_one(message.begin(), message.end());
  std::fill_n(unsigned_one.begin() + at_signature, 16, 0);
  const auto tag = signature_of(unsigned_one, signer, key);
  return CRYPTO_memcmp(tag.data(), message.data() + at_signature, tag.size()) == 0;
}

Bytes seal(ByteView message, Cipher cipher, ByteView key, std::uint64_t counter, std::uint64_t session_id) {
  Transform transform;
  for (std::size_t i = 0; i < 8; ++i)
    transform.nonce[i] = static_cast<std::uint8_t>(counter >> (8 * i));
  transform.size = static_cast<std::uint32_t>(message.size());
  transform.session_id = session_id;
  tds::Writer out;
  encode(out, transform);
  auto sealed = std::move(out).bytes();
  sealed.resize(transform_size + message.size());
  const ByteView authenticated(sealed.data() + authenticated_from, transform_size - authenticated_from);
  Tag tag{};
  must(crypt(true, cipher, key, transform.nonce.data(), authenticated, message,
             sealed.data() + transform_size, tag));
  std::ranges::copy(tag, sealed.begin() + 4);
  return sealed;
}

std::optional<Bytes> open_sealed(ByteView message, Cipher cipher, ByteView key) {
  auto transform = decode_transform(message);
  if (!transform || transform->size == 0) return std::nullopt;
  Bytes opened(transform->size);
  const auto authenticated = message.subspan(authenticated_from, transform_size - authenticated_from);
  if (!crypt(false, cipher, key, transform->nonce.data(), authenticated, message.subspan(transform_size),
             opened.data(), transform->signature))
    return std::nullopt;
  return opened;
}

} // namespace shim::smb
