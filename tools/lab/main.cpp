// sqlshim-lab: the laboratory. `sqlshim lab` starts it; `sqlshim-lab peer` is its own server process.
#include "tools/lab/lab.hpp"
#include "tools/lab/netns.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>

/// What AddressSanitizer asks a program that is built with it. At the end of each of a lab's peers it would
/// look for leaks for longer than the peer lived; those of the lab's parts are looked for in tools_test.
extern "C" const char *__asan_default_options() { return "detect_leaks=0"; }

namespace {

constexpr int usage = 2;

std::string help_footer() {
  std::string text = R"(
COMMAND finds in its environment:
  SQLSHIM_LAB        the folder: krb5.conf, kdc.log, decisions.jsonl, sqlshim.toml, ca.pem, peer/, …
  SQLSHIM_PORT       where sqlshim listens on 127.0.0.1; SQLSHIM_PID, SQLSHIM_CONFIG
  SQLSHIM_PEER_HOST  the server itself (an address; its name with --netns), with SQLSHIM_PEER_PORT, SQLSHIM_PEER_PID
  SQLSHIM_SPN        the server's SPN
  KRB5_CONFIG, KRB5_KDC_PROFILE, KRB5CCNAME, FREETDSCONF (section peer), PATH

Users, by Kerberos and by NTLM (domain CORP): alice (password alicepw), bob (bobpw); svc-reports (Reports.Passw0rd) is the
identity of the routes. SQL login of the server: sa, Lab.Passw0rd.

Examples:
  sqlshim lab                                a shell in the lab
  sqlshim lab -- sh -c 'printf "select suser_sname()\ngo\n" | tsql -H 127.0.0.1 -p $SQLSHIM_PORT -U x -P y'
  sqlshim lab -- sh -c 'echo alicepw | kinit alice && tsql -S peer'        straight to the server, without sqlshim
  sqlshim lab --break spn-missing -- sh -c 'tsql -H 127.0.0.1 -p $SQLSHIM_PORT -U x -P y; sqlshim log $SQLSHIM_LAB/decisions.jsonl'
  sqlshim lab -- sqlshim explain sqlalias.corp.test --as all               which name and SPN each driver makes of it
  sqlshim lab --netns -- sh -c 'echo alicepw | kinit alice && tsql -S sqlalias'  what a driver itself makes of it: see kdc.log
In the shell:
  kadmin.local -p sqlshim/admin -q "delprinc -force $SQLSHIM_SPN"; kill -HUP $SQLSHIM_PID

Faults for --break:
)";
  for (const auto &fault : lab::all_faults())
    text += fmt::format("  {:<24} {}\n", fault.id, fault.what);
  return text;
}

/// "sqlalias=sql2" for --cname. Small letters: dnsmasq knows one name by them, and exits
/// where it has two records.
std::pair<std::string, std::string> parse_cname(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto equals = text.find('=');
  const auto alias = lab::full_name(text.substr(0, equals));
  const auto target = equals == text.npos ? std::string() : lab::full_name(text.substr(equals + 1));
  for (const auto &name : {alias, target}) // it becomes a line of dnsmasq's configuration
    if (name.empty() || name.starts_with('.') ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") != name.npos)
      throw CLI::ValidationError("--cname", text + ": write ALIAS=NAME, as in sqlalias=sql2.corp.test");
  if (alias == target) throw CLI::ValidationError("--cname", text + ": a name cannot be its own alias");
  return {alias, target};
}

int run_lab(lab::LabOptions options, std::vector<std::string> command) {
  const bool interactive = command.empty();
  const bool keep = options.keep;
  lab::Lab::block_signals();
  if (options.netns) lab::enter_netns();
  lab::Lab lab(std::move(options));
  if (interactive)
    fmt::print(stderr, "lab: up in {}. Leave the shell to take it down.\n", lab.folder().string());
  const int status = lab.run(std::move(command));
  if (keep) fmt::print(stderr, "lab: kept {}\n", lab.folder().string());
  return status;
}

int run_lab_command(std::vector<std::string> arguments) {
  // What follows -- is COMMAND's, options and all.
  const auto dashes = std::ranges::find(arguments, "--");
  const bool given = dashes != arguments.end();
  const std::vector<std::string> command(given ? dashes + 1 : dashes, arguments.end());
  arguments.erase(dashes, arguments.end());

  CLI::App app(
      "Brings up a Kerberos realm, a DNS server, a TDS server and sqlshim on loopback, runs COMMAND in it "
      "(else $SHELL),\n"
      "takes everything down again, and ends with COMMAND's status. Needs neither root nor a network.",
      "sqlshim lab [OPTION...] [-- COMMAND]\n             ");
  lab::LabOptions options;
  app.add_option("--break", options.fault, "Break one thing (list below)")->type_name("ID");
  app.add_option("--host", options.hosts,
                 "One more server: address, DNS records, SPN, peer (may be repeated)")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option(
         "--route", options.route,
         "Which route SQLSHIM_PORT leads to: reports (default), alias (the same server by its CNAME), or\n"
         "ntlm-fallback (NTLM where the KDC does not know the server's SPN: --break spn-missing)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"reports", "alias", "ntlm-fallback"}));
  app.add_option(
         "--server-encrypt", options.server_encrypt,
         "What the server makes of TLS: off has none; login covers the login alone; on (default) does as the\n"
         "client asks; require insists; strict is TDS 8.0. The routes' `encrypt` fits")
      ->type_name("HOW")
      ->check(CLI::IsMember({"off", "login", "on", "require", "strict"}));
  app.add_option(
         "--epa", options.epa,
         "Extended Protection at the server: off; allowed (default) refuses wrong channel bindings; required\n"
         "refuses a login without them, too")
      ->type_name("HOW")
      ->check(CLI::IsMember({"off", "allowed", "required"}));
  std::vector<std::string> cnames;
  app.add_option(
         "--cname", cnames,
         "A becomes an alias of B, whatever it was before (may be repeated). Without a dot: in corp.test. A B\n"
         "that the lab does not know gets the server's address, but neither PTR nor SPN")
      ->type_name("A=B")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option(
         "--instance", options.instance,
         "sql1 is the named instance NAME, at a port of the kernel's choice that SQL Browser (UDP 1434 of its\n"
         "address) tells; the routes' target is sql1.corp.test\\NAME. SIGUSR1 to $SQLSHIM_PEER_PID moves it to\n"
         "another port, with its SPN; $SQLSHIM_LAB/peer.port says which")
      ->type_name("NAME")
      ->check([](const std::string &name) {
        const bool good =
            !name.empty() && name.size() <= 16 &&
            std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
        return good ? std::string() : name + ": an instance is named by 1 to 16 letters, digits and _";
      });
  std::vector<std::string> with;
  app.add_option("--with", with,
                 "smb: Samba's smbd, which leads to sql1's named pipe (its port is 4455; files in\n"
                 "$SQLSHIM_LAB/smb/)")
      ->type_name("PART")
      ->expected(1)
      ->check(CLI::IsMember({"smb"}))
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag("--no-ptr", options.no_ptr, "No server's address has a name in DNS");
  app.add_flag(
      "--netns", options.netns,
      "In user, network and mount namespaces, where resolv.conf leads to the lab's DNS (port 53): drivers then\n"
      "resolve its names themselves. Nothing outside can be reached, nor the lab from outside");
  app.add_flag("--keep", options.keep, "Keep the folder and print its path");
  app.footer(help_footer());

  std::ranges::reverse(arguments); // as CLI11 wants them
  try {
    app.parse(arguments);
    for (const auto &cname : cnames)
      options.cnames.push_back(parse_cname(cname));
    options.smb = !with.empty();
    if (given && command.empty()) throw CLI::ValidationError("--", "a command must follow");
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : usage;
  }
  return run_lab(std::move(options), command);
}

int run_peer_command(std::vector<std::string> arguments) {
  CLI::App app("The server process of the lab", "sqlshim-lab peer");
  std::string config;
  app.add_option("--config", config, "Its options, as JSON")->required();
  std::ranges::reverse(arguments);
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : usage;
  }
  return lab::run_peer(config);
}

} // namespace

int main(int count, char **values) {
  std::vector<std::string> arguments(values + 1, values + count);
  const bool peer = !arguments.empty() && arguments.front() == "peer";
  if (peer || (!arguments.empty() && arguments.front() == "lab")) arguments.erase(arguments.begin());
  try {
    return peer ? run_peer_command(std::move(arguments)) : run_lab_command(std::move(arguments));
  } catch (const std::exception &error) {
    fmt::print(stderr, "lab: {}\n", error.what());
    return usage;
  }
}
