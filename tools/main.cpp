// The command line of sqlshim. `sqlshim --help` teaches it; README.md beside this file lists what
// each subcommand promises.
#include "config/load.hpp"
#include "tools/commands.hpp"

#include <CLI/CLI.hpp>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <unistd.h>

namespace {

constexpr int bad_usage = 2;

constexpr auto examples = R"(
Examples:
  sqlshim check                       is the configuration right? lists everything that is not
  sqlshim serve                       run the proxy, with /etc/sqlshim/sqlshim.toml
  sqlshim serve --config my.toml      ... or with another configuration
  sqlshim explain sql1.corp.test      what would happen on the way there, step by step; --connect logs in
  sqlshim log decisions.jsonl         what was decided, connection by connection, and why
  sqlshim lab -- sh                   a KDC, a DNS server and a TDS peer on loopback to try it with

The configuration is --config FILE, else $SQLSHIM_CONFIG, else /etc/sqlshim/sqlshim.toml. A small one:
  [[listener]]
  name = "reports"
  address = "127.0.0.1:14330"         # applications connect here, with any user and password
  [[identity]]
  name = "svc-reports"
  keytab = "reports.keytab"           # whose credentials sqlshim logs in with
  principal = "svc-reports@CORP.TEST"
  [[route]]
  name = "reports"
  target = "sql1.corp.test"           # the real SQL Server
  identity = "svc-reports"

Exit status: 0 good, 1 what was asked about is bad, 2 usage or configuration.)";

constexpr auto serve_help = R"(
Prints "listening NAME ADDRESS" for each listener on standard output when it is ready. Diagnostics go to standard error, decisions
to the decision log ([log] decisions).

  kill -HUP PID     forget tickets, refusals and DNS answers; open the decision log anew (after rotation)
  kill -TERM PID    stop: wait for running connections, a second one ends them)";

constexpr auto check_help = R"(
Each line is FILE:LINE:COLUMN: KEY: what is wrong, and what to write instead. Opens no keytab and connects nowhere.

Exit status: 0 when there are warnings at most, 2 with any problem.)";

constexpr auto log_help = R"(
A line is CONNECTION +TIME-SINCE-ACCEPT EVENT NAME=VALUE...:
  7f3a01c2 +1.830ms policy.decided rule=reports outcome=allow route=dw reason=matched

Examples:
  sqlshim log decisions.jsonl
  sqlshim log decisions.jsonl --conn 7f3a01c2         the connection that an error message named
  sqlshim log decisions.jsonl --cause spn-missing     all connections refused for this
  sqlshim log --follow                                watch the log of the configuration, through rotations
  ssh db1 cat /var/log/sqlshim.jsonl | sqlshim log -

With --follow it waits for a file that does not exist yet, and ends on Ctrl-C with status 0; with --cause a connection is shown when it
closes. Lines that cannot be read are named on standard error and left out; the exit status is 1 then.)";

constexpr auto explain_help = R"(
Goes the way of a login by the same functions as the proxy: names, SPNs, tickets, and with --connect the login itself, which it ends
as soon as the server has answered. Nothing of it reaches the decision log or the tickets of a running sqlshim. The policy is that of
the first route with this target; for another target defaults, with the first identity. Run it as the user who runs sqlshim: the
identity's allow list holds here too.

Examples:
  sqlshim explain sql1.corp.test                      names, SPNs, tickets
  sqlshim explain sql1.corp.test --connect            the login as well
  sqlshim explain sql1.corp.test --connect --control  is it sqlshim, or is it the server? FreeTDS tries it too
  sqlshim explain sql1 --as all                       which name and SPN each client driver would use, and who would fail
  sqlshim explain --route reports --connect --json    for a program: one JSON document

Exit status: 0 the login would succeed (without --connect: would get as far as connecting), 1 it would fail, 2 usage or
configuration, or a login that takes the client's own password.)";

bool colour_wanted() { return ::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR"); }

/// Waits until the next look at the log; false after SIGINT or SIGTERM, which must be blocked.
bool look_again(const sigset_t &signals) {
  const timespec pause{0, 100'000'000};
  return ::sigtimedwait(&signals, nullptr, &pause) < 0;
}

int follow_log(const std::string &file, const commands::LogOptions &options) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM})
    ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  commands::follow(file, std::cout, std::cerr, options, [&] { return look_again(signals); });
  return 0;
}

/// `sqlshim log`: opens what is to be read.
int show_log(const std::string &config_option, std::string file, commands::LogOptions options, bool follow) {
  if (const auto problem = commands::cause_problem(options.cause); !problem.empty()) {
    std::cerr << "sqlshim log: " << problem << '\n';
    return bad_usage;
  }
  options.colour = colour_wanted();
  if (file.empty()) {
    const config::Loaded loaded = config::load(config::which_file(config_option));
    if (!loaded.ok() || loaded.config.log.decisions == "-") {
      std::cerr << "sqlshim log: which log? Write sqlshim log FILE; " << loaded.config.file.string()
                << " does not tell\n";
      return bad_usage;
    }
    file = loaded.config.log.decisions.string();
  }
  options.name = file == "-" ? "standard input" : file;
  if (file == "-")
    return commands::log(std::cin, std::cout, std::cerr, options); // a pipe is followed as it is
  std::error_code ignored;
  const bool absent = std::filesystem::status(file, ignored).type() == std::filesystem::file_type::not_found;
  std::ifstream in(file);
  if (follow && (absent || (in && std::filesystem::is_regular_file(file)))) return follow_log(file, options);
  if (!in || std::filesystem::is_directory(file)) {
    std::cerr << "sqlshim log: " << file
              << " cannot be read: " << std::generic_category().message(in ? EISDIR : errno) << '\n';
    return bad_usage;
  }
  return commands::log(in, std::cout, std::cerr, options);
}

} // namespace

int main(int argc, char **argv) {
  // Before anything reads them: all of these arguments, --help too, are the lab's.
  if (argc > 1 && std::string_view(argv[1]) == "lab")
    return commands::lab(std::cerr, std::span(argv + 2, argv + argc));

  CLI::App app(
      "sqlshim: a local TDS proxy. An application connects to it as to SQL Server; it does the integrated "
      "login (Kerberos) to\n"
      "the real SQL Server itself, writes down each decision, and explains each failure.\n",
      "sqlshim");
  app.set_version_flag("--version", "sqlshim " SQLSHIM_VERSION);
  app.require_subcommand(1);
  app.footer(examples);

  std::string config_option;
  const auto add = [&](const std::string &name, const std::string &what, const std::string &footer) {
    CLI::App *command = app.add_subcommand(name, what);
    command
        ->add_option("--config", config_option,
                     "configuration file (default: $SQLSHIM_CONFIG, /etc/sqlshim/sqlshim.toml)")
        ->type_name("FILE");
    command->footer(footer);
    return command;
  };
  const CLI::App *serve = add("serve", "Run the proxy.", serve_help);
  CLI::App *check = add("check", "Check the configuration and list every problem.", check_help);
  bool show = false;
  check->add_flag("--show", show, "then print it as TOML, with every default and every name resolved");

  CLI::App *explain =
      add("explain", "Say what sqlshim would do for a target, and whether the login would succeed.",
          explain_help);
  commands::ExplainOptions explain_options;
  explain->add_option("target", explain_options.target, "the server, as you would type it")
      ->type_name("TARGET");
  explain
      ->add_option("--route", explain_options.route,
                   "take this route's policy (and its target, without TARGET)")
      ->type_name("NAME");
  explain->add_flag("--connect", explain_options.connect, "log in as well, and hang up");
  explain->add_flag("--control", explain_options.control,
                    "with --connect: let FreeTDS log in directly, with each SPN, and compare");
  explain
      ->add_option(
          "--as", explain_options.as,
          "and what this client driver would make of the target: its name, its SPNs, what the KDC says of them; "
          "or all")
      ->type_name("DRIVER");
  explain->add_flag("--json", explain_options.json, "one JSON document instead of a text");

  CLI::App *log = add("log", "Show a decision log as a timeline.", log_help);
  std::string file;
  commands::LogOptions options;
  log->add_option("file", file, "decision log, - for standard input (default: the one of the configuration)")
      ->type_name("FILE");
  log->add_option("--conn", options.conn, "only the connection with this id (or beginning of one)")
      ->type_name("ID");
  log->add_option("--cause", options.cause, "only connections refused for this cause")->type_name("ID");
  bool follow = false;
  log->add_flag("-f,--follow", follow, "go on with what is written, as tail -F does");
  log->add_flag("--time", options.time, "put the time of day (UTC) in front of each line");

  CLI::App *help = app.add_subcommand("help", "Say what a key of the configuration, or a cause, is.");
  std::string word;
  help->add_option("word", word, "as encrypt, timeouts.login, log.level, spn-missing")
      ->type_name("WORD")
      ->required();

  app.add_subcommand("lab", "Bring up a KDC, a DNS server and a TDS peer on loopback (sqlshim lab --help).");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? 0 : bad_usage; // --help and --version come this way too
  }
  try {
    if (*serve) return commands::serve(config::which_file(config_option));
    if (*check) return commands::check(std::cout, config::which_file(config_option), show);
    if (*help) return commands::help(std::cout, std::cerr, word);
    if (*explain) {
      explain_options.colour = colour_wanted();
      return commands::explain(std::cout, std::cerr, config::which_file(config_option), explain_options);
    }
    return show_log(config_option, file, options, follow);
  } catch (const std::exception &error) {
    std::cerr << "sqlshim: " << error.what() << '\n';
    return bad_usage;
  }
}
