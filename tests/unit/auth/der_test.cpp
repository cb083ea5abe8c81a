#include "auth/der.hpp"

#include <gtest/gtest.h>

namespace auth::der {
namespace {

TEST(Der, TakesElementsInOrder) {
  const Bytes bytes{0x02, 0x01, 0x05, 0x04, 0x81, 0x02, 0xaa, 0xbb, 0x30, 0x82, 0x00, 0x01, 0xcc};
  Reader reader(bytes);
  EXPECT_EQ(reader.peek(), 0x02);
  EXPECT_FALSE(reader.take(octet_string)) << "another tag leaves the reader where it was";
  EXPECT_EQ(reader.take(integer)->size(), 1u);
  EXPECT_EQ(reader.take(octet_string)->back(), 0xbb);
  EXPECT_EQ(reader.rest().size(), 5u);
  EXPECT_EQ(reader.take(sequence)->front(), 0xcc);
  EXPECT_TRUE(reader.empty());
  EXPECT_EQ(reader.peek(), 0);
  EXPECT_FALSE(reader.take(integer));
}

TEST(Der, LengthsThatAreNone) {
  for (const Bytes &bytes :
       {Bytes{0x02}, Bytes{0x02, 0x01}, Bytes{0x02, 0x80}, Bytes{0x02, 0x81}, Bytes{0x02, 0x82, 0x00},
        Bytes{0x02, 0x82, 0x00, 0x01}, Bytes{0x02, 0x84, 0xff, 0xff, 0xff, 0xff},
        Bytes{0x02, 0x85, 0, 0, 0, 0, 0}, Bytes{0x02, 0xff}}) {
    Reader reader(bytes);
    EXPECT_FALSE(reader.take(integer)) << bytes.size();
    EXPECT_EQ(reader.rest().size(), bytes.size());
  }
}

TEST(Der, ExplicitTagsHoldOneElement) {
  const Bytes good{0xa0, 0x03, 0x02, 0x01, 0x05};
  Reader reader(good);
  EXPECT_EQ(to_integer(take_explicit(reader, context_0, integer).value()), 5);
  const Bytes two{0xa0, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x06};
  Reader trailing(two);
  EXPECT_FALSE(take_explicit(trailing, context_0, integer));
}

TEST(Der, Integers) {
  EXPECT_EQ(to_integer(Bytes{0x00}), 0);
  EXPECT_EQ(to_integer(Bytes{0x7f}), 127);
  EXPECT_EQ(to_integer(Bytes{0x00, 0x80}), 128);
  EXPECT_EQ(to_integer(Bytes{0xff}), -1);
  EXPECT_EQ(to_integer(Bytes{0x80, 0x00, 0x00, 0x00}), INT32_MIN);
  EXPECT_EQ(to_integer(Bytes{0x7f, 0xff, 0xff, 0xff}), INT32_MAX);
  EXPECT_FALSE(to_integer(Bytes{}));
  EXPECT_FALSE(to_integer(Bytes(5, 0)));
}

} // namespace
} // namespace auth::der
