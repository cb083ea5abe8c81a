#include "config/causes.hpp"

#include "tests/support/markdown.hpp"

#include <gmock/gmock.h>
#include <set>

namespace {

using namespace config;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// All ids that the project has given out, those of later versions too. Nothing here is ever renamed.
const std::set<std::string_view> spellings = {
    // names
    "alias-not-canonical", "ptr-wrong", "address-without-spn", "suffix-wrong", "spn-of-tunnel",
    "name-not-found", "canonical-name-foreign", "browser-silent", "port-changed",
    // SPN and ticket
    "spn-missing", "spn-wrong-account", "spn-duplicate", "spn-portless-only", "spn-instance-form",
    "listener-spn-missing", "replica-spn-missing", "server-key-old", "etype-refused", "token-too-large",
    // realm and KDC
    "realm-unknown", "realm-wrong", "kdc-unreachable", "kdc-tcp-blocked", "kdc-proxy-unsupported",
    "clock-skew",
    // credentials
    "no-credentials", "tgt-expired", "keytab-mismatch", "preauth-failed", "password-throttled",
    "account-revoked", "password-expired",
    // mechanisms
    "mechanism-missing", "token-not-kerberos", "ntlm-untrusted", "ntlm-no-mic", "mutual-auth-missing",
    "channel-binding-refused",
    // the server said no
    "login-untrusted", "login-denied", "logon-denied", "anonymous-logon", "database-denied", "server-closed",
    // network and TLS
    "connection-refused", "connection-timeout", "tls-mismatch", "tls-version-refused", "certificate-name",
    "certificate-untrusted", "certificate-expired", "certificate-self-signed", "certificate-weak",
    "client-requires-tls", "listener-requires-tls", "server-requires-tls", "server-without-tls",
    "redirect-refused",
    // pipes
    "smb-unreachable", "smb-dialect-refused", "smb-signing-refused", "smb-guest-refused", "smb-logon-failure",
    "smb-access-denied", "pipe-missing", "pipe-busy",
    // us and our caller
    "caller-unknown", "caller-denied", "client-auth-refused", "route-denied", "identity-denied", "limit",
    "deadline", "log-unavailable", "protocol-violation", "tds-too-old", "mars-refused",
    "fedauth-not-supported"};

/// The names in braces of a sentence; "{ kdc = HOST }" is no placeholder.
std::vector<std::string> names_in(std::string_view text) {
  std::vector<std::string> names;
  for (std::size_t open = text.find('{'); open != std::string_view::npos; open = text.find('{', open + 1)) {
    const std::string name(text.substr(open + 1, text.find('}', open) - open - 1));
    if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string::npos) names.push_back(name);
  }
  return names;
}

TEST(Catalogue, EveryCauseStandsInTheReadmesTable) {
  const auto table = test::markdown_table(SQLSHIM_SOURCE_DIR "/README.md", "| cause |");
  for (const auto &entry : all_causes())
    EXPECT_TRUE(table.contains("`" + std::string(entry.id) + "`")) << entry.id;
}

TEST(Cause, IdsAreUniqueAndOnTheList) {
  std::set<std::string_view> seen;
  for (const CauseEntry &entry : all_causes()) {
    EXPECT_TRUE(seen.insert(entry.id).second) << entry.id;
    EXPECT_THAT(spellings, Contains(entry.id));
    EXPECT_EQ(&config::entry(entry.cause), &entry);
    EXPECT_EQ(find_cause(entry.id), &entry);
    EXPECT_EQ(id(entry.cause), entry.id);
  }
  EXPECT_EQ(find_cause("spn-gone"), nullptr);
  EXPECT_EQ(find_cause(""), nullptr);
}

TEST(Cause, NoneWaitsForTlsAnyMore) {
  for (const CauseEntry &entry : all_causes())
    for (const std::string_view text : {entry.sentence, entry.remedy})
      for (const char *old : {"not there yet", "speak yet", "speak that yet", "does not follow"})
        EXPECT_EQ(text.find(old), std::string_view::npos) << entry.id << ": " << text;
}

TEST(Cause, EachHasASentenceAndARemedyForPeople) {
  for (const CauseEntry &entry : all_causes())
    for (const std::string_view text : {entry.sentence, entry.remedy}) {
      EXPECT_GT(text.size(), 30u) << entry.id;
      EXPECT_LT(text.size(), 700u) << entry.id << ": the client's text has 2,000 characters for all";
      EXPECT_TRUE(text.ends_with('.') || text.ends_with('"') || text.ends_with(')'))
          << entry.id << ": " << text;
      EXPECT_EQ(text.find_first_of("\n\t"), std::string_view::npos) << entry.id;
    }
}

TEST(Cause, EveryPlaceholderIsKnown) {
  std::size_t used = 0;
  for (const CauseEntry &entry : all_causes())
    for (const std::string_view text : {entry.sentence, entry.remedy})
      for (const std::string &name : names_in(text)) {
        EXPECT_TRUE(placeholder_word(name)) << entry.id << " uses {" << name << "}";
        ++used;
      }
  EXPECT_GT(used, all_causes().size());
}

TEST(Cause, RemediesAreConcrete) {
  const std::map<std::string, std::string> facts{{"bare_spn", "MSSQLSvc/sql1.corp.test:1433"},
                                                 {"spn", "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"}};
  struct Row {
    Cause cause;
    const char *remedy;
  };
  for (const Row &row : std::initializer_list<Row>{
           {Cause::spn_missing, "setspn -S MSSQLSvc/sql1.corp.test:1433 DOMAIN\\SERVICEACCOUNT"},
           {Cause::spn_missing, "SpnRegister error 8344"},
           {Cause::spn_missing, "Read and Write servicePrincipalName on itself"},
           {Cause::spn_wrong_account, "setspn -L DOMAIN\\SERVICEACCOUNT"},
           {Cause::spn_wrong_account, "setspn -D MSSQLSvc/sql1.corp.test:1433 WRONGACCOUNT"},
           {Cause::spn_wrong_account, "setspn -S MSSQLSvc/sql1.corp.test:1433 DOMAIN\\SERVICEACCOUNT"},
           {Cause::spn_duplicate, "setspn -X"},
           {Cause::server_key_old, "kvno MSSQLSvc/sql1.corp.test:1433@CORP.TEST"},
           {Cause::no_credentials, "klist -kt"},
           {Cause::tgt_expired, "kinit"},
           {Cause::clock_skew, "chronyc makestep"},
           {Cause::realm_unknown, "[realms] \"REALM = { kdc = HOST }\""},
           {Cause::login_denied, "CREATE LOGIN [DOMAIN\\LOGIN] FROM WINDOWS"},
           {Cause::database_denied, "CREATE USER [DOMAIN\\LOGIN]"},
           {Cause::identity_denied, "allow of identity IDENTITY"},
           {Cause::certificate_name, "host_name_in_certificate = \"NAME\""},
           {Cause::certificate_untrusted, "ca_file = \"FILE\" in route ROUTE"},
           {Cause::certificate_self_signed, "ca_file = \"FILE\" in route ROUTE"},
           {Cause::certificate_expired, "SQL Server Configuration Manager"},
           {Cause::certificate_weak, "2048 bits"},
           {Cause::tls_mismatch, "17828"},
           {Cause::tls_version_refused, "tls_min = \"1.0\""},
           {Cause::listener_requires_tls, "encryption = require (freetds.conf)"},
           {Cause::client_requires_tls, "sqlshim check"},
           {Cause::redirect_refused, "redirect_within = [\"DOMAIN\"]"},
       })
    EXPECT_THAT(fill(entry(row.cause).remedy, facts), HasSubstr(row.remedy)) << id(row.cause);
}

TEST(Cause, Fill) {
  struct Row {
    const char *name, *text, *filled;
  };
  const std::map<std::string, std::string> facts{{"spn", "S"}, {"host", ""}, {"kdc", "{spn}"}};
  for (const Row &row : std::initializer_list<Row>{
           {"nothing to fill", "as it is", "as it is"},
           {"empty", "", ""},
           {"a fact", "<{spn}>", "<S>"},
           {"two", "{spn}{spn}", "SS"},
           {"no fact", "to {account}.", "to DOMAIN\\SERVICEACCOUNT."},
           {"an empty fact is none", "{host}", "HOST"},
           {"a fact is not filled again", "{kdc}", "{spn}"},
           {"no placeholder", "{ kdc = HOST }", "{ kdc = HOST }"},
           {"unknown name", "{zebra}", "{zebra}"},
           {"brace without end", "a {spn", "a {spn"},
           {"end without brace", "a} {spn}", "a} S"},
       })
    EXPECT_EQ(fill(row.text, facts), row.filled) << row.name;
}

TEST(Cause, FaultsHaveNames) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Fault::us); ++i)
    names.insert(to_string(static_cast<Fault>(i)));
  EXPECT_THAT(names, testing::ElementsAre("client", "configuration", "directory", "dns", "kdc", "network",
                                          "server", "us"));
}

} // namespace
