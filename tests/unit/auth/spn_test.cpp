#include "auth/spn.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace auth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

KerberosConfig config() {
  KerberosConfig result;
  result.default_realm = "DEFAULT.TEST"; // never taken: a realm is decided on, not guessed
  result.domain_realm = {{".corp.test", "CORP.TEST"}, {"odd.corp.test", "ODD.TEST"}};
  return result;
}

NameFacts facts(const std::string &canonical) {
  NameFacts result;
  result.canonical = canonical;
  return result;
}

struct Row {
  const char *canonical;
  std::uint16_t port;
  const char *explicit_spn;
  const char *identity_realm;
  std::vector<SpnCandidate> expected;
};

TEST(Spn, Candidates) {
  const Row rows[] = {
      {"sql1.corp.test",
       1433,
       "",
       "USERS.TEST",
       {{"MSSQLSvc/sql1.corp.test:1433@CORP.TEST", Why::port, "domain-realm"}}},
      {"odd.corp.test", 14330, "", "", {{"MSSQLSvc/odd.corp.test:14330@ODD.TEST", Why::port, "domain-realm"}}},
      {"sql1.other.test",
       1433,
       "",
       "USERS.TEST",
       {{"MSSQLSvc/sql1.other.test:1433@USERS.TEST", Why::port, "identity"}}},
      {"10.0.0.1", 1433, "", "USERS.TEST", {{"MSSQLSvc/10.0.0.1:1433@USERS.TEST", Why::port, "identity"}}},
      {"sql1.other.test", 1433, "", "", {}},
      {"x",
       1,
       "MSSQLSvc/sql9.corp.test:1@FIXED.TEST",
       "U",
       {{"MSSQLSvc/sql9.corp.test:1@FIXED.TEST", Why::explicit_spn, "explicit"}}},
      {"x",
       1,
       "MSSQLSvc/sql9.corp.test:INST",
       "U",
       {{"MSSQLSvc/sql9.corp.test:INST@CORP.TEST", Why::explicit_spn, "domain-realm"}}},
      {"sql1.corp.test",
       1,
       "MSSQLSvc/sql9.other.test",
       "U",
       {{"MSSQLSvc/sql9.other.test@U", Why::explicit_spn, "identity"}}},
      {"sql1.corp.test",
       1,
       "MSSQLSvc/sql9.corp.test@",
       "U",
       {{"MSSQLSvc/sql9.corp.test@CORP.TEST", Why::explicit_spn, "domain-realm"}}},
      {"sql1.corp.test", 1, "MSSQLSvc/sql9.other.test", "", {}},
  };
  for (const Row &row : rows) {
    SCOPED_TRACE(std::string(row.canonical) + " " + row.explicit_spn);
    EXPECT_EQ(spn_candidates(facts(row.canonical), row.port, row.explicit_spn, config(), row.identity_realm),
              row.expected);
  }
}

TEST(Spn, Parts) {
  struct {
    const char *spn;
    const char *host;
    const char *realm;
  } rows[] = {
      {"MSSQLSvc/sql1.corp.test:1433@CORP.TEST", "sql1.corp.test", "CORP.TEST"},
      {"MSSQLSvc/sql1.corp.test:INST", "sql1.corp.test", ""},
      {"MSSQLSvc/sql1.corp.test", "sql1.corp.test", ""},
      {"MSSQLSvc/sql1/other@R", "sql1", "R"},
      {"MSSQLSvc/::1:1433@R", "::1", "R"},
      {"MSSQLSvc/2001:db8::1", "2001:db8::1", ""},
      {"a@b@C", "", "C"},
      {"nothing", "", ""},
      {"", "", ""},
      {"/@", "", ""},
  };
  for (const auto &row : rows) {
    SCOPED_TRACE(row.spn);
    EXPECT_EQ(spn_host(row.spn), row.host);
    EXPECT_EQ(spn_realm(row.spn), row.realm);
  }
}

TEST(Spn, Spellings) {
  EXPECT_EQ(to_string(Why::explicit_spn), "explicit");
  EXPECT_EQ(to_string(Why::port), "port");
}

} // namespace
} // namespace auth
