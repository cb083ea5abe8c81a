// Runs a driver's programme: a small program in the driver's own language that does the same steps
// with it, wherever it is sent.
//
// It is told by its environment:
//   SQL_HOST SQL_PORT SQL_USER SQL_PASSWORD      where to, as whom
//   SQL_AUTH                                     sql, kerberos or ntlm
//   SQL_SPN                                      for its Kerberos
//   SQL_CERTIFICATE SQL_CERTIFICATE_NAME SQL_CA  for its TDS 8.0: the server's, a name in it, who signed it
//   SQL_MODE                                     the row's mode
//   SQL_APP                                      each step's connections say that they are SQL_APP+STEP
//   SQL_ONLY                                     one step alone; nothing: all of them
// It prints "step NAME: TEXT" lines, the same each time it is run; "step NAME: - WHY" where the driver has no
// such thing. Its status is 0 when every step ran.
#pragma once

#include "tests/interop/comparison.hpp"
#include "tests/interop/driver.hpp"
#include "tools/lab/lab.hpp"

namespace interop {

/// Where a programme is sent.
enum class Way { direct, through };

/// A lab whose sqlshim lets fifty logins in at once.
std::unique_ptr<lab::Lab> make_lab(lab::LabOptions options);

/// As whom a programme logs in to sqlshim. Direct, it is the peer's own sa.
struct Account {
  std::string user = "anybody", password = "anything";
};

struct Run {
  lab::Finished finished;
  std::map<std::string, Trace> steps;
};
/// Runs it, and collects what the peer has recorded of it, once its connections are closed. Not twice at once
/// for one driver in one mode: the peer tells them apart by that.
Run run(lab::Lab &lab, const Driver &driver, Way way, const std::string &only = {},
        const Account &account = {});

} // namespace interop
