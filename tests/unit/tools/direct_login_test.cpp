#include "tools/direct_login.hpp"

#include <gmock/gmock.h>

namespace {

using namespace testing;
using commands::freetds_conf;

config::Route route(config::Encrypt encrypt) {
  config::Route made;
  made.encrypt = encrypt;
  made.ca_file = "/etc/corp-ca.pem";
  return made;
}

TEST(DirectLogin, WhatFreeTdsIsTold) {
  EXPECT_EQ(freetds_conf(route(config::Encrypt::require), "10.0.0.1:1433"),
            "[server]\n\thost = 10.0.0.1\n\tport = 1433\n\ttds version = 7.4\n\tencryption = require\n"
            "\tca file = /etc/corp-ca.pem\n\tcheck certificate hostname = no\n");
  EXPECT_THAT(
      *freetds_conf(route(config::Encrypt::login), "[fe80::1]:11433"),
      AllOf(HasSubstr("host = fe80::1\n"), HasSubstr("port = 11433\n"), HasSubstr("encryption = request\n")));
  EXPECT_THAT(*freetds_conf(route(config::Encrypt::off), "10.0.0.1:1"),
              AllOf(HasSubstr("encryption = off\n"), Not(HasSubstr("ca file"))));
}

TEST(DirectLogin, CertificatesAreJudgedAsTheRouteJudgesThem) {
  auto any = route(config::Encrypt::require);
  any.trust_server_certificate = true;
  EXPECT_THAT(*freetds_conf(any, "10.0.0.1:1433"), Not(HasSubstr("ca file")));
  auto systems = route(config::Encrypt::require);
  systems.ca_file.clear();
  EXPECT_THAT(*freetds_conf(systems, "10.0.0.1:1433"), HasSubstr("ca file = system\n"));
}

TEST(DirectLogin, WhatFreeTdsCannotDoIsSaid) {
  EXPECT_THAT(freetds_conf(route(config::Encrypt::strict), "10.0.0.1:1433").error(), HasSubstr("TDS 8.0"));
}

TEST(DirectLogin, WhetherTheyAgree) {
  const auto agree = [](std::string ours, std::optional<bool> accepted) {
    commands::SecondOpinion opinion;
    opinion.ours = std::move(ours);
    opinion.accepted = accepted;
    return opinion.agree();
  };
  EXPECT_EQ(agree("ok", true), true);
  EXPECT_EQ(agree("login-denied", false), true);
  EXPECT_EQ(agree("ok", false), false);
  EXPECT_EQ(agree("login-denied", true), false);
  EXPECT_EQ(agree("", true), std::nullopt);
  EXPECT_EQ(agree("ok", std::nullopt), std::nullopt);
}

} // namespace
