// `sqlshim explain --as`: what each client driver would make of a name, in labs whose DNS differs.
#include "tools/lab/lab.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <set>

namespace {

using namespace testing;

struct Told {
  int status = 0;
  std::string text; ///< for a person
  nlohmann::json drivers;
  nlohmann::json diagnosis;

  const nlohmann::json &row(const std::string &driver) const {
    return *std::ranges::find(drivers["rows"], driver,
                              [](const auto &one) { return one["driver"].template get<std::string>(); });
  }
  std::vector<std::string> spns(const std::string &driver) const {
    std::vector<std::string> result;
    for (const auto &one : row(driver)["spns"])
      result.push_back(one["spn"]);
    return result;
  }
};

/// In a lab of its own, as a user types it.
Told explain(lab::LabOptions options, const std::string &target) {
  options.serve = false;
  lab::Lab lab(std::move(options));
  const auto port = lab.sql_port() == 1433 ? "" : "," + std::to_string(lab.sql_port());
  const auto run = [&](const std::string &more) {
    return lab::run({.argv = {"sh", "-c", "exec \"$0\" explain \"$1\" --as all " + more + " 2>/dev/null",
                              lab::program_folder() / "sqlshim", target + port},
                     .environment = lab.environment()});
  };
  const auto json = run("--json");
  const auto parsed = nlohmann::json::parse(json.output, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << json.output;
  return {json.status, run("").output, parsed.value("drivers", nlohmann::json()),
          parsed.value("diagnosis", nlohmann::json())};
}

/// Profiles whose SPNs differ; each lab has its own addresses, which count as one.
std::set<std::string> changed(const Told &before, const Told &after) {
  std::set<std::string> result;
  for (const auto &row : before.drivers["rows"])
    if (const std::string driver = row["driver"]; before.spns(driver) != after.spns(driver))
      result.insert(driver);
  return result;
}

TEST(Drivers, AnAliasAndWhoFollowsIt) {
  const auto plain = explain({}, "sqlalias.corp.test");
  EXPECT_EQ(plain.status, 0) << plain.text;
  EXPECT_GE(plain.drivers["rows"].size(), 14u);
  EXPECT_THAT(plain.drivers["chain"], ElementsAre("sqlalias.corp.test", "sql1.corp.test"));
  EXPECT_THAT(plain.text, HasSubstr("CNAME chain  sqlalias.corp.test -> sql1.corp.test"));
  EXPECT_TRUE(plain.row("go-mssqldb")["works"]);
  EXPECT_FALSE(plain.row("freetds")["works"]);
  EXPECT_THAT(plain.row("freetds")["spns"][0]["suspicion"].get<std::string>(), StartsWith("CNAME: "));
  std::set<std::string> different;
  for (const auto &row : plain.drivers["rows"])
    for (const auto &one : row["spns"])
      different.insert(one["spn"].get<std::string>());
  EXPECT_GE(different.size(), 4u);

  const auto other = explain({.cnames = {{"sqlalias.corp.test", "a.b.corp.test"}}}, "sqlalias.corp.test");
  EXPECT_THAT(changed(plain, other), UnorderedElementsAre("sqlclient", "sqlclient-before-4180", "go-mssqldb",
                                                          "mit-canon", "mit-fallback"));
  EXPECT_TRUE(other.row("jtds")["works"]) << "the PTR is as it was";
  EXPECT_EQ(other.status, 1) << "our own candidate follows the CNAME";

  const auto nameless = explain({.no_ptr = true}, "sqlalias.corp.test");
  EXPECT_THAT(changed(plain, nameless), UnorderedElementsAre("jtds"))
      << "the others come to the same by the CNAME";
  std::set<std::string> otherwise; // came to their name in another way
  for (const auto &row : plain.drivers["rows"])
    if (row["reason"].get<std::string>().contains("PTR")) otherwise.insert(row["driver"].get<std::string>());
  EXPECT_THAT(otherwise, UnorderedElementsAre("windows-sni", "jtds", "mit-canon-rdns", "mit-fallback-rdns"));
  for (const auto &driver : otherwise)
    EXPECT_THAT(nameless.row(driver)["reason"].get<std::string>(), HasSubstr("has no PTR: nxdomain"))
        << driver;
  EXPECT_EQ(nameless.status, 0);
}

TEST(Drivers, APtrThatLiesIsTheCauseForThoseThatUseIt) {
  const auto told = explain({.fault = "ptr-wrong"}, "sql1");
  EXPECT_EQ(told.status, 0) << told.text;
  EXPECT_TRUE(told.diagnosis.is_null()) << "our candidate works";
  std::set<std::string> blamed;
  for (const auto &row : told.drivers["rows"])
    if (!row["works"] && row["spns"][0]["suspicion"].get<std::string>().starts_with("PTR: "))
      blamed.insert(row["driver"].get<std::string>());
  EXPECT_THAT(blamed, UnorderedElementsAre("windows-sni", "jtds", "mssql-rs", "mit-canon-rdns"));
  EXPECT_THAT(told.text, ContainsRegex("jtds .*FAILS: PTR: .* is sql1.dns.corp.test"));
}

TEST(Drivers, AWrongSuffixLeadsThoseAstrayThatCompleteShortNames) {
  const auto told = explain({.fault = "suffix-wrong"}, "sql1");
  EXPECT_EQ(told.status, 1) << "us too";
  EXPECT_EQ(told.diagnosis["cause"], "suffix-wrong") << told.text;
  std::set<std::string> blamed;
  for (const auto &row : told.drivers["rows"]) {
    for (const auto &one : row["spns"])
      EXPECT_FALSE(one["ticket"] && one["spn"].get<std::string>().contains("other.test")) << row;
    if (row["spns"][0]["suspicion"].get<std::string>().starts_with("search list: "))
      blamed.insert(row["driver"]);
  }
  EXPECT_THAT(blamed, UnorderedElementsAre("sqlclient", "sqlclient-before-4180", "go-mssqldb", "freetds",
                                           "mit-canon", "mit-fallback-rdns", "mit-fallback", "mit-as-typed",
                                           "msodbcsql", "pytds"));
  EXPECT_TRUE(told.row("jtds")["works"]) << "the PTR is right";
  const auto full = explain({.fault = "suffix-wrong"}, "sql1.corp.test");
  EXPECT_EQ(full.status, 0) << full.text;
}

TEST(Drivers, OneDriverOrNone) {
  lab::Lab lab({.serve = false});
  const auto run = [&](const std::string &driver) {
    return lab::run({.argv = {lab::program_folder() / "sqlshim", "explain", "sql1.corp.test", "--as", driver},
                     .environment = lab.environment()});
  };
  const auto one = run("jtds");
  EXPECT_EQ(one.status, 0);
  EXPECT_THAT(one.output, AllOf(ContainsRegex("jtds +sql1.corp.test"), Not(HasSubstr("tiberius"))));
  const auto none = run("odbc");
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.output, AllOf(HasSubstr("there is no such driver"), HasSubstr("mssql-jdbc")));
}

} // namespace
