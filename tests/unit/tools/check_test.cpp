#include "tools/commands.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sstream>

namespace {

namespace fs = std::filesystem;

class Check : public testing::Test {
protected:
  Check() {
    std::string pattern = (fs::temp_directory_path() / "sqlshim-check-XXXXXX").string();
    file = fs::path(::mkdtemp(pattern.data())) / "sqlshim.toml";
  }
  ~Check() override { fs::remove_all(file.parent_path()); }
  /// Exit status and what was printed, with FILE for the file.
  std::pair<int, std::string> check(std::string_view text) const {
    std::ofstream(file) << text;
    std::ostringstream out;
    const int status = commands::check(out, file);
    std::string printed = out.str();
    for (std::size_t at = printed.find(file.string()); at != std::string::npos;
         at = printed.find(file.string(), at))
      printed.replace(at, file.string().size(), "FILE");
    return {status, printed};
  }
  fs::path file;
};

constexpr std::string_view good = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n"
                                  "[[identity]]\nname = \"i\"\nccache = \"KEYRING:session:i\"\n"
                                  "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nidentity = \"i\"\n";

TEST(Help, KeysAndCausesAndNothingElse) {
  std::ostringstream out, err;
  EXPECT_EQ(commands::help(out, err, "timeouts.login"), 0);
  EXPECT_EQ(out.str(),
            "[[route]] timeouts.login\n  for the whole login at the server.\n  Written as: a duration\n"
            "  Default: login = \"15s\"\n");
  EXPECT_EQ(commands::help(out, err, "spn-missing"), 0);
  EXPECT_THAT(out.str(), testing::HasSubstr("cause spn-missing\n"));
  EXPECT_EQ(commands::help(out, err, "encript"), 2);
  EXPECT_EQ(err.str(), "sqlshim help: \"encript\" is no key of the configuration and no cause; did you mean "
                       "\"encrypt\"?\n");
}

TEST_F(Check, AGoodConfigurationIsCounted) {
  EXPECT_EQ(check(good), std::pair(0, std::string("FILE: ok, 1 listener, 1 identity, 1 route\n")));
}

TEST_F(Check, WarningsAloneAreGood) {
  EXPECT_EQ(
      check(std::string(good) + "[[route]]\nname = \"s\"\ntarget = \"sql1\"\nidentity = \"i\"\n"),
      std::pair(
          0,
          std::string(
              "FILE:12:1: route[1]: warning: is never reached: route[0] (\"r\") stands before it and matches all that it "
              "matches; put it first, or give it a narrower match\n"
              "FILE: ok, 1 listener, 1 identity, 2 routes\n")));
}

TEST_F(Check, AFreeTwinIsToldAndATakenOneIsNot) {
  const auto listener = [](const std::string &name, const std::string &address) {
    return "[[listener]]\nname = \"" + name + "\"\naddress = \"" + address + "\"\ntls = \"off\"\n";
  };
  const std::string rest(good.substr(good.find("[[identity]]")));
  const auto warned = [&](const std::string &listeners) {
    const auto [status, printed] = check(listeners + rest);
    EXPECT_EQ(status, 0) << printed;
    return printed;
  };
  EXPECT_THAT(
      warned(listener("a", "127.0.0.1:14330")),
      testing::HasSubstr("listener a: warning: any user may listen on [::1]:14330 and get what applications "
                         "send to localhost; write address = \"localhost:14330\"\n"));
  EXPECT_THAT(warned(listener("a", "[::1]:14330")), testing::HasSubstr("may listen on 127.0.0.1:14330"));
  for (const auto &listeners :
       {listener("a", "localhost:14330"), listener("a", "127.0.0.1:0"), listener("a", "127.0.0.2:14330"),
        listener("a", "127.0.0.1:14330") + listener("b", "[::1]:14330")})
    EXPECT_THAT(warned(listeners), testing::Not(testing::HasSubstr("any user may"))) << listeners;
}

TEST_F(Check, ShowPrintsAConfigurationThatChecksAndShowsTheSame) {
  const std::string warned =
      std::string(good) + "[[route]]\nname = \"s\"\ntarget = \"sql1\"\nidentity = \"i\"\n";
  std::ofstream(file) << warned;
  std::ostringstream first, second;
  EXPECT_EQ(commands::check(first, file, true), 0);
  EXPECT_THAT(first.str(),
              testing::AllOf(testing::StartsWith("# "), testing::HasSubstr(": warning: is never reached"),
                             testing::HasSubstr("[limits]\nhandshakes = 64\n")));
  std::ofstream(file) << first.str();
  EXPECT_EQ(commands::check(second, file, true), 0);
  const auto values = [](const std::string &text) { return text.substr(text.find("[log]")); };
  EXPECT_EQ(values(second.str()), values(first.str()));
}

TEST_F(Check, ShowOfABadConfigurationIsItsProblems) {
  std::ofstream(file) << std::string(good) + "tarpet = \"x\"\n";
  std::ostringstream out;
  EXPECT_EQ(commands::check(out, file, true), 2);
  EXPECT_THAT(out.str(),
              testing::AllOf(testing::HasSubstr("unknown key"), testing::Not(testing::HasSubstr("[log]"))));
}

TEST_F(Check, EveryProblemIsPrintedAtOnce) {
  EXPECT_EQ(
      check(std::string(good) + "tarpet = \"x\"\nspn = \"x\"\n"),
      std::pair(
          2,
          std::string(
              "FILE:12:1: route[0].tarpet: unknown key; did you mean \"target\"?\n"
              "FILE:13:7: route[0].spn: \"x\" is no SPN of SQL Server; write MSSQLSvc/HOST:PORT or MSSQLSvc/HOST:PORT@REALM\n")));
}

TEST_F(Check, WhatTheFileHoldsCannotDriveTheTerminal) {
  const auto [status, printed] = check("\"\\u001b[2J\\n\" = 1\n" + std::string(good));
  EXPECT_EQ(status, 2);
  EXPECT_EQ(
      printed,
      "FILE:1:1: \\u001b[2J\\u000a: unknown key; known here: aliases, browser, dns, domains, identity, kerberos, limits, listener, log, route, state\n");
}

constexpr std::string_view encrypting =
    "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n"
    "[[listener]]\nname = \"b\"\nunix = \"b.sock\"\ntls = \"required\"\n"
    "certificate = \"b.pem\"\nkey = \"b.key\"\n"
    "[[listener]]\nname = \"c\"\nunix = \"c.sock\"\ntls = \"off\"\n"
    "[state]\ndirectory = \"kept\"\n"
    "[[route]]\nname = \"r\"\ntarget = \"sql1\"\nattempts = [\"tcp+sql\"]\n";

TEST_F(Check, SaysHowDriversTrustAListenersCertificate) {
  const fs::path folder = file.parent_path();
  for (const char *name : {"b.pem", "b.key"}) {
    std::ofstream(folder / name) << "";
    fs::permissions(folder / name, fs::perms(0600));
  }
  const auto [status, printed] = check(encrypting);
  EXPECT_EQ(status, 0);
  const std::string made = (folder / "kept/listener.pem").string(), own = (folder / "b.pem").string();
  EXPECT_THAT(printed, testing::StartsWith("FILE: ok, 3 listeners, 0 identities, 1 route\n"
                                           "listener a: tls = \"optional\". To trust its certificate " +
                                           made + " (made by \"sqlshim serve\"):\n"));
  EXPECT_THAT(printed, testing::HasSubstr("listener b: tls = \"required\". To trust its certificate " + own +
                                          " (or the file of its authority):\n"));
  EXPECT_THAT(printed, testing::Not(testing::HasSubstr("listener c:")));
  for (const std::string &certificate : {made, own})
    for (const std::string &line :
         {"  FreeTDS         in freetds.conf: encryption = require, ca file = " + certificate + "\n",
          " -file " + certificate + " -keystore listener-",
          "cryptoCredentialsDetails: { ca: fs.readFileSync('" + certificate + "') }\n",
          "Encrypt=strict;ServerCertificate=" + certificate + "\n",
          "encrypt=true&certificate=" + certificate + "\n"})
      EXPECT_THAT(printed, testing::HasSubstr(line));
  EXPECT_THAT(printed,
              testing::HasSubstr("  mssql-jdbc      keytool -importcert -noprompt -alias listener-b "));
  EXPECT_THAT(printed,
              testing::HasSubstr("encrypt=true;trustStore=listener-b.p12;trustStorePassword=changeit\n"));
  EXPECT_THAT(printed,
              testing::HasSubstr("  jTDS            ssl=require (encrypts, and checks no certificate)\n"));
}

TEST_F(Check, ShowKeepsThatInComments) {
  for (const char *name : {"b.pem", "b.key"}) {
    std::ofstream(file.parent_path() / name) << "";
    fs::permissions(file.parent_path() / name, fs::perms(0600));
  }
  std::ofstream(file) << encrypting;
  std::ostringstream out;
  EXPECT_EQ(commands::check(out, file, true), 0);
  EXPECT_THAT(out.str(), testing::HasSubstr("\n#   FreeTDS "));
  std::ofstream(file) << out.str();
  std::ostringstream again;
  EXPECT_EQ(commands::check(again, file, true), 0) << again.str();
}

TEST_F(Check, AFileThatIsNotThere) {
  std::ostringstream out;
  EXPECT_EQ(commands::check(out, file), 2);
  EXPECT_THAT(out.str(), testing::HasSubstr(": cannot be read: No such file or directory"));
}

} // namespace
