#include "auth/driver.hpp"

#include <gmock/gmock.h>
#include <map>

// DNS data in, SPNs out. Each row of the drivers' behaviour, and the cases that people reported in public.

namespace auth {
namespace {

using namespace testing;

/// A DNS server that knows a few records. Names without a record do not exist.
struct Zone {
  std::map<std::string, std::string> a;     ///< name to address
  std::map<std::string, std::string> cname; ///< alias to name
  std::map<std::string, std::string> ptr;   ///< address to name
  std::vector<std::string> srv;             ///< realms with _kerberos._udp
  std::vector<std::string> search = {"corp.test"};
  std::vector<std::string> asked = {};

  DnsAnswer answer(const DnsQuestion &question) {
    asked.push_back(std::string(to_string(question.type)) + " " + question.name);
    DnsAnswer answer;
    answer.question = question;
    answer.outcome = DnsOutcome::no_name;
    const auto add = [&](const std::string &name, DnsType type, const std::string &data) {
      answer.outcome = DnsOutcome::ok;
      answer.records.push_back({name, type, data, std::chrono::seconds(60)});
    };
    if (question.type == DnsType::ptr) {
      for (const auto &[address, name] : ptr)
        if (question.name == reversed(address)) add(question.name, DnsType::ptr, name);
    } else if (question.type == DnsType::srv) {
      for (const auto &realm : srv)
        if (question.name == "_kerberos._udp." + realm)
          add(question.name, DnsType::srv, "0 100 88 dc1." + realm);
    } else {
      auto name = question.name;
      for (int link = 0; link < 8 && cname.contains(name); ++link) {
        add(name, DnsType::cname, cname.at(name));
        name = cname.at(name);
      }
      if (a.contains(name) && question.type == DnsType::a) add(name, DnsType::a, a.at(name));
      if (a.contains(name) && question.type == DnsType::aaaa) answer.outcome = DnsOutcome::no_data;
    }
    return answer;
  }
  static std::string reversed(const std::string &address) {
    std::string name = "in-addr.arpa", rest = address + ".";
    for (std::size_t dot; (dot = rest.find('.')) != rest.npos; rest.erase(0, dot + 1))
      name = rest.substr(0, dot) + "." + name;
    return name;
  }

  DriverFacts facts(const std::string &typed) {
    DriverQuestions questions(*parse_target(typed), {search, 1});
    for (int step = 0; step < 20; ++step) {
      auto next = questions.next();
      if (auto *facts = std::get_if<DriverFacts>(&next)) return std::move(*facts);
      std::vector<DnsAnswer> answers;
      for (const auto &question : std::get<AskDns>(next).questions)
        answers.push_back(answer(question));
      questions.answer(std::move(answers));
    }
    ADD_FAILURE() << "the questions do not end";
    return {};
  }
};

Zone corp() {
  return {.a = {{"sql1.corp.test", "10.0.0.1"}},
          .cname = {{"sqlalias.corp.test", "sql1.corp.test"}},
          .ptr = {{"10.0.0.1", "sql1.corp.test"}},
          .srv = {}};
}

constexpr MitNaming as_given{MitNaming::Canonicalise::never, false};
constexpr MitNaming by_default{};

std::vector<std::string> spns(std::string_view driver, const DriverFacts &facts,
                              const MitNaming &mit = as_given) {
  std::vector<std::string> result;
  for (const auto &one : predict(*find_driver(driver), facts, mit).spns)
    result.push_back(one.spn);
  return result;
}

std::string svc(const std::string &rest) { return "MSSQLSvc/" + rest; }

TEST(Drivers, all_of_the_reference_are_there_and_no_other) {
  std::vector<std::string_view> ids;
  for (const auto &driver : drivers())
    ids.push_back(driver.id);
  EXPECT_THAT(ids,
              ElementsAre("msodbcsql", "windows-sni", "sqlclient", "sqlclient-before-4180", "mssql-jdbc",
                          "go-mssqldb", "freetds", "pytds", "tiberius", "jtds", "mssql-rs", "mit-canon-rdns",
                          "mit-canon", "mit-fallback-rdns", "mit-fallback", "mit-as-typed"));
  EXPECT_EQ(find_driver("odbc"), nullptr);
}

TEST(Drivers, a_pipe_has_no_port_and_few_speak_it) {
  for (const auto &[typed, service] :
       {std::pair("np:sql1.corp.test", svc("sql1.corp.test")),
        {R"(\\sql1.corp.test\pipe\MSSQL$INST\sql\query)", svc("sql1.corp.test:INST")}}) {
    SCOPED_TRACE(typed);
    const auto facts = corp().facts(typed);
    for (const auto *driver : {"windows-sni", "sqlclient", "sqlclient-before-4180"})
      EXPECT_THAT(spns(driver, facts), ElementsAre(service)) << driver;
    EXPECT_THAT(predict(*find_driver("mssql-jdbc"), facts, as_given).reason,
                HasSubstr("does not speak named pipes"));
    EXPECT_THAT(spns("mssql-jdbc", facts), IsEmpty());
  }
}

TEST(Drivers, an_alias_and_a_right_ptr) {
  const auto facts = corp().facts("sqlalias.corp.test");
  const auto real = svc("sql1.corp.test:1433"), alias = svc("sqlalias.corp.test:1433");
  EXPECT_THAT(spns("msodbcsql", facts), ElementsAre(alias));
  EXPECT_THAT(spns("msodbcsql", facts, by_default), ElementsAre(real));
  EXPECT_THAT(spns("windows-sni", facts), ElementsAre(real));
  EXPECT_THAT(spns("sqlclient", facts), ElementsAre(svc("sql1.corp.test"), real));
  EXPECT_THAT(spns("mssql-jdbc", facts), ElementsAre(alias));
  EXPECT_THAT(spns("go-mssqldb", facts), ElementsAre(real));
  EXPECT_THAT(spns("freetds", facts), ElementsAre(alias));
  EXPECT_THAT(spns("pytds", facts), ElementsAre(alias));
  EXPECT_THAT(spns("tiberius", facts), ElementsAre(alias));
  EXPECT_THAT(spns("jtds", facts), ElementsAre(real));
  EXPECT_THAT(spns("mssql-rs", facts), ElementsAre(svc("sqlalias.corp.test")));
  EXPECT_THAT(spns("mit-canon-rdns", facts), ElementsAre(real));
  EXPECT_THAT(spns("mit-canon", facts), ElementsAre(real));
  EXPECT_THAT(spns("mit-fallback-rdns", facts), ElementsAre(alias, real));
  EXPECT_THAT(spns("mit-fallback", facts), ElementsAre(alias, real));
  EXPECT_THAT(spns("mit-as-typed", facts), ElementsAre(alias));
}

TEST(Drivers, a_short_name) {
  const auto facts = corp().facts("SQL1");
  const auto full = svc("sql1.corp.test:1433");
  EXPECT_THAT(spns("tiberius", facts), ElementsAre(svc("SQL1:1433")));
  EXPECT_THAT(spns("mssql-jdbc", facts), ElementsAre(svc("SQL1:1433")));
  EXPECT_THAT(spns("freetds", facts), ElementsAre(svc("SQL1.corp.test:1433")))
      << "as the KDC's log showed of tsql";
  EXPECT_THAT(spns("go-mssqldb", facts), ElementsAre(full));
  EXPECT_THAT(spns("mssql-rs", facts), ElementsAre(svc("sql1.corp.test")));
  EXPECT_THAT(spns("mit-as-typed", facts), ElementsAre(full)) << "qualify_shortname";
  EXPECT_EQ(predict(*find_driver("freetds"), facts, as_given).spns.front().source, NameSource::search);
}

TEST(Drivers, only_those_that_ask_for_it_change_without_ptr) {
  auto zone = corp();
  const auto with = zone.facts("sqlalias.corp.test");
  zone.ptr.clear();
  const auto without = zone.facts("sqlalias.corp.test");
  EXPECT_EQ(without.ptr_fault, "nxdomain");
  std::vector<std::string_view> changed;
  for (const auto &driver : drivers())
    if (predict(driver, with, as_given) != predict(driver, without, as_given)) changed.push_back(driver.id);
  EXPECT_THAT(changed, ElementsAre("windows-sni", "jtds", "mit-canon-rdns", "mit-fallback-rdns"));
  EXPECT_THAT(spns("jtds", without), ElementsAre(svc("10.0.0.1:1433"))) << "Java gives the address as text";
  EXPECT_THAT(spns("windows-sni", without), ElementsAre(svc("sql1.corp.test:1433")));
}

TEST(Drivers, only_those_that_follow_it_change_with_the_cname) {
  auto zone = corp();
  const auto before = zone.facts("sqlalias.corp.test");
  zone.cname["sqlalias.corp.test"] = "a.b.corp.test";
  zone.a["a.b.corp.test"] = "10.0.0.1";
  const auto after = zone.facts("sqlalias.corp.test");
  std::vector<std::string_view> changed;
  for (const auto &driver : drivers())
    if (spns(driver.id, before) != spns(driver.id, after)) changed.push_back(driver.id);
  EXPECT_THAT(changed,
              ElementsAre("sqlclient", "sqlclient-before-4180", "go-mssqldb", "mit-canon", "mit-fallback"));
}

TEST(Drivers, a_ptr_that_lies_is_the_cause_where_it_is_used) {
  auto zone = corp();
  zone.ptr["10.0.0.1"] = "sql1.dns.corp.test";
  const auto facts = zone.facts("sql1.corp.test");
  const auto windows = predict(*find_driver("windows-sni"), facts, as_given).spns.front();
  EXPECT_EQ(windows.spn, svc("sql1.dns.corp.test:1433")) << "the article's extra label";
  EXPECT_THAT(suspicion(windows, facts), StartsWith("PTR: 10.0.0.1 is sql1.dns.corp.test in DNS"));
  const auto jtds = predict(*find_driver("jtds"), facts, as_given).spns.front();
  EXPECT_EQ(jtds.spn, svc("10.0.0.1:1433")) << "Java does not believe a name that does not lead back";
  EXPECT_THAT(suspicion(jtds, facts), StartsWith("PTR: 10.0.0.1 is sql1.dns.corp.test"));
  EXPECT_THAT(spns("go-mssqldb", facts), ElementsAre(svc("sql1.corp.test:1433")));

  zone.a["sql1.dns.corp.test"] = "10.0.0.1";
  EXPECT_THAT(spns("jtds", zone.facts("sql1.corp.test")), ElementsAre(svc("sql1.dns.corp.test:1433")));
}

TEST(Drivers, an_address) {
  const auto facts = corp().facts("10.0.0.1");
  EXPECT_THAT(spns("sqlclient", facts), ElementsAre(svc("sql1.corp.test"), svc("sql1.corp.test:1433")));
  EXPECT_THAT(spns("mssql-rs", facts), ElementsAre(svc("sql1.corp.test")));
  EXPECT_THAT(spns("jtds", facts), ElementsAre(svc("sql1.corp.test:1433")));
  EXPECT_THAT(spns("freetds", facts), ElementsAre(svc("10.0.0.1:1433")));
  EXPECT_THAT(suspicion(predict(*find_driver("freetds"), facts, as_given).spns.front(), facts),
              StartsWith("address: "));
}

TEST(Drivers, instances_and_ports) {
  auto facts = corp().facts("sql1.corp.test\\INST");
  EXPECT_THAT(spns("go-mssqldb", facts), ElementsAre(svc("sql1.corp.test:INST")));
  EXPECT_THAT(spns("tiberius", facts), IsEmpty()) << "the port is SQL Browser's to tell";
  EXPECT_THAT(predict(*find_driver("tiberius"), facts, as_given).reason, HasSubstr("SQL Browser"));
  facts.browser_port = 50123;
  EXPECT_THAT(spns("tiberius", facts), ElementsAre(svc("sql1.corp.test:50123")));
  EXPECT_THAT(spns("freetds", facts), ElementsAre(svc("sql1.corp.test:50123")))
      << "as the KDC's log showed of tsql 1.3.17";
  EXPECT_THAT(spns("sqlclient", corp().facts("sql1.corp.test,1500")),
              ElementsAre(svc("sql1.corp.test:1500")));
}

TEST(Drivers, nobody_asks_for_a_ticket_without_an_address_to_connect_to) {
  const auto facts = corp().facts("gone.corp.test");
  for (const auto &driver : drivers()) {
    const auto prediction = predict(driver, facts, by_default);
    EXPECT_THAT(prediction.spns, IsEmpty()) << driver.id;
    EXPECT_EQ(prediction.name, "gone.corp.test") << driver.id;
    EXPECT_THAT(prediction.reason, HasSubstr("no address to connect to: gone.corp.test: nxdomain"))
        << driver.id;
  }
}

TEST(Drivers, loopback_is_localhost_where_dns_knows_no_better) {
  for (const std::string target : {"localhost", "127.0.0.1", "[::1]"})
    EXPECT_THAT(spns("jtds", corp().facts(target)), ElementsAre(svc("localhost:1433"))) << target;
  EXPECT_THAT(spns("freetds", corp().facts("127.0.0.1")), ElementsAre(svc("127.0.0.1:1433")));
  EXPECT_THAT(spns("jtds", corp().facts("127.0.0.2")), ElementsAre(svc("127.0.0.2:1433")))
      << "it stands in no hosts file";
  auto zone = corp();
  zone.ptr["127.0.0.1"] = "box.corp.test";
  zone.a["box.corp.test"] = "127.0.0.1";
  EXPECT_THAT(spns("jtds", zone.facts("127.0.0.1")), ElementsAre(svc("box.corp.test:1433")));
}

TEST(Drivers, a_trailing_dot_stays_where_the_name_is_taken_as_typed) {
  auto zone = corp();
  zone.srv = {"corp.test"};
  const auto facts = zone.facts("sql1.corp.test.");
  EXPECT_THAT(spns("freetds", facts), ElementsAre(svc("sql1.corp.test.:1433")));
  EXPECT_THAT(spns("mssql-jdbc", facts), ElementsAre(svc("sql1.corp.test.:1433@CORP.TEST.")))
      << "its realm too";
  EXPECT_THAT(spns("jtds", facts), ElementsAre(svc("sql1.corp.test:1433")));
}

TEST(Drivers, every_question_is_asked_once) {
  auto zone = corp();
  zone.facts("sqlalias.corp.test");
  EXPECT_THAT(zone.asked,
              ElementsAre("A sqlalias.corp.test", "AAAA sqlalias.corp.test", "PTR 1.0.0.10.in-addr.arpa",
                          "SRV _kerberos._udp.sqlalias.corp.test", "SRV _kerberos._udp.corp.test",
                          "SRV _kerberos._udp.test", "A sql1.corp.test", "AAAA sql1.corp.test",
                          "SRV _kerberos._udp.sql1.corp.test"));
}

// ---- Reported in public ----

// A named instance over TCP: SqlClient asked for host:INSTANCE, and only host:port was registered. PR#4180
// asks for the resolved port.
void named_instance_by_its_name() {
  auto facts = corp().facts("sql1.corp.test\\INST");
  facts.browser_port = 50123;
  EXPECT_THAT(spns("sqlclient-before-4180", facts), ElementsAre(svc("sql1.corp.test:INST")));
  EXPECT_THAT(spns("sqlclient", facts), ElementsAre(svc("sql1.corp.test:50123")));
}
TEST(PublicCases, sqlclient_2187) { named_instance_by_its_name(); }
TEST(PublicCases, sqlclient_3566) { named_instance_by_its_name(); }

// An alias that is a full name in a realm with SRV records is never canonicalised.
TEST(PublicCases, mssql_jdbc_1296) {
  auto zone = corp();
  zone.srv = {"corp.test"};
  EXPECT_THAT(spns("mssql-jdbc", zone.facts("sqlalias.corp.test")),
              ElementsAre(svc("sqlalias.corp.test:1433@CORP.TEST")));
  // An alias outside of every realm is: by the PTR.
  zone.cname["db.example.test"] = "sql1.corp.test";
  EXPECT_THAT(spns("mssql-jdbc", zone.facts("db.example.test")),
              ElementsAre(svc("sql1.corp.test:1433@CORP.TEST")));
}

// Only the portless SPN is registered, or only the one with a port: SqlClient asks for both, in this order;
// the others for the port alone.
void portless_and_port() {
  const auto facts = corp().facts("sql1.corp.test");
  EXPECT_THAT(spns("sqlclient", facts), ElementsAre(svc("sql1.corp.test"), svc("sql1.corp.test:1433")));
  EXPECT_THAT(spns("mssql-jdbc", facts), ElementsAre(svc("sql1.corp.test:1433")));
}
TEST(PublicCases, sqlclient_627) { portless_and_port(); }
TEST(PublicCases, sqlclient_2394) { portless_and_port(); }

// No SPN of the candidates is registered: these are what setspn must add. With a typed port there is one.
TEST(PublicCases, sqlclient_726) {
  EXPECT_THAT(spns("sqlclient", corp().facts("sql1.corp.test,1433"), by_default),
              ElementsAre(svc("sql1.corp.test:1433")));
  EXPECT_THAT(spns("sqlclient", corp().facts("sql1"), by_default),
              ElementsAre(svc("sql1.corp.test"), svc("sql1.corp.test:1433")));
}

// The PTR names something else (a hosts file with the short name first, a container's name): libkrb5 puts
// that into the SPN, unless rdns = false.
TEST(PublicCases, sqlclient_1899) {
  auto zone = corp();
  zone.ptr["10.0.0.1"] = "sql1.bridge.test";
  const auto facts = zone.facts("sql1.corp.test,1433");
  EXPECT_THAT(spns("sqlclient", facts, by_default), ElementsAre(svc("sql1.bridge.test:1433")));
  EXPECT_THAT(spns("sqlclient", facts, {MitNaming::Canonicalise::always, false}),
              ElementsAre(svc("sql1.corp.test:1433")));
}

// An availability group's listener has several addresses; what counts is its own name, and only the PTR of
// one of them would lead elsewhere.
TEST(PublicCases, sqlclient_3954) {
  Zone zone{.a = {{"aglistener.corp.test", "10.0.0.9"}},
            .cname = {},
            .ptr = {{"10.0.0.9", "node2.corp.test"}},
            .srv = {}};
  const auto facts = zone.facts("aglistener.corp.test,1433");
  EXPECT_THAT(spns("sqlclient", facts), ElementsAre(svc("aglistener.corp.test:1433")));
  EXPECT_THAT(spns("sqlclient", facts, by_default), ElementsAre(svc("node2.corp.test:1433")));
}

// An alias in another domain than the realm's, with no SRV record anywhere: taken as typed.
TEST(PublicCases, mssql_jdbc_1454) {
  const auto facts = corp().facts("sqlalias.corp.test");
  const auto prediction = predict(*find_driver("mssql-jdbc"), facts, as_given);
  EXPECT_EQ(prediction.spns,
            (std::vector<PredictedSpn>{{svc("sqlalias.corp.test:1433"), NameSource::typed}}));
  EXPECT_THAT(suspicion(prediction.spns.front(), facts), StartsWith("CNAME: "));
}

// A redirect makes a new target: its SPN is the new host's.
TEST(PublicCases, mssql_jdbc_1646) {
  auto zone = corp();
  zone.a["sql2.corp.test"] = "10.0.0.2";
  EXPECT_THAT(spns("mssql-jdbc", zone.facts("sql2.corp.test,1433")), ElementsAre(svc("sql2.corp.test:1433")));
}

// An address without PTR: nobody has a name for it.
TEST(PublicCases, hugr_mssql_extension_259) {
  auto zone = corp();
  zone.ptr.clear();
  const auto facts = zone.facts("10.0.0.1");
  for (const auto &driver : drivers())
    for (const auto &spn : predict(driver, facts, by_default).spns) {
      EXPECT_THAT(spn.spn, StartsWith("MSSQLSvc/10.0.0.1")) << driver.id;
      EXPECT_THAT(suspicion(spn, facts), StartsWith("address: ")) << driver.id;
    }
}

// A tunnel's own name is what every driver computes from: none can know the server's.
TEST(PublicCases, azuredatastudio_25853) {
  Zone zone;
  for (const auto &driver : drivers()) {
    const auto prediction = predict(driver, zone.facts("localhost,14330"), as_given);
    EXPECT_THAT(prediction.spns, Not(IsEmpty())) << driver.id;
    for (const auto &spn : prediction.spns)
      EXPECT_THAT(spn.spn, StartsWith("MSSQLSvc/localhost")) << driver.id;
  }
}

// A principal name instead of a host-based one: libkrb5 then takes the default realm, wherever the host is.
TEST(PublicCases, freetds_338) {
  Zone zone{.a = {{"rz.eb.test", "10.0.0.8"}},
            .cname = {},
            .ptr = {{"10.0.0.8", "rz.eb.test"}},
            .srv = {"eb.test"}};
  const auto facts = zone.facts("rz.eb.test");
  EXPECT_TRUE(predict(*find_driver("freetds"), facts, by_default).default_realm);
  EXPECT_TRUE(predict(*find_driver("jtds"), facts, by_default).default_realm);
  EXPECT_THAT(spns("freetds", facts), ElementsAre(svc("rz.eb.test:1433")));
  EXPECT_THAT(spns("mssql-jdbc", facts), ElementsAre(svc("rz.eb.test:1433@EB.TEST"))) << "which looks for it";
}

} // namespace
} // namespace auth
