#include "tds/secret.hpp"

#include "support.hpp"

#include <concepts>
#include <ostream>
#include <type_traits>

namespace tds::test {

template <class T>
concept streamable = requires(std::ostream &out, const T &value) {
  out << value;
};

static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret>);
static_assert(std::is_nothrow_move_assignable_v<Secret>);
static_assert(!std::equality_comparable<Secret>);
static_assert(!streamable<Secret>);
static_assert(!std::is_convertible_v<Secret, ByteView>);
static_assert(!std::is_convertible_v<Secret, Bytes>);
static_assert(!std::is_convertible_v<Bytes, Secret>);
static_assert(!std::is_convertible_v<ByteView, Secret>);
// What holds a secret is no easier to copy or compare.
static_assert(!std::is_copy_constructible_v<Login7>);
static_assert(!std::equality_comparable<Login7>);

TEST(Secret, reveals_what_it_was_given) {
  const Bytes bytes = hex("700077");
  EXPECT_EQ(revealed(Secret(ByteView(bytes))), bytes);
  EXPECT_EQ(revealed(Secret(hex("700077"))), bytes);
  EXPECT_TRUE(Secret().empty());
  EXPECT_EQ(Secret(ByteView(bytes)).size(), 3u);
}

TEST(Secret, takes_over_a_buffer_without_a_copy) {
  Bytes bytes = hex("700077");
  const auto *place = bytes.data();
  const Secret secret(std::move(bytes));
  EXPECT_EQ(secret.reveal().data(), place);
}

TEST(Secret, a_move_hands_the_buffer_over_and_leaves_nothing) {
  Secret from(hex("700077"));
  const auto *place = from.reveal().data();
  Secret to(std::move(from));
  EXPECT_TRUE(from.empty()); // NOLINT(bugprone-use-after-move): the emptiness is promised
  EXPECT_EQ(to.reveal().data(), place);

  Secret third(hex("01"));
  third = std::move(to);
  EXPECT_TRUE(to.empty()); // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(third.reveal().data(), place);
}

TEST(Secret, assigned_to_itself_stays) {
  Secret secret(hex("700077"));
  Secret &same = secret;
  secret = std::move(same);
  EXPECT_EQ(revealed(secret), hex("700077"));
}

TEST(Secret, a_clone_outlives_the_original) {
  Secret secret(hex("700077"));
  const Secret copy = secret.clone();
  secret.wipe();
  EXPECT_TRUE(secret.empty());
  EXPECT_EQ(revealed(copy), hex("700077"));
}

TEST(Secret, as_utf8) {
  const auto utf8 = [](std::u16string_view text) {
    Bytes units;
    for (const char16_t unit : text) {
      units.push_back(static_cast<std::uint8_t>(unit));
      units.push_back(static_cast<std::uint8_t>(unit >> 8));
    }
    const auto made = to_utf8(Secret(std::move(units)));
    return made ? std::string(made->reveal().begin(), made->reveal().end()) : "no text";
  };
  EXPECT_EQ(utf8(u""), "");
  EXPECT_EQ(utf8(u"p\u007F\u0080\u07FF\u0800\uFFFD"), "p\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBD");
  EXPECT_EQ(utf8(u"\U00010000\U0010FFFF!"), "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF!");
  for (const char *broken : {"00D8", "00DC", "00D84100", "00D800D8", "70", "700077"})
    EXPECT_FALSE(to_utf8(Secret(hex(broken)))) << broken;
}

TEST(Secret, wipe_overwrites_bytes) {
  Bytes bytes = hex("700077");
  wipe(std::span(bytes).first(2));
  EXPECT_EQ(bytes, hex("000077"));
  wipe({}); // nothing to do
}

} // namespace tds::test
