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

/// Of what the peer has recorded of connections after number `after`: those of this application.
class Recorded {
public:
  Recorded(lab::Lab &lab, std::string app, int after)
      : lab_(lab), prefix_(std::move(app) + "+"), after_(after), closed_(after) {}

  /// Whether they are closed. What is closed is not looked at again.
  bool closed() {
    for (const auto last = recorded(lab_); closed_ < last; ++closed_) {
      const auto facts = lab_.peer().record(closed_ + 1);
      if (is_ours(facts) && facts.value("state", "") != "closed") return false;
    }
    return true;
  }
  std::map<std::string, Trace> steps() const {
    std::map<std::string, Trace> steps;
    for (int number = after_ + 1; number <= closed_; ++number)
      if (const auto facts = lab_.peer().record(number); is_ours(facts))
        steps[app_of(facts).substr(prefix_.size())].connections.push_back(
            connection_of(number, lab_.peer().received(number), facts));
    return steps;
  }

private:
  static std::string app_of(const nlohmann::json &facts) { return facts["login7"]["app"].get<std::string>(); }
  bool is_ours(const nlohmann::json &facts) const {
    return facts.contains("login7") && app_of(facts).starts_with(prefix_);
  }

  lab::Lab &lab_;
  std::string prefix_; ///< what is behind it is the step
  int after_, closed_;
};

/// What the programme finds in its environment.
lab::Environment environment(lab::Lab &lab, const Driver &driver, Way way, const std::string &only,
                             const Account &account) {
  auto result = lab.environment();
  const bool direct = way == Way::direct;
  const auto auth = direct && only.empty() ? driver.direct_auth() : driver.auth;
  result["SQL_HOST"] = direct ? lab.peer().address() : "127.0.0.1";
  result["SQL_PORT"] = std::to_string(direct ? lab.sql_port() : lab.port());
  result["SQL_USER"] = direct ? "sa" : account.user;
  result["SQL_PASSWORD"] = direct ? "Lab.Passw0rd" : account.password;
  result["SQL_AUTH"] = to_string(auth);
  result["SQL_SPN"] = lab.spn();
  result["SQL_CERTIFICATE"] = (lab.folder() / (direct ? "peer.pem" : "state/listener.pem")).string();
  result["SQL_CERTIFICATE_NAME"] = direct ? lab::sql1 : "localhost";
  result["SQL_CA"] = (lab.folder() / (direct ? "ca.pem" : "state/listener.pem")).string();
  result["SQL_MODE"] = driver.mode;
  result["SQL_APP"] = driver.app();
  result["SQL_ONLY"] = only;
  result["TMPDIR"] = lab.folder().string(); // jTDS leaves files behind
  result["JAVA_TOOL_OPTIONS"] = fmt::format(
      "-Djava.security.krb5.conf={} -Djava.security.auth.login.config={} "
      "-Djavax.security.auth.useSubjectCredsOnly=false -Djava.io.tmpdir={}",
      lab.realm().krb5_conf().string(), (lab.folder() / "jaas.conf").string(), lab.folder().string());
  result["NODE_PATH"] = SQLSHIM_SOURCE_DIR "/build/interop/node_modules";
  return result;
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
  for (const auto *name :
       {"SQLJDBCDriver", "com.sun.security.jgss.initiate", "com.sun.security.jgss.krb5.initiate"})
    jaas += fmt::format(fmt::runtime(entry), name, (lab->folder() / "ccache").string());
  lab::write_file(lab->folder() / "jaas.conf", jaas);
  return lab;
}

Run run(lab::Lab &lab, const Driver &driver, Way way, const std::string &only, const Account &account) {
  Recorded connections(lab, driver.app(), recorded(lab));
  Run result;
  result.finished =
      lab::run({.argv = driver.command(), .environment = environment(lab, driver, way, only, account)}, {},
               std::chrono::seconds(150));
  if (!lab::eventually([&] { return connections.closed(); }))
    throw lab::LabError(driver.slug() + ": a connection stayed open after its program had ended");
  result.steps = connections.steps();
  for (auto &[name, lines] : steps_of(result.finished.output))
    result.steps[name].lines = std::move(lines);
  return result;
}

} // namespace interop
