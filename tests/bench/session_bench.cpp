// What a session costs: its login, round trips, results and requests, direct and through sqlshim, in turns in
// the same run, against the lab's peer. Run it in a lab (tools/bench.sh).
#include "tests/support/tds_client.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string &what) {
  std::cerr << "session_bench: " << what << '\n';
  std::exit(1);
}
std::string variable(const char *name) {
  const char *value = std::getenv(name);
  if (!value) fail("run it in a lab: tools/bench.sh");
  return value;
}

double micros_since(Clock::time_point started) {
  return std::chrono::duration<double, std::micro>(Clock::now() - started).count();
}

/// Where a client connects to, and how.
struct End {
  std::string address, port;
  test::ClientOptions options;
};

/// A session, direct or through sqlshim.
class Session {
public:
  Session(const std::string &address, const std::string &port, const test::ClientOptions &options)
      : connection_(address, static_cast<std::uint16_t>(std::stoi(port))) {
    const auto login = test::log_in(connection_, options);
    if (!login.reply) fail("the login at " + address + ":" + port + " fails: " + login.error());
  }
  /// Microseconds from the batch's first byte to the reply's last; the reply has at least `bytes`.
  double ask(const std::u16string &batch, std::size_t bytes) {
    const auto started = Clock::now();
    test::send_batch(connection_, batch);
    const auto came = read_reply();
    const auto took = micros_since(started);
    if (came < bytes) fail("a reply is cut short: " + std::to_string(came) + " bytes");
    return took;
  }

private:
  /// As little as a client can do: goes from one packet header to the next, and keeps nothing.
  std::size_t read_reply() {
    std::size_t came = 0;
    tds::Bytes header;
    for (std::size_t left = 0;;) {
      const auto bytes = connection_.receive();
      if (bytes.empty()) return 0;
      came += bytes.size();
      for (auto rest = tds::ByteView(bytes); !rest.empty();) {
        if (left > 0) {
          const auto some = std::min(left, rest.size());
          left -= some;
          rest = rest.subspan(some);
        } else {
          header.push_back(rest.front());
          rest = rest.subspan(1);
          if (header.size() < tds::packet_header_size) continue;
          left = tds::decode_packet_header(header)->length - tds::packet_header_size;
          last_ = (header[1] & tds::status_eom) != 0;
          header.clear();
        }
        if (left == 0 && header.empty() && last_) return came;
      }
    }
  }

  bool last_ = false; // the packet that is being read is its message's last
  test::Connection connection_;
};

double median(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

/// Each gives the microseconds of one try; in turns, so that whatever else the machine does meets both.
void compare(const char *what, std::size_t runs, const std::function<double()> &direct,
             const std::function<double()> &through) {
  std::vector<double> of_direct, of_through;
  for (std::size_t i = 0; i <= runs; ++i) {
    const auto one = direct(), other = through();
    if (i == 0) continue; // the warming up
    of_direct.push_back(one);
    of_through.push_back(other);
  }
  const auto one = median(std::move(of_direct)), other = median(std::move(of_through));
  std::printf("  %-54s %10.0f %10.0f %8.2f\n", what, one, other, other / one);
}

} // namespace

int main() {
  const auto encrypt = variable("SQLSHIM_BENCH_ENCRYPT"); // of the lab's server: off, on
  const test::ClientOptions clear{.user = u"sa", .password = u"Lab.Passw0rd"};
  auto encrypted = clear;
  encrypted.tls = tds::ServerTls::require;
  const auto to_server = [](const test::ClientOptions &options) {
    return End{variable("SQLSHIM_PEER_HOST"), variable("SQLSHIM_PEER_PORT"), options};
  };
  const auto to_sqlshim = [](const test::ClientOptions &options) {
    return End{"127.0.0.1", variable("SQLSHIM_PORT"), options};
  };
  struct Row {
    const char *what;
    End direct, through;
  };
  std::vector<Row> rows;
  if (encrypt == "off")
    rows = {{"no TLS", to_server(clear), to_sqlshim(clear)}};
  else
    rows = {{"TLS; with sqlshim on both legs", to_server(encrypted), to_sqlshim(encrypted)},
            {"TLS to the server; none to sqlshim", to_server(encrypted), to_sqlshim(clear)}};
  const std::u16string large_request = u"/*" + std::u16string(2'500'000, u'x') + u"*/ select 1";
  for (const auto &row : rows) {
    std::printf("%-56s %10s %10s %8s\n", row.what, "direct", "sqlshim", "ratio");
    const auto open = [](const End &end) { return Session(end.address, end.port, end.options); };
    const auto log_in = [&](const End &end) {
      const auto started = Clock::now();
      open(end);
      return micros_since(started);
    };
    compare(
        "login, direct by password, sqlshim's by Kerberos: us", 200, [&] { return log_in(row.direct); },
        [&] { return log_in(row.through); });
    auto direct = open(row.direct), through = open(row.through);
    const auto ask = [&](const char *what, std::size_t runs, const std::u16string &batch, std::size_t bytes) {
      compare(
          what, runs, [&] { return direct.ask(batch, bytes); }, [&] { return through.ask(batch, bytes); });
    };
    ask("round trip, select 1: us", 5000, u"select 1", 20);
    ask("result of 20 MB: us", 15, u"exec lab_rows 2600, 8000", 20'000'000);
    ask("request of 5 MB: us", 15, large_request, 20);
  }
}
