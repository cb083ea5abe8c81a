#include "shim/login/rehearsal.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

// explain itself is tested with real parts in tests/component. Here: which policy a
// target gets, and the document.

namespace shim_test {
namespace {

using namespace shim;
using namespace testing;

config::Config config_with(const std::vector<std::pair<std::string, std::string>> &routes) {
  config::Config config;
  for (const char *name : {"first", "second"}) {
    config::Identity identity;
    identity.name = name;
    config.identities.push_back(identity);
  }
  for (const auto &[name, target] : routes) {
    config::Route route;
    route.name = name;
    route.target = target;
    route.identity = "second";
    route.spn = "of " + name;
    config.routes.push_back(route);
  }
  return config;
}

/// Name and target of the route that is chosen, or the complaint.
std::string chosen(const config::Config &config, const std::string &target, const std::string &name = "") {
  auto route = choose_route(config, target, name);
  return route ? route->name + " " + route->target + " " + route->identity + " " + route->spn : route.error();
}

TEST(ChooseRoute, TheFirstWithTheSameTarget) {
  auto config =
      config_with({{"a", "sql1.corp.test"}, {"b", "SQL2,1433"}, {"c", "sql2"}, {"d", "sql3\\INST"}});
  EXPECT_EQ(chosen(config, "sql1.corp.test"), "a sql1.corp.test second of a");
  EXPECT_EQ(chosen(config, "tcp:SQL1.Corp.Test,1433"), "a tcp:SQL1.Corp.Test,1433 second of a");
  EXPECT_EQ(chosen(config, "sql2"), "b sql2 second of b") << "the first one of two";
  EXPECT_EQ(chosen(config, "sql3\\inst"), "d sql3\\inst second of d");
}

TEST(ChooseRoute, DefaultsWithTheFirstIdentity) {
  auto config = config_with({{"a", "sql1,1434"}, {"b", "sql3\\INST"}});
  for (const char *target : {"sql1", "sql9", "sql3", "sql3\\OTHER", "sql3\\INST,1433"})
    EXPECT_EQ(chosen(config, target), " " + std::string(target) + " first ") << target;
  EXPECT_EQ(choose_route(config, "sql9", "")->attempts, config::Route().attempts);

  config.identities.clear();
  EXPECT_THAT(chosen(config, "sql9"), HasSubstr("no [[identity]]"));
}

TEST(ChooseRoute, ByName) {
  auto config = config_with({{"a", "sql1"}, {"b", "sql2"}});
  EXPECT_EQ(chosen(config, "", "b"), "b sql2 second of b");
  EXPECT_EQ(chosen(config, "sql1", "b"), "b sql1 second of b") << "another target under this policy";
  EXPECT_THAT(chosen(config, "", "z"), AllOf(HasSubstr("\"z\""), HasSubstr("a, b")));
}

TEST(ChooseRoute, NothingToChooseBy) {
  auto config = config_with({{"a", "sql1"}});
  EXPECT_THAT(chosen(config, ""), HasSubstr("TARGET"));
  EXPECT_THAT(chosen(config, "lpc:sql1"), AllOf(HasSubstr("lpc:sql1"), HasSubstr("shared memory")));
  EXPECT_THAT(chosen(config, "sql1,99999", "a"), HasSubstr("sql1,99999"));
}

TEST(ToJson, OneDocumentWithTheEventsAndTheDiagnosis) {
  Explanation explanation;
  explanation.target = "sql\"1\x1b\u202e";
  explanation.route = "a";
  explanation.identity = "first";
  Record record;
  record.conn = "7f3a01c2";
  record.seq = 1;
  record.event = PlanMade{{"tcp+kerberos"}};
  explanation.records = {record, record};

  auto json = nlohmann::json::parse(to_json(explanation));
  EXPECT_EQ(json["v"], 1);
  EXPECT_EQ(json["target"], explanation.target);
  EXPECT_EQ(json["route"], "a");
  EXPECT_EQ(json["identity"], "first");
  EXPECT_EQ(json["connect"], false);
  EXPECT_EQ(json["records"].size(), 2u);
  EXPECT_EQ(json["records"][1]["event"], "plan.made");
  EXPECT_TRUE(json["diagnosis"].is_null());
  EXPECT_THAT(to_json(explanation), AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\u202e"))));

  Diagnosis diagnosis;
  diagnosis.cause = Cause::spn_missing;
  diagnosis.fault = Fault::directory;
  diagnosis.said = "no \xff UTF-8";
  diagnosis.remedy = "setspn";
  explanation.diagnosis = diagnosis;
  json = nlohmann::json::parse(to_json(explanation))["diagnosis"];
  EXPECT_EQ(json["cause"], "spn-missing");
  EXPECT_EQ(json["fault"], "directory");
  EXPECT_EQ(json["said"], "no \ufffd UTF-8");
  EXPECT_EQ(json["remedy"], "setspn");
}

} // namespace
} // namespace shim_test
