#include "tds/connect_login.hpp"

#include "script.hpp"

namespace tds::test {

using ConnectScript = Script<ConnectLogin>;
using Check = std::function<void(const ConnectLogin &, const ConnectAction &)>;

// --- What we ask.

Prelogin our_prelogin(bool mars = false, Encryption encryption = Encryption::not_sup) {
  Prelogin prelogin;
  prelogin.set_version({9, 0, 0, 0});
  prelogin.set_encryption(encryption);
  prelogin.set(PreloginToken::instopt, {0});
  prelogin.set_mars(mars);
  return prelogin;
}

Login7 our_login(Version version = tds_7_4) {
  Login7 login;
  login.tds_version = version;
  login.packet_size = 8000;
  login.option_flags2 = option2_integrated_security;
  login.app_name = u"app";
  login.server_name = u"server";
  return login;
}

ConnectRequest integrated(Version version = tds_7_4) { return {our_prelogin(), our_login(version), true}; }

ConnectRequest with_password() {
  ConnectRequest request{our_prelogin(), our_login(), false};
  request.login.option_flags2 = 0;
  request.login.user_name = u"sa";
  request.login.password = secret(u"secret");
  return request;
}

const Bytes ap_req = hex("60 01");
const Bytes ap_rep = hex("a1 02");
const Bytes last_leg = hex("a1 03");

Step sends_prelogin(bool mars = false) {
  return Sends{PacketType::prelogin, encode_prelogin(our_prelogin(mars))};
}

Step sends_prelogin(Encryption encryption) {
  return Sends{PacketType::prelogin, encode_prelogin(our_prelogin(false, encryption))};
}

Step sends_login(const Bytes &token, Version version = tds_7_4) {
  Login7 login = our_login(version);
  login.sspi = token;
  return Sends{PacketType::login7, *encode_login7(login)};
}

Step sends_sspi(const Bytes &token) { return Sends{PacketType::sspi, token}; }

// --- What the server says.

Bytes prelogin_answer(std::optional<std::uint8_t> encryption, std::optional<std::uint8_t> mars = 0,
                      std::uint8_t instance = 0) {
  Prelogin answer;
  answer.set_version({16, 0, 600, 0});
  if (encryption) answer.set(PreloginToken::encryption, {*encryption});
  answer.set(PreloginToken::instopt, {instance});
  if (mars) answer.set(PreloginToken::mars, {*mars});
  return encode_prelogin(answer);
}

Step answers(std::optional<std::uint8_t> encryption = 2, std::optional<std::uint8_t> mars = 0,
             std::uint8_t instance = 0) {
  return gets(PacketType::reply, prelogin_answer(encryption, mars, instance));
}

Gets replies(const std::vector<Token> &tokens, Version version = tds_7_4) {
  return {encode_message(PacketType::reply, encode_tokens(tokens, version), login_packet_size, 77)};
}

EnvChange env(EnvChangeType type, std::u16string_view text) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(text.size()));
  out.utf16(text);
  out.u8(0);
  return {type, std::move(out).bytes()};
}

const Token sspi = SspiToken{ap_rep};
const Token ack = LoginAck{1, tds_7_4, u"SQL", {16, 0, 2, 0x58}};
const Token done = Done{};
const Token database = env(EnvChangeType::database, u"db");
const Token packet_size = env(EnvChangeType::packet_size, u"4096");
const Token routing = EnvChange{EnvChangeType::routing, hex("0900 00 9905 0200 73003200 0000")};
const Token enhanced_routing =
    EnvChange{EnvChangeType::enhanced_routing, hex("0d00 00 9905 0200 73003200 0100 6400 0000")};
const Token in_procedure = Done{DoneKind::doneinproc, done_more | done_count, 0xC1, 1};
const Token features = FeatureExtAck{{{FeatureId::utf8_support, {1}}}};

ServerMessage message(bool error, std::uint32_t number, std::uint8_t severity) {
  return {
      .error = error, .number = number, .state = 1, .severity = severity, .text = u"text", .server = u"srv"};
}
const ServerMessage info = message(false, 5701, 0);
const ServerMessage warning = message(true, 100, 10);
const ServerMessage login_failed = message(true, 18456, 14);
const ServerMessage database_denied = message(true, 4060, 11);

// --- What must hold at the end.

struct Expected {
  std::vector<Token> tokens;
  Version version = tds_7_4;
  std::u16string database{};
  std::uint32_t packet_size = 8000;
  std::vector<ServerMessage> messages{};
};

Check reply_is(const Expected &expected) {
  return [expected](const ConnectLogin &machine, const ConnectAction &action) {
    const auto &reply = std::get<LoginReply>(action);
    EXPECT_EQ(reply.tokens, encode_tokens(expected.tokens, expected.version));
    EXPECT_EQ(reply.spid, 77);
    EXPECT_EQ(reply.version, expected.version);
    EXPECT_EQ(reply.database, expected.database);
    EXPECT_EQ(reply.packet_size, expected.packet_size);
    EXPECT_EQ(machine.messages(), expected.messages);
  };
}

Check server_error_is(const std::optional<ServerMessage> &error, const std::vector<ServerMessage> &messages) {
  return [=](const ConnectLogin &machine, const ConnectAction &action) {
    EXPECT_EQ(std::get<ConnectRefused>(action).server_error, error);
    EXPECT_EQ(machine.messages(), messages);
  };
}

Check goes_to(const Routing &expected, bool acknowledged) {
  return [=](const ConnectLogin &, const ConnectAction &action) {
    const auto &refused = std::get<ConnectRefused>(action);
    EXPECT_EQ(refused.detail, to_utf8(expected.server) + "," + std::to_string(expected.port));
    EXPECT_EQ(refused.acknowledged, acknowledged);
    ASSERT_TRUE(refused.routing);
    EXPECT_EQ(refused.routing->server, expected.server);
    EXPECT_EQ(refused.routing->port, expected.port);
    EXPECT_EQ(refused.routing->database, expected.database);
    EXPECT_EQ(refused.routing->enhanced, expected.enhanced);
  };
}

Check token_was_sent(bool sent) {
  return [=](const ConnectLogin &machine, const ConnectAction &) { EXPECT_EQ(machine.token_sent(), sent); };
}

// --- Scripts.

// With integrated security, up to the LOGIN7 with a first token that does not complete the context.
std::vector<Step> up_to_login(std::vector<Step> then, Version version = tds_7_4) {
  std::vector<Step> steps{sends_prelogin(), answers(), Asks{{}, ap_req, false}, sends_login(ap_req, version)};
  steps.insert(steps.end(), then.begin(), then.end());
  return steps;
}

// The same with a context that is complete after its first token.
std::vector<Step> up_to_login_complete(std::vector<Step> then, Version version = tds_7_4) {
  std::vector<Step> steps{sends_prelogin(), answers(), Asks{{}, ap_req, true}, sends_login(ap_req, version)};
  steps.insert(steps.end(), then.begin(), then.end());
  return steps;
}

ConnectScript script(
    std::string name, std::vector<Step> steps, std::string outcome, std::string detail = "",
    Check check = nullptr, std::function<ConnectRequest()> request = [] { return integrated(); }) {
  return {std::move(name),   [request] { return ConnectLogin(request()); },
          std::move(steps),  std::move(outcome),
          std::move(detail), std::move(check)};
}

ConnectScript at_once(ConnectScript script) {
  script.at_once = true;
  return script;
}

std::vector<ConnectScript> accepted_scripts() {
  const Expected plain{.tokens = {ack, done}};
  const std::vector<Token> full{in_procedure, database, info, ack, packet_size, features, done};
  const Expected full_reply{.tokens = full, .database = u"db", .packet_size = 4096, .messages = {info}};
  const auto password_login = Sends{PacketType::login7, *encode_login7(with_password().login)};
  const Bytes large_token(10'000, 0x5A);

  return {
      script("kerberos_with_the_proof_in_its_own_message",
             up_to_login({replies({sspi}), Asks{ap_rep, {}, true}, replies(full)}), "login", "",
             reply_is(full_reply)),
      script("kerberos_with_the_proof_before_loginack",
             up_to_login({replies({sspi, ack, done}), Asks{ap_rep, {}, true}}), "login", "", reply_is(plain)),
      script("kerberos_with_the_proof_in_the_middle",
             up_to_login({replies({database, info, sspi, ack, done}), Asks{ap_rep, {}, true}}), "login", "",
             reply_is({.tokens = {database, info, ack, done}, .database = u"db", .messages = {info}})),
      script("both_messages_in_one_read",
             up_to_login(
                 {Gets{joined({replies({sspi}).bytes, replies({ack, done}).bytes})}, Asks{ap_rep, {}, true}}),
             "login", "", reply_is(plain)),
      script("ntlm",
             up_to_login(
                 {replies({sspi}), Asks{ap_rep, last_leg, true}, sends_sspi(last_leg), replies({ack, done})}),
             "login", "", reply_is(plain)),
      script("spnego_with_a_last_word_of_the_server",
             up_to_login({replies({sspi}), Asks{ap_rep, last_leg, false}, sends_sspi(last_leg),
                          replies({SspiToken{hex("a1 04")}}), Asks{hex("a1 04"), {}, true},
                          replies({ack, done})}),
             "login", "", reply_is(plain)),
      script("complete_without_any_proof", up_to_login_complete({replies({ack, done})}), "login", "",
             reply_is(plain)),
      script("a_token_after_the_context_was_complete",
             up_to_login_complete({replies({sspi, ack, done}), Asks{ap_rep, {}, true}}), "login", "",
             reply_is(plain)),
      script("a_token_behind_loginack",
             up_to_login_complete({replies({ack, sspi, done}), Asks{ap_rep, {}, true}}), "login", "",
             reply_is(plain)),
      script("a_token_that_is_not_needed_any_more_is_dropped",
             up_to_login({replies({sspi, ack, done}), Asks{ap_rep, last_leg, true}}), "login", "",
             reply_is(plain)),
      script("tokens_of_earlier_messages_are_kept_in_order",
             up_to_login({replies({info, sspi, database}), Asks{ap_rep, {}, true}, replies({packet_size}),
                          replies({ack, done})}),
             "login", "",
             reply_is({.tokens = {info, database, packet_size, ack, done},
                       .database = u"db",
                       .packet_size = 4096,
                       .messages = {info}})),
      script("an_empty_message_between", up_to_login_complete({replies({}), replies({ack, done})}), "login",
             "", reply_is(plain)),
      script("an_error_of_class_10_only_informs", up_to_login_complete({replies({warning, ack, done})}),
             "login", "", reply_is({.tokens = {warning, ack, done}, .messages = {warning}})),
      script("an_error_beside_loginack_is_passed_on",
             up_to_login_complete({replies({database_denied, ack, done})}), "login", "",
             reply_is({.tokens = {database_denied, ack, done}, .messages = {database_denied}})),
      script("opaque_tokens_are_passed_on",
             up_to_login_complete(
                 {replies({OpaqueToken{0xE4, hex("01")}, OpaqueToken{0x79, Bytes(4)}, ack, done})}),
             "login", "",
             reply_is({.tokens = {OpaqueToken{0xE4, hex("01")}, OpaqueToken{0x79, Bytes(4)}, ack, done}})),
      script(
          "encryption_off_goes_on_in_clear",
          {sends_prelogin(), answers(0), Asks{{}, ap_req, true}, sends_login(ap_req), replies({ack, done})},
          "login", "", reply_is(plain)),
      script("mars_asked_and_granted",
             {sends_prelogin(true), answers(2, 1), Asks{{}, ap_req, true}, sends_login(ap_req),
              replies({ack, done})},
             "login", "", reply_is(plain),
             [] {
               ConnectRequest request = integrated();
               request.prelogin.set_mars(true);
               return request;
             }),
      script("mars_not_asked_and_not_answered",
             {sends_prelogin(), answers(2, std::nullopt), Asks{{}, ap_req, true}, sends_login(ap_req),
              replies({ack, done})},
             "login", "", reply_is(plain)),
      script(
          "user_and_password", {sends_prelogin(), answers(), password_login, replies({ack, done})}, "login",
          "",
          [check = reply_is(plain)](const ConnectLogin &machine, const ConnectAction &action) {
            check(machine, action);
            EXPECT_FALSE(machine.token_sent());
          },
          with_password),
      script("a_login_of_many_packets",
             {sends_prelogin(), answers(), Asks{{}, large_token, true}, sends_login(large_token),
              replies({ack, done})},
             "login", "", reply_is(plain)),
      script("an_sspi_message_of_many_packets",
             up_to_login({replies({sspi}), Asks{ap_rep, large_token, true}, sends_sspi(large_token),
                          replies({ack, done})}),
             "login", "", reply_is(plain)),
      script("tds_7_1",
             up_to_login_complete(
                 {replies({in_procedure, info, LoginAck{1, tds_7_1, u"SQL", {}}, done}, tds_7_1)}, tds_7_1),
             "login", "",
             reply_is({.tokens = {in_procedure, info, LoginAck{1, tds_7_1, u"SQL", {}}, done},
                       .version = tds_7_1,
                       .messages = {info}}),
             [] { return integrated(tds_7_1); }),
      // DONE has the size of the version that LOGINACK grants, not of the one that was asked for.
      script("a_lower_version_granted",
             up_to_login_complete({replies({LoginAck{1, tds_7_1, u"SQL", {}}, done}, tds_7_1)}), "login", "",
             reply_is({.tokens = {LoginAck{1, tds_7_1, u"SQL", {}}, done}, .version = tds_7_1})),
      script("the_default_packet_size",
             {sends_prelogin(), answers(), Asks{{}, ap_req, true},
              [] {
                Login7 login = our_login();
                login.packet_size = 0;
                login.sspi = ap_req;
                return Sends{PacketType::login7, *encode_login7(login)};
              }(),
              replies({ack, done})},
             "login", "", reply_is({.tokens = {ack, done}, .packet_size = 4096}),
             [] {
               ConnectRequest request = integrated();
               request.login.packet_size = 0;
               return request;
             }),
      script("the_smallest_packet_size",
             up_to_login_complete({replies({ack, env(EnvChangeType::packet_size, u"512"), done})}), "login",
             "",
             reply_is({.tokens = {ack, env(EnvChangeType::packet_size, u"512"), done}, .packet_size = 512})),
      script(
          "the_largest_packet_size",
          up_to_login_complete({replies({ack, env(EnvChangeType::packet_size, u"32767"), done})}), "login",
          "",
          reply_is({.tokens = {ack, env(EnvChangeType::packet_size, u"32767"), done}, .packet_size = 32767})),
  };
}

std::vector<ConnectScript> refused_scripts() {
  const auto mars_request = [] {
    ConnectRequest request = integrated();
    request.prelogin.set_mars(true);
    return request;
  };
  const auto bad_packet_size = [](std::string name, std::u16string_view text) {
    return script("packet_size_" + name,
                  up_to_login_complete({replies({ack, env(EnvChangeType::packet_size, text), done})}),
                  "protocol_violation", "packet size");
  };
  std::vector<Step> endless = up_to_login({});
  for (int round = 0; round < most_sspi_rounds; ++round)
    endless.insert(endless.end(), {replies({sspi}), Asks{ap_rep, last_leg, false}, sends_sspi(last_leg)});
  endless.push_back(replies({sspi}));

  return {
      // The PRELOGIN answer.
      script("mars_answered_0", {sends_prelogin(true), answers(2, 0)}, "mars_refused", "MARS", nullptr,
             mars_request),
      script("mars_not_answered", {sends_prelogin(true), answers(2, std::nullopt)}, "mars_refused", "MARS",
             nullptr, mars_request),
      script("instance_name_refused", {sends_prelogin(), answers(2, 0, 1)}, "wrong_instance",
             "instance name refused"),
      script("malformed_prelogin_answer", {sends_prelogin(), gets(PacketType::reply, hex("ff"))},
             "protocol_violation", "PRELOGIN VERSION"),
      script("empty_prelogin_answer", {sends_prelogin(), gets(PacketType::reply, {})}, "protocol_violation",
             "PRELOGIN"),
      script("prelogin_answer_of_another_type", {sends_prelogin(), Gets{hex("12")}}, "protocol_violation",
             "type 18 "),
      script("tls_alert", {sends_prelogin(), Gets{hex("15")}}, "protocol_violation", "type 21 "),
      script("prelogin_answer_too_large", {sends_prelogin(), Gets{hex("04 00 1001 0000 01 00")}},
             "protocol_violation", "4088 bytes"),
      at_once(script(
          "bytes_after_the_prelogin_answer",
          {sends_prelogin(), Gets{joined({gets(PacketType::reply, prelogin_answer(2)).bytes, hex("04")})}},
          "protocol_violation", "after the PRELOGIN answer")),
      script("error_in_answer_to_prelogin", {sends_prelogin(), replies({login_failed, done})},
             "refused_by_server", "error 18456, state 1, class 14",
             server_error_is(login_failed, {login_failed})),
      script("only_a_warning_in_answer_to_prelogin", {sends_prelogin(), replies({warning, ack, done})},
             "protocol_violation", "no error"),
      script("garbage_behind_an_error_in_answer_to_prelogin",
             {sends_prelogin(),
              gets(PacketType::reply, joined({encode_tokens({login_failed}, tds_7_4), hex("00")}))},
             "protocol_violation", "no place in a login reply"),

      // The login.
      script("login_that_cannot_be_written", {sends_prelogin(), answers(), Asks{{}, ap_req, true}},
             "protocol_violation", "cchAppName", token_was_sent(false),
             [] {
               ConnectRequest request = integrated();
               request.login.app_name = std::u16string(129, u'x');
               return request;
             }),
      script("loginack_before_the_proof", up_to_login({replies({ack, done})}), "context_incomplete",
             "proven"),
      script("loginack_while_a_round_is_open",
             up_to_login({replies({sspi, ack, done}), Asks{ap_rep, last_leg, false}}), "context_incomplete",
             "proven"),
      script("loginack_after_an_unfinished_round",
             up_to_login({replies({sspi}), Asks{ap_rep, last_leg, false}, sends_sspi(last_leg),
                          replies({ack, done})}),
             "context_incomplete", "proven"),
      script("loginack_with_routing_before_the_proof", up_to_login({replies({routing, ack, done})}),
             "context_incomplete", "proven"),
      script("login_failed", up_to_login({replies({login_failed, done})}), "refused_by_server",
             "error 18456, state 1, class 14", server_error_is(login_failed, {login_failed})),
      script("login_failed_after_the_proof",
             up_to_login({replies({sspi}), Asks{ap_rep, {}, true}, replies({login_failed, done})}),
             "refused_by_server", "error 18456", server_error_is(login_failed, {login_failed})),
      script("the_first_real_error_counts",
             up_to_login({replies({info, warning, database_denied, login_failed, done})}),
             "refused_by_server", "error 4060",
             server_error_is(database_denied, {info, warning, database_denied, login_failed})),
      script("an_error_beside_a_token",
             up_to_login({replies({sspi, login_failed, done}), Asks{ap_rep, last_leg, true}}),
             "refused_by_server", "error 18456", server_error_is(login_failed, {login_failed})),
      script("routing_with_loginack", up_to_login_complete({replies({ack, routing, done})}), "redirect", "",
             goes_to({u"s2", 1433, u"", false}, true)),
      script("routing_without_loginack", up_to_login({replies({routing, done})}), "redirect", "",
             goes_to({u"s2", 1433, u"", false}, false)),
      script("enhanced_routing", up_to_login_complete({replies({enhanced_routing, ack, done})}), "redirect",
             "", goes_to({u"s2", 1433, u"d", true}, true)),
      script("routing_twice", up_to_login_complete({replies({routing, ack, routing, done})}),
             "protocol_violation", "two places"),
      script("routing_of_both_kinds", up_to_login_complete({replies({routing, enhanced_routing, ack, done})}),
             "protocol_violation", "two places"),
      script("malformed_routing",
             up_to_login_complete({replies({EnvChange{EnvChangeType::routing, hex("00")}, ack, done})}),
             "protocol_violation", "ENVCHANGE routing"),
      script("empty_sspi_token", up_to_login({replies({SspiToken{}})}), "protocol_violation", "is empty"),
      script("two_sspi_tokens_in_one_message", up_to_login({replies({sspi, sspi}), Asks{ap_rep, {}, true}}),
             "protocol_violation", "two SSPI tokens"),
      script("sspi_tokens_without_end", endless, "protocol_violation", "without end"),
      script("sspi_token_to_a_password_login",
             {sends_prelogin(), answers(), Sends{PacketType::login7, *encode_login7(with_password().login)},
              replies({sspi})},
             "protocol_violation", "though none was sent", nullptr, with_password),
      script("loginack_twice", up_to_login_complete({replies({ack, ack, done})}), "protocol_violation",
             "twice"),
      script("loginack_of_an_unknown_version",
             up_to_login_complete({replies({LoginAck{1, {0x12345678}, u"", {}}, done})}),
             "protocol_violation", "0x12345678"),
      script("fedauthinfo", up_to_login_complete({replies({OpaqueToken{0xEE, hex("01")}, ack, done})}),
             "protocol_violation", "FEDAUTHINFO"),
      script("rows_in_the_reply",
             up_to_login_complete(
                 {gets(PacketType::reply, joined({encode_tokens({ack}, tds_7_4), hex("81 0000")}))}),
             "protocol_violation", "no place in a login reply"),
      script("short_done_in_tds_7_4",
             up_to_login_complete({gets(PacketType::reply, joined({encode_tokens({ack}, tds_7_4),
                                                                   encode_tokens({done}, tds_7_1)}))}),
             "protocol_violation", "DONE RowCount"),
      bad_packet_size("empty", u""),
      bad_packet_size("no_number", u"many"),
      bad_packet_size("with_a_unit", u"4096k"),
      bad_packet_size("negative", u"-4096"),
      bad_packet_size("too_small", u"511"),
      bad_packet_size("too_large", u"32768"),
      bad_packet_size("enormous", u"99999999999999999999"),
      script("reply_of_another_type", up_to_login({Gets{hex("11")}}), "protocol_violation", "type 17 "),
      at_once(script("bytes_after_the_login_reply",
                     up_to_login_complete({Gets{joined({replies({ack, done}).bytes, hex("04")})}}),
                     "protocol_violation", "after the login reply")),

      // Closed.
      script("closed_before_any_answer", {sends_prelogin(), Ends{}}, "closed", "PRELOGIN",
             token_was_sent(false)),
      script("closed_after_our_token", up_to_login({Ends{}}), "closed", "LOGIN7", token_was_sent(true)),
      script("closed_after_the_second_token",
             up_to_login({replies({sspi}), Asks{ap_rep, last_leg, true}, sends_sspi(last_leg), Ends{}}),
             "closed", "LOGIN7", token_was_sent(true)),
      script("closed_without_any_token_of_ours",
             {sends_prelogin(), answers(), Asks{}, sends_login({}), Ends{}}, "closed", "LOGIN7",
             token_was_sent(false)),
      script("closed_after_a_token_that_came_late",
             {sends_prelogin(), answers(), Asks{}, sends_login({}), replies({sspi}),
              Asks{ap_rep, last_leg, true}, sends_sspi(last_leg), Ends{}},
             "closed", "LOGIN7", token_was_sent(true)),
      script("closed_within_the_reply",
             up_to_login_complete({Gets{prefix(replies({ack, done}).bytes, 20)}, Ends{}}), "closed", "LOGIN7",
             token_was_sent(true)),
  };
}

// --- TLS: the table of connect_login.hpp, cell by cell.

enum class ConnectThen {
  in_clear,
  login_only,
  full,
  strict,
  server_requires_tls,
  server_without_tls,
  protocol_violation
};

struct ConnectCell {
  const char *name;
  ServerTls tls;
  Encryption asked;
  std::optional<std::uint8_t> told;
  ConnectThen then;
};

constexpr ConnectCell cells[] = {
    {"off_off", ServerTls::off, Encryption::not_sup, 0, ConnectThen::in_clear},
    {"off_on", ServerTls::off, Encryption::not_sup, 1, ConnectThen::server_requires_tls},
    {"off_not_sup", ServerTls::off, Encryption::not_sup, 2, ConnectThen::in_clear},
    {"off_req", ServerTls::off, Encryption::not_sup, 3, ConnectThen::server_requires_tls},
    {"off_on_with_client_certificate", ServerTls::off, Encryption::not_sup, 0x81,
     ConnectThen::server_requires_tls},
    {"off_none", ServerTls::off, Encryption::not_sup, {}, ConnectThen::protocol_violation},
    {"off_unknown", ServerTls::off, Encryption::not_sup, 7, ConnectThen::protocol_violation},
    {"login_off", ServerTls::login, Encryption::off, 0, ConnectThen::login_only},
    {"login_on", ServerTls::login, Encryption::off, 1, ConnectThen::full},
    {"login_not_sup", ServerTls::login, Encryption::off, 2, ConnectThen::server_without_tls},
    {"login_req", ServerTls::login, Encryption::off, 3, ConnectThen::full},
    {"login_none", ServerTls::login, Encryption::off, {}, ConnectThen::server_without_tls},
    {"login_unknown", ServerTls::login, Encryption::off, 7, ConnectThen::protocol_violation},
    {"require_off", ServerTls::require, Encryption::on, 0, ConnectThen::server_without_tls},
    {"require_on", ServerTls::require, Encryption::on, 1, ConnectThen::full},
    {"require_not_sup", ServerTls::require, Encryption::on, 2, ConnectThen::server_without_tls},
    {"require_req", ServerTls::require, Encryption::on, 3, ConnectThen::full},
    {"require_on_with_client_certificate", ServerTls::require, Encryption::on, 0x81, ConnectThen::full},
    {"require_none", ServerTls::require, Encryption::on, {}, ConnectThen::server_without_tls},
    {"require_unknown", ServerTls::require, Encryption::on, 7, ConnectThen::protocol_violation},
    {"strict_off", ServerTls::strict, Encryption::not_sup, 0, ConnectThen::strict},
    {"strict_on", ServerTls::strict, Encryption::not_sup, 1, ConnectThen::strict},
    {"strict_not_sup", ServerTls::strict, Encryption::not_sup, 2, ConnectThen::strict},
    {"strict_req", ServerTls::strict, Encryption::not_sup, 3, ConnectThen::strict},
    {"strict_none", ServerTls::strict, Encryption::not_sup, {}, ConnectThen::strict},
    {"strict_unknown", ServerTls::strict, Encryption::not_sup, 8, ConnectThen::strict},
};

// Every row asks for the opposite in its own PRELOGIN: the machine sets what it takes.
ConnectRequest integrated_over(ServerTls tls, Version version = tds_7_4) {
  ConnectRequest request = integrated(version);
  request.tls = tls;
  request.prelogin.set_encryption(Encryption::req);
  return request;
}

ConnectRequest with_password_over(ServerTls tls) {
  ConnectRequest request = with_password();
  request.tls = tls;
  return request;
}

ConnectScript script_of(const ConnectCell &cell) {
  const auto request = [tls = cell.tls] { return integrated_over(tls); };
  const auto logs_in = [&](std::vector<Step> steps) {
    return script(cell.name, std::move(steps), "login", "", reply_is({.tokens = {ack, done}}), request);
  };
  const auto refuses = [&](std::string fault, std::string detail) {
    return script(cell.name, {sends_prelogin(cell.asked), answers(cell.told)}, std::move(fault),
                  std::move(detail), token_was_sent(false), request);
  };
  const Step asks = Asks{{}, ap_req, true};
  const Step says = sends_prelogin(cell.asked);
  const Step hears = answers(cell.told);
  const Step accepts = replies({ack, done});
  switch (cell.then) {
  case ConnectThen::in_clear:
    return logs_in({says, hears, asks, sends_login(ap_req), accepts});
  case ConnectThen::login_only:
    return logs_in({says, hears, starts(), asks, sends_login(ap_req), Stops{}, accepts});
  case ConnectThen::full:
    return logs_in({says, hears, starts(), asks, sends_login(ap_req), accepts});
  case ConnectThen::strict:
    return logs_in({starts_bare(), says, hears, asks, sends_login(ap_req), accepts});
  case ConnectThen::server_requires_tls:
    return refuses("server_requires_tls", "encrypt = \"require\"");
  case ConnectThen::server_without_tls:
    return refuses("server_without_tls", "encrypt = \"off\"");
  case ConnectThen::protocol_violation:
    break;
  }
  return refuses("protocol_violation", "no ENCRYPTION that MS-TDS knows");
}

// A message's first packet, and what is behind it.
SendsPart first_packet_of(const Bytes &message) {
  return {prefix(message, decode_packet_header(message)->length)};
}
SendsPart behind_first_packet_of(const Bytes &message) {
  return {Bytes(message.begin() + decode_packet_header(message)->length, message.end())};
}

std::vector<ConnectScript> connect_tls_scripts() {
  using enum ServerTls;
  const auto over = [](ServerTls tls, Version version = tds_7_4) {
    return [=] { return integrated_over(tls, version); };
  };
  const Expected plain{.tokens = {ack, done}};
  const Bytes large_token(10'000, 0x5A);
  const Bytes large_login = [&] {
    Login7 login = our_login();
    login.sspi = large_token;
    return encode_message(PacketType::login7, *encode_login7(login));
  }();
  const Step ask_off = sends_prelogin(Encryption::off);
  const Step ask_on = sends_prelogin(Encryption::on);
  const Step asks = Asks{{}, ap_req, true};
  const Step asks_large = Asks{{}, large_token, true};
  const Step accepts = replies({ack, done});
  const auto password_login = Sends{PacketType::login7, *encode_login7(with_password().login)};
  const Token ack_8_0 = LoginAck{1, tds_8_0, u"SQL", {16, 0, 2, 0x58}};

  std::vector<ConnectScript> scripts;
  for (const auto &cell : cells)
    scripts.push_back(script_of(cell));
  scripts.insert(
      scripts.end(),
      {
          // Login-only TLS: the first packet in it, everything else in clear.
          script("login_only_in_many_packets",
                 {ask_off, answers(0), starts(), asks_large, first_packet_of(large_login), Stops{},
                  behind_first_packet_of(large_login), accepts},
                 "login", "", reply_is(plain), over(login)),
          script("login_only_and_more_rounds",
                 {ask_off, answers(0), starts(), Asks{{}, ap_req, false}, sends_login(ap_req), Stops{},
                  replies({sspi}), Asks{ap_rep, last_leg, true}, sends_sspi(last_leg), accepts},
                 "login", "", reply_is(plain), over(login)),
          script("login_only_with_user_and_password",
                 {ask_off, answers(0), starts(), password_login, Stops{}, accepts}, "login", "",
                 reply_is(plain), [] { return with_password_over(login); }),
          script("login_only_closed_after_our_token",
                 {ask_off, answers(0), starts(), asks_large, first_packet_of(large_login), Stops{},
                  behind_first_packet_of(large_login), Ends{}},
                 "closed", "LOGIN7", token_was_sent(true), over(login)),
          script("login_only_refused",
                 {ask_off, answers(0), starts(), asks, sends_login(ap_req), Stops{},
                  replies({login_failed, done})},
                 "refused_by_server", "error 18456", server_error_is(login_failed, {login_failed}),
                 over(login)),
          script("login_only_and_tls_goes_on",
                 {ask_off, answers(0), starts(), asks, sends_login(ap_req), Stops{}, Gets{hex("17")}},
                 "protocol_violation", "type 23 ", nullptr, over(login)),

          // Full TLS.
          script("full_in_many_packets",
                 {ask_on, answers(1), starts(), asks_large, sends_login(large_token), accepts}, "login", "",
                 reply_is(plain), over(require)),
          script("full_asked_for_as_login_only_in_many_packets",
                 {ask_off, answers(3), starts(), asks_large, sends_login(large_token), accepts}, "login", "",
                 reply_is(plain), over(login)),
          script("full_with_user_and_password", {ask_on, answers(1), starts(), password_login, accepts},
                 "login", "", reply_is(plain), [] { return with_password_over(require); }),
          script("full_closed_after_the_handshake",
                 {ask_on, answers(1), starts(), asks, sends_login(ap_req), Ends{}}, "closed", "LOGIN7",
                 token_was_sent(true), over(require)),
          script("full_and_an_error_in_answer_to_prelogin", {ask_on, replies({login_failed, done})},
                 "refused_by_server", "error 18456", server_error_is(login_failed, {login_failed}),
                 over(require)),
          script("full_and_mars_refused",
                 {Sends{PacketType::prelogin, encode_prelogin(our_prelogin(true, Encryption::on))},
                  answers(1, 0)},
                 "mars_refused", "MARS", nullptr,
                 [] {
                   ConnectRequest request = integrated_over(require);
                   request.prelogin.set_mars(true);
                   return request;
                 }),
          script("full_and_instance_name_refused", {ask_on, answers(1, 0, 1)}, "wrong_instance",
                 "instance name refused", nullptr, over(require)),

          // What comes in clear behind the PRELOGIN answer must not be taken for what TLS brings.
          at_once(script("plaintext_before_full_tls",
                         {ask_on, Gets{joined({gets(PacketType::reply, prelogin_answer(1)).bytes,
                                               replies({ack, done}).bytes})}},
                         "protocol_violation", "plaintext before TLS", token_was_sent(false), over(require))),
          at_once(
              script("a_byte_before_login_only_tls",
                     {ask_off, Gets{joined({gets(PacketType::reply, prelogin_answer(0)).bytes, hex("04")})}},
                     "protocol_violation", "plaintext before TLS", token_was_sent(false), over(login))),
          at_once(script("strict_and_bytes_after_the_prelogin_answer",
                         {starts_bare(), sends_prelogin(),
                          Gets{joined({gets(PacketType::reply, prelogin_answer(2)).bytes, hex("04")})}},
                         "protocol_violation", "after the PRELOGIN answer", token_was_sent(false),
                         over(strict))),

          // TDS 8.0. The reply has the layout of 7.4, whichever of the two LOGINACK names.
          script("strict_and_loginack_of_tds_8_0",
                 {starts_bare(), sends_prelogin(), answers(2), asks, sends_login(ap_req, tds_8_0),
                  replies({info, ack_8_0, in_procedure, features, done}, tds_8_0)},
                 "login", "",
                 reply_is({.tokens = {info, ack_8_0, in_procedure, features, done},
                           .version = tds_8_0,
                           .messages = {info}}),
                 over(strict, tds_8_0)),
          script("strict_and_loginack_of_tds_7_4",
                 {starts_bare(), sends_prelogin(), answers(2), asks, sends_login(ap_req, tds_8_0),
                  replies({info, ack, in_procedure, done}, tds_8_0)},
                 "login", "", reply_is({.tokens = {info, ack, in_procedure, done}, .messages = {info}}),
                 over(strict, tds_8_0)),
          script("strict_and_a_short_done",
                 {starts_bare(), sends_prelogin(), answers(2), asks, sends_login(ap_req, tds_8_0),
                  gets(PacketType::reply,
                       joined({encode_tokens({ack_8_0}, tds_8_0), encode_tokens({done}, tds_7_1)}))},
                 "protocol_violation", "DONE RowCount", nullptr, over(strict, tds_8_0)),
          script("strict_in_many_packets",
                 {starts_bare(), sends_prelogin(), answers(2), asks_large, sends_login(large_token), accepts},
                 "login", "", reply_is(plain), over(strict)),
          script("strict_and_an_error_in_answer_to_prelogin",
                 {starts_bare(), sends_prelogin(), replies({login_failed, done})}, "refused_by_server",
                 "error 18456", server_error_is(login_failed, {login_failed}), over(strict)),
          script("strict_and_malformed_prelogin_answer",
                 {starts_bare(), sends_prelogin(), gets(PacketType::reply, hex("ff"))}, "protocol_violation",
                 "PRELOGIN VERSION", nullptr, over(strict)),
          script("strict_closed_before_any_answer", {starts_bare(), sends_prelogin(), Ends{}}, "closed",
                 "PRELOGIN", token_was_sent(false), over(strict)),
      });
  return scripts;
}

class ConnectLoginScript : public testing::TestWithParam<ConnectScript> {};
TEST_P(ConnectLoginScript, plays) { expect_outcome(GetParam(), {}); }
TEST_P(ConnectLoginScript, plays_byte_by_byte) {
  if (!GetParam().at_once) expect_outcome(GetParam(), {.chunk = 1});
}
TEST_P(ConnectLoginScript, is_closed_wherever_the_stream_ends) {
  expect_closed_wherever_the_stream_ends(GetParam());
}
TEST_P(ConnectLoginScript, ends_however_the_input_is_damaged) {
  expect_an_end_however_the_input_is_damaged(GetParam());
}
INSTANTIATE_TEST_SUITE_P(accepted, ConnectLoginScript, testing::ValuesIn(accepted_scripts()), RowName());
INSTANTIATE_TEST_SUITE_P(refused, ConnectLoginScript, testing::ValuesIn(refused_scripts()), RowName());
INSTANTIATE_TEST_SUITE_P(tls, ConnectLoginScript, testing::ValuesIn(connect_tls_scripts()), RowName());

// --- Bounds of the reply.

// A machine that waits for the reply to its LOGIN7.
ConnectLogin waiting_for_the_reply() {
  ConnectLogin machine(integrated());
  machine.next();
  machine.receive(gets(PacketType::reply, prelogin_answer(2)).bytes);
  EXPECT_TRUE(std::holds_alternative<NeedToken>(machine.next()));
  machine.token(ap_req, true);
  EXPECT_TRUE(std::holds_alternative<Send>(machine.next()));
  EXPECT_TRUE(std::holds_alternative<Receive>(machine.next()));
  return machine;
}

// Feeds `bytes` again and again until the machine refuses; how many bytes it took.
std::size_t bytes_until_refused(const Bytes &bytes) {
  ConnectLogin machine = waiting_for_the_reply();
  for (std::size_t fed = 0; fed < 4 * largest_login_reply;) {
    machine.receive(bytes);
    fed += bytes.size();
    const auto action = machine.next();
    if (std::holds_alternative<Receive>(action)) continue;
    if (!std::holds_alternative<ConnectRefused>(action)) break;
    EXPECT_EQ(std::get<ConnectRefused>(action).fault, ConnectFault::protocol_violation);
    return fed;
  }
  ADD_FAILURE() << "not refused";
  return 0;
}

TEST(ConnectLogin, one_message_without_end_is_refused) {
  const Bytes packet =
      joined({hex("04 00 7fff 0000 01 00"), Bytes(largest_packet_size - packet_header_size)});
  const std::size_t fed = bytes_until_refused(packet);
  EXPECT_GT(fed, largest_login_reply - largest_packet_size);
  EXPECT_LT(fed, largest_login_reply + 2 * largest_packet_size);
}

TEST(ConnectLogin, messages_without_end_are_refused) {
  const Bytes message = replies(std::vector<Token>(500, info)).bytes;
  const std::size_t fed = bytes_until_refused(message);
  EXPECT_GT(fed, largest_login_reply - 2 * message.size());
  EXPECT_LT(fed, largest_login_reply + 2 * message.size());
}

TEST(ConnectLogin, a_message_that_makes_all_together_too_long_is_refused_at_its_header) {
  ConnectLogin machine = waiting_for_the_reply();
  const Bytes message = replies(std::vector<Token>(20'000, info)).bytes;
  ASSERT_GT(message.size(), largest_login_reply / 2);
  ASSERT_LT(message.size(), largest_login_reply);
  machine.receive(message);
  ASSERT_TRUE(std::holds_alternative<Receive>(machine.next()));
  machine.receive(prefix(message, message.size() - 1)); // never whole
  EXPECT_TRUE(std::holds_alternative<ConnectRefused>(machine.next()));
}

TEST(ConnectLogin, empty_messages_without_end_are_refused) {
  Bytes messages;
  for (int i = 0; i < 1000; ++i)
    messages.insert(messages.end(), {0x04, 0x01, 0x00, 0x08, 0x00, 0x00, 0x01, 0x00});
  EXPECT_LE(bytes_until_refused(messages), largest_login_reply + 2 * messages.size());
}

TEST(ConnectLogin, messages_for_the_log_are_kept_up_to_a_number) {
  ConnectLogin machine = waiting_for_the_reply();
  std::vector<Token> tokens(most_kept_messages + 1, info);
  tokens.insert(tokens.end(), {ack, done});
  machine.receive(replies(tokens).bytes);
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<LoginReply>(action));
  EXPECT_EQ(machine.messages().size(), most_kept_messages);
  EXPECT_EQ(std::get<LoginReply>(action).tokens, encode_tokens(tokens, tds_7_4));
}

TEST(ConnectLogin, an_error_behind_all_that_is_kept_still_refuses) {
  ConnectLogin machine = waiting_for_the_reply();
  std::vector<Token> tokens(most_kept_messages, info);
  tokens.insert(tokens.end(), {login_failed, done});
  machine.receive(replies(tokens).bytes);
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<ConnectRefused>(action));
  EXPECT_EQ(std::get<ConnectRefused>(action).server_error, login_failed);
}

// --- TLS, step by step.

TEST(ConnectLogin, asks_for_tls_until_it_stands_and_only_then_for_a_token) {
  ConnectLogin machine(integrated_over(ServerTls::require));
  machine.next();
  machine.receive(gets(PacketType::reply, prelogin_answer(1)).bytes);
  EXPECT_TRUE(std::holds_alternative<StartTls>(machine.next()));
  machine.token(ap_req, true); // nobody asked for it
  EXPECT_TRUE(std::holds_alternative<StartTls>(machine.next()));
  machine.tls_established();
  EXPECT_TRUE(std::holds_alternative<NeedToken>(machine.next()));
}

TEST(ConnectLogin, tls_that_nobody_asked_for_changes_nothing) {
  ConnectLogin machine(integrated_over(ServerTls::require));
  machine.tls_established();
  EXPECT_TRUE(std::holds_alternative<Send>(machine.next()));
  machine.tls_established();
  machine.receive(gets(PacketType::reply, prelogin_answer(1)).bytes);
  EXPECT_TRUE(std::holds_alternative<StartTls>(machine.next()));
}

TEST(ConnectLogin, what_is_fed_during_the_handshake_is_plaintext) {
  for (const auto tls : {ServerTls::login, ServerTls::require, ServerTls::strict}) {
    ConnectLogin machine(integrated_over(tls));
    if (tls != ServerTls::strict) {
      machine.next();
      machine.receive(gets(PacketType::reply, prelogin_answer(1)).bytes);
    }
    ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
    machine.receive(gets(PacketType::reply, prelogin_answer(2)).bytes);
    machine.tls_established();
    const auto action = machine.next();
    ASSERT_TRUE(std::holds_alternative<ConnectRefused>(action));
    EXPECT_EQ(std::get<ConnectRefused>(action).fault, ConnectFault::protocol_violation);
  }
}

TEST(ConnectLogin, a_stream_that_ends_within_the_handshake_is_closed) {
  ConnectLogin machine(integrated_over(ServerTls::strict));
  ASSERT_TRUE(std::holds_alternative<StartTls>(machine.next()));
  machine.end_of_stream();
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<ConnectRefused>(action));
  EXPECT_EQ(std::get<ConnectRefused>(action).fault, ConnectFault::closed);
  EXPECT_EQ(std::get<ConnectRefused>(action).detail,
            "The server closed the connection during the TLS handshake.");
}

TEST(ConnectLogin, what_it_asks_is_known_from_the_start) {
  EXPECT_EQ(ConnectLogin(integrated_over(ServerTls::off)).asked().encryption(), Encryption::not_sup);
  EXPECT_EQ(ConnectLogin(integrated_over(ServerTls::login)).asked(), our_prelogin(false, Encryption::off));
  EXPECT_EQ(ConnectLogin(integrated_over(ServerTls::require)).asked(), our_prelogin(false, Encryption::on));
  EXPECT_EQ(ConnectLogin(integrated_over(ServerTls::strict)).asked().encryption(), Encryption::not_sup);
}

// --- What is left.

TEST(ConnectLogin, asks_for_the_same_token_until_it_is_there) {
  ConnectLogin machine(integrated());
  machine.next();
  machine.receive(gets(PacketType::reply, prelogin_answer(2)).bytes);
  EXPECT_TRUE(std::holds_alternative<NeedToken>(machine.next()));
  EXPECT_TRUE(std::holds_alternative<NeedToken>(machine.next()));
  machine.token(ap_req, false);
  EXPECT_TRUE(std::holds_alternative<Send>(machine.next()));
}

TEST(ConnectLogin, a_token_nobody_asked_for_is_ignored) {
  ConnectLogin machine(integrated());
  machine.token(last_leg, true);
  EXPECT_TRUE(std::holds_alternative<Send>(machine.next()));
  machine.receive(gets(PacketType::reply, prelogin_answer(2)).bytes);
  EXPECT_TRUE(std::holds_alternative<NeedToken>(machine.next()));
  machine.token(ap_req, false);
  EXPECT_TRUE(std::holds_alternative<Send>(machine.next()));
  machine.token(last_leg, true); // does not complete the context
  machine.receive(replies({ack, done}).bytes);
  const auto action = machine.next();
  ASSERT_TRUE(std::holds_alternative<ConnectRefused>(action));
  EXPECT_EQ(std::get<ConnectRefused>(action).fault, ConnectFault::context_incomplete);
}

TEST(ConnectLogin, the_servers_prelogin_is_known_even_when_it_is_refused) {
  ConnectLogin machine(integrated());
  machine.next();
  EXPECT_FALSE(machine.answered());
  machine.receive(gets(PacketType::reply, prelogin_answer(3)).bytes);
  EXPECT_TRUE(std::holds_alternative<ConnectRefused>(machine.next()));
  ASSERT_TRUE(machine.answered());
  EXPECT_EQ(machine.answered()->version()->text(), "16.0.600");
}

TEST(ConnectLogin, asked_again_after_its_end_it_refuses) {
  ConnectLogin machine = waiting_for_the_reply();
  machine.receive(replies({ack, done}).bytes);
  ASSERT_TRUE(std::holds_alternative<LoginReply>(machine.next()));
  EXPECT_TRUE(std::holds_alternative<ConnectRefused>(machine.next()));
}

} // namespace tds::test
