#include "config/value.hpp"
#include "shim/log/render.hpp"
#include "tools/commands.hpp"
#include "tools/follow.hpp"

#include <algorithm>
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

/// The lines of connections whose end is not known yet: whether they are shown depends
/// on why they were refused.
class ByCause {
public:
  ByCause(std::ostream &out, std::string cause) : out_(out), cause_(std::move(cause)) {}

  void add(const shim::Record &record, std::string line) {
    // Who is logged in is refused no more: nothing of it need be kept while it runs, for days perhaps.
    if (const auto *answered = std::get_if<shim::LoginAnswered>(&record.event);
        answered && answered->accepted) {
      waiting_.erase(record.conn);
      return;
    }
    Waiting &waiting = waiting_[record.conn];
    waiting.lines.push_back(std::move(line));
    if (const auto *refused = std::get_if<shim::Refused>(&record.event))
      waiting.wanted |= refused->cause == cause_;
    if (!std::holds_alternative<shim::Closed>(record.event)) return;
    show(waiting);
    out_.flush();
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

/// Lines in, timeline out.
class Timeline {
public:
  Timeline(std::ostream &out, std::ostream &err, const LogOptions &options)
      : out_(out), err_(err), options_(options), by_cause_(out, options.cause) {}

  void add(const std::string &line) {
    ++number_;
    if (line.empty()) return;
    const auto record = shim::from_json(line);
    if (!record) {
      err_ << fmt::format("{}:{}: {}\n", options_.name, number_, record.error());
      unreadable_ = true;
      return;
    }
    if (!record->conn.starts_with(options_.conn)) return;
    if (options_.cause.empty())
      out_ << show(*record, options_)
           << std::endl; // each at once: the log may be a pipe that somebody watches
    else if (!record->conn.empty())
      by_cause_.add(*record, show(*record, options_));
  }
  void finish() { by_cause_.finish(); }
  void count_anew() { number_ = 0; }
  bool unreadable() const { return unreadable_; }

private:
  std::ostream &out_, &err_;
  const LogOptions &options_;
  ByCause by_cause_;
  std::size_t number_ = 0; ///< of the line, in its file
  bool unreadable_ = false;
};

} // namespace

std::string cause_problem(std::string_view cause) {
  if (cause.empty() || shim::find_cause(cause)) return "";
  std::vector<std::string_view> all, near;
  for (const shim::CauseEntry &entry : shim::all_causes()) {
    all.push_back(entry.id);
    if (entry.id.contains(cause)) near.push_back(entry.id);
  }
  if (const auto hint = config::nearest(cause, all); hint && std::ranges::find(near, *hint) == near.end())
    near.push_back(*hint);
  const std::string there_is_none = fmt::format("there is no cause \"{}\"; ", shim::printable(cause, 64));
  if (!near.empty()) return there_is_none + fmt::format("did you mean {}?", fmt::join(near, ", "));
  return there_is_none + fmt::format("the causes are: {}", fmt::join(all, ", "));
}

int log(std::istream &in, std::ostream &out, std::ostream &err, const LogOptions &options) {
  Timeline timeline(out, err, options);
  for (std::string line; std::getline(in, line);)
    timeline.add(line);
  timeline.finish();
  return timeline.unreadable() ? 1 : 0;
}

void follow(const std::filesystem::path &file, std::ostream &out, std::ostream &err,
            const LogOptions &options, const std::function<bool()> &goes_on) {
  Timeline timeline(out, err, options);
  Follower follower(file);
  do
    for (const auto &[line, first] : follower.lines()) {
      if (first) timeline.count_anew();
      timeline.add(line);
    }
  while (goes_on());
  timeline.finish();
}

} // namespace commands
