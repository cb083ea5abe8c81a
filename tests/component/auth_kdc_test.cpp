// auth/ against a real MIT KDC and a real GSSAPI acceptor: every outcome of the failure
// catalogue that they can produce.
#include "tests/component/auth_support.hpp"

#include <gmock/gmock.h>

namespace auth_test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr auto service = "MSSQLSvc/sql1.corp.test:1433";
constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST";

std::vector<int> codes(const Driven &driven) {
  std::vector<int> result;
  for (const KdcReply &reply : driven.replies)
    result.push_back(reply.code);
  return result;
}
std::vector<bool> proofs(const Driven &driven) {
  std::vector<bool> result;
  for (const AskKdc &ask : driven.asked)
    result.push_back(ask.proof);
  return result;
}

std::chrono::seconds from_now(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time - std::chrono::system_clock::now());
}

/// A realm; each test adds what it is about.
class AuthKdc : public testing::Test {
protected:
  fs::path file(const std::string &name) const { return folder_.path() / name; }

  std::shared_ptr<const Identity> load(Source source, const std::string &path,
                                       const std::string &principal) const {
    return value(load_identity({"test", source, path, principal}, realm_.krb5_conf()));
  }
  /// A new principal, by its keytab.
  std::shared_ptr<const Identity> by_keytab(const std::string &name, const std::string &flags = {}) {
    realm_.add_principal(name, {}, flags);
    realm_.ktadd(file(name + ".keytab"), name);
    return load(Source::keytab, file(name + ".keytab"), name);
  }
  std::shared_ptr<const Identity> by_password(const std::string &name, const std::string &password) const {
    lab::write_file(file(name + ".password"), password + "\n");
    return load(Source::password_file, file(name + ".password"), name);
  }
  TicketPtr tgt() { return ticket(get_tgt(by_keytab("svc-reports"), realm_)); }

  lab::TemporaryFolder folder_;
  lab::Block block_;
  lab::Realm realm_{folder_.path() / "realm", block_};
};

// --- the AS exchange ---

TEST_F(AuthKdc, KeytabWithoutPreauthentication) {
  const Driven got = get_tgt(by_keytab("svc-reports"), realm_);
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_EQ(got.ticket->client, "svc-reports@CORP.TEST");
  EXPECT_EQ(got.ticket->server, "krbtgt/CORP.TEST@CORP.TEST");
  EXPECT_EQ(got.ticket->realm, "CORP.TEST");
  EXPECT_EQ(etype_name(got.ticket->etype), "aes256-cts-hmac-sha1-96");
  EXPECT_EQ(got.ticket->kvno, 1);
  EXPECT_FALSE(got.ticket->credentials.empty());
  EXPECT_NEAR(from_now(got.ticket->starts).count(), 0, 5);
  EXPECT_NEAR(from_now(got.ticket->expires).count(), 10 * 3600, 5) << "max_life of the realm";

  ASSERT_THAT(codes(got), ElementsAre(0));
  EXPECT_THAT(proofs(got), ElementsAre(false));
  EXPECT_THAT(got.asked, Each(AllOf(Field(&AskKdc::realm, "CORP.TEST"), Field(&AskKdc::exchange, "AS"))));
  ASSERT_TRUE(got.replies[0].server_time);
  EXPECT_EQ(*got.replies[0].server_time, got.ticket->starts) << "a ticket shows the KDC's clock";
}

TEST_F(AuthKdc, KeytabWithPreauthentication) {
  const Driven got = get_tgt(by_keytab("svc-reports", "+requires_preauth"), realm_);
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_THAT(codes(got), ElementsAre(25, 0));
  EXPECT_THAT(proofs(got), ElementsAre(false, true));
  EXPECT_EQ(got.replies[0].text, "Additional pre-authentication required (NEEDED_PREAUTH)");
  ASSERT_TRUE(got.replies[0].server_time);
  EXPECT_NEAR(from_now(*got.replies[0].server_time).count(), 0, 5);
}

/// KDCOptions of a KDC-REQ (RFC 4120 5.4.1): [0] BIT STRING of 32 bits, the first field of the body.
std::uint32_t kdc_options(const Bytes &request) {
  const Bytes field{0xa0, 0x07, 0x03, 0x05, 0x00};
  const auto at = std::ranges::search(request, field);
  if (at.empty() || request.end() - at.end() < 4) fail("no KDCOptions");
  std::uint32_t options = 0;
  for (int i = 0; i < 4; ++i)
    options = options << 8 | at.end()[i];
  return options;
}

TEST_F(AuthKdc, NothingIsAskedToBeRenewableOrForwardableWhateverTheConfigurationSays) {
  lab::write_file(file("eager.conf"),
                  "[libdefaults]\n forwardable = true\n proxiable = true\n renew_lifetime = 7d\n" +
                      lab::read_file(realm_.krb5_conf()));
  const auto exchange = request_tgt(by_keytab("svc-reports"), file("eager.conf"), {});
  const std::uint32_t options = kdc_options(std::get<AskKdc>(exchange->next()).message);
  EXPECT_EQ(options & (KDC_OPT_FORWARDABLE | KDC_OPT_PROXIABLE | KDC_OPT_RENEWABLE), 0u)
      << std::hex << options;
}

TEST_F(AuthKdc, Password) {
  realm_.add_principal("carol", "carolpw", "+requires_preauth");
  const Driven got = get_tgt(by_password("carol", "carolpw"), realm_);
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_EQ(got.ticket->client, "carol@CORP.TEST");
}

TEST_F(AuthKdc, WrongPassword) {
  realm_.add_principal("carol", "carolpw", "+requires_preauth");
  const Driven got = get_tgt(by_password("carol", "wrong"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::preauth_failed);
  EXPECT_EQ(got.error->code, 24);
  EXPECT_EQ(got.error->text, "Preauthentication failed");
  EXPECT_EQ(got.error->said, "PREAUTH_FAILED");
  EXPECT_THAT(codes(got), ElementsAre(25, 24)) << "one proof, counted once by the KDC";
}

TEST_F(AuthKdc, WrongPasswordWithoutPreauthenticationShowsInTheReplyOnly) {
  const Driven got = get_tgt(by_password("alice", "wrong"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::preauth_failed);
  EXPECT_EQ(got.error->code, 31);
  EXPECT_THAT(codes(got), ElementsAre(0));
}

TEST_F(AuthKdc, KeytabOfAnOldKey) {
  const auto with_preauth = by_keytab("svc-a", "+requires_preauth");
  const auto without = by_keytab("svc-b");
  realm_.change_key("svc-a");
  realm_.change_key("svc-b");
  const Driven a = get_tgt(with_preauth, realm_);
  ASSERT_TRUE(a.error);
  EXPECT_EQ(a.error->kind, Kind::keytab_mismatch);
  EXPECT_EQ(a.error->code, 24);
  const Driven b = get_tgt(without, realm_);
  ASSERT_TRUE(b.error);
  EXPECT_EQ(b.error->kind, Kind::keytab_mismatch);
  EXPECT_EQ(b.error->code, 31);
}

TEST_F(AuthKdc, KeytabWithAnotherKeyOfTheSameVersion) {
  realm_.add_principal("svc-reports", {}, "+requires_preauth");
  write_keytab(file("other.keytab"), "svc-reports@CORP.TEST", 1, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
  const Driven got = get_tgt(load(Source::keytab, file("other.keytab"), "svc-reports"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::keytab_mismatch);
}

TEST_F(AuthKdc, KeytabWithoutAKeyOfTheTypeThatTheKdcUses) {
  realm_.add_principal("svc-reports");
  write_keytab(file("camellia.keytab"), "svc-reports@CORP.TEST", 1, ENCTYPE_CAMELLIA256_CTS_CMAC);
  const Driven got = get_tgt(load(Source::keytab, file("camellia.keytab"), "svc-reports"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::keytab_mismatch);
  EXPECT_THAT(got.error->text, HasSubstr("svc-reports@CORP.TEST: the keytab holds no key of the type"));
}

TEST_F(AuthKdc, ClientUnknown) {
  const Driven got = get_tgt(by_password("nobody", "any"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::client_unknown);
  EXPECT_EQ(got.error->code, 6);
  EXPECT_EQ(got.error->text, "Client 'nobody@CORP.TEST' not found in Kerberos database");
  EXPECT_EQ(got.error->said, "CLIENT_NOT_FOUND");
}

TEST_F(AuthKdc, ClientRevoked) {
  realm_.kadmin("modprinc -allow_tix alice");
  const Driven got = get_tgt(by_password("alice", "alicepw"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::client_revoked);
  EXPECT_EQ(got.error->code, 18);
  EXPECT_EQ(got.error->said, "CLIENT LOCKED OUT");
}

TEST_F(AuthKdc, PasswordExpired) {
  realm_.kadmin("modprinc -pwexpire yesterday alice");
  const Driven got = get_tgt(by_password("alice", "alicepw"), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::key_expired);
  EXPECT_EQ(got.error->code, 23);
}

TEST_F(AuthKdc, EtypeRefusedByTheKdc) {
  // The client permits a type that the KDC has no key of.
  lab::write_file(file("camellia.conf"), lab::read_file(realm_.krb5_conf()) +
                                             "[libdefaults]\n permitted_enctypes = camellia256-cts\n");
  const auto identity = by_password("alice", "alicepw");
  const Driven got = drive(*request_tgt(identity, file("camellia.conf"), {}), realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::etype_refused);
  EXPECT_EQ(got.error->code, 14);
  EXPECT_EQ(got.error->said, "BAD_ENCRYPTION_TYPE");
}

TEST_F(AuthKdc, ClockSkew) {
  realm_.add_principal("carol", "carolpw", "+requires_preauth");
  const TicketPtr early = tgt();
  realm_.set_kdc_clock("+10m");

  // The KDC refuses a proof of the wrong time, and a TGS-REQ.
  const Driven as = get_tgt(by_password("carol", "carolpw"), realm_);
  ASSERT_TRUE(as.error);
  EXPECT_EQ(as.error->kind, Kind::clock_skew);
  EXPECT_EQ(as.error->code, 37);
  ASSERT_TRUE(as.error->server_time);
  EXPECT_NEAR(from_now(*as.error->server_time).count(), 600, 10);
  const Driven tgs = get_service_ticket(early, spn, realm_);
  ASSERT_TRUE(tgs.error);
  EXPECT_EQ(tgs.error->kind, Kind::clock_skew);
  ASSERT_TRUE(tgs.error->server_time);
  EXPECT_NEAR(from_now(*tgs.error->server_time).count(), 600, 10);

  // Without preauthentication it sees no time of ours. kdc_timesync would follow its clock in silence.
  const Driven unproven = get_tgt(by_password("alice", "alicepw"), realm_);
  ASSERT_TRUE(unproven.error) << "kdc_timesync is on";
  EXPECT_EQ(unproven.error->kind, Kind::clock_skew);
  EXPECT_EQ(unproven.error->text, "Clock skew too great in KDC reply");
  ASSERT_TRUE(unproven.error->server_time);
  EXPECT_NEAR(from_now(*unproven.error->server_time).count(), 600, 10);

  // clockskew of krb5.conf is what decides.
  lab::write_file(file("patient.conf"),
                  lab::read_file(realm_.krb5_conf()) + "[libdefaults]\n clockskew = 15m\n");
  const Driven patient =
      drive(*request_tgt(by_password("alice", "alicepw"), file("patient.conf"), {}), realm_);
  EXPECT_TRUE(patient.ticket) << patient.error->text;
}

TEST_F(AuthKdc, SmallSkewIsNoError) {
  realm_.set_kdc_clock("+2m");
  const Driven got = get_tgt(by_password("alice", "alicepw"), realm_);
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_NEAR(from_now(*got.replies[0].server_time).count(), 120, 10) << "but it shows";
}

TEST_F(AuthKdc, CcacheIsTakenAsItIs) {
  realm_.kinit("alice", "alicepw", file("ccache"));
  const std::string before = lab::read_file(file("ccache"));
  for (const std::string &path : {file("ccache").string(), "FILE:" + file("ccache").string()}) {
    const auto identity = load(Source::ccache, path, "");
    EXPECT_EQ(identity->principal(), "alice@CORP.TEST");
    EXPECT_EQ(identity->realm(), "CORP.TEST");
    const Driven got = get_tgt(identity, realm_);
    ASSERT_TRUE(got.ticket) << got.error->text;
    EXPECT_EQ(got.ticket->server, "krbtgt/CORP.TEST@CORP.TEST");
    EXPECT_THAT(got.asked, IsEmpty());
    realm_.remove("alice");
    realm_.add_principal("alice", "alicepw");
    realm_.add_spn("MSSQLSvc/" + std::to_string(path.size()) + ".corp.test");
    EXPECT_TRUE(get_service_ticket(got.ticket,
                                   "MSSQLSvc/" + std::to_string(path.size()) + ".corp.test@CORP.TEST", realm_)
                    .ticket);
  }
  EXPECT_EQ(lab::read_file(file("ccache")), before) << "sources are never written";
}

TEST_F(AuthKdc, ExpiredCcache) {
  // kinit twenty hours ago, by its own clock and the KDC's.
  realm_.set_kdc_clock("-20h");
  realm_.kinit("alice", "alicepw", file("ccache"), "-20h");
  const auto got = load_identity({"test", Source::ccache, file("ccache"), ""}, realm_.krb5_conf());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, Kind::ticket_expired);
  EXPECT_EQ(got.error().code, 32);
  const std::string ended = utc_text(std::chrono::system_clock::now() - 10h).substr(0, 13); // up to the hour
  EXPECT_THAT(got.error().text,
              AllOf(HasSubstr(file("ccache")), HasSubstr("alice@CORP.TEST ended at "), HasSubstr("Z")));
  EXPECT_THAT(
      got.error().text,
      testing::AnyOf(HasSubstr(ended),
                     HasSubstr(utc_text(std::chrono::system_clock::now() - 10h - 60s).substr(0, 13))));
}

// --- the TGS exchange ---

TEST_F(AuthKdc, ServiceTicket) {
  realm_.add_spn(service);
  realm_.change_key(service); // version 2
  std::vector<std::string> trace;
  const Driven got =
      get_service_ticket(tgt(), spn, realm_, [&](std::string_view line) { trace.emplace_back(line); });
  ASSERT_TRUE(got.ticket) << got.error->text;
  EXPECT_EQ(got.ticket->client, "svc-reports@CORP.TEST");
  EXPECT_EQ(got.ticket->server, spn);
  EXPECT_EQ(got.ticket->realm, "CORP.TEST");
  EXPECT_EQ(got.ticket->kvno, 2);
  EXPECT_EQ(got.ticket->etype, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
  EXPECT_THAT(codes(got), ElementsAre(0));
  EXPECT_THAT(got.asked, Each(AllOf(Field(&AskKdc::realm, "CORP.TEST"), Field(&AskKdc::exchange, "TGS"),
                                    Field(&AskKdc::proof, false))));
  EXPECT_NEAR(from_now(got.replies[0].server_time.value()).count(), 0, 5);

  EXPECT_THAT(trace, Contains(HasSubstr("TGS reply is for svc-reports@CORP.TEST -> " + std::string(spn))));
  EXPECT_THAT(trace, Each(Not(HasSubstr("\n"))));
}

TEST_F(AuthKdc, ServiceUnknown) {
  const Driven got = get_service_ticket(tgt(), spn, realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::service_unknown);
  EXPECT_EQ(got.error->code, 7);
  EXPECT_EQ(got.error->text, "Server " + std::string(spn) + " not found in Kerberos database");
  EXPECT_EQ(got.error->said, "LOOKING_UP_SERVER");
  EXPECT_NEAR(from_now(got.error->server_time.value()).count(), 0, 5);
  EXPECT_THAT(codes(got), Each(7));
}

TEST_F(AuthKdc, ServiceThatIsNone) {
  realm_.add_spn(service);
  realm_.kadmin("modprinc -allow_svr MSSQLSvc/sql1.corp.test:1433");
  const Driven got = get_service_ticket(tgt(), spn, realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::service_unknown);
  EXPECT_EQ(got.error->code, 27);
}

TEST_F(AuthKdc, ServiceWithoutAKeyOfACommonType) {
  realm_.add_spn(service);
  realm_.kadmin("setstr MSSQLSvc/sql1.corp.test:1433 session_enctypes rc4-hmac");
  const Driven got = get_service_ticket(tgt(), spn, realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::etype_refused);
  EXPECT_EQ(got.error->code, 14);
}

TEST_F(AuthKdc, ARealmWithoutTrustIsNotAMissingService) {
  const Driven got = get_service_ticket(tgt(), "MSSQLSvc/sql1.other.test:1433@OTHER.TEST", realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::wrong_realm);
  EXPECT_EQ(got.error->code, 7) << "the number is the KDC's; its question was krbtgt/OTHER.TEST";
  EXPECT_THAT(got.error->text, HasSubstr("krbtgt/OTHER.TEST@CORP.TEST"));
}

TEST_F(AuthKdc, ServiceNameWithoutARealmIsRefusedHere) {
  const Driven got = get_service_ticket(tgt(), service, realm_);
  ASSERT_TRUE(got.error);
  EXPECT_EQ(got.error->kind, Kind::other);
  EXPECT_THAT(got.error->text, StartsWith(service));
  EXPECT_THAT(got.asked, IsEmpty());
}

// A KDC is a network peer: an exchange whose replies are cut off at any byte ends in an Error (libkrb5 may
// ask once more in another way), and never in a crash.
TEST_F(AuthKdc, SpoiledReplies) {
  realm_.add_spn(service);
  const TicketPtr granting = tgt();
  const auto identity = by_keytab("svc-other");
  const auto as = [&] { return request_tgt(identity, realm_.krb5_conf(), {}); };
  const auto tgs = [&] { return request_service_ticket(granting, spn, realm_.krb5_conf(), {}); };
  for (const std::function<std::unique_ptr<Exchange>()> &start :
       {std::function<std::unique_ptr<Exchange>()>(as), {tgs}}) {
    const auto first = start();
    const Bytes good =
        carry(realm_.kdc_address(), realm_.kdc_port(), std::get<AskKdc>(first->next()).message);
    for (std::size_t size = 0; size < good.size(); size += 7) {
      const auto exchange = start();
      auto action = exchange->next();
      for (int round = 0; round < 3 && std::holds_alternative<AskKdc>(action); ++round) {
        exchange->reply(ByteView(good).first(size));
        action = exchange->next();
      }
      ASSERT_TRUE(std::holds_alternative<Error>(action)) << "cut to " << size << " of " << good.size();
      EXPECT_EQ(to_string(std::get<Error>(action).kind), "malformed");
    }
    const auto exchange = start();
    for (int round = 0; round < 3 && std::holds_alternative<AskKdc>(exchange->next()); ++round)
      exchange->reply(Bytes{'H', 'T', 'T', 'P'});
    ASSERT_TRUE(std::holds_alternative<Error>(exchange->next()));
    EXPECT_EQ(to_string(std::get<Error>(exchange->next()).kind), "malformed");
  }
}

TEST_F(AuthKdc, AReplyToAnotherRequestIsNoTicket) {
  const auto identity = by_keytab("svc-reports");
  const auto first = request_tgt(identity, realm_.krb5_conf(), {});
  const Bytes replayed =
      carry(realm_.kdc_address(), realm_.kdc_port(), std::get<AskKdc>(first->next()).message);
  const auto second = request_tgt(identity, realm_.krb5_conf(), {});
  second->next();
  second->reply(replayed);
  const auto action = second->next();
  ASSERT_TRUE(std::holds_alternative<Error>(action));
  EXPECT_EQ(std::get<Error>(action).kind, Kind::malformed);
}

// --- the initiator against a real acceptor ---

struct Handshake {
  std::optional<Error> error;
  Step last;
  std::vector<Bytes> tokens; ///< the initiator's
};

Handshake run(Initiator &initiator, Acceptor &acceptor, const std::function<void(Bytes &)> &tamper = {}) {
  Handshake result;
  Bytes answer;
  for (int round = 0; round < 4; ++round) {
    auto step = initiator.step(answer);
    if (!step) {
      result.error = step.error();
      return result;
    }
    result.last = *step;
    if (!step->token.empty()) {
      result.tokens.push_back(step->token);
      answer = acceptor.accept(step->token);
      if (tamper) tamper(answer);
    }
    if (step->complete) return result;
  }
  fail("the handshake does not end");
}

class AuthInitiator : public AuthKdc {
protected:
  AuthInitiator() {
    realm_.add_spn(service);
    realm_.ktadd(file("peer.keytab"), service);
    ticket_ = ticket(get_service_ticket(tgt(), spn, realm_));
  }
  std::unique_ptr<Initiator> initiator(InitiatorOptions options = {}) const {
    return value(make_initiator(ticket_, options));
  }

  TicketPtr ticket_;
};

TEST_F(AuthInitiator, BothWrappingsWithMutualAuthentication) {
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    SCOPED_TRACE(wrapping == Wrapping::spnego ? "spnego" : "raw");
    Acceptor acceptor(file("peer.keytab"));
    const auto ours = initiator({.wrapping = wrapping, .mutual = true});
    EXPECT_EQ(ours->source(), "svc-reports@CORP.TEST");
    const Handshake done = run(*ours, acceptor);
    ASSERT_FALSE(done.error) << done.error->text;
    EXPECT_TRUE(done.last.complete);
    EXPECT_TRUE(done.last.mutual);
    EXPECT_TRUE(acceptor.complete());
    EXPECT_EQ(acceptor.client(), "svc-reports@CORP.TEST");
    constexpr std::uint32_t asked =
        GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG | GSS_C_INTEG_FLAG;
    EXPECT_EQ(done.last.flags_asked, asked);
    EXPECT_EQ(done.last.flags_granted & asked, asked);
    EXPECT_EQ(acceptor.flags() & GSS_C_DELEG_FLAG, 0u);
  }
}

TEST_F(AuthInitiator, SharesItsSessionKeyWithTheServer) {
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    Acceptor acceptor(file("peer.keytab"));
    const auto ours = initiator({.wrapping = wrapping, .mutual = true});
    EXPECT_FALSE(ours->session_key()) << "before the first token";
    ASSERT_FALSE(run(*ours, acceptor).error);
    const auto key = value(ours->session_key());
    EXPECT_EQ(Bytes(key.reveal().begin(), key.reveal().end()), acceptor.session_key());
    EXPECT_GE(key.reveal().size(), 16u) << "what SMB takes of it";
  }
}

TEST_F(AuthInitiator, WithoutMutualAuthenticationTheServerProvesNothing) {
  Acceptor raw(file("peer.keytab"));
  const Handshake done = run(*initiator({.wrapping = Wrapping::raw, .mutual = false}), raw);
  ASSERT_FALSE(done.error) << done.error->text;
  EXPECT_TRUE(done.last.complete);
  EXPECT_FALSE(done.last.mutual);
  EXPECT_EQ(done.tokens.size(), 1u);
  EXPECT_EQ(done.last.flags_asked & GSS_C_MUTUAL_FLAG, 0u);

  // SPNEGO wants the server's last word all the same.
  Acceptor spnego(file("peer.keytab"));
  const auto ours = initiator({.wrapping = Wrapping::spnego, .mutual = false});
  const auto first = ours->step({});
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_FALSE(first->complete);
  const auto second = ours->step(spnego.accept(first->token));
  ASSERT_TRUE(second) << second.error().text;
  EXPECT_TRUE(second->complete);
  EXPECT_FALSE(second->mutual);
}

TEST_F(AuthInitiator, IsBoundToItsChannelAndToNoOther) {
  constexpr OM_uint32 bound = 0x800; // GSS_C_CHANNEL_BOUND_FLAG, of the acceptor alone
  const std::string channel = "tls-unique:0123456789ab";
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    SCOPED_TRACE(wrapping == Wrapping::spnego ? "spnego" : "raw");
    const auto accept = [&](const std::string &given, const std::string &demanded) {
      Acceptor acceptor(file("peer.keytab"));
      acceptor.bind(demanded);
      const auto ours = initiator({.wrapping = wrapping, .mutual = true});
      ours->bind(ByteView(reinterpret_cast<const std::uint8_t *>(given.data()), given.size()));
      acceptor.accept(value(ours->step({})).token);
      return std::pair(acceptor.failed(), acceptor.flags() & bound);
    };
    EXPECT_EQ(accept(channel, channel), std::pair(false, bound));
    EXPECT_EQ(accept("", channel), std::pair(false, OM_uint32(0))) << "no binding, none proven";
    for (std::size_t at = 0; at < channel.size(); ++at) {
      auto flipped = channel;
      flipped[at] = static_cast<char>(flipped[at] ^ 1);
      EXPECT_TRUE(accept(flipped, channel).first) << "byte " << at;
    }
  }
}

TEST_F(AuthInitiator, FramingOfTheFirstToken) {
  const auto first = [&](Wrapping wrapping) {
    return value(initiator({.wrapping = wrapping, .mutual = true})->step({})).token;
  };
  const auto oid_of = [](const Bytes &token) {
    // 0x60, length in one or three bytes, OID with its own tag (RFC 2743 3.1)
    const std::size_t at = token.at(1) < 0x80 ? 2 : 2 + (token.at(1) & 0x7f);
    return Bytes(token.begin() + static_cast<long>(at),
                 token.begin() + static_cast<long>(at) + 2 + token.at(at + 1));
  };
  const Bytes spnego = first(Wrapping::spnego);
  EXPECT_EQ(spnego[0], 0x60);
  EXPECT_EQ(oid_of(spnego), (Bytes{0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}));
  const Bytes raw = first(Wrapping::raw);
  EXPECT_EQ(raw[0], 0x60);
  EXPECT_EQ(oid_of(raw), (Bytes{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}));
  // Kerberos is all that SPNEGO offers, and its token is there at once.
  const Bytes offer{0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02};
  EXPECT_THAT(std::string(spnego.begin(), spnego.end()), HasSubstr(std::string(offer.begin(), offer.end())));
  EXPECT_GT(spnego.size(), raw.size());
}

// The default credentials are another user's: a mistake in acquiring would authenticate
// as that one without a word.
TEST_F(AuthInitiator, TheProcesssOwnCredentialsAreNotTaken) {
  realm_.kinit("bob", "bobpw", file("bobs"));
  setenv("KRB5CCNAME", ("FILE:" + file("bobs").string()).c_str(), 1);
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    Acceptor acceptor(file("peer.keytab"));
    const auto ours = initiator({.wrapping = wrapping, .mutual = true});
    const Handshake done = run(*ours, acceptor);
    ASSERT_FALSE(done.error) << done.error->text;
    EXPECT_EQ(ours->source(), "svc-reports@CORP.TEST");
    EXPECT_EQ(acceptor.client(), "svc-reports@CORP.TEST");
  }
  unsetenv("KRB5CCNAME");
}

/// A KRB-ERROR as Windows sends it: framed, raw.
Bytes crafted_error(int code) {
  const Context context = value(make_bare_context());
  Principal server(context.get());
  check(krb5_parse_name(context.get(), spn, server.out()), "parse_name");
  krb5_error error{};
  error.error = static_cast<krb5_ui_4>(code);
  error.server = server.get();
  check(krb5_us_timeofday(context.get(), &error.stime, &error.susec), "timeofday");
  krb5_data made{};
  check(krb5_mk_error(context.get(), &error, &made), "mk_error");
  Bytes body{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x03, 0x00};
  body.insert(body.end(), made.data, made.data + made.length);
  krb5_free_data_contents(context.get(), &made);
  Bytes token{0x60, 0x81, static_cast<std::uint8_t>(body.size())};
  token.insert(token.end(), body.begin(), body.end());
  return token;
}

TEST_F(AuthInitiator, WindowsSaysModified) {
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    const auto ours = initiator({.wrapping = wrapping, .mutual = true});
    ASSERT_TRUE(ours->step({}));
    const auto second = ours->step(crafted_error(41));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, Kind::key_wrong);
    EXPECT_EQ(second.error().code, 41);
    EXPECT_NEAR(from_now(second.error().server_time.value()).count(), 0, 5);
    EXPECT_FALSE(second.error().text.empty());
  }
}

struct WrongKeytab {
  std::string name;
  std::string principal;
  krb5_kvno kvno;
  Kind kind;
  std::int64_t code;
};
void PrintTo(const WrongKeytab &row, std::ostream *out) { *out << row.principal << " version " << row.kvno; }

class AuthWrongKeytab : public AuthInitiator, public testing::WithParamInterface<WrongKeytab> {};

TEST_P(AuthWrongKeytab, IsTold) {
  const WrongKeytab &row = GetParam();
  write_keytab(file("wrong.keytab"), row.principal, row.kvno, ENCTYPE_AES256_CTS_HMAC_SHA1_96);
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    Acceptor acceptor(file("wrong.keytab"));
    const Handshake done = run(*initiator({.wrapping = wrapping, .mutual = true}), acceptor);
    EXPECT_TRUE(acceptor.failed());
    ASSERT_TRUE(done.error);
    EXPECT_EQ(to_string(done.error->kind), to_string(row.kind)) << done.error->text;
    EXPECT_EQ(done.error->code, row.code);
  }
}
INSTANTIATE_TEST_SUITE_P(Keytabs, AuthWrongKeytab,
                         testing::Values(WrongKeytab{"key", spn, 1, Kind::key_wrong, 31},
                                         WrongKeytab{"version", spn, 7, Kind::key_version_wrong, 44},
                                         WrongKeytab{"name", "MSSQLSvc/sql2.corp.test:1433@CORP.TEST", 1,
                                                     Kind::key_wrong, 35}),
                         [](const auto &row) { return row.param.name; });

TEST_F(AuthInitiator, ASpoiledProofIsNoProof) {
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    Acceptor acceptor(file("peer.keytab"));
    const Handshake done = run(*initiator({.wrapping = wrapping, .mutual = true}), acceptor,
                               [](Bytes &answer) { answer.at(answer.size() - 20) ^= 1; });
    ASSERT_TRUE(done.error);
    EXPECT_EQ(to_string(done.error->kind), "mutual-failed") << done.error->text;
  }
}

TEST_F(AuthInitiator, AnotherContextsProofIsNoProof) {
  Acceptor acceptor(file("peer.keytab"));
  const auto other = initiator({.wrapping = Wrapping::raw, .mutual = true});
  const Bytes replayed = acceptor.accept(value(other->step({})).token);
  const auto ours = initiator({.wrapping = Wrapping::raw, .mutual = true});
  ASSERT_TRUE(ours->step({}));
  const auto second = ours->step(replayed);
  ASSERT_FALSE(second);
  EXPECT_EQ(to_string(second.error().kind), "mutual-failed") << second.error().text;
}

TEST_F(AuthInitiator, AnswersCutAtEveryByte) {
  for (const Wrapping wrapping : {Wrapping::spnego, Wrapping::raw}) {
    std::size_t size = 1;
    for (std::size_t cut = 0; cut < size; ++cut) {
      Acceptor acceptor(file("peer.keytab"));
      const Handshake done =
          run(*initiator({.wrapping = wrapping, .mutual = true}), acceptor, [&](Bytes &answer) {
            size = answer.size();
            answer.resize(cut);
          });
      ASSERT_TRUE(done.error) << "cut to " << cut << " of " << size;
      EXPECT_THAT(done.error->kind, testing::AnyOf(Kind::malformed, Kind::mutual_failed))
          << to_string(done.error->kind);
    }
    EXPECT_GT(size, 20u);
  }
}

TEST_F(AuthInitiator, ATicketThatIsOverIsNotSent) {
  auto over = std::make_shared<Ticket>();
  over->client = ticket_->client;
  over->server = ticket_->server;
  over->credentials = ticket_->credentials;
  over->expires = std::chrono::system_clock::now() - 1s;
  const auto made = make_initiator(over, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind, Kind::ticket_expired);
  EXPECT_THAT(made.error().text, HasSubstr(spn));
}

TEST_F(AuthInitiator, ATicketForAnotherServiceAsksNobody) {
  auto other = std::make_shared<Ticket>();
  other->client = ticket_->client;
  other->server = "MSSQLSvc/sql2.corp.test:1433@CORP.TEST"; // the credentials are for sql1
  other->credentials = ticket_->credentials;
  other->expires = ticket_->expires;
  const auto ours = value(make_initiator(other, {}));
  EXPECT_FALSE(ours->step({}));
  EXPECT_THAT(realm_.log(), AllOf(HasSubstr("sql1.corp.test"), Not(HasSubstr("sql2.corp.test"))));
}

TEST_F(AuthInitiator, ATicketOfSomebodyElseIsNotUsed) {
  auto other = std::make_shared<Ticket>();
  other->client = "bob@CORP.TEST"; // the credentials are svc-reports'
  other->server = ticket_->server;
  other->credentials = ticket_->credentials;
  other->expires = ticket_->expires;
  EXPECT_FALSE(make_initiator(other, {}));
}

} // namespace
} // namespace auth_test
