#include "shim/names/browsers.hpp"

#include <gtest/gtest.h>

namespace shim_test {
namespace {

using namespace shim;
using namespace std::chrono_literals;

class BrowsersTest : public testing::Test {
protected:
  std::uint16_t port(Browsers::Clock::time_point at) const {
    const auto known = browsers_.find("sql1.corp.test", "INST", at);
    return known ? known->port : 0;
  }
  Browsers browsers_;
  const Browsers::Clock::time_point start_ = Browsers::Clock::now();
};

TEST_F(BrowsersTest, APortCountsForAMinute) {
  EXPECT_EQ(port(start_), 0);
  EXPECT_EQ(browsers_.put("sql1.corp.test", "INST", 50001, start_).before, 0);
  EXPECT_EQ(port(start_ + 59s), 50001);
  EXPECT_EQ(port(start_ + 60s), 0);
}

TEST_F(BrowsersTest, CapitalsAndADotAtTheEndDoNotCount) {
  browsers_.put("SQL1.corp.test.", "inst", 50001, start_);
  EXPECT_EQ(port(start_), 50001);
  EXPECT_FALSE(browsers_.find("sql1.corp.test", "OTHER", start_));
  EXPECT_FALSE(browsers_.find("sql2.corp.test", "INST", start_));
}

TEST_F(BrowsersTest, WhereItWasBeforeStaysKnown) {
  browsers_.put("sql1.corp.test", "INST", 50001, start_);
  browsers_.flush("sql1.corp.test", "INST");
  EXPECT_EQ(port(start_), 0);
  EXPECT_EQ(browsers_.put("sql1.corp.test", "INST", 50002, start_).before, 50001);
  browsers_.forget();
  EXPECT_EQ(port(start_), 0);
  EXPECT_EQ(browsers_.put("sql1.corp.test", "INST", 50002, start_ + 100s).before, 50001)
      << "it has not moved since";
  EXPECT_EQ(browsers_.find("sql1.corp.test", "INST", start_ + 100s)->before, 50001);
}

TEST_F(BrowsersTest, OneIsFlushedAndTheOthersStay) {
  browsers_.put("sql1.corp.test", "INST", 50001, start_);
  browsers_.put("sql1.corp.test", "OTHER", 50002, start_);
  browsers_.flush("sql1.corp.test", "OTHER");
  browsers_.flush("unheard.of", "OTHER");
  EXPECT_EQ(port(start_), 50001);
  EXPECT_FALSE(browsers_.find("sql1.corp.test", "OTHER", start_));
}

TEST_F(BrowsersTest, TheOldestGoesWhereThereAreTooMany) {
  for (std::size_t i = 0; i <= Browsers::most; ++i)
    browsers_.put("sql" + std::to_string(i), "INST", 50001, start_ + std::chrono::milliseconds(i));
  EXPECT_EQ(browsers_.size(), Browsers::most);
  EXPECT_FALSE(browsers_.find("sql0", "INST", start_ + 2s));
  EXPECT_TRUE(browsers_.find("sql1", "INST", start_ + 2s));
}

} // namespace
} // namespace shim_test
