#include "shim/login/server_login.hpp"

#include <gtest/gtest.h>

// The login itself is tested with real parts in tests/component, as are shim/upstream, shim/preparation
// and shim/attempt around it.

namespace shim_test {
namespace {

using namespace shim;

TEST(ChannelBinding, IsTheClientsFirstFinishedAndNothingWhereThereIsNone) {
  TlsFacts facts;
  EXPECT_TRUE(channel_binding(facts).empty()) << "TLS 1.3";
  facts.unique = {1, 2, 3};
  const auto binding = channel_binding(facts);
  EXPECT_EQ(std::string(binding.begin(), binding.end()), "tls-unique:\x01\x02\x03");
}

} // namespace
} // namespace shim_test
