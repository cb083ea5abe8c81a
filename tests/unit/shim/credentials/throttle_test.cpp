#include "shim/credentials/throttle.hpp"

#include <gtest/gtest.h>

namespace shim_test {
namespace {

using namespace shim;
using namespace std::chrono_literals;

struct FakeIdentity final : auth::Identity {
  FakeIdentity(std::string name, std::size_t content, std::string principal = "svc@CORP.TEST",
               auth::Source source = auth::Source::password_file)
      : spec_{std::move(name), source, "file", principal}, principal_(std::move(principal)),
        content_(content) {}
  const auth::IdentitySpec &spec() const override { return spec_; }
  const std::string &principal() const override { return principal_; }
  const std::string &realm() const override { return principal_; }
  std::size_t fingerprint() const override { return content_; }
  std::optional<auth::Time> expires() const override { return std::nullopt; }

  auth::IdentitySpec spec_;
  std::string principal_;
  std::size_t content_;
};

class ThrottleTest : public testing::Test {
protected:
  Throttle::Clock::time_point now_{};
  Throttle throttle_{[this] { return now_; }};
  FakeIdentity reports_{"reports", 1};
};

TEST_F(ThrottleTest, TwoRefusalsShutItForAnHour) {
  EXPECT_FALSE(throttle_.shut(reports_));
  throttle_.refused(reports_);
  EXPECT_FALSE(throttle_.shut(reports_));
  now_ += 10min;
  throttle_.refused(reports_);
  EXPECT_EQ(throttle_.shut(reports_), 50min) << "until the older one is an hour old";
  now_ += 50min - 1s;
  EXPECT_EQ(throttle_.shut(reports_), 1s);
  now_ += 1s;
  EXPECT_FALSE(throttle_.shut(reports_)) << "one more try";
  throttle_.refused(reports_);
  EXPECT_EQ(throttle_.shut(reports_), 10min) << "never more than two within any hour";
  now_ += 10h;
  EXPECT_FALSE(throttle_.shut(reports_));
}

TEST_F(ThrottleTest, WhatWasBelievedIsGoodUntilItIsRefused) {
  FakeIdentity same("other", 1), another("reports", 2);
  EXPECT_FALSE(throttle_.is_good(reports_));
  throttle_.good(reports_);
  EXPECT_TRUE(throttle_.is_good(reports_));
  EXPECT_TRUE(throttle_.is_good(same)) << "the same password of the same principal";
  EXPECT_FALSE(throttle_.is_good(another));
  throttle_.refused(another);
  EXPECT_FALSE(throttle_.is_good(reports_)) << "the account's password may have changed";
  throttle_.good(reports_);
  throttle_.forget();
  EXPECT_FALSE(throttle_.is_good(reports_));
}

TEST_F(ThrottleTest, AnotherContentStartsAnew) {
  throttle_.refused(reports_);
  throttle_.refused(reports_);
  FakeIdentity same("reports", 1), mended("reports", 2);
  EXPECT_TRUE(throttle_.shut(same)) << "read again, but the same";
  EXPECT_FALSE(throttle_.shut(mended));
  throttle_.refused(mended);
  EXPECT_FALSE(throttle_.shut(mended));
}

TEST_F(ThrottleTest, AnotherPasswordOfAClientDoesNot) {
  const auto of_client = [](std::size_t password) {
    return FakeIdentity("users", password, "svc@CORP.TEST", auth::Source::client_password);
  };
  throttle_.refused(of_client(1));
  EXPECT_FALSE(throttle_.shut(of_client(2)));
  throttle_.refused(of_client(2));
  EXPECT_TRUE(throttle_.shut(of_client(3)))
      << "or whoever may log in could lock the account, password by password";
  EXPECT_TRUE(throttle_.shut(reports_)) << "the KDC counts them together";
}

TEST_F(ThrottleTest, CountsByPrincipalNotByIdentity) {
  FakeIdentity twin("twin", 7), stranger("stranger", 1, "other@CORP.TEST");
  throttle_.refused(reports_);
  throttle_.refused(twin);
  EXPECT_TRUE(throttle_.shut(reports_)) << "one account is behind both";
  EXPECT_TRUE(throttle_.shut(twin));
  EXPECT_FALSE(throttle_.shut(stranger));
  FakeIdentity mended_twin("twin", 8);
  EXPECT_FALSE(throttle_.shut(mended_twin));
  EXPECT_FALSE(throttle_.shut(reports_));
}

TEST_F(ThrottleTest, ForgetOpensIt) {
  throttle_.refused(reports_);
  throttle_.refused(reports_);
  throttle_.forget();
  EXPECT_FALSE(throttle_.shut(reports_));
}

} // namespace
} // namespace shim_test
