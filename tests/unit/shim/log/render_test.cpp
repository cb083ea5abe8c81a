#include "shim/log/render.hpp"

#include "tds/secret.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <set>

namespace shim {
// For gtest only: what differs shows as the line of the log.
void PrintTo(const Record &record, std::ostream *out) { *out << to_json(record); }
} // namespace shim

namespace {

using namespace shim;
using namespace std::chrono_literals;
using testing::HasSubstr;

WallTime at(std::string_view text) { return from_iso8601(text).value(); }

Record record_of(Event event) {
  return {.at = at("2026-11-22T09:52:00.123456Z"),
          .conn = "7f3a01c2",
          .seq = 4,
          .since_accept = 1830us,
          .event = std::move(event)};
}

/// One event of each kind with every field set, the "data" of its line, and its line of
/// the timeline after the name.
struct Golden {
  Event event;
  std::string_view name, data, text;
};
const Golden goldens[] = {
    {Accepted{"reports", "127.0.0.1:50000", "127.0.0.1:14330"}, "accepted",
     R"({"listener":"reports","peer":"127.0.0.1:50000","local":"127.0.0.1:14330"})",
     "listener=reports peer=127.0.0.1:50000 local=127.0.0.1:14330"},
    {CallerProven{1000, "alice", {"users", "dw"}, "sock_diag", 88}, "caller.proven",
     R"({"uid":1000,"user":"alice","groups":["users","dw"],"how":"sock_diag","us":88})",
     "uid=1000 user=alice groups=users,dw how=sock_diag us=88"},
    {PreloginAnswered{Side::client, "ENCRYPTION off", "ENCRYPTION not_sup"}, "prelogin.answered",
     R"({"leg":"client","asked":"ENCRYPTION off","answered":"ENCRYPTION not_sup"})",
     R"(leg=client asked="ENCRYPTION off" answered="ENCRYPTION not_sup")"},
    {TlsAgreed{Side::server, "TLSv1.2", "AES256", {"sql1", "sql1.corp.test"}, true, "tls-unique", "ok"},
     "tls.agreed",
     R"({"leg":"server","version":"TLSv1.2","cipher":"AES256","names":["sql1","sql1.corp.test"],"verified":true,"binding":"tls-unique","reason":"ok"})",
     "leg=server version=TLSv1.2 cipher=AES256 names=sql1,sql1.corp.test verified=true binding=tls-unique reason=ok"},
    {LoginReceived{"7.4", "sql1", "dw", "x", "tsql", "ws1", 42, 4096, LoginKind::sql, "none", 0, {"10"}},
     "login.received",
     R"({"tds":"7.4","server":"sql1","database":"dw","user":"x","app":"tsql","host":"ws1","pid":42,"packet_size":4096,"auth":"sql","mechanism":"none","size":0,"features":["10"]})",
     "tds=7.4 server=sql1 database=dw user=x app=tsql host=ws1 pid=42 packet_size=4096 auth=sql mechanism=none size=0 features=10"},
    {CredentialsIgnored{"user and password"}, "credentials.ignored", R"({"what":"user and password"})",
     R"(what="user and password")"},
    {PolicyDecided{"reports", PolicyOutcome::allow, "dw", "svc", "matched"}, "policy.decided",
     R"({"rule":"reports","outcome":"allow","route":"dw","identity":"svc","reason":"matched"})",
     "rule=reports outcome=allow route=dw identity=svc reason=matched"},
    {DnsAnswered{"sql1.corp.test", "A", "ok", 300, {"10.0.0.5"}, "10.0.0.2:53", false, 1200}, "dns.answered",
     R"({"question":"sql1.corp.test","type":"A","rcode":"ok","ttl":300,"answers":["10.0.0.5"],"server":"10.0.0.2:53","cached":false,"us":1200})",
     "question=sql1.corp.test type=A rcode=ok ttl=300 answers=10.0.0.5 server=10.0.0.2:53 cached=false us=1200"},
    {TargetAliased{"web", "sql1,1500", "aliases"}, "target.aliased",
     R"({"from":"web","to":"sql1,1500","by":"aliases"})", "from=web to=sql1,1500 by=aliases"},
    {TargetResolved{"sql1", "sql1.corp.test", 1433, "dns", {"10.0.0.5:1433"}, "forward"}, "target.resolved",
     R"({"typed":"sql1","fqdn":"sql1.corp.test","port":1433,"via":"dns","endpoints":["10.0.0.5:1433"],"by":"forward"})",
     "typed=sql1 fqdn=sql1.corp.test port=1433 via=dns endpoints=10.0.0.5:1433 by=forward"},
    {BrowserAnswered{"INST", "10.0.0.5:1434", 50001, true, "", 7, 50000}, "browser.answered",
     R"({"instance":"INST","server":"10.0.0.5:1434","port":50001,"cached":true,"detail":"","us":7,"port_before":50000})",
     "instance=INST server=10.0.0.5:1434 port=50001 cached=true us=7 port_before=50000"},
    {CredentialsTaken{CredentialsFrom::client, R"(CORP\alice)", "alice@CORP.TEST"}, "credentials.taken",
     R"({"from":"client","account":"CORP\\alice","principal":"alice@CORP.TEST"})",
     R"(from=client account=CORP\alice principal=alice@CORP.TEST)"},
    {PlanMade{{"tcp+kerberos MSSQLSvc/sql1:1433@CORP.TEST"}}, "plan.made",
     R"({"attempts":["tcp+kerberos MSSQLSvc/sql1:1433@CORP.TEST"]})",
     R"(attempts="tcp+kerberos MSSQLSvc/sql1:1433@CORP.TEST")"},
    {KdcAnswered{"127.0.0.1:88", "TGS", 7, "Server not found in Kerberos database", "2026-11-22T09:51:59Z",
                 -412000, 900, "CORP.TEST", "krb5.conf"},
     "kdc.answered",
     R"({"kdc":"127.0.0.1:88","exchange":"TGS","code":7,"text":"Server not found in Kerberos database","stime":"2026-11-22T09:51:59Z","skew_ms":-412000,"us":900,"realm":"CORP.TEST","source":"krb5.conf"})",
     R"(kdc=127.0.0.1:88 exchange=TGS code=7 text="Server not found in Kerberos database" stime=2026-11-22T09:51:59Z skew_ms=-412000 us=900 realm=CORP.TEST source=krb5.conf)"},
    {SpnTried{"MSSQLSvc/sql1:1433@CORP.TEST", auth::Why::port, Tried::refused, auth::Kind::service_unknown,
              "not found", "svc@CORP.TEST", auth::RealmFrom::srv, auth::Oddity{auth::Shape::short_name, ""}},
     "spn.tried",
     R"({"spn":"MSSQLSvc/sql1:1433@CORP.TEST","why":"port","outcome":"refused","kind":"service-unknown","detail":"not found","client":"svc@CORP.TEST","realm_from":"srv","odd":"short-name"})",
     R"(spn=MSSQLSvc/sql1:1433@CORP.TEST why=port outcome=refused kind=service-unknown detail="not found" client=svc@CORP.TEST realm_from=srv odd=short-name)"},
    {TicketChosen{"MSSQLSvc/sql1:1433@CORP.TEST", "svc@CORP.TEST", "aes256-cts-hmac-sha1-96", 2,
                  "2026-11-22T19:52:00Z", true, "CORP\\svc"},
     "ticket.chosen",
     R"({"spn":"MSSQLSvc/sql1:1433@CORP.TEST","client":"svc@CORP.TEST","etype":"aes256-cts-hmac-sha1-96","kvno":2,"expires":"2026-11-22T19:52:00Z","cached":true,"account":"CORP\\svc"})",
     R"(spn=MSSQLSvc/sql1:1433@CORP.TEST client=svc@CORP.TEST etype=aes256-cts-hmac-sha1-96 kvno=2 expires=2026-11-22T19:52:00Z cached=true account=CORP\svc)"},
    {ServerConnected{"10.0.0.5:1433", 1, 700}, "server.connected",
     R"({"endpoint":"10.0.0.5:1433","attempt":1,"us":700})", "endpoint=10.0.0.5:1433 attempt=1 us=700"},
    {TokenExchanged{1, "spnego", 1500, 120, "0x2e", "0x2e", true}, "token.exchanged",
     R"({"round":1,"mechanism":"spnego","sent":1500,"received":120,"flags_asked":"0x2e","flags_granted":"0x2e","done":true})",
     "round=1 mechanism=spnego sent=1500 received=120 flags_asked=0x2e flags_granted=0x2e done=true"},
    {ServerSaid{18456, 1, 14, "Login failed for user 'CORP\\svc'."}, "server.message",
     R"({"number":18456,"state":1,"class":14,"text":"Login failed for user 'CORP\\svc'."})",
     R"(number=18456 state=1 class=14 text="Login failed for user 'CORP\svc'.")"},
    {AttemptEnded{1, "spn-missing"}, "attempt.ended", R"({"attempt":1,"cause":"spn-missing"})",
     "attempt=1 cause=spn-missing"},
    {FallbackTaken{"tcp+kerberos", "tcp+ntlm", "spn-missing"}, "fallback.taken",
     R"({"from":"tcp+kerberos","to":"tcp+ntlm","reason":"spn-missing"})",
     "from=tcp+kerberos to=tcp+ntlm reason=spn-missing"},
    {FallbackWithheld{"tcp+kerberos", "tcp+ntlm", "fallback is \"off\""}, "fallback.withheld",
     R"({"from":"tcp+kerberos","to":"tcp+ntlm","reason":"fallback is \"off\""})",
     R"(from=tcp+kerberos to=tcp+ntlm reason="fallback is \"off\"")"},
    {RedirectFollowed{"sql1", "sql2", 1}, "redirect.followed", R"({"from":"sql1","to":"sql2","hop":1})",
     "from=sql1 to=sql2 hop=1"},
    {PartnerTried{"dw", "sql1", "connection-refused", "sql2"}, "partner.tried",
     R"({"route":"dw","target":"sql1","cause":"connection-refused","partner":"sql2"})",
     "route=dw target=sql1 cause=connection-refused partner=sql2"},
    {PartnerMapped{"sql2", "127.0.0.1,14330"}, "partner.mapped",
     R"({"partner":"sql2","listener":"127.0.0.1,14330"})", "partner=sql2 listener=127.0.0.1,14330"},
    {LoginAnswered{true, "7.4", "dw", 4096}, "login.answered",
     R"({"accepted":true,"version":"7.4","database":"dw","packet_size":4096})",
     "accepted=true version=7.4 database=dw packet_size=4096"},
    {TraceLine{"Getting credentials"}, "trace", R"({"text":"Getting credentials"})",
     R"(text="Getting credentials")"},
    {Refused{Step::ticket, Fault::directory, "spn-missing", "not found", "setspn -S …"}, "refused",
     R"({"step":"ticket","fault":"directory","cause":"spn-missing","detail":"not found","remedy":"setspn -S …"})",
     R"(step=ticket fault=directory cause=spn-missing detail="not found" remedy="setspn -S …")"},
    {Closed{"client", "closed", 1024, 18446744073709551615u, 5000}, "closed",
     R"({"by":"client","reason":"closed","up":1024,"down":18446744073709551615,"lasted_ms":5000})",
     "by=client reason=closed up=1024 down=18446744073709551615 lasted_ms=5000"},
    {Started{"0.1.0",
             "/etc/sqlshim/sqlshim.toml",
             {"reports 127.0.0.1:14330"},
             {"reports: keytab of svc@CORP.TEST"}},
     "started",
     R"({"version":"0.1.0","config":"/etc/sqlshim/sqlshim.toml","listeners":["reports 127.0.0.1:14330"],"identities":["reports: keytab of svc@CORP.TEST"]})",
     R"(version=0.1.0 config=/etc/sqlshim/sqlshim.toml listeners="reports 127.0.0.1:14330" identities="reports: keytab of svc@CORP.TEST")"},
    {Warned{"it is late"}, "warned", R"({"what":"it is late"})", R"(what="it is late")"},
    {Reloaded{"tickets"}, "reloaded", R"({"what":"tickets"})", "what=tickets"},
    {Drained{12, 3}, "drained", R"({"waited_ms":12,"closed":3})", "waited_ms=12 closed=3"},
};
static_assert(std::size(goldens) == std::variant_size_v<AnyEvent>,
              "a new kind of event needs its golden line");

TEST(Render, EveryKindHasItsGoldenLine) {
  for (std::size_t i = 0; i < std::size(goldens); ++i) {
    const auto &[event, name, data, text] = goldens[i];
    EXPECT_EQ(event.index(), i) << name << ": goldens stand in the order of the variant";
    const Record record = record_of(event);
    const std::string head =
        R"({"v":1,"at":"2026-11-22T09:52:00.123456Z","conn":"7f3a01c2","seq":4,"us":1830,"event":")";
    EXPECT_EQ(to_json(record), head + std::string(name) + R"(","data":)" + std::string(data) + "}");
    EXPECT_EQ(to_text(record), "7f3a01c2 +1.830ms " + std::string(name) + " " + std::string(text));
    EXPECT_EQ(name_of(event), name);
  }
}

TEST(Render, WhatIsWrittenReadsBack) {
  for (const Golden &golden : goldens) {
    const Record record = record_of(golden.event);
    const auto again = from_json(to_json(record));
    ASSERT_TRUE(again) << golden.name << ": " << again.error();
    EXPECT_EQ(to_json(*again), to_json(record));
    EXPECT_EQ(again->event.index(), record.event.index());
    EXPECT_EQ(again->at, record.at);
    EXPECT_EQ(again->since_accept, record.since_accept);
  }
}

TEST(Render, KindsHaveNamesOfTheirOwnAndOnlyTwoAreDebug) {
  std::set<std::string_view> names, debug;
  for (const Golden &golden : goldens) {
    names.insert(name_of(golden.event));
    if (is_debug(golden.event)) debug.insert(name_of(golden.event));
  }
  EXPECT_EQ(names.size(), std::size(goldens));
  EXPECT_THAT(debug, testing::ElementsAre("token.exchanged", "trace"));
}

template <class Value>
constexpr bool is_word = std::same_as<Value, SpnAnswer> || std::same_as<Value, std::optional<auth::Oddity>>;
template <auth::Spelled E> constexpr bool is_word<std::optional<E>> = true;
template <class Value>
constexpr bool may_be_logged =
    std::same_as<Value, std::string> || std::same_as<Value, bool> || std::same_as<Value, int> ||
    std::same_as<Value, std::int64_t> || std::same_as<Value, std::uint64_t> || std::same_as<Value, Strings> ||
    is_word<Value>;
static_assert(!may_be_logged<tds::Secret>);

TEST(Render, NoFieldIsASecret) {
  std::size_t fields = 0;
  for (const Golden &golden : goldens)
    std::visit(
        [&](const auto &event) {
          event.fields([&]<class Value>(std::string_view, const Value &) {
            static_assert(may_be_logged<Value>, "a field of an event is of a type that must not be logged");
            ++fields;
          });
        },
        golden.event);
  EXPECT_GT(fields, std::size(goldens));
}

TEST(Render, EachKindHasASentenceOfItsOwn) {
  std::set<std::string_view> sentences;
  for (const Golden &golden : goldens) {
    const auto sentence = sentence_of(golden.event);
    EXPECT_THAT(sentence, testing::MatchesRegex("[A-Zlsu].{15,}\\.")) << golden.name;
    EXPECT_TRUE(sentences.insert(sentence).second) << golden.name;
  }
}

TEST(Render, EventsWithoutAConnection) {
  const Record record{
      .at = at("2026-11-22T09:52:00Z"), .conn = {}, .seq = 0, .since_accept = {}, .event = Warned{"x"}};
  EXPECT_EQ(to_json(record),
            R"({"v":1,"at":"2026-11-22T09:52:00.000000Z","event":"warned","data":{"what":"x"}})");
  EXPECT_EQ(to_text(record), "2026-11-22T09:52:00.000000Z warned what=x");
  ASSERT_TRUE(from_json(to_json(record)));
  EXPECT_EQ(from_json(to_json(record))->conn, "");
}

// ---- strings from outside ----

struct Outside {
  const char *name;
  std::string raw, printable, json;
};
const Outside outside[] = {
    {"plain", "DOMAIN\\user", "DOMAIN\\user", R"("DOMAIN\\user")"},
    {"quotes", "say \"x\"", "say \"x\"", R"("say \"x\"")"},
    {"umlauts stay", "Müller 数据 🔑", "Müller 数据 🔑", R"("Müller 数据 🔑")"},
    {"control characters", std::string("a\0b\n\t\x1b[31m", 10), R"(a\u0000b\u000a\u0009\u001b[31m)",
     R"("a\u0000b\u000a\u0009\u001b[31m")"},
    {"DEL and C1", "\x7f\xc2\x80\xc2\x9b", R"(\u007f\u0080\u009b)", R"("\u007f\u0080\u009b")"},
    {"text turned round", "a\u202Eb\u2066c\u2069\u200F\u061C", R"(a\u202eb\u2066c\u2069\u200f\u061c)",
     R"("a\u202eb\u2066c\u2069\u200f\u061c")"},
    {"other line ends", "a\u2028b\u2029\u0085", R"(a\u2028b\u2029\u0085)", R"("a\u2028b\u2029\u0085")"},
    {"a lone byte",
     "a\xff"
     "b",
     "a\uFFFDb", "\"a\uFFFDb\""},
    {"cut in the middle", "a\xe6\x95", "a\uFFFD\uFFFD", "\"a\uFFFD\uFFFD\""},
    {"overlong", "\xc0\xaf\xe0\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
     "\"\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\""},
    {"a surrogate", "\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD", "\"\uFFFD\uFFFD\uFFFD\""},
    {"beyond Unicode", "\xf4\x90\x80\x80\xf5", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
     "\"\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\""},
    {"U+FFFD itself", "\uFFFD", "\uFFFD", "\"\uFFFD\""},
};

TEST(Render, StringsFromOutsideAreEscaped) {
  for (const auto &[name, raw, shown, json] : outside) {
    EXPECT_EQ(printable(raw), shown) << name;
    EXPECT_THAT(to_json(record_of(Warned{raw})), HasSubstr("\"what\":" + json + "}")) << name;
    EXPECT_TRUE(from_json(to_json(record_of(Warned{raw})))) << name;
  }
}

TEST(Render, EveryByteMakesOneLineThatReadsBack) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string raw = "a" + std::string(1, static_cast<char>(byte)) + "b";
    const std::string line = to_json(record_of(Accepted{raw, raw, raw}));
    EXPECT_EQ(line.find_first_of("\n\r"), std::string::npos) << byte;
    ASSERT_TRUE(from_json(line)) << byte;
    EXPECT_EQ(std::get<Accepted>(from_json(line)->event).peer, byte < 128 ? raw : "a\uFFFDb");
    EXPECT_EQ(to_text(record_of(Accepted{raw, raw, raw})).find_first_of("\n\r\x1b\x7f"), std::string::npos)
        << byte;
  }
}

TEST(Render, LongStringsAreCut) {
  EXPECT_EQ(printable(std::string(1024, 'x')), std::string(1024, 'x'));
  EXPECT_EQ(printable(std::string(1025, 'x')), std::string(992, 'x') + "…(+33 bytes)");
  EXPECT_EQ(printable(std::string(100'000, 'x'), 100), std::string(68, 'x') + "…(+99932 bytes)");
  for (const std::string &unit :
       {std::string("ü"), std::string("数"), std::string("🔑"), std::string("\x01"), std::string("\xff")}) {
    std::string raw = "x";
    while (raw.size() < 5000)
      raw += unit;
    const std::string cut = printable(raw);
    EXPECT_LE(cut.size(), longest_logged_text) << unit;
    EXPECT_THAT(cut, testing::EndsWith(" bytes)"));
    EXPECT_EQ(printable(cut), cut) << "cutting again changes nothing; no character was cut through";
    const std::string line = to_json(record_of(Warned{raw}));
    EXPECT_EQ(to_json(from_json(line).value()), line) << unit;
  }
}

TEST(Render, LongListsAreCut) {
  const std::string line = to_json(record_of(PlanMade{Strings(1000, "x")}));
  const Strings kept = std::get<PlanMade>(from_json(line)->event).attempts;
  ASSERT_EQ(kept.size(), most_logged_strings);
  EXPECT_EQ(kept.front(), "x");
  EXPECT_EQ(kept.back(), "…(+937 more)");
  EXPECT_EQ(to_json(from_json(line).value()), line);
}

// ---- the timeline ----

TEST(Render, TimesInTheTimeline) {
  Record record = record_of(Warned{"x"});
  for (const auto &[elapsed, shown] : {std::pair{0us, "+0.000ms"},
                                       {1us, "+0.001ms"},
                                       {9'999'999us, "+9999.999ms"},
                                       {10'000'000us, "+10.000s"}}) {
    record.since_accept = elapsed;
    EXPECT_EQ(to_text(record), std::string("7f3a01c2 ") + shown + " warned what=x");
  }
}

TEST(Render, ValuesInTheTimeline) {
  EXPECT_EQ(to_text(record_of(Accepted{"", "a\"b", "c d"})),
            R"(7f3a01c2 +1.830ms accepted peer="a\"b" local="c d")");
}

TEST(Render, Iso8601) {
  EXPECT_EQ(to_iso8601(WallTime{}), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(to_iso8601(WallTime{} - 1us), "1969-12-31T23:59:59.999999Z");
  for (const char *text :
       {"2026-11-22T09:52:00.123456Z", "2024-02-29T23:59:59.000001Z", "1969-12-31T23:59:59.999999Z",
        "1678-01-01T00:00:00.000000Z", "2261-12-31T23:59:59.999999Z"})
    EXPECT_EQ(to_iso8601(at(text)), text);
  EXPECT_EQ(at("2026-11-22T09:52:00Z"), at("2026-11-22T09:52:00.000000Z"));
  EXPECT_EQ(at("2026-11-22T09:52:00.5Z"), at("2026-11-22T09:52:00.500000Z"));
  EXPECT_EQ(at("2026-11-22T09:52:00.1234567Z"), at("2026-11-22T09:52:00.123456Z"));
  for (const char *text :
       {"", "2026", "2026-11-22", "2026-11-22 09:52:00Z", "2026-11-22T09:52:00", "2026-11-22T09:52:00.Z",
        "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T09:60:00Z",
        "1677-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
        "2026-11-22T09:52:00Zx", "+026-11-22T09:52:00Z", "2026-1-22T09:52:00Z"})
    EXPECT_EQ(from_iso8601(text), std::nullopt) << text;
}

// ---- old logs ----

// What is a field or a kind today stood in a text once.
TEST(Render, TextsOfOldLogsAreUnderstood) {
  const auto read = [](const std::string &event, const std::string &data) {
    return from_json(R"({"v":1,"at":"2026-11-22T09:52:00Z","conn":"7f3a01c2","seq":1,"us":0,"event":")" +
                     event + R"(","data":)" + data + "}")
        .value()
        .event;
  };
  const auto port_before = [&](const std::string &detail) {
    return std::get<BrowserAnswered>(read("browser.answered", R"({"port":2,"detail":")" + detail + "\"}"))
        .port_before;
  };
  EXPECT_EQ(port_before("was at port 50001"), 50001u);
  EXPECT_EQ(port_before("no answer within 2000 ms"), 0u);
  EXPECT_EQ(port_before("was at port x"), 0u);

  const auto warned = [&](const std::string &what) { return read("warned", R"({"what":")" + what + "\"}"); };
  const Event tried = warned("route r: target sql1 could not be reached (connection-refused): its "
                             "failover_partner sql2 is tried");
  EXPECT_EQ(to_text(record_of(tried)), "7f3a01c2 +1.830ms partner.tried route=r target=sql1 "
                                       "cause=connection-refused partner=sql2");
  for (const char *other : {"it is tried", "route r: target sql1 is tried", "x is tried by nobody", ""})
    EXPECT_TRUE(std::holds_alternative<Warned>(warned(other))) << other;
}

TEST(Render, LinesThatAreNone) {
  struct Row {
    const char *line, *complaint;
  };
  for (
      const Row &row : std::initializer_list<Row>{
          {"", "not JSON"},
          {"7f3a01c2 +1.830ms accepted", "not JSON"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"warned","da)",
           "not JSON (a line that was cut off?)"},
          {"[]", "not a JSON object"},
          {"{}", "\"v\" is 0: this version of sqlshim reads 1"},
          {R"({"v":2,"at":"2026-11-22T09:52:00Z","event":"warned","data":{}})", "\"v\" is 2"},
          {R"({"v":"1"})", "\"v\" is of the wrong type"},
          {R"({"v":1,"at":"yesterday","event":"warned","data":{}})", "\"at\" is no time: \"yesterday\""},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"war\u001bned","data":{}})",
           R"(unknown event "war\u001bned")"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"warned"})", "no \"data\""},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"warned","data":[]})", "no \"data\""},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"warned","data":{"what":5}})",
           "warned: \"what\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"refused","data":{"step":7}})",
           "refused: \"step\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"refused","data":{"step":"lunch"}})",
           "refused: \"step\" has a word that this version of sqlshim does not know: \"lunch\""},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"drained","data":{"waited_ms":-1}})",
           "\"waited_ms\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"drained","data":{"waited_ms":1.5}})",
           "\"waited_ms\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"attempt.ended","data":{"attempt":3000000000}})",
           "\"attempt\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"kdc.answered","data":{"code":18446744073709551615}})",
           "\"code\" is of the wrong type"},
          {R"({"v":1,"at":"2026-11-22T09:52:00Z","event":"plan.made","data":{"attempts":["a",1]}})",
           "\"attempts\" is of the wrong type"},
      }) {
    const auto record = from_json(row.line);
    ASSERT_FALSE(record) << row.line;
    EXPECT_THAT(record.error(), HasSubstr(row.complaint)) << row.line;
  }
}

TEST(Render, FieldsOfOtherVersionsAreNoError) {
  const auto record = from_json(
      R"({"v":1,"at":"2026-11-22T09:52:00Z","new":1,"event":"attempt.ended","data":{"cause":"ok","colour":["red"]}})");
  ASSERT_TRUE(record) << record.error();
  EXPECT_EQ(std::get<AttemptEnded>(record->event).cause, "ok");
  EXPECT_EQ(std::get<AttemptEnded>(record->event).attempt, 0)
      << "a field that the line lacks keeps its default";
}

TEST(Render, DeepNestingIsAnError) { EXPECT_FALSE(from_json(std::string(100'000, '['))); }

// A log written by the first version. It is never changed: what it holds has to be read for ever.
TEST(Render, ALogOfVersion1StaysReadable) {
  const std::filesystem::path path = SQLSHIM_SOURCE_DIR "/tests/data/decisions-v1.jsonl";
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  std::set<std::string_view> kinds;
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const auto record = from_json(line);
    if (file.eof()) {
      // The writer died in the middle of the last line: all before it is there.
      EXPECT_FALSE(record);
      break;
    }
    ASSERT_TRUE(record) << "line " << lines + 1 << ": " << record.error();
    // Nothing that the line says is lost or changed; what it does not say yet has its default.
    auto again = nlohmann::json::parse(to_json(*record));
    again.merge_patch(nlohmann::json::parse(line));
    EXPECT_EQ(again, nlohmann::json::parse(to_json(*record))) << line;
    kinds.insert(name_of(record->event));
  }
  EXPECT_EQ(lines, 27u);
  EXPECT_EQ(kinds.size(), 27u);
}

} // namespace
