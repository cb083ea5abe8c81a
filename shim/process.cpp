#include "shim/process.hpp"

#include "shim/server.hpp"
#include "shim/service_manager.hpp"

#include <csignal>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <thread>

namespace shim {
namespace {

/// As many open files as the system lets us have. Returns how many that is.
std::uint64_t raise_descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  rlimit most{files.rlim_max, files.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &most) == 0 ? most.rlim_cur : files.rlim_cur;
}

/// Lowers what the descriptors do not suffice for; the warning that says so.
std::optional<std::string> fit_to(std::uint64_t descriptors, config::Limits &limits) {
  auto most = connections_for(descriptors);
  if (most >= limits.connections) return std::nullopt;
  auto warning = fmt::format(
      "[limits] connections = {}, but the {} open files that this process may have suffice for {}, and that is the limit now; raise LimitNOFILE "
      "of the service (ulimit -Hn), or lower connections",
      limits.connections, descriptors, most);
  limits.connections = most;
  return warning;
}

/// What waits for an address that somebody else has: the process before us may still be on its way out. A
/// signal to stop ends the wait.
class InUse {
public:
  InUse(const sigset_t &signals, spdlog::logger &diagnostics)
      : signals_(signals), diagnostics_(diagnostics) {}

  bool operator()(const std::string &why) {
    if (!until_) {
      until_ = Clock::now() + patience;
      diagnostics_.warn("{}; trying again for {} s", why, patience.count());
    }
    const timespec moment{0, 100'000'000};
    const int signal = ::sigtimedwait(&signals_, nullptr, &moment);
    stopped_ = signal == SIGTERM || signal == SIGINT; // SIGHUP: there is nothing to forget yet
    given_up_ = Clock::now() >= *until_;
    return !stopped_ && !given_up_;
  }
  bool given_up() const { return given_up_; } ///< and the address is in use
  bool stopped() const { return stopped_; }   ///< by a signal, and nothing is amiss

private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds patience{10};

  const sigset_t &signals_;
  spdlog::logger &diagnostics_;
  std::optional<Clock::time_point> until_;
  bool given_up_ = false, stopped_ = false;
};

/// Somebody else has the address: another try may go better, so systemd makes one (sysexits.h: EX_TEMPFAIL).
constexpr int address_in_use = 75;

} // namespace

int serve(config::Config settings, std::vector<std::string> warnings) {
  ::prctl(PR_SET_DUMPABLE, 0);
  keep_memory_in_reserve();
  rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN); // a log that may not grow is an error of its writing, and not our end
  ::setenv("KRB5_CONFIG", settings.kerberos.config.c_str(), 1);
  auto lowered = fit_to(raise_descriptors(), settings.limits);
  auto config = std::make_shared<const config::Config>(std::move(settings));
  auto diagnostics = spdlog::stderr_logger_st("sqlshim");
  diagnostics->set_pattern("%Y-%m-%dT%H:%M:%S.%e sqlshim %l: %v");
  diagnostics->set_level(static_cast<spdlog::level::level_enum>(config->log.level));

  bool debug = config->log.level <= config::Level::debug;
  auto log = open_decision_log(config->log.decisions, debug);
  if (!log) {
    diagnostics->error("{}", log.error());
    return 2;
  }
  // Before any thread: the signals go to the one that waits for them below.
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGHUP, SIGTERM, SIGINT})
    sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  InUse in_use(signals, *diagnostics);
  ServerOptions options;
  options.address_in_use = std::ref(in_use);
  auto server = start_server(config, **log, std::move(options));
  if (!server) {
    if (in_use.stopped()) return 0;
    diagnostics->error("{}", server.error());
    return in_use.given_up() ? address_in_use : 2;
  }
  if (lowered) {
    diagnostics->warn("{}", *lowered);
    warnings.push_back(*lowered);
  }
  for (const auto &warning : warnings)
    (*log)->emit(Warned{warning});
  for (const auto &[name, address] : (*server)->listening())
    fmt::print("listening {} {}\n", name, address);
  std::fflush(stdout);
  diagnostics->info("serving; decisions go to {}", config->log.decisions.string());
  const auto tell = [&](const std::string &state) {
    if (const auto why = tell_service_manager(state); !why.empty()) diagnostics->warn("{}", why);
  };
  tell("READY=1\nSTATUS=serving");

  for (;;) {
    int number = 0;
    sigwait(&signals, &number);
    if (number == SIGHUP) {
      (*server)->forget();
      diagnostics->info("tickets, KDC refusals and DNS answers forgotten");
      continue;
    }
    const auto running = (*server)->connections();
    diagnostics->info("stopping; waiting for {} connections", running);
    // Its own patience may be shorter than ours.
    const auto needed = std::chrono::microseconds(config->limits.drain + Millis(10000));
    tell(fmt::format("STOPPING=1\nSTATUS=waiting for {} connections\nEXTEND_TIMEOUT_USEC={}", running,
                     needed.count()));
    // A second signal ends the wait.
    std::thread impatient([&] {
      int again = 0;
      do
        sigwait(&signals, &again);
      while (again == SIGHUP);
      (*server)->hurry();
    });
    (*server)->drain(config->limits.drain);
    ::kill(::getpid(), SIGTERM); // lets the other thread go, if nobody has
    impatient.join();
    break;
  }
  server->reset();
  (*log)->flush(Millis(2000));
  return 0;
}

} // namespace shim
