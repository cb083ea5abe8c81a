// The exchanges without a KDC: what they ask, and what they make of each refusal. Tickets:
// tests/component/auth_kdc_test.cpp.
#include "auth/exchange.hpp"

#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>

namespace auth_test {
namespace {

using testing::HasSubstr;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";
const Time error_time = Time(std::chrono::seconds(error_seconds) + std::chrono::microseconds(error_micros));

class ExchangeTest : public testing::Test {
protected:
  std::shared_ptr<const Identity> identity(Source source) const {
    const std::string path = folder_.file(std::string(to_string(source)));
    if (source == Source::keytab) write_keytab(path, {{"alice@CORP.TEST"}});
    if (source == Source::ccache) write_ccache(path, "alice@CORP.TEST", {{}});
    if (source == Source::password_file) folder_.write("password-file", "secret\n");
    return value(load_identity({"test", source, path, "alice"}, config_));
  }
  std::unique_ptr<Exchange> as(Source source) const { return request_tgt(identity(source), config_, {}); }
  std::unique_ptr<Exchange> tgs(const std::string &name = spn) const {
    return request_service_ticket(fake_ticket(), name, config_, {});
  }

  Folder folder_;
  std::string config_ = folder_.write("krb5.conf", plain_config);
};

/// Answers everything that is asked with `reply`, at most three times.
std::variant<AskKdc, TicketPtr, Error> answer_all(Exchange &exchange, const Bytes &reply) {
  auto action = exchange.next();
  for (int i = 0; i < 3 && std::holds_alternative<AskKdc>(action); ++i) {
    exchange.reply(reply);
    action = exchange.next();
  }
  return action;
}

TEST_F(ExchangeTest, FirstQuestions) {
  for (const Source source : {Source::keytab, Source::password_file}) {
    const auto exchange = as(source);
    EXPECT_FALSE(exchange->last_reply());
    const AskKdc ask = std::get<AskKdc>(exchange->next());
    EXPECT_EQ(ask.realm, "CORP.TEST");
    EXPECT_EQ(ask.exchange, "AS");
    EXPECT_FALSE(ask.proof);
    EXPECT_EQ(ask.message.at(0), 0x6a) << "[APPLICATION 10] AS-REQ";
    EXPECT_EQ(std::get<AskKdc>(exchange->next()).message, ask.message) << "asking again changes nothing";
  }
  const auto exchange = tgs();
  const AskKdc ask = std::get<AskKdc>(exchange->next());
  EXPECT_EQ(ask.realm, "CORP.TEST");
  EXPECT_EQ(ask.exchange, "TGS");
  EXPECT_FALSE(ask.proof);
  EXPECT_EQ(ask.message.at(0), 0x6c) << "[APPLICATION 12] TGS-REQ";
}

TEST_F(ExchangeTest, ACcachesTgtAsksNobody) {
  const auto exchange = as(Source::ccache);
  EXPECT_EQ(std::get<TicketPtr>(exchange->next())->server, "krbtgt/CORP.TEST@CORP.TEST");
  EXPECT_FALSE(exchange->last_reply());
  exchange->reply(krb_error(7)); // nobody asked
  EXPECT_TRUE(std::holds_alternative<TicketPtr>(exchange->next()));
}

struct Refusal {
  int code;
  Kind with_keytab, with_password, service;
};

TEST_F(ExchangeTest, Refusals) {
  const Refusal rows[] = {
      {6, Kind::client_unknown, Kind::client_unknown, Kind::client_unknown},
      {7, Kind::service_unknown, Kind::service_unknown, Kind::service_unknown},
      {8, Kind::service_not_unique, Kind::service_not_unique, Kind::service_not_unique},
      {12, Kind::policy, Kind::policy, Kind::policy},
      {14, Kind::etype_refused, Kind::etype_refused, Kind::etype_refused},
      {18, Kind::client_revoked, Kind::client_revoked, Kind::client_revoked},
      {23, Kind::key_expired, Kind::key_expired, Kind::key_expired},
      {24, Kind::keytab_mismatch, Kind::preauth_failed, Kind::other},
      {27, Kind::service_unknown, Kind::service_unknown, Kind::service_unknown},
      {31, Kind::keytab_mismatch, Kind::preauth_failed, Kind::other},
      {32, Kind::ticket_expired, Kind::ticket_expired, Kind::ticket_expired},
      {37, Kind::clock_skew, Kind::clock_skew, Kind::clock_skew},
      {60, Kind::other, Kind::other, Kind::other},
      {68, Kind::wrong_realm, Kind::wrong_realm, Kind::wrong_realm},
  };
  for (const Refusal &row : rows) {
    SCOPED_TRACE(row.code);
    const auto expect = [&](Exchange &exchange, Kind kind) {
      const auto action = answer_all(exchange, krb_error(row.code, "E-TEXT", true));
      ASSERT_TRUE(std::holds_alternative<Error>(action));
      const Error error = std::get<Error>(action);
      EXPECT_EQ(to_string(error.kind), to_string(kind)) << error.text;
      EXPECT_EQ(error.code, row.code);
      EXPECT_FALSE(error.text.empty());
      EXPECT_EQ(error.said, "E-TEXT");
      EXPECT_EQ(error.server_time, error_time);
      EXPECT_EQ(exchange.last_reply().value().code, row.code);
      EXPECT_THAT(exchange.last_reply()->text, testing::EndsWith(" (E-TEXT)"));
      EXPECT_EQ(exchange.last_reply()->server_time, error_time);
    };
    expect(*as(Source::keytab), row.with_keytab);
    expect(*as(Source::password_file), row.with_password);
    expect(*tgs(), row.service);
  }
}

TEST_F(ExchangeTest, OfTwoRefusalsTheFirstCounts) {
  const auto exchange = tgs();
  exchange->next();
  exchange->reply(krb_error(7, "first"));
  ASSERT_TRUE(std::holds_alternative<AskKdc>(exchange->next()))
      << "libkrb5 asks again without name canonicalisation";
  exchange->reply(krb_error(60, "second"));
  const Error error = std::get<Error>(exchange->next());
  EXPECT_EQ(error.code, 7);
  EXPECT_EQ(error.kind, Kind::service_unknown);
  EXPECT_EQ(error.said, "first");
  EXPECT_EQ(exchange->last_reply()->code, 60) << "each reply is logged as it was";
}

TEST_F(ExchangeTest, AfterItsEndNothingChangesIt) {
  const auto exchange = as(Source::keytab);
  exchange->next();
  exchange->reply(krb_error(6));
  const Error error = std::get<Error>(exchange->next());
  exchange->reply(krb_error(37));
  EXPECT_EQ(std::get<Error>(exchange->next()).code, error.code);
  EXPECT_EQ(exchange->last_reply()->code, 6);
}

TEST_F(ExchangeTest, RepliesThatAreNone) {
  for (const Bytes &reply : {Bytes{}, bytes("HTTP/1.1 400"), Bytes(5, 0), Bytes{0x7e, 0x80},
                             Bytes{0x6b, 0x03, 0x30, 0x01, 0x00}}) {
    for (const auto &exchange : {as(Source::keytab).release(), tgs().release()}) {
      const std::unique_ptr<Exchange> owned(exchange);
      const auto action = answer_all(*owned, reply);
      ASSERT_TRUE(std::holds_alternative<Error>(action));
      EXPECT_EQ(to_string(std::get<Error>(action).kind), "malformed") << std::get<Error>(action).text;
    }
  }
}

TEST_F(ExchangeTest, StartsThatCannotBeMade) {
  EXPECT_EQ(std::get<Error>(request_tgt(nullptr, config_, {})->next()).kind, Kind::no_credentials);
  EXPECT_EQ(std::get<Error>(request_service_ticket(nullptr, spn, config_, {})->next()).kind,
            Kind::no_credentials);
  EXPECT_EQ(std::get<Error>(request_tgt(identity(Source::keytab), folder_.file("absent"), {})->next()).kind,
            Kind::malformed);
  for (const std::string name : {"", "MSSQLSvc/sql1", "a@b@c"}) {
    const auto exchange = tgs(name);
    const auto action = exchange->next();
    ASSERT_TRUE(std::holds_alternative<Error>(action)) << name;
    EXPECT_THAT(std::get<Error>(action).text, HasSubstr(name + ": "));
  }
}

TEST_F(ExchangeTest, AnExpiredTgtAsksNobody) {
  const TicketPtr over = fake_ticket({.starts = std::chrono::system_clock::now() - 11h});
  const auto exchange = request_service_ticket(over, spn, config_, {});
  const auto action = exchange->next();
  ASSERT_TRUE(std::holds_alternative<Error>(action));
  EXPECT_EQ(to_string(std::get<Error>(action).kind), "ticket-expired");
  EXPECT_EQ(std::get<Error>(action).code, 32);
}

TEST_F(ExchangeTest, TraceLines) {
  std::vector<std::string> lines;
  {
    const auto exchange = request_tgt(identity(Source::password_file), config_,
                                      [&](std::string_view line) { lines.emplace_back(line); });
    exchange->next();
  }
  EXPECT_THAT(lines, testing::Contains(HasSubstr("Getting initial credentials for alice@CORP.TEST")));
  EXPECT_THAT(lines, testing::Each(testing::Not(HasSubstr("secret"))));
}

TEST_F(ExchangeTest, LeavesNothingBehindWhereverItStops) {
  const auto keytab = identity(Source::keytab);
  const TicketPtr tgt = fake_ticket();
  const Bytes refusal = krb_error(60, "E-TEXT", true);
  EXPECT_LT(left_behind([&] {
              request_tgt(keytab, config_, {});
              request_tgt(keytab, config_, {})->next();
              answer_all(*request_tgt(keytab, config_, {}), refusal);
              request_service_ticket(tgt, spn, config_, {})->next();
              answer_all(*request_service_ticket(tgt, spn, config_, {}), refusal);
            }),
            nothing);
}

} // namespace
} // namespace auth_test
