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

Prelogin told_with(std::uint8_t mars_byte = 0) {
  return {{{version, shown_bytes}, {encryption, {2}}, {instopt, {0}}, {threadid, {}}, {mars, {mars_byte}}}};
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
TEST_P(AnswerPrelogin, holds_what_was_asked) { EXPECT_EQ(answer_prelogin(GetParam().asked, shown), GetParam().answer); }
INSTANTIATE_TEST_SUITE_P(rows, AnswerPrelogin, testing::ValuesIn(answers), RowName());

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

using Check = std::function<void(const AcceptLogin &, const AcceptAction &)>;

Check login_is(Version version, std::optional<Prelogin> asked, std::optional<Prelogin> told) {
  return [=](const AcceptLogin &machine, const AcceptAction &action) {
    const auto &request = std::get<LoginRequest>(action);
    expect_equal(request.login, login_of(version));
    EXPECT_EQ(request.prelogin, asked);
    EXPECT_EQ(request.prelogin_answer, told);
    EXPECT_EQ(machine.asked(), asked);
    EXPECT_EQ(machine.answered(), told);
    EXPECT_EQ(machine.dialect().version, version);
    EXPECT_FALSE(machine.dialect().tds4);
  };
}

Check answered_in(Version version, bool tds4 = false) {
  return [=](const AcceptLogin &machine, const AcceptAction &action) {
    EXPECT_TRUE(std::get<AcceptRefused>(action).answer);
    EXPECT_EQ(machine.dialect().version, version);
    EXPECT_EQ(machine.dialect().tds4, tds4);
  };
}

void not_answered(const AcceptLogin &, const AcceptAction &action) {
  EXPECT_FALSE(std::get<AcceptRefused>(action).answer);
}

using AcceptScript = Script<AcceptLogin>;

AcceptScript script(std::string name, std::vector<Step> steps, std::string outcome, std::string detail, Check check) {
  return {std::move(name), [] { return AcceptLogin(shown); }, std::move(steps), std::move(outcome), std::move(detail),
          std::move(check)};
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

  Login7 large = login_of(tds_7_4);
  large.sspi = Bytes(20'000, 0x5A);
  const Bytes tds4_login = joined({hex("02 00 0200 0000 00 00"), Bytes(504)});

  std::vector<AcceptScript> scripts{
      script("off", {prelogin(off), told, login7()}, "login", "", login_is(tds_7_4, off, told_with())),
      script("not_sup", {prelogin(not_sup), told, login7()}, "login", "", login_is(tds_7_4, not_sup, told_with())),
      script("mars", {prelogin(with_mars), answer(told_with(1)), login7()}, "login", "",
             login_is(tds_7_4, with_mars, told_with(1))),
      script("without_encryption", {prelogin(without_encryption), answer(told_no_encryption), login7()}, "login", "",
             login_is(tds_7_4, without_encryption, told_no_encryption)),
      script("tds_7_2", {prelogin(off), told, login7(tds_7_2)}, "login", "", login_is(tds_7_2, off, told_with())),
      script("tds_7_0_without_prelogin", {login7(tds_7_0)}, "login", "", login_is(tds_7_0, {}, {})),
      script("tds_7_1_without_prelogin", {login7(tds_7_1)}, "login", "", login_is(tds_7_1, {}, {})),
      script("tds_7_4_without_prelogin", {login7()}, "login", "", login_is(tds_7_4, {}, {})),
      script("login_in_many_packets", {prelogin(off), told, gets(PacketType::login7, *encode_login7(large))}, "login",
             "",
             [](const AcceptLogin &, const AcceptAction &action) {
               EXPECT_EQ(std::get<LoginRequest>(action).login.sspi, Bytes(20'000, 0x5A));
             }),
      script("login_that_does_not_wait_for_the_answer", {Gets{joined({prelogin(off).bytes, login})}, told}, "login", "",
             login_is(tds_7_4, off, told_with())),

      script("on", {prelogin(asked_with(1)), told}, "client_requires_tls", "encrypt=false", not_answered),
      script("req", {prelogin(asked_with(3)), told}, "client_requires_tls", "encrypt=false", not_answered),
      script("on_with_client_certificate", {prelogin(asked_with(0x81)), told}, "client_requires_tls", "encrypt=false",
             not_answered),
      script("unknown_encryption", {prelogin(asked_with(7))}, "protocol_violation", "ENCRYPTION", answered_in(tds_7_4)),
      script("tls_first", {Gets{hex("16")}}, "client_requires_tls", "strict", answered_in(tds_7_4)),
      at_once(script("tls_client_hello", {Gets{joined({hex("16 0301 0100 01"), Bytes(255)})}}, "client_requires_tls",
                     "Encrypt=optional", answered_in(tds_7_4))),

      script("tds_4_header", {Gets{prefix(tds4_login, 8)}}, "tds_too_old", "tds version = 7.4",
             answered_in(Version{}, true)),
      at_once(script("tds_4_login", {Gets{tds4_login}}, "tds_too_old", "TDS 4.2", answered_in(Version{}, true))),
      script("tds_5_0_in_login7", {broken_login7(tds_7_4, 4, hex("00000005"))}, "tds_too_old", "0x05000000",
             answered_in(tds_7_4)),
      script("tds_version_0", {broken_login7(tds_7_4, 4, hex("00000000"))}, "tds_too_old", "0x00000000",
             answered_in(tds_7_4)),

      script("http", {Gets{hex("47")}}, "protocol_violation", "first byte (71)", answered_in(tds_7_4)),
      script("batch_first", {Gets{hex("01")}}, "protocol_violation", "first byte (1)", answered_in(tds_7_4)),
      script("malformed_prelogin", {gets(PacketType::prelogin, hex("ff"))}, "protocol_violation", "PRELOGIN VERSION",
             answered_in(tds_7_4)),
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
      script("prelogin_twice", {prelogin(off), told, Gets{hex("12")}}, "protocol_violation", "second PRELOGIN",
             answered_in(tds_7_4)),
      script("batch_instead_of_login", {prelogin(off), told, Gets{hex("01")}}, "protocol_violation", "type 1 ",
             answered_in(tds_7_4)),
      script("tls_after_not_sup", {prelogin(off), told, Gets{hex("16")}}, "protocol_violation", "type 22 ",
             answered_in(tds_7_4)),
      script("malformed_login_of_tds_7_1", {broken_login7(tds_7_1, 36, hex("0000"))}, "protocol_violation",
             "LOGIN7 ibHostName", answered_in(tds_7_1)),
      script("malformed_login_of_tds_7_3", {prelogin(off), told, broken_login7(tds_7_3, 0, hex("00"))},
             "protocol_violation", "LOGIN7 Length", answered_in(tds_7_3)),
      script("login_of_an_unknown_version", {broken_login7(tds_7_4, 4, hex("00000075"))}, "protocol_violation",
             "LOGIN7 TDSVersion", answered_in(tds_7_4)),
      script("login_of_8_bytes", {gets(PacketType::login7, hex("08000000 01000071"))}, "protocol_violation", "LOGIN7",
             answered_in(tds_7_1)),
      script("login_of_4_bytes", {gets(PacketType::login7, hex("04000000"))}, "protocol_violation", "LOGIN7",
             answered_in(tds_7_4)),
      script("login_changes_packet_type",
             {Gets{joined({hex("10 00 000c 0000 01 00"), Bytes(4), hex("12 01 000c 0000 02 00")})}},
             "protocol_violation", "", answered_in(tds_7_4)),
      at_once(script("bytes_after_login", {prelogin(off), told, Gets{joined({login, hex("01")})}}, "protocol_violation",
                     "after LOGIN7", answered_in(tds_7_4))),
      at_once(script("batch_after_login_of_tds_7_1",
                     {Gets{joined({login7(tds_7_1).bytes, hex("01 01 000a 0000 01 00 4100")})}}, "protocol_violation",
                     "after LOGIN7", answered_in(tds_7_1))),

      script("closed_at_once", {Ends{}}, "closed", "first message", not_answered),
      script("closed_within_prelogin", {Gets{hex("12 01 00")}, Ends{}}, "closed", "first message", not_answered),
      script("closed_within_tds_4_header", {Gets{hex("02 00 02")}, Ends{}}, "closed", "first message", not_answered),
      script("closed_after_the_answer", {prelogin(off), told, Ends{}}, "closed", "LOGIN7", not_answered),
      script("closed_within_login", {prelogin(off), told, Gets{prefix(login, login.size() - 1)}, Ends{}}, "closed",
             "LOGIN7", not_answered),
  };
  return scripts;
}

class AcceptLoginScript : public testing::TestWithParam<AcceptScript> {};
TEST_P(AcceptLoginScript, plays) { expect_outcome(GetParam(), {}); }
TEST_P(AcceptLoginScript, plays_byte_by_byte) {
  if (!GetParam().at_once) expect_outcome(GetParam(), {.chunk = 1});
}
TEST_P(AcceptLoginScript, is_closed_wherever_the_stream_ends) { expect_closed_wherever_the_stream_ends(GetParam()); }
TEST_P(AcceptLoginScript, ends_however_the_input_is_damaged) { expect_an_end_however_the_input_is_damaged(GetParam()); }
INSTANTIATE_TEST_SUITE_P(scripts, AcceptLoginScript, testing::ValuesIn(accept_scripts()), RowName());

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
