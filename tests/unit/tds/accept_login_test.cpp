#include "tds/accept_login.hpp"

#include "script.hpp"

namespace tds::test {

using enum PreloginToken;

constexpr ServerVersion shown{16, 0, 600, 0};
const Bytes shown_bytes = hex("10 00 0258 0000");
const Bytes client_version = hex("09 00 0000 0000");

// What FreeTDS sends from TDS 7.2 on.
Prelogin asked_with(std::uint8_t encryption_byte, std::uint8_t mars_byte = 0) {
  return {{{version, client_version},
           {encryption, {encryption_byte}},
           {instopt, hex("4d5353514c53657276657200")},
           {threadid, hex("01020304")},
           {mars, {mars_byte}}}};
}

Prelogin told_with(std::uint8_t mars_byte = 0, std::uint8_t encryption_byte = 2) {
  return {{{version, shown_bytes},
           {encryption, {encryption_byte}},
           {instopt, {0}},
           {threadid, {}},
           {mars, {mars_byte}}}};
}

struct AnswerRow {
  const char *name;
  Prelogin asked;
  Prelogin answer;
};

const AnswerRow answers[] = {
    {"off", asked_with(0), told_with()},
    {"on", asked_with(1), told_with()},
    {"not_sup", asked_with(2), told_with()},
    {"req", asked_with(3), told_with()},
    {"client_certificate", asked_with(0x81), told_with()},
    {"mars", asked_with(2, 1), told_with(1)},
    {"mars_of_another_value_is_not_asked", asked_with(2, 2), told_with(0)},
    {"version_alone", {{{version, client_version}}}, {{{version, shown_bytes}}}},
    {"only_what_was_asked", // mssql-jdbc
     {{{version, client_version}, {encryption, {0}}, {traceid, Bytes(36, 1)}}},
     {{{version, shown_bytes}, {encryption, {2}}}}},
    {"fedauth_is_not_offered",
     {{{version, client_version}, {encryption, {2}}, {fedauthrequired, {1}}}},
     {{{version, shown_bytes}, {encryption, {2}}, {fedauthrequired, {0}}}}},
    {"nonce_and_unknown_options_get_no_answer",
     {{{version, client_version}, {nonce, Bytes(32, 1)}, {PreloginToken{0x42}, {1}}, {mars, {0}}}},
     {{{version, shown_bytes}, {mars, {0}}}}},
};

class AnswerPrelogin : public testing::TestWithParam<AnswerRow> {};
TEST_P(AnswerPrelogin, holds_what_was_asked) {
  EXPECT_EQ(answer_prelogin(GetParam().asked, shown), GetParam().answer);
}
INSTANTIATE_TEST_SUITE_P(rows, AnswerPrelogin, testing::ValuesIn(answers), RowName());

TEST(AnswerPrelogin, takes_another_encryption_and_says_none_unasked) {
  EXPECT_EQ(answer_prelogin(asked_with(0), shown, Encryption::req), told_with(0, 3));
  EXPECT_FALSE(answer_prelogin({{{version, client_version}}}, shown, Encryption::on).has(encryption));
}

// --- Scripts.

Gets prelogin(const Prelogin &asked) { return gets(PacketType::prelogin, encode_prelogin(asked)); }
Sends answer(const Prelogin &told) { return {PacketType::reply, encode_prelogin(told)}; }

Login7 login_of(Version version) {
  Login7 login;
  login.tds_version = version;
  login.host_name = u"client";
  login.user_name = u"sa";
  login.password = secret(u"secret");
  login.server_name = u"server";
  login.database = u"db";
  return login;
}

Bytes login_payload(Version version = tds_7_4) { return *encode_login7(login_of(version)); }
Gets login7(Version version = tds_7_4) { return gets(PacketType::login7, login_payload(version)); }

// `replacement` stands at `at` of an otherwise good LOGIN7.
Gets broken_login7(Version version, std::size_t at, const Bytes &replacement) {
  Bytes payload = login_payload(version);
  std::copy(replacement.begin(), replacement.end(), payload.begin() + static_cast<std::ptrdiff_t>(at));
  return gets(PacketType::login7, payload);
}

// A LOGIN7 that is longer than a packet, and where its first packet ends.
constexpr std::size_t large_token_size = 9'000; // three packets
Gets large_login7() {
  Login7 large = login_of(tds_7_4);
  large.sspi = Bytes(large_token_size, 0x5A);
  return gets(PacketType::login7, *encode_login7(large));
}
Gets first_packet_of(const Gets &message) {
  return {prefix(message.bytes, decode_packet_header(message.bytes)->length)};
}
Gets behind_first_packet_of(const Gets &message) {
  return {Bytes(message.bytes.begin() + decode_packet_header(message.bytes)->length, message.bytes.end())};
}

// A client's own NTLM login: its first token, and what becomes of it.
const Bytes negotiate = hex("4e544c4d53535000 01000000 07820008");
Gets ntlm_login7() {
  Login7 login = login_of(tds_7_4);
  login.sspi = negotiate;
  return gets(PacketType::login7, *encode_login7(login));
}
Sends challenged() {
  return {PacketType::reply, encode_tokens({SspiToken{ntlm_challenge(negotiate, {})}}, tds_7_4)};
}
Gets authenticate() { return gets(PacketType::sspi, hex("4e544c4d53535000 03000000 cafe")); }

using Check = std::function<void(const AcceptLogin &, const AcceptAction &)>;

enum class How { in_clear, login_only, in_tls };

Check login_is(Version version, std::optional<Prelogin> asked, std::optional<Prelogin> told,
               How how = How::in_clear) {
  return [=](const AcceptLogin &machine, const AcceptAction &action) {
    const auto &request = std::get<LoginRequest>(action);
    expect_equal(request.login, login_of(version));
    EXPECT_EQ(request.password_in_clear, how == How::in_clear);
    EXPECT_EQ(machine.encrypted(), how == How::in_tls);
    EXPECT_EQ(request.prelogin, asked);
    EXPECT_EQ(request.prelogin_answer, told);
    EXPECT_EQ(machine.asked(), asked);
    EXPECT_EQ(machine.answered(), told);
    EXPECT_EQ(machine.dialect().version, version);
    EXPECT_FALSE(machine.dialect().tds4);
  };
}

Check answered_in(Version version, bool tds4 = false, bool encrypted = false) {
  return [=](const AcceptLogin &machine, const AcceptAction &action) {
    EXPECT_EQ(machine.encrypted(), encrypted);
    EXPECT_TRUE(std::get<AcceptRefused>(action).answer);
    EXPECT_EQ(machine.dialect().version, version);
    EXPECT_EQ(machine.dialect().tds4, tds4);
  };
}

Check answered_in_tls() { return answered_in(tds_7_4, false, true); }

void has_negotiate(const AcceptLogin &, const AcceptAction &action) {
  EXPECT_EQ(std::get<LoginRequest>(action).login.sspi, negotiate);
}

void has_large_token(const AcceptLogin &, const AcceptAction &action) {
  EXPECT_EQ(std::get<LoginRequest>(action).login.sspi, Bytes(large_token_size, 0x5A));
}

void not_answered(const AcceptLogin &, const AcceptAction &action) {
  EXPECT_FALSE(std::get<AcceptRefused>(action).answer);
}

using AcceptScript = Script<AcceptLogin>;

AcceptScript script(std::string name, std::vector<Step> steps, std::string outcome, std::string detail,
                    Check check) {
  return {std::move(name),   [] { return AcceptLogin(shown); },
          std::move(steps),  std::move(outcome),
          std::move(detail), std::move(check)};
}

// The same for a listener with this policy.
AcceptScript under(ClientTls policy, AcceptScript script) {
  script.machine = [policy] { return AcceptLogin(shown, policy); };
  return script;
}

AcceptScript at_once(AcceptScript script) {
  script.at_once = true;
  return script;
}

std::vector<AcceptScript> accept_scripts() {
  const Prelogin off = asked_with(0);
  const Prelogin not_sup = asked_with(2);
  const Prelogin with_mars = asked_with(2, 1);
  const Prelogin without_encryption{{{version, client_version}, {mars, {0}}}};
  const Prelogin told_no_encryption{{{version, shown_bytes}, {mars, {0}}}};
  const Step told = answer(told_with());
  const Bytes login = login7().bytes;

  const Bytes tds4_login = joined({hex("02 00 0200 0000 00 00"), Bytes(504)});

  std::vector<AcceptScript> scripts{
      script("off", {prelogin(off), told, login7()}, "login", "", login_is(tds_7_4, off, told_with())),
      script("not_sup", {prelogin(not_sup), told, login7()}, "login", "",
             login_is(tds_7_4, not_sup, told_with())),
      script("mars", {prelogin(with_mars), answer(told_with(1)), login7()}, "login", "",
             login_is(tds_7_4, with_mars, told_with(1))),
      script("without_encryption", {prelogin(without_encryption), answer(told_no_encryption), login7()},
             "login", "", login_is(tds_7_4, without_encryption, told_no_encryption)),
      script("tds_7_2", {prelogin(off), told, login7(tds_7_2)}, "login", "",
             login_is(tds_7_2, off, told_with())),
      script("tds_7_0_without_prelogin", {login7(tds_7_0)}, "login", "", login_is(tds_7_0, {}, {})),
      script("tds_7_1_without_prelogin", {login7(tds_7_1)}, "login", "", login_is(tds_7_1, {}, {})),
      script("tds_7_4_without_prelogin", {login7()}, "login", "", login_is(tds_7_4, {}, {})),
      script("login_in_many_packets", {prelogin(off), told, large_login7()}, "login", "", has_large_token),
      script("login_that_does_not_wait_for_the_answer", {Gets{joined({prelogin(off).bytes, login})}, told},
             "login", "", login_is(tds_7_4, off, told_with())),

      script("ntlm", {prelogin(off), told, ntlm_login7(), challenged(), authenticate()}, "login", "",
             has_negotiate),
      script("ntlm_without_prelogin", {ntlm_login7(), challenged(), authenticate()}, "login", "",
             has_negotiate),
      at_once(script("ntlm_whose_answer_does_not_wait",
                     {prelogin(off), told, Gets{joined({ntlm_login7().bytes, authenticate().bytes})}},
                     "protocol_violation", "after LOGIN7", answered_in(tds_7_4))),
      script("ntlm_then_login_again", {ntlm_login7(), challenged(), Gets{hex("10")}}, "protocol_violation",
             "type 16 came where NTLM's answer", answered_in(tds_7_4)),
      at_once(script("ntlm_and_a_batch_behind",
                     {ntlm_login7(), challenged(), Gets{joined({authenticate().bytes, hex("01")})}},
                     "protocol_violation", "before it was answered", answered_in(tds_7_4))),
      script("ntlm_answer_too_large",
             {ntlm_login7(), challenged(),
              Gets{joined({hex("11 00 7fff 0000 01 00"), Bytes(largest_packet_size - 8),
                           hex("11 00 7fff 0000 02 00"), Bytes(largest_packet_size - 8),
                           hex("11 00 7fff 0000 03 00")})}},
             "protocol_violation", "65535 bytes", answered_in(tds_7_4)),
      script("closed_before_ntlm_is_answered", {ntlm_login7(), challenged(), Ends{}}, "closed",
             "NTLM's challenge", not_answered),
      script("unknown_encryption", {prelogin(asked_with(7))}, "protocol_violation", "ENCRYPTION",
             answered_in(tds_7_4)),
      script("tls_first", {Gets{hex("16")}}, "client_requires_tls", "strict", answered_in(tds_7_4)),
      at_once(script("tls_client_hello", {Gets{joined({hex("16 0301 0100 01"), Bytes(255)})}},
                     "client_requires_tls", "Encrypt=optional", answered_in(tds_7_4))),

      script("tds_4_header", {Gets{prefix(tds4_login, 8)}}, "tds_too_old", "tds version = 7.4",
             answered_in(Version{}, true)),
      at_once(
          script("tds_4_login", {Gets{tds4_login}}, "tds_too_old", "TDS 4.2", answered_in(Version{}, true))),
      script("tds_5_0_in_login7", {broken_login7(tds_7_4, 4, hex("00000005"))}, "tds_too_old", "0x05000000",
             answered_in(tds_7_4)),
      script("tds_version_0", {broken_login7(tds_7_4, 4, hex("00000000"))}, "tds_too_old", "0x00000000",
             answered_in(tds_7_4)),

      script("http", {Gets{hex("47")}}, "protocol_violation", "first byte (71)", answered_in(tds_7_4)),
      script("batch_first", {Gets{hex("01")}}, "protocol_violation", "first byte (1)", answered_in(tds_7_4)),
      script("malformed_prelogin", {gets(PacketType::prelogin, hex("ff"))}, "protocol_violation",
             "PRELOGIN VERSION", answered_in(tds_7_4)),
      script("empty_prelogin", {gets(PacketType::prelogin, {})}, "protocol_violation", "PRELOGIN",
             answered_in(tds_7_4)),
      script("largest_prelogin",
             {gets(PacketType::prelogin, joined({hex("00 0006 0006 ff 090000000000"), Bytes(4088 - 12)})),
              answer({{{version, shown_bytes}}}), login7()},
             "login", "", nullptr),
      script("prelogin_too_large", {Gets{hex("12 00 1001 0000 01 00")}}, "protocol_violation", "4088 bytes",
             answered_in(tds_7_4)),
      script("packet_length_too_small", {Gets{hex("12 01 0007 0000 01 00")}}, "protocol_violation", "below 8",
             answered_in(tds_7_4)),
      script("prelogin_twice", {prelogin(off), told, Gets{hex("12")}}, "protocol_violation",
             "second PRELOGIN", answered_in(tds_7_4)),
      script("batch_instead_of_login", {prelogin(off), told, Gets{hex("01")}}, "protocol_violation",
             "type 1 ", answered_in(tds_7_4)),
      script("tls_after_not_sup", {prelogin(off), told, Gets{hex("16")}}, "protocol_violation", "type 22 ",
             answered_in(tds_7_4)),
      script("malformed_login_of_tds_7_1", {broken_login7(tds_7_1, 36, hex("0000"))}, "protocol_violation",
             "LOGIN7 ibHostName", answered_in(tds_7_1)),
      script("malformed_login_of_tds_7_3", {prelogin(off), told, broken_login7(tds_7_3, 0, hex("00"))},
             "protocol_violation", "LOGIN7 Length", answered_in(tds_7_3)),
      script("login_of_an_unknown_version", {broken_login7(tds_7_4, 4, hex("00000075"))},
             "protocol_violation", "LOGIN7 TDSVersion", answered_in(tds_7_4)),
      script("login_of_8_bytes", {gets(PacketType::login7, hex("08000000 01000071"))}, "protocol_violation",
             "LOGIN7", answered_in(tds_7_1)),
      script("login_of_4_bytes", {gets(PacketType::login7, hex("04000000"))}, "protocol_violation", "LOGIN7",
             answered_in(tds_7_4)),
      script("login_changes_packet_type",
             {Gets{joined({hex("10 00 000c 0000 01 00"), Bytes(4), hex("12 01 000c 0000 02 00")})}},
             "protocol_violation", "", answered_in(tds_7_4)),
      at_once(script("bytes_after_login", {prelogin(off), told, Gets{joined({login, hex("01")})}},
                     "protocol_violation", "after LOGIN7", answered_in(tds_7_4))),
      at_once(script("batch_after_login_of_tds_7_1",
                     {Gets{joined({login7(tds_7_1).bytes, hex("01 01 000a 0000 01 00 4100")})}},
                     "protocol_violation", "after LOGIN7", answered_in(tds_7_1))),

      script("closed_at_once", {Ends{}}, "closed", "first message", not_answered),
      script("closed_within_prelogin", {Gets{hex("12 01 00")}, Ends{}}, "closed", "first message",
             not_answered),
      script("closed_within_tds_4_header", {Gets{hex("02 00 02")}, Ends{}}, "closed", "first message",
             not_answered),
      script("closed_after_the_answer", {prelogin(off), told, Ends{}}, "closed", "LOGIN7", not_answered),
      script("closed_within_login", {prelogin(off), told, Gets{prefix(login, login.size() - 1)}, Ends{}},
             "closed", "LOGIN7", not_answered),
  };
  return scripts;
}

// --- TLS: the table of accept_login.hpp, cell by cell.

enum class AcceptThen { in_clear, login_only, full, client_requires_tls, listener_requires_tls };

struct AcceptCell {
  const char *name;
  ClientTls policy;
  std::optional<std::uint8_t> asked, told; // ENCRYPTION
  AcceptThen then;
};

constexpr AcceptCell cells[] = {
    {"off_off", ClientTls::off, 0, 2, AcceptThen::in_clear},
    {"off_on", ClientTls::off, 1, 2, AcceptThen::client_requires_tls},
    {"off_not_sup", ClientTls::off, 2, 2, AcceptThen::in_clear},
    {"off_req", ClientTls::off, 3, 2, AcceptThen::client_requires_tls},
    {"off_on_with_client_certificate", ClientTls::off, 0x81, 2, AcceptThen::client_requires_tls},
    {"off_none", ClientTls::off, {}, {}, AcceptThen::in_clear},
    {"optional_off", ClientTls::optional, 0, 0, AcceptThen::login_only},
    {"optional_on", ClientTls::optional, 1, 1, AcceptThen::full},
    {"optional_not_sup", ClientTls::optional, 2, 2, AcceptThen::in_clear},
    {"optional_req", ClientTls::optional, 3, 1, AcceptThen::full},
    {"optional_off_with_client_certificate", ClientTls::optional, 0x80, 0, AcceptThen::login_only},
    {"optional_on_with_client_certificate", ClientTls::optional, 0x81, 1, AcceptThen::full},
    {"optional_none", ClientTls::optional, {}, {}, AcceptThen::in_clear},
    {"required_off", ClientTls::required, 0, 3, AcceptThen::full},
    {"required_on", ClientTls::required, 1, 1, AcceptThen::full},
    {"required_not_sup", ClientTls::required, 2, 3, AcceptThen::listener_requires_tls},
    {"required_req", ClientTls::required, 3, 1, AcceptThen::full},
    {"required_on_with_client_certificate", ClientTls::required, 0x81, 1, AcceptThen::full},
    {"required_none", ClientTls::required, {}, 3, AcceptThen::listener_requires_tls},
};

Prelogin with_encryption(const Bytes &version_bytes, std::optional<std::uint8_t> encryption_byte) {
  Prelogin prelogin{{{version, version_bytes}, {mars, {0}}}};
  if (encryption_byte) prelogin.set(encryption, {*encryption_byte});
  return prelogin;
}

AcceptScript script_of(const AcceptCell &cell) {
  const Prelogin asked = with_encryption(client_version, cell.asked);
  const Prelogin told = with_encryption(shown_bytes, cell.told);
  const auto logs_in = [&](std::vector<Step> then, How how) {
    std::vector<Step> steps{prelogin(asked), answer(told)};
    steps.insert(steps.end(), then.begin(), then.end());
    return under(cell.policy, script(cell.name, steps, "login", "", login_is(tds_7_4, asked, told, how)));
  };
  const auto refuses = [&](std::string fault, std::string detail) {
    return under(cell.policy, script(cell.name, {prelogin(asked), answer(told)}, std::move(fault),
                                     std::move(detail), not_answered));
  };
  switch (cell.then) {
  case AcceptThen::in_clear:
    return logs_in({login7()}, How::in_clear);
  case AcceptThen::login_only:
    return logs_in({starts(), login7(), Stops{}}, How::login_only);
  case AcceptThen::full:
    return logs_in({starts(), login7()}, How::in_tls);
  case AcceptThen::client_requires_tls:
    return refuses("client_requires_tls", "encrypt=false");
  case AcceptThen::listener_requires_tls:
    break;
  }
  return refuses("listener_requires_tls", "encrypt=true");
}

std::vector<AcceptScript> accept_tls_scripts() {
  using enum ClientTls;
  const Prelogin off_asked = asked_with(0);
  const Prelogin on_asked = asked_with(1);
  const Step told_off = answer(told_with(0, 0));
  const Step told_on = answer(told_with(0, 1));
  const Step told_not_sup = answer(told_with());
  const Gets large = large_login7();
  const Gets two_packets{joined({hex("10 00 0009 0000 01 00 aa"), hex("10 01 0009 0000 02 00 bb")})};
  const Bytes payload = login_payload();
  const Gets short_first_packet{joined({hex("10 00 0009 0000 01 00"), prefix(payload, 1)})};
  const Gets behind_it = gets(PacketType::login7, Bytes(payload.begin() + 1, payload.end()));
  const Gets hello{hex("16")};
  const Gets long_hello{joined({hex("16 0301 0100 01"), Bytes(255)})};
  const Step tls_first = Starts{TlsFraming::bare, hello.bytes};

  std::vector<AcceptScript> scripts;
  for (const auto &cell : cells)
    scripts.push_back(script_of(cell));

  // With TLS first, whatever ENCRYPTION says: 8 is no value of MS-TDS.
  const auto with_tls_first = [&](std::string name, ClientTls policy,
                                  std::optional<std::uint8_t> asked_byte) {
    const Prelogin asked = with_encryption(client_version, asked_byte);
    const Prelogin told =
        with_encryption(shown_bytes, asked_byte ? std::optional<std::uint8_t>(2) : std::nullopt);
    return under(policy, script("tls_first_" + name,
                                {hello, tls_first, prelogin(asked), answer(told), login7(tds_8_0)}, "login",
                                "", login_is(tds_8_0, asked, told, How::in_tls)));
  };
  scripts.insert(
      scripts.end(),
      {
          with_tls_first("off", optional, 0),
          with_tls_first("on", optional, 1),
          with_tls_first("not_sup", optional, 2),
          with_tls_first("req", optional, 3),
          with_tls_first("strict", optional, 8),
          with_tls_first("none", optional, std::nullopt),
          with_tls_first("required", required, 2),
          with_tls_first("required_off", required, 0),
          with_tls_first("required_none", required, std::nullopt),
          under(optional, script("tls_first_and_tds_7_4",
                                 {hello, tls_first, prelogin(asked_with(2)), told_not_sup, login7()}, "login",
                                 "", login_is(tds_7_4, asked_with(2), told_with(), How::in_tls))),
          under(optional,
                script("tls_first_and_a_login_that_does_not_wait",
                       {hello, tls_first, Gets{joined({prelogin(asked_with(2)).bytes, login7().bytes})},
                        told_not_sup},
                       "login", "", login_is(tds_7_4, asked_with(2), told_with(), How::in_tls))),
          at_once(under(optional,
                        script("tls_first_with_all_of_its_hello",
                               {long_hello, Starts{TlsFraming::bare, long_hello.bytes},
                                prelogin(asked_with(2)), told_not_sup, login7()},
                               "login", "", login_is(tds_7_4, asked_with(2), told_with(), How::in_tls)))),
          under(optional, script("tls_first_twice", {hello, tls_first, hello}, "protocol_violation",
                                 "byte 22 came in TLS", answered_in_tls())),
          under(optional, script("tls_first_without_prelogin", {hello, tls_first, Gets{hex("10")}},
                                 "protocol_violation", "byte 16 came in TLS", answered_in_tls())),
          under(optional, script("tls_first_and_tds_4", {hello, tls_first, Gets{hex("02")}},
                                 "protocol_violation", "byte 2 came in TLS", answered_in_tls())),
          under(optional, script("tls_first_and_prelogin_twice",
                                 {hello, tls_first, prelogin(asked_with(2)), told_not_sup, Gets{hex("12")}},
                                 "protocol_violation", "second PRELOGIN", answered_in_tls())),
          under(optional, script("tls_first_and_again_in_place_of_the_login",
                                 {hello, tls_first, prelogin(asked_with(1)), told_not_sup, hello},
                                 "protocol_violation", "type 22 ", answered_in_tls())),
          under(optional, script("tls_first_and_a_malformed_login",
                                 {hello, tls_first, prelogin(asked_with(2)), told_not_sup,
                                  broken_login7(tds_8_0, 0, hex("00"))},
                                 "protocol_violation", "LOGIN7 Length", answered_in(tds_8_0, false, true))),
          under(optional, script("closed_after_tls_first", {hello, tls_first, Ends{}}, "closed",
                                 "first message", not_answered)),
          script("tls_first_under_off", {hello}, "client_requires_tls", "\"optional\"", answered_in(tds_7_4)),
          at_once(script("tls_first_under_off_with_all_of_its_hello", {long_hello}, "client_requires_tls",
                         "strict", answered_in(tds_7_4))),

          // Login-only TLS ends with the first packet.
          under(optional,
                script(
                    "login_only_in_many_packets",
                    {prelogin(off_asked), told_off, starts(), first_packet_of(large), Stops{},
                     behind_first_packet_of(large)},
                    "login", "",
                    [](const AcceptLogin &machine, const AcceptAction &action) {
                      has_large_token(machine, action);
                      EXPECT_FALSE(std::get<LoginRequest>(action).password_in_clear);
                      EXPECT_FALSE(machine.encrypted());
                    })),
          at_once(under(optional, script("login_only_with_the_second_packet_in_tls",
                                         {prelogin(off_asked), told_off, starts(), two_packets},
                                         "protocol_violation", "login-only TLS ends", answered_in(tds_7_4)))),
          at_once(under(optional, script("login_only_with_all_packets_in_tls",
                                         {prelogin(off_asked), told_off, starts(), large},
                                         "protocol_violation", "login-only TLS ends", answered_in(tds_7_4)))),
          at_once(under(optional, script("login_only_with_a_byte_behind_its_first_packet",
                                         {prelogin(off_asked), told_off, starts(),
                                          Gets{joined({first_packet_of(large).bytes, hex("10")})}},
                                         "protocol_violation", "login-only TLS ends", answered_in(tds_7_4)))),
          at_once(under(optional, script("login_only_with_a_byte_behind_its_only_packet",
                                         {prelogin(off_asked), told_off, starts(),
                                          Gets{joined({login7().bytes, hex("10")})}},
                                         "protocol_violation", "login-only TLS ends", answered_in(tds_7_4)))),
          under(optional,
                script("login_only_with_a_short_first_packet",
                       {prelogin(off_asked), told_off, starts(), short_first_packet, Stops{}, behind_it},
                       "login", "", login_is(tds_7_4, off_asked, told_with(0, 0), How::login_only))),
          under(optional, script("login_only_and_tls_goes_on",
                                 {prelogin(off_asked), told_off, starts(), first_packet_of(large), Stops{},
                                  Gets{hex("17")}},
                                 "protocol_violation", "type 23 ", answered_in(tds_7_4))),
          under(optional, script("login_only_and_a_malformed_login",
                                 {prelogin(off_asked), told_off, starts(),
                                  broken_login7(tds_7_3, 0, hex("00")), Stops{}},
                                 "protocol_violation", "LOGIN7 Length", answered_in(tds_7_3))),
          under(optional,
                script("login_only_and_no_login", {prelogin(off_asked), told_off, starts(), Gets{hex("01")}},
                       "protocol_violation", "type 1 ", answered_in(tds_7_4))),
          under(optional,
                script("login_only_closed_after_the_first_packet",
                       {prelogin(off_asked), told_off, starts(), first_packet_of(large), Stops{}, Ends{}},
                       "closed", "LOGIN7", not_answered)),

          // Full TLS.
          under(optional, script("full_in_many_packets", {prelogin(on_asked), told_on, starts(), large},
                                 "login", "", has_large_token)),
          under(optional,
                script("full_and_a_malformed_login",
                       {prelogin(on_asked), told_on, starts(), broken_login7(tds_7_4, 36, hex("0000"))},
                       "protocol_violation", "LOGIN7 ibHostName", answered_in_tls())),
          at_once(under(optional, script("full_and_bytes_after_login",
                                         {prelogin(on_asked), told_on, starts(),
                                          Gets{joined({login7().bytes, hex("01")})}},
                                         "protocol_violation", "after LOGIN7", answered_in_tls()))),
          under(optional,
                script("closed_after_the_handshake", {prelogin(on_asked), told_on, starts(), Ends{}},
                       "closed", "LOGIN7", not_answered)),

          // What comes in clear behind a PRELOGIN that TLS follows is nobody's: it must not be
          // taken for what TLS brings.
          at_once(under(optional, script("plaintext_before_full_tls",
                                         {Gets{joined({prelogin(on_asked).bytes, login7().bytes})}, told_on},
                                         "protocol_violation", "plaintext before TLS", not_answered))),
          at_once(under(optional, script("a_byte_before_full_tls",
                                         {Gets{joined({prelogin(on_asked).bytes, hex("12")})}, told_on},
                                         "protocol_violation", "plaintext before TLS", not_answered))),
          at_once(
              under(optional, script("plaintext_before_login_only_tls",
                                     {Gets{joined({prelogin(off_asked).bytes, login7().bytes})}, told_off},
                                     "protocol_violation", "plaintext before TLS", not_answered))),
          at_once(under(required, script("plaintext_before_tls_that_the_listener_wants",
                                         {Gets{joined({prelogin(off_asked).bytes, login7().bytes})},
                                          answer(told_with(0, 3))},
                                         "protocol_violation", "plaintext before TLS", not_answered))),

          // No way past `required`.
          under(required, script("required_and_no_prelogin", {login7()}, "listener_requires_tls",
                                 "encrypt=true", answered_in(tds_7_4))),
          under(required, script("required_and_no_prelogin_in_tds_7_1", {login7(tds_7_1)},
                                 "listener_requires_tls", "\"required\"", answered_in(tds_7_1))),
          under(required, script("required_and_tds_5_0", {broken_login7(tds_7_4, 4, hex("00000005"))},
                                 "tds_too_old", "0x05000000", answered_in(tds_7_4))),
          under(required, script("required_and_a_malformed_prelogin", {gets(PacketType::prelogin, hex("ff"))},
                                 "protocol_violation", "PRELOGIN VERSION", answered_in(tds_7_4))),
          under(required, script("required_and_unknown_encryption", {prelogin(asked_with(8))},
                                 "protocol_violation", "ENCRYPTION", answered_in(tds_7_4))),
          under(optional, script("optional_and_unknown_encryption", {prelogin(asked_with(8))},
                                 "protocol_violation", "ENCRYPTION", answered_in(tds_7_4))),
          under(optional, script("optional_and_no_prelogin", {login7(tds_7_1)}, "login", "",
                                 login_is(tds_7_1, {}, {}))),
      });
  return scripts;
}

class AcceptLoginScript : public testing::TestWithParam<AcceptScript> {};
TEST_P(AcceptLoginScript, plays) { expect_outcome(GetParam(), {}); }
TEST_P(AcceptLoginScript, plays_byte_by_byte) {
  if (!GetParam().at_once) expect_outcome(GetParam(), {.chunk = 1});
}
TEST_P(AcceptLoginScript, is_closed_wherever_the_stream_ends) {
  expect_closed_wherever_the_stream_ends(GetParam());
}
TEST_P(AcceptLoginScript, ends_however_the_input_is_damaged) {
  expect_an_end_however_the_input_is_damaged(GetParam());
}
INSTANTIATE_TEST_SUITE_P(scripts, AcceptLoginScript, testing::ValuesIn(accept_scripts()), RowName());
INSTANTIATE_TEST_SUITE_P(tls, AcceptLoginScript, testing::ValuesIn(accept_tls_scripts()), RowName());

TEST(AcceptLogin, a_hello_in_pieces_is_handed_on_as_far_as_it_was_read) {
  const Bytes hello = joined({hex("16 0301 0100 01"), Bytes(255)});
  expect_outcome(under(ClientTls::optional,
                       script("",
                              {Gets{hello}, Starts{TlsFraming::bare, hello}, prelogin(asked_with(2)),
                               answer(told_with()), login7()},
                              "login", "", login_is(tds_7_4, asked_with(2), told_with(), How::in_tls))),
                 {.chunk = 7});
}

TEST(AcceptLogin, nothing_is_encrypted_before_tls_stands) {
  AcceptLogin machine(shown, ClientTls::optional);
  machine.receive(prelogin(asked_with(1)).bytes);
  ASSERT_TRUE(std::holds_alternative<Send>(machine.next()));
  EXPECT_FALSE(machine.encrypted());
  ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
  EXPECT_FALSE(machine.encrypted());
  ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next())) << "asked again before it stands";
  machine.tls_established();
  EXPECT_TRUE(machine.encrypted());
}

TEST(AcceptLogin, tls_that_nobody_asked_for_changes_nothing) {
  AcceptLogin machine(shown, ClientTls::required);
  machine.tls_established();
  EXPECT_FALSE(machine.encrypted());
  machine.receive(login7().bytes);
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<AcceptRefused>(action));
  EXPECT_EQ(std::get<AcceptRefused>(action).fault, AcceptFault::listener_requires_tls);
}

TEST(AcceptLogin, what_is_fed_during_the_handshake_is_plaintext) {
  for (const bool tls_first : {false, true}) {
    AcceptLogin machine(shown, ClientTls::optional);
    machine.receive(tls_first ? hex("16") : prelogin(asked_with(1)).bytes);
    if (!tls_first) machine.next();
    ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
    machine.receive(tls_first ? prelogin(asked_with(2)).bytes : login7().bytes);
    machine.tls_established();
    EXPECT_FALSE(machine.encrypted());
    const auto action = machine.next();
    ASSERT_TRUE(std::holds_alternative<AcceptRefused>(action));
    EXPECT_EQ(std::get<AcceptRefused>(action).fault, AcceptFault::protocol_violation);
    EXPECT_FALSE(std::get<AcceptRefused>(action).answer);
  }
}

TEST(AcceptLogin, a_stream_that_ends_within_the_handshake_is_closed) {
  AcceptLogin machine(shown, ClientTls::optional);
  machine.receive(hex("16"));
  ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
  machine.end_of_stream();
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<AcceptRefused>(action));
  EXPECT_EQ(std::get<AcceptRefused>(action).detail, "The client went away during the TLS handshake.");
}

TEST(AcceptLogin, bytes_in_clear_behind_a_login_that_tls_ended_with_are_refused) {
  for (const bool early : {false, true}) {
    AcceptLogin machine(shown, ClientTls::optional);
    machine.receive(prelogin(asked_with(0)).bytes);
    ASSERT_TRUE(std::holds_alternative<Send>(machine.next()));
    ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
    machine.tls_established();
    machine.receive(login7().bytes);
    ASSERT_TRUE(std::holds_alternative<StopTls>(machine.next()));
    if (early) machine.receive(hex("01"));
    const auto action = machine.next();
    ASSERT_EQ(std::holds_alternative<LoginRequest>(action), !early);
    if (early) {
      EXPECT_EQ(std::get<AcceptRefused>(action).detail, "Bytes came after LOGIN7, before it was answered.");
    }
  }
}

TEST(AcceptLogin, a_login_larger_than_128_kib_is_refused_before_it_is_whole) {
  AcceptLogin machine(shown);
  Bytes packet = joined({hex("10 00 7fff 0000 01 00"), Bytes(largest_packet_size - packet_header_size)});
  std::size_t fed = 0;
  AcceptAction action = machine.next();
  while (std::holds_alternative<Receive>(action)) {
    ASSERT_LT(fed, 2 * largest_login7);
    machine.receive(packet);
    fed += packet.size();
    action = machine.next();
  }
  ASSERT_TRUE(std::holds_alternative<AcceptRefused>(action));
  EXPECT_EQ(std::get<AcceptRefused>(action).fault, AcceptFault::protocol_violation);
  EXPECT_GT(fed, largest_login7 - largest_packet_size);
}

TEST(AcceptLogin, the_largest_login_is_taken) {
  Login7 login;
  login.sspi = Bytes(largest_login7 - 94, 0x5A);
  AcceptLogin machine(shown);
  machine.receive(encode_message(PacketType::login7, *encode_login7(login)));
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<LoginRequest>(action));
  EXPECT_EQ(std::get<LoginRequest>(action).login.sspi, login.sspi);
}

TEST(AcceptLogin, what_is_asked_and_answered_is_known_before_the_login) {
  AcceptLogin machine(shown);
  EXPECT_FALSE(machine.asked());
  machine.receive(prelogin(asked_with(1)).bytes);
  ASSERT_TRUE(std::holds_alternative<Send>(machine.next()));
  EXPECT_EQ(machine.asked(), asked_with(1));
  EXPECT_EQ(machine.answered(), told_with());
}

TEST(AcceptLogin, asked_again_after_its_end_it_refuses) {
  AcceptLogin machine(shown);
  machine.receive(login7().bytes);
  ASSERT_TRUE(std::holds_alternative<LoginRequest>(machine.next()));
  EXPECT_TRUE(std::holds_alternative<AcceptRefused>(machine.next()));
}

} // namespace tds::test
