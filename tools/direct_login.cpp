#include "tools/direct_login.hpp"

#include "auth/ticket.hpp"
#include "tools/commands.hpp"

#include <boost/process.hpp>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

namespace commands {

namespace {

namespace fs = std::filesystem;
namespace process = boost::process;

constexpr auto control_limit = std::chrono::seconds(15);

/// A folder that only this user can enter; gone with its content in the end.
class PrivateFolder {
public:
  PrivateFolder() {
    auto name = (fs::temp_directory_path() / "sqlshim-control-XXXXXX").string();
    if (::mkdtemp(name.data())) path_ = name;
  }
  ~PrivateFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  PrivateFolder(const PrivateFolder &) = delete;
  PrivateFolder &operator=(const PrivateFolder &) = delete;
  const fs::path &path() const { return path_; } ///< empty: it could not be made

private:
  fs::path path_;
};

/// The line that sqlshim-control prints; empty where it did not end in time.
std::string run_control(const fs::path &program, const fs::path &folder, const std::string &spn) {
  boost::asio::io_context io;
  std::future<std::string> output;
  process::environment own = boost::this_process::environment();
  own["FREETDSCONF"] = (folder / "freetds.conf").string();
  own["KRB5CCNAME"] = "FILE:" + (folder / "ccache").string();
  process::child child(program.string(), process::args({"server", spn}), own,
                       process::std_in<process::null, process::std_out> output,
                       process::std_err > process::null, io);
  io.run_for(control_limit);
  if (output.wait_for(std::chrono::seconds(0)) != std::future_status::ready) child.terminate();
  child.wait(); // it has closed its output, which it does by ending
  return output.get();
}

/// What explain's own login came to with that SPN: "ok", a cause id, or empty where it was not tried.
std::string outcome_of(const shim::Explanation &explanation, const std::string &spn) {
  std::vector<std::string> plan;
  for (const auto &record : explanation.records) {
    if (const auto *made = std::get_if<shim::PlanMade>(&record.event)) {
      if (!plan.empty()) break; // a redirect has led elsewhere, and FreeTDS is sent to the first place
      plan = made->attempts;
    }
    const auto *ended = std::get_if<shim::AttemptEnded>(&record.event);
    if (!ended || ended->attempt < 1 || static_cast<std::size_t>(ended->attempt) > plan.size()) continue;
    if (plan[static_cast<std::size_t>(ended->attempt) - 1].ends_with(" " + spn))
      return ended->cause == "redirect" ? "ok" : ended->cause;
  }
  return "";
}

/// Where explain's login went first, "ADDRESS:PORT"; empty where no address is known.
std::string endpoint_of(const shim::Explanation &explanation) {
  std::string endpoint;
  for (const auto &record : explanation.records) {
    if (const auto *connected = std::get_if<shim::ServerConnected>(&record.event)) return connected->endpoint;
    const auto *resolved = std::get_if<shim::TargetResolved>(&record.event);
    if (resolved && endpoint.empty() && !resolved->endpoints.empty()) endpoint = resolved->endpoints.front();
  }
  return endpoint;
}

void read_answer(const std::string &line, SecondOpinion &opinion) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) {
    opinion.said = line.empty() ? fmt::format("FreeTDS did not end within {} s", control_limit.count())
                                : "FreeTDS ended without an answer";
    return;
  }
  opinion.accepted = json.value("accepted", false);
  if (*opinion.accepted)
    opinion.said = json.value("auth_scheme", "");
  else if (const auto said = json.find("said"); said != json.end() && said->is_array() && !said->empty())
    opinion.said = said->front().get<std::string>();
}

/// What FreeTDS 1.3 does not send, where that can be why it is refused and we are not.
std::string difference_of(const SecondOpinion &opinion, const config::Route &route) {
  if (opinion.agree() != std::optional(false) || *opinion.accepted || route.encrypt == config::Encrypt::off)
    return "";
  return "FreeTDS sends no channel binding, which a server with Extended Protection set to Required demands";
}

} // namespace

std::expected<std::string, std::string> freetds_conf(const config::Route &route,
                                                     const std::string &endpoint) {
  const auto colon = endpoint.rfind(':');
  auto host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::string_view encryption;
  switch (route.encrypt) {
  case config::Encrypt::off:
    encryption = "off";
    break;
  case config::Encrypt::login:
    encryption = "request";
    break;
  case config::Encrypt::require:
    encryption = "require";
    break;
  case config::Encrypt::strict:
    return std::unexpected("FreeTDS knows no TDS 8.0, which encrypt = \"strict\" means");
  }
  auto text = fmt::format("[server]\n\thost = {}\n\tport = {}\n\ttds version = 7.4\n\tencryption = {}\n",
                          host, endpoint.substr(colon + 1), encryption);
  // The address stands in place of the name, so the chain alone is checked; what the ticket
  // is for proves the server.
  if (route.verified_tls())
    text += fmt::format("\tca file = {}\n\tcheck certificate hostname = no\n",
                        route.ca_file.empty() ? "system" : route.ca_file.string());
  return text;
}

std::expected<std::vector<SecondOpinion>, std::string> second_opinions(const config::Route &route,
                                                                       const shim::Explanation &explanation) {
  const auto program = beside_this_program("sqlshim-control");
  if (::access(program.c_str(), X_OK) != 0)
    return std::unexpected(
        fmt::format("--control needs {}, a program of its own that is not there: build it, or "
                    "install it beside sqlshim",
                    program.string()));
  std::vector<SecondOpinion> opinions;
  const auto endpoint = endpoint_of(explanation);
  const auto conf = endpoint.empty() ? std::unexpected(std::string("no address of the server is known"))
                                     : freetds_conf(route, endpoint);
  for (const auto &candidate : explanation.candidates) {
    auto &opinion = opinions.emplace_back();
    opinion.spn = candidate.spn;
    opinion.ours = outcome_of(explanation, candidate.spn);
    if (!conf || !candidate.ticket) {
      opinion.said = conf ? "there is no ticket to give it" : conf.error();
      continue;
    }
    const PrivateFolder folder;
    if (folder.path().empty())
      return std::unexpected("no temporary folder can be made: " + fs::temp_directory_path().string());
    std::ofstream(folder.path() / "freetds.conf") << *conf;
    if (const auto saved = auth::save_ccache(*candidate.ticket, folder.path() / "ccache"); !saved)
      return std::unexpected(saved.error().text);
    read_answer(run_control(program, folder.path(), candidate.spn), opinion);
    opinion.note = difference_of(opinion, route);
  }
  return opinions;
}

} // namespace commands
