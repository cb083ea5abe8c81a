// The lab's NTLM acceptor: with the examples of its specification, with gss-ntlmssp as the client, and with
// tokens that no client sends.
#include "tests/unit/tools/lab/peer/ntlm_client.hpp"
#include "tools/lab/peer/ntlm.hpp"

#include <algorithm>
#include <functional>
#include <gmock/gmock.h>

namespace lab {
namespace {

using lab_test::NtlmClient;
using lab_test::NtlmWish;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Binding = NtlmAcceptor::Binding;

tds::Bytes from_hex(std::string_view text) {
  tds::Bytes bytes;
  std::string digits;
  for (const char letter : text)
    if (letter != ' ') digits += letter;
  for (std::size_t at = 0; at + 1 < digits.size(); at += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(digits.substr(at, 2), nullptr, 16)));
  return bytes;
}

tds::Bytes from_text(std::string_view text) { return {text.begin(), text.end()}; }

std::uint32_t u32_at(tds::ByteView bytes, std::size_t offset) {
  return tds::Reader(bytes.subspan(offset), "").u32_le("").value();
}

/// MsvAvTimestamp of a challenge; empty where it has none.
tds::Bytes timestamp_of(tds::ByteView challenge) {
  auto at = u32_at(challenge, 44); // TargetInfoFields
  while (true) {
    tds::Reader reader(challenge.subspan(at), "AV_PAIR");
    const auto id = reader.u16_le("AvId").value();
    const auto value = reader.take(reader.u16_le("AvLen").value(), "Value").value();
    if (id == ntlm::av_end) return {};
    if (id == ntlm::av_timestamp) return {value.begin(), value.end()};
    at += static_cast<std::uint32_t>(4 + value.size());
  }
}

// ----------------------------------------------------------------------------------------------
// MS-NLMP 4.2.4, as published

const auto server_challenge = from_hex("0123456789abcdef");

/// 4.2.4.3: of User in Domain at COMPUTER, with the random session key 55…55, and without a MIC.
const auto published =
    from_hex("4e544c4d53535000 03000000 180018006c000000 5400540084000000"
             "0c000c0048000000 0800080054000000 100010005c000000 10001000d8000000 358288e2"
             "0501280a0000000f 44006f006d00610069006e00 5500730065007200"
             "43004f004d0050005500540045005200"
             "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"
             "68cd0ab851e51c96aabc927bebef6a1c 0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000"
             "02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000 00000000"
             "c5dad2544fc9799094ce1ce90bc9d03e");
constexpr std::size_t response_at = 0x84; // of NTLMv2_RESPONSE in it
constexpr std::size_t pairs_at = response_at + 44;

/// A client's flags with everything (4.2.4), in the short form of NEGOTIATE_MESSAGE.
const auto negotiate = from_hex("4e544c4d53535000 01000000 358288e2");

NtlmAcceptor published_acceptor() {
  NtlmAcceptor acceptor({.accounts = {{"User@DOMAIN.TEST", "Password"}},
                         .domains = {{"DOMAIN.TEST", "Domain"}},
                         .computer = "Server",
                         .server_challenge = server_challenge});
  EXPECT_TRUE(acceptor.challenge(negotiate));
  return acceptor;
}

TEST(NtlmPublished, the_key_of_a_password) {
  EXPECT_EQ(ntowf_v2(u"User", u"Domain", "Password"), from_hex("0c868a403bfd7a93a3001ef22ef02e3f"));
}

TEST(NtlmPublished, the_authenticate_message_is_good) {
  auto acceptor = published_acceptor();
  const auto outcome = acceptor.authenticate(published);
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_EQ(acceptor.session_key(), tds::Bytes(16, 0x55));
  EXPECT_EQ(acceptor.client().user, "User");
  EXPECT_EQ(acceptor.client().domain, "Domain");
  EXPECT_EQ(acceptor.client().workstation, "COMPUTER");
  EXPECT_EQ(acceptor.client().principal, "User@DOMAIN.TEST");
  EXPECT_EQ(acceptor.client().target_name, "");
  EXPECT_EQ(acceptor.client().flags, 0xe2888235);
  EXPECT_EQ(acceptor.client().binding, Binding::absent);
  EXPECT_FALSE(acceptor.client().mic);
}

TEST(NtlmPublished, every_beginning_of_it_is_refused) {
  for (std::size_t size = 0; size < published.size(); ++size) {
    const tds::Bytes beginning(published.begin(), published.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(published_acceptor().authenticate(beginning)) << size;
  }
}

TEST(NtlmPublished, each_changed_byte_of_the_response_is_refused) {
  for (std::size_t at = response_at; at < 0xd8; ++at) {
    auto changed = published;
    changed[at] ^= 1;
    EXPECT_FALSE(published_acceptor().authenticate(changed)) << at;
  }
}

/// Whatever a byte is, it is an answer and not an accident: for the sanitizers.
TEST(NtlmPublished, no_byte_can_hurt) {
  const auto acceptor = published_acceptor();
  for (std::size_t at = 0; at < published.size(); ++at)
    for (const int value : {0x00, 0x01, 0x02, 0x7f, 0x80, 0xff}) {
      auto changed = published;
      changed[at] = static_cast<std::uint8_t>(value);
      auto fresh = acceptor;
      (void)fresh.authenticate(changed);
    }
}

struct Malformed {
  const char *name;
  std::function<void(tds::Bytes &)> change;
  const char *text; ///< a part of what is said
};

void set_u16(tds::Bytes &bytes, std::size_t at, std::uint16_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value >> 8);
}
void set_u32(tds::Bytes &bytes, std::size_t at, std::uint32_t value) {
  set_u16(bytes, at, static_cast<std::uint16_t>(value));
  set_u16(bytes, at + 2, static_cast<std::uint16_t>(value >> 16));
}

TEST(NtlmPublished, what_is_malformed_is_named) {
  const Malformed rows[] = {
      {"signature", [](auto &b) { b[7] = 1; }, "Signature at byte 8: is not NTLMSSP"},
      {"type", [](auto &b) { b[8] = 2; }, "MessageType at byte 12: is 2, not 3"},
      {"inside the fixed part", [](auto &b) { set_u32(b, 40, 63); }, "UserNameFields"},
      {"past the end", [](auto &b) { set_u32(b, 40, 0xE1); },
       "UserNameFields at byte 64: points past the end (225 + 8 > 232)"},
      {"far past the end", [](auto &b) { set_u32(b, 40, 0xFFFFFFFC); },
       "points past the end (4294967292 + 8"},
      {"half a unit", [](auto &b) { set_u16(b, 36, 7); },
       "UserNameFields at byte 64: is half a UTF-16 unit too long"},
      {"OEM", [](auto &b) { b[60] &= 0xFE; }, "NegotiateFlags at byte 64: have not UNICODE"},
      {"anonymous", [](auto &b) { set_u16(b, 20, 0); }, "anonymous"},
      {"NTLMv1", [](auto &b) { set_u16(b, 20, 24); }, "NTLMv1, which this server does not take"},
      {"short response", [](auto &b) { set_u16(b, 20, 43); }, "NTLMv2_RESPONSE"},
      {"response type", [](auto &b) { b[response_at + 16] = 2; }, "RespType"},
      {"no pairs", [](auto &b) { set_u16(b, 20, 44); }, "AV_PAIR AvId"},
      {"pairs without end", [](auto &b) { set_u16(b, 20, 44 + 32); }, "AV_PAIR AvId"},
      {"pair past the end", [](auto &b) { set_u16(b, pairs_at + 18, 100); }, "AV_PAIR Value"},
      {"pair twice", [](auto &b) { b[pairs_at + 16] = 2; }, "0x0002 stands twice"},
      {"end with a length", [](auto &b) { b[pairs_at + 34] = 4; }, "of MsvAvEOL is not 0"},
      {"short MsvAvFlags", [](auto &b) { b[pairs_at] = 6; }, "0x0006 has not 4 bytes"},
      {"short MsvAvChannelBindings", [](auto &b) { b[pairs_at] = 10; }, "0x000A has not 16 bytes"},
      {"session key", [](auto &b) { set_u16(b, 52, 8); }, "session key has not 16 bytes"},
      {"account", [](auto &b) { b[0x54] = 'L'; }, "There is no account Domain\\Lser."},
      {"domain", [](auto &b) { b[0x48] = 'L'; }, "There is no account Lomain\\User."},
      {"proof", [](auto &b) { b[response_at] ^= 1; },
       "The proof of Domain\\User does not fit the account's password."},
  };
  for (const auto &row : rows) {
    auto changed = published;
    row.change(changed);
    const auto outcome = published_acceptor().authenticate(changed);
    ASSERT_FALSE(outcome) << row.name;
    EXPECT_THAT(outcome.error(), HasSubstr(row.text)) << row.name;
  }
}

TEST(NtlmChallenge, has_what_windows_sends) {
  NtlmAcceptor acceptor({.domains = {{"CORP.TEST", "CORP"}}, .server_challenge = server_challenge});
  const auto challenge = acceptor.challenge(negotiate).value();
  EXPECT_EQ(tds::Bytes(challenge.begin(), challenge.begin() + 12), from_hex("4e544c4d53535000 02000000"));
  EXPECT_EQ(u32_at(challenge, 20), 0xe2898235u); // as asked, and TARGET_INFO, TARGET_TYPE_DOMAIN
  EXPECT_EQ(tds::Bytes(challenge.begin() + 24, challenge.begin() + 32), server_challenge);
  EXPECT_EQ(u32_at(challenge, 48), 0x4f7c000au); // Version was asked for
  const auto text = std::string(challenge.begin() + 56, challenge.end());
  const auto utf16 = [](std::string_view ascii) {
    std::string wide;
    for (const char letter : ascii)
      (wide += letter) += '\0';
    return wide;
  };
  EXPECT_THAT(text, AllOf(HasSubstr(utf16("CORP")), HasSubstr(utf16("SQL1")), HasSubstr(utf16("corp.test")),
                          HasSubstr(utf16("sql1.corp.test"))));
  EXPECT_EQ(timestamp_of(challenge).size(), 8u);
  NtlmAcceptor other({});
  EXPECT_NE(tds::Bytes(challenge.begin() + 24, challenge.begin() + 32), [&] {
    const auto bytes = other.challenge(negotiate).value();
    return tds::Bytes(bytes.begin() + 24, bytes.begin() + 32);
  }()) << "random";
}

TEST(NtlmChallenge, what_was_not_asked_for_is_not_granted) {
  NtlmAcceptor acceptor({.domains = {{"CORP.TEST", "CORP"}}, .timestamp = false});
  const auto challenge = acceptor.challenge(from_hex("4e544c4d53535000 01000000 01020000")).value();
  EXPECT_EQ(u32_at(challenge, 20),
            0x00808201u); // UNICODE, NTLM; ALWAYS_SIGN and TARGET_INFO are always there
  EXPECT_EQ(u32_at(challenge, 12), 0u) << "no TargetName";
  EXPECT_EQ(u32_at(challenge, 48), 0u) << "no Version";
  EXPECT_TRUE(timestamp_of(challenge).empty());
}

TEST(NtlmChallenge, needs_a_good_negotiate_message) {
  const auto refused = [](tds::ByteView token) {
    const auto outcome = NtlmAcceptor({}).challenge(token);
    return outcome ? std::string() : outcome.error();
  };
  EXPECT_EQ(refused(negotiate), "");
  for (std::size_t size = 0; size < negotiate.size(); ++size)
    EXPECT_NE(refused(tds::ByteView(negotiate).first(size)), "") << size;
  EXPECT_THAT(refused(published), HasSubstr("MessageType at byte 12: is 3, not 1"));
  EXPECT_THAT(refused(from_hex("4e544c4d53535000 01000000 02020000")), HasSubstr("cannot do Unicode"));
  EXPECT_THAT(refused(from_hex("4e544c4d53535000 01000000 01000000")), HasSubstr("does not ask for NTLM"));
  EXPECT_THAT(refused(from_hex("4e544c4d53535000 01000000 01120000 0400040020000000 0000000000000000")),
              HasSubstr("DomainNameFields at byte 32: points past the end (32 + 4 > 32)"));
}

TEST(NtlmChannel, is_hashed_as_gssapi_shows_it) {
  // MD5 over 16 zero bytes, 0a000000, "tls-unique"; made with another program.
  EXPECT_EQ(ntlm_channel_hash(from_text("tls-unique")), from_hex("0810e65a598e58f3f2f0376a80a5f6b5"));
}

// ------------------------------------------------------------------------------------------------
// gss-ntlmssp as the client

NtlmOptions lab_options() {
  return {.accounts = {{"svc-reports@CORP.TEST", "Reports.Passw0rd"}, {"bob@CORP.TEST", "bobpw"}},
          .domains = {{"CORP.TEST", "CORP"}}};
}

struct Login {
  NtlmAcceptor acceptor;
  tds::Bytes token; ///< AUTHENTICATE_MESSAGE
  NtlmAcceptor::Outcome<void> outcome;
  tds::Bytes session_key; ///< the client's
  const NtlmAcceptor::Client &client() const { return acceptor.client(); }
};

Login log_in(NtlmWish wish = {}, NtlmOptions options = lab_options()) {
  NtlmClient client(std::move(wish));
  NtlmAcceptor acceptor(std::move(options));
  auto token = client.step(acceptor.challenge(client.step()).value());
  auto outcome = acceptor.authenticate(token);
  return {std::move(acceptor), std::move(token), std::move(outcome), client.session_key()};
}

TEST(NtlmClientTest, logs_in) {
  const auto login = log_in();
  ASSERT_TRUE(login.outcome) << login.outcome.error();
  EXPECT_EQ(login.client().user, "svc-reports");
  EXPECT_EQ(login.client().domain, "CORP");
  EXPECT_EQ(login.client().principal, "svc-reports@CORP.TEST");
  EXPECT_EQ(login.client().target_name, "MSSQLSvc/sql1.corp.test:1433");
  EXPECT_EQ(login.client().binding, Binding::absent);
  EXPECT_TRUE(login.client().mic);
  EXPECT_EQ(login.acceptor.session_key(), login.session_key);
  EXPECT_EQ(login.session_key.size(), 16u);
}

TEST(NtlmClientTest, an_account_has_several_names) {
  for (const auto *name : {"CORP\\bob", "corp\\BOB", "CORP.TEST\\bob", "corp.test\\Bob", "bob@CORP.TEST"}) {
    const auto login = log_in({.name = name, .password = "bobpw"});
    EXPECT_TRUE(login.outcome) << name << ": " << login.outcome.error();
    EXPECT_EQ(login.client().principal, "bob@CORP.TEST") << name;
  }
}

TEST(NtlmClientTest, a_wrong_password_or_account_is_refused) {
  EXPECT_THAT(log_in({.password = "reports.passw0rd"}).outcome.error(),
              HasSubstr("does not fit the account's password"));
  for (const auto *name : {"CORP\\mallory", "OTHER\\svc-reports", "svc-reports"})
    EXPECT_THAT(log_in({.name = name}).outcome.error(), HasSubstr("There is no account")) << name;
  auto none = lab_options();
  none.accounts.clear();
  EXPECT_THAT(log_in({}, none).outcome.error(), HasSubstr("There is no account CORP\\svc-reports."));
}

TEST(NtlmClientTest, every_beginning_of_its_token_is_refused) {
  NtlmClient client;
  NtlmAcceptor acceptor(lab_options());
  const auto token = client.step(acceptor.challenge(client.step()).value());
  for (std::size_t size = 0; size < token.size(); ++size) {
    auto fresh = acceptor;
    const tds::Bytes beginning(token.begin(), token.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(fresh.authenticate(beginning)) << size;
  }
  EXPECT_TRUE(acceptor.authenticate(token));
}

TEST(NtlmClientTest, without_a_timestamp_there_is_no_mic) {
  auto options = lab_options();
  options.timestamp = false;
  const auto login = log_in({}, options);
  ASSERT_TRUE(login.outcome) << login.outcome.error();
  EXPECT_FALSE(login.client().mic);
  EXPECT_EQ(login.client().target_name, "MSSQLSvc/sql1.corp.test:1433");
}

TEST(NtlmClientTest, nobody_who_is_not_asked_sends_a_mic) {
  const auto login = log_in({.mic = false});
  ASSERT_TRUE(login.outcome) << login.outcome.error();
  EXPECT_FALSE(login.client().mic);
}

TEST(NtlmClientTest, a_message_that_was_changed_on_its_way_does_not_fit_the_mic) {
  for (const bool mic : {true, false}) {
    NtlmClient client({.mic = mic});
    NtlmAcceptor acceptor(lab_options());
    auto first = client.step();
    first[15] ^= 0x20; // NEGOTIATE_128
    const auto outcome = acceptor.authenticate(client.step(acceptor.challenge(first).value()));
    EXPECT_EQ(outcome.has_value(), !mic);
    if (mic) EXPECT_THAT(outcome.error(), HasSubstr("The client's MIC does not fit the three messages"));
  }
  auto login = log_in();
  login.token[ntlm::mic_offset] ^= 1;
  EXPECT_THAT(login.acceptor.authenticate(login.token).error(), HasSubstr("MIC does not fit"));
}

TEST(NtlmClientTest, is_bound_to_its_channel) {
  const auto ours = from_text("tls-unique:abcdefghijkl"), theirs = from_text("tls-unique:ABCDEFGHIJKL");
  auto options = lab_options();
  options.bindings = ours;
  const auto rightly = log_in({.bindings = ours}, options);
  EXPECT_TRUE(rightly.outcome) << rightly.outcome.error();
  EXPECT_EQ(rightly.client().binding, Binding::equal);
  const auto wrongly = log_in({.bindings = theirs}, options);
  EXPECT_EQ(wrongly.outcome.error(), "The client is bound to another channel.");
  EXPECT_EQ(wrongly.client().binding, Binding::different);
  const auto not_at_all = log_in({}, options);
  EXPECT_TRUE(not_at_all.outcome) << not_at_all.outcome.error();
  EXPECT_EQ(not_at_all.client().binding, Binding::absent);
  const auto unasked = log_in({.bindings = theirs}); // the server compares nothing
  EXPECT_TRUE(unasked.outcome) << unasked.outcome.error();
  EXPECT_EQ(unasked.client().binding, Binding::absent);
  // A wrong password is told before a wrong channel, which anybody could name.
  EXPECT_THAT(log_in({.password = "x", .bindings = theirs}, options).outcome.error(), HasSubstr("password"));
}

} // namespace
} // namespace lab
