#include "shim/log/render.hpp"
#include "tools/commands.hpp"

#include <fmt/format.h>
#include <istream>
#include <map>
#include <ostream>
#include <vector>

namespace commands {

namespace {

/// What draws the eye: refusals and warnings. What only frames the story steps back.
std::string_view colour_of(const shim::Event &event) {
  if (std::holds_alternative<shim::Refused>(event)) return "\033[31m";
  if (std::holds_alternative<shim::Warned>(event)) return "\033[33m";
  if (std::holds_alternative<shim::Closed>(event) || shim::is_debug(event)) return "\033[2m";
  return "";
}

std::string show(const shim::Record &record, const LogOptions &options) {
  std::string line = shim::to_text(record);
  // "2026-11-22T09:52:00.123456Z": without a connection the line has its time already.
  if (options.time && !record.conn.empty()) line = shim::to_iso8601(record.at).substr(11, 12) + ' ' + line;
  const std::string_view colour = options.colour ? colour_of(record.event) : "";
  return colour.empty() ? line : fmt::format("{}{}\033[0m", colour, line);
}

/// The lines of connections whose end is not known yet: whether they are shown depends on why they were refused.
class ByCause {
public:
  ByCause(std::ostream &out, std::string cause) : out_(out), cause_(std::move(cause)) {}

  void add(const shim::Record &record, std::string line) {
    Waiting &waiting = waiting_[record.conn];
    waiting.lines.push_back(std::move(line));
    if (const auto *refused = std::get_if<shim::Refused>(&record.event)) waiting.wanted |= refused->cause == cause_;
    if (!std::holds_alternative<shim::Closed>(record.event)) return;
    show(waiting);
    waiting_.erase(record.conn);
  }
  void finish() {
    for (const auto &[conn, waiting] : waiting_)
      show(waiting);
  }

private:
  struct Waiting {
    std::vector<std::string> lines;
    bool wanted = false;
  };
  void show(const Waiting &waiting) {
    for (const std::string &line : waiting.lines)
      if (waiting.wanted) out_ << line << '\n';
  }
  std::ostream &out_;
  std::string cause_;
  std::map<std::string, Waiting> waiting_;
};

} // namespace

int log(std::istream &in, std::ostream &out, std::ostream &err, const LogOptions &options) {
  ByCause by_cause(out, options.cause);
  int status = 0;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    const auto record = shim::from_json(line);
    if (!record) {
      err << fmt::format("{}:{}: {}\n", options.name, number, record.error());
      status = 1;
      continue;
    }
    if (!record->conn.starts_with(options.conn)) continue;
    if (options.cause.empty())
      out << show(*record, options) << std::endl; // each at once: the log may be a pipe that somebody watches
    else if (!record->conn.empty())
      by_cause.add(*record, show(*record, options));
  }
  by_cause.finish();
  return status;
}

} // namespace commands
