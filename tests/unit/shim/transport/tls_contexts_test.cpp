#include "shim/transport/tls_contexts.hpp"

#include "tests/unit/shim/support.hpp"
#include "tests/unit/shim/transport/tls_support.hpp"

#include <fstream>

namespace shim_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names(const char *target, const char *configured = "", bool own = true) {
  config::Route route;
  route.host_name_in_certificate = configured;
  return certificate_names(route, *auth::parse_target(target), {"corp.test", ".eu.Corp.test"}, own);
}

TEST(CertificateNames, AreTheConfiguredOnes) {
  EXPECT_THAT(names("SQL1.corp.test"), ElementsAre("sql1.corp.test"));
  EXPECT_THAT(names("sql1.corp.test.,1500"), ElementsAre("sql1.corp.test"));
  EXPECT_THAT(names("sql1"), ElementsAre("sql1", "sql1.corp.test", "sql1.eu.corp.test"));
  EXPECT_THAT(names("10.0.0.5"), ElementsAre("10.0.0.5"));
  EXPECT_THAT(names("sql1", "cluster.corp.test"), ElementsAre("cluster.corp.test"));
}

TEST(CertificateNames, OfAnotherPlaceAreItsOwn) {
  EXPECT_THAT(names("sql2.corp.test", "cluster.corp.test", false), ElementsAre("sql2.corp.test"))
      << "host_name_in_certificate is about the route's own target";
}

struct Fixture {
  Folder folder;
  std::vector<std::string> said;

  config::Config config() {
    config::Config made;
    made.state.directory = folder.path() / "state";
    made.listeners.push_back({});
    made.listeners[0].name = "local";
    made.routes.push_back({});
    made.routes[0].name = "reports";
    return made;
  }
  std::unique_ptr<TlsContexts> contexts(config::Config config) {
    return std::make_unique<TlsContexts>(std::make_shared<const config::Config>(std::move(config)),
                                         [this](std::string what) { said.push_back(std::move(what)); });
  }
};

TEST(TlsContexts, MakesItsOwnCertificateOnceAndSaysSo) {
  Fixture fixture;
  const auto config = fixture.config();
  auto first = fixture.contexts(config);
  ASSERT_TRUE(first->accepting(config.listeners[0])) << first->accepting(config.listeners[0]).error();
  ASSERT_EQ(fixture.said.size(), 1u);
  EXPECT_THAT(fixture.said[0],
              HasSubstr("made the certificate " + (fixture.folder.path() / "state").string()));
  auto second = fixture.contexts(config);
  EXPECT_TRUE(second->accepting(config.listeners[0]));
  EXPECT_EQ(fixture.said.size(), 1u) << "the second start finds it";
}

TEST(TlsContexts, AListenerWithoutTlsNeedsNothing) {
  Fixture fixture;
  auto config = fixture.config();
  config.listeners[0].tls = config::ListenerTls::off;
  config.routes.clear();
  fixture.contexts(config);
  EXPECT_FALSE(std::filesystem::exists(config.state.directory));
  EXPECT_TRUE(fixture.said.empty());
}

TEST(TlsContexts, SettingsThatAreEqualShareOne) {
  Fixture fixture;
  auto config = fixture.config();
  config.routes.resize(3);
  config.routes[2].trust_server_certificate = true;
  auto contexts = fixture.contexts(config);
  EXPECT_EQ(*contexts->connecting(config.routes[0]), *contexts->connecting(config.routes[1]));
  EXPECT_NE(*contexts->connecting(config.routes[0]), *contexts->connecting(config.routes[2]))
      << "one that trusts everybody must not serve a route that does not";
}

TEST(TlsContexts, AFileThatCannotBeReadIsNamed) {
  Fixture fixture;
  auto config = fixture.config();
  config.routes[0].ca_file = fixture.folder.path() / "absent.pem";
  auto contexts = fixture.contexts(config);
  const auto context = contexts->connecting(config.routes[0]);
  ASSERT_FALSE(context);
  EXPECT_THAT(context.error(), testing::AllOf(HasSubstr("reports"), HasSubstr("absent.pem")));
  EXPECT_THAT(fixture.said, testing::Contains(HasSubstr("absent.pem"))) << "at start, not only in a login";
}

TEST(TlsContexts, ReloadingKeepsWhatCannotBeReadAnew) {
  Fixture fixture;
  auto config = fixture.config();
  fixture.contexts(config); // makes a certificate that may serve as a configured one
  config.listeners[0].certificate = config.state.directory / "listener.pem";
  config.listeners[0].key = config.state.directory / "listener-key.pem";
  const auto contexts = fixture.contexts(config);
  const auto before = *contexts->accepting(config.listeners[0]);
  contexts->reload();
  const auto after = contexts->accepting(config.listeners[0]);
  ASSERT_TRUE(after);
  EXPECT_NE(before, *after) << "read again: a renewed certificate counts";
  std::ofstream(config.listeners[0].certificate) << "no certificate";
  fixture.said.clear();
  contexts->reload();
  EXPECT_EQ(*contexts->accepting(config.listeners[0]), *after);
  EXPECT_THAT(fixture.said, ElementsAre(HasSubstr("listener.pem")));
}

} // namespace
} // namespace shim_test
