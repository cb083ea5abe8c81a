#include "auth/error.hpp"

#include "auth/der.hpp"
#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>
#include <set>

namespace auth_test {
namespace {

TEST(Error, KindsHaveSpellingsOfTheirOwn) {
  std::set<std::string_view> seen;
  for (int kind = 0; kind <= static_cast<int>(Kind::other); ++kind)
    EXPECT_TRUE(seen.insert(to_string(static_cast<Kind>(kind))).second) << kind;
  EXPECT_EQ(to_string(Kind::service_unknown), "service-unknown");
  EXPECT_EQ(to_string(Kind::other), "other");
}

TEST(Error, KindsOfKdcErrors) {
  const std::pair<int, Kind> rows[] = {
      {0, Kind::ok},
      {1, Kind::client_revoked},
      {6, Kind::client_unknown},
      {7, Kind::service_unknown},
      {8, Kind::service_not_unique},
      {12, Kind::policy},
      {14, Kind::etype_refused},
      {18, Kind::client_revoked},
      {23, Kind::key_expired},
      {24, Kind::preauth_failed},
      {25, Kind::preauth_required},
      {27, Kind::service_unknown},
      {31, Kind::preauth_failed},
      {32, Kind::ticket_expired},
      {37, Kind::clock_skew},
      {60, Kind::other},
      {68, Kind::wrong_realm},
      {-1, Kind::other},
      {100000, Kind::other},
  };
  for (const auto &[code, kind] : rows)
    EXPECT_EQ(to_string(kind_of_kdc_error(code)), to_string(kind)) << code;
}

TEST(Error, KindsOfServerErrors) {
  const std::pair<int, Kind> rows[] = {
      {0, Kind::ok},
      {7, Kind::other},
      {12, Kind::policy},
      {14, Kind::etype_refused},
      {24, Kind::other},
      {31, Kind::key_wrong},
      {32, Kind::ticket_expired},
      {35, Kind::key_wrong},
      {37, Kind::clock_skew},
      {41, Kind::key_wrong},
      {44, Kind::key_version_wrong},
      {45, Kind::key_version_wrong},
      {60, Kind::other},
      {-5, Kind::other},
  };
  for (const auto &[code, kind] : rows)
    EXPECT_EQ(to_string(kind_of_server_error(code)), to_string(kind)) << code;
}

TEST(Error, DecodesWhatLibkrb5Makes) {
  for (const int code : {0, 7, 37, 41, 127})
    for (const std::string said :
         {"", "UNKNOWN_SERVER",
          "a text of more than one hundred and twenty-seven bytes, so that all lengths around it "
          "take the long form of DER, which is where hand-made decoders go wrong"})
      for (const bool with_client : {false, true}) {
        const auto error = decode_krb_error(krb_error(code, said, with_client));
        ASSERT_TRUE(error) << code << said;
        EXPECT_EQ(error->code, code);
        EXPECT_EQ(error->said, said);
        EXPECT_EQ(error->server_time,
                  Time(std::chrono::seconds(error_seconds) + std::chrono::microseconds(error_micros)));
      }
}

TEST(Error, TheZeroThatEndsMitsTextIsNoPartOfIt) {
  EXPECT_EQ(decode_krb_error(krb_error(7, std::string("UNKNOWN_SERVER\0", 15))).value().said,
            "UNKNOWN_SERVER");
}

/// All the ways in which a server's token can hold a message.
std::vector<std::pair<std::string, Bytes>> wrapped(const Bytes &message) {
  return {{"bare", message},
          {"framed", framed(3, message)},
          {"spnego, framed", spnego_response(framed(3, message))},
          {"spnego, bare", spnego_response(message)}};
}

TEST(Error, FindsAKrbErrorInAToken) {
  for (const auto &[name, token] : wrapped(krb_error(41, "said"))) {
    SCOPED_TRACE(name);
    const auto error = find_krb_error(token);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, 41);
    EXPECT_EQ(error->said, "said");
    EXPECT_FALSE(holds_ap_rep(token));
  }
  // Windows names Kerberos by another OID, 1.2.840.48018.1.2.2, in older SPNEGO: any OID will do.
  Bytes other_oid = framed(3, krb_error(41));
  *std::ranges::search(other_oid, krb5_oid).begin() = 0x06;
  std::ranges::search(other_oid, krb5_oid).begin()[5] = 0x82;
  EXPECT_TRUE(find_krb_error(other_oid));
}

TEST(Error, FindsNoneWhereNoneIs) {
  const Bytes ap_rep = der_of(0x6f, {der_of(0x30, {der_of(0xa0, {der_integer(5)})})});
  for (const auto &[name, token] : std::vector<std::pair<std::string, Bytes>>{
           {"bare", ap_rep}, {"framed", framed(2, ap_rep)}, {"spnego", spnego_response(framed(2, ap_rep))}}) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(find_krb_error(token));
    EXPECT_TRUE(holds_ap_rep(token));
  }
  const Bytes error = krb_error(41);
  const std::vector<std::pair<std::string, Bytes>> none{
      {"empty", {}},
      {"zeros", Bytes(100, 0)},
      {"NTLM", bytes("NTLMSSP")},
      {"something after the error", join({error, {0}})},
      {"something after the frame", join({framed(3, error), {0}})},
      {"something after SPNEGO", join({spnego_response(framed(3, error)), {0}})},
      {"frame without an OID", der_of(0x60, {{3, 0}, error})},
      {"SPNEGO in SPNEGO", spnego_response(spnego_response(error))},
      {"SPNEGO without a token", der_of(0xa1, {der_of(0x30, {der_of(0xa0, {{0x0a, 0x01, 0x02}})})})},
      {"SPNEGO with an empty token", spnego_response({})},
      {"indefinite length", {0x7e, 0x80, 0x00, 0x00}},
      {"length of lengths beyond all", {0x7e, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
      {"length beyond the end", {0x7e, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30}},
  };
  for (const auto &[name, token] : none)
    EXPECT_FALSE(find_krb_error(token)) << name;
}

// Each prefix is a heap block of its own, so that the sanitizer sees a read past its end.
TEST(Error, CutAtEveryByteOrSpoiledInOne) {
  for (const auto &[name, token] : wrapped(krb_error(41, "said", true))) {
    SCOPED_TRACE(name);
    for (std::size_t size = 0; size < token.size(); ++size) {
      EXPECT_FALSE(find_krb_error(Bytes(token.begin(), token.begin() + static_cast<long>(size)))) << size;
      for (const std::uint8_t flip : {0x01, 0x80, 0xff}) {
        Bytes spoiled = token;
        spoiled[size] ^= flip;
        find_krb_error(spoiled); // any answer is right, reading elsewhere is not
      }
    }
  }
}

TEST(Error, FieldsThatMakeNoSense) {
  const auto field = [](int number, const Bytes &contents) {
    return der_of(static_cast<std::uint8_t>(0xa0 + number), {contents});
  };
  const Bytes realm = field(9, der_of(0x1b, {bytes("CORP.TEST")}));
  const Bytes name = field(10, der_of(0x30, {}));
  const auto message = [&](const Bytes &version, const Bytes &type, const Bytes &stime, const Bytes &susec,
                           const Bytes &code) {
    return der_of(0x7e, {der_of(0x30, {field(0, version), field(1, type), field(4, der_of(0x18, {stime})),
                                       field(5, susec), field(6, code), realm, name})});
  };
  const Bytes five = der_integer(5), thirty = der_integer(30), zero = der_integer(0), code = der_integer(7);
  const Bytes noon = bytes("20260730120000Z");
  ASSERT_TRUE(decode_krb_error(message(five, thirty, noon, zero, code)));
  EXPECT_FALSE(decode_krb_error(message(der_integer(4), thirty, noon, zero, code))) << "version";
  EXPECT_FALSE(decode_krb_error(message(five, der_integer(11), noon, zero, code))) << "message type";
  EXPECT_FALSE(decode_krb_error(message(five, thirty, noon, der_integer(0xff), code)))
      << "negative microseconds";
  EXPECT_FALSE(decode_krb_error(message(five, thirty, noon, Bytes{0x02, 0x03, 0x0f, 0x42, 0x40}, code)))
      << "a million microseconds";
  EXPECT_FALSE(decode_krb_error(message(five, thirty, noon, zero, Bytes{0x02, 0x05, 1, 1, 1, 1, 1})))
      << "a number of five bytes";
  EXPECT_FALSE(decode_krb_error(message(five, thirty, noon, zero, Bytes{0x02, 0x00}))) << "a number of none";
  EXPECT_EQ(decode_krb_error(message(five, thirty, noon, zero, der_integer(0xff))).value().code, -1)
      << "a sign is kept";
  for (const char *time : {"", "20260730120000", "20260730120000+", "2026073012000aZ", "20261330120000Z",
                           "20260732120000Z", "20260230120000Z", "20260730240000Z", "20260730126000Z",
                           "20260730120061Z", "00000000000000Z", "99991231235959Z", "20260730120000.0Z"})
    EXPECT_FALSE(decode_krb_error(message(five, thirty, bytes(time), zero, code))) << time;
}

} // namespace
} // namespace auth_test
