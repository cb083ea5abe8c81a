// NTLM against gss-ntlmssp's own acceptor. Against a server: tests/component/ntlm_test.cpp.
#include "auth/ntlm_initiator.hpp"

#include "auth/gss.hpp"
#include "auth/ntlm_message.hpp"
#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>

namespace auth_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::string_view password = "Lab.Passw0rd";
constexpr std::uint32_t channel_bound = 0x800; // GSS_C_CHANNEL_BOUND_FLAG

/// What the acceptor made of a login.
struct Accepted {
  bool complete = false;
  std::uint32_t flags = 0;
  std::string client;
};

class NtlmInitiatorTest : public testing::Test {
protected:
  NtlmInitiatorTest() {
    folder_.write("users", "CORP:svc-reports:" + std::string(password) + "\n");
    ::setenv("NTLM_USER_FILE", folder_.file("users").c_str(), 1); // gss-ntlmssp reads it at each login
  }
  ~NtlmInitiatorTest() override { ::unsetenv("NTLM_USER_FILE"); }

  std::shared_ptr<const Identity> identity(std::string_view with = password) {
    return value(load_identity(
        {"reports", Source::password_file, folder_.write("password", with), "svc-reports@CORP.TEST"},
        folder_.write("krb5.conf", plain_config)));
  }
  std::unique_ptr<Initiator> initiator(NtlmOptions options = {}, std::string_view with = password) {
    options.account = R"(CORP\svc-reports)";
    options.service = "MSSQLSvc/sql1.corp.test:1433";
    return value(make_ntlm_initiator(*identity(with), options));
  }

  /// The server's next token. Error: the acceptor's.
  Result<Bytes> accept(ByteView token, Bytes channel = {}) {
    const LeaksOfLibraries not_ours;
    auto in = borrowed(token);
    GssBuffer out;
    GssName client;
    OM_uint32 minor = 0;
    auto bindings = bindings_to(channel);
    const auto major =
        gss_accept_sec_context(&minor, context_.out(), GSS_C_NO_CREDENTIAL, &in,
                               channel.empty() ? GSS_C_NO_CHANNEL_BINDINGS : &bindings, client.out(), nullptr,
                               out.out(), &accepted_.flags, nullptr, nullptr);
    if (GSS_ERROR(major)) return std::unexpected(gss_error(major, minor, &ntlm_oid));
    accepted_.complete = !(major & GSS_S_CONTINUE_NEEDED);
    if (accepted_.complete) {
      GssBuffer name;
      gss_display_name(&minor, client.get(), name.out(), nullptr);
      accepted_.client = name.text().c_str(); // gss-ntlmssp counts the byte that ends a C string
    }
    return out.bytes();
  }
  void start_anew() {
    OM_uint32 minor = 0;
    gss_delete_sec_context(&minor, context_.out(), GSS_C_NO_BUFFER);
    accepted_ = {};
  }
  /// The initiator's answer to a challenge of the acceptor, which `change` may change first.
  Result<Step> answer(Initiator &ours, const std::function<void(Bytes &)> &change = {}) {
    auto challenge = value(accept(value(ours.step({})).token));
    if (change) change(challenge);
    return ours.step(challenge);
  }

  Folder folder_;
  GssContext context_;
  Accepted accepted_;
};

TEST_F(NtlmInitiatorTest, ManyPasswordsLeaveNothingBehind) {
  const auto make = [&](int many) {
    for (int i = 0; i < many; ++i)
      initiator({}, "s3cret" + std::to_string(i));
  };
  make(20);
  const auto before = allocated_bytes();
  make(200);
  EXPECT_LT(allocated_bytes(), before + 100 * 1024) << "with the password itself it is 1.5 MiB";
}

TEST_F(NtlmInitiatorTest, RawWithAMic) {
  const auto ours = initiator();
  EXPECT_EQ(ours->source(), R"(CORP\svc-reports)");
  const auto step = value(answer(*ours));
  EXPECT_TRUE(step.complete);
  EXPECT_FALSE(step.mutual) << "NTLM does not prove the server";
  EXPECT_TRUE(protection_of(step.token).v2);
  EXPECT_TRUE(protection_of(step.token).mic);
  const auto text = std::string(step.token.begin(), step.token.end());
  std::string utf16;
  for (const char letter : std::string_view("MSSQLSvc/sql1.corp.test:1433"))
    utf16 += {letter, '\0'};
  EXPECT_THAT(text, HasSubstr(utf16)) << "the server that it is meant for";
  EXPECT_EQ(value(accept(step.token)), Bytes());
  EXPECT_TRUE(accepted_.complete);
  EXPECT_EQ(accepted_.client, R"(CORP\svc-reports)");
}

TEST_F(NtlmInitiatorTest, InSpnego) {
  const auto ours = initiator({.account = {}, .service = {}, .wrapping = Wrapping::spnego});
  EXPECT_EQ(ours->source(), R"(CORP\svc-reports)");
  auto step = value(answer(*ours));
  EXPECT_EQ(step.token.at(0), 0xa1);
  EXPECT_TRUE(protection_of(find_ntlm(step.token, ntlm_authenticate)).mic);
  EXPECT_FALSE(step.complete) << "the acceptor has the last word";
  step = value(ours->step(value(accept(step.token))));
  EXPECT_TRUE(step.complete);
  EXPECT_TRUE(accepted_.complete);
  const auto key = value(ours->session_key()), its = value(session_key_of(context_, &spnego_oid));
  EXPECT_THAT(key.reveal(), testing::ElementsAreArray(its.reveal()));
  EXPECT_EQ(key.reveal().size(), 16u);
  EXPECT_EQ(accepted_.client, R"(CORP\svc-reports)");
}

TEST_F(NtlmInitiatorTest, BoundToItsChannel) {
  const Bytes channel = bytes("tls-unique:abcdefghijkl"), other = bytes("tls-unique:lkjihgfedcba");
  for (const auto wrapping : {Wrapping::raw, Wrapping::spnego}) {
    for (const auto &server : {channel, other}) {
      start_anew();
      const auto ours = initiator({.account = {}, .service = {}, .wrapping = wrapping});
      ours->bind(channel);
      const auto challenge = value(accept(value(ours->step({})).token, server));
      const auto end = accept(value(ours->step(challenge)).token, server);
      EXPECT_EQ(end.has_value(), server == channel);
      if (end) {
        EXPECT_TRUE(accepted_.flags & channel_bound);
      }
    }
  }
}

TEST_F(NtlmInitiatorTest, AWrongPassword) {
  const auto ours = initiator({}, "Wrong.Passw0rd");
  const auto step = value(answer(*ours));
  EXPECT_TRUE(step.complete) << "only the server knows";
  EXPECT_FALSE(accept(step.token));
}

/// Somebody on the way, or an old server: the time goes out of the challenge.
void forget_time(Bytes &challenge) {
  const Bytes time{7, 0, 8, 0};
  const auto found = std::ranges::search(challenge, time);
  ASSERT_FALSE(found.empty());
  found.front() = 99;
}

TEST_F(NtlmInitiatorTest, AChallengeWithoutTime) {
  for (const auto wrapping : {Wrapping::raw, Wrapping::spnego}) {
    start_anew();
    const auto refused =
        answer(*initiator({.account = {}, .service = {}, .wrapping = wrapping}), forget_time);
    ASSERT_FALSE(refused);
    EXPECT_EQ(to_string(refused.error().kind), "no-mic");
    EXPECT_THAT(refused.error().text, HasSubstr("does not tell its time"));
  }
  start_anew();
  const auto accepted = answer(*initiator({.account = {}, .service = {}, .require_mic = false}), forget_time);
  ASSERT_TRUE(accepted) << accepted.error().text;
  EXPECT_TRUE(accepted->complete);
}

TEST_F(NtlmInitiatorTest, TokensThatAreNoChallenge) {
  const auto change_to = [](Bytes token) { return [token](Bytes &challenge) { challenge = token; }; };
  for (const Bytes &token :
       {Bytes{}, Bytes{0}, bytes("NTLMSSP"), bytes(std::string_view("NTLMSSP\0\1\0\0\0", 12)),
        bytes(std::string_view("NTLMSSP\0\2\0\0\0", 12)), bytes(std::string_view("NTLMSSP\0\3\0\0\0", 12))}) {
    start_anew();
    const auto refused = answer(*initiator(), change_to(token));
    ASSERT_FALSE(refused) << token.size();
    EXPECT_EQ(to_string(refused.error().kind), "malformed");
  }
}

TEST_F(NtlmInitiatorTest, AnIdentityWithoutAPassword) {
  write_keytab(folder_.file("a.keytab"), {{"svc-reports@CORP.TEST", 1}});
  const auto keytab =
      value(load_identity({"reports", Source::keytab, folder_.file("a.keytab"), "svc-reports@CORP.TEST"},
                          folder_.write("krb5.conf", plain_config)));
  const auto refused = make_ntlm_initiator(*keytab, {.account = "CORP\\x", .service = "MSSQLSvc/sql1:1433"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(to_string(refused.error().kind), "no-credentials");
  EXPECT_THAT(refused.error().text, AllOf(HasSubstr("reports"), HasSubstr("keytab")));
}

} // namespace
} // namespace auth_test
