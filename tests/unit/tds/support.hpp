// What the tests of tds/ share: bytes from hex, and names for the rows of tables.
#pragma once

#include "tds/bytes.hpp"
#include "tds/login7.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>

namespace tds {

/// For messages of failed assertions.
inline void PrintTo(const Error &error, std::ostream *out) { *out << error.text(); }

} // namespace tds

namespace tds::test {

/// "12 01 002f" as bytes; anything but hex digits is skipped.
inline Bytes hex(std::string_view text) {
  Bytes bytes;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) continue;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return bytes;
}

inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const auto &part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

inline Bytes prefix(const Bytes &bytes, std::size_t size) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

inline Bytes revealed(const Secret &secret) { return Bytes(secret.reveal().begin(), secret.reveal().end()); }

inline Secret secret(std::u16string_view text) {
  Writer out;
  out.utf16(text);
  return Secret(std::move(out).bytes());
}

/// Login7 has no operator== (it holds secrets): every field, one by one.
inline void expect_equal(const Login7 &actual, const Login7 &expected) {
  EXPECT_EQ(actual.tds_version.wire, expected.tds_version.wire);
  EXPECT_EQ(actual.packet_size, expected.packet_size);
  EXPECT_EQ(actual.client_prog_ver, expected.client_prog_ver);
  EXPECT_EQ(actual.client_pid, expected.client_pid);
  EXPECT_EQ(actual.connection_id, expected.connection_id);
  EXPECT_EQ(actual.option_flags1, expected.option_flags1);
  EXPECT_EQ(actual.option_flags2, expected.option_flags2);
  EXPECT_EQ(actual.type_flags, expected.type_flags);
  EXPECT_EQ(actual.option_flags3, expected.option_flags3);
  EXPECT_EQ(actual.client_time_zone, expected.client_time_zone);
  EXPECT_EQ(actual.client_lcid, expected.client_lcid);
  EXPECT_EQ(actual.host_name, expected.host_name);
  EXPECT_EQ(actual.user_name, expected.user_name);
  EXPECT_EQ(revealed(actual.password), revealed(expected.password));
  EXPECT_EQ(actual.app_name, expected.app_name);
  EXPECT_EQ(actual.server_name, expected.server_name);
  EXPECT_EQ(actual.clt_int_name, expected.clt_int_name);
  EXPECT_EQ(actual.language, expected.language);
  EXPECT_EQ(actual.database, expected.database);
  EXPECT_EQ(actual.client_id, expected.client_id);
  EXPECT_EQ(actual.sspi, expected.sspi);
  EXPECT_EQ(actual.attach_db_file, expected.attach_db_file);
  EXPECT_EQ(revealed(actual.change_password), revealed(expected.change_password));
  EXPECT_EQ(actual.has_extension, expected.has_extension);
  EXPECT_EQ(actual.features, expected.features);
}

/// The name of a row is the name of its test.
struct RowName {
  template <class Info> std::string operator()(const Info &info) const { return info.param.name; }
};

/// Rows print as their name, not as a dump of bytes.
template <class Row>
requires requires(const Row &row) { std::string(row.name); }
void PrintTo(const Row &row, std::ostream *out) { *out << row.name; }

} // namespace tds::test
