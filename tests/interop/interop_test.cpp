// Real drivers behave through sqlshim as they do without it.
#include "tests/interop/matrix.hpp"
#include "tests/interop/programme.hpp"
#include "tests/support/decisions.hpp"
#include "tests/support/markdown.hpp"
#include "tests/support/secret_search.hpp"
#include "tests/support/tds_client.hpp"

#include "tds/login7.hpp"
#include "tds/packet.hpp"

#include <atomic>
#include <cstdlib>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <thread>

namespace {

using namespace testing;
using namespace interop;

constexpr std::size_t most_differences = 12; ///< of a row that are shown: one fault shows in many places

constexpr auto readme = SQLSHIM_SOURCE_DIR "/README.md";

/// SQLSHIM_INTEROP: only the rows whose name holds this, and what they print. Null: all, quietly.
const char *const only_these = std::getenv("SQLSHIM_INTEROP");

/// The rows that can run here; on CI, that is all.
std::vector<Driver> present() {
  std::vector<Driver> rows;
  for (const auto &driver : drivers()) {
    if (only_these && !driver.slug().contains(only_these)) continue;
    const auto absent = missing(driver);
    if (absent.empty()) {
      rows.push_back(driver);
      continue;
    }
    fmt::print("not here: {} (there is no {}; tools/install.sh test brings it)\n", driver.slug(), absent);
    EXPECT_EQ(std::getenv("SQLSHIM_CI"), nullptr) << "CI skips nothing";
  }
  return rows;
}

/// Two failures may be equal, too: of the programme, and where the peer knows less than the programme asks.
bool says_that_it_failed(const std::string &line) {
  for (const auto *words :
       {"failed: ", "Could not find stored procedure", "the lab does not know", "the lab cannot"})
    if (line.contains(words)) return true;
  return false;
}

/// Of one driver in one mode, by how it logged in to the peer: rows that log in alike there share one.
using DirectRuns = std::map<Auth, interop::Run>;

/// One row of the matrix: the programme direct, then through sqlshim.
Row compare_driver(lab::Lab &lab, const Driver &driver, DirectRuns &direct_runs) {
  Row row{.driver = fmt::format("{}, {}, {}", driver.name, driver.mode, to_string(driver.auth)),
          .cells = {},
          .compared = {}};
  const auto started = std::chrono::steady_clock::now();
  if (!direct_runs.contains(driver.direct_auth()))
    direct_runs[driver.direct_auth()] = run(lab, driver, Way::direct);
  auto &direct = direct_runs.at(driver.direct_auth());
  auto through = run(lab, driver, Way::through);
  for (const auto *one : {&direct, &through})
    if (one->finished.status != 0)
      row.compared.differences.push_back(fmt::format("{} {}: status {}\n{}", row.driver,
                                                     one == &direct ? "direct" : "through sqlshim",
                                                     one->finished.status, one->finished.output));
  if (only_these) fmt::print("{}", direct.finished.output);
  for (const auto &step : step_names()) {
    const auto &lines = direct.steps[step].lines;
    const auto compared = compare(row.driver + ", " + step, direct.steps[step], through.steps[step]);
    const bool no_such_thing = lines.size() == 1 && lines[0].starts_with("- ");
    const auto refused =
        std::ranges::count_if(lines, [](const auto &line) { return line.contains(" refused"); });
    const bool ran = !lines.empty() && std::ranges::none_of(lines, says_that_it_failed) &&
                     static_cast<std::size_t>(refused) * 4 <= lines.size(); // a driver may lack a type or two
    row.cells[step] = !compared.differences.empty() ? "DIFFERS"
                      : no_such_thing               ? "-"
                      : ran                         ? "equal"
                                                    : "FAILED";
    row.compared += compared;
    if (row.compared.differences.size() > most_differences) row.compared.differences.resize(most_differences);
  }
  row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return row;
}

/// The README says which drivers these are, in which modes: none is left out here
/// without it being seen there.
TEST(Interop, DriversOfTheReadme) {
  std::set<std::string> promised, compared;
  for (const auto &[name, cells] : test::markdown_table(readme, "| driver | modes |")) {
    const auto ways = test::split(cells.at(1), ", ");
    for (const auto &mode : test::split(cells.at(0), ", "))
      promised.insert(fmt::format("{}, {}, sql", name, mode));
    for (const auto &way : ways)
      promised.insert(fmt::format("{}, any mode, {}", name, way));
  }
  for (const auto &driver : drivers()) {
    compared.insert(fmt::format("{}, any mode, {}", driver.name, to_string(driver.auth)));
    if (driver.auth == Auth::sql) compared.insert(fmt::format("{}, {}, sql", driver.name, driver.mode));
  }
  EXPECT_EQ(promised, compared);
  EXPECT_FALSE(promised.empty());
}

TEST(Interop, DriversBehaveAsWithoutSqlshim) {
  const auto started = std::chrono::steady_clock::now();
  const auto rows_wanted = present();
  const auto plain = make_lab({.server_encrypt = "on"});
  const auto strict = make_lab({.server_encrypt = "strict"});
  std::vector<Row> rows(rows_wanted.size());
  const auto fill = [&](std::size_t i, DirectRuns &direct_runs) {
    try {
      rows[i] = compare_driver(rows_wanted[i].strict ? *strict : *plain, rows_wanted[i], direct_runs);
    } catch (const std::exception &problem) {
      rows[i].driver = rows_wanted[i].slug();
      rows[i].compared.differences.push_back(problem.what());
    }
    fmt::print(stderr, "{}: {:.0f} s\n", rows[i].driver, rows[i].seconds);
  };
  std::vector<std::vector<std::size_t>>
      groups; // the rows of one driver in one mode; the slow drivers are first
  for (std::size_t i = 0; i < rows_wanted.size(); ++i) {
    const auto same = [&](const auto &group) {
      return rows_wanted[group.front()].app() == rows_wanted[i].app();
    };
    if (const auto group = std::ranges::find_if(groups, same); group != groups.end())
      group->push_back(i);
    else
      groups.push_back({i});
  }
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < groups.size(); i = next++) {
      DirectRuns direct_runs;
      for (const auto row : groups[i])
        fill(row, direct_runs);
    }
  };
  std::vector<std::jthread> more; // a driver's programme leaves a core idle for much of its time
  for (auto cores = std::thread::hardware_concurrency(); cores; --cores)
    more.emplace_back(work);
  work();
  more.clear();

  fmt::print("{}", table(rows, step_names()));
  int comparisons = 0;
  for (const auto &row : rows) {
    comparisons += row.compared.comparisons;
    for (const auto &difference : row.compared.differences)
      ADD_FAILURE() << difference;
    for (const auto &[step, cell] : row.cells)
      EXPECT_THAT(cell, AnyOf("equal", "-")) << row.driver << ", " << step;
  }
  fmt::print("{} rows, {} comparisons, {:.1f} minutes\n", rows.size(), comparisons,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count() / 60);
}

/// The token with which a client began its integrated login, of what the peer
/// received. Empty: there was none.
tds::Bytes token_of(const std::string &received) {
  tds::MessageReader reader(1 << 20);
  reader.feed({reinterpret_cast<const std::uint8_t *>(received.data()), received.size()});
  for (auto message = reader.next(); message && *message; message = reader.next()) {
    if ((*message)->type != tds::PacketType::login7) continue;
    const auto login = tds::decode_login7((*message)->payload);
    return login ? login->sspi : tds::Bytes();
  }
  return {};
}

/// The encrypted part of the ticket in a Kerberos token: its first OCTET STRING of 100 bytes or more. What is
/// around it two tickets may have in common.
tds::Bytes ticket_in(tds::ByteView token) {
  constexpr std::uint8_t octet_string = 0x04, one_byte = 0x81, two_bytes = 0x82;
  for (std::size_t at = 0; at + 4 < token.size(); ++at) {
    if (token[at] != octet_string || (token[at + 1] != one_byte && token[at + 1] != two_bytes)) continue;
    const bool two = token[at + 1] == two_bytes;
    const std::size_t length = two ? token[at + 2] << 8 | token[at + 3] : token[at + 2];
    const auto start = at + (two ? 4 : 3);
    if (length < 100 || start + length > token.size()) continue;
    return {token.begin() + static_cast<std::ptrdiff_t>(start),
            token.begin() + static_cast<std::ptrdiff_t>(start + length)};
  }
  return {};
}

/// How many AP-REQs are in what the peer received: pvno [0] 5, msg-type [1] 14 (RFC 4120 5.5.1).
int tickets_presented(const std::string &received) {
  constexpr std::string_view ap_req("\xA0\x03\x02\x01\x05\xA1\x03\x02\x01\x0E", 10);
  int count = 0;
  for (auto at = received.find(ap_req); at != received.npos; at = received.find(ap_req, at + 1))
    ++count;
  return count;
}

/// What the peer received in the first connection of a run's step "connect".
std::string first_login(lab::Lab &lab, Run run) {
  const auto &connections = run.steps["connect"].connections;
  return connections.empty() ? "" : lab.peer().received(connections.front().number);
}

/// The same search finds the token in another direct login: two logins by one ticket have the ticket in
/// common, and NTLM has its name.
TEST(Interop, TokensOfDriversNeverGoUpstream) {
  const auto lab = make_lab({.server_encrypt = "on"});
  int drivers_asked = 0;
  for (const auto &driver : present()) {
    if (driver.auth == Auth::sql) continue;
    SCOPED_TRACE(driver.slug());
    test::SecretSearch search;
    search.add("NTLM", "NTLMSSP");
    if (driver.auth == Auth::kerberos) {
      const auto ticket = ticket_in(token_of(first_login(*lab, run(*lab, driver, Way::direct, "connect"))));
      ASSERT_FALSE(ticket.empty()) << "the driver sent no ticket to the peer";
      search.add("ticket", ticket);
    }
    // Java asks the KDC for another ticket in each process: there the AP-REQs are counted, and who the peer
    // found in the one that came.
    const bool keeps_ticket = driver.program != "java";
    const auto again = first_login(*lab, run(*lab, driver, Way::direct, "connect"));
    if (driver.auth == Auth::ntlm)
      EXPECT_THAT(search.find(again), ElementsAre(StartsWith("NTLM")));
    else if (keeps_ticket)
      EXPECT_THAT(search.find(again), ElementsAre(StartsWith("ticket")));
    EXPECT_EQ(tickets_presented(again), driver.auth == Auth::kerberos ? 1 : 0);

    const auto through = run(*lab, driver, Way::through, "connect");
    ASSERT_EQ(through.finished.status, 0) << through.finished.output;
    for (const auto &connection : through.steps.at("connect").connections) {
      const auto received = lab->peer().received(connection.number);
      EXPECT_THAT(search.find(received), IsEmpty());
      EXPECT_EQ(tickets_presented(received), 1) << "sqlshim's own";
      EXPECT_EQ(lab->peer().record(connection.number).value("login", ""), "CORP\\svc-reports");
    }
    ++drivers_asked;
  }
  fmt::print("{} drivers logged in with tokens of their own, none of which went upstream\n", drivers_asked);
}

/// How sqlshim logs in to the server.
struct Mechanism {
  const char *name;
  lab::LabOptions lab;
  Account account;         ///< that the driver shows to sqlshim
  std::string login;       ///< whom the server finds, by auth_scheme
  std::string auth_scheme; ///< as sys.dm_exec_connections says it
  bool of_any_driver;      ///< also of one that asks for integrated login; it shows no account then
};

/// Kerberos by sqlshim's own keytab is what the matrix shows.
TEST(Interop, DriversLogInByEachMechanism) {
  lab::LabOptions ntlm, client;
  ntlm.change = [](lab::Plan &plan) {
    plan.identity = plan.password_identity;
    plan.route_extra = "attempts = [\"tcp+ntlm\"]\n";
    plan.fallback_keys.clear();
  };
  client.change = [](lab::Plan &plan) { plan.identity = "from = \"client\"\n"; };
  const Mechanism mechanisms[] = {
      {"NTLM", ntlm, {}, R"(CORP\svc-reports)", "NTLM", true},
      {"Kerberos by the client's user and password",
       client,
       {"alice@CORP.TEST", "alicepw"},
       R"(CORP\alice)",
       "KERBEROS",
       false},
  };
  for (auto mechanism : mechanisms) {
    mechanism.lab.server_encrypt = "on";
    const auto lab = make_lab(mechanism.lab);
    int logins = 0;
    std::string last; // each driver in one mode: how it came to us is of no account to the server
    for (const auto &driver : present()) {
      if (driver.strict || (driver.auth == Auth::sql ? driver.name == last : !mechanism.of_any_driver))
        continue;
      last = driver.name;
      SCOPED_TRACE(fmt::format("{}, {}", driver.slug(), mechanism.name));
      const auto through = run(*lab, driver, Way::through, "connect", mechanism.account);
      EXPECT_EQ(through.finished.status, 0) << through.finished.output;
      const auto step = through.steps.find("connect");
      ASSERT_NE(step, through.steps.end()) << through.finished.output;
      EXPECT_FALSE(step->second.connections.empty()) << through.finished.output;
      EXPECT_THAT(step->second.lines, Each(Not(ContainsRegex("failed|Error")))) << through.finished.output;
      for (const auto &connection : step->second.connections) {
        const auto record = lab->peer().record(connection.number);
        EXPECT_EQ(record.value("login", ""), mechanism.login);
        EXPECT_EQ(record.value("auth_scheme", ""), mechanism.auth_scheme);
        ++logins;
      }
    }
    fmt::print("{}: {} logins\n", mechanism.name, logins);
  }
}

/// What stands in backticks.
std::vector<std::string> quoted(const std::string &cell) {
  std::vector<std::string> words;
  const auto parts = test::split(cell, "`");
  for (std::size_t i = 1; i + 1 < parts.size(); i += 2)
    words.push_back(parts[i]);
  return words;
}

/// What a user reads of a refusal: the lines that a programme printed, without their
/// prefix and the driver's stack.
std::string words_of(const Run &run) {
  std::string words;
  for (const auto &line :
       run.steps.contains("connect") ? run.steps.at("connect").lines : std::vector<std::string>())
    words += (words.empty() ? "" : " / ") + (line.starts_with("failed: ") ? line.substr(8) : line);
  return words;
}

/// The same for every connection, and with TEXT for the whole text of the refusal, as
/// another client has read it.
std::string as_in_readme(std::string words, std::string text) {
  static const std::regex id("sqlshim connection [0-9a-f]{8}");
  for (auto *one : {&words, &text})
    *one = std::regex_replace(*one, id, "sqlshim connection ID");
  for (auto at = words.find(text); at != words.npos; at = words.find(text))
    words.replace(at, text.size(), "TEXT");
  return words;
}

/// How often a driver tries a login that is refused. mssql-jdbc 12.6.1 would try again until its loginTimeout
/// whatever the server's error is, but for 18456, 18486 and 18488 (javap of SQLServerConnection.login), with
/// any connectRetryCount; its list of transient errors has no part in that. So it is told 18456.
constexpr std::string_view retries_unknown_numbers = "mssql-jdbc 12.6.1";
/// pyodbc connects a second time after any refusal, also after a server's 18456.
constexpr std::string_view tries_twice = "pyodbc 4.0.34";

/// 50811 is in no driver's list of errors that pass by themselves: each tries as often as with any other, and
/// shows our cause and the SPN.
TEST(Interop, RefusalsAreShownAndNotRetried) {
  const auto lab = make_lab({.fault = "spn-missing", .server_encrypt = "on"});
  const auto logins = [&] {
    return test::events_of<shim::Accepted>(test::records_of(lab->decisions())).size();
  };
  test::Connection any_client("127.0.0.1", lab->port());
  const auto text = test::log_in(any_client).error();
  const auto promises = test::markdown_table(readme, "| driver | reads | logins made |");
  std::string table;
  std::string last;
  for (auto driver : present()) {
    if (driver.strict || driver.auth != Auth::sql || driver.name == last) continue;
    last = driver.name;
    if (driver.name == retries_unknown_numbers)
      driver.mode = "encrypt=true;connectRetryCount=0;connectRetryInterval=1;loginTimeout=6";
    SCOPED_TRACE(driver.slug());
    const auto before = logins();
    const auto words = words_of(run(*lab, driver, Way::through, "connect"));
    EXPECT_THAT(words, AllOf(HasSubstr("spn-missing"), HasSubstr(lab->spn())));
    const auto tried = logins() - before;
    EXPECT_EQ(tried, driver.name == tries_twice ? 2u : 1u);
    ASSERT_TRUE(promises.contains(driver.name)) << "the README does not tell what its users read";
    const auto &promised = promises.at(driver.name);
    EXPECT_EQ(promised.at(1), std::to_string(tried));
    const auto fragments = quoted(promised.at(0));
    EXPECT_THAT(fragments, Not(IsEmpty()));
    const auto masked = as_in_readme(words, text);
    for (const auto &fragment : fragments)
      EXPECT_THAT(masked, HasSubstr(fragment));
    table += fmt::format("{} ({}), {} login(s): {}\n\n", driver.name, driver.mode, tried, words);
  }
  fmt::print("{}", table);
}

} // namespace
