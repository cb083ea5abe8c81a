#include "shim/admission/connections.hpp"

#include <gmock/gmock.h>
#include <memory>
#include <optional>

namespace shim_test {
namespace {

using shim::Connections;
using testing::ElementsAre;

TEST(ConnectionsTest, EntriesComeAndGo) {
  Connections connections;
  EXPECT_EQ(connections.count(), 0u);
  {
    Connections::Entry first(connections);
    EXPECT_EQ(connections.count(), 1u);
    Connections::Entry moved(std::move(first));
    EXPECT_EQ(connections.count(), 1u) << "moved from login to relay, it is one connection still";
    Connections::Entry second(connections);
    EXPECT_EQ(connections.count(), 2u);
  }
  EXPECT_EQ(connections.count(), 0u);
}

TEST(ConnectionsTest, StopReachesEachWithTheReason) {
  Connections connections;
  std::vector<std::string> stopped;
  Connections::Entry silent(connections), first(connections), second(connections);
  first.on_stop([&](const std::string &reason) { stopped.push_back("first " + reason); });
  second.on_stop([&](const std::string &reason) { stopped.push_back("second " + reason); });
  connections.stop_all("shutdown");
  EXPECT_THAT(stopped, ElementsAre("first shutdown", "second shutdown"));
}

TEST(ConnectionsTest, LatestStopCounts) {
  Connections connections;
  std::vector<std::string> stopped;
  Connections::Entry login(connections);
  login.on_stop([&](const std::string &) { stopped.push_back("login"); });
  Connections::Entry relay(std::move(login));
  relay.on_stop([&](const std::string &) { stopped.push_back("relay"); });
  connections.stop_all("shutdown");
  EXPECT_THAT(stopped, ElementsAre("relay"));
}

TEST(ConnectionsTest, OneThatIsGoneIsNotStopped) {
  Connections connections;
  bool stopped = false;
  std::optional<Connections::Entry> entry(std::in_place, connections);
  entry->on_stop([&](const std::string &) { stopped = true; });
  entry.reset();
  connections.stop_all("shutdown");
  EXPECT_FALSE(stopped);
}

TEST(ConnectionsTest, StopMayEndItsOwnEntry) {
  Connections connections;
  std::vector<std::unique_ptr<Connections::Entry>> entries(3);
  int stopped = 0;
  for (auto &entry : entries) {
    entry = std::make_unique<Connections::Entry>(connections);
    entry->on_stop([&stopped, &entry](const std::string &) {
      ++stopped;
      entry.reset();
    });
  }
  connections.stop_all("shutdown");
  EXPECT_EQ(stopped, 3);
  EXPECT_EQ(connections.count(), 0u);
}

shim::ConnectionState state(std::string id, std::uint64_t up) {
  return {.id = std::move(id), .moved = {up, 0}};
}

TEST(ConnectionsTest, SnapshotTellsOfEachAsItIsNow) {
  Connections connections;
  std::uint64_t moved = 0;
  Connections::Entry silent(connections), first(connections), second(connections);
  first.on_ask([&] { return state("7f3a01c2", moved); });
  second.on_ask([] { return state("7f3a01c3", 1); });
  moved = 5;
  const auto states = connections.snapshot();
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[0].id, "7f3a01c2");
  EXPECT_EQ(states[0].moved.up, 5u);
  EXPECT_EQ(states[1].id, "7f3a01c3");
}

TEST(ConnectionsTest, OneIsStoppedByItsIdAndNoOther) {
  Connections connections;
  std::vector<std::string> stopped;
  Connections::Entry ending(connections);
  ending.on_ask([] { return state("7f3a01c1", 0); });
  std::vector<std::unique_ptr<Connections::Entry>> entries;
  for (const std::string id : {"7f3a01c2", "7f3a01c3"}) {
    auto &entry = *entries.emplace_back(std::make_unique<Connections::Entry>(connections));
    entry.on_ask([id] { return state(id, 0); });
    entry.on_stop([&, id](const std::string &reason) {
      stopped.push_back(id + " " + reason);
      entries.clear(); // it may leave the list at once
    });
  }
  EXPECT_FALSE(connections.stop("7f3a01c1", "killed")) << "it has nothing left to stop";
  EXPECT_FALSE(connections.stop("", "killed"));
  EXPECT_TRUE(connections.stop("7f3a01c3", "killed"));
  EXPECT_THAT(stopped, ElementsAre("7f3a01c3 killed"));
  EXPECT_FALSE(connections.stop("7f3a01c2", "killed")) << "gone";
}

} // namespace
} // namespace shim_test
