// Names in a real lab: the same target by each procedure, with a real DNS server and a real KDC, and what comes of each.
#include "shim/diagnosis/diagnose.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/tsql.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace {

using namespace testing;

/// `sqlshim explain` of the lab's route `alias` (target sqlalias.corp.test), with more keys in it, or another target.
struct Explained {
  int status = 0;
  std::vector<shim::Record> trail;
  std::string output;

  template <class Kind> std::vector<Kind> all() const { return test::events_of<Kind>(trail); }
  std::vector<std::string> spns() const {
    std::vector<std::string> spns;
    for (const auto &tried : all<shim::SpnTried>())
      spns.push_back(tried.why + " " + tried.spn.substr(0, tried.spn.rfind('@')) + " " + tried.outcome);
    return spns;
  }
  std::string cause() const {
    return output.empty() ? "" : nlohmann::json::parse(output).value("/diagnosis/cause"_json_pointer, std::string());
  }
};

Explained explain(const lab::Lab &lab, const std::string &keys, const std::string &host = "sqlalias.corp.test") {
  std::string toml = lab::read_file(lab.folder() / "sqlshim.toml");
  const std::string was = "target = \"sqlalias.corp.test";
  const auto at = toml.find(was);
  EXPECT_NE(at, std::string::npos) << toml;
  toml.replace(at, was.size(), keys + "target = \"" + host);
  const auto file = lab.folder() / "names.toml";
  lab::write_file(file, toml);
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
  const auto mapped = explain(lab, "names = [\"map\"]\nmap = [{ from = \"sqlalias*\", to = \"sql1.corp.test\" }]\n");
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
  const auto ran = lab::run({.argv = {lab::program_folder() / "sqlshim", "explain", "sql1", "--route", "reports"},
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

} // namespace
