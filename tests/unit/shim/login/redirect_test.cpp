#include "shim/login/redirect.hpp"

#include <gmock/gmock.h>

namespace shim_test {
namespace {

using namespace shim;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> search{"corp.test"};

config::Route route_with(std::vector<std::string> within) {
  config::Route route;
  route.redirect_within = std::move(within);
  return route;
}

/// Followed to this place, or the words of the bound that forbids it.
struct Row {
  const char *name;
  const char *first; ///< the route's target
  std::vector<std::string> within;
  RedirectAsked asked;
  const char *place; ///< empty: refused
  const char *words;
};
void PrintTo(const Row &row, std::ostream *out) { *out << row.name; }

RedirectAsked to(std::string server, std::uint16_t port = 1433) {
  return {
      .server = std::move(server), .port = port, .server_proven = true, .been_to = {"sql1.corp.test,1433"}};
}
RedirectAsked changed(RedirectAsked asked, void (*change)(RedirectAsked &)) {
  change(asked);
  return asked;
}

class FollowRedirect : public testing::TestWithParam<Row> {};

TEST_P(FollowRedirect, KeepsToItsBounds) {
  const auto &row = GetParam();
  const auto followed =
      follow_redirect(route_with(row.within), *auth::parse_target(row.first), search, row.asked);
  if (*row.place) {
    ASSERT_TRUE(followed) << followed.error();
    EXPECT_EQ(place(*followed), row.place);
  } else {
    ASSERT_FALSE(followed) << place(*followed);
    EXPECT_THAT(followed.error(), HasSubstr(row.words));
    EXPECT_THAT(followed.error(), HasSubstr(row.asked.server)) << "it says where the server wanted it to go";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, FollowRedirect,
    testing::Values(
        Row{"OwnDomain", "sql1.corp.test", {}, to("sql2.corp.test"), "sql2.corp.test,1433", ""},
        Row{"OwnDomainDeeper",
            "sql1.corp.test",
            {},
            to("sql2.eu.corp.test", 1500),
            "sql2.eu.corp.test,1500",
            ""},
        Row{"InAnySpelling", "SQL1.Corp.Test.", {}, to("SQL2.CORP.test."), "sql2.corp.test,1433", ""},
        Row{"AnotherPortOfTheSameHost",
            "sql1.corp.test",
            {},
            to("sql1.corp.test", 1434),
            "sql1.corp.test,1434",
            ""},
        Row{"Instance", "sql1.corp.test", {}, to("sql2.corp.test\\INST", 1500), "sql2.corp.test,1500", ""},
        Row{"ShortNames", "sql1", {}, to("sql2"), "sql2,1433", ""},
        Row{"ShortNameToFullName", "sql1", {}, to("sql2.corp.test"), "sql2.corp.test,1433", ""},
        Row{"Listed", "sql1.corp.test", {"other.test"}, to("sql2.other.test"), "sql2.other.test,1433", ""},
        Row{"ListedPasswordGoesOn",
            "sql1.corp.test",
            {"other.test"},
            changed(to("sql2.other.test"), [](auto &asked) { asked.password_goes_on = true; }),
            "sql2.other.test,1433",
            ""},
        Row{"SecondHop",
            "sql1.corp.test",
            {},
            changed(to("sql3.corp.test"), [](auto &asked) { asked.hop = 2; }),
            "sql3.corp.test,1433",
            ""},

        Row{"ForeignDomain", "sql1.corp.test", {}, to("sql1.evil.test"), "", "not below corp.test"},
        Row{"DomainAsPartOfAnother",
            "sql1.corp.test",
            {},
            to("sql2.evilcorp.test"),
            "",
            "not below corp.test"},
        Row{"DomainInFront", "sql1.corp.test", {}, to("corp.test.evil.test"), "", "not below corp.test"},
        Row{"OwnDomainWhereAnotherIsListed",
            "sql1.corp.test",
            {"other.test"},
            to("sql2.corp.test"),
            "",
            "not below other.test"},
        Row{"ShortNameOutsideTheList",
            "sql1.corp.test",
            {"other.test"},
            to("sql2"),
            "",
            "not below other.test"},
        Row{"Address", "sql1.corp.test", {}, to("10.0.0.9"), "", "not below corp.test"},
        Row{"FromAnAddress", "10.0.0.5", {}, to("sql2.corp.test"), "", "no redirect_within"},
        Row{"ThirdHop",
            "sql1.corp.test",
            {},
            changed(to("sql4.corp.test"), [](auto &asked) { asked.hop = 3; }),
            "",
            "more than the 2"},
        Row{"Loop", "sql1.corp.test", {}, to("SQL1.corp.test."), "", "been already"},
        Row{"LoopWithInstance", "sql1.corp.test", {}, to("sql1.corp.test\\X"), "", "been already"},
        Row{"UnprovenServer",
            "sql1.corp.test",
            {},
            changed(to("sql2.corp.test"), [](auto &asked) { asked.server_proven = false; }),
            "",
            "neither mutual authentication nor a verified certificate"},
        Row{"PasswordToADomainThatIsNotListed",
            "sql1.corp.test",
            {},
            changed(to("sql2.corp.test"), [](auto &asked) { asked.password_goes_on = true; }),
            "",
            "redirect_within"},
        Row{"NoName", "sql1.corp.test", {}, to("sql2 corp test"), "", "no server"},
        Row{"NoPort", "sql1.corp.test", {}, to("sql2.corp.test", 0), "", "port"}),
    [](const auto &row) { return std::string(row.param.name); });

TEST(RedirectDomains, AreThoseOfTheNameAsConfigured) {
  const auto domains = [](const char *target, std::vector<std::string> within = {}) {
    return redirect_domains(route_with(std::move(within)), *auth::parse_target(target), {"a.test", "b.test"});
  };
  EXPECT_THAT(domains("sql1.corp.test"), ElementsAre("corp.test"));
  EXPECT_THAT(domains("sql1"), ElementsAre("a.test", "b.test"));
  EXPECT_THAT(domains("sql1.corp.test", {"x.test"}), ElementsAre("x.test"));
  EXPECT_TRUE(domains("10.0.0.5").empty());
}

} // namespace
} // namespace shim_test
