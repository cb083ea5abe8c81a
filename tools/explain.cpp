#include "shim/login/rehearsal.hpp"

#include "config/load.hpp"
#include "shim/log/render.hpp"
#include "tools/commands.hpp"
#include "tools/direct_login.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <ostream>

namespace commands {

namespace {

constexpr std::size_t longest_paragraph = 4096; // bytes; of a sentence or remedy with names filled in

template <class... F> struct Overloaded : F... { using F::operator()...; };

/// Columns on a terminal: good for names and messages, which have few characters of double width.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// Rows whose columns stand below each other. What goes in may come from outside: it is escaped here.
class Table {
public:
  void add(std::vector<std::string> row) {
    for (auto &cell : row)
      cell = shim::printable(cell);
    rows_.push_back(std::move(row));
  }
  std::string text() const {
    std::vector<std::size_t> widths;
    for (const auto &row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (i == widths.size()) widths.push_back(0);
        // The last cell of a row is as long as it likes.
        if (i + 1 < row.size()) widths[i] = std::max(widths[i], width(row[i]));
      }
    std::string out;
    for (const auto &row : rows_) {
      std::string line;
      for (std::size_t i = 0; i < row.size(); ++i) {
        line += "  " + row[i];
        if (i + 1 < row.size()) line.append(widths[i] - width(row[i]), ' ');
      }
      out += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
    }
    return out;
  }

private:
  std::vector<std::vector<std::string>> rows_;
};

std::string joined(const std::vector<std::string> &list, std::string_view separator) {
  return fmt::format("{}", fmt::join(list, separator));
}
std::string millis(std::int64_t us) { return fmt::format("{:.3f} ms", static_cast<double>(us) / 1e3); }
/// "7f3a01c2 +1.830ms NAME a=b": all but connection, time and name.
std::string fields_of(const shim::Record &record) {
  const std::string text = shim::to_text(record);
  const std::size_t name = text.find(fmt::format(" {} ", shim::name_of(record.event)));
  return name == std::string::npos ? "" : text.substr(name + shim::name_of(record.event).size() + 2);
}

std::string in_words(std::optional<auth::Why> why) {
  if (why == auth::Why::explicit_spn) return "spn of the route";
  if (why == auth::Why::port) return "canonical name and port";
  return why ? std::string(spelling(*why)) : "";
}

std::string answer_of(const shim::KdcAnswered &answer) {
  if (answer.code < 0) return "no answer: " + answer.text;
  if (answer.code == 0) return "ticket";
  // A round of the exchange, though its number is an error's.
  if (answer.code == auth::krb::preauth_required)
    return fmt::format("asks for proof ({} {})", answer.code, answer.text);
  return fmt::format("{} {}", answer.code, answer.text);
}

/// A KDC tells its time in whole seconds in most answers.
std::string skew_of(const shim::KdcAnswered &answer) {
  if (answer.stime.empty()) return "";
  const auto seconds = std::lround(static_cast<double>(answer.skew_ms) / 1e3);
  return seconds == 0 ? "its clock is right" : fmt::format("its clock is {:+} s off", seconds);
}

/// The parts of the explanation, filled in one walk over the events.
struct Parts {
  Table target, names, resolved, spns, kdc_names, kdc, server, trace;
  std::vector<std::vector<std::string>> plan; ///< number, attempt, what became of it
  std::string user;
  bool is_resolved = false, has_ticket = false;
  const shim::KdcAnswered *last_answer = nullptr; ///< since the last SPN was tried
  const shim::SpnTried *tried = nullptr;          ///< the last one

  void add(const shim::Record &record) {
    std::visit(Overloaded{[this](const shim::CallerProven &event) { add(event); },
                          [](const shim::LoginReceived &) {}, // explain's own
                          [](const shim::Refused &) {},       // the diagnosis says it better
                          [this](const shim::PolicyDecided &event) { add(event); },
                          [this](const shim::DnsAnswered &event) { add(event); },
                          [this](const shim::TargetAliased &event) { add(event); },
                          [this](const shim::BrowserAnswered &event) { add(event); },
                          [this](const shim::TargetResolved &event) { add(event); },
                          [this](const shim::PlanMade &event) { add(event); },
                          [this](const shim::KdcAnswered &event) { add(event); },
                          [this](const shim::SpnTried &event) { add(event); },
                          [this](const shim::TicketChosen &event) { add(event); },
                          [this](const shim::ServerConnected &event) { add(event); },
                          [this](const shim::PreloginAnswered &event) { add(event); },
                          [this](const shim::TlsAgreed &event) { add(event); },
                          [this](const shim::RedirectFollowed &event) { add(event); },
                          [this](const shim::TokenExchanged &event) { add(event); },
                          [this](const shim::ServerSaid &event) { add(event); },
                          [this](const shim::AttemptEnded &event) { add(event); },
                          [this](const shim::LoginAnswered &event) { add(event); },
                          [this](const shim::TraceLine &event) { trace.add({event.text}); },
                          [&](const shim::FallbackTaken &) {
                            has_ticket = false;
                            server.add({std::string(shim::name_of(record.event)), fields_of(record)});
                          },
                          [&](const auto &) {
                            server.add({std::string(shim::name_of(record.event)), fields_of(record)});
                          }},
               record.event);
  }

  void add(const shim::CallerProven &event) { user = fmt::format("{} (uid {})", event.user, event.uid); }
  void add(const shim::PolicyDecided &event) {
    target.add({"route", (event.route.empty() ? "none" : event.route) + ": " + event.reason});
  }
  void add(const shim::DnsAnswered &event) {
    // After the target is resolved it is the KDCs' names that are asked for.
    (is_resolved ? kdc_names : names)
        .add({event.question, event.type, event.answers.empty() ? "-" : joined(event.answers, ", "),
              event.answers.empty() ? "" : fmt::format("ttl {}", event.ttl), event.rcode, event.server,
              event.cached ? "cached" : millis(event.us)});
  }
  void add(const shim::TargetAliased &event) {
    target.add({"alias", fmt::format("{} is {} (by {})", event.from, event.to, event.by)});
  }
  void add(const shim::BrowserAnswered &event) {
    const auto what = event.port ? fmt::format("{} is at port {}{}", event.instance, event.port,
                                               event.detail.empty() ? "" : ", " + event.detail)
                                 : fmt::format("no port of {}: {}", event.instance, event.detail);
    resolved.add(
        {"SQL Browser",
         fmt::format("{} ({})", what,
                     event.cached ? "kept" : fmt::format("{}, {}", event.server, millis(event.us)))});
  }
  void add(const shim::TargetResolved &event) {
    is_resolved = true;
    resolved.add({"canonical name", fmt::format("{} (by {})", event.fqdn, event.via)});
    resolved.add({"addresses", joined(event.endpoints, ", ")});
  }
  void add(const shim::PlanMade &event) {
    for (const auto &attempt : event.attempts)
      plan.push_back({fmt::format("{}.", plan.size() + 1), attempt});
    if (event.attempts.empty()) plan.push_back({"no attempt is possible"});
  }
  void add(const shim::KdcAnswered &event) {
    last_answer = &event;
    kdc.add({event.kdc, event.exchange, answer_of(event), skew_of(event), millis(event.us)});
  }
  void add(const shim::SpnTried &event) {
    if (event.outcome != shim::Tried::ticket) {
      const bool said = last_answer && last_answer->code > 0;
      spns.add({event.spn, in_words(event.why),
                fmt::format("{}: {}", spelled(event.kind), said ? answer_of(*last_answer) : event.detail)});
    }
    last_answer = nullptr;
    tried = &event;
  }
  void add(const shim::TicketChosen &event) {
    has_ticket = true;
    spns.add({event.spn, tried ? in_words(tried->why) : "",
              fmt::format("ticket: {}, kvno {}, expires {}", event.etype, event.kvno, event.expires)});
  }
  void add(const shim::ServerConnected &event) {
    server.add(
        {"connected", fmt::format("{} (attempt {}, {})", event.endpoint, event.attempt, millis(event.us))});
  }
  void add(const shim::PreloginAnswered &event) {
    server.add({"PRELOGIN", "asked     " + event.asked});
    server.add({"", "answered  " + event.answered});
  }
  void add(const shim::TlsAgreed &event) {
    server.add({"TLS", fmt::format("{}, {}, certificate {} for {}", event.version, event.cipher,
                                   event.verified ? "verified" : "NOT verified", joined(event.names, ", "))});
    server.add({"", event.binding == "none" ? fmt::format("channel binding: none ({})", event.reason)
                                            : fmt::format("channel binding: {}", event.binding)});
  }
  void add(const shim::RedirectFollowed &event) {
    server.add({"redirect", fmt::format("{} sends the login on to {}", event.from, event.to)});
  }
  void add(const shim::TokenExchanged &event) {
    server.add({fmt::format("token {}", event.round),
                fmt::format("{}, {} bytes received, {} sent, flags {} asked, {} granted{}", event.mechanism,
                            event.received, event.sent, event.flags_asked.empty() ? "-" : event.flags_asked,
                            event.flags_granted.empty() ? "-" : event.flags_granted,
                            event.done ? ", the server has proven itself" : "")});
  }
  void add(const shim::ServerSaid &event) {
    server.add({"server says", fmt::format("{} (class {}, state {}): {}", event.number, event.severity,
                                           event.state, event.text)});
  }
  void add(const shim::AttemptEnded &event) {
    const auto index = static_cast<std::size_t>(event.attempt) - 1;
    if (index < plan.size()) plan[index].push_back(event.cause);
  }
  void add(const shim::LoginAnswered &event) {
    server.add({"LOGINACK", fmt::format("TDS {}, database {}, packet size {}", event.version,
                                        event.database.empty() ? "-" : event.database, event.packet_size)});
  }
};

std::string verdict(const shim::Explanation &explanation, const Parts &parts) {
  if (explanation.connect && parts.has_ticket)
    return "the login succeeds; the session's auth_scheme is KERBEROS.";
  if (explanation.connect) return "the login succeeds.";
  if (!parts.tried) return "no ticket is needed: the client's own user and password are sent on.";
  return "a login would get as far as connecting. (No server was connected to: --connect does.)";
}

Table table_of(const std::vector<SecondOpinion> &opinions) {
  Table table;
  for (const auto &opinion : opinions) {
    const auto agree = opinion.agree();
    const auto theirs = opinion.accepted
                            ? fmt::format("{} ({})", *opinion.accepted ? "accepted" : "refused", opinion.said)
                            : fmt::format("not tried ({})", opinion.said);
    table.add({opinion.spn, "sqlshim: " + (opinion.ours.empty() ? "not tried" : opinion.ours),
               "FreeTDS: " + theirs,
               !agree   ? "-"
               : *agree ? "they agree"
                        : "THEY DISAGREE"});
    if (!opinion.note.empty()) table.add({"", "", opinion.note});
  }
  return table;
}

std::string in_words(const shim::ResolvedName &name) {
  return name.fault.empty() ? fmt::format("{}, {}", name.canonical, joined(name.addresses, ", "))
                            : name.fault;
}

/// Nothing where the two resolvers agree.
Table table_of(const shim::NameComparison &comparison) {
  Table table;
  if (const auto differ = comparison.differences(); !differ.empty())
    table.add(
        {"resolvers differ", "own: " + in_words(comparison.own), "system: " + in_words(comparison.system)});
  return table;
}

std::string_view in_words(auth::MitNaming::Canonicalise canonicalise) {
  constexpr std::string_view words[] = {"false", "true", "fallback"};
  return words[static_cast<std::size_t>(canonicalise)];
}

/// What DNS says that drivers go by.
Table facts_of(const shim::DriverComparison &comparison) {
  const auto &facts = comparison.facts;
  Table table;
  if (!facts.chain.empty()) table.add({facts.alias() ? "CNAME chain" : "name", joined(facts.chain, " -> ")});
  if (!facts.forward_fault.empty()) table.add({"no address", facts.forward_fault});
  if (!facts.ptr.empty())
    table.add({"PTR", fmt::format("{} is {}{}", facts.addresses.front(), facts.ptr,
                                  facts.ptr_confirmed ? "" : ", a name that does NOT lead back to it")});
  else if (!facts.addresses.empty())
    table.add({"PTR", fmt::format("{} has none: {}", facts.addresses.front(), facts.ptr_fault)});
  table.add({"krb5.conf",
             fmt::format("dns_canonicalize_hostname = {}, rdns = {}: what libkrb5 makes of host-based names",
                         in_words(comparison.mit.canonicalise), comparison.mit.rdns)});
  return table;
}

/// One line an SPN; the last column says how the driver came to it, or what is to blame.
Table table_of(const shim::DriverComparison &comparison) {
  Table table;
  for (const auto &row : comparison.rows) {
    const auto *works = row.first_ticket();
    if (row.spns.empty()) table.add({row.driver, row.name, "-", "-", "no SPN: " + row.reason});
    bool first = true, over = false;
    for (const auto &one : row.spns) {
      const auto because = one.ticket              ? row.reason
                           : over                  ? "no longer asked"
                           : one.suspicion.empty() ? row.reason
                           : works                 ? "goes on"
                                                   : "FAILS: " + one.suspicion;
      table.add({first ? row.driver : "", first ? row.name : "", one.spn, one.said, because});
      first = false;
      over = over || &one == works;
    }
  }
  return table;
}

std::string json_text(const std::vector<SecondOpinion> &opinions) {
  auto list = nlohmann::json::array();
  for (const auto &opinion : opinions) {
    const auto agree = opinion.agree();
    list.push_back({{"spn", opinion.spn},
                    {"sqlshim", opinion.ours},
                    {"freetds", !opinion.accepted   ? "not tried"
                                : *opinion.accepted ? "accepted"
                                                    : "refused"},
                    {"said", opinion.said},
                    {"note", opinion.note},
                    {"agree", agree ? nlohmann::json(*agree) : nlohmann::json()}});
  }
  return list.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

} // namespace

std::string render(const shim::Explanation &explanation, const std::vector<SecondOpinion> &opinions,
                   bool colour) {
  Parts parts;
  parts.target.add({"typed", explanation.target});
  for (const auto &record : explanation.records)
    parts.add(record);
  std::string identity = explanation.identity.empty() ? "none is needed" : explanation.identity;
  std::string principal = explanation.principal;
  if (principal.empty() && parts.tried) principal = parts.tried->client;
  if (!principal.empty()) identity += " (" + principal + ")";
  parts.target.add({"identity", identity + ", asked for by " + parts.user});

  Table plan;
  for (auto &row : parts.plan)
    plan.add(std::move(row));

  const auto paint = [&](std::string_view code, std::string_view text) {
    return colour ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
  };
  std::string out;
  const auto section = [&](std::string_view title, std::initializer_list<const Table *> tables) {
    std::string body;
    for (const auto *table : tables)
      body += table->text();
    if (!body.empty()) out += paint("1", title) + '\n' + body + '\n';
  };
  section("Target", {&parts.target});
  const auto resolvers = explanation.names ? table_of(*explanation.names) : Table();
  section("Names", {&parts.names, &parts.resolved, &resolvers});
  section("SPN candidates", {&parts.spns});
  section("Plan", {&plan});
  section("KDC", {&parts.kdc_names, &parts.kdc});
  section("Server", {&parts.server});
  const auto control = table_of(opinions);
  section("Control: FreeTDS, directly at the server", {&control});
  if (explanation.drivers) {
    const auto facts = facts_of(*explanation.drivers), rows = table_of(*explanation.drivers);
    section("Drivers: what DNS tells them", {&facts});
    section("Drivers: name, SPNs in order, what the KDC says", {&rows});
  }
  section("Kerberos trace", {&parts.trace});

  const auto paragraph = [](std::string_view text) { return shim::printable(text, longest_paragraph); };
  out += paint("1", "Diagnosis") + '\n';
  if (const auto &diagnosis = explanation.diagnosis) {
    out += fmt::format("  {} (to be mended at: {})\n  {}\n", paint("31", id(diagnosis->cause)),
                       to_string(diagnosis->fault), paragraph(diagnosis->sentence));
    if (!diagnosis->spn.empty()) out += fmt::format("  SPN: {}\n", paragraph(diagnosis->spn));
    if (!diagnosis->said.empty() && !diagnosis->said_by.empty())
      out += fmt::format("  The {} said: \"{}\"\n", diagnosis->said_by, paragraph(diagnosis->said));
    else if (!diagnosis->said.empty())
      out += fmt::format("  Detail: {}\n", paragraph(diagnosis->said));
    out += fmt::format("  Remedy: {}\n", paragraph(diagnosis->remedy));
  } else if (explanation.not_done.empty()) {
    out += fmt::format("  {}: {}\n", paint("32", "ok"), verdict(explanation, parts));
  }
  if (!explanation.not_done.empty())
    out += fmt::format("  {}: {}.\n", paint("33", "login not tried"), paragraph(explanation.not_done));
  return out;
}

int status_of(const shim::Explanation &explanation) {
  if (explanation.diagnosis) return 1;
  return explanation.not_done.empty() ? 0 : 2;
}

int explain(std::ostream &out, std::ostream &err, const std::filesystem::path &config,
            const ExplainOptions &options) {
  const config::Loaded loaded = config::load(config);
  for (const config::Problem &problem : loaded.problems)
    err << shim::printable(problem.text(), longest_paragraph) << '\n';
  if (!loaded.ok()) return 2;
  const auto complain = [&](const std::string &what) {
    err << "sqlshim explain: " << shim::printable(what, longest_paragraph) << '\n';
    return 2;
  };
  const auto route = shim::choose_route(loaded.config, options.target, options.route);
  if (!route) return complain(route.error());
  if (options.control && !options.connect)
    return complain("--control compares logins: it goes with --connect");
  auto drivers = auth::drivers();
  if (const auto *one = auth::find_driver(options.as))
    drivers = {one, 1};
  else if (options.as.empty())
    drivers = {};
  else if (options.as != "all") {
    std::vector<std::string> known;
    for (const auto &driver : drivers)
      known.emplace_back(driver.id);
    return complain(
        fmt::format("--as {}: there is no such driver; there are: all, {}", options.as, joined(known, ", ")));
  }
  const auto explanation = shim::explain(loaded.config, *route, options.connect, options.control, drivers);
  if (!explanation) return complain(explanation.error());
  std::vector<SecondOpinion> opinions;
  if (options.control) {
    auto asked = second_opinions(*route, *explanation);
    if (!asked) return complain(asked.error());
    opinions = std::move(*asked);
  }
  if (options.json)
    out << shim::to_json(*explanation, options.control ? "\"control\":" + json_text(opinions) : "");
  else
    out << render(*explanation, opinions, options.colour);
  return status_of(*explanation);
}

} // namespace commands
