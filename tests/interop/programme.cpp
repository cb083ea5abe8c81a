#include "tests/interop/programme.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace interop {
namespace {

/// How many connections the peer has recorded so far.
int recorded(lab::Lab &lab) {
  int last = 0;
  for (const auto &entry : lab::fs::directory_iterator(lab.folder() / "peer"))
    last = std::max(last, std::atoi(entry.path().filename().c_str()));
  return last;
}

/// Connections after number `after` whose application is one of this run's steps. Empty while one of them is still open.
std::optional<std::map<std::string, Trace>> collect(lab::Lab &lab, const std::string &app, int after) {
  std::map<std::string, Trace> steps;
  const auto last = recorded(lab);
  for (int number = after + 1; number <= last; ++number) {
    const auto facts = lab.peer().record(number);
    if (!facts.contains("login7")) continue;
    const auto name = facts["login7"]["app"].get<std::string>();
    if (!name.starts_with(app + "+")) continue;
    if (facts.value("state", "") != "closed") return std::nullopt;
    steps[name.substr(app.size() + 1)].connections.push_back(connection_of(number, lab.peer().received(number), facts));
  }
  return steps;
}

} // namespace

std::unique_ptr<lab::Lab> make_lab(lab::LabOptions options) {
  options.serve = false;
  auto lab = std::make_unique<lab::Lab>(std::move(options));
  const auto file = lab->folder() / "sqlshim.toml";
  lab::write_file(file, "[limits]\nhandshakes = 256\nhandshakes_per_uid = 256\n\n" + lab::read_file(file));
  lab->start_serve();
  auto &realm = lab->realm();
  realm.kinit("alice", "alicepw", lab->folder() / "ccache");
  // jTDS makes the SPN itself, of the host that it was given.
  const auto typed = fmt::format("MSSQLSvc/{}:{}", lab->peer().address(), lab->sql_port());
  for (const auto &spn : {typed, fmt::format("MSSQLSvc/localhost:{}", lab->port())})
    realm.add_spn(spn);
  realm.ktadd(lab->folder() / "peer.keytab", typed);
  const auto *entry =
      "{} {{ com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true doNotPrompt=true ticketCache=\"{}\"; }};\n";
  std::string jaas;
  for (const auto *name : {"SQLJDBCDriver", "com.sun.security.jgss.initiate", "com.sun.security.jgss.krb5.initiate"})
    jaas += fmt::format(fmt::runtime(entry), name, (lab->folder() / "ccache").string());
  lab::write_file(lab->folder() / "jaas.conf", jaas);
  return lab;
}

lab::Environment environment(lab::Lab &lab, const Driver &driver, Way way, const std::string &only) {
  auto result = lab.environment();
  const bool direct = way == Way::direct;
  const auto auth = direct && only.empty() ? driver.direct_auth() : driver.auth;
  result["SQL_HOST"] = direct ? lab.peer().address() : "127.0.0.1";
  result["SQL_PORT"] = std::to_string(direct ? lab.sql_port() : lab.port());
  result["SQL_USER"] = direct ? "sa" : "anybody";
  result["SQL_PASSWORD"] = direct ? "Lab.Passw0rd" : "anything";
  result["SQL_AUTH"] = to_string(auth);
  result["SQL_SPN"] = lab.spn();
  result["SQL_CERTIFICATE"] = (lab.folder() / (direct ? "peer.pem" : "state/listener.pem")).string();
  result["SQL_CERTIFICATE_NAME"] = direct ? lab::sql1 : "localhost";
  result["SQL_CA"] = (lab.folder() / (direct ? "ca.pem" : "state/listener.pem")).string();
  result["SQL_MODE"] = driver.mode;
  result["SQL_APP"] = driver.slug();
  result["SQL_ONLY"] = only;
  result["JAVA_TOOL_OPTIONS"] = fmt::format(
      "-Djava.security.krb5.conf={} -Djava.security.auth.login.config={} -Djavax.security.auth.useSubjectCredsOnly=false",
      lab.realm().krb5_conf().string(), (lab.folder() / "jaas.conf").string());
  result["NODE_PATH"] = SQLSHIM_SOURCE_DIR "/build/interop/node_modules";
  return result;
}

Run run(lab::Lab &lab, const Driver &driver, Way way, const std::string &only) {
  const auto before = recorded(lab);
  Run result;
  result.finished = lab::run({.argv = driver.command(), .environment = environment(lab, driver, way, only)}, {},
                             std::chrono::seconds(150));
  std::optional<std::map<std::string, Trace>> steps;
  if (!lab::eventually([&] { return (steps = collect(lab, driver.slug(), before)).has_value(); }))
    throw lab::LabError(driver.slug() + ": a connection stayed open after its program had ended");
  result.steps = std::move(*steps);
  for (auto &[name, lines] : steps_of(result.finished.output))
    result.steps[name].lines = std::move(lines);
  return result;
}

} // namespace interop
