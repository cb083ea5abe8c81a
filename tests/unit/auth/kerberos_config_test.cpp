#include "auth/kerberos_config.hpp"

#include "tests/unit/auth/support.hpp"

#include <gmock/gmock.h>
#include <profile.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>

namespace auth_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> texts(const KerberosConfig &config, const std::string &realm) {
  std::vector<std::string> result;
  if (const auto entry = config.kdcs.find(realm); entry != config.kdcs.end())
    for (const KdcAddress &kdc : entry->second)
      result.push_back((kdc.https ? "https " : "") + kdc.text());
  return result;
}

TEST(KerberosConfig, Loads) {
  const Folder folder;
  folder.write("more.conf", "[realms]\n OTHER.TEST = {\n  kdc = kdc.other.test\n }\n");
  const std::string path = folder.write("krb5.conf", "include " + folder.file("more.conf") + R"(
[libdefaults]
 default_realm = CORP.TEST
 clockskew = 2m
[realms]
 CORP.TEST = {
  kdc = kdc1.corp.test
  kdc = KDC2.corp.test:18088
  kdc = 127.0.0.1:88
  kdc = [::1]:1088
  kdc = [2001:db8::1]
  kdc = 2001:db8::2
  kdc = tcp/kdc3.corp.test:99
  kdc = udp/kdc4.corp.test
  kdc = https://proxy.corp.test/KdcProxy
  kdc = https://proxy.corp.test:8443/KdcProxy
  admin_server = not.a.kdc
 }
 EMPTY.TEST = {
 }
[domain_realm]
 .Corp.Test = CORP.TEST
 corp.test = CORP.TEST
 sql9.corp.test = OTHER.TEST
)");
  const KerberosConfig config = value(load_kerberos_config(path));
  EXPECT_EQ(config.path, path);
  EXPECT_EQ(config.default_realm, "CORP.TEST");
  EXPECT_EQ(config.clock_skew, 120s);
  EXPECT_THAT(texts(config, "CORP.TEST"),
              ElementsAre("kdc1.corp.test:88", "kdc2.corp.test:18088", "127.0.0.1:88", "[::1]:1088",
                          "[2001:db8::1]:88", "[2001:db8::2]:88", "kdc3.corp.test:99", "kdc4.corp.test:88",
                          "https https://proxy.corp.test/KdcProxy",
                          "https https://proxy.corp.test:8443/KdcProxy"));
  EXPECT_THAT(texts(config, "OTHER.TEST"), ElementsAre("kdc.other.test:88"));
  EXPECT_EQ(config.kdcs.count("EMPTY.TEST"), 0u);
  const std::map<std::string, std::string> domains{
      {".corp.test", "CORP.TEST"}, {"corp.test", "CORP.TEST"}, {"sql9.corp.test", "OTHER.TEST"}};
  EXPECT_EQ(config.domain_realm, domains);
}

TEST(KerberosConfig, DefaultsOfAnEmptyFile) {
  const Folder folder;
  const KerberosConfig config = value(load_kerberos_config(folder.write("krb5.conf", "")));
  EXPECT_EQ(config.default_realm, "");
  EXPECT_EQ(config.clock_skew, 300s);
  EXPECT_TRUE(config.kdcs.empty());
  EXPECT_TRUE(config.domain_realm.empty());
}

TEST(KerberosConfig, SeveralFilesWhereTheFirstWins) {
  const Folder folder;
  const std::string first = folder.write("a", "[libdefaults]\n default_realm = FIRST.TEST\n");
  const std::string second =
      folder.write("b", "[libdefaults]\n default_realm = SECOND.TEST\n[domain_realm]\n b = SECOND.TEST\n");
  const KerberosConfig config =
      value(load_kerberos_config(first + ":" + folder.file("absent") + ":" + second));
  EXPECT_EQ(config.default_realm, "FIRST.TEST");
  EXPECT_EQ(config.realm_of("b"), "SECOND.TEST");
}

TEST(KerberosConfig, Errors) {
  const Folder folder;
  const std::pair<std::string, std::string> rows[] = {
      {folder.file("absent"), "absent: No such file or directory"},
      {folder.write("syntax", "[libdefaults\n"), "syntax: "},
      {folder.write("relation", "[libdefaults]\n no equals sign\n"), "relation: "},
      {folder.write("skew", "[libdefaults]\n clockskew = soon\n"), "clockskew is no duration"},
      {folder.write("port", "[realms]\n R = {\n kdc = kdc1:99999\n }\n"),
       "realm R: kdc = kdc1:99999 is none of"},
      {folder.write("port0", "[realms]\n R = {\n kdc = kdc1:0\n }\n"), "kdc1:0"},
      {folder.write("bracket", "[realms]\n R = {\n kdc = [::1\n }\n"), "[::1"},
      {folder.write("v6", "[realms]\n R = {\n kdc = [kdc1]:88\n }\n"), "[kdc1]:88"},
      {folder.write("name", "[realms]\n R = {\n kdc = kdc1/88\n }\n"), "kdc1/88"},
  };
  for (const auto &[path, says] : rows) {
    SCOPED_TRACE(path);
    const auto config = load_kerberos_config(path);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().kind, Kind::malformed);
    EXPECT_THAT(config.error().text, HasSubstr(says));
  }
  EXPECT_FALSE(make_context(folder.file("absent")))
      << "our own settings in front must not stand for a file that is missing";
  EXPECT_FALSE(make_context(folder.file("syntax")));
}

TEST(KerberosConfig, RealmOfAHost) {
  KerberosConfig config;
  config.domain_realm = {{".corp.test", "CORP"},  {"odd.corp.test", "ODD"}, {".eu.corp.test", "EU"},
                         {"plain.test", "PLAIN"}, {"10.0.0.1", "NUMBER"},   {".1", "ONE"}};
  const std::pair<const char *, const char *> rows[] = {
      {"sql1.corp.test", "CORP"},
      {"SQL1.CORP.TEST.", "CORP"},
      {"a.b.corp.test", "CORP"},
      {"odd.corp.test", "ODD"},
      {"x.odd.corp.test", "ODD"},
      {"sql1.eu.corp.test", "EU"},
      {"corp.test", ""},
      {"plain.test", "PLAIN"},
      {"sql1.plain.test", "PLAIN"},
      {"notplain.test", ""},
      {"sql1.other.test", ""},
      {"sql1", ""},
      {"", ""},
      {".", ""},
      {"10.0.0.1", "NUMBER"},
      {"10.0.1.1", ""},
  };
  for (const auto &[host, realm] : rows)
    EXPECT_EQ(config.realm_of(host), realm) << host;
}

TEST(KerberosConfig, KdcAddressText) {
  EXPECT_EQ((KdcAddress{"127.0.0.1", 18088, false}.text()), "127.0.0.1:18088");
  EXPECT_EQ((KdcAddress{"::1", 88, false}.text()), "[::1]:88");
  EXPECT_EQ((KdcAddress{"proxy.corp.test", 443, true, "/KdcProxy"}.text()),
            "https://proxy.corp.test/KdcProxy");
  EXPECT_EQ((KdcAddress{"::1", 8443, true, ""}.text()), "https://[::1]:8443");
}

TEST(KerberosConfig, WhatLibkrb5MakesOfHostBasedNames) {
  const Folder folder;
  const auto read = [&](const std::string &lines) {
    return value(load_kerberos_config(folder.write("krb5.conf", "[libdefaults]\n" + lines))).naming;
  };
  using enum MitNaming::Canonicalise;
  EXPECT_EQ(read(""), (MitNaming{always, true}));
  EXPECT_EQ(read(" dns_canonicalize_hostname = false\n rdns = no\n"), (MitNaming{never, false}));
  EXPECT_EQ(read(" dns_canonicalize_hostname = fallback\n"), (MitNaming{fallback, true}));
  EXPECT_EQ(read(" dns_canonicalize_hostname = yes\n rdns = 0\n"), (MitNaming{always, false}));
}

TEST(KerberosConfig, DnsLookupKdc) {
  Folder folder;
  const std::pair<const char *, bool> rows[] = {{"", true},
                                                {"dns_lookup_kdc = false\n", false},
                                                {"dns_lookup_kdc = true\n", true},
                                                {"dns_lookup_kdc = no\n", false}};
  for (const auto &[line, looks] : rows) {
    const auto config =
        load_kerberos_config(folder.write("krb5.conf", std::string("[libdefaults]\n") + line));
    ASSERT_TRUE(config) << line;
    EXPECT_EQ(config->dns_lookup_kdc, looks) << line;
  }
  const auto wrong =
      load_kerberos_config(folder.write("krb5.conf", "[libdefaults]\ndns_lookup_kdc = perhaps\n"));
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text.find("dns_lookup_kdc is neither true nor false"), std::string::npos)
      << wrong.error().text;
}

/// What a context takes for a setting of [libdefaults].
std::string setting(krb5_context context, const char *name) {
  profile_t profile = nullptr;
  check(krb5_get_profile(context, &profile), "get_profile");
  char *text = nullptr;
  check(static_cast<krb5_error_code>(profile_get_string(profile, "libdefaults", name, nullptr, "", &text)),
        "profile_get_string");
  const std::string copy = text;
  profile_release_string(text);
  profile_release(profile);
  return copy;
}

TEST(KerberosContext, OurSettingsWinAndTheOthersStay) {
  const Folder folder;
  const std::string text =
      "[libdefaults]\n kdc_timesync = 1\n dns_lookup_kdc = true\n default_realm = CORP.TEST\n";
  const std::string path = folder.write("krb5.conf", text);
  for (int i = 0; i < 3; ++i) {
    const Context context = value(make_context(path));
    EXPECT_EQ(setting(context.get(), "kdc_timesync"), "0");
    EXPECT_EQ(setting(context.get(), "dns_lookup_kdc"), "false");
    EXPECT_EQ(setting(context.get(), "default_realm"), "CORP.TEST");
  }
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text) << "nothing is written back";
  EXPECT_EQ(value(load_kerberos_config(path)).default_realm, "CORP.TEST");
  EXPECT_EQ(configured_clock_skew(path), 300s) << "of the file alone, without our own limit";
}

TEST(KerberosContext, TwoConfigurationsAtOnce) {
  const Folder folder;
  const Context a = value(make_context(folder.write("a", "[libdefaults]\n default_realm = A.TEST\n")));
  const Context b = value(make_context(folder.write("b", "[libdefaults]\n default_realm = B.TEST\n")));
  EXPECT_EQ(setting(a.get(), "default_realm"), "A.TEST");
  EXPECT_EQ(setting(b.get(), "default_realm"), "B.TEST");
}

TEST(KerberosContext, OnFourThreads) {
  const Folder folder;
  const std::string path = folder.write("krb5.conf", plain_config);
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i)
        EXPECT_EQ(setting(value(make_context(path)).get(), "kdc_timesync"), "0");
    });
  for (std::thread &thread : threads)
    thread.join();
}

// sqlshim makes itself undumpable, and /proc/self then belongs to root: our settings, which are read by way
// of it, must still be there.
TEST(KerberosContext, InAProcessThatIsNotDumpable) {
  const Folder folder;
  const std::string path = folder.write("krb5.conf", "[libdefaults]\n kdc_timesync = 1\n");
  fs::permissions(folder.file(""), fs::perms::all);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(3);
    if (prctl(PR_SET_DUMPABLE, 0) != 0) _exit(4);
    const auto context = make_context(path);
    _exit(!context ? 5 : setting(context->get(), "kdc_timesync") == "0" ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

} // namespace
} // namespace auth_test
