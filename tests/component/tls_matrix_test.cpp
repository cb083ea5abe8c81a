// Any client mode against any server mode, by Kerberos and by the client's own SQL login; and what happens
// where route or listener and the other side do not agree.
#include "tests/component/server_in_process.hpp"

#include <fmt/ranges.h>

namespace {

using namespace testing;
using config::Encrypt;
using config::ListenerTls;

/// How a client reaches the listener.
struct ClientMode {
  const char *name;
  test::ClientOptions options;
};

test::ClientOptions client(tds::ServerTls tls, tds::Version version, bool prelogin = true) {
  test::ClientOptions options;
  options.user = u"sa";
  options.password = u"Lab.Passw0rd";
  options.tls = tls;
  options.version = version;
  options.prelogin = prelogin;
  return options;
}

const std::vector<ClientMode> &client_modes() {
  static const std::vector<ClientMode> modes = {
      {"TDS 7.0, no PRELOGIN", client(tds::ServerTls::off, tds::tds_7_0, false)},
      {"TDS 7.4 in clear", client(tds::ServerTls::off, tds::tds_7_4)},
      {"login-only TLS", client(tds::ServerTls::login, tds::tds_7_4)},
      {"TLS", client(tds::ServerTls::require, tds::tds_7_4)},
      {"strict, TDS 8.0", client(tds::ServerTls::strict, tds::tds_8_0)},
  };
  return modes;
}

/// A peer's mode and the encrypt that fits it.
struct ServerMode {
  const char *name; ///< of --server-encrypt
  Encrypt fitting;
};
constexpr ServerMode server_modes[] = {{"off", Encrypt::off},
                                       {"login", Encrypt::login},
                                       {"on", Encrypt::require},
                                       {"require", Encrypt::require},
                                       {"strict", Encrypt::strict}};

/// What one cell came to, in a few words, "KERBEROS" or "SQL" where the login succeeded
/// and a query was answered.
class TlsMatrix : public test::ServerInProcess {
protected:
  static lab::Lab &lab_with(const std::string &mode) {
    auto &lab = labs_[mode];
    if (!lab) lab = std::make_unique<lab::Lab>(lab::LabOptions{.server_encrypt = mode, .serve = false});
    return *lab;
  }
  static void TearDownTestSuite() { labs_.clear(); }

  config::Config with(lab::Lab &lab, Encrypt encrypt, ListenerTls tls, config::AttemptKind kind) {
    auto config = configuration(
        lab, identity(config::IdentityKind::keytab, (lab.folder() / "reports.keytab").string()));
    config.listeners[0].tls = tls;
    auto &route = config.routes[0];
    route.encrypt = encrypt;
    route.attempts = {kind};
    route.timeouts.login = config::Duration(5000);
    if (encrypt == Encrypt::off) route.unprotected = config::Unprotected::accept;
    return config;
  }

  std::string cell(const test::ClientOptions &options) {
    std::string result;
    {
      test::Connection connection("127.0.0.1", port_);
      auto login = test::log_in(connection, options);
      if (login.reply) {
        auto scheme = test::query(connection,
                                  u"select auth_scheme from sys.dm_exec_connections where session_id=@@spid",
                                  options.version);
        result = test::says(scheme, u"KERBEROS") ? "KERBEROS"
                 : test::says(scheme, u"SQL")    ? "SQL"
                                                 : "no answer";
      }
    }
    const auto trail = closed_trail();
    const auto refused = test::events_of<shim::Refused>(trail);
    if (!refused.empty()) return refused[0].cause;
    if (result.empty()) return "the client gave up";
    return result;
  }

  inline static std::map<std::string, std::unique_ptr<lab::Lab>> labs_;
};

TEST_F(TlsMatrix, AnyClientReachesAnyServer) {
  std::string table = fmt::format("{:<22}", "client \\ server");
  for (const auto &server : server_modes)
    table += fmt::format(" {:<18}", server.name);
  table += '\n';
  int cells = 0;
  for (const auto &mode : client_modes()) {
    std::string row = fmt::format("{:<22}", mode.name);
    for (const auto &server : server_modes) {
      std::vector<std::string> outcomes;
      for (const auto kind : {config::AttemptKind::tcp_kerberos, config::AttemptKind::tcp_sql}) {
        start(with(lab_with(server.name), server.fitting, ListenerTls::optional, kind));
        outcomes.push_back(cell(mode.options));
        EXPECT_EQ(outcomes.back(), kind == config::AttemptKind::tcp_sql ? "SQL" : "KERBEROS")
            << mode.name << " to " << server.name << "\n"
            << decisions();
        ++cells;
      }
      row += fmt::format(" {:<18}", fmt::join(outcomes, " | "));
    }
    table += row + '\n';
  }
  fmt::print("{}{} cells\n", table, cells);
}

TEST_F(TlsMatrix, WhatTheServerDoesNotGiveIsNeverDoneWithout) {
  using Row = std::map<std::string, std::string>;
  const std::pair<Encrypt, Row> rows[] = {
      {Encrypt::off,
       {{"off", "KERBEROS"},
        {"login", "KERBEROS"},
        {"on", "KERBEROS"},
        {"require", "server-requires-tls"},
        {"strict", "server-closed"}}},
      {Encrypt::login,
       {{"off", "server-without-tls"},
        {"login", "KERBEROS"},
        {"on", "KERBEROS"},
        {"require", "KERBEROS"},
        {"strict", "server-closed"}}},
      {Encrypt::require,
       {{"off", "server-without-tls"},
        {"login", "server-without-tls"},
        {"on", "KERBEROS"},
        {"require", "KERBEROS"},
        {"strict", "server-closed"}}},
      {Encrypt::strict,
       {{"off", "tls-mismatch"},
        {"login", "tls-mismatch"},
        {"on", "tls-mismatch"},
        {"require", "tls-mismatch"},
        {"strict", "KERBEROS"}}},
  };
  std::string table = fmt::format("{:<22}", "encrypt \\ server");
  for (const auto &server : server_modes)
    table += fmt::format(" {:<20}", server.name);
  table += '\n';
  for (const auto &[encrypt, expected] : rows) {
    table += fmt::format("{:<22}", config::to_string(encrypt));
    for (const auto &server : server_modes) {
      start(with(lab_with(server.name), encrypt, ListenerTls::optional, config::AttemptKind::tcp_kerberos));
      const auto outcome = cell(client(tds::ServerTls::off, tds::tds_7_4));
      EXPECT_EQ(outcome, expected.at(server.name))
          << config::to_string(encrypt) << " to " << server.name << "\n"
          << decisions();
      table += fmt::format(" {:<20}", outcome);
    }
    table += '\n';
  }
  fmt::print("{}", table);
}

TEST_F(TlsMatrix, TheListenersPolicy) {
  const std::pair<ListenerTls, std::vector<std::string>> rows[] = {
      // A client that asks for login-only TLS or more and is told NOT_SUP gives up by itself.
      {ListenerTls::off,
       {"KERBEROS", "KERBEROS", "the client gave up", "client-requires-tls", "client-requires-tls"}},
      {ListenerTls::optional, {"KERBEROS", "KERBEROS", "KERBEROS", "KERBEROS", "KERBEROS"}},
      {ListenerTls::required,
       {"listener-requires-tls", "listener-requires-tls", "KERBEROS", "KERBEROS", "KERBEROS"}},
  };
  std::string table = fmt::format("{:<12}", "tls \\ client");
  for (const auto &mode : client_modes())
    table += fmt::format(" {:<22}", mode.name);
  table += '\n';
  for (const auto &[tls, expected] : rows) {
    table += fmt::format("{:<12}", config::to_string(tls));
    for (std::size_t i = 0; i < client_modes().size(); ++i) {
      start(with(lab_with("on"), Encrypt::require, tls, config::AttemptKind::tcp_kerberos));
      const auto outcome = cell(client_modes()[i].options);
      EXPECT_EQ(outcome, expected[i]) << config::to_string(tls) << ", " << client_modes()[i].name << "\n"
                                      << decisions();
      table += fmt::format(" {:<22}", outcome);
    }
    table += '\n';
  }
  fmt::print("{}", table);
}

} // namespace
