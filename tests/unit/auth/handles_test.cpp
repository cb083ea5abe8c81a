#include "auth/handles.hpp"

#include "tests/unit/auth/support.hpp"

namespace auth_test {
namespace {

TEST(Handles, CodesOfLibkrb5) {
  struct {
    krb5_error_code code;
    Kind kind;
    std::int64_t number;
  } rows[] = {
      {0, Kind::ok, 0},
      {KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, Kind::service_unknown, 7},
      {KRB5KRB_AP_ERR_SKEW, Kind::clock_skew, 37},
      {KRB5_KDCREP_SKEW, Kind::clock_skew, KRB5_KDCREP_SKEW},
      {KRB5KRB_AP_ERR_TKT_EXPIRED, Kind::ticket_expired, 32},
      {KRB5_REALM_UNKNOWN, Kind::realm_unknown, KRB5_REALM_UNKNOWN},
      {KRB5_PROG_ETYPE_NOSUPP, Kind::etype_refused, KRB5_PROG_ETYPE_NOSUPP},
      {KRB5_FCC_NOFILE, Kind::no_credentials, KRB5_FCC_NOFILE},
      {KRB5KRB_AP_ERR_MSG_TYPE, Kind::malformed, 40},
      {ASN1_OVERRUN, Kind::malformed, ASN1_OVERRUN},
      {ENOENT, Kind::other, ENOENT},
  };
  const Context context = value(make_bare_context());
  for (const auto &row : rows) {
    EXPECT_EQ(to_string(kind_of_library_error(row.code)), to_string(row.kind)) << row.code;
    EXPECT_EQ(rfc_number(row.code), row.number);
  }
  const Error error = library_error(context.get(), KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, "sql1: ");
  EXPECT_EQ(error.text, "sql1: Server not found in Kerberos database");
  EXPECT_EQ(error.said, "");
}

TEST(Handles, TextOfATime) {
  EXPECT_EQ(utc_text(Time(std::chrono::seconds(error_seconds))), "2026-07-30T12:00:00Z");
  EXPECT_EQ(utc_text(to_time(0)), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_text(to_time(-1)), "2106-02-07T06:28:15Z") << "libkrb5's timestamps are unsigned";
}

TEST(Handles, OwnedGivesBackOnce) {
  const Context context = value(make_bare_context());
  Principal first(context.get()), second(context.get());
  check(krb5_parse_name(context.get(), "alice@CORP.TEST", first.out()), "parse_name");
  check(krb5_parse_name(context.get(), "bob@CORP.TEST", first.out()),
        "parse_name"); // alice is given back: the leak checker sees it
  *second.out() = first.release();
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_EQ(unparse(context.get(), second.get()), "bob@CORP.TEST");
}

} // namespace
} // namespace auth_test
