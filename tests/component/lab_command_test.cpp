// `sqlshim lab --break ID -- tsql …` for every ID that its help lists, as a user types it: what
// does the application read?
#include "config/causes.hpp"
#include "tools/lab/lab.hpp"

#include <atomic>
#include <gmock/gmock.h>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>

namespace {

using namespace testing;

/// The ids below "Faults for --break:".
std::vector<std::string> faults_in_help() {
  const auto help = lab::run({.argv = {lab::program_folder() / "sqlshim", "lab", "--help"}});
  std::vector<std::string> ids;
  std::istringstream lines(help.output.substr(help.output.find("Faults for --break:")));
  std::string line;
  for (std::getline(lines, line); std::getline(lines, line);)
    if (line.starts_with("  ") && line.size() > 2 && line[2] != ' ')
      ids.push_back(line.substr(2, line.find(' ', 2) - 2));
  return ids;
}

/// What a user types. Two faults are about the application's own TLS, and show to an application that has it
/// otherwise than tsql by default.
std::string command_for(const std::string &id) {
  const std::string tsql =
      "printf 'select auth_scheme from sys.dm_exec_connections where session_id=@@spid\\ngo\\n' | ";
  const std::string plain = "tsql -H 127.0.0.1 -p $SQLSHIM_PORT -U x -P y 2>&1";
  if (id == "listener-requires-tls") return tsql + "TDSVER=7.0 " + plain;
  if (id == "client-requires-tls") // it hangs up where it is offered no TLS, so the log has to tell
    return "printf '[shim]\\nhost = 127.0.0.1\\nport = %s\\ntds version = 7.4\\nencryption = require\\n' $SQLSHIM_PORT > $SQLSHIM_LAB/require.conf; " +
           tsql +
           "FREETDSCONF=$SQLSHIM_LAB/require.conf tsql -S shim -U x -P y >/dev/null 2>&1; "
           "sqlshim log $SQLSHIM_LAB/decisions.jsonl --cause client-requires-tls";
  return tsql + plain;
}

TEST(LabCommand, EveryFaultOfItsHelpReachesTheApplicationWithCauseAndRemedy) {
  const auto ids = faults_in_help();
  ASSERT_GE(ids.size(), 30u);
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::map<std::string, std::string> outputs;
  {
    std::vector<std::jthread> runners; // a lab is mostly waiting for its parts to start
    for (int i = 0; i < 4; ++i)
      runners.emplace_back([&] {
        for (std::size_t mine; (mine = next++) < ids.size();) {
          auto ran = lab::run({.argv = {lab::program_folder() / "sqlshim", "lab", "--break", ids[mine], "--",
                                        "sh", "-c", command_for(ids[mine])}});
          std::lock_guard lock(mutex);
          outputs[ids[mine]] = ran.output;
        }
      });
  }
  for (const auto &id : ids) {
    const auto &output = outputs[id];
    SCOPED_TRACE(id + "\n" + output);
    if (id == "mars-refused" ||
        id == "ptr-wrong") { // tsql does not ask for MARS, and sqlshim not for the PTR
      EXPECT_THAT(output, HasSubstr("KERBEROS"));
      std::cout << id << ": KERBEROS (only who asks for it notices)\n";
      continue;
    }
    if (id == "client-requires-tls") {
      EXPECT_THAT(output, AllOf(HasSubstr("cause=client-requires-tls"), HasSubstr("optional")));
      std::cout << id << ": in the log (the application has hung up)\n";
      continue;
    }
    EXPECT_NE(config::find_cause(id), nullptr) << "a fault is named after the cause that it shows";
    const auto said = output.find(id + ": ");
    ASSERT_NE(said, std::string::npos);
    const auto remedy = output.find("Remedy: ", said);
    ASSERT_NE(remedy, std::string::npos);
    EXPECT_THAT(output, HasSubstr(") from sqlshim")) << "50811, or the number of the server that refused";
    EXPECT_THAT(output, Not(HasSubstr("KERBEROS")));
    std::cout << output.substr(said, output.find(". ", said) + 1 - said) << " … " << output.substr(remedy, 60)
              << "…\n";
  }
  std::cout << ids.size() << " faults, each with its cause and remedy\n";
}

TEST(LabCommand, NtlmFollowsOnAMissingSpnOnTheRouteForThat) {
  struct Row {
    std::vector<std::string> options;
    std::string scheme; ///< auth_scheme
    std::string record; ///< a part of the peer's record
  };
  const std::string bound = R"("channel_bound":true,"domain":"CORP.TEST")",
                    unbound = R"("channel_bound":false,"domain":"CORP.TEST")";
  const Row rows[] = {
      {{}, "KERBEROS", R"("mechanism":"spnego")"},
      {{"--break", "spn-missing"}, "NTLM", bound},
      {{"--break", "spn-missing", "--epa", "required"}, "NTLM", bound},
      {{"--break", "spn-missing", "--server-encrypt", "strict", "--epa", "required"}, "NTLM", bound},
      {{"--break", "spn-missing", "--server-encrypt", "login"}, "NTLM", bound},
      {{"--break", "spn-missing", "--server-encrypt", "off"}, "NTLM", unbound},
      {{"--break", "spn-wrong-account"},
       "spn-wrong-account: ",
       R"("krb_error":41)"},                                   // a ticket that was rejected is no missing SPN
      {{"--break", "preauth-failed"}, "preauth-failed: ", ""}, // nor is a wrong password
  };
  for (const auto &row : rows) {
    std::vector<std::string> argv{lab::program_folder() / "sqlshim", "lab", "--route", "ntlm-fallback"};
    argv.insert(argv.end(), row.options.begin(), row.options.end());
    argv.insert(argv.end(),
                {"--", "sh", "-c", command_for("") + "; tr -d ' \\n' < $SQLSHIM_LAB/peer/0001.json"});
    const auto ran = lab::run({.argv = argv});
    SCOPED_TRACE(testing::PrintToString(row.options) + "\n" + ran.output);
    EXPECT_THAT(ran.output, HasSubstr(row.scheme));
    EXPECT_THAT(ran.output, HasSubstr(row.record));
    if (row.scheme != "KERBEROS") EXPECT_THAT(ran.output, Not(HasSubstr("KERBEROS")));
    if (row.scheme == "NTLM")
      EXPECT_THAT(ran.output,
                  AllOf(HasSubstr(R"("mic":)"), HasSubstr(R"("target_name":"MSSQLSvc/sql1.corp.test:)"),
                        HasSubstr(R"("user":"svc-reports")")));
  }
}

} // namespace
