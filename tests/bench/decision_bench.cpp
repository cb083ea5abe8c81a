// What a login's decisions cost before it connects: name, SPN and ticket with warm caches, beside libkrb5
// doing what a driver has it do for the same host. Run it in a lab (tools/bench.sh): it takes the lab's own
// configuration, DNS server and KDC.
#include "auth/handles.hpp"
#include "config/load.hpp"
#include "shim/admission/policy.hpp"
#include "shim/log/log.hpp"
#include "shim/login/upstream.hpp"
#include "tools/lab/process.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>

namespace {

using Clock = std::chrono::steady_clock;
constexpr const char *target = "sqlalias.corp.test";

class NoLog final : public shim::Sink {
  bool write(const shim::Record &) override { return true; }
  bool debug() const override { return false; }
};

[[noreturn]] void fail(const std::string &what) {
  std::cerr << "decision_bench: " << what << '\n';
  std::exit(1);
}

struct Figures {
  double least = 0, median = 0, most = 0; ///< microseconds
};

Figures figures_of(std::vector<double> times) {
  std::ranges::sort(times);
  return {times.front(), times[times.size() / 2], times.back()};
}

/// Each of `runs` timed; the first is the warming up, and is not counted.
Figures measure(std::size_t runs, const std::function<void()> &once) {
  once();
  std::vector<double> times;
  for (std::size_t i = 0; i < runs; ++i) {
    const auto started = Clock::now();
    once();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - started).count());
  }
  return figures_of(std::move(times));
}

void print(const char *what, const Figures &figures) {
  std::printf("%-60s %10.1f %10.1f %10.1f\n", what, figures.least, figures.median, figures.most);
}

/// The proxy's own way of a login up to connecting, with what a running sqlshim keeps from one to the next.
class Decision {
public:
  explicit Decision(const config::Config &config)
      : config_(config), route_(*std::ranges::find(config.routes, "alias", &config::Route::name)),
        identities_(pool_, config.kerberos.config),
        tickets_(value(auth::load_kerberos_config(config.kerberos.config)), config.kerberos.refusals,
                 [](shim::Event) {}),
        tls_(std::make_shared<const shim::TlsContexts>(std::make_shared<const config::Config>())),
        resolver_(io_.get_executor(), std::make_shared<shim::NameFiles>(config.dns), nullptr) {
    route_.spn_rules.order = {auth::Why::port}; // a login goes no further than the first that there is
    asked_.login.option_flags2 |= tds::option2_integrated_security;
  }
  ~Decision() { pool_.join(); }

  void once() {
    shim::Trail trail(log_);
    std::optional<std::optional<shim::Failure>> done;
    const shim::Services services{tickets_, identities_, browsers_};
    const shim::Settings settings{{std::shared_ptr<void>(), &config_}, tls_};
    shim::Login login{services, settings, resolver_, route_, config_.find_identity(route_.identity),
                      nullptr,  asked_,   trail};
    asio::co_spawn(io_, shim::rehearse(login),
                   [&](std::exception_ptr error, std::optional<shim::Failure> failure) {
                     if (!error) done.emplace(std::move(failure));
                   });
    io_.restart();
    while (!done && io_.run_one() > 0) {
    }
    if (!done || *done)
      fail("the lab's login cannot be decided: " + (done ? (*done)->detail : "an exception"));
    round_trips = 0;
    for (const auto &record : trail.records()) {
      const auto *dns = std::get_if<shim::DnsAnswered>(&record.event);
      round_trips += std::holds_alternative<shim::KdcAnswered>(record.event) || (dns && !dns->cached);
      if (std::holds_alternative<shim::SpnTried>(record.event))
        decided = static_cast<double>(record.since_accept.count());
    }
  }
  std::size_t round_trips = 0; ///< questions of the last run that went over the network
  double decided = 0; ///< when the ticket was in hand, microseconds from the start; the rest is libgssapi's

private:
  template <class T> static T value(auth::Result<T> result) {
    if (!result) fail(result.error().text);
    return std::move(*result);
  }

  const config::Config &config_;
  config::Route route_;
  tds::LoginRequest asked_;
  NoLog log_;
  asio::thread_pool pool_{1};
  shim::Identities identities_;
  shim::Tickets tickets_;
  std::shared_ptr<const shim::TlsContexts> tls_;
  shim::Browsers browsers_;
  asio::io_context io_{1};
  shim::Resolver resolver_;
};

/// What a driver leaves to libkrb5: a host-based name made canonical by getaddrinfo and getnameinfo,
/// and a ticket from a ccache.
class Libkrb5 {
public:
  Libkrb5(std::string service_host, const std::string &ccache) : host_(std::move(service_host)) {
    if (krb5_init_context(&context_) != 0 || krb5_cc_resolve(context_, ccache.c_str(), &ccache_) != 0)
      fail("libkrb5 does not start");
  }
  ~Libkrb5() {
    krb5_cc_close(context_, ccache_);
    krb5_free_context(context_);
  }
  Libkrb5(const Libkrb5 &) = delete;

  void once() {
    krb5_creds wanted{}, *got = nullptr;
    if (krb5_sname_to_principal(context_, host_.c_str(), "MSSQLSvc", KRB5_NT_SRV_HST, &wanted.server) != 0 ||
        krb5_cc_get_principal(context_, ccache_, &wanted.client) != 0)
      fail("libkrb5 makes no name of " + host_);
    if (const auto code = krb5_get_credentials(context_, 0, ccache_, &wanted, &got))
      fail(std::string("libkrb5 gets no ticket: ") + krb5_get_error_message(context_, code));
    krb5_free_creds(context_, got);
    krb5_free_cred_contents(context_, &wanted);
  }

private:
  std::string host_;
  krb5_context context_ = nullptr;
  krb5_ccache ccache_ = nullptr;
};

void run_or_fail(std::vector<std::string> argv) {
  if (const auto done = lab::run({.argv = argv}); done.status != 0) fail(argv.front() + ": " + done.output);
}

} // namespace

int main() {
  const char *folder = std::getenv("SQLSHIM_LAB"), *port = std::getenv("SQLSHIM_PEER_PORT");
  if (!folder || !port) fail("run it in a lab: tools/bench.sh");
  const auto loaded = config::load(config::which_file({}));
  if (!loaded.ok()) fail(loaded.problems.front().text());
  const std::string krb5_conf = loaded.config.kerberos.config, at = std::string(folder) + "/bench";
  ::setenv("KRB5_CONFIG", krb5_conf.c_str(), 1);

  std::printf("%-60s %10s %10s %10s\n", "microseconds", "least", "median", "most");
  Decision decision(loaded.config);
  std::vector<double> decided;
  const auto all = measure(5000, [&] {
    decision.once();
    decided.push_back(decision.decided);
  });
  decided.erase(decided.begin());
  const auto ours = figures_of(std::move(decided));
  print("sqlshim: name, SPN and ticket, warm", ours);
  print("  and the security context that the ticket is for", all);
  std::printf("  questions to DNS and KDC in one of them: %zu\n", decision.round_trips);

  // A driver that leaves the name to libkrb5, as libkrb5 does by default; the lab's own
  // krb5.conf has it switched off.
  lab::write_file(at + ".conf", "[libdefaults]\n dns_canonicalize_hostname = true\n rdns = true\n");
  run_or_fail({"kinit", "-c", "FILE:" + at + ".ccache", "-k", "-t", std::string(folder) + "/reports.keytab",
               "svc-reports"});
  ::setenv("KRB5_CONFIG", (at + ".conf:" + krb5_conf).c_str(), 1);
  Libkrb5 libkrb5(std::string(target) + ":" + port, "FILE:" + at + ".ccache");
  const auto theirs = measure(500, [&] { libkrb5.once(); });
  print("libkrb5: getaddrinfo, getnameinfo, ticket from a ccache", theirs);
  std::printf("  sqlshim takes %.2f of the time of libkrb5 (medians)\n", ours.median / theirs.median);

  ::setenv("KRB5_CONFIG", krb5_conf.c_str(), 1);
  print("sqlshim explain, a process of its own, nothing warm", measure(20, [&] {
          run_or_fail({"sqlshim", "explain", target});
        }));
  print("sqlshim explain --as all", measure(20, [&] {
          run_or_fail({"sqlshim", "explain", target, "--as", "all"});
        }));
  if (decision.round_trips > 0) fail("a decision with warm caches asked DNS or a KDC");
}
