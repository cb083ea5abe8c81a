// What the ticket store promises, with a real KDC and a real acceptor: logins never wait for a renewal, never
// fail because of one, and never ask anybody themselves.
#include "auth/ticket_store.hpp"
#include "tests/component/auth_support.hpp"
#include "tests/support/trace.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

namespace auth_test {
namespace {

using testing::IsEmpty;

constexpr auto service = "MSSQLSvc/sql1.corp.test:1433";
constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";

const TicketKey tgt_key{"reports", "CORP.TEST", ""};
const TicketKey service_key{"reports", "CORP.TEST", spn};

class TicketStoreKdc : public testing::Test {
protected:
  TicketStoreKdc() {
    realm_.add_spn(service);
    realm_.ktadd(file("peer.keytab"), service);
    realm_.add_principal("svc-reports");
    realm_.ktadd(file("reports.keytab"), "svc-reports");
    identity_ = value(load_identity({"reports", Source::keytab, file("reports.keytab"), "svc-reports"},
                                    realm_.krb5_conf()));
  }

  fs::path file(const std::string &name) const { return folder_.path() / name; }

  /// Fetches the TGT and the service ticket anew and puts them into the store, as a renewal does.
  void renew() {
    const TicketPtr tgt = ticket(get_tgt(identity_, realm_));
    store_.put(tgt_key, tgt);
    store_.put(service_key, ticket(get_service_ticket(tgt, spn, realm_)));
  }

  /// One login: a ticket from the store, a context made with it, accepted by the server.
  /// Empty, or what went wrong.
  std::string login(Wrapping wrapping) {
    const auto found = store_.lookup(service_key, std::chrono::system_clock::now());
    if (!found.ticket) return "no ticket in the store";
    auto initiator = make_initiator(found.ticket, {.wrapping = wrapping, .mutual = true});
    if (!initiator) return initiator.error().text;
    Acceptor acceptor(file("peer.keytab"));
    Bytes answer;
    while (true) {
      const auto step = (*initiator)->step(answer);
      if (!step) return std::string(to_string(step.error().kind)) + ": " + step.error().text;
      if (!step->token.empty()) answer = acceptor.accept(step->token);
      if (!step->complete) continue;
      if (!step->mutual || !acceptor.complete()) return "not mutual";
      return acceptor.client() == "svc-reports@CORP.TEST" ? "" : "accepted as " + acceptor.client();
    }
  }

  /// `count` logins on four threads while `renewals` of the tickets go on; the failures. After every 25th
  /// login a thread waits for the next renewal, so that the two are mixed on any machine.
  std::vector<std::string> logins(int count, bool renewing) {
    std::mutex mutex;
    std::vector<std::string> failures;
    const auto note = [&](const std::string &text) {
      const std::scoped_lock lock(mutex);
      if (!text.empty()) failures.push_back(text);
    };
    std::atomic<int> renewals = 0;
    std::atomic<bool> done = false;
    std::thread renewer([&] {
      while (renewing && !done) {
        try {
          renew();
        } catch (const std::exception &error) {
          note(error.what());
        }
        ++renewals;
        renewals.notify_all();
      }
    });
    std::vector<std::thread> threads;
    for (int worker = 0; worker < 4; ++worker)
      threads.emplace_back([&, worker] {
        for (int i = worker; i < count; i += 4) {
          note(login(i % 8 < 4 ? Wrapping::spnego : Wrapping::raw));
          if (renewing && i / 4 % 25 == 24) renewals.wait(renewals.load());
        }
      });
    for (std::thread &thread : threads)
      thread.join();
    done = true;
    renewer.join();
    if (renewing) EXPECT_GE(renewals.load(), count / 4 / 25);
    return failures;
  }

  lab::TemporaryFolder folder_;
  lab::Block block_;
  lab::Realm realm_{folder_.path() / "realm", block_};
  std::shared_ptr<const Identity> identity_;
  TicketStore store_;
};

TEST_F(TicketStoreKdc, ThousandLoginsOnFourThreadsWhileTicketsRenew) {
  renew();
  EXPECT_THAT(logins(1000, true), IsEmpty());
}

TEST_F(TicketStoreKdc, LoginsGoOnWithoutTheKdc) {
  renew();
  test::mark();
  EXPECT_THAT(logins(100, false), IsEmpty());
  realm_.stop_kdc();
  EXPECT_THAT(logins(100, false), IsEmpty());
  test::mark();
}

TEST_F(TicketStoreKdc, FirstTokensAfterTheFirstLogin) {
  renew();
  ASSERT_EQ(login(Wrapping::spnego), ""); // GSSAPI looks for its mechanisms once
  const TicketPtr ticket = store_.lookup(service_key, std::chrono::system_clock::now()).ticket;
  test::mark();
  for (int i = 0; i < 20; ++i)
    for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw})
      ASSERT_TRUE(value(make_initiator(ticket, {.wrapping = wrapping, .mutual = true}))->step({}));
  test::mark();
}

// --- the same, seen from outside ---

TEST(TicketStoreTrace, ConnectsToTheKdcWhileFetchingAndNeverInALogin) {
  SKIP_WITHOUT_PTRACE();
  const auto traced = test::trace("TicketStoreKdc.LoginsGoOnWithoutTheKdc", "network");
  const auto fetching = test::matching(traced.before, R"( connect\(\d+, \{sa_family=AF_INET)");
  EXPECT_GE(fetching.size(), 2u) << "a TGT and a service ticket";
  EXPECT_EQ(
      test::matching(fetching, R"(sin_port=htons\(18088\), sin_addr=inet_addr\("127\.\d+\.\d+\.1"\))").size(),
      fetching.size());
  // Unix sockets are left out: the acceptor, which is no part of sqlshim, may ask another
  // mechanism's local helper.
  EXPECT_THAT(test::matching(
                  traced.between,
                  R"( (connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET| socket\((AF_INET|AF_NETLINK))"),
              IsEmpty());
}

TEST(TicketStoreTrace, AFirstTokenOpensNothing) {
  SKIP_WITHOUT_PTRACE();
  const auto traced = test::trace("TicketStoreKdc.FirstTokensAfterTheFirstLogin", "network,file");
  EXPECT_THAT(test::matching(traced.before, R"( openat\(.*krb5\.conf")"), testing::Not(IsEmpty()))
      << "the pattern still fits";
  // GSSAPI looks from time to time whether mechanisms were installed: /etc/gss.
  EXPECT_THAT(test::matching(
                  traced.between,
                  R"( (connect|socket|openat|open|creat|unlink|unlinkat|rename)\((?!AT_FDCWD, "/etc/gss/))"),
              IsEmpty());
}

} // namespace
} // namespace auth_test
