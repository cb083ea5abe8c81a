#include "config/load.hpp"

#include "config/identity_table.hpp"
#include "config/listener_table.hpp"
#include "config/place_of_trust.hpp"
#include "config/process_tables.hpp"
#include "config/route_reach.hpp"
#include "config/route_table.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <unistd.h>

namespace config {

namespace {

namespace fs = std::filesystem;

/// In an order in which each finds what it leads to.
void read_tables(const toml::table &table, Loading &loading) {
  Section top(loading.report, table, "");
  if (auto section = top.section("log")) read_log(*section, loading);
  auto &log = loading.config.log;
  if (log.decisions != "-") log.decisions = loading.from_folder(log.decisions.string());
  if (auto section = top.section("limits")) read_limits(*section, loading);
  read_dns(top.section("dns"), loading);
  read_kerberos(top.section("kerberos"), loading);
  read_state(top.section("state"), loading);
  if (auto section = top.section("domains")) read_domains(*section, loading);
  if (auto section = top.section("aliases")) read_aliases(*section, loading);
  for (Section &section : top.sections("listener"))
    read_listener(section, loading);
  for (Section &section : top.sections("identity"))
    read_identity(section, loading);
  for (Section &section : top.sections("route"))
    read_route(section, loading);
  if (auto section = top.section("browser")) read_browser(*section, loading);
  if (!top.has("listener"))
    loading.report.problem(
        {}, "listener",
        "there is none, so nobody could connect; write [[listener]] with name and address = \"127.0.0.1:14330\"");
  if (!top.has("route"))
    loading.report.problem(
        {}, "route",
        "there is none, so every login would be refused; write [[route]] with name, target and identity");
  top.finish();
  check_reachable(loading);
}

Loaded single_problem(const fs::path &file, std::string what) {
  Loaded loaded;
  loaded.config.file = file;
  loaded.problems.push_back(
      {.file = file.string(), .line = 0, .column = 0, .key = {}, .what = std::move(what), .warning = false});
  return loaded;
}

} // namespace

std::string Problem::text() const {
  std::string text = file;
  if (line > 0) text += fmt::format(":{}:{}", line, column);
  text += ": ";
  if (!key.empty()) text += key + ": ";
  if (warning) text += "warning: ";
  return text + what;
}

bool Loaded::ok() const { return std::ranges::all_of(problems, &Problem::warning); }

Loaded parse(std::string_view text, const fs::path &file, const fs::path &resolv_conf,
             const fs::path &proc_status) {
  std::ifstream status(proc_status, std::ios::binary);
  Loading loading{.report = Report(file.string()),
                  .config = {},
                  .resolv_conf = resolv_conf,
                  .proc_status = std::string(std::istreambuf_iterator<char>(status), {}),
                  .listener_names = {},
                  .identity_names = {},
                  .route_names = {},
                  .addresses = {}};
  loading.config.file = file;
  const auto table = parse_toml(text);
  if (table)
    read_tables(*table, loading);
  else
    loading.report.problem(table.error().place, "", "not TOML: " + table.error().what);
  return {std::move(loading.config), std::move(loading.report).sorted()};
}

Loaded load(const fs::path &file) {
  std::error_code error;
  if (fs::is_directory(file, error)) return single_problem(file, "is a folder; name the file");
  if (fs::is_fifo(file, error) || fs::is_socket(file, error)) // reading could wait for ever
    return single_problem(file, "is no regular file; write the configuration into one");
  if (auto fault = fault_of_place(file, ::geteuid()); !fault.empty())
    return single_problem(file, "cannot be trusted: " + fault);
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return single_problem(file, fmt::format("cannot be read: {}; write --config FILE, or set SQLSHIM_CONFIG",
                                            std::generic_category().message(errno)));
  std::string text(largest_file + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return single_problem(file, "cannot be read");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > largest_file)
    return single_problem(file,
                          fmt::format("is larger than {} bytes; that is no configuration", largest_file));
  return parse(text, file);
}

fs::path which_file(const std::string &option) {
  if (!option.empty()) return option;
  if (const char *environment = std::getenv("SQLSHIM_CONFIG"); environment && *environment)
    return environment;
  return "/etc/sqlshim/sqlshim.toml";
}

} // namespace config
