// That the search finds what it is to find: a search that is blind proves nothing.
#include "tests/support/secret_search.hpp"

#include "shim/log/render.hpp"
#include "tds/login7.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <random>

namespace {

using namespace testing;
using test::SecretSearch;

const std::string password = "Geheim!Canary.42";

std::string utf16(const std::string &text) {
  std::string wide;
  for (const char c : text)
    wide += c, wide += '\0';
  return wide;
}
std::string hex(const std::string &bytes, const char *separator = "", bool upper = false) {
  std::string text;
  for (const char c : bytes)
    text +=
        fmt::format(fmt::runtime(upper ? "{:02X}{}" : "{:02x}{}"), static_cast<unsigned char>(c), separator);
  return text;
}
/// By another way than the search's: whole groups of three bytes, RFC 4648.
std::string base64(std::string bytes, const char *last_two = "+/") {
  const std::string alphabet =
      std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") + last_two;
  const std::size_t missing = (3 - bytes.size() % 3) % 3;
  bytes.append(missing, '\0');
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](std::size_t j) {
      return static_cast<unsigned>(static_cast<unsigned char>(bytes[i + j]));
    };
    const unsigned group = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (const int shift : {18, 12, 6, 0})
      text += alphabet[group >> shift & 63];
  }
  return text.replace(text.size() - missing, missing, missing, '=');
}
/// The password field of a LOGIN7 as the product writes it.
std::string on_the_wire(const std::string &text) {
  tds::Login7 login;
  login.tds_version = tds::tds_7_4;
  const auto wide = utf16(text);
  login.password =
      tds::Secret(tds::ByteView(reinterpret_cast<const std::uint8_t *>(wide.data()), wide.size()));
  const auto bytes = tds::encode_login7(login).value();
  return {bytes.begin(), bytes.end()};
}
std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char &c : bytes)
    c = static_cast<char>(random());
  return bytes;
}

class Forms : public TestWithParam<std::pair<const char *, std::string>> {};

TEST_P(Forms, AreFoundInTheMiddleOfALog) {
  SecretSearch search;
  search.add("password", password);
  const auto &[name, text] = GetParam();
  EXPECT_THAT(search.find("2026-11-22 some line\n" + text + "\nthe next\n"), Not(IsEmpty()));
  EXPECT_THAT(search.find("2026-11-22 some line\nthe next\n"), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Password, Forms,
    Values(std::pair{"Raw", password}, std::pair{"Utf16", utf16(password)},
           std::pair{"OnTheWire", on_the_wire(password)}, std::pair{"Hex", hex(password)},
           std::pair{"HexUpper", hex(password, "", true)}, std::pair{"HexWithBlanks", hex(password, " ")},
           std::pair{"HexWithColons", hex(password, ":", true)},
           std::pair{"HexOfUtf16", hex(utf16(password))},
           std::pair{"HexOfTheWire", hex(on_the_wire(password))}, std::pair{"Base64", base64(password)},
           std::pair{"Base64OffByOne", base64("x" + password)},
           std::pair{"Base64OffByTwo", base64("xy" + password)},
           std::pair{"Base64OfUtf16", base64("a" + utf16(password))},
           std::pair{"Base64OfTheWire", base64(on_the_wire(password))},
           std::pair{"Base64OfTheWireForUrls", base64(on_the_wire(password), "-_")},
           std::pair{"Base64InLines", base64(password).insert(7, "\n")},
           std::pair{"JsonOfUtf16", nlohmann::json(utf16(password)).dump()},
           std::pair{"EscapedAsC", std::string(R"(Geheim\x21\x43anary\0564\x32)")},
           std::pair{"HexInUtf16", utf16(hex(password))},
           std::pair{"Base64InUtf16", utf16(base64("ab" + password))},
           std::pair{"ArrayOfBytes", "0x" + hex(password.substr(0, 15), ", 0x") + "32"},
           std::pair{"Printable", shim::printable("user " + password)}),
    [](const auto &row) { return row.param.first; });

class LongSecret : public TestWithParam<unsigned> {};

TEST_P(LongSecret, IsFoundByAPartOfIt) {
  const std::string token = random_bytes(1500, GetParam());
  SecretSearch search;
  search.add("token", token);
  const auto cut = token.substr(701, 64);
  EXPECT_THAT(search.find("dump: " + cut), Not(IsEmpty()));
  EXPECT_THAT(search.find("dump: " + hex(cut)), Not(IsEmpty()));
  EXPECT_THAT(search.find("dump: " + base64(cut)), Not(IsEmpty()));
  std::string latin1;
  for (const char c : cut) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      latin1 += c;
    else
      latin1 += static_cast<char>(0xC0 | byte >> 6), latin1 += static_cast<char>(0x80 | (byte & 0x3F));
  }
  EXPECT_THAT(search.find(latin1), Not(IsEmpty()));
  EXPECT_THAT(search.find(random_bytes(100'000, GetParam() + 100)), IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(Seeds, LongSecret, Values(1u, 2u, 3u, 4u));

/// As the decision log would write it: what is no UTF-8 is replaced, controls are escaped.
TEST(SecretSearch, FindsATokenThatWentThroughTheLog) {
  const std::string token = random_bytes(600, 7);
  SecretSearch search;
  search.add("token", token);
  shim::Record record;
  record.conn = "00000001";
  record.event = shim::TraceLine{"token " + token};
  EXPECT_THAT(search.find(shim::to_json(record)), Not(IsEmpty()));
}

TEST(SecretSearch, NamesInATokenAreNoSecrets) {
  const std::string name = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";
  SecretSearch search;
  search.add("token", random_bytes(64, 9) + name + random_bytes(64, 10));
  EXPECT_THAT(search.find("spn=" + name), IsEmpty());
  EXPECT_THAT(search.find(std::string(4096, '\0')), IsEmpty());
}

TEST(SecretSearch, SaysWhichAndHow) {
  SecretSearch search;
  search.add("key", random_bytes(32, 11));
  search.add("password", password);
  EXPECT_EQ(search.secrets(), 2u);
  EXPECT_THAT(search.find(hex(password)), ElementsAre("password: its bytes, hexadecimal"));
  EXPECT_THAT(search.find(random_bytes(32, 11) + utf16(password)),
              ElementsAre("key: its bytes", "password: its bytes", "password: UTF-16LE"));
}

TEST(SecretSearch, RefusesWhatItCannotLookFor) {
  SecretSearch search;
  EXPECT_THROW(search.add("short", "abc"), std::invalid_argument);
  EXPECT_THROW(search.add("empty", std::string(100, '\0')), std::invalid_argument);
  EXPECT_THROW(search.add("text", "This is a text of many words and of no secret at all"),
               std::invalid_argument);
}

} // namespace
