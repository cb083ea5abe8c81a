// What a driver asks the KDC for is what `sqlshim explain --as` says: real drivers, real
// DNS, and the KDC's own log.
#include "tests/interop/driver.hpp"
#include "tools/lab/lab.hpp"
#include "tools/lab/netns.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace {

using namespace testing;
using interop::Driver;

constexpr std::uint16_t default_port = 1433, instance_port = 1500, browser_port = 1434;

/// A place, as a user types it.
struct Input {
  std::string host;
  std::uint16_t port = 0; ///< 0: none is typed
  std::string instance = {};
  std::string options = {}; ///< more, in the driver's own words
  std::string spn = {};     ///< what it asks for because of them; empty: what is predicted

  /// For sqlshim; the port of the instance is the one that SQL Browser tells the drivers.
  std::string target() const {
    auto text = host.contains(':') ? "[" + host + "]" : host;
    if (!instance.empty()) text += "\\" + instance;
    if (port != 0 || !instance.empty()) text += fmt::format(",{}", instance.empty() ? port : instance_port);
    return text;
  }
};

// ---- Where they all are ----

/// SQL Browser (MS-SQLR): INST is on `instance_port`, whoever asks and however.
class Browser {
public:
  Browser() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const auto place = lab::socket_address("0.0.0.0", browser_port);
    if (::bind(socket_, reinterpret_cast<const sockaddr *>(&place), sizeof(sockaddr_in)) != 0)
      throw lab::LabError("SQL Browser's port is taken");
    thread_ = std::jthread([this](const std::stop_token &stop) { serve(stop); });
  }
  ~Browser() {
    thread_.request_stop();
    thread_.join();
    ::close(socket_);
  }

private:
  void serve(const std::stop_token &stop) const {
    const auto text = fmt::format(
        "ServerName;SQL1;InstanceName;INST;IsClustered;No;Version;16.0.1000.6;tcp;{};;", instance_port);
    std::string answer{'\x05', static_cast<char>(text.size()), '\0'};
    answer += text;
    while (!stop.stop_requested()) {
      pollfd ready{socket_, POLLIN, 0};
      if (::poll(&ready, 1, 50) <= 0) continue;
      std::array<char, 1024> question{};
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      if (::recvfrom(socket_, question.data(), question.size(), 0, reinterpret_cast<sockaddr *>(&from),
                     &size) > 0)
        ::sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr *>(&from), size);
    }
  }
  int socket_;
  std::jthread thread_;
};

constexpr auto ipv6_server = "2001:db8::1";

/// Two realms that trust each other, one DNS that says all that drivers differ about, and servers wherever it
/// leads. In a network namespace.
class Site {
public:
  Site()
      : lab_({.netns = true, .serve = false, .change = [](lab::Plan &plan) {
                plan.server = lab::Plan::Server::absent;
              }}) {
    const std::string between = "addprinc -pw between krbtgt/EB.TEST@CORP.TEST\n";
    for (auto *realm : {&lab_.realm(), &other_})
      realm->kadmin(between);
    const auto krb5_conf = lab_.realm().krb5_conf();
    auto text = lab::read_file(krb5_conf);
    const auto add = [&](const std::string &section, const std::string &lines) {
      text.insert(text.find(section) + section.size(), lines);
    };
    add("[realms]\n",
        fmt::format("  EB.TEST = {{\n    kdc = {}:{}\n  }}\n", other_.kdc_address(), other_.kdc_port()));
    add("[domain_realm]\n", "  .eb.test = EB.TEST\n");
    lab::write_file(krb5_conf, text);
    lab_.realm().kinit("alice", "alicepw", tgt());
    fill_dns();
    start_server("0.0.0.0", default_port);
    start_server("0.0.0.0", instance_port);
    start_server("::1", default_port);
    start_server(ipv6_server, default_port);
  }

  lab::Lab &lab() { return lab_; }
  lab::fs::path tgt() const { return lab_.folder() / "tgt"; } ///< alice's cache, with no ticket but that one
  std::string server(int index) const { return lab_.block().server(index); }

  /// What alice asked the KDCs for while `login` ran: each SPN once, in order. Where a realm has no KDC here,
  /// the krbtgt that would lead there.
  template <class Login> std::vector<std::string> asked(Login login) {
    const auto before = logs();
    login();
    const auto after = logs();
    std::vector<std::string> spns, foreign;
    for (std::size_t i = 0; i < after.size(); ++i) {
      std::istringstream lines(after[i].substr(before[i].size()));
      for (std::string line; std::getline(lines, line);) {
        const std::string who = " alice@CORP.TEST for ";
        const auto at = line.find(who);
        if (!line.contains("TGS_REQ") || at == line.npos) continue;
        const auto name = line.substr(at + who.size(), line.find(", ", at) - at - who.size());
        auto &list = name.starts_with("MSSQLSvc/") ? spns : foreign;
        if (name != "krbtgt/CORP.TEST@CORP.TEST" && std::ranges::find(list, name) == list.end())
          list.push_back(name);
      }
    }
    if (spns.empty() && !foreign.empty()) spns = {foreign.front()};
    return spns;
  }

  /// Makes them known, so that drivers need not try again.
  void add_spns(const std::vector<std::string> &spns) {
    for (auto *realm : {&lab_.realm(), &other_}) {
      std::string commands;
      for (const auto &spn : spns)
        if (spn.ends_with("@" + realm->name()) && spn.starts_with("MSSQLSvc/") && spn != lab_.spn())
          commands +=
              fmt::format("addprinc -randkey {0}\nktadd -norandkey -k {1} {0}\n", spn, keytab().string());
      realm->kadmin(commands);
    }
  }

private:
  lab::fs::path keytab() const { return lab_.folder() / "peer.keytab"; }
  std::array<std::string, 2> logs() { return {lab_.realm().log(), other_.log()}; }
  void fill_dns();
  void start_server(const std::string &address, std::uint16_t port) {
    lab::PeerOptions options;
    options.address = address;
    options.port = port;
    options.keytab = keytab();
    options.omit_sspi_token = true; // jTDS wants what follows it in the same message
    servers_.push_back(std::make_unique<lab::Peer>(lab_.folder(), options, lab_.realm().environment(),
                                                   fmt::format("server{}", servers_.size())));
  }

  lab::Lab lab_;
  lab::Realm other_{lab_.folder() / "other",
                    lab_.block(),
                    {.name = "EB.TEST", .domain = "eb.test", .kdc_address = lab_.block().address(4)}};
  Browser browser_;
  std::vector<std::unique_ptr<lab::Peer>> servers_;
};

/// sql1 and its alias are the lab's. EB.TEST has SRV records, CORP.TEST has none.
void Site::fill_dns() {
  auto &dns = lab_.dns();
  dns.domain("eb.test");
  dns.domain("b"); // no such name, as the root says
  dns.srv("_kerberos._udp.eb.test", "dc1.eb.test", 88, 0, 100);
  dns.cname("alias2.corp.test", "sqlalias.corp.test");
  dns.cname("far.corp.test", "db.eb.test");
  dns.cname("db.eb.test", "sql1.corp.test");
  dns.host("sql-2.corp.test", server(1));
  dns.address_only("nameless.corp.test", server(2));
  dns.address_only("liar.corp.test", server(3)); // its PTR does not lead back
  dns.ptr(server(3), "elsewhere.corp.test");
  dns.address_only("front.corp.test", server(4)); // its PTR does
  dns.ptr(server(4), "node1.corp.test");
  dns.address_only("node1.corp.test", server(4));
  dns.address_only("many.corp.test", server(5)); // several PTRs
  dns.ptr(server(5), "first.corp.test");
  dns.ptr(server(5), "second.corp.test");
  dns.address_only("first.corp.test", server(5));
  dns.address_only("second.corp.test", server(5));
  dns.host("listener.corp.test", server(6)); // several addresses
  dns.also("listener.corp.test", server(7));
  dns.host("rz.eb.test", server(8));
  dns.cname("out.corp.test", "rz.eb.test");
  dns.address_only("moved.corp.test", server(8)); // its PTR lies in EB.TEST
  dns.address_only("half.corp.test", server(9));  // its PTR too, and does not lead back
  dns.ptr(server(9), "half.eb.test");
  dns.host("six.corp.test", ipv6_server);
  dns.host("both.corp.test", server(10));
  dns.also("both.corp.test", ipv6_server);
  dns.host("a.b.corp.test", server(11));
  dns.start();
}

/// What every driver is given.
std::vector<Input> inputs_of(const Site &site) {
  std::vector<Input> inputs;
  for (const auto *host : {"sql1",
                           "SQL1",
                           "sql1.corp.test",
                           "Sql1.Corp.Test",
                           "sql1.corp.test.",
                           "localhost",
                           "sqlalias",
                           "SQLALIAS",
                           "sqlalias.corp.test",
                           "alias2",
                           "alias2.corp.test",
                           "far",
                           "far.corp.test",
                           "db.eb.test",
                           "out.corp.test",
                           "sql-2",
                           "sql-2.corp.test",
                           "nameless",
                           "nameless.corp.test",
                           "liar",
                           "liar.corp.test",
                           "front",
                           "front.corp.test",
                           "many.corp.test",
                           "listener",
                           "listener.corp.test",
                           "rz.eb.test",
                           "RZ.eb.test",
                           "rz.eb.test.",
                           "moved",
                           "moved.corp.test",
                           "half.corp.test",
                           "six",
                           "six.corp.test",
                           "both.corp.test",
                           "a.b",
                           "a.b.corp.test",
                           "gone",
                           "gone.corp.test",
                           "127.0.0.1",
                           "::1",
                           ipv6_server})
    inputs.push_back({host});
  for (const int index : {0, 2, 3, 4, 8})
    inputs.push_back({site.server(index)});
  inputs.push_back({"sql1.corp.test", default_port});
  inputs.push_back({"sqlalias", instance_port});
  inputs.push_back({site.server(0), instance_port});
  for (const auto *host : {"sql1", "sqlalias.corp.test", "rz.eb.test"})
    inputs.push_back({.host = host, .instance = "INST"});
  return inputs;
}

// ---- The drivers ----

/// One driver, ready to be sent anywhere.
class Client {
public:
  virtual ~Client() = default;
  /// As alice, whose cache holds no ticket for it yet. Returns when the driver has ended, in whatever way.
  virtual void login(const Input &input) = 0;
  virtual bool takes(const Input &) const { return true; }
  virtual std::vector<Input> more() const { return {}; } ///< inputs with options of its own
};

class Tsql : public Client {
public:
  explicit Tsql(Site &site) : site_(site) {}

  void login(const Input &input) override {
    const auto folder = site_.lab().folder();
    auto section = fmt::format("[it]\n  host = {}\n  tds version = 7.4\n  encryption = off\n  {}\n",
                               input.host, input.options);
    // Its own default port is not 1433.
    section += input.instance.empty() ? fmt::format("  port = {}\n", input.port ? input.port : default_port)
                                      : fmt::format("  instance = {}\n", input.instance);
    lab::write_file(folder / "it.conf", section);
    lab::write_file(folder / "ccache", lab::read_file(site_.tgt()));
    auto environment = site_.lab().environment();
    environment["FREETDSCONF"] = folder / "it.conf";
    lab::run({.argv = {"tsql", "-S", "it"}, .environment = environment}, "exit\n");
  }
  std::vector<Input> more() const override {
    return {{.host = "sqlalias",
             .options = "spn = MSSQLSvc/other.corp.test:99",
             .spn = "MSSQLSvc/other.corp.test:99@CORP.TEST"},
            {.host = "rz.eb.test", .options = "realm = EB.TEST", .spn = "MSSQLSvc/rz.eb.test:1433@EB.TEST"}};
  }

private:
  Site &site_;
};

/// Logins.java with the driver's jar. It asks the KDC for a new ticket each time.
class Jdbc : public Client {
public:
  Jdbc(Site &site, const Driver &driver)
      : jtds_(driver.name.starts_with("jTDS")), knows_realm_(driver.name != "mssql-jdbc 7.4.1"),
        said_(site.lab().folder() / (driver.slug() + ".out")) {
    const auto folder = site.lab().folder();
    std::string jaas;
    for (const auto *name :
         {"SQLJDBCDriver", "com.sun.security.jgss.initiate", "com.sun.security.jgss.krb5.initiate"})
      jaas += fmt::format(
          "{} {{ com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true doNotPrompt=true ticketCache=\"{}\"; }};\n",
          name, site.tgt().string());
    lab::write_file(folder / "jaas.conf", jaas);
    auto command = driver.command();
    command.back() = "Logins";
    for (const auto &property :
         {"java.security.krb5.conf=" + site.lab().realm().krb5_conf().string(),
          "java.security.auth.login.config=" + (folder / "jaas.conf").string(),
          std::string("javax.security.auth.useSubjectCredsOnly=false"), std::string("sun.net.inetaddr.ttl=0"),
          std::string("sun.net.inetaddr.negative.ttl=0")})
      command.insert(command.begin() + 1, "-D" + property);
    const auto fifo = folder / (driver.slug() + ".in");
    if (::mkfifo(fifo.c_str(), 0600) != 0) throw lab::LabError("mkfifo");
    urls_ = ::open(fifo.c_str(), O_RDWR | O_CLOEXEC); // so that neither side waits for the other
    java_.emplace(lab::Command{
        .argv = command, .environment = site.lab().environment(), .output = said_, .input = fifo});
  }
  ~Jdbc() override { ::close(urls_); }

  void login(const Input &input) override {
    const auto line = url(input) + "\n";
    if (::write(urls_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      throw lab::LabError("Logins takes no URL");
    ++logins_;
    java_->wait_until(
        "the end of a login", [&] { return std::ranges::count(lab::read_file(said_), '\n') >= logins_; },
        lab::milliseconds(60'000));
  }
  bool takes(const Input &input) const override {
    return !jtds_ || !input.host.contains(':') || input.port == 0;
  }
  std::vector<Input> more() const override {
    if (jtds_) return {};
    std::vector<Input> inputs = {{.host = "sqlalias",
                                  .options = ";serverSpn=MSSQLSvc/other.corp.test:99",
                                  .spn = "MSSQLSvc/other.corp.test:99@CORP.TEST"}};
    if (knows_realm_)
      inputs.push_back({.host = "sqlalias.corp.test",
                        .options = ";realm=CORP.TEST",
                        .spn = "MSSQLSvc/sql1.corp.test:1433@CORP.TEST"}); // by the PTR
    return inputs;
  }

private:
  std::string url(const Input &input) const {
    const auto &[host, port, instance, options, spn] = input;
    if (jtds_)
      return fmt::format("jdbc:jtds:sqlserver://{}{}/master;useKerberos=true;loginTimeout=15{}{}",
                         host.contains(':') ? "[" + host + "]" : host, port ? fmt::format(":{}", port) : "",
                         instance.empty() ? "" : ";instance=" + instance, options);
    return fmt::format(
        "jdbc:sqlserver://;serverName={}{}{};integratedSecurity=true;authenticationScheme=JavaKerberos;encrypt=false;loginTimeout=1{}",
        host, port ? fmt::format(";portNumber={}", port) : "",
        instance.empty() ? "" : ";instanceName=" + instance, options);
  }
  bool jtds_, knows_realm_;
  lab::fs::path said_;
  int urls_ = -1;
  int logins_ = 0;
  std::optional<lab::Process> java_;
};

// ---- The comparison ----

/// What `sqlshim explain` says of each target, by profile.
using Predictions = std::map<std::string, nlohmann::json>;

nlohmann::json explain(lab::Lab &lab, const std::string &target) {
  const auto told =
      lab::run({.argv = {"sh", "-c", "exec sqlshim explain \"$0\" --as all --json 2>/dev/null", target},
                .environment = lab.environment()});
  const auto document = nlohmann::json::parse(told.output, nullptr, false);
  if (document.is_discarded() || !document.contains("drivers"))
    throw lab::LabError("sqlshim explain " + target + ": " + told.output);
  nlohmann::json rows;
  for (const auto &row : document["drivers"]["rows"])
    rows[row["driver"].get<std::string>()] = row["spns"];
  return rows;
}

/// What the KDCs are asked for an SPN: of a realm that has none here, the way there.
std::string as_asked(const std::string &spn) {
  const auto realm = spn.substr(spn.rfind('@') + 1);
  return realm == "CORP.TEST" || realm == "EB.TEST" ? spn : "krbtgt/" + realm + "@CORP.TEST";
}

std::string_view profile_of(const Driver &driver) {
  return driver.name.starts_with("jTDS")   ? "jtds"
         : driver.name.starts_with("tsql") ? "freetds"
                                           : "mssql-jdbc";
}

/// Those of the interop test that do Kerberos and know a way to tell their SPN: each once.
std::vector<Driver> real_drivers() {
  const char *const only_these = std::getenv("SQLSHIM_INTEROP");
  std::vector<Driver> list;
  for (const auto &driver : interop::drivers())
    if ((!only_these || driver.slug().contains(only_these)) && driver.auth == interop::Auth::kerberos &&
        (driver.program == "java" || driver.name.starts_with("tsql")))
      list.push_back(driver);
  return list;
}

/// Prints "PROFILE, DRIVER: N inputs, N equal", with a table of those that are not. How many are not.
int compare(Site &site, const Driver &driver, const std::vector<Input> &common, Predictions &predictions) {
  std::unique_ptr<Client> client;
  if (driver.program == "java")
    client = std::make_unique<Jdbc>(site, driver);
  else
    client = std::make_unique<Tsql>(site);
  auto inputs = client->more();
  std::ranges::copy_if(common, std::back_inserter(inputs),
                       [&](const Input &input) { return client->takes(input); });
  const auto profile = profile_of(driver);
  std::string table;
  int different = 0;
  for (const auto &input : inputs) {
    std::vector<std::string> predicted;
    if (!input.spn.empty())
      predicted = {input.spn};
    else
      for (const auto &one : predictions.at(input.target())[std::string(profile)])
        predicted.push_back(as_asked(one["spn"]));
    const auto asked = site.asked([&] { client->login(input); });
    if (asked == predicted) continue;
    ++different;
    table += fmt::format("  {:<28} predicted {:<48} asked {}\n", input.target() + input.options,
                         fmt::join(predicted, " "), fmt::join(asked, " "));
  }
  fmt::print("{}, {}: {} inputs, {} equal\n{}", profile, driver.name, inputs.size(),
             inputs.size() - static_cast<std::size_t>(different), table);
  std::fflush(stdout);
  return different;
}

/// In the namespaces that this process enters. Whether all are equal.
bool compare_all() {
  lab::enter_netns();
  Site site;
  const auto inputs = inputs_of(site);
  Predictions predictions;
  std::vector<std::string> spns = {"MSSQLSvc/other.corp.test:99@CORP.TEST"};
  for (const auto &input : inputs) {
    const auto &told = predictions[input.target()] = explain(site.lab(), input.target());
    for (const auto *profile : {"freetds", "mssql-jdbc", "jtds"})
      for (const auto &one : told[profile])
        spns.push_back(one["spn"]);
  }
  std::ranges::sort(spns);
  spns.erase(std::ranges::unique(spns).begin(), spns.end());
  site.add_spns(spns);
  int different = 0;
  for (const auto &driver : real_drivers())
    different += compare(site, driver, inputs, predictions);
  return different == 0;
}

constexpr int no_namespaces = 77;

TEST(DriverNames, RealDriversAskForWhatIsPredicted) {
  const bool ci = std::getenv("SQLSHIM_CI") != nullptr;
  for (const auto &driver : real_drivers())
    if (const auto absent = interop::missing(driver); !absent.empty()) {
      if (ci) FAIL() << driver.name << ": there is no " << absent;
      GTEST_SKIP() << driver.name << ": there is no " << absent << " (tools/install.sh test brings it)";
    }
  // Namespaces are a whole process's, and no thread may run in it yet.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int status = -1;
  const auto ended = [&](int how) {
    status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    return status == 0 || status == no_namespaces;
  };
  const auto compare_or_say_why = [] {
    try {
      const bool equal = compare_all();
      std::fflush(stdout);
      return equal ? 0 : 1;
    } catch (const std::exception &problem) {
      fmt::print(stderr, "{}\n", problem.what());
      return std::string_view(problem.what()).contains("gives no user, network and mount namespaces")
                 ? no_namespaces
                 : 1;
    }
  };
  EXPECT_EXIT(std::exit(compare_or_say_why()), ended, "");
  if (status != no_namespaces) return;
  const auto *why =
      "this kernel or container gives no user, network and mount namespaces to put DNS on port 53 into";
  if (ci) FAIL() << why;
  GTEST_SKIP() << why;
}

} // namespace
