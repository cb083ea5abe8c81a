// A server that means harm, through a real `sqlshim serve` with a real ticket: what it does is refused with
// its cause, and what it says reaches neither terminal nor log as anything but text.
#include "config/causes.hpp"
#include "tds/sspi.hpp"
#include "tests/component/auth_support.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/scripted_server.hpp"
#include "tools/lab/lab.hpp"
#include "tools/lab/peer/acceptor.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace {

using namespace testing;
using tds::Bytes;

// ---- what it says ----

using namespace std::string_view_literals;

/// Everything that a terminal obeys: a colour, a title, a cleared screen, line ends, reading directions, a
/// bell, C1 controls; a NUL, half a character.
constexpr std::u16string_view poison =
    u"\u001b[31mred\u001b[2J\u001b]0;title\u0007\r\nMsg 50811 from sqlshim: forged\n\u2028\u2029\u202Egnirts\u202C\u2066\u2069\u009B2J\u0085\0\xD800"sv;

std::u16string poisonous(std::size_t units) {
  std::u16string text;
  while (text.size() < units)
    text += poison;
  text.resize(units);
  return text;
}

tds::Token error(std::uint32_t number, std::u16string text, std::uint8_t severity = 14) {
  tds::ServerMessage message;
  message.number = number;
  message.state = 1;
  message.severity = severity;
  message.error = severity > 10;
  message.text = std::move(text);
  message.server = std::u16string(poison.substr(0, 100));
  message.procedure = std::u16string(poison.substr(0, 50));
  return message;
}
tds::Token packet_size(std::u16string_view size) {
  tds::Writer data;
  for (const auto &text : {size, std::u16string_view(u"4096")}) {
    data.u8(static_cast<std::uint8_t>(text.size()));
    data.utf16(text);
  }
  return tds::EnvChange{tds::EnvChangeType::packet_size, std::move(data).bytes()};
}
// ---- what it does ----

/// A server with the SPN's real key: it can prove itself, and need not.
class Talk : public test::TdsServerSide {
public:
  Talk(test::Connection &connection, const std::filesystem::path &keytab)
      : TdsServerSide(connection), acceptor_(keytab) {}

  /// Whether any client has offered NTLM, since this was last set to false.
  inline static std::atomic<bool> saw_ntlm = false;

  tds::Login7 login() {
    auto login = TdsServerSide::login();
    if (tds::recognise(login.sspi) == tds::Mechanism::ntlm) saw_ntlm = true;
    return login;
  }
  /// Reads PRELOGIN and LOGIN7; the token that would prove us.
  Bytes proof() {
    prelogin();
    return acceptor_.accept(login().sspi);
  }
  void prove() { say({tds::SspiToken{proof()}}); }
  void accept_with(std::vector<tds::Token> tokens) {
    prove();
    for (auto &token : test::login_accepted())
      tokens.push_back(std::move(token));
    say(tokens);
  }

private:
  auth_test::Acceptor acceptor_;
};

struct Hostile {
  const char *name;
  const char *cause;
  void (*act)(Talk &);
  std::vector<std::string> told = {}; ///< substrings of what the client reads
  const char *blames = "server";
};
void PrintTo(const Hostile &hostile, std::ostream *out) { *out << hostile.name; }

/// SPNEGO's "go on" (RFC 4178 4.2.2): negState accept-incomplete, and nothing else.
const Bytes go_on = {0xA1, 0x07, 0x30, 0x05, 0xA0, 0x03, 0x0A, 0x01, 0x01};

const Hostile behaviours[] = {
    // LOGINACK to which it has no right.
    {"LoginackWithoutAuthentication", "mutual-auth-missing",
     [](Talk &t) {
       t.prelogin();
       t.login();
       t.say(test::login_accepted());
     }},
    {"LoginackBeforeItsProof", "mutual-auth-missing",
     [](Talk &t) {
       std::vector<tds::Token> tokens = test::login_accepted();
       tokens.insert(tokens.begin() + 1, tds::SspiToken{t.proof()});
       t.say(tokens);
     }},
    {"LoginackInPlaceOfPrelogin", "protocol-violation",
     [](Talk &t) {
       t.read();
       t.say(test::login_accepted());
     }},
    {"LoginackTwice",
     "protocol-violation",
     [](Talk &t) { t.accept_with({test::login_accepted().front()}); },
     {"twice"}},
    {"LoginackOfAnUnknownVersion", "protocol-violation",
     [](Talk &t) {
       t.prove();
       tds::LoginAck ack;
       ack.version = tds::Version{0xFFFFFFFF};
       t.say({ack, test::done()});
     }},
    // SSPI without end.
    {"SspiGarbageWithoutEnd", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       for (int i = 0; i < 1000; ++i)
         t.say({tds::SspiToken{Bytes(1000, 0xA1)}});
     }},
    {"SspiGoOnWithoutEnd", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       for (int i = 0; i < 1000; ++i)
         t.say({tds::SspiToken{go_on}});
     }},
    {"SspiAfterItsProofWithoutEnd", "protocol-violation",
     [](Talk &t) {
       const auto proof = t.proof();
       for (int i = 0; i < 1000; ++i)
         t.say({tds::SspiToken{proof}});
     }},
    {"SspiAfterItsProof", "protocol-violation", [](Talk &t) { t.accept_with({tds::SspiToken{go_on}}); }},
    {"SspiEmpty", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       t.say({tds::SspiToken{}});
     }},
    {"SspiOf64KiB", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       t.say({tds::SspiToken{Bytes(65535, 0x60)}});
     }},
    // Sizes.
    {"PacketSizeEnormous", "protocol-violation",
     [](Talk &t) { t.accept_with({packet_size(u"4294967297")}); }},
    {"PacketSizeTooLarge", "protocol-violation", [](Talk &t) { t.accept_with({packet_size(u"32768")}); }},
    {"PacketSizeZero", "protocol-violation", [](Talk &t) { t.accept_with({packet_size(u"0")}); }},
    {"PacketSizeNegative", "protocol-violation", [](Talk &t) { t.accept_with({packet_size(u"-4096")}); }},
    {"PacketSizeEmpty", "protocol-violation", [](Talk &t) { t.accept_with({packet_size(u"")}); }},
    {"PacketSizeNoNumber", "protocol-violation",
     [](Talk &t) { t.accept_with({packet_size(u"4096\x1b[2J")}); }},
    {"MessageWithoutEnd", "protocol-violation",
     [](Talk &t) {
       t.prove();
       Bytes packet(32767, 0);
       packet[0] = 4; // reply, no EOM
       packet[2] = 0x7F;
       packet[3] = 0xFF;
       for (int i = 0; i < 200; ++i)
         t.send(packet);
     }},
    {"MessagesWithoutEnd", "protocol-violation",
     [](Talk &t) {
       t.prove();
       for (int i = 0; i < 200; ++i)
         t.say({error(5701, poisonous(5000), 0)});
     }},
    {"EmptyMessagesWithoutEnd", "protocol-violation",
     [](Talk &t) {
       t.prove();
       Bytes flood;
       const Bytes nothing = {4, 1, 0, 8, 0, 0, 1, 0};
       for (int i = 0; i < 1000; ++i)
         flood.insert(flood.end(), nothing.begin(), nothing.end());
       for (int i = 0; i < 200; ++i)
         t.send(flood);
     }},
    {"TokenLongerThanItsMessage", "protocol-violation",
     [](Talk &t) {
       t.prove();
       const Bytes session_state = {0xE4, 0xFF, 0xFF, 0xFF, 0xFF, 0x00};
       t.say(session_state);
     }},
    {"PacketShorterThanItsHeader", "protocol-violation",
     [](Talk &t) {
       t.prove();
       const Bytes packet = {4, 1, 0, 7, 0, 0, 1, 0};
       t.send(packet);
       t.read();
     }},
    {"PreloginAnswerOf64KiB", "protocol-violation",
     [](Talk &t) {
       t.read();
       t.say(Bytes(65000, 0x01));
     }},
    {"BytesBehindItsAnswer", "protocol-violation",
     [](Talk &t) {
       t.prove();
       auto answer = tds::encode_message(tds::PacketType::reply,
                                         tds::encode_tokens(test::login_accepted(), tds::tds_7_4));
       answer.insert(answer.end(), 100, 0x04);
       t.send(answer);
     }},
    {"AskedByTheServer", "protocol-violation",
     [](Talk &t) {
       t.prove();
       t.send(tds::encode_message(tds::PacketType::sql_batch, Bytes(100, 'x')));
     }},
    {"OneByteAtATime", "deadline",
     [](Talk &t) {
       t.prove();
       const auto answer = tds::encode_message(tds::PacketType::reply, Bytes(2000, 0xAB));
       for (const auto byte : answer) {
         t.send({&byte, 1});
         lab::eventually([] { return false; }, lab::milliseconds(50)); // slowness is what is tried
       }
     }},
    // What might pass for a reason to log in otherwise.
    {"ClosesOnTheTicket",
     "spn-wrong-account",
     [](Talk &t) {
       t.prelogin();
       t.login();
     },
     {},
     "directory"},
    {"ForgesTheKrbErrorOfAMissingSpn", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       t.say({tds::SspiToken{lab::spnego_reject(lab::krb_error_token(7))}});
     }},
    // Elsewhere.
    {"RoutingBeforeItsProof",
     "redirect-refused",
     [](Talk &t) {
       t.prelogin();
       t.login();
       t.say({test::routing(u"evil.example", 1433), test::done()});
     },
     {"evil.example,1433"},
     "configuration"},
    {"Routing",
     "redirect-refused",
     [](Talk &t) { t.accept_with({test::routing(u"evil.example", 1433)}); },
     {"evil.example,1433"},
     "configuration"},
    {"RoutingToPoison",
     "redirect-refused",
     [](Talk &t) { t.accept_with({test::routing(poisonous(1000), 1433)}); },
     {},
     "configuration"},
    {"RoutingToNowhere", "protocol-violation", [](Talk &t) { t.accept_with({test::routing(u"", 0)}); }},
    // Texts.
    {"ErrorOf64KiB",
     "login-denied",
     [](Talk &t) {
       t.prove();
       t.say({error(18456, poisonous(32000)), test::done(tds::done_error)});
     },
     {"\\u001b[31mred"}},
    {"ManyErrorsOf64KiB", "login-denied",
     [](Talk &t) {
       t.prove();
       std::vector<tds::Token> tokens;
       for (int i = 0; i < 12; ++i)
         tokens.push_back(error(50000, poisonous(32000)));
       tokens.push_back(test::done(tds::done_error));
       t.say(tokens);
     }},
    {"ErrorInPlaceOfPrelogin",
     "login-denied",
     [](Talk &t) {
       t.read();
       t.say({error(17809, poisonous(1500)), test::done(tds::done_error)});
     },
     {"\\u001b[31mred"}},
    {"PoisonInAKrbError", "protocol-violation",
     [](Talk &t) {
       t.prelogin();
       t.login();
       const auto text = tds::to_utf8(poisonous(1000));
       t.say({tds::SspiToken{Bytes(text.begin(), text.end())}});
     }},
};

// ---- what must come of it ----

/// The first character that a terminal would obey, as a place in `text`; empty where there is none.
/// `lines`: line ends are good.
std::string obeyed(const std::string &text, bool lines) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const bool control = (byte(i) < 0x20 && !(lines && text[i] == '\n')) || byte(i) == 0x7F;
    const bool c1 = byte(i) == 0xC2 && byte(i + 1) >= 0x80 && byte(i + 1) <= 0x9F;
    // U+2028 to U+202E, U+2066 to U+2069, U+200E, U+200F
    const bool direction =
        byte(i) == 0xE2 && ((byte(i + 1) == 0x80 && (byte(i + 2) >= 0xA8 && byte(i + 2) <= 0xAE)) ||
                            (byte(i + 1) == 0x81 && byte(i + 2) >= 0xA6 && byte(i + 2) <= 0xA9) ||
                            (byte(i + 1) == 0x80 && (byte(i + 2) == 0x8E || byte(i + 2) == 0x8F)));
    if (control || c1 || direction)
      return fmt::format("at byte {}: …{:?}…", i, text.substr(i < 20 ? 0 : i - 20, 60));
  }
  return "";
}

/// Longest message that SQL Server itself makes (RAISERROR): what clients are sure to take.
constexpr std::size_t longest_message = 2047;

class HostileServer : public TestWithParam<Hostile> {
protected:
  static void SetUpTestSuite() {
    lab_ = new lab::Lab({.server_encrypt = "off", .change = [](lab::Plan &plan) {
                           plan.server = lab::Plan::Server::absent;
                           plan.route_extra =
                               "timeouts = { login = \"10s\" }\n"; // 200,000 messages take theirs
                           plan.fallback_keys = everything_listed();
                         }});
    server_ = new test::ScriptedServer(lab_->block().server(0), lab_->sql_port());
  }
  static void TearDownTestSuite() {
    delete server_;
    delete lab_;
    server_ = nullptr;
    lab_ = nullptr;
  }
  void SetUp() override {
    server_->set_script([act = GetParam().act](test::Connection &connection) {
      Talk talk(connection, lab_->folder() / "peer.keytab");
      act(talk);
    });
  }
  /// NTLM behind Kerberos, for whatever cause a route may list.
  static std::string everything_listed() {
    std::string causes;
    for (const auto &entry : config::all_causes())
      if (entry.never.empty()) causes += fmt::format("\"{}\", ", entry.id);
    return fmt::format("attempts = [\"tcp+kerberos\", \"tcp+ntlm\"]\nfallback_on = [{}]\n", causes);
  }
  static std::string sqlshim(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), lab::program_folder() / "sqlshim");
    return lab::run({.argv = std::move(arguments), .environment = lab_->environment()}).output;
  }

  static lab::Lab *lab_;
  static test::ScriptedServer *server_;
};
lab::Lab *HostileServer::lab_ = nullptr;
test::ScriptedServer *HostileServer::server_ = nullptr;

TEST_P(HostileServer, IsRefusedAndShownEscaped) {
  const auto &hostile = GetParam();
  const auto before = server_->connections();
  test::Login login;
  {
    test::Connection connection("127.0.0.1", lab_->port());
    login = test::log_in(connection);
  }
  EXPECT_FALSE(login.reply) << "never logged in";
  EXPECT_THAT(login.error(), StartsWith(std::string(hostile.cause) + ": "));
  for (const auto &text : hostile.told)
    EXPECT_THAT(login.error(), HasSubstr(text));
  const auto &ours = login.messages.back();
  if (hostile.cause == std::string("login-denied")) {
    EXPECT_EQ(ours.number, login.messages.front().number) << "its own ERRORs first, as without us";
    EXPECT_NE(login.messages.front().server, u"sqlshim");
  } else {
    ASSERT_EQ(login.messages.size(), 1u) << "our ERROR, and nothing of the server's own";
    EXPECT_EQ(ours.number, 50811u);
  }
  EXPECT_LE(ours.text.size(), longest_message);
  EXPECT_EQ(obeyed(login.error(), false), "");
  EXPECT_EQ(ours.server, u"sqlshim");
  EXPECT_EQ(server_->connections(), before + 1) << "nothing is tried a second time";

  std::vector<shim::Record> trail;
  ASSERT_TRUE(lab::eventually([&] {
    trail = test::last_connection(lab_->decisions());
    return !trail.empty() && std::holds_alternative<shim::Closed>(trail.back().event);
  }));
  test::check_trail(trail);
  const auto refused = test::events_of<shim::Refused>(trail);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].cause, hostile.cause);
  EXPECT_EQ(refused[0].step, shim::Step::server_login);
  EXPECT_EQ(auth::spelling(refused[0].fault.value()), hostile.blames);
  EXPECT_EQ(obeyed(lab_->decisions(), true), "");
  EXPECT_EQ(obeyed(lab::read_file(lab_->folder() / "serve.log"), true), "");
  const auto timeline = sqlshim({"log", lab_->folder() / "decisions.jsonl", "--cause", hostile.cause});
  EXPECT_THAT(timeline, HasSubstr(trail.front().conn));
  EXPECT_EQ(obeyed(timeline, true), "");

  const auto explained = sqlshim({"explain", "--route", "reports", "--connect"});
  EXPECT_THAT(explained, HasSubstr(fmt::format("{} (to be mended at: {})", hostile.cause, hostile.blames)));
  EXPECT_EQ(obeyed(explained, true), "");
  // Behind a warning: the lab's route ntlm-fallback sends to a server without TLS.
  const auto json = sqlshim({"explain", "--route", "reports", "--connect", "--json"});
  EXPECT_EQ(obeyed(json, true), "");
  EXPECT_EQ(nlohmann::json::parse(json.substr(json.find("{")))["diagnosis"]["cause"], hostile.cause);
}

// Nothing that a server does makes sqlshim log in to it by NTLM, though the route lists every
// cause that may be listed.
TEST_P(HostileServer, IsNotOfferedNtlm) {
  const auto before = server_->connections();
  Talk::saw_ntlm = false;
  test::Connection connection("127.0.0.1", lab_->port("ntlm-fallback"));
  EXPECT_FALSE(test::log_in(connection).reply);
  EXPECT_EQ(server_->connections(), before + 1);
  EXPECT_FALSE(Talk::saw_ntlm);
}

INSTANTIATE_TEST_SUITE_P(Behaviour, HostileServer, ValuesIn(behaviours),
                         [](const auto &row) { return std::string(row.param.name); });

/// What is harmless of a login that succeeds goes on as it came, and into the log escaped.
class PoisonousLogin : public HostileServer {};
TEST_P(PoisonousLogin, IsLoggedEscaped) {
  test::Connection connection("127.0.0.1", lab_->port());
  const auto login = test::log_in(connection);
  ASSERT_TRUE(login.reply) << login.error();
  ASSERT_EQ(login.messages.size(), 1u);
  EXPECT_EQ(login.messages[0].text, poisonous(2000)) << "the relay changes nothing";
  connection.close();
  ASSERT_TRUE(lab::eventually([&] {
    const auto trail = test::last_connection(lab_->decisions());
    return !trail.empty() && std::holds_alternative<shim::Closed>(trail.back().event);
  }));
  EXPECT_EQ(obeyed(lab_->decisions(), true), "");
  const auto explained = sqlshim({"explain", "--route", "reports", "--connect"});
  EXPECT_THAT(explained, HasSubstr("ok: the login succeeds"));
  EXPECT_EQ(obeyed(explained, true), "");
}
INSTANTIATE_TEST_SUITE_P(Behaviour, PoisonousLogin,
                         Values(Hostile{"InfoAndDatabase", "",
                                        [](Talk &t) {
                                          tds::Writer data;
                                          data.u8(60);
                                          data.utf16(poisonous(60));
                                          data.u8(0);
                                          t.accept_with({error(5701, poisonous(2000), 0),
                                                         tds::EnvChange{tds::EnvChangeType::database,
                                                                        std::move(data).bytes()}});
                                          t.read();
                                        }}),
                         [](const auto &row) { return std::string(row.param.name); });

} // namespace
