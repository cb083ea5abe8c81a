// `sqlshim serve` under what applications and networks do to it for a long time: logins, queries,
// cancels, clients that vanish, faults of KDC, DNS and server, SIGHUPs and rotated logs, at random.
// tools/soak.sh builds and runs it.
//
// What must hold at the end: no login failed without a fault that explains it, and what sqlshim holds when it
// is quiet is what it held after warming up.
#include "tests/support/decisions.hpp"
#include "tests/support/scripted_dns.hpp"
#include "tests/support/scripted_server.hpp"
#include "tools/lab/kdc_front.hpp"
#include "tools/lab/lab.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <mutex>
#include <random>
#include <thread>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Manner = lab::KdcFrontOptions::Manner;
using Random = std::mt19937_64;

constexpr int clients = 8;            // half of [limits] handshakes_per_uid, so that none is refused for it
constexpr std::size_t most_idle = 40; // connections that only stand
constexpr double most_growth = 2.0;   // MiB of RSS, from quiet after warm-up to quiet at the end
constexpr auto unchanged_for = 7s; // what is quiet: c-ares asks for 4.9 s, also for a login that has given up
constexpr int most_shown = 10;     // failures that are printed
constexpr std::string_view good = "good";       // the route to a server that behaves
constexpr std::string_view hostile = "hostile"; // the route to one that does not

int roll(Random &random, int upto) { return std::uniform_int_distribution<int>(0, upto - 1)(random); }

// ---- what the process holds ----

struct Held {
  double rss = 0; ///< MiB
  std::size_t descriptors = 0;
  int threads = 0;
};

/// What its descriptors are, for the case that they are too many: files by name, sockets as the
/// kernel's tables have them.
std::vector<std::string> descriptors_of(pid_t pid) {
  std::vector<std::string> result;
  std::error_code gone;
  for (const auto &entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), gone)) {
    auto target = fs::read_symlink(entry.path(), gone).string();
    if (const auto start = target.find("socket:["); start == 0) {
      const auto inode = target.substr(8, target.size() - 9);
      for (const auto *table : {"tcp", "tcp6", "udp", "udp6", "netlink", "unix"}) {
        std::ifstream lines(fmt::format("/proc/{}/net/{}", pid, table));
        for (std::string line; std::getline(lines, line);)
          if (line.contains(" " + inode + " ") || line.ends_with(" " + inode))
            target = fmt::format("{} {}", table, line.substr(0, 40));
      }
    }
    result.push_back(std::move(target));
  }
  std::ranges::sort(result);
  return result;
}

Held held_by(pid_t pid) {
  Held held;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) held.rss = std::stod(line.substr(6)) / 1024;
    if (line.starts_with("Threads:")) held.threads = std::stoi(line.substr(8));
  }
  std::error_code gone;
  for (auto entry = fs::directory_iterator(fmt::format("/proc/{}/fd", pid), gone);
       entry != fs::directory_iterator(); entry.increment(gone))
    ++held.descriptors;
  return held;
}

// ---- the world ----

/// The lab, and sqlshim between a KDC and a DNS server that can be made to fail.
class World {
public:
  World()
      : lab_({.hosts = {"sql2"}, .serve = false}), kdc_({.address = lab_.block().address(3),
                                                         .kdc_address = lab_.realm().kdc_address(),
                                                         .kdc_port = lab_.realm().kdc_port()}),
        dns_(lab_.block().address(4), lab_.dns().address(), lab_.dns().port()) {
    lab_.peer(1).stop();
    hostile_.emplace(lab_.block().server(1), lab_.sql_port(), misbehave);
    lab::write_file(
        folder() / "krb5.conf",
        fmt::format("[libdefaults]\n default_realm = CORP.TEST\n[realms]\n CORP.TEST = {{\n  kdc = {}\n }}\n"
                    "[domain_realm]\n .corp.test = CORP.TEST\n",
                    kdc_.place()));
    auto toml = fmt::format(
        "[dns]\nservers = [\"{}\"]\nsearch = [\"corp.test\"]\n[kerberos]\nconfig = \"krb5.conf\"\n"
        "[[identity]]\nname = \"reports\"\nkeytab = \"{}\"\nprincipal = \"svc-reports@CORP.TEST\"\n",
        dns_.place(), (lab_.folder() / "reports.keytab").string());
    for (const auto &[route, host] : {std::pair{good, "sql1"}, {hostile, "sql2"}})
      toml += fmt::format(
          "[[listener]]\nname = \"{0}\"\naddress = \"127.0.0.1:0\"\n[[route]]\nname = \"{0}\"\n"
          "match = {{ listener = \"{0}\" }}\ntarget = \"{1}.corp.test,{2}\"\nidentity = \"reports\"\n"
          "encrypt = \"{3}\"\nca_file = \"{4}\"\ntimeouts = {{ dns = \"1s\", kdc = \"1s\", login = \"8s\" }}\n",
          route, host, lab_.sql_port(), route == good ? "require" : "off",
          (lab_.folder() / "ca.pem").string());
    lab::write_file(folder() / "sqlshim.toml", toml);
    serve_.emplace(lab::Command{
        .argv = {lab::program_folder() / "sqlshim", "serve", "--config", folder() / "sqlshim.toml"},
        .output = folder() / "serve.log"});
    for (const auto route : {good, hostile}) {
      const auto place = serve_->wait_for_line(fmt::format("listening {} ", route));
      ports_[std::string(route)] = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
    }
  }

  std::uint16_t port(std::string_view route) const { return ports_.at(std::string(route)); }
  lab::Process &serve() { return *serve_; }
  lab::KdcFront &kdc() { return kdc_; }
  test::ScriptedDns &dns() { return dns_; }
  lab::Peer &server() { return lab_.peer(); }
  std::string diagnostics() const { return lab::read_file(folder() / "serve.log"); }

  /// As logrotate does it: a new decision log, and caches that are empty. Waits until both are.
  void rotate() {
    const auto log = folder() / "decisions.jsonl";
    fs::rename(log, log.string() + ".1");
    serve_->signal(SIGHUP);
    if (!lab::eventually([&] { return lab::read_file(log).contains("\"reloaded\""); }, 30s))
      throw lab::LabError("sqlshim did not take SIGHUP within 30 s");
    // A line that cannot be read is a failure of the run; the file then goes, else a long run fills the disk.
    std::ifstream old(log.string() + ".1");
    for (std::string line; std::getline(old, line);)
      if (!line.starts_with("{\"v\":1,") || !line.ends_with("}}"))
        throw lab::LabError("a broken line in the decision log: " + line);
    fs::remove(log.string() + ".1");
  }

private:
  fs::path folder() const { return folder_.path(); }
  /// A server that fails in some step of the login.
  static void misbehave(test::Connection &connection) {
    static std::atomic<unsigned> count{0};
    test::TdsServerSide side(connection);
    const auto step = count++ % 5;
    if (step > 0) side.prelogin();
    if (step > 1) side.login();
    if (step == 3)
      side.say({tds::ServerMessage{.number = 18456, .state = 1, .severity = 14, .text = u"no"},
                test::done(tds::done_error)});
    if (step == 4) side.send(tds::Bytes(5000, 0xFF));
    connection.reset();
  }

  lab::TemporaryFolder folder_;
  lab::Lab lab_;
  lab::KdcFront kdc_;
  test::ScriptedDns dns_;
  std::optional<test::ScriptedServer> hostile_;
  std::optional<lab::Process> serve_;
  std::map<std::string, std::uint16_t> ports_;
};

// ---- faults ----

/// Odd while something is broken. What begins and ends with the same even number was not touched by a fault.
class Weather {
public:
  std::uint64_t now() const { return now_; }
  void turn() { ++now_; }
  static bool calm(std::uint64_t before, std::uint64_t after) { return before == after && before % 2 == 0; }

private:
  std::atomic<std::uint64_t> now_{0};
};

struct Fault {
  const char *name;
  void (*spoil)(World &);
  void (*mend)(World &);
};
constexpr Fault faults[] = {
    {"the KDC hangs", [](World &w) { w.kdc().set_manner(Manner::hangs); },
     [](World &w) { w.kdc().set_manner(Manner::answers); }},
    {"the KDC resets", [](World &w) { w.kdc().set_manner(Manner::resets); },
     [](World &w) { w.kdc().set_manner(Manner::answers); }},
    {"DNS is silent",
     [](World &w) {
       w.dns().set_script([](const test::ScriptedDns::Question &) { return std::optional<tds::Bytes>(); });
     },
     [](World &w) { w.dns().set_script({}); }},
    {"DNS lies",
     [](World &w) {
       w.dns().set_script([](const test::ScriptedDns::Question &q) {
         auto reply = q.real();
         if (!reply.empty()) reply[0] ^= 0x55; // another question's
         return std::optional(reply);
       });
     },
     [](World &w) { w.dns().set_script({}); }},
    {"the server is gone", [](World &w) { w.server().stop(); }, [](World &w) { w.server().start(); }},
};

// ---- what is counted ----

class Tally {
public:
  void login() { ++logins_; }
  void refused(const std::string &error) {
    const std::lock_guard lock(mutex_);
    ++refusals_[error.empty() ? "no answer" : error.substr(0, error.find(':'))];
  }
  void done(const char *what) {
    const std::lock_guard lock(mutex_);
    ++actions_[what];
  }
  /// Something that no fault explains.
  void failed(const std::string &what) {
    const std::lock_guard lock(mutex_);
    if (++failures_ <= most_shown) std::cout << "FAILED without a fault: " << what << std::endl;
  }
  int failures() const { return failures_; }
  long logins() const { return logins_; }
  std::string refusals() const { return text(refusals_); }
  std::string actions() const { return text(actions_); }

private:
  std::string text(const std::map<std::string, long> &counts) const {
    const std::lock_guard lock(mutex_);
    std::string result;
    for (const auto &[name, count] : counts)
      result += fmt::format("{}{} {}", result.empty() ? "" : ", ", name, count);
    return result.empty() ? "none" : result;
  }
  std::atomic<long> logins_{0};
  std::atomic<int> failures_{0};
  mutable std::mutex mutex_;
  std::map<std::string, long> refusals_, actions_;
};

// ---- one client ----

class Client {
public:
  Client(World &world, Weather &weather, Tally &tally, std::uint64_t seed)
      : world_(world), weather_(weather), tally_(tally), random_(seed) {}

  /// One thing that an application may do, good or bad.
  void act() {
    switch (roll(random_, 10)) {
    case 0:
    case 1:
    case 2:
      return queries();
    case 3:
      return rows();
    case 4:
      return cancel();
    case 5:
      return vanish();
    case 6:
    case 7:
      return idle();
    case 8:
      return break_off();
    default:
      return meet_hostile_server();
    }
  }
  /// Ends what stands idle.
  void rest() { idle_.clear(); }

private:
  using ConnectionPtr = std::unique_ptr<test::Connection>;
  struct Session {
    ConnectionPtr connection;
    std::uint64_t weather;
  };

  std::optional<Session> log_in() {
    const auto before = weather_.now();
    Session session{std::make_unique<test::Connection>("127.0.0.1", world_.port(good)), before};
    test::ClientOptions options;
    if (roll(random_, 4) == 0) options.sspi = tds::Bytes(40, 0x60);
    if (roll(random_, 4) == 0) options.database = u"reports";
    const auto login = test::log_in(*session.connection, options);
    if (login.reply) {
      tally_.login();
      return session;
    }
    tally_.refused(login.error());
    if (Weather::calm(before, weather_.now())) tally_.failed("login: " + login.error());
    return std::nullopt;
  }
  void expect(bool good_answer, const Session &session, const char *what) {
    if (!good_answer && Weather::calm(session.weather, weather_.now())) tally_.failed(what);
  }
  bool asks_well(test::Connection &connection) {
    return test::says(
        test::query(connection, u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid"),
        u"KERBEROS");
  }

  void queries() {
    auto session = log_in();
    if (!session) return;
    for (int i = roll(random_, 5); i >= 0; --i)
      expect(asks_well(*session->connection), *session, "query");
    tally_.done("queries");
  }
  void rows() {
    auto session = log_in();
    if (!session) return;
    const auto reply = test::query(*session->connection, u"exec lab_rows 2000, 200");
    expect(reply.size() > 400'000, *session, "rows");
    tally_.done("rows");
  }
  void cancel() {
    auto session = log_in();
    if (!session) return;
    test::send_batch(*session->connection,
                     roll(random_, 2) ? u"waitfor delay '00:01:00'" : u"exec lab_rows 2000000, 200");
    const tds::Bytes attention = {6, 1, 0, 8, 0, 0, 1, 0};
    session->connection->send(attention);
    tds::MessageReader reader(256 * 1024 * 1024);
    bool acknowledged = false;
    while (!acknowledged) {
      const auto bytes = session->connection->receive();
      if (bytes.empty()) break;
      reader.feed(bytes);
      for (auto message = reader.next(); message && *message; message = reader.next()) {
        const auto &payload = (*message)->payload; // DONE with the attention bit is its last token, 13 bytes
        acknowledged |= payload.size() >= 13 && payload[payload.size() - 13] == 0xFD &&
                        (payload[payload.size() - 12] & tds::done_attention);
      }
    }
    expect(acknowledged && asks_well(*session->connection), *session, "cancel");
    tally_.done("cancels");
  }
  void vanish() {
    auto session = log_in();
    if (!session) return;
    test::send_batch(*session->connection, u"exec lab_rows 2000000, 200");
    for (int i = roll(random_, 20); i > 0; --i)
      session->connection->receive();
    if (roll(random_, 2)) session->connection->reset();
    tally_.done("disconnects in mid-result");
  }
  void idle() {
    if (idle_.size() < most_idle / clients) {
      auto session = log_in();
      if (session) idle_.push_back(std::move(*session));
    } else {
      expect(asks_well(*idle_.front().connection), idle_.front(), "query on a connection that stood idle");
      idle_.pop_front();
    }
    tally_.done("idle");
  }
  void break_off() {
    test::Connection connection("127.0.0.1", world_.port(good));
    tds::Prelogin prelogin;
    prelogin.set_version({});
    prelogin.set_encryption(tds::Encryption::not_sup);
    auto bytes = tds::encode_message(tds::PacketType::prelogin, tds::encode_prelogin(prelogin));
    const auto login =
        tds::encode_message(tds::PacketType::login7, *tds::encode_login7(test::make_login7({})));
    bytes.insert(bytes.end(), login.begin(), login.end());
    if (roll(random_, 2))
      bytes[static_cast<std::size_t>(roll(random_, static_cast<int>(bytes.size())))] ^= 0xFF;
    bytes.resize(static_cast<std::size_t>(roll(random_, static_cast<int>(bytes.size()))));
    connection.send(bytes);
    if (roll(random_, 2)) connection.reset();
    tally_.done("logins broken off");
  }
  void meet_hostile_server() {
    test::Connection connection("127.0.0.1", world_.port(hostile));
    const auto login = test::log_in(connection);
    tally_.refused(login.error());
    if (login.reply) tally_.failed("a login at a server that never accepts one");
    tally_.done("hostile servers");
  }

  World &world_;
  Weather &weather_;
  Tally &tally_;
  Random random_;
  std::deque<Session> idle_;
};

// ---- the run ----

/// Where clients wait while what sqlshim holds is measured.
class Gate {
public:
  bool closed() const { return closed_; }
  /// Of a client: returns when it may go on.
  void wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --waiting_;
  }
  /// Returns when `count` clients wait.
  void close(int count) {
    closed_ = true;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }

private:
  std::atomic<bool> closed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
};

struct Options {
  double minutes = 0;
  std::uint64_t seed = std::random_device()();
};

class Run {
public:
  explicit Run(const Options &options) : options_(options), random_(options.seed) {}

  /// The exit status.
  int operator()() {
    const auto minute = [this](double share) {
      return started_ + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double, std::ratio<60>>(options_.minutes * share));
    };
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < clients; ++i)
      threads.emplace_back(
          [this, i](const std::stop_token &stop) { be_client(stop, options_.seed + 1 + i); });
    live(minute(0.25));
    const auto warm = quiet("after warming up");
    gate_.open();
    live(minute(1));
    const auto end = quiet("at the end");
    for (auto &thread : threads)
      thread.request_stop();
    gate_.open();
    threads.clear();
    return verdict(warm, end);
  }

private:
  void be_client(const std::stop_token &stop, std::uint64_t seed) {
    Client client(world_, weather_, tally_, seed);
    while (!stop.stop_requested()) {
      if (gate_.closed()) {
        client.rest();
        gate_.wait();
      } else {
        client.act();
      }
    }
  }

  /// Faults, rotated logs and reports until `end`.
  void live(Clock::time_point end) {
    for (;;) {
      wait(std::min(end, Clock::now() + std::chrono::milliseconds(500 + roll(random_, 4000))));
      if (Clock::now() >= end) return;
      if (roll(random_, 3) == 0) {
        world_.rotate();
        continue;
      }
      const auto &fault = faults[roll(random_, static_cast<int>(std::size(faults)))];
      fault_ = fault.name;
      weather_.turn();
      fault.spoil(world_);
      world_.rotate(); // what is cached would hide it
      wait(Clock::now() + std::chrono::milliseconds(500 + roll(random_, 3000)));
      fault.mend(world_);
      world_.rotate(); // what is remembered of it would prolong it
      weather_.turn();
      fault_ = "";
    }
  }
  void wait(Clock::time_point until) {
    lab::eventually(
        [&] {
          if (Clock::now() >= next_report_) report();
          return Clock::now() >= until || !world_.serve().running();
        },
        1h);
    if (!world_.serve().running()) throw lab::LabError("sqlshim has ended:\n" + world_.diagnostics());
  }
  void report() {
    next_report_ += 10s;
    const auto held = held_by(world_.serve().pid());
    fmt::print("{:5} s  logins {}  refused: {}  rss {:.1f} MiB  descriptors {}  threads {}{}{}\n",
               std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count(),
               tally_.logins(), tally_.refusals(), held.rss, held.descriptors, held.threads,
               *fault_ ? "  fault: " : "", fault_);
    std::fflush(stdout);
  }

  /// Holds the clients back, waits until their connections have ended and caches are empty, and measures:
  /// what is kept then, is kept for good.
  Held quiet(const char *when) {
    gate_.close(clients);
    world_.rotate();
    const pid_t pid = world_.serve().pid();
    std::vector<Held> samples;
    auto changed = Clock::now();
    lab::eventually(
        [&] {
          samples.push_back(held_by(pid));
          if (samples.back().descriptors != samples.front().descriptors) {
            samples.erase(samples.begin(), samples.end() - 1);
            changed = Clock::now();
          }
          return Clock::now() - changed > unchanged_for;
        },
        60s);
    std::ranges::nth_element(samples, samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2), {},
                             &Held::rss);
    const auto held = samples[samples.size() / 2];
    if (warm_descriptors_ != 0 && held.descriptors > warm_descriptors_)
      for (const auto &descriptor : descriptors_of(pid))
        fmt::print("  {}\n", descriptor);
    warm_descriptors_ = held.descriptors;
    fmt::print("quiet {}: rss {:.2f} MiB, {} descriptors, {} threads\n", when, held.rss, held.descriptors,
               held.threads);
    std::fflush(stdout);
    return held;
  }

  int verdict(const Held &warm, const Held &end) {
    fmt::print("logins: {}; refused: {}; done: {}\n", tally_.logins(), tally_.refusals(), tally_.actions());
    fmt::print(
        "memory: rss {:.2f} MiB after warming up, {:.2f} MiB at the end ({:+.2f}); descriptors {}, {}; threads {}, {}\n",
        warm.rss, end.rss, end.rss - warm.rss, warm.descriptors, end.descriptors, warm.threads, end.threads);
    bool good_run = true;
    const auto require = [&](bool holds, const std::string &what) {
      if (!holds) fmt::print("FAILED: {} (seed {})\n", what, options_.seed);
      good_run &= holds;
    };
    require(tally_.logins() > 0, "nobody logged in");
    require(tally_.failures() == 0, fmt::format("{} failures that no fault explains", tally_.failures()));
    require(end.rss - warm.rss <= most_growth, fmt::format("memory grew by more than {} MiB", most_growth));
    require(end.descriptors == warm.descriptors, "descriptors are left behind");
    require(end.threads == warm.threads, "threads are left behind");
    return good_run ? 0 : 1;
  }

  Options options_;
  Random random_;
  World world_;
  Weather weather_;
  Tally tally_;
  Gate gate_;
  Clock::time_point started_ = Clock::now(), next_report_ = started_ + 10s;
  std::size_t warm_descriptors_ = 0;
  const char *fault_ = "";
};

int usage() {
  std::cerr << "usage: soak --minutes N [--seed S]\n";
  return 2;
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    char *end = nullptr;
    if (i + 1 == argc) return usage();
    if (name == "--minutes")
      options.minutes = std::strtod(argv[i + 1], &end);
    else if (name == "--seed")
      options.seed = std::strtoull(argv[i + 1], &end, 10);
    if (!end || end == argv[i + 1] || *end != '\0') return usage();
  }
  if (!(options.minutes > 0)) return usage();
  fmt::print("soak: {} minutes, seed {}\n", options.minutes, options.seed);
  std::fflush(stdout);
  try {
    return Run(options)();
  } catch (const std::exception &error) {
    fmt::print("FAILED: {} (seed {})\n", error.what(), options.seed);
    return 1;
  }
}
