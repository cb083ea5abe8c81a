// Extended Protection at the peer, with a real KDC and a real GSSAPI initiator: FreeTDS sends no channel
// bindings, so the client is ours.
#include "tests/unit/tools/lab/peer/tls_client.hpp"
#include "tools/lab/lab.hpp"

#include <cstdlib>
#include <gmock/gmock.h>
#include <gssapi/gssapi_krb5.h>
#include <nlohmann/json.hpp>

namespace lab {
namespace {

using lab_test::Client;
using lab_test::find;
using lab_test::find_error;
using lab_test::TlsClient;
using ::testing::HasSubstr;

/// The first token of alice's login, bound to `application_data` unless that is empty. GSSAPI
/// reads the test's environment.
tds::Bytes first_token(const std::string &spn, tds::Bytes application_data, bool spnego) {
  gss_OID_desc spnego_mechanism{6, const_cast<char *>("\x2b\x06\x01\x05\x05\x02")};
  OM_uint32 minor = 0;
  gss_buffer_desc text{spn.size(), const_cast<char *>(spn.data())};
  gss_name_t target = GSS_C_NO_NAME;
  gss_import_name(&minor, &text, const_cast<gss_OID>(GSS_KRB5_NT_PRINCIPAL_NAME), &target);
  gss_channel_bindings_struct bindings{};
  bindings.application_data = {application_data.size(), application_data.data()};
  gss_ctx_id_t context = GSS_C_NO_CONTEXT;
  gss_buffer_desc token{0, nullptr};
  const auto major =
      gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &context, target,
                           spnego ? &spnego_mechanism : const_cast<gss_OID>(gss_mech_krb5), GSS_C_MUTUAL_FLAG,
                           GSS_C_INDEFINITE, application_data.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings,
                           GSS_C_NO_BUFFER, nullptr, &token, nullptr, nullptr);
  if (GSS_ERROR(major)) throw std::runtime_error("gss_init_sec_context failed");
  const auto *bytes = static_cast<const std::uint8_t *>(token.value);
  tds::Bytes result(bytes, bytes + token.length);
  gss_release_buffer(&minor, &token);
  gss_release_name(&minor, &target);
  gss_delete_sec_context(&minor, &context, GSS_C_NO_BUFFER);
  return result;
}

enum class Bound { rightly, wrongly, not_at_all };

class PeerEpa : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    lab_ = new Lab({.serve = false});
    lab_->realm().kinit("alice", "alicepw", lab_->folder() / "ccache");
    for (const auto &[name, value] : lab_->environment())
      if (name.starts_with("KRB5")) ::setenv(name.c_str(), value.c_str(), 1);
  }
  static void TearDownTestSuite() {
    for (const auto &[name, value] : lab_->environment())
      if (name.starts_with("KRB5")) ::unsetenv(name.c_str());
    delete lab_;
    lab_ = nullptr;
  }

  void restart(const std::string &encrypt, const std::string &epa) {
    auto options = lab_->peer().options();
    options.encrypt = encrypt;
    options.epa = epa;
    lab_->peer().restart(options);
  }

  /// alice logs in. 0 where she is let in, else the number of the ERROR.
  std::uint32_t log_in(Bound bound, tds::Encryption asked = tds::Encryption::on, bool spnego = false) {
    ++number_;
    token_seen_ = false;
    const bool strict = lab_->peer().options().encrypt == "strict";
    Client client(lab_->peer().address(), lab_->peer().port());
    std::optional<TlsClient> tls;
    if (strict) tls.emplace(client, false, TLS1_3_VERSION).handshake();
    tds::Prelogin hello;
    hello.set_version({9, 0, 0, 0});
    hello.set_encryption(asked);
    const auto prelogin = tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(hello));
    strict ? tls->write(prelogin) : client.write(prelogin);
    const auto answer = tds::decode_prelogin((strict ? tls->receive() : client.receive()).value()).value();
    if (!strict && asked != tds::Encryption::not_sup) tls.emplace(client, true).handshake();

    tds::Bytes bindings;
    if (bound != Bound::not_at_all) {
      const std::string_view kind = "tls-unique:";
      bindings.assign(kind.begin(), kind.end());
      const auto finished = tls ? tls->finished() : tds::Bytes(12);
      bindings.insert(bindings.end(), finished.begin(), finished.end());
      if (bound == Bound::wrongly) bindings.back() ^= 1;
    }
    tds::Login7 login;
    login.option_flags2 = tds::option2_integrated_security;
    login.sspi = first_token(lab_->spn(), bindings, spnego);
    const auto message = tds::encode_message(tds::PacketType::login7, tds::encode_login7(login).value());
    tls ? tls->write(message) : client.write(message);
    const bool secret = tls && answer.encryption() != tds::Encryption::off;
    while (true) {
      const auto reply = secret ? tls->receive() : client.receive();
      if (!reply) throw std::runtime_error("the peer closed");
      const auto tokens = tds::decode_tokens(*reply, tds::tds_7_4).value();
      if (find<tds::LoginAck>(tokens)) return 0;
      if (const auto *error = find_error(tokens)) return error->number;
      token_seen_ = find<tds::SspiToken>(tokens) != nullptr;
    }
  }
  nlohmann::json record() const { return lab_->peer().record(number_); }

  static Lab *lab_;
  static int number_; // of the last connection
  bool token_seen_ = false;
};
Lab *PeerEpa::lab_ = nullptr;
int PeerEpa::number_ = 0;

TEST_F(PeerEpa, off_looks_at_nothing) {
  restart("on", "off");
  for (const auto bound : {Bound::rightly, Bound::wrongly, Bound::not_at_all})
    EXPECT_EQ(log_in(bound), 0u);
  EXPECT_EQ(record().at("bindings"), "none");
  EXPECT_EQ(record().at("channel_bound"), false);
}

TEST_F(PeerEpa, allowed_refuses_wrong_bindings_alone) {
  restart("on", "allowed");
  for (const bool spnego : {false, true}) {
    EXPECT_EQ(log_in(Bound::rightly, tds::Encryption::on, spnego), 0u);
    EXPECT_EQ(record().at("channel_bound"), true) << record().dump(2);
    EXPECT_EQ(record().at("bindings"), "tls-unique");
    EXPECT_TRUE(token_seen_);
    EXPECT_EQ(log_in(Bound::not_at_all, tds::Encryption::on, spnego), 0u);
    EXPECT_EQ(record().at("channel_bound"), false);
    EXPECT_FALSE(record().contains("epa"));
    EXPECT_EQ(log_in(Bound::wrongly, tds::Encryption::on, spnego), 18452u);
    EXPECT_EQ(record().at("epa"), "mismatch") << record().dump(2);
    EXPECT_FALSE(token_seen_);
  }
}

TEST_F(PeerEpa, required_refuses_a_login_that_is_not_bound) {
  restart("on", "required");
  EXPECT_EQ(log_in(Bound::rightly), 0u);
  EXPECT_EQ(log_in(Bound::wrongly), 18452u);
  EXPECT_EQ(record().at("epa"), "mismatch");
  for (const bool spnego : {false, true}) {
    EXPECT_EQ(log_in(Bound::not_at_all, tds::Encryption::on, spnego), 18452u);
    EXPECT_EQ(record().at("epa"), "unbound");
    EXPECT_FALSE(token_seen_);
  }
}

TEST_F(PeerEpa, login_only_tls_binds_too) {
  restart("login", "required");
  EXPECT_EQ(log_in(Bound::rightly, tds::Encryption::off), 0u);
  EXPECT_EQ(record().at("mode"), "login");
  EXPECT_EQ(record().at("channel_bound"), true);
  EXPECT_EQ(log_in(Bound::not_at_all, tds::Encryption::off), 18452u);
}

TEST_F(PeerEpa, required_refuses_everybody_where_there_is_no_tls_unique) {
  restart("strict", "required");
  EXPECT_EQ(log_in(Bound::rightly, tds::Encryption::not_sup), 18452u); // TLS 1.3
  EXPECT_EQ(record().at("epa"), "unbound");
  EXPECT_EQ(record().at("tls").at("version"), "TLSv1.3");
  restart("off", "required");
  EXPECT_EQ(log_in(Bound::rightly, tds::Encryption::not_sup), 18452u);
  EXPECT_EQ(record().at("epa"), "unbound");
}

} // namespace
} // namespace lab
