// NTLM at the peer, over TDS, with gss-ntlmssp as the client: what it lets in, what it refuses as Windows
// does, and what it writes down.
#include "tests/unit/tools/lab/peer/ntlm_client.hpp"
#include "tests/unit/tools/lab/peer/tls_client.hpp"
#include "tools/lab/certificates.hpp"
#include "tools/lab/peer/peer.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

using lab_test::Client;
using lab_test::find;
using lab_test::find_error;
using lab_test::NtlmClient;
using lab_test::NtlmWish;
using lab_test::TlsClient;
using ::testing::HasSubstr;

enum class Bound { rightly, wrongly, not_at_all };

class PeerNtlm : public ::testing::Test {
protected:
  PeerNtlm() {
    options.certificate = folder.path() / "peer.pem";
    options.key = folder.path() / "peer.key";
    options.accounts = {{"svc-reports@CORP.TEST", "Reports.Passw0rd"}};
    self_signed({.names = {"sql1.corp.test"}}).write(options.certificate, options.key);
  }
  ~PeerNtlm() override {
    if (HasFailure())
      std::fprintf(stderr, "---- peer.log\n%s\n---- the last record\n%s\n",
                   read_file(folder.path() / "peer.log").c_str(), number > 0 ? record().dump(2).c_str() : "");
  }

  /// The peer with `options` as they are now.
  void start() { peer ? peer->restart(options) : void(peer.emplace(folder.path(), options)); }

  /// One login. 0 where it is let in, else the number of the ERROR.
  std::uint32_t log_in(NtlmWish wish = {}, Bound bound = Bound::not_at_all) {
    ++number;
    error = {};
    client.emplace(peer->address(), peer->port());
    std::optional<TlsClient> tls;
    const bool with_tls = options.encrypt != "off";
    tds::Prelogin hello;
    hello.set_version({9, 0, 0, 0});
    hello.set_encryption(with_tls ? tds::Encryption::on : tds::Encryption::not_sup);
    client->send(tds::PacketType::prelogin, tds::encode_prelogin(hello));
    client->receive();
    if (with_tls) tls.emplace(*client, true).handshake();
    if (bound != Bound::not_at_all) {
      const std::string_view kind = "tls-unique:";
      wish.bindings.assign(kind.begin(), kind.end());
      const auto finished = tls ? tls->finished() : tds::Bytes(12);
      wish.bindings.insert(wish.bindings.end(), finished.begin(), finished.end());
      if (bound == Bound::wrongly) wish.bindings.back() ^= 1;
    }
    NtlmClient ntlm(std::move(wish));
    tds::Login7 login;
    login.option_flags2 = tds::option2_integrated_security;
    login.sspi = ntlm.step();
    const auto send = [&](tds::PacketType type, tds::ByteView payload) {
      const auto message = tds::encode_message(type, payload);
      tls ? tls->write(message) : client->write(message);
    };
    send(tds::PacketType::login7, tds::encode_login7(login).value());
    while (true) {
      const auto reply = tls ? tls->receive() : client->receive();
      if (!reply) throw std::runtime_error("the peer closed");
      const auto tokens = tds::decode_tokens(*reply, tds::tds_7_4).value();
      if (find<tds::LoginAck>(tokens)) return 0;
      if (const auto *found = find_error(tokens)) {
        error = tds::to_utf8(found->text);
        return found->number;
      }
      const auto *token = find<tds::SspiToken>(tokens);
      if (!token) throw std::runtime_error("neither LOGINACK nor ERROR nor a token");
      send(tds::PacketType::sspi, ntlm.step(token->data));
    }
  }
  nlohmann::json record() const { return peer->record(number); }

  TemporaryFolder folder;
  PeerOptions options;
  std::optional<Peer> peer;
  std::optional<Client> client;
  std::string error;
  int number = 0; // of the last connection
};

constexpr auto untrusted =
    "Login failed. The login is from an untrusted domain and cannot be used with Integrated authentication.";

TEST_F(PeerNtlm, a_login_is_taken_and_written_down) {
  start();
  ASSERT_EQ(log_in(), 0u);
  const auto seen = record();
  EXPECT_EQ(seen.at("mechanism"), "ntlm");
  EXPECT_EQ(seen.at("outcome"), "accepted");
  EXPECT_EQ(seen.at("auth_scheme"), "NTLM");
  EXPECT_EQ(seen.at("login"), "CORP\\svc-reports");
  EXPECT_EQ(seen.at("initiator"), "svc-reports@CORP.TEST");
  EXPECT_EQ(seen.at("spn"), "");
  EXPECT_EQ(seen.at("flags"), GSS_C_INTEG_FLAG);
  EXPECT_EQ(seen.at("channel_bound"), false);
  const auto &ntlm = seen.at("ntlm");
  EXPECT_EQ(ntlm.at("user"), "svc-reports");
  EXPECT_EQ(ntlm.at("domain"), "CORP");
  EXPECT_EQ(ntlm.at("target_name"), "MSSQLSvc/sql1.corp.test:1433");
  EXPECT_EQ(ntlm.at("channel_bound"), false);
  EXPECT_EQ(ntlm.at("mic"), true);
  ASSERT_EQ(seen.at("tokens").size(), 2u); // NEGOTIATE for CHALLENGE, AUTHENTICATE for nothing
  EXPECT_GT(seen.at("tokens")[0].at("sent").get<int>(), 0);
  EXPECT_EQ(seen.at("tokens")[1].at("sent"), 0);
  EXPECT_THAT(seen.dump(), ::testing::Not(HasSubstr("Passw0rd")));

  client->batch("select suser_sname(), auth_scheme from sys.dm_exec_connections where session_id=@@spid");
  const auto bytes = client->receive().value();
  tds::Writer name, scheme;
  name.utf16(u"CORP\\svc-reports");
  scheme.utf16(u"NTLM");
  for (const auto &text : {name.bytes(), scheme.bytes()})
    EXPECT_FALSE(std::ranges::search(bytes, text).empty());
}

TEST_F(PeerNtlm, a_wrong_password_and_an_unknown_account_are_18452) {
  start();
  EXPECT_EQ(log_in({.password = "wrong"}), 18452u);
  EXPECT_EQ(error, untrusted);
  EXPECT_THAT(record().at("gss_error"), HasSubstr("does not fit the account's password"));
  EXPECT_EQ(record().at("outcome"), "refused");
  EXPECT_FALSE(record().contains("auth_scheme"));
  EXPECT_EQ(log_in({.name = "CORP\\alice"}), 18452u);
  EXPECT_EQ(error, untrusted);
  EXPECT_EQ(record().at("gss_error"), "There is no account CORP\\alice.");
}

TEST_F(PeerNtlm, who_has_no_login_is_denied_after_the_password_was_good) {
  options.principals = std::vector<std::string>{"alice@CORP.TEST"};
  start();
  EXPECT_EQ(log_in(), 18456u);
  EXPECT_EQ(error, "Login failed for user 'CORP\\svc-reports'.");
}

TEST_F(PeerNtlm, may_be_forbidden) {
  options.ntlm = false;
  start();
  EXPECT_EQ(log_in(), 18452u);
  EXPECT_EQ(error, untrusted);
  EXPECT_EQ(record().at("gss_error"), "This server takes no NTLM.");
  EXPECT_FALSE(record().contains("ntlm"));
}

TEST_F(PeerNtlm, an_old_server_has_no_timestamp_and_gets_no_mic) {
  options.ntlm_timestamp = false;
  start();
  EXPECT_EQ(log_in(), 0u);
  EXPECT_EQ(record().at("ntlm").at("mic"), false);
}

TEST_F(PeerNtlm, the_proof_that_it_withholds_from_kerberos_is_none_of_ntlm) {
  options.omit_sspi_token = true;
  start();
  EXPECT_EQ(log_in(), 0u);
  EXPECT_EQ(log_in({.password = "wrong"}), 18452u);
}

TEST_F(PeerNtlm, extended_protection_is_as_with_kerberos) {
  struct Row {
    const char *encrypt, *epa;
    Bound bound;
    std::uint32_t error;
    bool channel_bound;
    const char *refusal; ///< `epa` of the record
  };
  const Row rows[] = {
      {"on", "off", Bound::rightly, 0, false, ""},
      {"on", "off", Bound::wrongly, 0, false, ""},
      {"on", "allowed", Bound::rightly, 0, true, ""},
      {"on", "allowed", Bound::not_at_all, 0, false, ""},
      {"on", "allowed", Bound::wrongly, 18452, false, "mismatch"},
      {"on", "required", Bound::rightly, 0, true, ""},
      {"on", "required", Bound::not_at_all, 18452, false, "unbound"},
      {"on", "required", Bound::wrongly, 18452, false, "mismatch"},
      {"off", "allowed", Bound::wrongly, 0, false, ""}, // there is no channel to compare with
      {"off", "required", Bound::rightly, 18452, false, "unbound"},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(std::string(row.encrypt) + " " + row.epa + " " +
                 std::to_string(static_cast<int>(row.bound)));
    options.encrypt = row.encrypt;
    options.epa = row.epa;
    start();
    EXPECT_EQ(log_in({}, row.bound), row.error);
    EXPECT_EQ(record().at("channel_bound"), row.channel_bound);
    EXPECT_EQ(record().at("ntlm").at("channel_bound"), row.channel_bound);
    EXPECT_EQ(record().value("epa", ""), row.refusal);
  }
}

} // namespace
} // namespace lab
