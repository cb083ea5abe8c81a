// What the ticket store promises, with a real KDC and a real acceptor: logins never wait for a renewal, never fail because of one, and
// never ask anybody themselves.
#include "tests/component/auth_support.hpp"

#include "auth/ticket_store.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <regex>
#include <set>
#include <sstream>
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
    identity_ =
        value(load_identity({"reports", Source::keytab, file("reports.keytab"), "svc-reports"}, realm_.krb5_conf()));
  }

  fs::path file(const std::string &name) const { return folder_.path() / name; }

  /// Fetches the TGT and the service ticket anew and puts them into the store, as a renewal does.
  void renew() {
    ASSERT_TRUE(store_.claim(tgt_key));
    const TicketPtr tgt = ticket(get_tgt(identity_, realm_));
    store_.put(tgt_key, tgt);
    ASSERT_TRUE(store_.claim(service_key));
    store_.put(service_key, ticket(get_service_ticket(tgt, spn, realm_)));
  }

  /// One login: a ticket from the store, a context made with it, accepted by the server. Empty, or what went wrong.
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

  /// `count` logins on four threads while `renewals` of the tickets go on; the failures. After every 25th login a thread waits for
  /// the next renewal, so that the two are mixed on any machine.
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
          note(login(i % 8 < 4 ? Wrapping::spnego : Wrapping::raw_kerberos));
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

/// A mark in a trace of system calls: one that cannot do anything.
void mark() { shutdown(-1, SHUT_RDWR); }

TEST_F(TicketStoreKdc, LoginsGoOnWithoutTheKdc) {
  renew();
  mark();
  EXPECT_THAT(logins(100, false), IsEmpty());
  realm_.stop_kdc();
  EXPECT_THAT(logins(100, false), IsEmpty());
  mark();
}

TEST_F(TicketStoreKdc, FirstTokensAfterTheFirstLogin) {
  renew();
  ASSERT_EQ(login(Wrapping::spnego), ""); // GSSAPI looks for its mechanisms once
  const TicketPtr ticket = store_.lookup(service_key, std::chrono::system_clock::now()).ticket;
  mark();
  for (int i = 0; i < 20; ++i)
    for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw_kerberos})
      ASSERT_TRUE(value(make_initiator(ticket, {.wrapping = wrapping, .mutual = true}))->step({}));
  mark();
}

// --- the same, seen from outside ---

/// System calls of a test of this program, less those of the lab's own programs that it started: before its first mark, and
/// between its two marks.
struct Traced {
  std::vector<std::string> before;
  std::vector<std::string> between;
};

bool can_trace() { return lab::run({.argv = {"strace", "-f", "-o", "/dev/null", "true"}}).status == 0; }

Traced trace(const std::string &test, const std::string &calls) {
  const lab::TemporaryFolder folder;
  const fs::path output = folder.path() / "trace";
  // LeakSanitizer traces the process too, and there can be only one.
  const char *options = getenv("ASAN_OPTIONS");
  const auto done =
      lab::run({.argv = {"strace", "-f", "-e", "trace=execve," + calls, "-o", output.string(),
                         fs::read_symlink("/proc/self/exe").string(), "--gtest_filter=" + test},
                .environment = {{"ASAN_OPTIONS", std::string(options ? options : "") + ":detect_leaks=0"}}},
               {}, 110s);
  if (done.status != 0) fail(test + " failed under strace:\n" + done.output);

  std::vector<std::string> lines;
  std::istringstream text(lab::read_file(output));
  for (std::string line; std::getline(text, line);)
    lines.push_back(line);
  const auto thread = [](const std::string &line) { return line.substr(0, line.find(' ')); };
  std::set<std::string> foreign;
  for (const std::string &line : lines)
    if (line.find(" execve(") != line.npos && thread(line) != thread(lines.front())) foreign.insert(thread(line));

  Traced traced;
  int marks = 0;
  for (const std::string &line : lines) {
    if (foreign.contains(thread(line))) continue;
    if (line.find(" shutdown(-1, SHUT_RDWR)") != line.npos)
      ++marks;
    else if (marks < 2)
      (marks ? traced.between : traced.before).push_back(line);
  }
  if (marks != 2 || foreign.empty()) fail("the trace of " + test + " cannot be read");
  return traced;
}

std::vector<std::string> matching(const std::vector<std::string> &lines, const std::string &pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> result;
  for (const std::string &line : lines)
    if (std::regex_search(line, expression)) result.push_back(line);
  return result;
}

#define SKIP_WITHOUT_PTRACE()                                                                                          \
  if (!can_trace()) {                                                                                                  \
    ASSERT_EQ(getenv("SQLSHIM_CI"), nullptr) << "strace must work in CI";                                              \
    GTEST_SKIP() << "strace is not there or may not trace: what the kernel sees of a login is not checked";            \
  }

TEST(TicketStoreTrace, ConnectsToTheKdcWhileFetchingAndNeverInALogin) {
  SKIP_WITHOUT_PTRACE();
  const Traced traced = trace("TicketStoreKdc.LoginsGoOnWithoutTheKdc", "network");
  const auto fetching = matching(traced.before, R"( connect\(\d+, \{sa_family=AF_INET)");
  EXPECT_GE(fetching.size(), 2u) << "a TGT and a service ticket";
  EXPECT_EQ(matching(fetching, R"(sin_port=htons\(18088\), sin_addr=inet_addr\("127\.\d+\.\d+\.1"\))").size(),
            fetching.size());
  // Unix sockets are left out: the acceptor, which is no part of sqlshim, may ask another mechanism's local helper.
  EXPECT_THAT(matching(traced.between,
                       R"( (connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET| socket\((AF_INET|AF_NETLINK))"),
              IsEmpty());
}

TEST(TicketStoreTrace, AFirstTokenOpensNothing) {
  SKIP_WITHOUT_PTRACE();
  const Traced traced = trace("TicketStoreKdc.FirstTokensAfterTheFirstLogin", "network,file");
  EXPECT_THAT(matching(traced.before, R"( openat\(.*krb5\.conf")"), testing::Not(IsEmpty()))
      << "the pattern still fits";
  // GSSAPI looks from time to time whether mechanisms were installed: /etc/gss.
  EXPECT_THAT(matching(traced.between,
                       R"( (connect|socket|openat|open|creat|unlink|unlinkat|rename)\((?!AT_FDCWD, "/etc/gss/))"),
              IsEmpty());
}

} // namespace
} // namespace auth_test
