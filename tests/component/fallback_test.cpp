// What follows on a Kerberos attempt that failed, for each cause that a route may list and that is provoked
// here for real: the server's own record tells how the login came to it.
#include "tests/component/server_in_process.hpp"

namespace {

using namespace testing;

constexpr const char *absent = "tcp+kerberos MSSQLSvc/absent.corp.test:1433@CORP.TEST -> tcp+sql: ";

class FallbackToPassword : public test::ServerWithSharedLab {
protected:
  static constexpr const char16_t *password = u"Lab.Passw0rd";

  /// The application's own user and password behind Kerberos, for these causes.
  static config::Config route_for(std::vector<config::Cause> causes) {
    auto config = configuration();
    auto &route = config.routes[0];
    route.attempts = {config::AttemptKind::tcp_kerberos, config::AttemptKind::tcp_sql};
    route.fallback_on = std::move(causes);
    return config;
  }
  static void spn_missing(config::Config &config) {
    config.routes[0].spn = "MSSQLSvc/absent.corp.test:1433@CORP.TEST";
  }
  /// Kerberos of a realm whose only KDC is not there.
  void kdc_unreachable(config::Config &config) {
    lab::write_file(
        folder_.path() / "krb5.conf",
        fmt::format(
            "[libdefaults]\n default_realm = CORP.TEST\n[realms]\n CORP.TEST = {{\n  kdc = {}:1\n }}\n",
            lab_->block().address(3)));
    config.kerberos.config = (folder_.path() / "krb5.conf").string();
  }
  test::LoggedIn log_in_as_sa(const char16_t *with = password) {
    return log_in({.user = u"sa", .password = with});
  }

  /// How the login came to the server, by the server's own record of connection `number`: what its
  /// token is, "none" without one.
  static std::string mechanism(int number) {
    const auto record = lab_->peer().record(number);
    return record.empty() ? "nobody came" : record.value("mechanism", "");
  }
  template <class E> static std::vector<std::string> told(const test::LoggedIn &login) {
    std::vector<std::string> lines;
    for (const auto &event : test::events_of<E>(login.trail))
      lines.push_back(event.from + " -> " + event.to + ": " + event.reason);
    return lines;
  }
  /// A missing SPN ends the login, nobody connects, and the log tells that there was another attempt.
  void expect_withheld(config::Config config, const std::string &reason) {
    spn_missing(config);
    start(std::move(config));
    const int before = seen_by_peer();
    const auto login = log_in_as_sa();
    EXPECT_THAT(login.error, StartsWith("spn-missing: "));
    EXPECT_THAT(told<shim::FallbackWithheld>(login), ElementsAre(std::string(absent) + reason));
    EXPECT_THAT(told<shim::FallbackTaken>(login), IsEmpty());
    EXPECT_EQ(seen_by_peer(), before);
  }
};

TEST_F(FallbackToPassword, AMissingSpnThatIsListed) {
  auto config = route_for({config::Cause::spn_missing});
  spn_missing(config);
  start(std::move(config));
  const int before = seen_by_peer();
  const auto login = log_in_as_sa();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told<shim::FallbackTaken>(login),
              ElementsAre(std::string(absent) + "fallback_on lists spn-missing"));
  EXPECT_EQ(seen_by_peer(), before + 1) << "nobody connects without a ticket";
  EXPECT_EQ(mechanism(before + 1), "none");
}

TEST_F(FallbackToPassword, AMissingSpnThatIsNotListed) {
  expect_withheld(route_for({config::Cause::kdc_unreachable}), "fallback_on does not list spn-missing");
}

TEST_F(FallbackToPassword, AuditOnlyTells) {
  auto config = route_for({config::Cause::spn_missing});
  config.routes[0].fallback = config::Fallback::audit;
  expect_withheld(std::move(config), "fallback_on lists spn-missing, and fallback is \"audit\"");
}

TEST_F(FallbackToPassword, AKdcThatIsNotThere) {
  auto config = route_for({config::Cause::kdc_unreachable});
  kdc_unreachable(config);
  start(std::move(config));
  const auto login = log_in_as_sa();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told<shim::FallbackTaken>(login),
              ElementsAre(EndsWith("-> tcp+sql: fallback_on lists kdc-unreachable")));
}

// No realm is known, so there is no SPN to ask for: that is no reason to send a password
// that policy does not send.
TEST_F(FallbackToPassword, WithoutARealm) {
  lab::write_file(folder_.path() / "krb5.conf", "[libdefaults]\n dns_lookup_kdc = false\n");
  auto config = route_for({});
  config.kerberos.config = (folder_.path() / "krb5.conf").string();
  config.routes[0].spn_rules.realms = {auth::RealmFrom::domain_realm};
  auto listed = config;
  listed.routes[0].fallback_on = {config::Cause::realm_unknown};
  start(std::move(config));
  EXPECT_THAT(log_in_as_sa().error, StartsWith("realm-unknown: "));
  start(std::move(listed));
  const auto login = log_in_as_sa();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told<shim::FallbackTaken>(login),
              ElementsAre("tcp+kerberos -> tcp+sql: fallback_on lists realm-unknown"));
}

// Whether the password was left behind is told by the attempt that was made, not by what
// the route might have done.
TEST_F(FallbackToPassword, ThePasswordIsIgnoredByTheAttemptThatHasATicket) {
  const auto ignored = [](const test::LoggedIn &login) {
    std::vector<std::string> lines;
    for (const auto &event : test::events_of<shim::CredentialsIgnored>(login.trail))
      lines.push_back(event.what);
    return lines;
  };
  auto config = route_for({config::Cause::spn_missing});
  start(config);
  auto login = log_in_as_sa();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(ignored(login), ElementsAre("user and password"));
  spn_missing(config);
  start(config);
  login = log_in_as_sa();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(ignored(login), IsEmpty());
}

// The client is told what its last attempt met, not what came before.
TEST_F(FallbackToPassword, WhatFollowedFailsByItself) {
  auto config = route_for({config::Cause::spn_missing});
  spn_missing(config);
  start(std::move(config));
  const auto login = log_in_as_sa(u"Wrong.Passw0rd");
  EXPECT_THAT(login.error, AllOf(StartsWith("login-denied: "), Not(HasSubstr("absent.corp.test"))));
}

// A ticket that the server has rejected is no missing SPN, whatever the list says.
TEST(Fallback, ATicketThatWasRejectedLeadsNowhere) {
  struct Proxy : test::ServerInProcess {
    using ServerInProcess::configuration, ServerInProcess::identity, ServerInProcess::start,
        ServerInProcess::log_in;
    void TestBody() override {}
  } proxy;
  for (const std::string fault : {"spn-wrong-account", "server-key-old"}) {
    SCOPED_TRACE(fault);
    lab::Lab lab({.fault = fault, .serve = false});
    auto config = Proxy::configuration(
        lab, Proxy::identity(config::IdentityKind::keytab, (lab.folder() / "reports.keytab").string()));
    config.routes[0].attempts = {config::AttemptKind::tcp_kerberos, config::AttemptKind::tcp_sql};
    config.routes[0].fallback_on = {config::Cause::spn_missing, config::find_cause(fault)->cause};
    proxy.start(std::move(config));
    const auto login = proxy.log_in({.user = u"sa", .password = u"Lab.Passw0rd"});
    EXPECT_THAT(login.error, StartsWith(fault + ": "));
    EXPECT_THAT(test::events_of<shim::FallbackTaken>(login.trail), IsEmpty());
    ASSERT_EQ(test::events_of<shim::FallbackWithheld>(login.trail).size(), 1u);
    EXPECT_THAT(test::events_of<shim::FallbackWithheld>(login.trail)[0].reason,
                StartsWith("never after " + fault));
    EXPECT_TRUE(lab.peer().record(2).empty()) << "one connection, with the ticket";
  }
}

} // namespace
