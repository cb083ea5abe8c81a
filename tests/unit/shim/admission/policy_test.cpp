#include "shim/admission/policy.hpp"

#include <algorithm>
#include <gmock/gmock.h>
#include <random>
#include <set>
#include <sstream>

namespace shim_test {
namespace {

using namespace shim;

constexpr uid_t self = 1000; ///< who runs sqlshim, in all of these

// Configurations and logins as text: one line each, words of the form key=value. What has several values
// separates them by commas.

using Words = std::map<std::string, std::string>;

Words words_of(std::istream &line) {
  Words words;
  for (std::string word; line >> word;) {
    const auto equals = word.find('=');
    words[word.substr(0, equals)] = equals == std::string::npos ? "yes" : word.substr(equals + 1);
  }
  return words;
}

std::vector<std::string> split(const std::string &list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');)
    parts.push_back(part);
  return parts;
}

std::vector<config::Who> who(const std::string &list) {
  std::vector<config::Who> all;
  for (const auto &text : split(list)) {
    config::Who one;
    one.text = text;
    if (text == "self")
      one.self = true;
    else if (text.starts_with('@'))
      one.gid = std::stoul(text.substr(1));
    else
      one.uid = std::stoul(text);
    all.push_back(one);
  }
  return all;
}

config::ClientAuth client_auth(const std::string &word) {
  if (word == "sql") return config::ClientAuth::sql;
  if (word == "integrated") return config::ClientAuth::integrated;
  return config::ClientAuth::any;
}

config::Config config_of(const std::string &text) {
  config::Config config;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    std::string kind, name;
    if (!(in >> kind >> name)) continue;
    auto words = words_of(in);
    if (kind == "listener") {
      config::Listener listener;
      listener.name = name;
      if (words.contains("callers")) listener.callers = who(words["callers"]);
      listener.client_auth = client_auth(words["client_auth"]);
      config.listeners.push_back(listener);
    } else if (kind == "identity") {
      config::Identity identity;
      identity.name = name;
      if (words.contains("allow")) identity.allow = who(words["allow"]);
      config.identities.push_back(identity);
    } else if (kind == "route") {
      config::Route route;
      route.name = name;
      route.match = {words["listener"], words["server"], words["database"],
                     words["user"],     words["app"],    who(words["caller"])};
      route.identity = words["identity"];
      if (words.contains("attempts")) {
        route.attempts.clear();
        for (const auto &attempt : split(words["attempts"]))
          route.attempts.push_back(attempt == "tcp+sql" ? config::AttemptKind::tcp_sql
                                                        : config::AttemptKind::tcp_kerberos);
      }
      config.routes.push_back(route);
    } else {
      ADD_FAILURE() << "no such line: " << line;
    }
  }
  return config;
}

struct Login {
  Caller caller;
  Request request;
};
Login login_of(const std::string &text) {
  std::istringstream in(text);
  auto words = words_of(in);
  Login login;
  login.caller.uid = words.contains("uid") ? static_cast<uid_t>(std::stoul(words["uid"])) : self;
  login.caller.user = "user" + std::to_string(login.caller.uid);
  for (const auto &gid : split(words["groups"]))
    login.caller.groups.push_back(static_cast<gid_t>(std::stoul(gid)));
  login.request.listener = words.contains("listener") ? words["listener"] : "main";
  login.request.server = words["server"];
  login.request.database = words["database"];
  login.request.user = words["user"];
  login.request.app = words["app"];
  login.request.integrated = words.contains("integrated");
  login.request.fedauth = words.contains("fedauth");
  return login;
}

/// "allow ROUTE IDENTITY [rule]", "deny CAUSE [rule]"
std::string told(const Decision &decision) {
  EXPECT_FALSE(decision.reason.empty());
  if (decision.denied) return "deny " + std::string(id(*decision.denied)) + " [" + decision.rule + "]";
  return "allow " + (decision.route ? decision.route->name : "?") + " " +
         (decision.identity ? decision.identity->name : "-") + " [" + decision.rule + "]";
}

struct Row {
  const char *name;
  const char *config;
  const char *login;
  const char *expected;
};

std::string decided(const Row &row) {
  const auto config = config_of(row.config);
  auto login = login_of(row.login);
  login.request.caller = &login.caller;
  const auto listener = std::ranges::find(config.listeners, login.request.listener, &config::Listener::name);
  return told(decide(config, *listener, login.request, self));
}

// --- admit: before a byte is read ---

TEST(Policy, WhoMayUseAListener) {
  const struct {
    const char *callers;
    const char *caller;
    bool admitted;
  } rows[] = {
      {"self", "uid=1000", true},
      {"self", "uid=1001", false},
      {"self", "uid=0", false},
      {"1001", "uid=1001", true},
      {"1001", "uid=1000", false},
      {"0", "uid=0", true},
      {"1001,1002", "uid=1002", true},
      {"@500", "uid=1001 groups=100,500", true},
      {"@500", "uid=1001 groups=100,501", false},
      {"@500", "uid=500", false},
      {"@500", "uid=500 groups=", false},
      {"500", "uid=1001 groups=500", false},
      {"@0", "uid=1001 groups=100", false},
      {"", "uid=1000", false},
      {"", "uid=0 groups=0", false},
  };
  for (const auto &row : rows) {
    const auto config = config_of(std::string("listener main callers=") + row.callers);
    const auto login = login_of(row.caller);
    EXPECT_EQ(told(admit(config.listeners[0], login.caller, self)),
              row.admitted ? "allow ? - [listener main callers]"
                           : "deny caller-denied [listener main callers]")
        << "callers=" << row.callers << " " << row.caller;
  }
}

TEST(Policy, ACallerWhoseGroupsAreNotKnownHasNone) {
  const auto config = config_of("listener main callers=@100");
  Caller caller{1001, "1001", {}, {}, "peercred"};
  caller.groups_known = false;
  const auto denied = admit(config.listeners[0], caller, self);
  EXPECT_EQ(denied.denied, Cause::caller_denied);
  EXPECT_THAT(denied.reason, testing::HasSubstr("did not tell this user's groups in time"));
  caller.groups = {100};
  caller.groups_known = true;
  EXPECT_FALSE(admit(config.listeners[0], caller, self).denied);
}

TEST(Policy, AnEntryThatNamesNobodyMatchesNobody) {
  const Caller root{0, "root", {0}, {"root"}, "peercred"};
  EXPECT_FALSE(names({config::Who{"ghost", false, {}, {}}}, root, self));
  EXPECT_FALSE(names({}, root, self));
}

TEST(Policy, DefaultIsSelfAlone) {
  const config::Listener listener;
  const config::Identity identity;
  const auto own = login_of("uid=1000"), other = login_of("uid=1001"), root = login_of("uid=0 groups=0");
  for (const auto *list : {&listener.callers, &identity.allow}) {
    EXPECT_TRUE(names(*list, own.caller, self));
    EXPECT_FALSE(names(*list, other.caller, self));
    EXPECT_FALSE(names(*list, root.caller, self));
  }
}

TEST(Policy, DenialNamesTheCaller) {
  const auto config = config_of("listener main");
  const auto decision = admit(config.listeners[0], login_of("uid=1001").caller, self);
  EXPECT_EQ(decision.reason, "user1001 (uid 1001) is not among the callers of this listener");
}

// --- decide: after LOGIN7 ---

constexpr auto one_route = R"(
  listener main
  identity reports
  route r1 identity=reports
)";
constexpr auto two_users = R"(
  listener main callers=self,1001
  identity one allow=self
  identity two allow=1001,@500
  route r1 server=sql1 identity=one
  route r2 identity=two
)";
constexpr auto by_claims = R"(
  listener main
  listener other
  identity i
  route listener listener=oth* identity=i
  route caller caller=1001,@500 identity=i
  route server server=SQL?.corp.test identity=i
  route database database=sales identity=i
  route user user=app_* identity=i
  route app app=*Excel* identity=i
  route both server=a database=b identity=i
)";
constexpr auto passwords = R"(
  listener main
  identity i
  route sql server=sql attempts=tcp+sql
  route twice server=twice attempts=tcp+sql,tcp+sql
  route mixed server=mixed attempts=tcp+kerberos,tcp+sql identity=i
  route owned server=owned attempts=tcp+sql identity=i
)";

class Decide : public testing::TestWithParam<Row> {};
TEST_P(Decide, Row) { EXPECT_EQ(decided(GetParam()), GetParam().expected); }

const auto name_of_row = [](const testing::TestParamInfo<Row> &info) { return std::string(info.param.name); };

INSTANTIATE_TEST_SUITE_P(
    Identity, Decide,
    testing::Values(
        Row{"Own", one_route, "uid=1000", "allow r1 reports [route r1]"},
        Row{"Others", one_route, "uid=1001", "deny identity-denied [identity reports allow]"},
        Row{"RootIsNobodySpecial", one_route, "uid=0 groups=0",
            "deny identity-denied [identity reports allow]"},
        Row{"ByUid", two_users, "uid=1001", "allow r2 two [route r2]"},
        Row{"ByGroup", two_users, "uid=1003 groups=500", "allow r2 two [route r2]"},
        // No further route is looked at: a denial is no reason to try somebody else's credentials.
        Row{"FirstMatchAlone", two_users, "uid=1001 server=sql1",
            "deny identity-denied [identity one allow]"},
        Row{"Unknown", "listener main\nroute r1 identity=ghost", "uid=1000",
            "deny identity-denied [route r1]"},
        Row{"NoneNeeded", passwords, "server=sql user=sa", "allow sql - [route sql]"},
        Row{"GuardsPasswordsToo", passwords, "uid=1001 server=owned user=sa",
            "deny identity-denied [identity i allow]"}),
    name_of_row);

INSTANTIATE_TEST_SUITE_P(
    Match, Decide,
    testing::Values(Row{"NoRoute", "listener main", "uid=1000", "deny route-denied [no route]"},
                    Row{"NoneMatches", by_claims, "server=x", "deny route-denied [no route]"},
                    Row{"Listener", by_claims, "listener=other", "allow listener i [route listener]"},
                    Row{"CallerUid", by_claims, "uid=1001", "deny identity-denied [identity i allow]"},
                    Row{"CallerGroup", by_claims, "groups=9,500", "allow caller i [route caller]"},
                    Row{"ServerGlob", by_claims, "server=sql1.CORP.test", "allow server i [route server]"},
                    Row{"ServerGlobIsWhole", by_claims, "server=sql11.corp.test",
                        "deny route-denied [no route]"},
                    Row{"Database", by_claims, "database=Sales", "allow database i [route database]"},
                    Row{"User", by_claims, "user=app_7", "allow user i [route user]"},
                    Row{"App", by_claims, "app=MicrosoftExcel16", "allow app i [route app]"},
                    Row{"EveryWordMustMatch", by_claims, "server=a", "deny route-denied [no route]"},
                    Row{"BothMatch", by_claims, "server=a database=b", "allow both i [route both]"},
                    Row{"FirstInOrder", by_claims, "server=sql1.corp.test database=sales app=Excel",
                        "allow server i [route server]"}),
    name_of_row);

constexpr auto any = "listener main client_auth=any\nidentity i\nroute r identity=i";
constexpr auto sql_only = "listener main client_auth=sql\nidentity i\nroute r identity=i";
constexpr auto integrated_only = "listener main client_auth=integrated\nidentity i\nroute r identity=i";

INSTANTIATE_TEST_SUITE_P(
    ClientAuth, Decide,
    testing::Values(Row{"AnyTakesPasswords", any, "user=sa", "allow r i [route r]"},
                    Row{"AnyTakesIntegrated", any, "integrated", "allow r i [route r]"},
                    Row{"SqlTakesPasswords", sql_only, "user=sa", "allow r i [route r]"},
                    Row{"SqlRefusesIntegrated", sql_only, "integrated",
                        "deny client-auth-refused [listener main client_auth]"},
                    Row{"IntegratedTakesIntegrated", integrated_only, "integrated", "allow r i [route r]"},
                    Row{"IntegratedRefusesPasswords", integrated_only, "user=sa",
                        "deny client-auth-refused [listener main client_auth]"},
                    Row{"FedauthIsRefused", any, "fedauth user=sa", "deny fedauth-not-supported [built in]"},
                    Row{"FedauthIsRefusedFirst", sql_only, "fedauth integrated",
                        "deny fedauth-not-supported [built in]"},
                    Row{"PasswordRouteWithIntegratedClient", passwords, "server=sql integrated",
                        "deny client-auth-refused [route sql]"},
                    Row{"PasswordsAloneHoweverOften", passwords, "server=twice integrated",
                        "deny client-auth-refused [route twice]"},
                    Row{"MixedRouteWithIntegratedClient", passwords, "server=mixed integrated",
                        "allow mixed i [route mixed]"}),
    name_of_row);

// Whatever a client types, it reaches no identity that its uid may not use.
TEST(Policy, NothingThatTheClientTypesWidensWhatItsUidReaches) {
  const auto config = config_of(R"(
    listener main callers=self,1001
    identity mine allow=1001
    identity secret allow=self
    identity grouped allow=@500
    route a server=secret* identity=secret
    route b database=secret* identity=secret
    route c user=secret* identity=secret
    route d app=secret* identity=secret
    route e server=grouped identity=grouped
    route f identity=mine
  )");
  const Caller caller{1001, "self", {100}, {"self"}, "sock_diag"};
  const std::u16string claims[] = {u"",        u"secret",  u"secret1",
                                   u"self",    u"1000",    u"uid=1000",
                                   u"root",    u"*",       u"?",
                                   u"@500",    u"grouped", std::u16string(u"mine\0secret", 11),
                                   u"main",    u"SECRET",  std::u16string(1, char16_t(0xd800)),
                                   u"user1000"};
  int allowed = 0;
  const auto check = [&](const tds::Login7 &login) {
    const auto decision = decide(config, config.listeners[0], make_request("main", caller, login), self);
    if (decision.denied) return;
    ++allowed;
    EXPECT_EQ(decision.identity, config.find_identity("mine"));
  };
  for (const auto &first : claims)
    for (const auto &second : claims) {
      tds::Login7 login;
      login.server_name = login.user_name = first;
      login.database = login.app_name = second;
      login.host_name = login.clt_int_name = login.language = login.attach_db_file = first;
      for (std::uint32_t pid : {0u, 1000u}) {
        login.client_pid = login.connection_id = pid;
        check(login);
      }
      std::swap(login.server_name, login.database);
      check(login);
    }
  EXPECT_GT(allowed, 0);
}

// Random configurations, random logins: the identities that a uid reaches are exactly those whose
// `allow` names it. The expectation is worked out from the numbers that the lists were made of, by
// no function of the product.
TEST(Policy, AUidReachesExactlyTheIdentitiesWhoseAllowNamesIt) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto up_to = [&](int most) { return std::uniform_int_distribution(0, most)(random); };
  const auto utf16 = [](const std::string &text) { return std::u16string(text.begin(), text.end()); };
  constexpr uid_t first_uid = self - 2;
  constexpr int uids = 5, gids = 4, identities = 6;
  int reached_in_all = 0;

  for (int round = 0; round < 200; ++round) {
    config::Config config;
    config.listeners.emplace_back().name = "main";
    std::vector<std::set<uid_t>> allowed_uids(identities), allowed_gids(identities);
    std::vector<std::string> words{"", "*", "self", "root", "@500", "1000"};
    for (int i = 0; i < identities; ++i) {
      config::Identity identity;
      identity.name = "identity" + std::to_string(i);
      identity.allow.clear();
      for (int entries = up_to(3); entries > 0; --entries) {
        config::Who who;
        if (const int kind = up_to(2); kind == 0) {
          who.self = true;
          who.text = "self";
          allowed_uids[i].insert(self);
        } else if (kind == 1) {
          who.uid = first_uid + up_to(uids - 1);
          who.text = std::to_string(*who.uid);
          allowed_uids[i].insert(*who.uid);
        } else {
          who.gid = 500 + up_to(gids - 1);
          who.text = "@" + std::to_string(*who.gid);
          allowed_gids[i].insert(*who.gid);
        }
        words.push_back(who.text);
        identity.allow.push_back(who);
      }
      // Whoever types an identity's name, as whatever the route looks at, is led to it.
      config::Route route;
      route.name = "route" + std::to_string(i);
      route.identity = identity.name;
      std::string *claims[] = {&route.match.server, &route.match.database, &route.match.user,
                               &route.match.app};
      *claims[up_to(3)] = identity.name;
      words.push_back(identity.name);
      config.routes.push_back(route);
      config.identities.push_back(identity);
    }

    for (int who = 0; who < uids; ++who) {
      Caller caller{first_uid + who, "identity0", {}, {"identity1"}, "sock_diag"};
      for (int gid = 0; gid < gids; ++gid)
        if (up_to(2) == 0) caller.groups.push_back(500 + gid);
      std::set<std::string> expected, reached;
      for (int i = 0; i < identities; ++i)
        if (allowed_uids[i].contains(caller.uid) ||
            std::ranges::any_of(caller.groups, [&](gid_t gid) { return allowed_gids[i].contains(gid); }))
          expected.insert(config.identities[i].name);

      const auto try_login = [&](const tds::Login7 &login) {
        const auto decision = decide(config, config.listeners[0], make_request("main", caller, login), self);
        if (decision.denied) {
          EXPECT_TRUE(decision.denied == Cause::identity_denied || decision.denied == Cause::route_denied);
          return;
        }
        ASSERT_NE(decision.identity, nullptr);
        reached.insert(decision.identity->name);
      };
      for (const auto &identity : config.identities) {
        tds::Login7 login; // the login that asks for it, and for nothing else
        login.server_name = login.database = login.user_name = login.app_name = utf16(identity.name);
        try_login(login);
      }
      for (int tries = 0; tries < 20; ++tries) {
        tds::Login7 login;
        for (auto *text : {&login.server_name, &login.database, &login.user_name, &login.app_name,
                           &login.host_name, &login.clt_int_name, &login.language, &login.attach_db_file})
          *text = utf16(words[up_to(static_cast<int>(words.size()) - 1)]);
        login.client_pid = static_cast<std::uint32_t>(up_to(2000));
        login.client_id.fill(static_cast<std::uint8_t>(up_to(255)));
        try_login(login);
      }
      ASSERT_EQ(reached, expected) << "uid " << caller.uid << " in round " << round;
      reached_in_all += static_cast<int>(reached.size());
    }
  }
  EXPECT_GT(reached_in_all, 0);
}

// --- make_request ---

TEST(Policy, RequestIsMadeFromLogin7) {
  tds::Login7 login;
  login.server_name = u"sql1";
  login.database = u"vertr\u00e4ge";
  login.user_name = u"sa";
  login.app_name = u"Excel";
  const Caller caller{1001, "bob", {}, {}, ""};
  auto request = make_request("main", caller, login);
  EXPECT_EQ(request.listener, "main");
  EXPECT_EQ(request.caller, &caller);
  EXPECT_EQ(request.server, "sql1");
  EXPECT_EQ(request.database, "vertr\u00e4ge");
  EXPECT_EQ(request.user, "sa");
  EXPECT_EQ(request.app, "Excel");
  EXPECT_FALSE(request.integrated);
  EXPECT_FALSE(request.fedauth);

  login.option_flags2 |= tds::option2_integrated_security;
  login.sspi = {'N', 'T', 'L', 'M', 'S', 'S', 'P', 0, 1, 0, 0, 0};
  login.features.push_back({tds::FeatureId::utf8_support, {1}});
  request = make_request("main", caller, login);
  EXPECT_TRUE(request.integrated);
  EXPECT_FALSE(request.fedauth);
  login.features.push_back({tds::FeatureId::fedauth, {}});
  EXPECT_TRUE(make_request("main", caller, login).fedauth);
}

} // namespace
} // namespace shim_test
