// Names in a real lab: the same target by each procedure, with a real DNS server and a real
// KDC, and what comes of each.
#include "shim/diagnosis/diagnose.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/tsql.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace {

using namespace testing;

/// `sqlshim explain` of the lab's route `alias` (target sqlalias.corp.test), with more keys in it, or another
/// target, or more tables, or more arguments.
struct Explained {
  int status = 0;
  std::vector<shim::Record> trail;
  std::string output;

  template <class Kind> std::vector<Kind> all() const { return test::events_of<Kind>(trail); }
  std::vector<std::string> spns() const {
    std::vector<std::string> spns;
    for (const auto &tried : all<shim::SpnTried>())
      spns.push_back(std::string(spelling(tried.why.value())) + " " +
                     tried.spn.substr(0, tried.spn.rfind('@')) + " " +
                     std::string(spelling(tried.outcome.value())));
    return spns;
  }
  std::string cause() const {
    return output.empty()
               ? ""
               : nlohmann::json::parse(output).value("/diagnosis/cause"_json_pointer, std::string());
  }
};

Explained explain(const lab::Lab &lab, const std::string &keys,
                  const std::string &host = "sqlalias.corp.test", const std::string &tables = "",
                  const std::vector<std::string> &arguments = {}) {
  std::string toml = lab::read_file(lab.folder() / "sqlshim.toml");
  const std::string was = "target = \"sqlalias.corp.test";
  const auto at = toml.find(was);
  EXPECT_NE(at, std::string::npos) << toml;
  toml.replace(at, was.size(), keys + "target = \"" + host);
  const auto file = lab.folder() / "names.toml";
  lab::write_file(file, toml + tables);
  lab::Command command;
  command.argv = {"sh",
                  "-c",
                  "exec \"$0\" explain \"$@\" 2>/dev/null",
                  lab::program_folder() / "sqlshim",
                  host,
                  "--config",
                  file,
                  "--route",
                  "alias",
                  "--json"};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.environment = lab.environment();
  auto ran = lab::run(std::move(command));
  Explained explained{ran.status, {}, ran.output};
  std::string lines;
  for (const auto &record : nlohmann::json::parse(ran.output)["records"])
    lines += record.dump() + "\n";
  explained.trail = test::records_of(lines);
  return explained;
}

TEST(Names, TheSameAliasByEachProcedure) {
  lab::Lab lab({.serve = false});
  const std::string port = ":" + std::to_string(lab.sql_port());
  for (const auto *procedure : {"forward", "forward-reverse"}) {
    SCOPED_TRACE(procedure);
    const auto ran = explain(lab, "names = [\"" + std::string(procedure) + "\"]\n");
    EXPECT_EQ(ran.status, 0) << ran.output;
    EXPECT_THAT(ran.spns(), Contains("port MSSQLSvc/sql1.corp.test" + port + " ticket"));
    EXPECT_EQ(ran.all<shim::TargetResolved>().at(0).by, procedure);
  }
  const auto typed = explain(lab, "names = [\"as-typed\"]\nspn_order = [\"port\"]\n");
  EXPECT_EQ(typed.status, 1);
  EXPECT_THAT(typed.spns(), ElementsAre("port MSSQLSvc/sqlalias.corp.test" + port + " refused"));
  EXPECT_EQ(typed.cause(), "alias-not-canonical") << typed.output;
  const auto mapped =
      explain(lab, "names = [\"map\"]\nmap = [{ from = \"sqlalias*\", to = \"sql1.corp.test\" }]\n");
  EXPECT_EQ(mapped.status, 0) << mapped.output;
}

TEST(Names, AnUnknownCandidateLeadsToTheNext) {
  lab::Lab lab({.serve = false});
  const std::string port = ":" + std::to_string(lab.sql_port());
  const auto ran = explain(lab, "spn_order = [\"typed\", \"port\"]\n");
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_THAT(ran.spns(), ElementsAre("typed MSSQLSvc/sqlalias.corp.test" + port + " refused",
                                      "port MSSQLSvc/sql1.corp.test" + port + " ticket"));
}

TEST(Names, AddressByItsPtrOrNotAtAll) {
  lab::Lab lab({.serve = false});
  const auto address = lab.block().server(0);
  const auto reversed = explain(lab, "names = [\"reverse\"]\n", address);
  EXPECT_EQ(reversed.status, 0) << reversed.output;
  EXPECT_EQ(reversed.all<shim::TargetResolved>().at(0).fqdn, "sql1.corp.test");
  const auto plain = explain(lab, "", address);
  EXPECT_EQ(plain.status, 1);
  EXPECT_EQ(plain.cause(), "address-without-spn") << plain.output;
}

TEST(Names, AShortNameThatTheSearchListLeadsAstray) {
  lab::Lab lab({.fault = "suffix-wrong", .serve = false});
  const auto ran =
      lab::run({.argv = {lab::program_folder() / "sqlshim", "explain", "sql1", "--route", "reports"},
                .environment = lab.environment()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.output, AllOf(HasSubstr("suffix-wrong (to be mended at: configuration)"),
                                HasSubstr(fmt::format("MSSQLSvc/sql1.other.test:{}", lab.sql_port()))));
}

TEST(Names, DnsMayNotLeadOutOfTheBounds) {
  lab::Lab lab({.serve = false});
  EXPECT_EQ(explain(lab, "canonical_within = [\"corp.test\"]\n").status, 0);
  const auto foreign = explain(lab, "canonical_within = [\"other.test\"]\n");
  EXPECT_EQ(foreign.status, 1);
  EXPECT_EQ(foreign.cause(), "canonical-name-foreign") << foreign.output;
  EXPECT_THAT(foreign.spns(), IsEmpty()) << "no KDC is asked for a foreign name";
}

TEST(Names, AnAliasIsReplacedBeforeAnythingElse) {
  lab::Lab lab({.serve = false});
  const auto conf = lab.folder() / "aliases.conf";
  lab::write_file(conf, "[old]\nhost = sqlalias.corp.test\nport = " + std::to_string(lab.sql_port()) + "\n");
  const std::string tables = "[aliases]\nweb = \"sqlalias.corp.test\"\nfreetds_conf = \"aliases.conf\"\n";
  const auto web = explain(lab, "", "WEB", tables);
  EXPECT_EQ(web.status, 0) << web.output;
  ASSERT_EQ(web.all<shim::TargetAliased>().size(), 1u);
  const auto aliased = web.all<shim::TargetAliased>().front();
  EXPECT_THAT((std::vector{aliased.from, aliased.to, aliased.by}),
              ElementsAre("web", "sqlalias.corp.test", "aliases"));
  EXPECT_EQ(web.all<shim::TargetResolved>().at(0).typed, "WEB");
  EXPECT_EQ(web.all<shim::TargetResolved>().at(0).fqdn, "sql1.corp.test");
  EXPECT_EQ(nlohmann::json::parse(web.output).value("/names/own/canonical"_json_pointer, std::string()),
            "sql1.corp.test");
  const auto old = explain(lab, "", "old", tables);
  EXPECT_EQ(old.status, 0) << old.output;
  ASSERT_EQ(old.all<shim::TargetAliased>().size(), 1u);
  EXPECT_EQ(old.all<shim::TargetAliased>().front().by, conf.string());
  EXPECT_THAT(explain(lab, "", "sqlalias.corp.test", tables).all<shim::TargetAliased>(), IsEmpty());
}

TEST(Names, TheNameThatADriverWouldUse) {
  lab::Lab lab({.serve = false});
  const auto follows = explain(lab, "names = \"driver:go-mssqldb\"\n");
  EXPECT_EQ(follows.status, 0) << follows.output;
  EXPECT_EQ(follows.all<shim::TargetResolved>().at(0).by, "driver:go-mssqldb");
  const auto does_not = explain(lab, "names = [\"driver:freetds\"]\nspn_order = [\"port\"]\n");
  EXPECT_EQ(does_not.status, 1);
  EXPECT_EQ(does_not.all<shim::TargetResolved>().at(0).fqdn, "sqlalias.corp.test");
  EXPECT_THAT(does_not.spns(), ElementsAre(HasSubstr("MSSQLSvc/sqlalias.corp.test:")));
}

// The server's realm is known to nobody here but the KDC of the identity's own.
TEST(Names, AReferralLeadsToTheRealmOfTheServer) {
  lab::Lab lab({.cnames = {{"sqlalias.corp.test", "sql9.partner.test"}}, .serve = false});
  if (lab.sql_port() != 1433) GTEST_SKIP() << "port 1433 is taken: the portless SPN is another service's";
  lab::Realm partner(
      lab.folder() / "partner", lab.block(),
      {.name = "PARTNER.TEST", .domain = "partner.test", .kdc_address = lab.block().address(5)});
  for (auto *realm : {&lab.realm(), &partner})
    realm->add_principal("krbtgt/PARTNER.TEST@CORP.TEST", "shared-between-the-realms");
  partner.add_spn("MSSQLSvc/sql9.partner.test");
  partner.ktadd(lab.folder() / "peer.keytab", "MSSQLSvc/sql9.partner.test");

  const auto krb5_conf = lab.realm().krb5_conf();
  const auto known = lab::read_file(krb5_conf) +
                     "[realms]\n PARTNER.TEST = {\n  kdc = " + partner.kdc_address() + ":" +
                     std::to_string(partner.kdc_port()) + "\n }\n";
  lab::write_file(lab.folder() / "client.conf", known);
  lab.realm().stop_kdc();
  lab::write_file(krb5_conf, known + "[domain_realm]\n .partner.test = PARTNER.TEST\n");
  lab.realm().start_kdc();
  const auto config = lab.folder() / "sqlshim.toml";
  auto toml = lab::read_file(config);
  const std::string was = "config = \"krb5.conf\"";
  ASSERT_NE(toml.find(was), std::string::npos) << toml;
  lab::write_file(config, toml.replace(toml.find(was), was.size(), "config = \"client.conf\""));

  const auto ran = explain(lab, "", "sqlalias.corp.test", "", {"--connect"});
  EXPECT_EQ(ran.status, 0) << ran.output;
  // MIT refers no SPN with a port; the portless one it does.
  EXPECT_THAT(ran.spns(), ElementsAre("port MSSQLSvc/sql9.partner.test:1433 refused",
                                      "bare MSSQLSvc/sql9.partner.test ticket"));
  EXPECT_EQ(ran.all<shim::SpnTried>().back().realm_from, auth::RealmFrom::referral);
  EXPECT_EQ(ran.all<shim::KdcAnswered>().back().realm, "PARTNER.TEST");
}

} // namespace
