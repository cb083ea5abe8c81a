// Both legs hostile: thousands of malformed conversations against a real
// `sqlshim serve`, with honest logins beside them.
#include "shim/transport/task.hpp"
#include "tests/support/malformed.hpp"
#include "tests/support/tds_client.hpp"
#include "tests/support/tsql.hpp"

#include <algorithm>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SQLSHIM_TEST_ASAN
#endif
#endif

namespace {

using namespace std::chrono_literals;
using shim::as_result;
using shim::Millis;
using shim::Task;
using Tcp = asio::ip::tcp;
using TcpSocket = asio::basic_stream_socket<Tcp, shim::Executor>;

constexpr std::size_t runs_on_each_leg = 5000;
constexpr std::size_t at_once = 24;
constexpr std::size_t honest_one_in = 10;
#ifdef SQLSHIM_TEST_ASAN
const bool slow = !std::getenv("SQLSHIM_SERVE"); ///< sqlshim itself runs under AddressSanitizer
#else
const bool slow = false;
#endif
const Millis client_login{
    slow ? 6000 : 2000}; ///< what sqlshim gives a client for its login: an honest one must have time enough
const Millis server_login{slow ? 6000 : 2000}; ///< and a server
/// From the last thing that we do to sqlshim's end of the connection: its
/// deadline, its farewell of 2 s, and a busy machine.
const Millis until_closed{slow ? 45000 : 15000};
const Millis honest_in_time{slow ? 30000 : 10000};

std::size_t leg_runs() {
  const char *chosen = std::getenv("SQLSHIM_MALFORMED_RUNS"); // for a try by hand
  return chosen ? std::stoul(chosen) : slow ? runs_on_each_leg / 5 : runs_on_each_leg;
}

std::uint64_t chosen_seed() {
  const char *chosen = std::getenv("SQLSHIM_SEED");
  return chosen ? std::stoull(chosen) : std::random_device()();
}

/// The program that is tried: the one built with the tests, or what
/// SQLSHIM_SERVE names (a release build, whose memory can be measured).
lab::fs::path program() {
  const char *chosen = std::getenv("SQLSHIM_SERVE");
  return chosen ? lab::fs::path(chosen) : lab::program_folder() / "sqlshim";
}

/// Why resident memory is no measure here; null where it is one.
const char *memory_says_nothing() {
  if (slow) return "AddressSanitizer keeps what was freed (SQLSHIM_SERVE names another program)";
  if (leg_runs() < runs_on_each_leg) return "too few conversations";
  return nullptr;
}

/// One leg's malformed runs, counted.
struct Tally {
  std::map<std::string_view, std::size_t> of_class;
  std::size_t played = 0;
  std::size_t not_closed = 0; ///< sqlshim left the connection open beyond its deadline
  std::set<std::string_view> left_open;
};

/// What the partner has said when it goes on: an answer to PRELOGIN (its first
/// option is VERSION, 0) or a login that it took. An ERROR comes first in a
/// refusal, and then it must end the connection itself.
bool goes_on(const tds::Message &message) {
  constexpr std::uint8_t token_error = 0xAA;
  return message.type == tds::PacketType::reply && !message.payload.empty() &&
         message.payload.front() != token_error;
}

/// Plays a conversation on a socket that is connected, up to the partner's end
/// of it, or our own: a reset, or where it goes on although a part was
/// malformed. False: the partner did not end it in time.
Task<bool> play(TcpSocket &socket, test::Conversation conversation) {
  std::vector<std::uint8_t> buffer(16384);
  tds::MessageReader reader(1 << 20);
  bool over = false; // the partner has ended, or broken, the connection
  const auto read = [&]() -> Task<bool> {
    auto [error, count] = co_await socket.async_read_some(asio::buffer(buffer), as_result);
    if (error) over = true;
    co_return reader.feed({buffer.data(), count}), !error;
  };
  for (const auto &act : conversation.acts) {
    if (over) break;
    if (const auto *sends = std::get_if<test::Sends>(&act)) {
      auto written = co_await shim::with_deadline(
          [](TcpSocket &to, const tds::Bytes &bytes) -> Task<bool> {
            auto [error, count] = co_await asio::async_write(to, asio::buffer(bytes), as_result);
            co_return !error;
          }(socket, sends->bytes),
          until_closed);
      if (!written) co_return false;
      over = !*written; // sqlshim has refused already, and reads no more
    } else if (const auto *drips = std::get_if<test::Drips>(&act)) {
      shim::Signal pause(co_await asio::this_coro::executor);
      for (const auto byte : drips->bytes) {
        auto [error, count] = co_await asio::async_write(socket, asio::buffer(&byte, 1), as_result);
        if (error) break;
        // Not longer than sqlshim waits: what it says and does about us is
        // looked at below.
        auto heard = co_await shim::with_deadline(
            [](TcpSocket &from) -> Task<bool> {
              auto [waited] = co_await from.async_wait(Tcp::socket::wait_read, as_result);
              co_return !waited;
            }(socket),
            drips->pause);
        if (heard) break;
      }
    } else {
      for (;;) {
        auto message = reader.next();
        if (!message || *message) break; // broken or whole: we have been answered
        auto more = co_await shim::with_deadline(read(), until_closed);
        if (!more) co_return false;
        if (!*more) break;
      }
    }
  }
  if (conversation.leave == test::Leave::resets) {
    boost::system::error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
    co_return true;
  }
  if (conversation.leave == test::Leave::half_closes) {
    boost::system::error_code ignored;
    socket.shutdown(Tcp::socket::shutdown_send, ignored);
  }
  const auto started = std::chrono::steady_clock::now();
  while (!over) {
    auto more = co_await shim::with_deadline(read(), shim::left_of(until_closed, started));
    if (!more) co_return false;
    auto message = reader.next();
    if (message && *message && goes_on(**message)) co_return true;
  }
  co_return true;
}

/// A good login, whatever it comes to: true when it was accepted.
/// Empty: accepted; else why not.
Task<std::string> log_in(TcpSocket &socket, test::ClientOptions options) {
  tds::Prelogin prelogin;
  prelogin.set_version({16, 0, 0, 0});
  prelogin.set_encryption(tds::Encryption::not_sup);
  tds::ConnectLogin machine({std::move(prelogin), test::make_login7(options), false});
  std::vector<std::uint8_t> buffer(16384);
  for (;;) {
    auto action = machine.next();
    if (auto *send = std::get_if<tds::Send>(&action)) {
      co_await asio::async_write(socket, asio::buffer(send->bytes), as_result);
    } else if (std::holds_alternative<tds::Receive>(action)) {
      auto [error, count] = co_await socket.async_read_some(asio::buffer(buffer), as_result);
      if (error)
        machine.end_of_stream();
      else
        machine.receive({buffer.data(), count});
    } else if (auto *refused = std::get_if<tds::ConnectRefused>(&action)) {
      co_return refused->server_error ? tds::to_utf8(refused->server_error->text) : refused->detail;
    } else {
      co_return std::holds_alternative<tds::LoginReply>(action) ? "" : "no login at all";
    }
  }
}

class Malformed : public testing::Test {
protected:
  Malformed()
      : seed_(chosen_seed()), random_(seed_),
        hostile_(io_.get_executor(), Tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

  void start_serve() {
    const auto folder = lab_.folder();
    const auto hostile = std::to_string(hostile_.local_endpoint().port());
    const auto target = std::string(lab::sql1) + "," + std::to_string(lab_.sql_port());
    const auto identity = "identity = \"reports\"\n";
    const auto listener = [](const std::string &name) {
      return "[[listener]]\nname = \"" + name + "\"\naddress = \"127.0.0.1:0\"\n[[route]]\nname = \"" + name +
             "\"\nmatch = { listener = \"" + name + "\" }\nencrypt = \"off\"\n";
    };
    const auto timeouts = "timeouts = { login = \"" + std::to_string(server_login.count()) + "ms\" }\n";
    lab::write_file(folder / "malformed.toml",
                    "[log]\ndecisions = \"malformed.jsonl\"\n[limits]\nhandshakes = "
                    "1024\nhandshakes_per_uid = 1024\nclient_login = \"" +
                        std::to_string(client_login.count()) + "ms\"\n[dns]\nservers = [\"" +
                        lab_.dns().server() +
                        "\"]\nsearch = [\"corp.test\"]\n[kerberos]\nconfig = "
                        "\"krb5.conf\"\n" +
                        "[[identity]]\nname = \"reports\"\nkeytab = "
                        "\"reports.keytab\"\nprincipal = \"svc-reports@CORP.TEST\"\n" +
                        listener("honest") + "target = \"" + target + "\"\n" + identity + //
                        listener("password") + "target = \"127.0.0.1," + hostile +
                        "\"\nattempts = [\"tcp+sql\"]\nunprotected = \"accept\"\n" + timeouts + //
                        listener("kerberos") + "target = \"127.0.0.1," + hostile + "\"\nspn = \"" +
                        lab_.spn() + "\"\n" + identity + timeouts);
    // What is freed goes back to the kernel at once, so that resident memory tells what is kept, and
    // not where glibc left holes.
    const lab::Environment environment{{"MALLOC_MMAP_THRESHOLD_", "65536"},
                                       {"MALLOC_TRIM_THRESHOLD_", "65536"}};
    serve_.emplace(lab::Command{.argv = {program(), "serve", "--config", folder / "malformed.toml"},
                                .environment = environment,
                                .output = folder / "malformed.log"});
    for (const std::string name : {"honest", "password", "kerberos"}) {
      const auto place = serve_->wait_for_line("listening " + name + " ");
      ports_[name] = static_cast<std::uint16_t>(std::stoi(place.substr(place.rfind(':') + 1)));
    }
  }

  /// What tsql sends at each version, from the peer's own recording, and what
  /// the test's encoder makes.
  void record_logins() {
    for (const auto *version : {"7.0", "7.1", "7.2", "7.3", "7.4"}) {
      lab::Command direct{.argv = {"tsql", "-H", lab_.peer().address(), "-p",
                                   std::to_string(lab_.peer().port()), "-U", "sa", "-P", "Lab.Passw0rd"},
                          .environment = lab_.environment()};
      direct.environment["TDSVER"] = version;
      ASSERT_EQ(lab::run(std::move(direct), "select 1\ngo\n").status, 0) << version;
      int number = 1;
      while (!lab_.peer().record(number + 1).empty())
        ++number;
      const auto bytes = lab_.peer().received(number);
      tds::MessageReader reader(tds::largest_login7);
      reader.feed({reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()});
      test::HonestLogin honest;
      for (auto message = reader.next(); message && *message; message = reader.next()) {
        if ((*message)->type == tds::PacketType::prelogin) honest.prelogin = (*message)->payload;
        if ((*message)->type == tds::PacketType::login7) honest.login7 = (*message)->payload;
      }
      ASSERT_TRUE(tds::decode_login7(honest.login7)) << "tsql " << version;
      honest_.push_back(std::move(honest));
    }
    tds::Prelogin prelogin;
    prelogin.set_version({16, 0, 0, 0});
    prelogin.set_encryption(tds::Encryption::not_sup);
    prelogin.set_mars(true);
    prelogin.set(tds::PreloginToken::traceid, tds::Bytes(36, 7));
    for (const auto version : {tds::tds_7_1, tds::tds_7_4})
      honest_.push_back({tds::encode_prelogin(prelogin), *tds::encode_login7(test::make_login7(
                                                             {.database = u"reports", .version = version}))});
    honest_.push_back({tds::encode_prelogin(prelogin), *tds::encode_login7(test::make_login7(
                                                           {.features = {{tds::FeatureId::utf8_support, {1}}},
                                                            .sspi = tds::Bytes(2000, 0x60)}))});
  }

  Task<std::optional<TcpSocket>> connect(const std::string &route) {
    TcpSocket socket(io_.get_executor());
    auto [error] =
        co_await socket.async_connect({asio::ip::address_v4::loopback(), ports_.at(route)}, as_result);
    if (error) co_return std::nullopt;
    co_return std::move(socket);
  }

  /// An honest login beside the others must succeed, and in time.
  Task<> honest_login() {
    auto socket = co_await connect("honest");
    ++honest_logins_;
    if (!socket) co_return;
    auto accepted = co_await shim::with_deadline(log_in(*socket, {}), honest_in_time);
    if (accepted && accepted->empty())
      ++honest_accepted_;
    else
      honest_refused_ += "\n  " + (accepted ? *accepted : "no answer in time");
  }

  Task<> run_client_leg(std::size_t run) {
    auto socket = co_await connect("honest");
    if (!socket) co_return;
    auto conversation = test::malformed_client(run, honest_[random_.below(honest_.size())], random_);
    const auto kind = conversation.kind;
    ++clients_.of_class[kind];
    ++clients_.played;
    if (co_await play(*socket, std::move(conversation))) co_return;
    ++clients_.not_closed;
    clients_.left_open.insert(kind);
  }

  /// An honest client whose server misbehaves: it must be told, and its
  /// connection must end.
  Task<> run_server_leg(std::size_t run) {
    // Every sixth with Kerberos: a ticket, a context and a token of our own
    // each time.
    auto socket = co_await connect(run % 6 == 0 ? "kerberos" : "password");
    if (!socket) co_return;
    auto ended = co_await shim::with_deadline(log_in(*socket, {}), until_closed);
    if (!ended) ++servers_.not_closed;
  }

  Task<> hostile_server() {
    for (std::size_t run = 0;;) {
      auto [error, socket] = co_await hostile_.async_accept(as_result);
      if (error) co_return;
      asio::co_spawn(io_, hostile_session(std::move(socket), run++), asio::detached);
    }
  }
  Task<> hostile_session(TcpSocket socket, std::size_t run) {
    auto conversation = test::malformed_server(run, random_);
    const auto kind = conversation.kind;
    ++servers_.of_class[kind];
    ++servers_.played;
    if (co_await play(socket, std::move(conversation))) co_return;
    ++servers_.not_closed;
    servers_.left_open.insert(kind);
  }

  /// Runs from `first` to `last` on both legs, `at_once` at a time, and the
  /// honest logins that belong to them.
  void run_both_legs(std::size_t first, std::size_t last) {
    std::size_t next = first, working = at_once;
    const auto worker = [&]() -> Task<> {
      while (next < last) {
        const std::size_t run = next++;
        co_await run_client_leg(run);
        co_await run_server_leg(run);
        if (run % honest_one_in == 0) co_await honest_login();
        if (run % honest_one_in == honest_one_in / 2) co_await honest_login();
      }
      --working;
    };
    for (std::size_t i = 0; i < at_once; ++i)
      asio::co_spawn(io_, worker(), asio::detached);
    while (working > 0 && io_.run_one() > 0)
      ;
  }

  std::string status_of(const std::string &key) const {
    const auto text = lab::read_file("/proc/" + std::to_string(serve_->pid()) + "/status");
    const auto at = text.find(key + ":");
    return at == std::string::npos
               ? ""
               : text.substr(at + key.size() + 1, text.find('\n', at) - at - key.size() - 1);
  }
  std::size_t resident_kib() const { return std::stoul(status_of("VmRSS")); }
  std::size_t descriptors() const {
    const lab::fs::directory_iterator open("/proc/" + std::to_string(serve_->pid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
  }

  struct Trail {
    std::size_t accepted = 0, refused = 0, closed = 0;
  };
  /// Of every connection in the log, by plain search: reading tens of thousands
  /// of lines whole would take longer than the test.
  std::map<std::string, Trail> trails() const {
    std::map<std::string, Trail> found;
    std::istringstream lines(lab::read_file(lab_.folder() / "malformed.jsonl"));
    const auto value = [](const std::string &line, std::string_view key) {
      const auto quoted = "\"" + std::string(key) + "\":\"";
      const auto at = line.find(quoted);
      return at == std::string::npos
                 ? ""
                 : line.substr(at + quoted.size(), line.find('"', at + quoted.size()) - at - quoted.size());
    };
    for (std::string line; std::getline(lines, line);) {
      const auto conn = value(line, "conn"), event = value(line, "event");
      if (conn.empty()) continue;
      auto &trail = found[conn];
      trail.accepted += event == "accepted";
      trail.refused += event == "refused";
      trail.closed += event == "closed";
    }
    return found;
  }

  std::uint64_t seed_;
  test::Random random_;
  lab::Lab lab_{{.serve = false}};
  asio::io_context io_;
  asio::basic_socket_acceptor<Tcp, shim::Executor> hostile_;
  std::optional<lab::Process> serve_;
  std::map<std::string, std::uint16_t> ports_;
  std::vector<test::HonestLogin> honest_;
  Tally clients_, servers_;
  std::size_t honest_logins_ = 0, honest_accepted_ = 0;
  std::string honest_refused_;
};

void print(const char *leg, const Tally &tally, const std::vector<std::string_view> &classes) {
  std::printf("%s: %zu runs of %zu classes\n", leg, tally.played, classes.size());
  for (const auto name : classes)
    std::printf("  %5zu  %.*s\n", tally.of_class.contains(name) ? tally.of_class.at(name) : 0,
                static_cast<int>(name.size()), name.data());
}

std::string joined(const std::set<std::string_view> &names) {
  std::string all;
  for (const auto name : names)
    all += std::string(name) + "; ";
  return all;
}

TEST_F(Malformed, ThousandsOnEachLegBesideHonestLogins) {
  std::printf("seed %llu (SQLSHIM_SEED)\n", static_cast<unsigned long long>(seed_));
  record_logins();
  if (HasFatalFailure()) return;
  start_serve();
  asio::co_spawn(io_, hostile_server(), asio::detached);

  // What is opened and built at first use, on each thread, belongs to the
  // beginning.
  for (std::size_t i = 0; i < at_once; ++i)
    asio::co_spawn(io_, honest_login(), asio::detached);
  while (honest_accepted_ < at_once && io_.run_one() > 0)
    ;
  const auto all_closed = [&] {
    const auto all = trails();
    return all.size() == at_once &&
           std::ranges::all_of(all, [](const auto &entry) { return entry.second.closed == 1; });
  };
  ASSERT_TRUE(lab::eventually(all_closed, until_closed));
  const auto descriptors_before = descriptors();
  const auto started = std::chrono::steady_clock::now();
  const std::size_t runs = leg_runs();

  run_both_legs(0, runs / 2);
  const auto settled = [&] { return io_.poll(), descriptors() == descriptors_before; };
  EXPECT_TRUE(lab::eventually(settled, until_closed)) << descriptors() << " descriptors";
  const auto resident_half = resident_kib();
  run_both_legs(runs / 2, runs);
  EXPECT_TRUE(lab::eventually(settled, until_closed)) << descriptors() << " descriptors";
  const auto resident_after = resident_kib();

  print("client leg", clients_, test::client_classes());
  print("server leg", servers_, test::server_classes());
  const auto took =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started).count();
  std::printf("honest logins: %zu of %zu, in %lld s\n", honest_accepted_, honest_logins_,
              static_cast<long long>(took));
  std::printf("descriptors: %zu before, %zu after\n", descriptors_before, descriptors());
  std::printf("resident memory: %zu KiB after %zu conversations, %zu KiB after %zu\n", resident_half, runs,
              resident_after, 2 * runs);

  EXPECT_TRUE(serve_->running());
  EXPECT_EQ(clients_.played, runs);
  EXPECT_EQ(servers_.played, runs) << "each of these logins reached the hostile server";
  EXPECT_EQ(clients_.not_closed, 0u) << joined(clients_.left_open);
  EXPECT_EQ(servers_.not_closed, 0u) << joined(servers_.left_open);
  EXPECT_EQ(honest_accepted_, honest_logins_) << honest_refused_;
  EXPECT_EQ(descriptors(), descriptors_before);
  if (runs >= test::client_classes().size() && runs >= test::server_classes().size()) {
    EXPECT_EQ(clients_.of_class.size(), test::client_classes().size());
    EXPECT_EQ(servers_.of_class.size(), test::server_classes().size());
  }

  // One trail each: begun once, ended once, refused at most once.
  serve_->signal(SIGTERM);
  EXPECT_EQ(serve_->wait(10s), 0);
  std::size_t broken = 0;
  const auto all = trails();
  for (const auto &[conn, trail] : all)
    broken += trail.accepted != 1 || trail.closed != 1 || trail.refused > 1;
  EXPECT_EQ(broken, 0u) << "of " << all.size();
  EXPECT_EQ(all.size(), 2 * runs + honest_logins_);

  if (memory_says_nothing()) {
    std::printf("resident memory is not judged: %s\n", memory_says_nothing());
  } else {
    EXPECT_LE(resident_after, resident_half + 2048) << "KiB";
  }
}

TEST(MalformedClasses, AreManyAndHaveNamesOfTheirOwn) {
  for (const auto &classes : {test::client_classes(), test::server_classes()}) {
    EXPECT_GE(classes.size(), 60u);
    EXPECT_EQ(std::set(classes.begin(), classes.end()).size(), classes.size());
  }
}

TEST(MalformedClasses, TheSameSeedMakesTheSameConversations) {
  const auto bytes_of = [](const test::Conversation &conversation) {
    tds::Bytes all;
    for (const auto &act : conversation.acts)
      if (const auto *sends = std::get_if<test::Sends>(&act))
        all.insert(all.end(), sends->bytes.begin(), sends->bytes.end());
    return all;
  };
  const test::HonestLogin honest{std::nullopt, *tds::encode_login7(test::make_login7({}))};
  test::Random one(7), two(7);
  for (std::size_t run = 0; run < 200; ++run) {
    EXPECT_EQ(bytes_of(test::malformed_client(run, honest, one)),
              bytes_of(test::malformed_client(run, honest, two)));
    EXPECT_EQ(bytes_of(test::malformed_server(run, one)), bytes_of(test::malformed_server(run, two)));
  }
}

} // namespace
