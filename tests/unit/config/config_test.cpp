#include "config/config.hpp"

#include <gmock/gmock.h>

namespace {

using namespace config;

TEST(Config, GlobsMatch) {
  struct Row {
    const char *glob, *text;
    bool matches;
  };
  for (const Row &row : std::initializer_list<Row>{
           {"", "", true},
           {"", "a", false},
           {"*", "", true},
           {"**", "anything", true},
           {"?", "", false},
           {"?", "a", true},
           {"?", "ab", false},
           {"reports", "Reports", true},
           {"reports", "reports2", false},
           {"rep*", "reports", true},
           {"*orts", "reports", true},
           {"*o*t*", "reports", true},
           {"r?p*s", "reports", true},
           {"*ab", "aab", true},
           {"*abc*abd", "abcabcabd", true},
           {"*abc*abd", "abcabcabc", false},
           {"[a]", "a", false}, // no other special characters
           {"a.c", "abc", false},
       })
    EXPECT_EQ(glob_match(row.glob, row.text), row.matches)
        << '"' << row.glob << "\" against \"" << row.text << '"';
}

TEST(Config, AGlobOfManyStarsEndsSoon) {
  std::string glob, text(20'000, 'a');
  for (int i = 0; i < 100; ++i)
    glob += "*a";
  EXPECT_FALSE(glob_match(glob + "b", text)); // with recursion this would not come back
}

TEST(Config, AddressesAsText) {
  EXPECT_EQ((Address{"127.0.0.1", 53}.text()), "127.0.0.1:53");
  EXPECT_EQ((Address{"::1", 53}.text()), "[::1]:53");
}

TEST(Config, AttemptsAsText) {
  EXPECT_EQ(to_string(AttemptKind::tcp_kerberos), "tcp+kerberos");
  EXPECT_EQ(to_string(AttemptKind::tcp_ntlm), "tcp+ntlm");
  EXPECT_EQ(to_string(AttemptKind::tcp_sql), "tcp+sql");
}

TEST(Config, WordsOfTls) {
  for (const auto &[value, word] : {std::pair{ListenerTls::off, "off"},
                                    {ListenerTls::optional, "optional"},
                                    {ListenerTls::required, "required"}})
    EXPECT_EQ(to_string(value), word);
  for (const auto &[value, word] : {std::pair{Encrypt::off, "off"},
                                    {Encrypt::login, "login"},
                                    {Encrypt::require, "require"},
                                    {Encrypt::strict, "strict"}})
    EXPECT_EQ(to_string(value), word);
  EXPECT_EQ(to_string(TlsMin::tls_1_0), "1.0");
  EXPECT_EQ(to_string(TlsMin::tls_1_2), "1.2");
}

TEST(Config, WhenTlsIsVerified) {
  for (const Encrypt encrypt : {Encrypt::off, Encrypt::login, Encrypt::require, Encrypt::strict})
    for (const bool trust : {false, true}) {
      Route route;
      route.encrypt = encrypt;
      route.trust_server_certificate = trust;
      EXPECT_EQ(route.verified_tls(), encrypt != Encrypt::off && !trust) << to_string(encrypt) << trust;
    }
}

TEST(Config, IdentitiesAreFoundByName) {
  Config config;
  config.identities.resize(2);
  config.identities[1].name = "svc";
  EXPECT_EQ(config.find_identity("svc"), &config.identities[1]);
  EXPECT_EQ(config.find_identity("SVC"), nullptr);
}

} // namespace
