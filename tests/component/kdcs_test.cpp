// Where tickets come from: a real KDC beside one that fails in each way, lists by krb5.conf, sssd and DNS,
// IPv6. The proxy runs in this process; how long a login took is what its own decision log says.
#include "tests/component/server_in_process.hpp"
#include "tools/lab/black_hole.hpp"
#include "tools/lab/kdc_front.hpp"

#include <sys/socket.h>

namespace {

using namespace testing;
using namespace std::chrono_literals;
using Manner = lab::KdcFrontOptions::Manner;

/// What a dead KDC may cost a login, at most.
constexpr std::chrono::microseconds soon = 1500ms;

class KdcChoice : public test::ServerWithSharedLab {
protected:
  std::string real() const {
    return fmt::format("{}:{}", lab_->realm().kdc_address(), lab_->realm().kdc_port());
  }
  lab::KdcFrontOptions front(Manner manner, std::chrono::milliseconds delay = 0ms) const {
    return {.address = lab_->block().address(3),
            .kdc_address = lab_->realm().kdc_address(),
            .kdc_port = lab_->realm().kdc_port(),
            .manner = manner,
            .delay = delay};
  }

  /// krb5.conf with these KDCs. No KDC at all where the list is empty.
  std::string krb5_conf(const std::vector<std::string> &kdcs, const std::string &libdefaults = {}) {
    std::string text =
        "[libdefaults]\n default_realm = CORP.TEST\n" + libdefaults + "[realms]\n CORP.TEST = {\n";
    for (const auto &kdc : kdcs)
      text += "  kdc = " + kdc + "\n";
    lab::write_file(folder_.path() / "krb5.conf", text + " }\n[domain_realm]\n .corp.test = CORP.TEST\n");
    return folder_.path() / "krb5.conf";
  }

  config::Config configuration(const std::string &krb5_conf) const {
    return ServerInProcess::configuration(
        *lab_, identity(config::IdentityKind::password_file, (lab_->folder() / "reports.password").string()),
        krb5_conf);
  }
  /// How long a login may take here that meets a dead KDC: what one takes without is the machine's matter.
  std::chrono::microseconds allowed() {
    start(configuration(krb5_conf({real()})));
    const auto healthy = log_in();
    EXPECT_TRUE(healthy.accepted) << healthy.error;
    return soon + 2 * healthy.took;
  }
  /// Whether the live KDC kept a message of this login waiting for so long that the next one was asked too:
  /// then nothing can be said of whom that met.
  bool real_was_slow(const test::LoggedIn &login) const {
    return std::ranges::any_of(login.kdcs,
                               [&](const auto &kdc) { return kdc.kdc == real() && kdc.us >= 400'000; });
  }
  /// One that forgets who failed, again where the machine was busy: what a dead KDC costs is what
  /// the quickest of them took.
  template <class Check> void expect_soon(std::chrono::microseconds at_most, Check check) {
    auto least = std::chrono::microseconds::max();
    for (int tries = 0; tries < 5 && least >= at_most; ++tries) {
      server_->forget(); // as SIGHUP does
      auto login = log_in();
      ASSERT_TRUE(login.accepted) << login.error;
      check(login);
      least = std::min(least, login.took);
    }
    EXPECT_LT(least, at_most);
  }
  /// What each KDC did, shortly: "127.0.0.1:88 25".
  static std::vector<std::string> told(const test::LoggedIn &login) {
    std::vector<std::string> lines;
    for (const auto &kdc : login.kdcs)
      lines.push_back(fmt::format("{} {}", kdc.kdc, kdc.code));
    return lines;
  }
};

// --- one KDC fails, the other is alive ---

enum class Dead { refuses, drops, hangs, resets, slow };
class OneDeadKdc : public KdcChoice, public WithParamInterface<Dead> {};
std::string name_of(const TestParamInfo<Dead> &row) {
  constexpr const char *names[] = {"Refuses", "DropsSyns", "AcceptsAndHangs", "ResetsInMidReply",
                                   "AnswersSlowly"};
  return names[static_cast<int>(row.param)];
}
INSTANTIATE_TEST_SUITE_P(Dead, OneDeadKdc,
                         Values(Dead::refuses, Dead::drops, Dead::hangs, Dead::resets, Dead::slow), name_of);

TEST_P(OneDeadKdc, CostsLittleOnceAndNothingAgain) {
  const auto at_most = allowed();
  std::optional<lab::KdcFront> broken;
  std::optional<lab::BlackHole> hole;
  std::string place = lab_->block().address(3) + ":1"; // nobody listens there
  switch (GetParam()) {
  case Dead::refuses:
    break;
  case Dead::drops:
    place = lab_->block().address(4) + ":18088";
    hole.emplace(lab_->block().address(4), 18088);
    break;
  case Dead::hangs:
    place = broken.emplace(front(Manner::hangs)).place();
    break;
  case Dead::resets:
    place = broken.emplace(front(Manner::resets)).place();
    break;
  case Dead::slow:
    place = broken.emplace(front(Manner::answers, 1500ms)).place();
    break;
  }
  start(configuration(krb5_conf({place, real()})));

  // AS without proof, AS with proof, TGS: three messages, and the dead KDC is met by the first alone.
  auto first = log_in();
  ASSERT_TRUE(first.accepted) << first.error;
  EXPECT_THAT(told(first), ElementsAre(place + " -1", real() + " 25", real() + " 0", real() + " 0"));
  EXPECT_FALSE(first.kdcs.front().text.empty()) << "what it did";
  EXPECT_EQ(first.kdcs.front().source, "krb5.conf");

  if (broken && !real_was_slow(first)) EXPECT_EQ(broken->requests(), 1);
  auto second = log_in();
  ASSERT_TRUE(second.accepted) << second.error;
  EXPECT_TRUE(second.kdcs.empty()) << "the ticket is in the store";

  expect_soon(at_most, [&](const test::LoggedIn &login) {
    EXPECT_THAT(told(login).front(), place + " -1") << "SIGHUP forgets who failed";
  });
}

TEST_F(KdcChoice, AnotherIdentityDoesNotPayAgain) {
  lab::KdcFront broken(front(Manner::hangs));
  auto config = configuration(krb5_conf({broken.place(), real()}));
  config.routes.push_back(config.routes.front());
  config.routes.front().match.app = "other";
  config.routes.front().identity = "other";
  config.identities.push_back(config.identities.front());
  config.identities.back().name = "other";
  start(config);
  auto first = log_in(), second = log_in({.app = u"other"});
  ASSERT_TRUE(first.accepted && second.accepted) << first.error << second.error;
  EXPECT_EQ(second.kdcs.front().kdc, real()) << "another identity: asked anew";
  if (!real_was_slow(first) && !real_was_slow(second))
    EXPECT_EQ(broken.requests(), 1) << "only the first login met it";
}

TEST_F(KdcChoice, ARefusalIsKeptUntilItIsForgotten) {
  const std::string late = "MSSQLSvc/late.corp.test:1433";
  auto config = configuration(krb5_conf({real()}));
  config.kerberos.refusals = 10min;
  config.routes.front().spn = late;
  start(config);
  EXPECT_EQ(log_in().cause(), "spn-missing");
  lab_->realm().add_spn(late);
  lab_->realm().ktadd(lab_->folder() / "peer.keytab", late);
  const auto kept = log_in();
  EXPECT_EQ(kept.cause(), "spn-missing");
  EXPECT_THAT(kept.kdcs, IsEmpty());
  EXPECT_THAT(test::events_of<shim::SpnTried>(kept.trail),
              ElementsAre(Field(&shim::SpnTried::detail, HasSubstr("refusal of an earlier login, kept"))));
  EXPECT_THAT(kept.error, HasSubstr("an earlier login, kept until [kerberos] refusals is over, or SIGHUP"));
  server_->forget(); // as SIGHUP does
  const auto mended = log_in();
  EXPECT_TRUE(mended.accepted) << mended.error;
}

TEST_F(KdcChoice, KdcThatDiesBetweenTheExchanges) {
  const auto at_most = allowed();
  // It answers the AS exchange of the first login, and hangs from then on: a service ticket is no proof,
  // so the next KDC is asked.
  lab::KdcFront dying(front(Manner::answers));
  start(configuration(krb5_conf({dying.place(), real()})));
  ASSERT_TRUE(log_in().accepted);
  EXPECT_EQ(dying.requests(), 3);
  dying.set_manner(Manner::hangs);
  expect_soon(at_most, [&, asked = 3](const test::LoggedIn &login) mutable {
    EXPECT_GT(dying.requests(), asked) << "it was asked";
    if (!real_was_slow(login)) EXPECT_EQ(dying.requests(), asked + 1) << "once";
    asked = dying.requests();
  });
}

TEST_F(KdcChoice, WithoutAnyAliveEachIsNamed) {
  lab::KdcFront broken(front(Manner::resets));
  start(configuration(krb5_conf({lab_->block().address(3) + ":1", broken.place()})));
  auto login = log_in();
  EXPECT_THAT(login.error, AllOf(StartsWith("kdc-unreachable: No KDC of realm CORP.TEST answered"),
                                 HasSubstr(lab_->block().address(3) + ":1 (Connection refused)"),
                                 HasSubstr(broken.place())));
}

// --- who lists them ---

TEST_F(KdcChoice, FromSrvRecords) {
  lab_->dns().srv("_kerberos._tcp.corp.test", "kdc1.corp.test", lab_->realm().kdc_port(), 0, 100);
  lab_->dns().srv("_kerberos._tcp.corp.test", "kdc2.corp.test", 1, 10, 100);
  lab_->dns().host("kdc1.corp.test", lab_->realm().kdc_address());
  lab_->dns().host("kdc2.corp.test", lab_->block().address(3));
  lab_->dns().start();
  start(configuration(krb5_conf({})));
  auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told(login), ElementsAre(real() + " 25", real() + " 0", real() + " 0"))
      << "the best priority first";
  EXPECT_EQ(login.kdcs.front().source, "dns");
  auto answers = test::events_of<shim::DnsAnswered>(login.trail);
  EXPECT_TRUE(std::ranges::any_of(answers, [](const auto &answer) {
    return answer.question == "_kerberos._tcp.corp.test" && answer.type == "SRV" &&
           answer.answers.size() == 2;
  })) << decisions();

  server_.reset();
  start(configuration(krb5_conf({}, " dns_lookup_kdc = false\n")));
  auto forbidden = log_in();
  EXPECT_THAT(forbidden.error, AllOf(StartsWith("realm-unknown:"), HasSubstr("dns_lookup_kdc = false")));
  ASSERT_EQ(forbidden.kdcs.size(), 1u);
  EXPECT_EQ(forbidden.kdcs[0].kdc, "") << "nobody was asked";
  EXPECT_EQ(forbidden.kdcs[0].realm, "CORP.TEST");
}

TEST_F(KdcChoice, FromSssdBeforeKrb5Conf) {
  lab::write_file(folder_.path() / "kdcinfo.CORP.TEST", real() + "\n");
  start(configuration(krb5_conf({lab_->block().address(3) + ":1"})), {.kdcinfo = folder_.path()});
  auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told(login), ElementsAre(real() + " 25", real() + " 0", real() + " 0"));
  EXPECT_EQ(login.kdcs.front().source, "sssd");
}

TEST_F(KdcChoice, OverIpv6) {
  const int probe = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) GTEST_SKIP() << "this kernel has no IPv6";
  ::close(probe);
  lab::KdcFrontOptions options = front(Manner::answers);
  options.address = "::1"; // the real KDC behind it; what is tried here is our own leg
  lab::KdcFront six(options);
  start(configuration(krb5_conf({fmt::format("[::1]:{}", six.port())})));
  auto login = log_in();
  ASSERT_TRUE(login.accepted) << login.error;
  EXPECT_THAT(told(login).front(), fmt::format("[::1]:{} 25", six.port()));
}

// --- TCP alone is blocked ---

TEST_F(KdcChoice, UdpAnswerIsNeverUsed) {
  lab::Lab lab({.fault = "kdc-tcp-blocked"});
  test::Connection connection("127.0.0.1", lab.port());
  EXPECT_THAT(test::log_in(connection).error(), StartsWith("kdc-tcp-blocked: "));
  EXPECT_THAT(lab.realm().log(), HasSubstr("svc-reports@CORP.TEST"));
  EXPECT_THAT(lab.realm().log(), Not(HasSubstr("ISSUE")));
}

} // namespace
