// Where events go: the process's log (a file, a bounded queue, one writer thread) and the trail of one connection.
#pragma once

#include "shim/log/event.hpp"

#include <expected>
#include <filesystem>
#include <memory>

namespace shim {

/// The decision log of the process. `write` puts a rendered line into a bounded queue (`queue_lines`); one thread writes it to the file, which is
/// created 0600 and appended to. Thread-safe.
class DecisionLog {
public:
  virtual ~DecisionLog() = default;
  /// Queues a line. False when the queue is full or the file cannot be written: nothing was queued.
  virtual bool write(const Record &record) = 0;
  /// Free places in the queue: a new login first makes sure that there is room for all it may log.
  virtual bool has_room() const = 0;
  /// Waits until everything queued so far is on disk, at most `deadline`.
  virtual void flush(std::chrono::milliseconds deadline) = 0;
  /// Reopens the file by its name (log rotation): called on SIGHUP.
  virtual void reopen() = 0;
  /// Whether debug kinds are written.
  virtual bool debug() const = 0;

  /// An event without a connection.
  void emit(Event event);
};
/// Error: the file cannot be opened, as a sentence.
std::expected<std::unique_ptr<DecisionLog>, std::string> open_decision_log(const std::filesystem::path &path, bool debug, std::size_t queue_lines = 65536);

/// The events of one connection, in order: written to the log as they are made, and kept for the diagnosis until the login is over. Not thread-safe:
/// lives on its connection's thread.
class Trail {
public:
  /// Draws a random connection id (8 hex digits).
  explicit Trail(DecisionLog &log);
  Trail(DecisionLog &log, std::string id);

  /// Numbers the event, stamps it, writes it, and keeps it (debug kinds are kept too, whether or not they are written).
  void emit(Event event);
  const std::string &id() const { return id_; }
  const std::vector<Record> &records() const { return records_; }
  /// Frees the kept records (before the relay starts); numbering goes on.
  void forget();

private:
  DecisionLog &log_;
  std::string id_;
  std::chrono::steady_clock::time_point started_;
  std::uint64_t next_seq_ = 1;
  std::uint64_t next_written_ = 1;
  std::vector<Record> records_;
};

} // namespace shim
