#include "tests/unit/shim/smb/peer.hpp"

namespace smb_test {
namespace {

/// Published by Microsoft's Open Specifications team: "SMB 2 and SMB 3 security in Windows 10: the anatomy of
/// signing and cryptographic keys", appendix.
TEST(SmbKeys, AreThoseOfThePublishedExamples) {
  const auto old =
      make_keys(Dialect::v300, Cipher::aes128_ccm, from_hex("7CD451825D0450D235424E44BA6E78CC"), {});
  EXPECT_EQ(old.signing, from_hex("0B7E9C5CAC36C0F6EA9AB275298CEDCE"));
  EXPECT_EQ(old.seal, from_hex("FAD27796665B313EBB578F388632B4F7"));
  EXPECT_EQ(old.open, from_hex("B0F0427F7CEB416D1D9DCC0CD4F99447"));

  Hash hash{};
  std::ranges::copy(from_hex("0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79"
                             "28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01"),
                    hash.begin());
  const auto key = from_hex("270E1BA896585EEB7AF3472D3B4C75A7");
  const auto newest = make_keys(Dialect::v311, Cipher::aes128_gcm, key, hash);
  EXPECT_EQ(newest.signing, from_hex("73FE7A9A77BEF0BDE49C650D8CCB5F76"));
  EXPECT_EQ(newest.seal, from_hex("629BCBC54422A0F572B97F45989B6073"));
  EXPECT_EQ(newest.open, from_hex("E2AF0DCEFAC68DA71A0DFBD0D1350D74"));
}

TEST(SmbKeys, OfOldDialectsAreTheSessionsOwn) {
  EXPECT_EQ(make_keys(Dialect::v210, Cipher::none, Bytes(32, 3), {}).signing, Bytes(16, 3));
  EXPECT_EQ(make_keys(Dialect::v202, Cipher::none, Bytes(8, 3), {}).signing, Bytes(8, 3) + Bytes(8));
}

TEST(SmbKeys, OfAes256TakeTheWholeKeyOfTheContext) {
  auto key = Bytes(16, 1) + Bytes(16, 2);
  const auto keys = make_keys(Dialect::v311, Cipher::aes256_gcm, key, {});
  EXPECT_EQ(keys.seal.size(), 32u);
  key[31] = 9;
  const auto others = make_keys(Dialect::v311, Cipher::aes256_gcm, key, {});
  EXPECT_NE(keys.seal, others.seal);
  EXPECT_EQ(keys.signing, others.signing) << "signing takes the first 16 bytes";
}

class Signers : public testing::TestWithParam<Signer> {};
INSTANTIATE_TEST_SUITE_P(Smb, Signers,
                         testing::Values(Signer::hmac_sha256, Signer::aes_cmac, Signer::aes_gmac));

TEST_P(Signers, EachBitCounts) {
  const Bytes key(16, 5);
  tds::Writer out;
  Header header;
  header.message_id = 3;
  encode(out, header);
  encode_empty(out);
  auto message = std::move(out).bytes();
  EXPECT_FALSE(is_signed_by(message, GetParam(), key));
  sign(message, GetParam(), key);
  EXPECT_TRUE(is_signed_by(message, GetParam(), key));
  EXPECT_FALSE(is_signed_by(message, GetParam(), Bytes(16, 6)));
  for (std::size_t i = 0; i < message.size(); ++i) {
    message[i] ^= 1;
    EXPECT_FALSE(is_signed_by(message, GetParam(), key)) << "byte " << i;
    message[i] ^= 1;
  }
}

class Ciphers : public testing::TestWithParam<Cipher> {};
INSTANTIATE_TEST_SUITE_P(Smb, Ciphers,
                         testing::Values(Cipher::aes128_ccm, Cipher::aes128_gcm, Cipher::aes256_ccm,
                                         Cipher::aes256_gcm));

TEST_P(Ciphers, WhatIsSealedOpensUnderItsKeyAlone) {
  const auto keys = make_keys(Dialect::v311, GetParam(), Bytes(32, 4), {});
  const Bytes message = text("what nobody else may read");
  auto sealed = seal(message, GetParam(), keys.seal, 1, 7);
  EXPECT_EQ(open_sealed(sealed, GetParam(), keys.seal), message);
  EXPECT_EQ(open_sealed(sealed, GetParam(), keys.open), std::nullopt);
  EXPECT_NE(sealed, seal(message, GetParam(), keys.seal, 2, 7)) << "another nonce";
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    // What a cipher has no use for of the nonce is authenticated all the same.
    sealed[i] ^= 1;
    EXPECT_EQ(open_sealed(sealed, GetParam(), keys.seal), std::nullopt) << "byte " << i;
    sealed[i] ^= 1;
  }
  for (std::size_t i = 0; i < sealed.size(); ++i)
    EXPECT_EQ(open_sealed(ByteView(sealed).first(i), GetParam(), keys.seal), std::nullopt) << "cut at " << i;
}

} // namespace
} // namespace smb_test
