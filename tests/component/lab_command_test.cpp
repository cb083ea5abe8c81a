// `sqlshim lab --break ID -- tsql …` for every ID that its help lists, as a user types it: what does the application read?
#include "shim/diagnosis/cause.hpp"
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

/// What a user types. Two faults are about the application's own TLS, and show to an application that has it otherwise than tsql by default.
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
          auto ran = lab::run({.argv = {lab::program_folder() / "sqlshim", "lab", "--break", ids[mine], "--", "sh",
                                        "-c", command_for(ids[mine])}});
          std::lock_guard lock(mutex);
          outputs[ids[mine]] = ran.output;
        }
      });
  }
  for (const auto &id : ids) {
    const auto &output = outputs[id];
    SCOPED_TRACE(id + "\n" + output);
    if (id == "mars-refused" || id == "ptr-wrong") { // tsql does not ask for MARS, and sqlshim not for the PTR
      EXPECT_THAT(output, HasSubstr("KERBEROS"));
      std::cout << id << ": KERBEROS (only who asks for it notices)\n";
      continue;
    }
    if (id == "client-requires-tls") {
      EXPECT_THAT(output, AllOf(HasSubstr("cause=client-requires-tls"), HasSubstr("optional")));
      std::cout << id << ": in the log (the application has hung up)\n";
      continue;
    }
    EXPECT_NE(shim::find_cause(id), nullptr) << "a fault is named after the cause that it shows";
    const auto said = output.find(id + ": ");
    ASSERT_NE(said, std::string::npos);
    const auto remedy = output.find("Remedy: ", said);
    ASSERT_NE(remedy, std::string::npos);
    EXPECT_THAT(output, HasSubstr("Msg 50811 (severity 14, state 1) from sqlshim"));
    EXPECT_THAT(output, Not(HasSubstr("KERBEROS")));
    std::cout << output.substr(said, output.find(". ", said) + 1 - said) << " … " << output.substr(remedy, 60) << "…\n";
  }
  std::cout << ids.size() << " faults, each with its cause and remedy\n";
}

} // namespace
