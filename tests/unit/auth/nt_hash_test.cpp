#include "auth/nt_hash.hpp"

#include <gtest/gtest.h>
#include <string>

namespace auth_test {
namespace {

std::string hash_of(std::string_view password) {
  const auto hash = auth::NtHash::of(password);
  return hash ? hash->c_str() : "none";
}

TEST(NtHash, KnownOnes) {
  EXPECT_EQ(hash_of(""), "31D6CFE0D16AE931B73C59D7E0C089C0");
  EXPECT_EQ(hash_of("password"), "8846F7EAEE8FB117AD06BDD830B7586C");
  EXPECT_EQ(hash_of("secret"), "878D8014606CDA29677A44EFA1353FC7");
}

TEST(NtHash, LengthsAroundABlock) {
  for (std::size_t length = 26; length < 34; ++length)
    EXPECT_NE(hash_of(std::string(length, 'a')), hash_of(std::string(length + 1, 'a'))) << length;
}

TEST(NtHash, WhatIsNoText) {
  for (const std::string_view text :
       {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"})
    EXPECT_EQ(hash_of(text), "none");
  EXPECT_NE(hash_of("\xf0\x9f\x98\x80"), "none") << "two units of UTF-16";
}

} // namespace
} // namespace auth_test
