#include "auth/ticket_store.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

namespace auth {
namespace {

using namespace std::chrono_literals;

const TicketKey key{"reports", "CORP.TEST", "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"};
const TicketKey tgt{"reports", "CORP.TEST", ""};
const Time noon = std::chrono::sys_days(std::chrono::year(2026) / 7 / 30) + 12h;

/// Ten hours from noon.
TicketPtr ticket(Time starts = noon) {
  auto made = std::make_shared<Ticket>();
  made->starts = starts;
  made->expires = starts + 10h;
  return made;
}

TEST(TicketStore, EmptyFindsNothing) {
  const TicketStore store;
  const auto found = store.lookup(key, noon);
  EXPECT_EQ(found.ticket, nullptr);
  EXPECT_FALSE(found.renew);
  EXPECT_EQ(store.size(), 0u);
}

TEST(TicketStore, KeysAreApart) {
  TicketStore store;
  const TicketPtr service = ticket(), granting = ticket();
  store.put(key, service);
  store.put(tgt, granting);
  EXPECT_EQ(store.lookup(key, noon).ticket, service);
  EXPECT_EQ(store.lookup(tgt, noon).ticket, granting);
  EXPECT_EQ(store.lookup({"other", key.realm, key.spn}, noon).ticket, nullptr);
  EXPECT_EQ(store.lookup({key.identity, "OTHER.TEST", key.spn}, noon).ticket, nullptr);
  EXPECT_EQ(store.size(), 2u);
}

TEST(TicketStore, LifeOfATicket) {
  TicketStore store;
  store.put(key, ticket());
  struct {
    std::chrono::seconds after;
    bool found, renew;
  } rows[] = {
      {0s, true, false},         {5h - 1s, true, false}, {5h, true, true},    {10h - 61s, true, true},
      {10h - 60s, false, false}, {10h, false, false},    {11h, false, false},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.after.count());
    const auto found = store.lookup(key, noon + row.after);
    EXPECT_EQ(found.ticket != nullptr, row.found);
    EXPECT_EQ(found.renew, row.renew);
  }
  EXPECT_NE(store.lookup(key, noon + 10h - 60s, 10s).ticket, nullptr) << "a smaller margin";
  EXPECT_EQ(store.lookup(key, noon, 10h).ticket, nullptr) << "a margin as long as the ticket's life";
}

TEST(TicketStore, PutReplacesAndReadersKeepTheirs) {
  TicketStore store;
  store.put(key, ticket());
  const TicketPtr held = store.lookup(key, noon).ticket;
  const TicketPtr renewed = ticket(noon + 6h);
  store.put(key, renewed);
  EXPECT_EQ(store.lookup(key, noon + 7h).ticket, renewed);
  EXPECT_EQ(held->expires, noon + 10h);
}

TEST(TicketStore, DropTakesThatTicketOnly) {
  TicketStore store;
  const TicketPtr rejected = ticket();
  store.put(key, rejected);
  const TicketPtr newer = ticket();
  store.put(key, newer);
  store.drop(key, rejected);
  EXPECT_EQ(store.lookup(key, noon).ticket, newer);
  store.drop(key, newer);
  EXPECT_EQ(store.lookup(key, noon).ticket, nullptr);
  store.drop(key, newer); // twice does no harm
  EXPECT_EQ(store.size(), 0u);
}

TEST(TicketStore, WhatComesAfterClearIsStored) {
  TicketStore store;
  store.put(key, ticket());
  store.clear();
  EXPECT_EQ(store.size(), 0u);
  const TicketPtr fetched = ticket();
  store.put(key, fetched);
  EXPECT_EQ(store.lookup(key, noon).ticket, fetched);
}

// Under TSan this also shows that nothing is shared without the mutex.
TEST(TicketStore, FourThreads) {
  TicketStore store;
  std::atomic<int> found = 0;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker)
    threads.emplace_back([&, worker] {
      for (int i = 0; i < 2000; ++i) {
        const auto now = store.lookup(key, noon + 6h);
        if (now.ticket && now.ticket->expires == noon + 10h) ++found;
        if ((!now.ticket || now.renew) && i % 3) store.put(key, ticket());
        if (i % 7 == worker) store.drop(key, now.ticket);
        if (i % 501 == worker) store.clear();
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_GT(found, 0);
}

} // namespace
} // namespace auth
