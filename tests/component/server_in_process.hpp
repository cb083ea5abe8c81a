// The proxy in the test's own process, against a real KDC, DNS server and peer, and
// what its decision log says.
#pragma once

#include "config/config.hpp"
#include "shim/log/log.hpp"
#include "shim/server.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/tds_client.hpp"
#include "tools/lab/lab.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace test {

/// One login as the decision log tells it.
struct LoggedIn {
  bool accepted = false;
  std::string error;                ///< what the client was told
  std::chrono::microseconds took{}; ///< from accept to the answer
  std::vector<shim::KdcAnswered> kdcs;
  std::vector<shim::Record> trail;

  std::string cause() const {
    auto refused = test::events_of<shim::Refused>(trail);
    return refused.empty() ? "" : refused[0].cause;
  }
  /// The principal whose ticket was used.
  std::string client() const {
    auto chosen = test::events_of<shim::TicketChosen>(trail);
    return chosen.empty() ? "" : chosen[0].client;
  }
};

/// For tests that bring a lab of their own.
class ServerInProcess : public testing::Test {
protected:
  /// One listener, the identity, one route to sql1 of `lab`. `krb5_conf` empty: the lab's.
  static config::Config configuration(lab::Lab &lab, config::Identity identity, std::string krb5_conf = {}) {
    config::Config config;
    config.file = "test";
    config.dns.servers = {{lab.dns().address(), lab.dns().port()}};
    config.dns.search = {"corp.test"};
    config.kerberos.config = krb5_conf.empty() ? (lab.folder() / "krb5.conf").string() : krb5_conf;
    // Of all labs: nothing but the listener's own certificate lies there, and its RSA key takes
    // longer to make than a login.
    static const lab::TemporaryFolder state;
    config.state.directory = state.path();
    config::Listener listener;
    listener.name = "local";
    listener.address = config::Address{"127.0.0.1", 0};
    config.listeners.push_back(listener);
    config::Route route;
    route.name = "reports";
    route.target = "sql1.corp.test," + std::to_string(lab.sql_port());
    route.identity = identity.name;
    route.ca_file = lab.folder() / "ca.pem";
    config.routes.push_back(route);
    config.identities.push_back(std::move(identity));
    return config;
  }
  static config::Identity identity(config::IdentityKind kind, const std::string &source,
                                   const std::string &principal = "svc-reports@CORP.TEST") {
    config::Identity made;
    made.name = "reports";
    made.kind = kind;
    made.source = source;
    made.principal = principal;
    return made;
  }

  /// Stops the one before. Each has a decision log of its own.
  void start(config::Config config, shim::ServerOptions options = {}, bool debug = false) {
    server_.reset();
    log_file_ = folder_.path() / fmt::format("decisions-{}.jsonl", ++starts_);
    log_ = *shim::open_decision_log(log_file_, debug);
    auto started = shim::start_server(std::make_shared<const config::Config>(std::move(config)), *log_,
                                      std::move(options));
    ASSERT_TRUE(started) << started.error();
    server_ = std::move(*started);
    const auto &address = server_->listening().front().address;
    if (!address.starts_with("unix:"))
      port_ = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }

  std::string decisions() {
    log_->flush(std::chrono::milliseconds(2000));
    return lab::read_file(log_file_);
  }
  /// The trail of the last connection, once it is closed.
  std::vector<shim::Record> closed_trail() {
    std::vector<shim::Record> trail;
    EXPECT_TRUE(lab::eventually([&] {
      trail = test::last_connection(decisions());
      return !trail.empty() && std::holds_alternative<shim::Closed>(trail.back().event);
    })) << decisions();
    test::check_trail(trail);
    return trail;
  }
  std::string refusal() {
    auto refused = test::events_of<shim::Refused>(closed_trail());
    return refused.size() == 1 ? refused[0].cause : "";
  }
  LoggedIn log_in(const ClientOptions &options = {}) {
    LoggedIn result;
    {
      test::Connection connection("127.0.0.1", port_);
      auto login = test::log_in(connection, options);
      result.accepted = login.reply.has_value();
      result.error = login.error();
    }
    result.trail = closed_trail();
    for (const auto &record : result.trail)
      if (std::holds_alternative<shim::LoginAnswered>(record.event) ||
          std::holds_alternative<shim::Refused>(record.event))
        result.took = record.since_accept;
    result.kdcs = test::events_of<shim::KdcAnswered>(result.trail);
    return result;
  }

  lab::TemporaryFolder folder_;
  int starts_ = 0;
  std::filesystem::path log_file_;
  std::unique_ptr<shim::DecisionLog> log_;
  std::unique_ptr<shim::Server> server_;
  std::uint16_t port_ = 0;
};

/// One lab for all tests of a suite.
class ServerWithSharedLab : public ServerInProcess {
protected:
  static void SetUpTestSuite() { lab_ = new lab::Lab({.serve = false}); }
  static void TearDownTestSuite() {
    delete lab_;
    lab_ = nullptr;
  }

  using ServerInProcess::configuration;
  /// The lab's configuration: its route is logged in to by a keytab.
  static config::Config configuration() {
    return configuration(
        *lab_, identity(config::IdentityKind::keytab, (lab_->folder() / "reports.keytab").string()));
  }
  /// Connections that the peer has seen so far.
  static int seen_by_peer() {
    int number = 0;
    while (!lab_->peer().record(number + 1).empty())
      ++number;
    return number;
  }

  inline static lab::Lab *lab_ = nullptr;
};

} // namespace test
