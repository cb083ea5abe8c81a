// The realm, its DNS and the acceptor against the real KDC: no network but loopback, no peer process.
#include "tools/lab/dns.hpp"
#include "tools/lab/peer/acceptor.hpp"
#include "tools/lab/realm.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <gmock/gmock.h>
#include <gssapi/gssapi_ext.h>
#include <gssapi/gssapi_krb5.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lab {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto spn = "MSSQLSvc/sql1.corp.test:1433";

/// A client that logs in with a ticket of `ccache`: one GSS initiator.
class Initiator {
public:
  explicit Initiator(const fs::path &ccache, bool spnego) {
    const auto place = "FILE:" + ccache.string();
    gss_key_value_element_desc element{"ccache", place.c_str()};
    const gss_key_value_set_desc store{1, &element};
    gss_OID_desc mechanism =
        spnego ? gss_OID_desc{6, const_cast<char *>("\x2b\x06\x01\x05\x05\x02")} : *gss_mech_krb5;
    gss_OID_set_desc mechanisms{1, &mechanism};
    if (GSS_ERROR(gss_acquire_cred_from(&minor, GSS_C_NO_NAME, GSS_C_INDEFINITE, &mechanisms, GSS_C_INITIATE,
                                        &store, &credential_, nullptr, nullptr)))
      throw std::runtime_error("no credentials for the initiator");
    std::string text = std::string(spn) + "@CORP.TEST";
    gss_buffer_desc name{text.size(), text.data()};
    gss_import_name(&minor, &name, const_cast<gss_OID>(GSS_KRB5_NT_PRINCIPAL_NAME), &target_);
    spnego_ = spnego;
  }
  ~Initiator() {
    gss_delete_sec_context(&minor, &context_, GSS_C_NO_BUFFER);
    gss_release_name(&minor, &target_);
    gss_release_cred(&minor, &credential_);
  }

  /// Takes the server's token and gives the next one; `major` and `minor` tell how it went.
  tds::Bytes step(tds::ByteView server) {
    gss_OID_desc spnego{6, const_cast<char *>("\x2b\x06\x01\x05\x05\x02")};
    gss_buffer_desc in{server.size(), const_cast<std::uint8_t *>(server.data())}, out{};
    major = gss_init_sec_context(&minor, credential_, &context_, target_,
                                 spnego_ ? &spnego : const_cast<gss_OID>(gss_mech_krb5),
                                 GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_INTEG_FLAG, 0, nullptr,
                                 server.empty() ? nullptr : &in, nullptr, &out, nullptr, nullptr);
    const auto *bytes = static_cast<const std::uint8_t *>(out.value);
    tds::Bytes token(bytes, bytes + out.length);
    OM_uint32 ignored = 0;
    gss_release_buffer(&ignored, &out);
    return token;
  }
  OM_uint32 major = 0, minor = 0;

private:
  gss_cred_id_t credential_ = GSS_C_NO_CREDENTIAL;
  gss_name_t target_ = GSS_C_NO_NAME;
  gss_ctx_id_t context_ = GSS_C_NO_CONTEXT;
  bool spnego_ = false;
};

class RealmTest : public ::testing::Test {
protected:
  RealmTest() {
    realm.add_spn(spn);
    realm.ktadd(keytab, spn);
    realm.kinit("alice", "alicepw", ccache);
    ::setenv("KRB5_CONFIG", realm.krb5_conf().c_str(),
             1); // for GSSAPI in this process, which runs one test and one thread
    ::setenv("KRB5RCACHENAME", "none:", 1);
  }
  ~RealmTest() override {
    if (HasFailure()) std::fprintf(stderr, "---- kdc.log\n%s", realm.log().c_str());
  }

  TemporaryFolder folder;
  Block block;
  Realm realm{folder.path(), block};
  fs::path keytab = folder.path() / "peer.keytab";
  fs::path ccache = folder.path() / "ccache";
};

TEST_F(RealmTest, gives_tickets_and_logs_them) {
  auto environment = realm.environment();
  environment["KRB5CCNAME"] = "FILE:" + ccache.string();
  const auto done = run({.argv = {"kvno", spn}, .environment = environment});
  EXPECT_EQ(done.status, 0) << done.output;
  EXPECT_TRUE(eventually([&] { return realm.log().contains(std::string("alice@CORP.TEST for ") + spn); }))
      << realm.log();
  EXPECT_THAT(realm.log(), HasSubstr("ISSUE"));
  EXPECT_EQ(fs::status(keytab).permissions(), fs::perms(0600));
}

TEST_F(RealmTest, a_failing_command_throws_with_its_reason) {
  EXPECT_THROW(realm.kadmin("delprinc -force nobody-here"), LabError);
  EXPECT_THROW(realm.kadmin("addprinc -pw x alice"), LabError);
  EXPECT_THROW(realm.kadmin("frobnicate"), LabError);
}

TEST_F(RealmTest, the_kdc_stops_and_starts_with_another_clock) {
  realm.stop_kdc();
  EXPECT_FALSE(port_answers(realm.kdc_address(), realm.kdc_port()));
  realm.add_principal("strict", "strictpw", "+requires_preauth");
  realm.set_kdc_clock("+10m");
  // kinit hides a skew it can see (kdc_timesync); without that the KDC refuses the timestamp.
  auto conf = read_file(realm.krb5_conf());
  write_file(realm.krb5_conf(),
             conf.replace(conf.find("[libdefaults]\n"), 14, "[libdefaults]\n  kdc_timesync = 0\n"));
  EXPECT_THROW(realm.kinit("strict", "strictpw", folder.path() / "other"), LabError);
  realm.set_kdc_clock("");
  EXPECT_NO_THROW(realm.kinit("strict", "strictpw", folder.path() / "other"));
}

struct Mechanism {
  const char *name;
  bool spnego;
};
class AcceptorTest : public RealmTest, public ::testing::WithParamInterface<Mechanism> {
protected:
  bool spnego() const { return GetParam().spnego; }
};
INSTANTIATE_TEST_SUITE_P(both, AcceptorTest,
                         ::testing::Values(Mechanism{"raw", false}, Mechanism{"spnego", true}),
                         [](const auto &info) { return info.param.name; });

TEST_P(AcceptorTest, a_good_ticket_completes_both_sides) {
  Initiator client(ccache, spnego());
  Acceptor server({.keytab = keytab});
  const auto step = server.accept(client.step({}));
  ASSERT_EQ(step.state, Acceptor::Step::State::complete) << step.text;
  client.step(step.token);
  EXPECT_EQ(client.major, static_cast<OM_uint32>(GSS_S_COMPLETE)) << client.minor;
  EXPECT_EQ(server.initiator(), "alice@CORP.TEST");
  EXPECT_EQ(server.spn(), std::string(spn) + "@CORP.TEST");
  EXPECT_EQ(server.scheme(), "KERBEROS");
  EXPECT_EQ(server.framing(), spnego() ? tds::Mechanism::spnego : tds::Mechanism::kerberos);
  EXPECT_TRUE(server.flags() & GSS_C_MUTUAL_FLAG);
}

TEST_P(AcceptorTest, the_same_token_twice_is_no_replay_here) {
  Initiator client(ccache, spnego());
  const auto token = client.step({});
  EXPECT_EQ(Acceptor({.keytab = keytab}).accept(token).state, Acceptor::Step::State::complete);
  EXPECT_EQ(Acceptor({.keytab = keytab}).accept(token).state, Acceptor::Step::State::complete);
}

TEST_P(AcceptorTest, a_wrong_key_is_answered_with_41_as_by_windows) {
  realm.remove(spn);
  realm.add_spn(spn);
  Initiator client(ccache, spnego());
  const auto step = Acceptor({.keytab = keytab}).accept(client.step({}));
  ASSERT_EQ(step.state, Acceptor::Step::State::failed);
  EXPECT_EQ(step.krb_error, 41) << step.text;
  ASSERT_FALSE(step.token.empty());
  client.step(step.token);
  EXPECT_TRUE(GSS_ERROR(client.major));
  constexpr OM_uint32 modified = 0x96C73A29; // KRB5KRB_AP_ERR_MODIFIED: base + 41
  if (!spnego()) EXPECT_EQ(client.minor, modified);
}

TEST_P(AcceptorTest, native_errors_tell_a_wrong_key_from_an_old_one) {
  realm.change_key(spn);
  Initiator old_key(ccache, spnego());
  const auto old_step = Acceptor({.keytab = keytab, .native_errors = true}).accept(old_key.step({}));
  EXPECT_EQ(old_step.krb_error, 44) << old_step.text;
  EXPECT_FALSE(old_step.token.empty());

  realm.remove(spn);
  realm.add_spn(spn);
  fs::remove(ccache);
  realm.kinit("alice", "alicepw", ccache);
  Initiator wrong_key(ccache, spnego());
  const auto wrong_step = Acceptor({.keytab = keytab, .native_errors = true}).accept(wrong_key.step({}));
  EXPECT_EQ(wrong_step.krb_error, 31) << wrong_step.text;
}

TEST_P(AcceptorTest, without_a_keytab_no_ticket_can_be_read) {
  Initiator client(ccache, spnego());
  const auto step = Acceptor({.keytab = folder.path() / "absent.keytab"}).accept(client.step({}));
  EXPECT_EQ(step.state, Acceptor::Step::State::failed);
  EXPECT_FALSE(step.token.empty());
}

TEST_F(RealmTest, a_token_that_is_none_is_refused_without_a_krb_error) {
  Acceptor server({.keytab = keytab});
  const auto step = server.accept(tds::Bytes{'N', 'T', 'L', 'M', 'S', 'S', 'P', 0, 1, 0, 0, 0});
  EXPECT_EQ(step.state, Acceptor::Step::State::failed);
  EXPECT_TRUE(step.token.empty());
  EXPECT_EQ(server.framing(), tds::Mechanism::ntlm);
}

// ----------------------------------------------------------------------------------------------------
// DNS

/// Asks one question over UDP and gives the reply's texts: rcode, then each answer as "TYPE value ttl".
std::string ask(const Dns &dns, const std::string &name, std::uint16_t type) {
  tds::Writer query;
  query.u16_be(0x1234);
  query.u16_be(0x0100); // recursion desired
  query.u16_be(1), query.u16_be(0), query.u16_be(0), query.u16_be(0);
  for (std::size_t from = 0; from <= name.size();) {
    const auto end = std::min(name.find('.', from), name.size());
    query.u8(static_cast<std::uint8_t>(end - from));
    for (; from < end; ++from)
      query.u8(static_cast<std::uint8_t>(name[from]));
    ++from;
  }
  query.u8(0);
  query.u16_be(type), query.u16_be(1);
  const auto question_end = query.size();

  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(dns.port());
  ::inet_pton(AF_INET, dns.address().c_str(), &place.sin_addr);
  ::sendto(socket, query.bytes().data(), query.size(), 0, reinterpret_cast<const sockaddr *>(&place),
           sizeof place);
  tds::Bytes reply(4096);
  pollfd ready{socket, POLLIN, 0};
  const auto size = ::poll(&ready, 1, 5000) > 0 ? ::recv(socket, reply.data(), reply.size(), 0) : 0;
  ::close(socket);
  if (size < 12) return "no answer";
  reply.resize(static_cast<std::size_t>(size));

  const auto name_at = [&](std::size_t at) { // a name, with RFC 1035 compression
    std::string text;
    for (int labels = 0; labels < 40 && at < reply.size() && reply[at] != 0; ++labels) {
      if (reply[at] >= 0xC0) {
        at = static_cast<std::size_t>((reply[at] & 0x3F) << 8 | reply[at + 1]);
        continue;
      }
      text += (text.empty() ? "" : ".") +
              std::string(reply.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                          reply.begin() + static_cast<std::ptrdiff_t>(at) + 1 + reply[at]);
      at += reply[at] + 1u;
    }
    return text;
  };
  std::string text = "rcode " + std::to_string(reply[3] & 0x0F);
  std::size_t at = question_end;
  for (int left = reply[6] << 8 | reply[7]; left > 0; --left) {
    while (reply[at] != 0 && reply[at] < 0xC0)
      at += reply[at] + 1u;
    at += reply[at] >= 0xC0 ? 2 : 1;
    const int kind = reply[at] << 8 | reply[at + 1];
    const int ttl = reply[at + 4] << 24 | reply[at + 5] << 16 | reply[at + 6] << 8 | reply[at + 7];
    const int length = reply[at + 8] << 8 | reply[at + 9];
    at += 10;
    char address[INET_ADDRSTRLEN] = {};
    if (kind == 1) ::inet_ntop(AF_INET, &reply[at], address, sizeof address);
    text += std::string(", ") +
            (kind == 1   ? "A "
             : kind == 5 ? "CNAME "
                         : "PTR ") +
            (kind == 1 ? address : name_at(at)) + " " + std::to_string(ttl);
    at += static_cast<std::size_t>(length);
  }
  return text;
}

constexpr std::uint16_t type_a = 1, type_ptr = 12;

TEST(DnsTest, answers_forward_reverse_and_by_alias) {
  const TemporaryFolder folder;
  const Block block;
  Dns dns(folder.path(), block);
  const auto address = block.server(0);
  dns.host("sql1.corp.test", address);
  dns.cname("sqlalias.corp.test", "sql1.corp.test");
  dns.start();
  EXPECT_EQ(ask(dns, "sql1.corp.test", type_a), "rcode 0, A " + address + " 60");
  EXPECT_EQ(ask(dns, "sqlalias.corp.test", type_a), "rcode 0, CNAME sql1.corp.test 60, A " + address + " 60");
  in_addr raw{};
  ::inet_pton(AF_INET, address.c_str(), &raw);
  const auto *b = reinterpret_cast<const std::uint8_t *>(&raw);
  const auto reverse = std::to_string(b[3]) + "." + std::to_string(b[2]) + "." + std::to_string(b[1]) + "." +
                       std::to_string(b[0]) + ".in-addr.arpa";
  EXPECT_EQ(ask(dns, reverse, type_ptr), "rcode 0, PTR sql1.corp.test 60");
  EXPECT_EQ(ask(dns, "nobody.corp.test", type_a), "rcode 3");

  dns.remove("sql1.corp.test");
  dns.remove("sqlalias.corp.test");
  dns.ptr(address, "wrong.corp.test");
  dns.start();
  EXPECT_EQ(ask(dns, "sql1.corp.test", type_a), "rcode 3");
  EXPECT_THAT(ask(dns, reverse, type_ptr), HasSubstr("PTR wrong.corp.test"));
}

} // namespace
} // namespace lab
