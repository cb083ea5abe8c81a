#include "config/privileges.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace {

bool may(const std::string &capabilities) {
  return config::may_read_files_of_others("Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t" + capabilities +
                                          "\nCapBnd:\t0\n");
}

TEST(Privileges, OneOfTwoCapabilitiesWillDo) {
  EXPECT_FALSE(may("0000000000000000"));
  EXPECT_TRUE(may("0000000000000002")) << "CAP_DAC_OVERRIDE";
  EXPECT_TRUE(may("0000000000000004")) << "CAP_DAC_READ_SEARCH";
  EXPECT_FALSE(may("000001fffffffff9")) << "all the others";
  EXPECT_TRUE(may("000001ffffffffff"));
}

TEST(Privileges, WhatIsNoStatusGivesNone) {
  for (const char *text : {"", "CapEff:", "\nCapEff:\t", "\nCapEff:\tx", "CapPrm:\t000001ffffffffff\n"})
    EXPECT_FALSE(config::may_read_files_of_others(text)) << text;
}

TEST(Privileges, OfThisProcess) {
  std::ifstream in("/proc/self/status");
  const std::string status(std::istreambuf_iterator<char>(in), {});
  EXPECT_NE(status.find("\nCapEff:\t"), std::string::npos);
  if (::geteuid() != 0) {
    EXPECT_FALSE(config::may_read_files_of_others(status));
  }
}

} // namespace
