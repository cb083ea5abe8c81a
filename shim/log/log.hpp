// Where events go: the process's log (a file, a bounded queue, one writer thread) and
// the trail of one connection.
#pragma once

#include "shim/log/sink.hpp"

#include <expected>
#include <filesystem>
#include <memory>

namespace shim {

/// The decision log of the process. `write` puts a rendered line into a bounded queue (`queue_lines`); one
/// thread writes it to the file, which is created 0600 and appended to, whole lines only. A line that an
/// earlier run left unfinished is ended first. Thread-safe. Destruction writes what is queued, or gives up
/// when the file takes nothing.
class DecisionLog : public Sink {
public:
  /// Queues a line. False when the queue is full: nothing was queued.
  bool write(const Record &record) override = 0;
  /// A new login first makes sure that there is room for all it may log: at least half of the queue is free,
  /// and the file takes what is written (after an error, a full disk say, false until a write has succeeded).
  bool has_room() const override = 0;
  /// Waits until everything queued so far is in the file, at most `deadline`.
  virtual void flush(std::chrono::milliseconds deadline) = 0;
  /// Reopens the file by its name (log rotation): called on SIGHUP. What is queued afterwards is in the new
  /// file; when it cannot be opened, the old one stays.
  virtual void reopen() = 0;
};
/// "-" is standard output. Error: the file cannot be opened, as a sentence.
std::expected<std::unique_ptr<DecisionLog>, std::string>
open_decision_log(const std::filesystem::path &path, bool debug, std::size_t queue_lines = 65536);

/// The events of one connection, in order: written to the log as they are made, and kept for the diagnosis
/// until the login is over. Not thread-safe: lives on its connection's thread.
class Trail {
public:
  /// With a connection id of its own: 8 hex digits, which no other one of this process has
  /// (until 2^32 are through).
  explicit Trail(Sink &log);
  Trail(Sink &log, std::string id);

  /// Numbers the event, stamps it, writes it, and keeps it (debug kinds are kept too, whether or not they are
  /// written; one that is not written has number 0, so that the log has no gaps).
  void emit(Event event);
  const std::string &id() const { return id_; }
  const std::vector<Record> &records() const { return records_; }
  /// Frees the kept records (before the relay starts) and keeps no more; numbering goes on.
  void forget();

private:
  Sink &log_;
  std::string id_;
  std::chrono::steady_clock::time_point started_;
  std::uint64_t next_seq_ = 1;
  bool keeping_ = true;
  std::vector<Record> records_;
};

} // namespace shim
