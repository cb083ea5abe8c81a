// The initiator without a server: its first token, and what it makes of each refusal. Acceptance:
// tests/component/auth_kdc_test.cpp.
#include "auth/initiator.hpp"

#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>
#include <gssapi/gssapi.h>

namespace auth_test {
namespace {

using testing::HasSubstr;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";
constexpr Wrapping both[] = {Wrapping::spnego, Wrapping::raw};

TicketPtr service_ticket() { return fake_ticket({.client = "svc-reports@CORP.TEST", .server = spn}); }
std::unique_ptr<Initiator> initiator(Wrapping wrapping, TicketPtr ticket = service_ticket()) {
  return value(make_initiator(std::move(ticket), {.wrapping = wrapping, .mutual = true}));
}

TEST(Initiator, FirstToken) {
  for (const Wrapping wrapping : both) {
    const auto ours = initiator(wrapping);
    EXPECT_EQ(ours->source(), "svc-reports@CORP.TEST");
    const auto step = ours->step({});
    ASSERT_TRUE(step) << step.error().text;
    EXPECT_FALSE(step->complete);
    EXPECT_FALSE(step->mutual);
    EXPECT_EQ(step->token.at(0), 0x60);
    EXPECT_EQ(step->flags_asked, static_cast<std::uint32_t>(GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG |
                                                            GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG));
  }
}

TEST(Initiator, RefusalsOfTheServer) {
  const std::pair<int, Kind> rows[] = {
      {31, Kind::key_wrong},         {35, Kind::key_wrong},
      {41, Kind::key_wrong},         {44, Kind::key_version_wrong},
      {45, Kind::key_version_wrong}, {37, Kind::clock_skew},
      {32, Kind::ticket_expired},    {60, Kind::other},
  };
  for (const auto &[code, kind] : rows)
    for (const Wrapping wrapping : both) {
      SCOPED_TRACE(code);
      const auto ours = initiator(wrapping);
      ASSERT_TRUE(ours->step({}));
      const Bytes message = framed(3, krb_error(code, "E-TEXT"));
      const auto refused = ours->step(wrapping == Wrapping::spnego ? spnego_response(message) : message);
      ASSERT_FALSE(refused);
      EXPECT_EQ(to_string(refused.error().kind), to_string(kind));
      EXPECT_EQ(refused.error().code, code);
      EXPECT_EQ(refused.error().said, "E-TEXT");
      EXPECT_FALSE(refused.error().text.empty());
      EXPECT_EQ(refused.error().server_time,
                Time(std::chrono::seconds(error_seconds) + std::chrono::microseconds(error_micros)));
    }
}

TEST(Initiator, TokensThatAreNone) {
  for (const Wrapping wrapping : both)
    for (const Bytes &token : {Bytes{}, Bytes{0x00}, bytes("NTLMSSP and more"), Bytes{0x60, 0x80},
                               spnego_response({}), der_of(0xa1, {})}) {
      const auto ours = initiator(wrapping);
      ASSERT_TRUE(ours->step({}));
      const auto refused = ours->step(token);
      ASSERT_FALSE(refused) << token.size();
      EXPECT_EQ(to_string(refused.error().kind), "malformed") << refused.error().text;
    }
}

TEST(Initiator, AnApRepThatProvesNothing) {
  // AP-REP (RFC 4120 5.5.2) with 32 bytes that nobody encrypted.
  const Bytes ap_rep = der_of(
      0x6f, {der_of(0x30, {der_of(0xa0, {der_integer(5)}), der_of(0xa1, {der_integer(15)}),
                           der_of(0xa2, {der_of(0x30, {der_of(0xa0, {der_integer(18)}),
                                                       der_of(0xa2, {der_of(0x04, {Bytes(64, 7)})})})})})});
  const auto ours = initiator(Wrapping::raw);
  ASSERT_TRUE(ours->step({}));
  const auto refused = ours->step(framed(2, ap_rep));
  ASSERT_FALSE(refused);
  EXPECT_EQ(to_string(refused.error().kind), "mutual-failed") << refused.error().text;
}

TEST(Initiator, TicketsThatCannotBeUsed) {
  const auto fails = [](TicketPtr ticket) {
    const auto made = make_initiator(std::move(ticket), {});
    return made ? make_error(Kind::ok, "no error") : made.error();
  };
  EXPECT_EQ(to_string(fails(nullptr).kind), "no-credentials");
  const Error over = fails(fake_ticket({.server = spn, .starts = std::chrono::system_clock::now() - 11h}));
  EXPECT_EQ(to_string(over.kind), "ticket-expired");
  EXPECT_EQ(over.code, 32);
  EXPECT_THAT(over.text, HasSubstr(spn));

  auto somebody = std::make_shared<Ticket>();
  somebody->client = "mallory@CORP.TEST";
  somebody->server = spn;
  somebody->expires = std::chrono::system_clock::now() + 1h;
  somebody->credentials = service_ticket()->credentials; // of svc-reports
  EXPECT_NE(fails(somebody).kind, Kind::ok);

  auto spoiled = std::make_shared<Ticket>();
  spoiled->client = "svc-reports@CORP.TEST";
  spoiled->server = spn;
  spoiled->expires = somebody->expires;
  spoiled->credentials = Bytes(20, 1);
  EXPECT_NE(fails(spoiled).kind, Kind::ok);
}

// There is no TGT in its ccache and no default to fall back to: it fails, it does not ask.
TEST(Initiator, ATicketForAnotherServiceIsNoUse) {
  for (const Wrapping wrapping : both) {
    auto other = std::make_shared<Ticket>();
    other->client = "svc-reports@CORP.TEST";
    other->server = "MSSQLSvc/sql2.corp.test:1433@CORP.TEST";
    other->expires = std::chrono::system_clock::now() + 1h;
    other->credentials = service_ticket()->credentials; // for sql1
    const auto ours = initiator(wrapping, other);
    const auto step = ours->step({});
    ASSERT_FALSE(step);
    EXPECT_FALSE(step.error().text.empty());
  }
}

TEST(Initiator, LeavesNothingBehindWhereverItStops) {
  const TicketPtr ticket = service_ticket();
  const Bytes refusal = framed(3, krb_error(41));
  for (const Wrapping wrapping : both)
    EXPECT_LT(left_behind([&] {
                initiator(wrapping, ticket);
                ASSERT_TRUE(initiator(wrapping, ticket)->step({}));
                const auto refused = initiator(wrapping, ticket);
                ASSERT_TRUE(refused->step({}));
                ASSERT_FALSE(refused->step(refusal));
              }),
              nothing);
}

} // namespace
} // namespace auth_test
